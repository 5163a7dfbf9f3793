/**
 * Case after case until so many frames were sent. A case that fails is made smaller; one in which something took long is run
 * again, because a machine has other things to do: what counts is the quickest of its runs.
 */
import { makeCase } from './fuzz-case.ts'
import { type FuzzHost, type FuzzResult, runCase } from './fuzz-run.ts'
import { keepSteps, type StepName, shrink } from './shrink.ts'

export interface FuzzFailure {
  readonly seed: number
  readonly violation: string
  /** What is left of it. */
  readonly kept: readonly StepName[]
}

export interface FuzzReport {
  readonly cases: number
  readonly frames: number
  readonly connections: number
  readonly codes: ReadonlyMap<number, number>
  readonly longestMs: number
  /** In which case that was. */
  readonly longestSeed: number
  readonly failures: readonly FuzzFailure[]
}

export interface FuzzOptions {
  /** The first case; the next ones count on from there. */
  readonly seed: number
  readonly frames: number
  /** Failures before it stops. Default 1. */
  readonly failuresMax?: number
  readonly onCase?: (result: FuzzResult, seed: number) => void
}

/** A turn that takes longer is looked at again. */
const suspiciousMs = 20
const measuredAgain = 2

export async function fuzz(options: FuzzOptions, host: FuzzHost): Promise<FuzzReport> {
  const codes = new Map<number, number>()
  const failures: FuzzFailure[] = []
  let frames = 0
  let connections = 0
  let longestMs = 0
  let longestSeed = options.seed
  let { seed } = options
  for (; frames < options.frames && failures.length < (options.failuresMax ?? 1); seed++) {
    const result = await runCase(makeCase(seed), host)
    frames += result.frames
    connections += result.connections
    for (const [code, count] of result.codes) codes.set(code, (codes.get(code) ?? 0) + count)
    if (result.violation !== null) failures.push(await failureOf(seed, result.violation, host))
    else if (result.longestMs > longestMs) {
      const ms = result.longestMs > suspiciousMs ? await measureAgain(seed, result.longestMs, host) : result.longestMs
      if (ms > longestMs) longestSeed = seed
      longestMs = Math.max(longestMs, ms)
    }
    options.onCase?.(result, seed)
  }
  return { cases: seed - options.seed, frames, connections, codes, longestMs, longestSeed, failures }
}

async function measureAgain(seed: number, measuredMs: number, host: FuzzHost): Promise<number> {
  let quickestMs = measuredMs
  for (let run = 0; run < measuredAgain; run++) {
    const { longestMs } = await runCase(makeCase(seed), host)
    quickestMs = Math.min(quickestMs, longestMs)
  }
  return quickestMs
}

async function failureOf(seed: number, violation: string, host: FuzzHost): Promise<FuzzFailure> {
  const plan = makeCase(seed)
  const kept = await shrink(plan, async (smaller) => {
    const result = await runCase(smaller, host)
    return result.violation !== null && sameKind(result.violation, violation)
  })
  const { violation: last } = await runCase(keepSteps(plan, kept), host)
  return { seed, violation: last ?? violation, kept }
}

/** Without numbers and stacks: a smaller case must fail for the same reason. */
function sameKind(one: string, two: string): boolean {
  const kind = (text: string): string => text.split('\n', 1).join().replace(/\d+/g, '').slice(0, 60)
  return kind(one) === kind(two)
}
