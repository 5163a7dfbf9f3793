/**
 * The messages a worker makes: copies for another attempt, dead letters, and answers to reply_to. They are ordinary AMQP,
 * so that any client can have sent what is copied and can read what is answered.
 */

import { controlExchange, retryKey } from '../model/control-exchange.ts'
import { type FieldTable, type PlainValue, toTable } from '../model/field-table.ts'
import { Message } from '../model/message.ts'
import { encodeProperties, type Properties } from '../model/properties.ts'
import { type Encoded, jsonType } from './body.ts'
import type { RemoteError } from './call-errors.ts'
import { eventExchange } from './event-exchange.ts'
import { headerNames, headerText, integerHeader, type OutcomeWord, textHeader, withHeaders } from './headers.ts'

/** Of the attempts that a copy tells of. */
const historyMax = 10
/** Characters of each error. */
const historyErrorMax = 300
/** Characters of an error's name and code. */
const nameMax = 200
/** How long a word that is of interest only now waits for its sender. */
const passingAnswerMs = 60_000

export interface Failure {
  readonly text: string
  /** The attempt that failed; 1 = the first. */
  readonly attempt: number
  readonly realtimeMs: number
}

/**
 * For the next attempt, back into its own queue. `delayMs`: the broker hides it so long; 0: not at all. Of no use beyond its
 * deadline, it does not wait beyond it either.
 */
export function retryCopy(
  message: Message,
  properties: Properties,
  queue: string,
  failure: Failure,
  delayMs: number,
): Message {
  const deadlineMs = integerHeader(properties.headers, headerNames.deadline)
  const leftMs = deadlineMs === undefined ? null : Math.max(0, deadlineMs - Math.ceil(failure.realtimeMs) - delayMs)
  const timed = leftMs === null ? properties : { ...properties, expiration: String(leftMs) }
  return copyTo(message, timed, queue, {
    [headerNames.attempt]: failure.attempt + 1,
    [headerNames.error]: headerText(failure.text),
    [headerNames.history]: historyWith(properties, failure),
    [headerNames.firstTime]: firstTime(properties, failure),
    ...(delayMs > 0 ? { [headerNames.delay]: delayMs } : {}),
  })
}

/**
 * For the next attempt at its old place, so that those of its key wait: the broker takes the delivery back for so long. It
 * stands for the acknowledgement, too.
 */
export function retryRequest(tag: number, properties: Properties, failure: Failure, delayMs: number): Message {
  const headers = withHeaders(undefined, {
    [headerNames.delivery]: tag,
    [headerNames.delay]: delayMs,
    [headerNames.attempt]: failure.attempt + 1,
    [headerNames.error]: headerText(failure.text),
    [headerNames.history]: historyWith(properties, failure),
    [headerNames.firstTime]: firstTime(properties, failure),
  })
  return Message.of(controlExchange, retryKey, encodeProperties({ headers }), Buffer.alloc(0))
}

/** Back to its place for so long, without an attempt being counted. */
export function postponeRequest(tag: number, { headers }: Properties, delayMs: number): Message {
  const kept = withHeaders(undefined, { [headerNames.delivery]: tag, [headerNames.delay]: delayMs })
  for (const name of [headerNames.attempt, headerNames.error, headerNames.history, headerNames.firstTime]) {
    const value = headers?.get(name)
    if (value !== undefined) kept.set(name, value)
  }
  return Message.of(controlExchange, retryKey, encodeProperties({ headers: kept }), Buffer.alloc(0))
}

/** Back into its own queue as one that nobody had: for the request of a call, which is not worked on if it comes back. */
export function untouchedCopy(message: Message, properties: Properties, queue: string, realtimeMs: number): Message {
  const deadlineMs = integerHeader(properties.headers, headerNames.deadline)
  const leftMs = deadlineMs === undefined ? null : Math.max(0, deadlineMs - Math.ceil(realtimeMs))
  return copyTo(message, leftMs === null ? properties : { ...properties, expiration: String(leftMs) }, queue, {})
}

export function deadLetter(
  message: Message,
  properties: Properties,
  queue: string,
  target: string,
  failure: Failure,
): Message {
  // Its time was over, or is of no account any more: it waits for people.
  const { replyTo, expiration: _, ...rest } = properties
  return copyTo(message, rest, target, {
    [headerNames.attempt]: undefined,
    [headerNames.attempts]: failure.attempt,
    [headerNames.error]: headerText(failure.text),
    [headerNames.history]: historyWith(properties, failure),
    [headerNames.firstTime]: firstTime(properties, failure),
    [headerNames.queue]: queue,
    [headerNames.replyTo]: replyTo,
  })
}

/** Whether the sender waits for that word: who only knows reply_to waits for the outcome. */
export function wantsAnswer(properties: Properties, word: 'delivered' | 'progress' | 'processed'): boolean {
  if (properties.replyTo === undefined || properties.replyTo === '') return false
  const wanted = textHeader(properties.headers, headerNames.receipt)
  return wanted === undefined ? word === 'processed' : wanted.split(',').includes(word)
}

/** The argument of a consumer that answers its senders by itself. */
export const answersItself: FieldTable = toTable({ 'x-leveret-answers': true })

/**
 * A worker also says how many messages it works on at once, for what it holds beyond that still waits (null: it does not know
 * beforehand), and an answerer that calls which are not durable are over with it.
 */
