/**
 * The few messages that do not leave as they came: each of these gives one with other properties and the same body.
 */
import { BrokerError } from '../model/errors.ts'
import type { FieldTag } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import { directReplyTo, type PropertyChanges, rewriteProperties } from '../model/properties.ts'
import { exchangeDelay } from './message-check.ts'

/** The message as it leaves the exchange that kept it back: the delay is negated, so that no other keeps it back again. */
export function undelayed(message: Message): Message {
  const headers = new Map(message.decodeProperties().headers)
  const field = headers.get(exchangeDelay)
  if (typeof field?.value !== 'number') return message
  // What has no sign gets one.
  const tag = signedTags.get(field.tag) ?? field.tag
  headers.set(exchangeDelay, { tag, value: -field.value })
  return rewritten(message, { headers })
}

const signedTags: ReadonlyMap<FieldTag, FieldTag> = new Map([
  ['B', 's'],
  ['u', 'I'],
  ['i', 'l'],
  ['T', 'l'],
])

/** What a receiver is to see of a message that was handed out so often, this time included; 0: it is not told. */
export function shown(message: Message, deliveryCount: number): Message {
  if (!message.mayHide && deliveryCount <= 1) return message
  try {
    const headers = new Map(message.decodeProperties().headers)
    // The keys in BCC are for the broker alone.
    const isHiding = headers.delete('BCC')
    if (deliveryCount > 1) headers.set('x-delivery-count', { tag: 'l', value: deliveryCount - 1 })
    else if (!isHiding) return message
    return rewritten(message, { headers })
  } catch (error) {
    // Headers that nobody can read are passed on as they are.
    if (error instanceof BrokerError) return message
    throw error
  }
}

/**
 * The message with the name where its answers go, if it asks to be answered directly. Throws PRECONDITION_FAILED if it does and
 * `replyTo` is null: nobody waits for answers there.
 */
export function withReplyTo(message: Message, replyTo: string | null): Message {
  if (message.decodeProperties().replyTo !== directReplyTo) return message
  if (replyTo === null) {
    throw new BrokerError('PRECONDITION_FAILED', 'fast reply consumer does not exist')
  }
  return rewritten(message, { replyTo })
}

function rewritten(message: Message, changes: PropertyChanges): Message {
  return message.copy(message.exchange, message.routingKey, rewriteProperties(message.propertyBytes, changes))
}
