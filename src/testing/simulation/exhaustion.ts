/**
 * Every crash of a short workload: before each operation of the disk and after each thing that happens, with each choice
 * (see crash-ways.ts) of what had reached the platters; and from what each of those crashes leaves, a second crash at
 * every point of the recovery, once with nothing and once with all of what the recovery had not synced.
 *
 * No seed is involved: what is found here is found each time. Disks that are the same, byte for byte, and of which the
 * same must hold are looked at once.
 */

import { crc32 } from '../../lib/crc32.ts'
import { Prng } from '../../lib/prng.ts'
import { type LogStoreOptions, logStoreOptionsDefault } from '../../store/log-store-options.ts'
import { SimClock } from '../sim-clock.ts'
import { SimDisk } from '../sim-disk.ts'
import { SimMachine } from '../sim-host.ts'
import { SimNetwork } from '../sim-network.ts'
import { crashWays, noneAndAll, type Way } from './crash-ways.ts'
import { onlyProcess, openBroker } from './found-state.ts'
import { type Judge, ReferenceJudge, type Verdict } from './judge.ts'
import { LettersJudge } from './letters-judge.ts'
import { Scene } from './scene.ts'
import { SimProcess } from './sim-process.ts'
import { Trace, Violation } from './trace.ts'
import { type Workload, workloads } from './workloads.ts'

export interface ExhaustionResult {
  readonly workload: string
  readonly diskOperations: number
  /** Moments at which the power went. */
  readonly crashPoints: number
  /** Disks that were recovered and examined, each different from all others. */
  readonly states: number
  /** How many of them were left by a crash during a recovery. */
  readonly recoveryStates: number
  readonly violation: string | null
}

export interface ExhaustionOptions {
  /** Errors that nobody caught; what is returned is forgotten. */
  readonly takeUncaught: () => unknown
  /** No second crash: for whoever has little time. */
  readonly once: boolean
  readonly print: ((line: string) => void) | null
}

export function workloadNames(): string[] {
  return workloads.map(({ name }) => name)
}

/** Runs one workload to its end or to the first violation. */
export async function exhaust(name: string, options: ExhaustionOptions): Promise<ExhaustionResult> {
  const workload = workloads.find((one) => one.name === name)
  if (workload === undefined) throw new Error(`there is no workload ${name}`)
  const exhaustion = new Exhaustion(workload, options)
  try {
    await exhaustion.run()
    return exhaustion.result(null)
  } catch (error) {
    return exhaustion.result(error instanceof Error ? error : new Error(String(error)))
  }
}

interface Moment {
  readonly disk: SimDisk
  readonly verdict: Verdict
  readonly text: string
}

class Exhaustion {
  private readonly workload: Workload
  private readonly options: ExhaustionOptions
  private readonly clock = new SimClock()
  private readonly disk: SimDisk
  private readonly trace: Trace
  private readonly judge: Judge
  private readonly storage: LogStoreOptions
  private readonly machine = new SimMachine()
  private readonly seen = new Set<string>()
  private moments: Moment[] = []
  private crashPoints = 0
  private states = 0
  private recoveryStates = 0
  private last = 'the beginning'

  constructor(workload: Workload, options: ExhaustionOptions) {
    this.workload = workload
    this.options = options
    this.trace = new Trace(this.clock, options.print)
    this.storage = { ...logStoreOptionsDefault, ...workload.storage }
    this.judge =
      workload.letterQueues === null
        ? new ReferenceJudge(this.trace, this.storage)
        : new LettersJudge(workload.letterQueues, this.trace, this.clock, this.storage)
    this.disk = new SimDisk(this.clock, 1, { latencyMsMax: 1 })
    this.disk.fault = ({ kind, path, index }) => {
      this.note(`before ${index} ${kind} ${path}`)
      return null
    }
  }

  async run(): Promise<void> {
    const { judge, storage, trace } = this
    for (const act of this.workload.lives) {
      const network = new SimNetwork(this.clock, new Prng(1))
      const life = new SimProcess(this.clock, this.disk, network, this.machine, '127.0.0.1', 1)
      const opened = await this.until(openBroker(life, storage, Number.MAX_SAFE_INTEGER))
      const scene = new Scene(
        judge.opened(opened),
        (queue, bytes, delayMs) => judge.make(queue, bytes, delayMs),
        trace,
        {
          until: (promise) => this.until(promise),
          pass: (ms) => this.pass(ms),
        },
      )
      await scene.begin()
      await act(scene)
      await this.until(judge.close())
      await this.pass(1)
      life.kill()
    }
  }

