/** The times at which a schedule is due: which comes next, and which passed meanwhile. Milliseconds since 1970. */
import type { CronTimes } from '../model/cron.ts'

export interface Passed {
  /** The last of them, in order, at least one. */
  readonly dues: readonly number[]
  /** How many there were; of so many that nobody would count them, at least so many. */
  readonly count: number
}

export interface DueTimes {
  /** The first one after that time; null: never again. */
  nextAfter(ms: number): number | null
  /** Those from `firstMs`, which is one, up to and with `untilMs`; of them the last `max` or, where they come irregularly, fewer. */
  passed(firstMs: number, untilMs: number, max: number): Passed
}

/** A fixed time after another, counted from one moment: no run moves the ones after it. */
export class EveryTimes implements DueTimes {
  private readonly anchorMs: number
  private readonly everyMs: number

  constructor(anchorMs: number, everyMs: number) {
    this.anchorMs = anchorMs
    this.everyMs = everyMs
  }

  nextAfter(ms: number): number {
    const { anchorMs, everyMs } = this
    return anchorMs + (Math.floor((ms - anchorMs) / everyMs) + 1) * everyMs
  }

  passed(firstMs: number, untilMs: number, max: number): Passed {
    const { everyMs } = this
    const count = Math.floor((untilMs - firstMs) / everyMs) + 1
    const dues: number[] = []
    for (let at = Math.max(0, count - max); at < count; at++) dues.push(firstMs + at * everyMs)
    return { dues, count }
  }
}

export class CronDueTimes implements DueTimes {
  private readonly cron: CronTimes

  constructor(cron: CronTimes) {
    this.cron = cron
  }

  nextAfter(ms: number): number | null {
    return this.cron.nextAfter(ms)
  }

  passed(firstMs: number, untilMs: number, max: number): Passed {
    const walked = this.walk(firstMs, untilMs, 2 * max)
    if (walked.isAll) return { dues: walked.dues.slice(-max), count: walked.dues.length }
    // Years of seconds: from where about the last half of so many would begin, and nearer where they come closer together.
    const lastMs = this.lastUntil(firstMs, untilMs)
    let spanMs = ((walked.dues.at(-1) as number) - firstMs) / 2
    for (;;) {
      const startMs = this.cron.nextAfter(lastMs - spanMs - 1) ?? lastMs
      const tail = this.walk(startMs, lastMs, 2 * max)
      if (tail.isAll) return { dues: tail.dues.slice(-max), count: walked.dues.length + tail.dues.length }
      spanMs /= 2
    }
  }

  /** The first `max` of those from `firstMs`, which is one; `isAll`: there are no more up to `untilMs`. */
  private walk(firstMs: number, untilMs: number, max: number): { readonly dues: number[]; readonly isAll: boolean } {
    const dues: number[] = []
    for (let due: number | null = firstMs; due !== null && due <= untilMs; due = this.cron.nextAfter(due)) {
      if (dues.length === max) return { dues, isAll: false }
      dues.push(due)
    }
    return { dues, isAll: true }
  }

  /** The last one up to and with `untilMs`; `firstMs` is one. */
  private lastUntil(firstMs: number, untilMs: number): number {
    // The last moment that has one behind it.
    let [low, high] = [firstMs - 1, untilMs]
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      const next = this.cron.nextAfter(middle)
      if (next !== null && next <= untilMs) low = middle
      else high = middle
    }
    return this.cron.nextAfter(low) as number
  }
}
