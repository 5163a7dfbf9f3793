/** How many in which time, as users say it. */
import type { Rate as Limit } from '../lib/rate-meter.ts'
import { LeveretError } from '../model/errors.ts'
import { parseRate } from '../model/rate.ts'
import { shown } from './names.ts'

export type Rate = `${number}/${'s' | 'm' | 'h' | 'd'}`

/** Throws E_BAD_OPTION; `name` is the option it came from. */
export function rateOf(value: Rate, name: string): Limit {
  const limit = typeof value === 'string' ? parseRate(value) : null
  if (limit !== null) return limit
  throw new LeveretError(
    'E_BAD_OPTION',
    `${name} is ${shown(value)}: write how many in which time, such as '10/s', '100/m', '5/h', '1/d'`,
  )
}

/** The same text, checked. */
export function rateText(value: Rate, name: string): string {
  rateOf(value, name)
  return value
}
