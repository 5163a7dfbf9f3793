/** Time. Timeouts use the monotonic clock; timestamps and expiry, which survive a restart, use real time. */

export interface Clock {
  /** Time goes by only when somebody lets it: that something is waited for is then no reason to keep the process alive. */
  readonly isSimulated?: boolean
  /** Milliseconds since some fixed moment; never goes back. */
  monotonicMs(): number
  /** Milliseconds since 1970-01-01T00:00Z; may jump either way. */
  realtimeMs(): number
  /** Calls back once after at least `delayMs`; the result cancels it. A timer never keeps the process alive. */
  setTimer(delayMs: number, callback: () => void): () => void
  /** Calls back once at the end of this turn of the event loop, after the sockets that are readable now were read. */
  defer(callback: () => void): void
}
