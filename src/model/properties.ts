/**
 * The 14 message properties of AMQP 0-9-1's basic class, as the bytes that travel in a content header:
 *
 *     flags u16be (bit 15 = content-type … bit 2 = cluster-id, bit 0 = another flags word follows), then the present ones
 *     in order: content-type, content-encoding (short strings), headers (table), delivery-mode, priority (octets),
 *     correlation-id, reply-to, expiration, message-id (short strings), timestamp (u64be, seconds), type, user-id,
 *     app-id, cluster-id (short strings)
 *
 * These bytes are the one form a message's properties have on the wire, in the log and in memory: passing them on
 * untouched is cheapest and keeps every type tag. They are decoded only where somebody looks.
 */
import { ByteReader, ByteReaderError } from '../lib/byte-reader.ts'
import { ByteWriter } from '../lib/byte-writer.ts'
import { BrokerError } from './errors.ts'
import { emptyTable, type FieldTable, forEachPair, readTable, writePairs, writeTable } from './field-table.ts'
import { limits } from './limits.ts'

export interface Properties {
  contentType?: string
  contentEncoding?: string
  headers?: FieldTable
  /** 1 = transient, 2 = persistent; absent = transient. */
  deliveryMode?: number
  priority?: number
  correlationId?: string
  replyTo?: string
  /** Milliseconds, in decimal digits. */
  expiration?: string
  messageId?: string
  /** Seconds since 1970. */
  timestamp?: number
  type?: string
  userId?: string
  appId?: string
  clusterId?: string
}

/** In wire order: the bit of the flags word, and how the value is written. */
const fields: readonly (readonly [keyof Properties, string, number, 'text' | 'table' | 'octet' | 'time'])[] = [
  ['contentType', 'content-type', 0x8000, 'text'],
  ['contentEncoding', 'content-encoding', 0x4000, 'text'],
  ['headers', 'headers', 0x2000, 'table'],
  ['deliveryMode', 'delivery-mode', 0x1000, 'octet'],
  ['priority', 'priority', 0x0800, 'octet'],
  ['correlationId', 'correlation-id', 0x0400, 'text'],
  ['replyTo', 'reply-to', 0x0200, 'text'],
  ['expiration', 'expiration', 0x0100, 'text'],
  ['messageId', 'message-id', 0x0080, 'text'],
  ['timestamp', 'timestamp', 0x0040, 'time'],
  ['type', 'type', 0x0020, 'text'],
  ['userId', 'user-id', 0x0010, 'text'],
  ['appId', 'app-id', 0x0008, 'text'],
  ['clusterId', 'cluster-id', 0x0004, 'text'],
]

// The bits that `scanProperties` names: it runs for every publish and so does not walk the table.
const CONTENT_TYPE = 0x8000
const CONTENT_ENCODING = 0x4000
const HEADERS = 0x2000
const DELIVERY_MODE = 0x1000
const PRIORITY = 0x0800
const CORRELATION_ID = 0x0400
const REPLY_TO = 0x0200
const EXPIRATION = 0x0100
const TIMESTAMP = 0x0040
const USER_ID = 0x0010
const CLUSTER_ID = 0x0004
/** No property of AMQP's: the broker's own mark that it wrote the x-death among the headers. Never on the wire. */
const DIED = 0x0002
/** The largest number there is below 2^64, which a timestamp of all ones would be rounded to. */
const timeMax = 2 ** 64 - 2048
/** All properties behind priority. */
const AFTER_PRIORITY = 0x07fc

/** Property bytes that say nothing: no flag is set. */
export const emptyProperties: Buffer = Buffer.from([0, 0])

/** What the broker must know of every message, as bits; the priority stands above them. */
export const traits = {
  /** It asks for persistence. */
  persistent: 1,
  /** It has an expiration. */
  expires: 2,
  /** It names a user. */
  namesUser: 4,
  /** Its headers may ask for copies to other keys: CC or BCC. A guess. */
  mayCopy: 8,
  /** Its headers may ask for more: x-leveret-key, -delay, -idempotency-key, or x-delay. A guess. */
  mayAsk: 16,
  /** Its body is elsewhere; see message.ts. */
  refers: 32,
  /** The broker wrote the x-death among its headers. */
  died: 64,
  /** Its headers may have BCC, which no receiver is shown. A guess. */
  mayHide: 128,
  /** Its reply-to may be amq.rabbitmq.reply-to. A guess. */
  mayReplyDirectly: 256,
  /** Its sender may want to be told what becomes of it: x-leveret-receipt. A guess. */
  mayTell: 512,
  /** Its priority holds in a queue without priorities, too: x-leveret-priority. Nobody looks closer. */
  ranks: 1024,
} as const

