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
import { type FieldTable, readTable, writeTable } from './field-table.ts'
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
const EXPIRATION = 0x0100
const TIMESTAMP = 0x0040
const USER_ID = 0x0010
const CLUSTER_ID = 0x0004
/** All properties behind priority. */
const AFTER_PRIORITY = 0x07fc

/** Property bytes that say nothing: no flag is set. */
export const emptyProperties: Buffer = Buffer.from([0, 0])

/**
 * Checks that `buffer[start, end)` is a whole property list and says what the broker must know of every message: bit 0,
 * it asks for persistence; bit 1, it has an expiration; bit 2, it names a user; bit 3, its headers may ask for copies to
 * other keys (CC, BCC); bit 4, its headers may ask for more (x-leveret-key, -delay, -idempotency-key); from bit 8 on, its
 * priority. It runs for each publish, so it skips what it need not read.
 */
export function scanProperties(buffer: Buffer, start: number, end: number): number {
  if (end - start < 2) throw malformed()
  const flags = ((buffer[start] as number) << 8) | (buffer[start + 1] as number)
  if ((flags & 1) !== 0) throw malformed()
  let at = start + 2
  let persistent = false
  let mayCopy = false
  let mayAsk = false
  let priority = 0
  if (flags & CONTENT_TYPE) at += 1 + (at < end ? (buffer[at] as number) : 0)
  if (flags & CONTENT_ENCODING) at += 1 + (at < end ? (buffer[at] as number) : 0)
  if (flags & HEADERS) {
    if (at + 4 > end) throw malformed()
    const headersEnd = at + 4 + buffer.readUInt32BE(at)
    if (headersEnd > end) throw malformed()
    for (at += 4; at < headersEnd; at++) {
      const octet = buffer[at]
      if (octet === 0x43 && buffer[at + 1] === 0x43) mayCopy = true
      // 'x-l', and where x-leveret- ends a 'd', an 'i' or a 'k'
      else if (octet === 0x78 && buffer[at + 1] === 0x2d && buffer[at + 2] === 0x6c) {
        const initial = buffer[at + 10]
        if (initial === 0x64 || initial === 0x69 || initial === 0x6b) mayAsk = true
      }
    }
  }
  if (flags & DELIVERY_MODE) {
    persistent = at < end && buffer[at] === 2
    at += 1
  }
  if (flags & PRIORITY) {
    priority = at < end ? (buffer[at] as number) : 0
    at += 1
  }
  if (flags & AFTER_PRIORITY) {
    for (let bit = CORRELATION_ID; bit >= CLUSTER_ID; bit >>>= 1) {
      if ((flags & bit) === 0) continue
      if (bit === TIMESTAMP) at += 8
      else if (at < end) at += 1 + (buffer[at] as number)
      else throw malformed()
    }
  }
  if (at !== end) throw malformed()
  const traits = (persistent ? 1 : 0) | (flags & EXPIRATION ? 2 : 0) | (flags & USER_ID ? 4 : 0)
  return traits | (mayCopy ? 8 : 0) | (mayAsk ? 16 : 0) | (priority << 8)
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
    else if (kind === 'time') writer.u64be(value as number)
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
