/** What a handler returns instead of a result when the message is not done: values, not exceptions. */
import { type Duration, durationMs } from './duration.ts'
import { checkOptionNames, checkText } from './names.ts'

interface RetryLaterOptions {
  readonly after?: Duration
}

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

  /** Throws E_BAD_OPTION: later, where it is put aside, nobody would hear of it. */
  constructor(reason: string) {
    checkText('context.deadLetter', 'the reason', reason)
    this.reason = reason
  }
}

/** What `context.retry` gives. Throws E_BAD_OPTION. */
export function retryLater(options: RetryLaterOptions): RetryLater {
  const where = 'context.retry'
  checkOptionNames(where, options, ['after'])
  if (options.after !== undefined) durationMs(options.after, `${where}: after`)
  return new RetryLater(options.after)
}

export type Settlement = RetryLater | GiveUp
