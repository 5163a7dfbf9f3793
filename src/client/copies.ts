/**
 * The messages a worker makes: copies for another attempt, dead letters, and answers to reply_to. They are ordinary AMQP,
 * so that any client can have sent what is copied and can read what is answered.
 */

import type { PlainValue } from '../model/field-table.ts'
import { Message } from '../model/message.ts'
import { encodeProperties, type Properties } from '../model/properties.ts'
import { type Encoded, jsonType } from './body.ts'
import { headerNames, integerHeader, type OutcomeWord, textHeader, withHeaders } from './headers.ts'

export interface Failure {
  readonly text: string
  /** The attempt that failed; 1 = the first. */
  readonly attempt: number
  readonly realtimeMs: number
}

/** For the next attempt, back into its own queue. */
export function retryCopy(message: Message, properties: Properties, queue: string, failure: Failure): Message {
  return copyTo(message, properties, queue, {
    [headerNames.attempt]: failure.attempt + 1,
    [headerNames.error]: failure.text,
    [headerNames.firstTime]: firstTime(properties, failure),
  })
}

export function deadLetter(
  message: Message,
  properties: Properties,
  queue: string,
  target: string,
  failure: Failure,
): Message {
  const { replyTo, ...rest } = properties
  return copyTo(message, rest, target, {
    [headerNames.attempt]: undefined,
    [headerNames.attempts]: failure.attempt,
    [headerNames.error]: failure.text,
    [headerNames.firstTime]: firstTime(properties, failure),
    [headerNames.queue]: queue,
    [headerNames.replyTo]: replyTo,
  })
}

/** Whether the sender waits for that word: who only knows reply_to waits for the outcome. */
export function wantsAnswer(properties: Properties, word: 'delivered' | 'processed'): boolean {
  if (properties.replyTo === undefined || properties.replyTo === '') return false
  const wanted = textHeader(properties.headers, headerNames.receipt)
  return wanted === undefined ? word === 'processed' : wanted.split(',').includes(word)
}

/** A worker has begun. */
export function deliveredAnswer(properties: Properties): Message {
  return answer(properties, { contentType: jsonType, body: '' }, { [headerNames.outcome]: 'delivered' })
}

/** The result, as the body. */
export function resultAnswer(properties: Properties, result: Encoded): Message {
  return answer(properties, result, { [headerNames.outcome]: 'processed' })
}

/** It was given up. The body says so too, for a client that looks at no header. */
export function failureAnswer(properties: Properties, word: OutcomeWord, text: string): Message {
  const body = JSON.stringify({ error: text })
  return answer(properties, { contentType: jsonType, body }, { [headerNames.outcome]: word, [headerNames.error]: text })
}

function answer(
  request: Properties,
  content: Encoded,
  headers: { readonly [name: string]: PlainValue | undefined },
): Message {
  const properties: Properties = { contentType: content.contentType, headers: withHeaders(undefined, headers) }
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
    ...changes,
    // CC and BCC make a broker route to further queues: they did so for the original, and must not for each copy.
    CC: undefined,
    BCC: undefined,
    // So it is with the delay.
    [headerNames.delay]: undefined,
    // A broker refuses a user_id that is not the publisher's own.
    ...(userId === undefined ? {} : { [headerNames.user]: userId }),
  })
  return Message.of('', queue, encodeProperties({ ...rest, headers }), message.body)
}

function firstTime(properties: Properties, failure: Failure): number {
  return integerHeader(properties.headers, headerNames.firstTime) ?? Math.floor(failure.realtimeMs)
}
