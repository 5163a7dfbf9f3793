/** Makes a case that fails smaller: whole scripts go first, then runs of steps, as long as it fails in some way. */
import type { FuzzCase } from './fuzz-case.ts'
import { describeStep, type Script, type Step } from './script.ts'

/** `3` is step 3 of the first script, `1.3` of the second. */
export type StepName = string

export function stepNames({ scripts }: FuzzCase): StepName[] {
  return scripts.flatMap(({ steps }, script) => steps.map((_, step) => nameOf(script, step)))
}

function nameOf(script: number, step: number): StepName {
  return script === 0 ? `${step}` : `${script}.${step}`
}

/** The case with those steps alone; a script without steps connects and says nothing. */
export function keepSteps(plan: FuzzCase, kept: readonly StepName[]): FuzzCase {
  const names = new Set(kept)
  const scripts = plan.scripts.map((script, at) => ({
    ...script,
    steps: script.steps.filter((step, number) => names.has(nameOf(at, number)) || isNeeded(script, step)),
  }))
  return { ...plan, scripts }
}

function isNeeded({ expected }: Script, step: Step): boolean {
  return expected !== null && step.type === 'send' && step.isNeeded === true
}

/** Steps without which it does not fail any more. `fails` is asked at most `triesMax` times. */
export async function shrink(
  plan: FuzzCase,
  fails: (smaller: FuzzCase) => Promise<boolean>,
  triesMax = 200,
): Promise<readonly StepName[]> {
  let kept = stepNames(plan)
  let tries = 0
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < kept.length && tries < triesMax; ) {
      const smaller = [...kept.slice(0, at), ...kept.slice(at + size)]
      tries++
      if (await fails(keepSteps(plan, smaller))) kept = smaller
      else at += size
    }
  }
  return kept
}

/** What the case does, for whoever wants to understand it. */
export function describeCase({ seed, isStored, scripts, pieceBytesMax, messageBytesMax }: FuzzCase): string {
  const lines = [
    `seed ${seed}: ${isStored ? 'a folder' : 'memory'}, pieces of at most ${pieceBytesMax}, messages of ${messageBytesMax}`,
  ]
  for (const [at, { steps, expected, answers }] of scripts.entries()) {
    lines.push(
      `client ${at} answers ${answers}, expected: ${expected === null ? 'anything' : JSON.stringify(expected)}`,
    )
    for (const step of steps) lines.push(`  ${describeStep(step)}`)
  }
  return lines.join('\n')
}
