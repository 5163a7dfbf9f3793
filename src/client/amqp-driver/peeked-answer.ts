/** What a Leveret shows of a queue, out of JSON: see broker/peeked-text.ts and docs/protocol.md. */

import { countOf, flagOf, objectOf, textOf, wordOf } from '../../lib/json-values.ts'
import type { LeveretMessages } from '../../model/command.ts'
import { Message } from '../../model/message.ts'
import { readPlainProperties } from '../../model/plain-properties.ts'
import { encodeProperties } from '../../model/properties.ts'
import type { PeekedMessage } from '../../model/queue-command.ts'

const states = ['ready', 'delayed'] as const

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
  // Null: they could not be read.
  const properties = encodeProperties(readPlainProperties(peeked['properties'] ?? {}))
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
