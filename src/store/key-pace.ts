/**
 * How fast messages of one key may be handed out: the generic cell rate algorithm (ITU-T Recommendation I.371, annex A), a
 * leaky bucket as a meter. Of `count` messages in a period each takes the time `period / count`; a key may be ahead of its
 * time by one period at most. So one that was quiet gets `count` at once, and from then on one in each `period / count`:
 *
 *     rate 3/s    |||     |     |     |     |            |||     |
 *                 0 s     333   667   1 s   …   quiet
 *
 * In no period are there more than twice `count`, and over n periods no more than `count * (n + 1)`.
 */
import type { KeyRate } from '../model/key-rate.ts'

export class KeyPace {
  private readonly rate: KeyRate
  /** When it was last up with its time, and how many it has had since. Not a sum of times: those would be rounded each. */
  private sinceMs = 0
  private counted = 0

  constructor(rate: KeyRate) {
    this.rate = rate
  }

  /** From when on it may have the next one. */
  get nextMs(): number {
    const { count, periodMs } = this.rate
    return this.counted < count ? 0 : this.sinceMs + ((this.counted - count + 1) * periodMs) / count
  }

  /** From when on nothing need be known of it. */
  get freeMs(): number {
    return this.sinceMs + (this.counted * this.rate.periodMs) / this.rate.count
  }

  /** It has one more. */
  count(nowMs: number): void {
    if (this.freeMs <= nowMs) {
      this.sinceMs = nowMs
      this.counted = 0
    }
    this.counted++
  }
}
