/** What a Leveret shows of a queue, out of JSON: see broker/peeked-text.ts and docs/protocol.md. */
import type { LeveretMessages } from '../../model/command.ts'
import { type PlainValue, toTable } from '../../model/field-table.ts'
import { Message } from '../../model/message.ts'
import { encodeProperties, type Properties } from '../../model/properties.ts'
import type { PeekedMessage } from '../../model/queue-command.ts'
import { countOf, flagOf, objectOf, textOf, wordOf } from './json-values.ts'

const states = ['ready', 'delayed'] as const

const texts = [
  'contentType',
  'contentEncoding',
  'correlationId',
  'replyTo',
  'expiration',
  'messageId',
  'type',
  'userId',
  'appId',
  'clusterId',
] as const
const octets = ['deliveryMode', 'priority'] as const

export function readMessages(value: unknown): LeveretMessages {
  const answer = objectOf(value, 'the answer')
  const { messages } = answer
  if (!Array.isArray(messages)) throw new Error('messages is no array')
  return { type: 'leveret.messages', messages: messages.map(readMessage), more: flagOf(answer, 'more') }
}

function readMessage(value: unknown): PeekedMessage {
  const peeked = objectOf(value, 'a message')
  const hasBody = peeked['body'] !== null
  const body = Buffer.from(hasBody ? textOf(peeked, 'body') : '', 'base64')
  const properties = encodeProperties(readProperties(peeked['properties']))
  return {
    message: Message.of(textOf(peeked, 'exchange'), textOf(peeked, 'routingKey'), properties, body),
    hasBody,
    bodyBytes: countOf(peeked, 'bodyBytes'),
    sequence: countOf(peeked, 'sequence'),
    state: wordOf(peeked, 'state', states),
    dueAt: countOf(peeked, 'dueAt'),
    expiresAt: countOf(peeked, 'expiresAt'),
    deliveryCount: countOf(peeked, 'deliveryCount'),
  }
}

/** What JSON made of the tags of headers is lost: an integer is the widest one, bytes are text. */
function readProperties(value: unknown): Properties {
  const properties: Properties = {}
  // They could not be read.
  if (value === null) return properties
  const given = objectOf(value, 'properties')
  for (const name of texts) if (given[name] !== undefined) properties[name] = textOf(given, name)
  for (const name of octets) if (given[name] !== undefined) properties[name] = countOf(given, name) & 255
  if (given['timestamp'] !== undefined) properties.timestamp = Number(given['timestamp'])
  const { headers } = given
  if (headers !== undefined) properties.headers = toTable(objectOf(headers, 'headers') as Record<string, PlainValue>)
  return properties
}
