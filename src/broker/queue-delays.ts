/**
 * What of a queue is hidden until its time: messages with a delay, which are published anew when they are due, and deliveries that
 * were given back for later, which keep their place.
 */
import type { Entry } from '../store/entry.ts'
import { type DepartedQueue, Departures } from './departures.ts'
import type { ExpiringQueue, Expiry } from './expiry.ts'
import type { ParkedEntries, ParkedHeaders } from './parked-entries.ts'
import type { Tick } from './tick.ts'

type DelayingQueue = DepartedQueue & ExpiringQueue

export class QueueDelays {
  private readonly tick: Tick
  private readonly expiry: Expiry
  private readonly queue: DelayingQueue
  private readonly parked: ParkedEntries
  private readonly appear: (entry: Entry) => void
  /** What is due and must be read; null: nothing was ever hidden. */
  private appearing: Departures<null> | null = null

  /** `appear` puts the message of an entry that was hidden where it is to go, and settles it. */
  constructor(tick: Tick, expiry: Expiry, queue: DelayingQueue, parked: ParkedEntries, appear: (entry: Entry) => void) {
    this.tick = tick
    this.expiry = expiry
    this.queue = queue
    this.parked = parked
    this.appear = appear
  }

  /** How many are hidden. */
  get count(): number {
    return this.queue.index.delayedCount + this.parked.count
  }

  /** Those whose time has come appear, or are ready. True if there may be more. */
  takeDue(): boolean {
    const { tick, parked, queue } = this
    const { index } = queue
    for (let entry = parked.takeDue(tick.nowMs); entry !== undefined; entry = parked.takeDue(tick.nowMs)) {
      index.requeue(entry)
    }
    const { nextDueMs } = index
    if (nextDueMs === Number.POSITIVE_INFINITY || nextDueMs > tick.nowMs) return false
    this.appearing ??= new Departures<null>(tick, queue, (entry) => this.appear(entry))
    const { appearing } = this
    // Those that wait mark the queue when they are read.
    if (appearing.room === 0) return false
    return index.takeDue(tick.nowMs, appearing.room, (entry) => appearing.add(entry, null))
  }

  /** Sees to it that the queue wakes in time. True if something is to be done now: what came in this turn may be due. */
  watch(): boolean {
    const { expiry, queue, parked } = this
    if (parked.count > 0) expiry.watch(queue, parked.nextMs)
    const { nextDueMs } = queue.index
    if (nextDueMs === Number.POSITIVE_INFINITY) return false
    if (nextDueMs <= this.tick.nowMs) return this.appearing === null || this.appearing.room > 0
    expiry.watch(queue, nextDueMs)
    return false
  }

  /** An unacknowledged entry comes back to its place for so long; its next receiver gets the headers. */
  park(entry: Entry, delayMs: number, headers: ParkedHeaders): void {
    const { nowMs } = this.tick
    this.parked.add(entry, Math.ceil(nowMs + delayMs), headers, nowMs)
    this.queue.index.held(entry)
    this.tick.markQueue(this.queue)
  }

  /** Whether an entry that was taken has to wait still, as an earlier life noted; then it waits from now on. */
  catches(entry: Entry): boolean {
    if (!this.parked.isUsed || !this.parked.catches(entry, this.tick.nowMs)) return false
    this.queue.index.held(entry)
    this.tick.markQueue(this.queue)
    return true
  }

  /** Deliveries that were given back, to look at. */
  parkedEntries(): readonly Entry[] {
    return this.parked.entries()
  }

  /** Takes a delivery that was given back out of the queue for good; false if it is not there any more. */
  withdraw(entry: Entry): boolean {
    if (!this.parked.remove(entry)) return false
    this.queue.index.settle(entry)
    return true
  }

  /** Deliveries that were given back are gone; returns how many. */
  clearParked(): number {
    const { count } = this.parked
    this.parked.clear((entry) => this.queue.index.settle(entry))
    return count
  }
}
