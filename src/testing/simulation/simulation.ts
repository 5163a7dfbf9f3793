/**
 * What a history of a broker from a seed is, whoever says what must hold of it: on one machine a broker lives, is crashed at some
 * operation of its disk (or closed), and lives again on what is left. Things happen one by one, and between two of them it is
 * seen whether something is wrong, or tried on a copy of the disk what a crash would leave.
 */
import { assert } from '../../lib/assert.ts'
import { Prng } from '../../lib/prng.ts'
import type { DeliverAfter } from '../../model/durability.ts'
import type { LogStoreOptions } from '../../store/log-store-options.ts'
import { SimClock } from '../sim-clock.ts'
import { SimDisk } from '../sim-disk.ts'
import { SimMachine } from '../sim-host.ts'
import { SimNetwork } from '../sim-network.ts'
import { crashDisk, cutPower, endProcess, type Loss } from './crash.ts'
import { type OpenedBroker, openBroker } from './found-state.ts'
import { safeLsn } from './level.ts'
import { type Ending, pick } from './plan.ts'
import { SimProcess } from './sim-process.ts'
import { asViolation, type HistoryOptions, Trace, Violation } from './trace.ts'
import { Trouble } from './trouble.ts'

export interface SimulationResult extends SimulationCounts {
  readonly seed: number
  readonly hash: string
  readonly violation: Violation | null
  readonly crashes: number
  readonly recoveries: number
  /** Crashes that were only tried on a copy of the disk. */
  readonly probes: number
  /** Copies of a disk that were damaged. */
  readonly damages: number
  readonly diskOperations: number
}

export interface SimulationCounts {
  readonly transport: string
  readonly publishes: number
  /** Publishes whose maker was told that they are stored. */
  readonly confirms: number
}

export interface SimulationPlan {
  readonly storage: LogStoreOptions
  readonly diskLatencyMs: number
  readonly incarnations: number
  readonly endings: readonly Ending[]
}

/** A copy of a disk to look at, and its clock. */
export interface DiskCopy {
  readonly clock: SimClock
  readonly disk: SimDisk
}

export abstract class Simulation<Plan extends SimulationPlan> {
  protected readonly seed: number
  protected readonly prng: Prng
  protected readonly plan: Plan
  protected readonly trace: Trace
  protected readonly clock: SimClock = new SimClock()
  protected readonly disk: SimDisk
  protected readonly trouble: Trouble
  protected readonly network: SimNetwork
  protected readonly machine: SimMachine = new SimMachine()
  protected process: SimProcess | null = null
  protected opened: OpenedBroker | null = null
  /** The broker that is open has given up: its disk failed. */
  protected hasFailed = false
  /** The last life ended with a close that was carried out. */
  protected isClosed = false
  protected isLastLife = false
  /** No power cut has come since the last broker lived, nor a failed sync, after which it may look like one. */
  protected isPowered = true
  protected wantsProbe = false
  protected recoveries = 0
  protected damages = 0
  private readonly options: HistoryOptions
  /** What was durable when the last broker ended, and what was safe then as long as the power stays on. */
  private durableLsn = 0
  private safeLsn = 0
  private crashes = 0
  private probes = 0

  constructor(seed: number, options: HistoryOptions, prng: Prng, plan: Plan, networkLatencyMs?: number) {
    this.seed = seed
    this.options = options
    this.prng = prng
    this.plan = plan
    this.trace = new Trace(this.clock, options.print)
    this.disk = new SimDisk(this.clock, prng.nextU32(), { latencyMsMax: plan.diskLatencyMs })
    this.trouble = new Trouble(this.disk, prng, this.trace)
    const network = networkLatencyMs === undefined ? {} : { latencyMsMax: networkLatencyMs }
    this.network = new SimNetwork(this.clock, new Prng(prng.nextU32()), network)
  }

  // ------------------------------------------------------------------------------------------------- what a kind says

  protected abstract get title(): string
  /** Opens the broker on what is there; false if it did not get that far. */
  protected abstract open(): Promise<boolean>
  protected abstract live(ending: Ending): Promise<void>
  /** The broker is gone; is what it promised on the disk? */
  protected abstract examine(): Promise<void>
  /** A life without trouble has begun. */
  protected abstract lastLife(): Promise<void>
  /** Something has happened. */
  protected abstract stepped(): void
  /** Is on that copy of the disk what must be after such a crash? */
  protected abstract checkProbe(copy: DiskCopy, broker: OpenedBroker, isProcessOnly: boolean): Promise<void>
  /** The broker says that it could not do that. Whose disk failed may. */
  protected abstract forgive(error: Error, what: 'open' | 'close'): void
  protected abstract counts(): SimulationCounts

  // ------------------------------------------------------------------------------------------------- a history

  /** Runs to its end or to the first violation. */
  async play(): Promise<SimulationResult> {
    try {
      await this.run()
    } catch (error) {
      this.trace.violated(asViolation(error))
    }
    const { seed, trace, crashes, recoveries, probes, damages, disk } = this
    const { hash, violation } = trace
    const counts = this.counts()
    return { seed, hash, violation, crashes, recoveries, probes, damages, diskOperations: disk.operations, ...counts }
  }