  result(error: Error | null): ExhaustionResult {
    return {
      workload: this.workload.name,
      diskOperations: this.disk.operations,
      crashPoints: this.crashPoints,
      states: this.states,
      recoveryStates: this.recoveryStates,
      violation: error === null ? null : `${this.workload.name}, ${this.last}: ${textOf(error)}`,
    }
  }

  // ------------------------------------------------------------------------------------------------- the workload

  private async until<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false
    const mark = (): void => {
      isSettled = true
    }
    promise.then(mark, mark)
    while (!isSettled) {
      if (await this.step(Number.POSITIVE_INFINITY)) continue
      if (!isSettled) throw new Violation('liveness', 'nothing is left to happen, and an answer is missing')
    }
    return promise
  }

  private async pass(ms: number): Promise<void> {
    const untilMs = this.clock.monotonicMs() + ms
    while (await this.step(untilMs));
    await this.clock.advance(Math.max(0, untilMs - this.clock.monotonicMs()))
  }

  private async step(untilMs: number): Promise<boolean> {
    const happened = await this.clock.step(untilMs)
    const uncaught = this.options.takeUncaught()
    if (this.trace.violation !== null) throw this.trace.violation
    if (uncaught instanceof Error) throw uncaught
    this.note('between two operations')
    const { moments } = this
    this.moments = []
    for (const moment of moments) await this.crash(moment)
    return happened
  }

  private note(text: string): void {
    this.moments.push({ disk: this.disk.clone(new SimClock(), 1), verdict: this.judge.verdict(), text })
  }

  // ------------------------------------------------------------------------------------------------- crashes

  private async crash({ disk, verdict, text }: Moment): Promise<void> {
    this.crashPoints++
    for (const way of crashWays(disk.unsynced.length)) {
      this.last = `crash ${text} (${describe(way)})`
      const left = this.leftBy(disk, way, verdict)
      if (left === null) continue
      const shown = await this.examine(left, verdict)
      if (!this.options.once) await this.crashAgain(left, verdict, shown)
    }
  }

  /** What a crash leaves of it; null if that was seen before. */
  private leftBy(disk: SimDisk, way: Way, verdict: Verdict): SimDisk | null {
    const left = disk.clone(new SimClock(), 1)
    left.crashTo(way)
    const key = `${verdict.key}|${imageKey(left)}`
    if (this.seen.has(key)) return null
    this.seen.add(key)
    return left
  }

  private async examine(left: SimDisk, verdict: Verdict): Promise<Verdict> {
    this.states++
    const clock = new SimClock()
    return await verdict.check(clock, left.clone(clock, 1))
  }

  /** Recovers what is left, and cuts that off wherever it can be. When the folder is open its state is `shown`. */
  private async crashAgain(left: SimDisk, verdict: Verdict, shown: Verdict): Promise<void> {
    const first = this.last
    const clock = new SimClock()
    const disk = left.clone(clock, 1)
    const moments: Moment[] = []
    const note = (now: Verdict): void => {
      const text = `crash ${moments.length} of the recovery`
      moments.push({ disk: disk.clone(new SimClock(), 1), verdict: now, text })
    }
    disk.fault = () => {
      note(verdict)
      return null
    }
    const life = onlyProcess(clock, disk)
    let isOpen = false
    const opening = openBroker(life, this.storage, Number.MAX_SAFE_INTEGER)
    const mark = (): void => {
      isOpen = true
    }
    opening.then(mark, mark)
    while (!isOpen && (await clock.step())) note(verdict)
    await opening
    note(shown)
    life.kill()
    for (const moment of moments) {
      for (const way of noneAndAll(moment.disk.unsynced.length)) {
        this.last = `${first}, ${moment.text} (${describe(way)})`
        const again = this.leftBy(moment.disk, way, moment.verdict)
        if (again === null) continue
        this.recoveryStates++
        await this.examine(again, moment.verdict)
      }
    }
  }
}

function describe(way: Way): string {
  return way.length === 0 ? 'all was synced' : way.map((fate) => fate[0]).join('')
}

/** Tells disks apart by names and contents. */
function imageKey(disk: SimDisk): string {
  const parts = disk.paths().map((path) => {
    const content = disk.contents(path)
    const { length } = content
    return `${path} ${length} ${crc32(content, 0, length, 0)} ${crc32(content, 0, length >> 1, 0)}`
  })
  return parts.join('|')
}

function textOf(error: Error): string {
  return error instanceof Violation ? error.message : (error.stack ?? error.message)
}
