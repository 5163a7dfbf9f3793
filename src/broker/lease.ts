/**
 * The time for which a queue may be unused before it goes. It runs on the monotonic clock: a wall clock that is set must
 * not end what somebody uses. Renewing only notes the time; whoever wakes up looks whether that was long enough ago.
 */
import type { Clock } from '../platform/clock.ts'
import type { ExpiringQueue, Expiry } from './expiry.ts'

const lookMsMax = 60_000

export class Lease implements ExpiringQueue {
  wakesAtMs: number = Number.POSITIVE_INFINITY
  private readonly clock: Clock
  private readonly expiry: Expiry
  readonly termMs: number
  /** Null: it has ended. */
  private lapsed: (() => void) | null
  private renewedMs: number

  /** `expiry` must run on the monotonic clock. `lapsed` ends whatever it is about, or renews. */
  constructor(clock: Clock, expiry: Expiry, termMs: number, lapsed: () => void) {
    this.clock = clock
    this.expiry = expiry
    this.termMs = termMs
    this.lapsed = lapsed
    this.renewedMs = clock.monotonicMs()
    this.watch()
  }

  renew(): void {
    this.renewedMs = this.clock.monotonicMs()
  }

  end(): void {
    this.lapsed = null
  }

  wake(): void {
    if (this.lapsed === null) return
    if (this.renewedMs + this.termMs <= this.clock.monotonicMs()) {
      const { renewedMs } = this
      this.lapsed()
      if (this.renewedMs === renewedMs) return
    }
    this.watch()
  }

  /** Looks again before long: one that has ended must not be kept until its time. */
  private watch(): void {
    this.expiry.watch(this, Math.min(this.renewedMs + this.termMs, this.clock.monotonicMs() + lookMsMax))
  }
}