  private async run(): Promise<void> {
    this.trace.add(`${this.title} ${this.seed}: ${JSON.stringify(this.plan)}`)
    for (let life = 1; life <= this.plan.incarnations; life++) {
      const ending = pick(this.prng, this.plan.endings)
      this.trace.add(`-- life ${life}, to end with ${ending}`)
      this.isClosed = false
      this.trouble.plan(ending)
      if (await this.open()) await this.live(ending)
      this.trouble.calm()
      await this.examine()
    }
    this.trace.add('-- the last life, without trouble')
    this.isLastLife = true
    assert(await this.open(), 'without trouble the broker opens')
    await this.lastLife()
  }

  // ------------------------------------------------------------------------------------------------- a broker

  /** Opens a broker on the disk; null if it did not get that far: then its process has ended. */
  protected async startBroker(memoryBytesMax: number, deliverAfter: DeliverAfter): Promise<OpenedBroker | null> {
    const { clock, disk, network, machine, prng, plan } = this
    this.process ??= new SimProcess(clock, disk, network, machine, '127.0.0.1', prng.nextU32())
    const outcome = await this.settled(openBroker(this.process, plan.storage, memoryBytesMax, deliverAfter))
    if (outcome === 'crashed') {
      this.crash()
      return null
    }
    if (outcome instanceof Error) {
      this.forgive(outcome, 'open')
      this.isPowered = false
      this.endProcess()
      return null
    }
    this.opened = outcome
    this.hasFailed = false
    this.isPowered = true
    this.recoveries++
    return outcome
  }

  protected crash(): void {
    const isProcessOnly = this.trouble.isProcessOnly ?? this.prng.chance(0.3)
    this.crashes++
    if (!isProcessOnly) this.isPowered = false
    this.endProcess()
    if (isProcessOnly) this.trace.add('CRASH process: the page cache survives')
    else {
      this.trace.add(`CRASH ${cutPower(this.disk, this.prng)}`)
      this.machine.reboot()
    }
  }

  protected endProcess(): void {
    this.process?.kill()
    this.process = null
    endProcess(this.disk)
    this.bury()
  }

  /** What is left of the broker is heard no more. */
  protected bury(): void {
    if (this.opened === null) return
    const { store } = this.opened
    this.durableLsn = store.durableLsn
    this.safeLsn = safeLsn(store, this.isPowered, this.hasFailed)
    this.opened = null
  }

  /** The frame that must be on the disk at least, now that no broker lives. */
  protected get leastLsn(): number {
    return this.isPowered ? this.safeLsn : this.durableLsn
  }

  // ------------------------------------------------------------------------------------------------- steps

  /** Lets things happen while `goesOn`, at most until `untilMs`. */
  protected async stepWhile(goesOn: () => boolean, untilMs: number): Promise<void> {
    while (goesOn() && (await this.step(untilMs)));
  }

  protected async step(untilMs: number): Promise<boolean> {
    const happened = await this.clock.step(untilMs)
    const uncaught = this.options.takeUncaught()
    if (this.trace.violation !== null) throw this.trace.violation
    if (uncaught != null) throw asViolation(uncaught)
    this.stepped()
    if (this.wantsProbe && this.opened !== null && !this.trouble.isCrashDue && !this.isLastLife)
      await this.probe(this.opened)
    this.wantsProbe = false
    return happened
  }

  /** Steps until the promise is settled or a crash is due. */
  protected async settled<T>(promise: Promise<T>): Promise<T | Error | 'crashed'> {
    let outcome: T | Error | null = null
    let isSettled = false
    promise.then(
      (value) => {
        outcome = value
        isSettled = true
      },
      (error: unknown) => {
        outcome = error as Error
        isSettled = true
      },
    )
    await this.stepWhile(() => !isSettled && !this.trouble.isCrashDue, this.clock.monotonicMs() + 600_000)
    if (this.trouble.isCrashDue) return 'crashed'
    if (!isSettled) throw new Violation('liveness', 'the broker does not open or close within ten minutes')
    return outcome as T | Error
  }

  /** What if the power went now? Tried on a copy; the history goes on. */
  private async probe(broker: OpenedBroker): Promise<void> {
    this.probes++
    const copy = this.copyDisk()
    const { how, isProcessOnly } = crashDisk(copy.disk, this.prng)
    this.trace.add(`probe: ${how}`)
    await this.checkProbe(copy, broker, isProcessOnly)
  }

  // ------------------------------------------------------------------------------------------------- the disk

  protected copyDisk(): DiskCopy {
    return copyToLook(this.disk, this.prng.nextU32())
  }

  /** A copy with such a loss. */
  protected copyWith({ snapshot }: Loss): DiskCopy {
    const copy = copyToLook(this.disk, 1)
    copy.disk.restore(snapshot)
    return copy
  }
}

/** Whoever looks at a disk must not see anything expire meanwhile: for him it is long ago. */
export function copyToLook(disk: SimDisk, seed: number): DiskCopy {
  const clock = new SimClock()
  clock.jumpRealtime(-1_000_000_000)
  return { clock, disk: disk.clone(clock, seed) }
}
