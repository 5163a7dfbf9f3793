/** The demonstration itself: the patterns at work on one bus, and what there is to see of them. */
import type { Bus, QueueStats } from '../../index.ts'
import { Calls } from './calls.ts'
import { PhotoEvents } from './events.ts'
import { phaseAt } from './load.ts'
import { Photos, photoQueue } from './photos.ts'
import type { DemoPlatform, DemoState, Sample } from './state.ts'

export const lookEveryMs = 100
/** Rates are those of the last second. */
const rateLooks = 10
/** How long the end may be late, when all that was sent is still to be done. */
const graceMs = 5_000

interface Counts {
  readonly atMs: number
  readonly sent: number
  readonly begun: number
  readonly settled: number
  readonly waitedMs: number
}

export class Demonstration {
  private readonly platform: DemoPlatform
  private readonly bus: Bus
  private readonly where: string
  private readonly durationMs: number
  private readonly photos: Photos
  private readonly events: PhotoEvents
  private readonly calls: Calls
  private readonly history: Sample[] = []
  private readonly counts: Counts[] = []
  private startedMs = 0

  /** Makes its queues on the bus; nothing is sent yet. */
  static async open(platform: DemoPlatform, bus: Bus, where: string, durationMs: number): Promise<Demonstration> {
    const events = await PhotoEvents.open(bus)
    const photos = await Photos.open(platform, bus, events)
    const calls = await Calls.open(platform, bus)
    return new Demonstration(platform, bus, where, durationMs, photos, events, calls)
  }

  private constructor(
    platform: DemoPlatform,
    bus: Bus,
    where: string,
    durationMs: number,
    photos: Photos,
    events: PhotoEvents,
    calls: Calls,
  ) {
    this.platform = platform
    this.bus = bus
    this.where = where
    this.durationMs = durationMs
    this.photos = photos
    this.events = events
    this.calls = calls
  }

  start(): void {
    this.startedMs = this.platform.clock.monotonicMs()
    this.counts.push(this.count())
    this.photos.start(this.durationMs)
    this.calls.start()
  }

  /** Sends nothing more. */
  stop(): void {
    this.photos.stop()
    this.calls.stop()
  }

  /** Its time is over, and what was sent is done. */
  get isOver(): boolean {
    const elapsedMs = this.elapsedMs()
    if (elapsedMs < this.durationMs) return false
    return (this.photos.isDone && this.events.isDone) || elapsedMs >= this.durationMs + graceMs
  }

  /** Looks at the queue; to be called every `lookEveryMs`. */
  async look(): Promise<DemoState> {
    const all = await this.bus.stats()
    const stats = all.find(({ name }) => name === photoQueue)
    if (stats !== undefined) this.addSample(stats)
    return this.state()
  }

  state(): DemoState {
    const { where, durationMs, photos, history } = this
    const elapsedMs = this.elapsedMs()
    return {
      where,
      durationMs,
      elapsedMs,
      phase: phaseAt(elapsedMs, durationMs),
      queue: photos.figures(),
      history,
      callbacks: photos.callbackFigures(),
      events: this.events.figures(),
      calls: this.calls.figures(),
    }
  }

  private addSample({ ready, unacked, delayed }: QueueStats): void {
    const now = this.count()
    const before = this.counts[Math.max(0, this.counts.length - rateLooks)] ?? now
    this.counts.push(now)
    const seconds = (now.atMs - before.atMs) / 1000
    const rate = (count: number): number => (seconds > 0 ? count / seconds : 0)
    const begun = now.begun - before.begun
    this.history.push({
      atMs: now.atMs,
      ready,
      unacked,
      delayed,
      sendRate: rate(now.sent - before.sent),
      receiveRate: rate(begun),
      processingRate: rate(now.settled - before.settled),
      waitMs: begun > 0 ? (now.waitedMs - before.waitedMs) / begun : 0,
    })
  }

  private count(): Counts {
    const { sent, begun, settled, waitedMs } = this.photos
    return { atMs: this.elapsedMs(), sent, begun, settled, waitedMs }
  }

  private elapsedMs(): number {
    return this.platform.clock.monotonicMs() - this.startedMs
  }
}
