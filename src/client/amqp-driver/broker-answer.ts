/** What a Leveret answers in JSON, checked: it comes from another process, maybe of another version. */

import { countOf, flagOf, type JsonValues, objectOf, wordOf } from '../../lib/json-values.ts'
import type { JsonObject } from '../../model/administration.ts'
import type { QueueCounters, QueueInfo, Reply } from '../../model/command.ts'
import {
  cancelledAnswer,
  definitionsAnswer,
  errorAnswer,
  messagesAnswer,
  okAnswer,
  queuesAnswer,
  schedulesAnswer,
} from '../../model/control-exchange.ts'
import { deliveryTimes, durabilityLevels } from '../../model/durability.ts'
import { BrokerError, type ReplyCode, replyCodes } from '../../model/errors.ts'
import { type Field, type PlainValue, toTable } from '../../model/field-table.ts'
import type { Message } from '../../model/message.ts'
import { readMessages } from './peeked-answer.ts'
import { readFlow } from './queue-flow-answer.ts'
import { readSchedules } from './schedules-answer.ts'

/** The queue named `own` is the one the answer came to: to whoever asked it is not there. */
export function readAnswer(message: Message, own: string): Reply | BrokerError {
  try {
    const { type } = message.decodeProperties()
    const value: unknown = JSON.parse(message.body.toString())
    if (type === errorAnswer) return readError(value)
    if (type === okAnswer) return { type: 'ok' }
    if (type === cancelledAnswer) return { type, count: countOf(objectOf(value, 'the answer'), 'count') }
    if (type === messagesAnswer) return readMessages(value)
    if (type === definitionsAnswer) return { type, definitions: objectOf(value, 'definitions') as JsonObject }
    if (type === schedulesAnswer) return readSchedules(value)
    if (type !== queuesAnswer) return misunderstood(`its type is '${type ?? ''}'`)
    if (!Array.isArray(value)) return misunderstood('it is no array')
    const queues = value.map(readQueue).filter(({ name }) => name !== own)
    return { type: queuesAnswer, queues }
  } catch (error) {
    return misunderstood(error instanceof Error ? error.message : String(error))
  }
}

function readError(value: unknown): BrokerError {
  const { code, text } = objectOf(value, 'the error')
  const isKnown = typeof code === 'string' && Object.hasOwn(replyCodes, code)
  const reason = typeof text === 'string' ? text : 'the broker gave no reason'
  return new BrokerError(isKnown ? (code as ReplyCode) : 'INTERNAL_ERROR', reason)
}

function readQueue(value: unknown): QueueInfo {
  const queue = objectOf(value, 'a queue')
  const { name, arguments: table } = queue
  if (typeof name !== 'string') throw new Error('a queue has no name')
  const durable = flagOf(queue, 'durable')
  return {
    name,
    durable,
    durability: wordOrUsual(queue, 'durability', durabilityLevels, durable ? 'fsync' : 'none'),
    deliverAfter: wordOrUsual(queue, 'deliverAfter', deliveryTimes, 'accept'),
    exclusive: flagOf(queue, 'exclusive'),
    autoDelete: flagOf(queue, 'autoDelete'),
    paused: queue['paused'] === undefined ? false : flagOf(queue, 'paused'),
    arguments: fieldsOf(table),
    ready: countOf(queue, 'ready'),
    readyBytes: countOf(queue, 'readyBytes'),
    unacked: countOf(queue, 'unacked'),
    delayed: countOf(queue, 'delayed'),
    consumers: countOf(queue, 'consumers'),
    counters: countersOf(queue['counters']),
    flow: queue['flow'] == null ? null : readFlow(queue['flow']),
  }
}

function countersOf(value: unknown): QueueCounters {
  const counters = objectOf(value, 'counters')
  return {
    published: countOf(counters, 'published'),
    publishedBytes: countOf(counters, 'publishedBytes'),
    delivered: countOf(counters, 'delivered'),
    deliveredBytes: countOf(counters, 'deliveredBytes'),
    redelivered: countOf(counters, 'redelivered'),
    settled: countOf(counters, 'settled'),
    settledBytes: countOf(counters, 'settledBytes'),
    expired: countOf(counters, 'expired'),
    dropped: countOf(counters, 'dropped'),
    refused: countOf(counters, 'refused'),
    deadLettered: countOf(counters, 'deadLettered'),
  }
}

/** What JSON made of the tags is lost: an integer is the widest one, bytes are text. */
function fieldsOf(value: unknown): (readonly [string, Field])[] {
  return [...toTable(objectOf(value, 'arguments') as { readonly [key: string]: PlainValue })]
}

/** A broker that does not say it knows only the `usual`. */
function wordOrUsual<Word>(object: JsonValues, key: string, words: readonly Word[], usual: Word): Word {
  return object[key] === undefined ? usual : wordOf(object, key, words)
}

function misunderstood(reason: string): BrokerError {
  return new BrokerError('INTERNAL_ERROR', `the broker's answer cannot be understood: ${reason}`)
}
