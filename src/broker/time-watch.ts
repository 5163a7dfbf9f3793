/** Looks every minute at channels whose consumers may hold messages only for so long. No channel, no timer. */
import { limits } from '../model/limits.ts'
import type { Clock } from '../platform/clock.ts'

export interface TimedChannel {
  readonly closed: boolean
  /** `nowMs` is monotonic. */
  checkTime(nowMs: number): void
}

export class TimeWatch {
  private readonly clock: Clock
  private readonly channels = new Set<TimedChannel>()
  private cancelTimer: (() => void) | null = null

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Until the channel is closed. */
  watch(channel: TimedChannel): void {
    this.channels.add(channel)
    if (this.cancelTimer === null) this.setTimer()
  }

  stop(): void {
    this.channels.clear()
    this.cancelTimer?.()
  }

  private setTimer(): void {
    this.cancelTimer = this.clock.setTimer(limits.consumerCheckMs, () => this.look())
  }

  private look(): void {
    this.cancelTimer = null
    const nowMs = this.clock.monotonicMs()
    for (const channel of this.channels) {
      if (!channel.closed) channel.checkTime(nowMs)
      if (channel.closed) this.channels.delete(channel)
    }
    if (this.channels.size > 0) this.setTimer()
  }
}
