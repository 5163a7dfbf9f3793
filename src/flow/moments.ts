/**
 * Means and variability from sums: of how many, Σx and Σx². Sums add up, and can be subtracted, so that two looks at the same
 * counters say what was between them; Welford's running mean, which cancels less, cannot be told apart again like that. In
 * doubles Σx² keeps 15 digits, enough for a hundred million values whose squared coefficient of variation is 0.0001.
 */

export interface TimeSums {
  readonly count: number
  /** Σx, in seconds. */
  readonly seconds: number
  /** Σx², in seconds². */
  readonly secondsSquared: number
}

export interface Moments {
  readonly count: number
  /** In seconds; 0 if there are none. */
  readonly mean: number
  /** Variance / mean², of the sample; 0 if there are fewer than two, or all is 0. */
  readonly scv: number
}

export function momentsOf({ count, seconds, secondsSquared }: TimeSums): Moments {
  if (count === 0) return { count: 0, mean: 0, scv: 0 }
  const mean = seconds / count
  if (count === 1 || mean === 0) return { count, mean, scv: 0 }
  const variance = Math.max(0, secondsSquared - seconds * mean) / (count - 1)
  return { count, mean, scv: variance / (mean * mean) }
}

export function sumsBetween(older: TimeSums, newer: TimeSums): TimeSums {
  return {
    count: newer.count - older.count,
    seconds: newer.seconds - older.seconds,
    secondsSquared: newer.secondsSquared - older.secondsSquared,
  }
}