export const priorityShift = 12

/** `amq.rabbitmq.reply-to`: a message that names it is answered without a queue. */
export const directReplyTo = 'amq.rabbitmq.reply-to'

/**
 * Checks that `buffer[start, end)` is a whole property list and returns its traits. It runs for each publish, so it skips
 * what it need not read.
 */
export function scanProperties(buffer: Buffer, start: number, end: number): number {
  if (end - start < 2) throw malformed()
  const flags = ((buffer[start] as number) << 8) | (buffer[start + 1] as number)
  if ((flags & 1) !== 0) throw malformed()
  let at = start + 2
  let found = flags & DIED ? traits.died : 0
  if (flags & CONTENT_TYPE) at += 1 + (at < end ? (buffer[at] as number) : 0)
  if (flags & CONTENT_ENCODING) at += 1 + (at < end ? (buffer[at] as number) : 0)
  if (flags & HEADERS) {
    if (at + 4 > end) throw malformed()
    const headersEnd = at + 4 + buffer.readUInt32BE(at)
    if (headersEnd > end) throw malformed()
    found |= scanHeaders(buffer, at + 4, headersEnd)
    at = headersEnd
  }
  if (flags & DELIVERY_MODE) {
    if (at < end && buffer[at] === 2) found |= traits.persistent
    at += 1
  }
  if (flags & PRIORITY) {
    if (at < end) found |= (buffer[at] as number) << priorityShift
    at += 1
  }
  if (flags & AFTER_PRIORITY) {
    for (let bit = CORRELATION_ID; bit >= CLUSTER_ID; bit >>>= 1) {
      if ((flags & bit) === 0) continue
      if (bit === TIMESTAMP) at += 8
      else if (at < end) {
        const size = buffer[at] as number
        if (bit === REPLY_TO && size === directReplyTo.length) found |= traits.mayReplyDirectly
        at += 1 + size
      } else throw malformed()
    }
  }
  if (at !== end) throw malformed()
  if (flags & EXPIRATION) found |= traits.expires
  return flags & USER_ID ? found | traits.namesUser : found
}

/** Looks for names that matter, wherever they stand: a value that looks like one costs a decoding, no more. */
function scanHeaders(buffer: Buffer, start: number, end: number): number {
  let found = 0
  for (let at = start; at < end; at++) {
    const octet = buffer[at]
    // C C, behind its length; or behind a B and that length.
    if (octet === 0x43 && buffer[at + 1] === 0x43) {
      if (buffer[at - 1] === 2) found |= traits.mayCopy
      else if (buffer[at - 1] === 0x42 && buffer[at - 2] === 3) found |= traits.mayCopy | traits.mayHide
    } else if (octet === 0x78 && buffer[at + 1] === 0x2d) {
      // x-l, and where x-leveret- ends a d, an i or a k, an r, or a p; or x-de, as in x-delay
      const initial = buffer[at + 2]
      if (initial === 0x6c) {
        const own = buffer[at + 10]
        if (own === 0x64 || own === 0x69 || own === 0x6b) found |= traits.mayAsk
        // r e c, of -receipt and not of -reply-to
        else if (own === 0x72 && buffer[at + 12] === 0x63) found |= traits.mayTell
        // p r i, of a name with 18 octets
        else if (own === 0x70 && buffer[at + 12] === 0x69 && buffer[at - 1] === 18) found |= traits.ranks
      } else if (initial === 0x64 && buffer[at + 3] === 0x65 && buffer[at + 4] === 0x6c) found |= traits.mayAsk
    }
  }
  return found
}

/** Takes the broker's own mark from property bytes that leave it. */
export function hideMark(buffer: Buffer, start: number): void {
  buffer[start + 1] = (buffer[start + 1] as number) & ~DIED
}

/** Whether the property bytes carry the broker's own mark, which nobody else may set. */
export function isMarked(buffer: Buffer, start: number): boolean {
  return ((buffer[start + 1] as number) & DIED) !== 0
}

/** Marks property bytes: the x-death among the headers is the broker's own. */
export function markDied(properties: Buffer): Buffer {
  properties[1] = (properties[1] as number) | DIED
  return properties
}

function malformed(): BrokerError {
  return new BrokerError('SYNTAX_ERROR', 'the content header does not hold the properties its flags announce')
}

