/**
 * The headers that carry what AMQP has no property for. Other languages may read and write them; docs/protocol.md is the
 * place where they are explained.
 */
import { BrokerError, LeveretError } from '../model/errors.ts'
import { type Field, type FieldTable, fromField, type PlainValue, toField } from '../model/field-table.ts'
import { clientLimits } from './client-limits.ts'

export const headerNames = {
  /** What the sender wants to hear at reply_to: 'processed' or 'delivered,processed'. */
  receipt: 'x-leveret-receipt',
  /** In a reply: see OutcomeWord. A reply without it is a result. */
  outcome: 'x-leveret-outcome',
  /** Why the last attempt failed, as text. */
  error: 'x-leveret-error',
  /** Of the answer to a call: the name and the code of what was thrown. */
  errorName: 'x-leveret-error-name',
  errorCode: 'x-leveret-error-code',
  /** The number of the attempt that this copy is for: absent for the first, 2 for the second. */
  attempt: 'x-leveret-attempt',
  /** In a dead letter: how many attempts there were. */
  attempts: 'x-leveret-attempts',
  /** Milliseconds since 1970 when the first attempt failed. */
  firstTime: 'x-leveret-first-time',
  /** In a dead letter: the queue it was in. */
  queue: 'x-leveret-queue',
  /** In a dead letter: the reply_to it had, so that handling the dead letter answers nobody a second time. */
  replyTo: 'x-leveret-reply-to',
  /** True: its AMQP priority holds in a queue without `x-max-priority`, too. */
  priority: 'x-leveret-priority',
  /** How long the broker is to hide it, in ms. */
  delay: 'x-leveret-delay',
  /** In a request for another attempt: the tag of the delivery. */
  delivery: 'x-leveret-delivery',
  /** Messages with the same one keep their order. */
  key: 'x-leveret-key',
  /** A queue takes one message with that key within a time. */
  idempotencyKey: 'x-leveret-idempotency-key',
  /** That time, in ms; absent: an hour. */
  idempotencyWindow: 'x-leveret-idempotency-window',
  /** A later message with that key takes the place of one that is still hidden. */
  debounceKey: 'x-leveret-debounce-key',
  /** Milliseconds since 1970 from when on it is of no use any more. */
  deadline: 'x-leveret-deadline',
  /** How often it came back from a dead-letter queue. What it is, its idempotency key has said before. */
  redriven: 'x-leveret-redriven',
  /** In a reply `progress`: how much is done, from 0 to 1. */
  progress: 'x-leveret-progress',
  /** In a reply `duplicate`: the id of the message that was taken before. */
  firstId: 'x-leveret-first-id',
  /** In a dead letter and a copy: what went wrong before, the latest last, as JSON. */
  history: 'x-leveret-history',
  /** In a copy or dead letter of an event: the event's name, which its routing key no longer is. */
  event: 'x-leveret-event',
  /** Of what a schedule publishes: its name, and milliseconds since 1970 when that was due. */
  schedule: 'x-leveret-schedule',
  scheduledAt: 'x-leveret-scheduled-at',
  /** In a copy: the user_id it had, which a broker lets nobody else set. */
  user: 'x-leveret-user',
} as const

/** What a sender is told. The last four end it. */
export type OutcomeWord =
  | 'taken'
  | 'duplicate'
  | 'delivered'
  | 'progress'
  | 'processed'
  | 'failed'
  | 'dead-lettered'
  | 'expired'

/** The header as text, or undefined. */
export function textHeader(headers: FieldTable | undefined, name: string): string | undefined {
  const value = headers?.get(name)?.value
  return typeof value === 'string' ? value : undefined
}

/** The header as an integer, or undefined. */
export function integerHeader(headers: FieldTable | undefined, name: string): number | undefined {
  const value = headers?.get(name)?.value
  return typeof value === 'number' && Number.isInteger(value) ? value : undefined
}

/** A copy of the table with other headers; undefined removes one. */
export function withHeaders(
  headers: FieldTable | undefined,
  changes: { readonly [name: string]: PlainValue | undefined },
): Map<string, Field> {
  const table = new Map<string, Field>(headers ?? [])
  for (const name of Object.keys(changes)) {
    const value = changes[name]
    if (value === undefined) table.delete(name)
    else table.set(name, toField(value))
  }
  return table
}

export function plainHeaders(headers: FieldTable | undefined): { [name: string]: PlainValue } {
  const values = Object.create(null) as { [name: string]: PlainValue }
  if (headers !== undefined) for (const [name, field] of headers) values[name] = fromField(field)
  return values
}

/** Text that somebody gave as a reason, as far as it fits into a header. */
export function headerText(text: string): string {
  return text.length <= clientLimits.errorTextMax ? text : `${text.slice(0, clientLimits.errorTextMax - 1)}…`
}

/** What a handler threw, as text that fits into a header. */
export function errorText(error: unknown): string {
  return headerText(sayError(error))
}

/** What was thrown, as an error. */
export function asError(thrown: unknown): Error {
  try {
    if (thrown instanceof Error) return thrown
  } catch {
    // Somebody's proxy.
  }
  return new Error(errorText(thrown))
}

/** What was thrown, or an error in its place if looking at it throws. */
export function asThrown(thrown: unknown): unknown {
  try {
    if (thrown instanceof Error) String(thrown.name + thrown.message)
    return thrown
  } catch {
    return new Error('threw something that cannot be shown')
  }
}

/** Whatever it is: getters and proxies that throw must not hide that something was thrown. */
function sayError(error: unknown): string {
  try {
    if (error instanceof LeveretError || error instanceof BrokerError) return error.message
    return error instanceof Error ? `${error.name}: ${error.message}` : `threw ${describe(error)}`
  } catch {
    return 'threw something that cannot be shown'
  }
}

function describe(value: unknown): string {
  try {
    return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  } catch {
    return String(value)
  }
}
