/**
 * The end of a turn. During a turn commands only mark what they touched; here it is done, once, in a fixed order:
 *
 *     1 commit    the store starts one write and one sync for all that gathered; the disk works while we deliver
 *     2 answer    replies, returns and errors leave the outboxes of the channels that were touched
 *     3 deliver   queues hand out what consumers have credit for
 *     4 confirm   publishes that are durable are confirmed, cumulatively
 *     5 flush     each touched channel is told once to write out what it was told
 *
 * The same runs when the store says that a frame became durable, because answers and confirms wait for that.
 */
import type { Clock } from '../platform/clock.ts'
import type { Store } from '../store/store.ts'

/** A channel, as the end of a turn sees it. */
export interface TickedChannel {
  touched: boolean
  /** It was asked for something while its turn was ending. */
  touchedLate: boolean
  waitsForDisk: boolean
  readonly hasUndurable: boolean
  answer(): void
  confirm(): void
  flush(): void
}

/** A queue, as the end of a turn sees it. */
export interface TickedQueue {
  marked: boolean
  readonly deleted: boolean
  /** Hands out at most `budget` messages; true if consumers could take more. */
  dispatch(budget: number): boolean
}

export class Tick {
  private readonly clock: Clock
  private readonly store: Store
  private readonly deliveriesPerTurn: number
  private scheduled = false
  private touched: TickedChannel[] = []
  private flushing: TickedChannel[] = []
  private queues: TickedQueue[] = []
  private dispatching: TickedQueue[] = []
  /** Channels with something that waits for the disk. */
  private readonly waiting: TickedChannel[] = []
  /** Real time, read once in a turn; 0: not read yet. */
  private turnMs = 0
  /** As that, of the clock that never goes back; -1: not read yet. */
  private turnMonotonicMs = -1
  private readonly runLater: () => void
  private readonly ended: () => void
  /** There are no more turns: nothing is written any more. */
  stopped = false
  /** Channels and queues are being seen to: what is asked for meanwhile may come too late for it. */
  isEnding = false

  /** `ended` is called last, for whatever looks at the sum of a turn (alarms, throttled publishers). */
  constructor(clock: Clock, store: Store, deliveriesPerTurn: number, ended: () => void) {
    this.clock = clock
    this.store = store
    this.deliveriesPerTurn = deliveriesPerTurn
    this.ended = ended
    this.runLater = () => {
      this.scheduled = false
      if (!this.stopped) this.run()
    }
  }

  /** Real time in ms since 1970, the same throughout a turn. */
  get nowMs(): number {
    if (this.turnMs === 0) this.turnMs = this.clock.realtimeMs()
    return this.turnMs
  }

  /** Monotonic time in ms, the same throughout a turn. Where no turn is to end it is not remembered. */
  get monotonicMs(): number {
    if (this.turnMonotonicMs >= 0) return this.turnMonotonicMs
    const nowMs = this.clock.monotonicMs()
    if (this.scheduled || this.isEnding) this.turnMonotonicMs = nowMs
    return nowMs
  }

  /** Sees to it that the end of this turn comes. */
  schedule(): void {
    if (this.scheduled || this.stopped) return
    this.scheduled = true
    this.clock.defer(this.runLater)
  }

  markQueue(queue: TickedQueue): void {
    if (queue.marked) return
    queue.marked = true
    this.queues.push(queue)
    this.schedule()
  }

  touch(channel: TickedChannel): void {
    if (channel.touched) {
      if (this.isEnding) channel.touchedLate = true
      return
    }
    channel.touched = true
    this.touched.push(channel)
    this.schedule()
  }

  /** The channel waits for the disk: look at it whenever a frame becomes durable. */
  waitForDisk(channel: TickedChannel): void {
    if (channel.waitsForDisk) return
    channel.waitsForDisk = true
    this.waiting.push(channel)
  }

  /** A frame became durable. */
  durable(): void {
    let kept = 0
    for (const channel of this.waiting) {
      if (channel.hasUndurable) this.waiting[kept++] = channel
      else channel.waitsForDisk = false
      this.touch(channel)
    }
    this.waiting.length = kept
    if (!this.stopped) this.run()
  }

  stop(): void {
    this.stopped = true
  }

  private run(): void {
    this.store.commit()
    this.isEnding = true
    for (const channel of this.touched) channel.answer()
    this.dispatchQueues()
    for (const channel of this.touched) channel.confirm()
    const { touched } = this
    this.touched = this.flushing
    this.flushing = touched
    for (const channel of touched) channel.touched = false
    this.isEnding = false
    for (const channel of touched) if (channel.touchedLate) this.touchAgain(channel)
    for (const channel of touched) channel.flush()
    touched.length = 0
    this.ended()
    this.turnMs = 0
    this.turnMonotonicMs = -1
  }

  /** What it was asked for while the turn ended has its answer in the next one. */
  private touchAgain(channel: TickedChannel): void {
    channel.touchedLate = false
    this.touch(channel)
  }

  private dispatchQueues(): void {
    const { queues } = this
    this.queues = this.dispatching
    this.dispatching = queues
    for (const queue of queues) queue.marked = false
    for (const queue of queues) {
      if (!queue.deleted && queue.dispatch(this.deliveriesPerTurn)) this.markQueue(queue)
    }
    queues.length = 0
  }
}
