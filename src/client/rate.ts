/** How many in which time, as people write it: '10/s', '100/m', '5/h', '1/d'; and a meter that keeps to it. */
import { LeveretError } from '../model/errors.ts'

export type Rate = `${number}/${'s' | 'm' | 'h' | 'd'}`

const periodsMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

export interface RateLimit {
  readonly count: number
  readonly periodMs: number
}

/** Throws E_BAD_OPTION; `name` is the option it came from. */
export function rateOf(value: Rate, name: string): RateLimit {
  const match = /^(\d{1,7})\/([smhd])$/.exec(typeof value === 'string' ? value : '')
  const count = Number(match?.[1] ?? 0)
  if (match !== null && count >= 1 && count <= 1_000_000) {
    return { count, periodMs: periodsMs[match[2] as string] as number }
  }
  throw new LeveretError(
    'E_BAD_OPTION',
    `${name} is ${JSON.stringify(value)}: write how many in which time, such as '10/s', '100/m', '5/h', '1/d'`,
  )
}

/** The same text, checked. */
export function rateText(value: Rate, name: string): string {
  rateOf(value, name)
  return value
}

/**
 * Says when the next one may go. The generic cell rate algorithm (ITU-T I.371, the virtual scheduling form): each one books an
 * emission interval of period / count, and may come early by what is left of the period, so that no more than the count go at
 * once after a pause, and the rate holds from there on.
 */
export class RateMeter {
  private readonly intervalMs: number
  private readonly toleranceMs: number
  /** The theoretical arrival time of the next one. */
  private nextMs = Number.NEGATIVE_INFINITY

  constructor({ count, periodMs }: RateLimit) {
    this.intervalMs = periodMs / count
    this.toleranceMs = periodMs - this.intervalMs
  }

  /** How long the next one has to wait, in ms; 0: not at all. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.nextMs - this.toleranceMs - nowMs)
  }

  /** One goes now. */
  take(nowMs: number): void {
    this.nextMs = Math.max(this.nextMs, nowMs) + this.intervalMs
  }
}
