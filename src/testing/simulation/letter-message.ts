/** A letter as a message, as it is sent, and what a message that was found says of the letter that it is. */
import { crc32 } from '../../lib/crc32.ts'
import type { Field, FieldTable } from '../../model/field-table.ts'
import { Message } from '../../model/message.ts'
import { encodeProperties, type Properties } from '../../model/properties.ts'
import { type Death, type DeathReason, delayExchange, type Letter } from './letter.ts'

const idPrefix = 'letter-'

/** For that queue, by the exchange that delays if the letter is to be kept back. */
export function messageOf(letter: Letter, queue: string): Message {
  const { id, key, expirationMs, wishes } = letter
  const { delayMs, keptBackMs, priority, isTransient } = wishes
  const properties: Properties = { messageId: `${idPrefix}${id}`, deliveryMode: isTransient ? 1 : 2 }
  if (priority > 0) properties.priority = priority
  const headers = new Map<string, Field>()
  if (key !== null) headers.set('x-leveret-key', { tag: 'S', value: key })
  if (delayMs > 0) headers.set('x-leveret-delay', { tag: 'l', value: delayMs })
  if (keptBackMs > 0) headers.set('x-delay', { tag: 'l', value: keptBackMs })
  if (headers.size > 0) properties.headers = headers
  if (expirationMs < Number.POSITIVE_INFINITY) properties.expiration = String(expirationMs)
  return Message.of(keptBackMs > 0 ? delayExchange : '', queue, encodeProperties(properties), bodyOf(letter))
}

/** NaN: it is no letter. */
export function idOf(message: Message): number {
  return Number(message.decodeProperties().messageId?.slice(idPrefix.length))
}

export function isUnharmed(message: Message, letter: Letter): boolean {
  return message.body.equals(bodyOf(letter))
}

/** What it was a dead letter of, the latest first. */
export function deathsOf(message: Message): Death[] {
  const events = (message.decodeProperties().headers?.get('x-death')?.value ?? []) as readonly Field[]
  return events.map(({ value }) => {
    const event = value as FieldTable
    return {
      queue: String(event.get('queue')?.value as string),
      reason: event.get('reason')?.value as DeathReason,
      count: Number(event.get('count')?.value),
    }
  })
}

/** Made of its number, so that whoever knows that knows the body. */
function bodyOf({ id, bodyBytes }: Letter): Buffer {
  const body = Buffer.alloc(bodyBytes)
  const seed = Buffer.from(String(id))
  for (let at = 0, word = crc32(seed, 0, seed.length, 0); at + 4 <= bodyBytes; at += 4) {
    body.writeUInt32LE(word, at)
    word = (Math.imul(word, 0x9e3779b1) + at) >>> 0
  }
  return body
}
