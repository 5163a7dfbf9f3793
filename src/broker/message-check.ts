/**
 * What a message asks of the broker in its properties, and what can be wrong with that before anybody routes it.
 */
import { crc32 } from '../lib/crc32.ts'
import { BrokerError } from '../model/errors.ts'
import { type Field, type FieldTable, typeName } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import type { Message } from '../model/message.ts'
import type { Grants } from './grants.ts'

/** Ten years, as in RabbitMQ. */
const expirationMsMax = 315_360_000_000
const delayMsMax = expirationMsMax
/** What a copy of a message has, and no message that is new. */
const copyHeaders = [
  'x-leveret-attempt',
  'x-leveret-queue',
  'x-leveret-outcome',
  'x-leveret-redriven',
  'x-death',
] as const

/** The header that an exchange of type x-delayed-message looks at. */
export const exchangeDelay = 'x-delay'

/** Throws PRECONDITION_FAILED. `grants` are those of who logged in; null for the host process, which may speak for anybody. */
export function checkMessage(message: Message, grants: Grants | null): void {
  const key = message.routingKey
  // A code unit is at most three bytes, so short keys need no counting. In process nobody else has looked at it.
  if (key.length * 3 > limits.nameBytesMax && Buffer.byteLength(key) > limits.nameBytesMax) {
    const size = Buffer.byteLength(key)
    throw refused(`the routing key has ${size} bytes, at most ${limits.nameBytesMax} fit`)
  }
  if (message.namesUser && grants !== null) checkUser(message, grants)
  if (message.expires) expirationMs(message)
  if (message.mayCopy) copyKeysOf(message)
  if (message.mayAsk) {
    delayMs(message)
    idempotencyKeyOf(message)
    idempotencyWindowMs(message)
  }
}

/** How long the message says it may wait, in ms. Throws PRECONDITION_FAILED if it says nothing that makes sense. */
export function expirationMs(message: Message): number {
  const text = message.decodeProperties().expiration ?? ''
  const digits = /^[+-]?\d+/.exec(text)?.[0] ?? ''
  const ms = Number(digits)
  if (digits !== '' && digits.length === text.length && ms >= 0 && ms <= expirationMsMax) return ms
  throw refused(`invalid expiration '${text}': ${expirationFault(text, digits)}`)
}

/** RabbitMQ's words, which are Erlang's. */
function expirationFault(text: string, digits: string): string {
  if (digits === '') return 'no_integer'
  if (digits.length < text.length) return `{leftover_string,${JSON.stringify(text.slice(digits.length))}}`
  const value = BigInt(digits.replace('+', ''))
  return value < 0n ? `{value_negative,${value}}` : `{value_too_large,${value}}`
}

/** How long the message is to be hidden (header x-leveret-delay), in ms. Throws PRECONDITION_FAILED if that makes no sense. */
export function delayMs(message: Message): number {
  const field = message.decodeProperties().headers?.get('x-leveret-delay')
  if (field === undefined) return 0
  const { value } = field
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= delayMsMax) return value
  const shown = typeof value === 'number' || typeof value === 'string' ? String(value) : `a field of type ${field.tag}`
  throw refused(`invalid x-leveret-delay '${shown}': an integer of milliseconds from 0 to ${delayMsMax} is wanted`)
}

/**
 * How long an exchange is to keep the message back (header x-delay), in ms; 0 if it says nothing, or nothing that is a time to
 * wait. Throws PRECONDITION_FAILED for more than ten years.
 */
export function exchangeDelayMs(message: Message): number {
  const value = message.decodeProperties().headers?.get(exchangeDelay)?.value
  if (typeof value !== 'number' || value <= 0) return 0
  if (value <= delayMsMax) return Math.ceil(value)
  throw refused(`invalid x-delay '${value}': at most ${delayMsMax} milliseconds`)
}

/**
 * The key under which the message counts as the same one (header x-leveret-idempotency-key); null if it has none, or is
 * a copy that somebody made of a message that was taken: another attempt, or a dead letter. Throws PRECONDITION_FAILED if it
 * is not text of 1 to 255 bytes.
 */
