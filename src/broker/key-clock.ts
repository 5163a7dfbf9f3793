/** Tells a queue whose keys are limited by rate how late it is, and wakes it when a key that had to wait may go on. */
import type { Clock } from '../platform/clock.ts'
import type { QueueIndex } from '../store/queue-index.ts'
import type { ExpiringQueue, Expiry } from './expiry.ts'

export class KeyClock implements ExpiringQueue {
  wakesAtMs: number = Number.POSITIVE_INFINITY
  private readonly clock: Clock
  private readonly expiry: Expiry
  private readonly index: QueueIndex
  private readonly awaken: () => void

  /** `expiry` must run on the monotonic clock: a wall clock that is set must not hold a key up, or let it go. */
  constructor(clock: Clock, expiry: Expiry, index: QueueIndex, awaken: () => void) {
    this.clock = clock
    this.expiry = expiry
    this.index = index
    this.awaken = awaken
  }

  /** Before anything is handed out. */
  advance(): void {
    this.index.advanceKeys(this.clock.monotonicMs())
  }

  /** After something was. */
  watch(): void {
    const { nextKeyMs } = this.index
    if (nextKeyMs < Number.POSITIVE_INFINITY) this.expiry.watch(this, Math.ceil(nextKeyMs))
  }

  wake(): void {
    this.awaken()
  }
}
