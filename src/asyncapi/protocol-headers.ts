/** The headers of docs/protocol.md, as JSON Schema: what a program in another language finds in a message, and what it may set. */
import { headerNames } from '../client/headers.ts'
import type { JsonObject } from '../model/administration.ts'

const text = (description: string): JsonObject => ({ type: 'string', description })
const integer = (description: string): JsonObject => ({ type: 'integer', description })

/** None of them has to be there; others of one's own may be. */
export const messageHeaders: JsonObject = {
  type: 'object',
  description: 'Headers of a message in a queue. None of them has to be there.',
  properties: {
    [headerNames.receipt]: text(
      'What the sender wants to hear at reply_to, with commas between: duplicate, delivered, progress, processed.',
    ),
    [headerNames.attempt]: integer('This copy is for that attempt; absent for the first, 2 for the second.'),
    [headerNames.error]: text('Why the attempt before failed.'),
    [headerNames.deadline]: integer('Milliseconds since 1970: from then on nobody is to begin with it.'),
    [headerNames.key]: text('Messages with the same key keep their order in a queue with keys.'),
    [headerNames.delay]: integer('Hidden for so many milliseconds.'),
    [headerNames.idempotencyKey]: text('A queue takes one message with that key in an hour.'),
  },
}

export const replyHeaders: JsonObject = {
  type: 'object',
  description: 'Headers of a reply. One without any of them is a result.',
  properties: {
    [headerNames.outcome]: {
      type: 'string',
      enum: ['taken', 'duplicate', 'delivered', 'progress', 'processed', 'failed', 'dead-lettered', 'expired'],
      description: 'The body is the result if it is processed, or not there. The last four end the conversation.',
    },
    [headerNames.error]: text('For failed, dead-lettered and expired: why.'),
    [headerNames.errorName]: text(
      'Of an answer that failed: the name of what was thrown, that of the contract for a declared error.',
    ),
    [headerNames.errorCode]: text('Of an answer that failed: its code, if it had one.'),
    [headerNames.queue]: text('The queue the message was in.'),
    [headerNames.progress]: { type: 'number', minimum: 0, maximum: 1, description: 'For progress: how much is done.' },
  },
}