export function idempotencyKeyOf(message: Message): string | null {
  const { headers } = message.decodeProperties()
  const field = headers?.get('x-leveret-idempotency-key')
  if (field === undefined) return null
  const { value } = field
  if (typeof value !== 'string')
    throw refused(`invalid x-leveret-idempotency-key: text is wanted, not type ${field.tag}`)
  const size = Buffer.byteLength(value)
  const sizeMax = limits.idempotencyKeyBytesMax
  if (size === 0 || size > sizeMax) {
    throw refused(`invalid x-leveret-idempotency-key: it has ${size} bytes, and 1 to ${sizeMax} are wanted`)
  }
  return copyHeaders.some((name) => headers?.has(name)) ? null : value
}

/** The key of messages of which only the last is wanted (header x-leveret-debounce-key); null: it has none, or is a copy. */
export function debounceKeyOf(message: Message): string | null {
  const { headers } = message.decodeProperties()
  const value = headers?.get('x-leveret-debounce-key')?.value
  if (typeof value !== 'string' || value === '') return null
  return copyHeaders.some((name) => headers?.has(name)) ? null : value
}

/** For how long that key counts (header x-leveret-idempotency-window), in ms; null: as long as usual. */
export function idempotencyWindowMs(message: Message): number | null {
  const field = message.decodeProperties().headers?.get('x-leveret-idempotency-window')
  if (field === undefined) return null
  const { value } = field
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= delayMsMax) return value
  const shown = typeof value === 'number' || typeof value === 'string' ? String(value) : `a field of type ${field.tag}`
  throw refused(
    `invalid x-leveret-idempotency-window '${shown}': an integer of milliseconds from 1 to ${delayMsMax} is wanted`,
  )
}

/** Whether it answers a message (header x-leveret-outcome). */
export function isAnswer(message: Message): boolean {
  return message.decodeProperties().headers?.has('x-leveret-outcome') === true
}

/** The hash of the message's key (header x-leveret-key, text or bytes); 0 if it has none. */
export function keyHashOf(message: Message): number {
  const value = message.decodeProperties().headers?.get('x-leveret-key')?.value
  if (typeof value !== 'string' && !Buffer.isBuffer(value)) return 0
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Math.max(1, crc32(bytes, 0, bytes.length, 0))
}

function checkUser(message: Message, grants: Grants): void {
  const named = message.decodeProperties().userId
  if (named === grants.user || grants.hasTag('impersonator')) return
  throw refused(`user_id property set to '${named}' but authenticated user was '${grants.user}'`)
}

/**
 * The keys that the message goes to beside its own: the texts in the arrays of its headers CC and BCC. Throws
 * PRECONDITION_FAILED if one of these is no array.
 *
 * A message that a queue got rid of carries what it was published with, but was published anew: it keeps its further keys
 * if it kept its own.
 */
export function copyKeysOf(message: Message): readonly string[] {
  const { headers } = message.decodeProperties()
  if (headers === undefined || (message.died && lastKeyOf(headers) !== message.routingKey)) return []
  return [...keysIn(headers, 'CC'), ...keysIn(headers, 'BCC')]
}

function keysIn(headers: FieldTable, name: string): string[] {
  const field = headers.get(name)
  if (field === undefined) return []
  if (field.tag !== 'A') throw refused(`invalid message: {unacceptable_type_in_header,"${name}",${typeName(field)}}`)
  return (field.value as readonly Field[]).filter(({ tag }) => tag === 'S').map(({ value }) => value as string)
}

/** The key that the message had when a queue last got rid of it. */
function lastKeyOf(headers: FieldTable): unknown {
  const events = headers.get('x-death')?.value as readonly Field[] | undefined
  const latest = events?.[0]?.value as FieldTable | undefined
  const keys = latest?.get('routing-keys')?.value as readonly Field[] | undefined
  return keys?.[0]?.value
}

function refused(text: string): BrokerError {
  return new BrokerError('PRECONDITION_FAILED', text)
}
