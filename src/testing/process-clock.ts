/** The clock of one process among several that share the virtual time: when the process dies, nothing it waited for comes. */
import type { Clock } from '../platform/clock.ts'
import type { SimClock } from './sim-clock.ts'

export class ProcessClock implements Clock {
  readonly isSimulated = true
  isDead = false
  private readonly clock: SimClock

  constructor(clock: SimClock) {
    this.clock = clock
  }

  monotonicMs(): number {
    return this.clock.monotonicMs()
  }

  realtimeMs(): number {
    return this.clock.realtimeMs()
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    return this.clock.setTimer(delayMs, () => {
      if (!this.isDead) callback()
    })
  }

  defer(callback: () => void): void {
    this.clock.defer(() => {
      if (!this.isDead) callback()
    })
  }
}
