/**
 * Cron expressions: when, in the words of crontab(5). What understands them is injected, because time zones and their changes are a
 * package of their own, and most brokers never need one.
 */

export interface CronTimes {
  /** The first time after that one, both in ms since 1970; null: never again. */
  nextAfter(ms: number): number | null
}

export interface CronEngine {
  /** Throws an Error that says what is wrong with the expression, or with the time zone, which is one of IANA's. */
  compile(expression: string, timezone: string): CronTimes
}

/** Called once, when the first expression comes. */
export type LoadCronEngine = () => Promise<CronEngine>
