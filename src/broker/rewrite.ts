/**
 * The few messages that do not leave as they came: each of these gives one with other properties and the same body.
 */
import { BrokerError } from '../model/errors.ts'
import { emptyTable, type Field, type FieldTable, type FieldTag } from '../model/field-table.ts'
import { gatheredHeader } from '../model/gathering.ts'
import type { Message } from '../model/message.ts'
import { changeProperties, directReplyTo, type PropertyChange } from '../model/properties.ts'
import { exchangeDelay } from './message-check.ts'

/** The message as it leaves the exchange that kept it back: the delay is negated, so that no other keeps it back again. */
export function undelayed(message: Message): Message {
  const field = message.decodeProperties().headers?.get(exchangeDelay)
  if (typeof field?.value !== 'number') return message
  // What has no sign gets one.
  const tag = signedTags.get(field.tag) ?? field.tag
  return changed(message, { headers: new Map([[exchangeDelay, { tag, value: -field.value }]]) })
}

/** The parent as it goes on to its queue, with the name of the queue where the answers are. */
export function gathered(message: Message, answers: string, to: string): Message {
  const headers = new Map<string, Field>([[gatheredHeader, { tag: 'S', value: answers }]])
  return message.copy('', to, changeProperties(message.propertyBytes, { headers }))
}

const signedTags: ReadonlyMap<FieldTag, FieldTag> = new Map([
  ['B', 's'],
  ['u', 'I'],
  ['i', 'l'],
  ['T', 'l'],
])

/**
 * What a receiver is to see of a message that was handed out so often, this time included; 0: it is not told. `told` are headers
 * of the broker's own.
 */
export function shown(message: Message, deliveryCount: number, told: FieldTable | null = null): Message {
  if (!message.mayHide && deliveryCount <= 1 && told === null) return message
  const count: Field = { tag: 'l', value: deliveryCount - 1 }
  try {
    const headers = new Map<string, Field>(told ?? emptyTable)
    if (deliveryCount > 1) headers.set('x-delivery-count', count)
    // The keys in BCC are for the broker alone.
    return changed(message, { without: ['BCC'], headers })
  } catch (error) {
    // Headers that nobody can read cannot be added to, and hide nothing: nobody could have read them here either.
    if (error instanceof BrokerError) return message
    throw error
  }
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
  return changed(message, { replyTo })
}

function changed(message: Message, change: PropertyChange): Message {
  return message.copy(message.exchange, message.routingKey, changeProperties(message.propertyBytes, change))
}
