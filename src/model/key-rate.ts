/** How many messages of one key a queue hands out in a time, as the argument `x-leveret-key-rate` says it: `10/s`, `5/h`. */

export interface KeyRate {
  readonly count: number
  readonly periodMs: number
}

export const keyRateArgument = 'x-leveret-key-rate'

const countMax = 1_000_000

const periods: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Null: the text says no rate. */
export function parseKeyRate(text: string): KeyRate | null {
  const [, digits = '', unit = ''] = /^([1-9]\d{0,6})\/([smhd])$/.exec(text) ?? []
  const count = Number(digits)
  const periodMs = periods[unit]
  return periodMs === undefined || count > countMax ? null : { count, periodMs }
}
