/** What a look at a queue shows, as JSON: an array that is cut where no message could hold more. docs/protocol.md has it. */
import type { LeveretMessages } from '../model/command.ts'
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Message } from '../model/message.ts'
import { plainProperties } from '../model/plain-properties.ts'
import type { PeekedMessage } from '../model/queue-command.ts'

export function peekedText({ messages, more }: LeveretMessages): string {
  const texts: string[] = []
  let bytes = '{"messages":[],"more":false}'.length
  for (const peeked of messages) {
    const text = JSON.stringify(plainMessage(peeked))
    bytes += Buffer.byteLength(text) + 1
    if (bytes >= limits.messageBytesMax) break
    texts.push(text)
  }
  return `{"messages":[${texts.join(',')}],"more":${more || texts.length < messages.length}}`
}

function plainMessage({ message, hasBody, ...facts }: PeekedMessage): object {
  const { exchange, routingKey } = message
  const body = hasBody ? message.body.toString('base64') : null
  return { ...facts, exchange, routingKey, properties: propertiesOf(message), body }
}

/** Null where they cannot be read. */
function propertiesOf(message: Message): object | null {
  try {
    return plainProperties(message.decodeProperties())
  } catch (error) {
    if (error instanceof BrokerError) return null
    throw error
  }
}
