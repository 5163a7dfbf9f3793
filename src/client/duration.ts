/** Times as people write them: milliseconds, or a number with a unit: '500ms', '5s', '10m', '2h', '1d'. */
import { LeveretError } from '../model/errors.ts'
import { shown } from './names.ts'

export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

/** Ten years: a broker keeps no longer times. */
export const durationMsMax = 315_360_000_000

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds. `name` is the option it came from, for the error's text. */
export function durationMs(value: Duration, name: string): number {
  const parsed = typeof value === 'number' ? value : parseText(value as unknown)
  if (!Number.isFinite(parsed) || parsed < 0) {
    throw new LeveretError(
      'E_BAD_OPTION',
      `${name} is ${shown(value)}: write milliseconds as a number, or text like '500ms', '5s', '10m', '2h', '1d'`,
    )
  }
  return parsed
}

function parseText(text: unknown): number {
  if (typeof text !== 'string') return Number.NaN
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  if (match === null) return Number.NaN
  return Number(match[1]) * (unitMs[match[2] as string] as number)
}
