/**
 * The few messages that do not leave as they came: each of these gives one with other properties and the same body.
 */
import { BrokerError } from '../model/errors.ts'
import type { FieldTag } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import { directReplyTo, encodeProperties, markDied, type Properties } from '../model/properties.ts'
import { exchangeDelay } from './message-check.ts'

/** The message as it leaves the exchange that kept it back: the delay is negated, so that no other keeps it back again. */
export function undelayed(message: Message): Message {
  const properties = message.decodeProperties()
  const headers = new Map(properties.headers)
  const field = headers.get(exchangeDelay)
  if (typeof field?.value !== 'number') return message
  // What has no sign gets one.
  const tag = signedTags.get(field.tag) ?? field.tag
  headers.set(exchangeDelay, { tag, value: -field.value })
  return rewritten(message, { ...properties, headers })
}

const signedTags: ReadonlyMap<FieldTag, FieldTag> = new Map([
  ['B', 's'],
  ['u', 'I'],
  ['i', 'l'],
  ['T', 'l'],
])

/** What a receiver is to see of a message that was handed out so often, this time included; 0: it is not told. */
export function shown(message: Message, deliveryCount: number): Message {
  const visible = message.mayHide ? withoutHidden(message) : message
  return deliveryCount > 1 ? withDeliveryCount(visible, deliveryCount - 1) : visible
}

/** The keys in BCC are for the broker alone. */
function withoutHidden(message: Message): Message {
  const properties = message.decodeProperties()
  if (properties.headers?.has('BCC') !== true) return message
  const headers = new Map(properties.headers)
  headers.delete('BCC')
  return rewritten(message, { ...properties, headers })
}

/** It came back so often. */
function withDeliveryCount(message: Message, count: number): Message {
  const properties = message.decodeProperties()
  const headers = new Map(properties.headers)
  headers.set('x-delivery-count', { tag: 'l', value: count })
  return rewritten(message, { ...properties, headers })
}

/**
 * The message with the name where its answers go, if it asks to be answered directly. Throws PRECONDITION_FAILED if it does and
 * `replyTo` is null: nobody waits for answers there.
 */
export function withReplyTo(message: Message, replyTo: string | null): Message {
  const properties = message.decodeProperties()
  if (properties.replyTo !== directReplyTo) return message
  if (replyTo === null) {
    throw new BrokerError('PRECONDITION_FAILED', 'fast reply consumer does not exist')
  }
  return rewritten(message, { ...properties, replyTo })
}

function rewritten(message: Message, properties: Properties): Message {
  const encoded = encodeProperties(properties)
  return message.copy(message.exchange, message.routingKey, message.died ? markDied(encoded) : encoded)
}
