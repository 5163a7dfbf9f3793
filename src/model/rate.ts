/** How many in which time, as people write it: `10/s`, `100/m`, `5/h`, `1/d`. */
import type { Rate } from '../lib/rate-meter.ts'

/** The argument of a queue that says how many messages of one key it hands out in a time. */
export const keyRateArgument = 'x-leveret-key-rate'

const countMax = 1_000_000

const periods: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Null: the text says no rate. */
export function parseRate(text: string): Rate | null {
  const [, digits = '', unit = ''] = /^([1-9]\d{0,6})\/([smhd])$/.exec(text) ?? []
  const count = Number(digits)
  const periodMs = periods[unit]
  return periodMs === undefined || count > countMax ? null : { count, periodMs }
}
