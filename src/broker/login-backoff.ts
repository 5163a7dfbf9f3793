/**
 * Who guesses passwords has to wait: after a few failed logins from one address, longer with each one. On this machine,
 * where all addresses are the same, it is one user from one address.
 */
import { limits } from '../model/limits.ts'
import type { Clock } from '../platform/clock.ts'

interface Failures {
  readonly count: number
  readonly untilMs: number
  readonly forgottenMs: number
}

export class LoginBackoff {
  private readonly clock: Clock
  /** The oldest first. */
  private readonly failures = new Map<string, Failures>()

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Milliseconds until another login is looked at; 0: now. */
  waitMs(key: string): number {
    const known = this.failures.get(key)
    return known === undefined ? 0 : Math.max(0, known.untilMs - this.clock.monotonicMs())
  }

  failed(key: string): void {
    const nowMs = this.clock.monotonicMs()
    const known = this.failures.get(key)
    const count = known === undefined || known.forgottenMs <= nowMs ? 1 : known.count + 1
    const beyond = count - limits.loginFailuresFree
    const waitMs = beyond <= 0 ? 0 : Math.min(limits.loginBackoffMsMax, 1_000 * 2 ** (beyond - 1))
    this.failures.delete(key)
    this.failures.set(key, { count, untilMs: nowMs + waitMs, forgottenMs: nowMs + limits.loginFailuresRememberedMs })
    for (const oldest of this.failures.keys()) {
      if (this.failures.size <= limits.loginFailuresMax) return
      this.failures.delete(oldest)
    }
  }

  succeeded(key: string): void {
    this.failures.delete(key)
  }
}
