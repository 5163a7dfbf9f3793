/** What a handler returns instead of a result when the message is not done: values, not exceptions. */
import type { Duration } from './duration.ts'

/** Try again. Counts as an attempt, so it cannot go on for ever. */
export class RetryLater {
  readonly after: Duration | undefined

  constructor(after: Duration | undefined) {
    this.after = after
  }
}

/** Nobody can process it: to the dead-letter queue at once. */
export class GiveUp {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

export type Settlement = RetryLater | GiveUp