/** Throws SYNTAX_ERROR for bytes that are no property list. */
export function decodeProperties(buffer: Buffer, start = 0, end: number = buffer.length): Properties {
  const reader = new ByteReader(buffer, start, end)
  const properties: Record<string, unknown> = {}
  try {
    const flags = reader.u16be()
    for (const [key, , bit, kind] of fields) {
      if ((flags & bit) === 0) continue
      if (kind === 'text') properties[key] = reader.utf8(reader.u8())
      else if (kind === 'octet') properties[key] = reader.u8()
      else if (kind === 'time') properties[key] = reader.u64be()
      else properties[key] = readTable(reader)
    }
  } catch (error) {
    if (error instanceof ByteReaderError) throw malformed()
    throw error
  }
  return properties as Properties
}

/** What is to be different in property bytes. */
export interface PropertyChange {
  /** Headers that go. */
  readonly without?: readonly string[]
  /** Headers that take the place of those of their name, or come at the end. */
  readonly headers?: FieldTable
  readonly replyTo?: string
  readonly withoutExpiration?: boolean
}

/**
 * The same properties but for that change. All else is copied octet by octet, header by header: text that is no UTF-8, a
 * timestamp beyond 2^53, or the tag of a number would not survive decoding. Throws SYNTAX_ERROR for bytes that are no
 * property list.
 */
export function changeProperties(source: Buffer, change: PropertyChange): Buffer {
  const reader = new ByteReader(source)
  const writer = new ByteWriter(source.length + 256)
  const { headers = emptyTable, replyTo, withoutExpiration = false } = change
  try {
    const flags = reader.u16be()
    const added = (headers.size > 0 ? HEADERS : 0) | (replyTo === undefined ? 0 : REPLY_TO)
    writer.u16be((flags | added) & ~(withoutExpiration ? EXPIRATION : 0))
    for (const [, name, bit, kind] of fields) {
      const isThere = (flags & bit) !== 0
      const start = reader.at
      if (isThere && bit !== HEADERS) skip(reader, kind)
      if (bit === HEADERS) changeHeaders(isThere ? reader : null, writer, headers, change.without ?? [])
      else if (bit === REPLY_TO && replyTo !== undefined) shortString(writer, name, replyTo)
      else if (bit !== EXPIRATION || !withoutExpiration) writer.bytes(source.subarray(start, reader.at))
    }
  } catch (error) {
    if (error instanceof ByteReaderError) throw malformed()
    throw error
  }
  return writer.toBuffer()
}

function skip(reader: ByteReader, kind: 'text' | 'table' | 'octet' | 'time'): void {
  if (kind === 'text') reader.bytes(reader.u8())
  else reader.bytes(kind === 'octet' ? 1 : 8)
}

/** `reader` null: there was no table. */
function changeHeaders(
  reader: ByteReader | null,
  writer: ByteWriter,
  added: FieldTable,
  without: readonly string[],
): void {
  if (reader === null && added.size === 0) return
  const lengthAt = writer.length
  writer.u32be(0)
  const left = new Map(added)
  if (reader !== null) {
    forEachPair(reader, (key, pair) => {
      const instead = left.get(key)
      if (instead !== undefined) writePairs(writer, new Map([[key, instead]]))
      else if (!without.includes(key) && !added.has(key)) writer.bytes(pair)
      left.delete(key)
    })
  }
  writePairs(writer, left)
  writer.buffer.writeUInt32BE(writer.length - lengthAt - 4, lengthAt)
}

/** Throws SYNTAX_ERROR for a short string beyond 255 bytes. */
export function encodeProperties(properties: Properties): Buffer {
  const writer = new ByteWriter(64)
  let flags = 0
  writer.u16be(0)
  for (const [key, name, bit, kind] of fields) {
    const value = properties[key]
    if (value === undefined) continue
    flags |= bit
    if (kind === 'text') shortString(writer, name, value as string)
    else if (kind === 'octet') writer.u8(value as number)
    else if (kind === 'time') writer.u64be(Math.min(value as number, timeMax))
    else writeTable(writer, value as FieldTable)
  }
  writer.buffer.writeUInt16BE(flags, 0)
  return writer.toBuffer()
}

function shortString(writer: ByteWriter, name: string, value: string): void {
  const size = Buffer.byteLength(value)
  if (size > limits.nameBytesMax) {
    throw new BrokerError('SYNTAX_ERROR', `the property ${name} has ${size} bytes, at most ${limits.nameBytesMax} fit`)
  }
  writer.u8(size)
  writer.reserve(size)
  writer.length += writer.buffer.write(value, writer.length, size, 'utf8')
}
