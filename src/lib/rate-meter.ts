/**
 * How fast things may go: the generic cell rate algorithm (ITU-T Recommendation I.371, annex A), a leaky bucket as a meter. Of
 * `count` in a period each takes the time `period / count`; they may be ahead of their time by one period at most. So after a
 * pause `count` go at once, and from then on one in each `period / count`:
 *
 *     rate 3/s    |||     |     |     |     |            |||     |
 *                 0 s     333   667   1 s   …   quiet
 *
 * In no period are there more than twice `count`, and over n periods no more than `count * (n + 1)`.
 */

export interface Rate {
  readonly count: number
  readonly periodMs: number
}

export class RateMeter {
  private readonly rate: Rate
  /** When they were last up with their time, and how many have gone since. Not a sum of times: those would be rounded each. */
  private sinceMs = 0
  private counted = 0

  constructor(rate: Rate) {
    this.rate = rate
  }

  /** From when on the next one may go. */
  get nextMs(): number {
    const { count, periodMs } = this.rate
    return this.counted < count ? 0 : this.sinceMs + ((this.counted - count + 1) * periodMs) / count
  }

  /** From when on nothing need be known of what has gone. */
  get freeMs(): number {
    return this.sinceMs + (this.counted * this.rate.periodMs) / this.rate.count
  }

  /** One goes now. */
  count(nowMs: number): void {
    if (this.freeMs <= nowMs) {
      this.sinceMs = nowMs
      this.counted = 0
    }
    this.counted++
  }
}