export function workerArguments(concurrency: number | null, isCall: boolean): FieldTable {
  return toTable({
    'x-leveret-answers': true,
    ...(concurrency === null ? {} : { 'x-leveret-concurrency': concurrency }),
    ...(isCall ? { 'x-leveret-once': true } : {}),
  })
}

/** A worker has begun. */
export function deliveredAnswer(request: Properties, queue: string): Message {
  return passingAnswer(request, queue, { [headerNames.outcome]: 'delivered' })
}

/** So much is done, from 0 to 1. */
export function progressAnswer(request: Properties, queue: string, share: number): Message {
  return passingAnswer(request, queue, { [headerNames.outcome]: 'progress', [headerNames.progress]: share })
}

/** The result, as the body. */
export function resultAnswer(request: Properties, queue: string, result: Encoded): Message {
  return answer(request, queue, result, { [headerNames.outcome]: 'processed' }, { deliveryMode: 2 })
}

/** It was given up. The body says so too, for a client that looks at no header. `told`: what a caller hears of what was thrown. */
export function failureAnswer(
  request: Properties,
  queue: string,
  word: OutcomeWord,
  text: string,
  told: RemoteError | null = null,
): Message {
  const content = { contentType: jsonType, body: JSON.stringify({ error: text, ...(told && { data: told.data }) }) }
  const headers = {
    [headerNames.outcome]: word,
    [headerNames.error]: headerText(text),
    ...(told && {
      [headerNames.errorName]: told.name.slice(0, nameMax),
      [headerNames.errorCode]: told.code?.slice(0, nameMax),
    }),
  }
  return answer(request, queue, content, headers, { deliveryMode: 2 })
}

/** Of interest while somebody listens, and not to fill an inbox. */
function passingAnswer(
  request: Properties,
  queue: string,
  headers: { readonly [name: string]: PlainValue | undefined },
): Message {
  const content = { contentType: jsonType, body: '' }
  return answer(request, queue, content, headers, { deliveryMode: 1, expiration: String(passingAnswerMs) })
}

function answer(
  request: Properties,
  queue: string,
  content: Encoded,
  headers: { readonly [name: string]: PlainValue | undefined },
  more: Properties,
): Message {
  const idempotencyKey = textHeader(request.headers, headerNames.idempotencyKey)
  const properties: Properties = {
    ...more,
    contentType: content.contentType,
    headers: withHeaders(undefined, {
      ...headers,
      [headerNames.queue]: queue,
      // With it the broker finds those who sent the same again.
      ...(idempotencyKey === undefined ? {} : { [headerNames.idempotencyKey]: idempotencyKey }),
    }),
  }
  // Without a correlation id its own id is the next best thing by which a sender can know what this answers.
  const correlationId = request.correlationId ?? request.messageId
  if (correlationId !== undefined) properties.correlationId = correlationId
  const body = typeof content.body === 'string' ? Buffer.from(content.body) : content.body
  return Message.of('', request.replyTo as string, encodeProperties(properties), body)
}

function copyTo(
  message: Message,
  properties: Properties,
  queue: string,
  changes: { readonly [name: string]: PlainValue | undefined },
): Message {
  const { userId, ...rest } = properties
  const headers = withHeaders(properties.headers, {
    // CC and BCC make a broker route to further queues: they did so for the original, and must not for each copy.
    CC: undefined,
    BCC: undefined,
    // So it is with the delay, and with what was said about when and how often it is taken.
    [headerNames.delay]: undefined,
    [headerNames.debounceKey]: undefined,
    ...(message.exchange === eventExchange ? { [headerNames.event]: message.routingKey } : {}),
    ...changes,
    // A broker refuses a user_id that is not the publisher's own.
    ...(userId === undefined ? {} : { [headerNames.user]: userId }),
  })
  return Message.of('', queue, encodeProperties({ ...rest, headers }), message.body)
}

function firstTime(properties: Properties, failure: Failure): number {
  return integerHeader(properties.headers, headerNames.firstTime) ?? Math.floor(failure.realtimeMs)
}

/** What went wrong, attempt by attempt, with the latest failure at the end. */
export interface FailedAttempt {
  readonly attempt: number
  readonly error: string
  /** Milliseconds since 1970. */
  readonly atMs: number
}

/** Only the last ones are kept: headers must fit into a frame. */
function historyWith(properties: Properties, { text, attempt, realtimeMs }: Failure): string {
  const error = text.length <= historyErrorMax ? text : `${text.slice(0, historyErrorMax - 1)}…`
  const history = [...historyOf(properties), { attempt, error, atMs: Math.floor(realtimeMs) }]
  return JSON.stringify(history.slice(-historyMax))
}

/** The failed attempts that the headers tell of, the oldest first; none if they tell of none. */
export function historyOf(properties: Properties): FailedAttempt[] {
  const text = textHeader(properties.headers, headerNames.history)
  if (text === undefined) return []
  try {
    const parsed: unknown = JSON.parse(text)
    return Array.isArray(parsed) ? parsed.filter(isFailedAttempt) : []
  } catch {
    return []
  }
}

function isFailedAttempt(value: unknown): value is FailedAttempt {
  if (typeof value !== 'object' || value === null) return false
  const { attempt, error, atMs } = value as { readonly [name: string]: unknown }
  return typeof attempt === 'number' && typeof error === 'string' && typeof atMs === 'number'
}
