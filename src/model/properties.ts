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

const CONTENT_TYPE = 0x8000
const CONTENT_ENCODING = 0x4000
const HEADERS = 0x2000
const DELIVERY_MODE = 0x1000
const PRIORITY = 0x0800
const CORRELATION_ID = 0x0400
const REPLY_TO = 0x0200
const EXPIRATION = 0x0100
const MESSAGE_ID = 0x0080
const TIMESTAMP = 0x0040
const TYPE = 0x0020
const USER_ID = 0x0010
const APP_ID = 0x0008
const CLUSTER_ID = 0x0004

/** Property bytes that say nothing: no flag is set. */
export const emptyProperties: Buffer = Buffer.from([0, 0])

/**
 * Checks that `buffer[start, end)` is a whole property list and says what the broker must know of every message: bit 0,
 * it asks for persistence; bit 1, it has an expiration. It runs for each publish, so it skips what it need not read.
 */
export function scanProperties(buffer: Buffer, start: number, end: number): number {
  if (end - start < 2) throw malformed()
  const flags = ((buffer[start] as number) << 8) | (buffer[start + 1] as number)
  if ((flags & 1) !== 0) throw malformed()
  let at = start + 2
  let persistent = false
  if (flags & CONTENT_TYPE) at += 1 + (buffer[at] as number)
  if (flags & CONTENT_ENCODING) at += 1 + (at < end ? (buffer[at] as number) : 0)
  if (flags & HEADERS) {
    if (at + 4 > end) throw malformed()
    at += 4 + buffer.readUInt32BE(at)
  }
  if (flags & DELIVERY_MODE) {
    persistent = at < end && buffer[at] === 2
    at += 1
  }
  if (flags & PRIORITY) at += 1
  if (flags & 0x07fc) {
    for (let bit = CORRELATION_ID; bit >= CLUSTER_ID; bit >>>= 1) {
      if ((flags & bit) === 0) continue
      if (bit === TIMESTAMP) at += 8
      else if (at < end) at += 1 + (buffer[at] as number)
      else throw malformed()
    }
  }
  if (at !== end) throw malformed()
  return (persistent ? 1 : 0) | (flags & EXPIRATION ? 2 : 0)
}

function malformed(): BrokerError {
  return new BrokerError('SYNTAX_ERROR', 'the content header does not hold the properties its flags announce')
}

export function decodeProperties(buffer: Buffer, start = 0, end: number = buffer.length): Properties {
  const reader = new ByteReader(buffer, start, end)
  const properties: Properties = {}
  try {
    const flags = reader.u16be()
    if (flags & CONTENT_TYPE) properties.contentType = reader.utf8(reader.u8())
    if (flags & CONTENT_ENCODING) properties.contentEncoding = reader.utf8(reader.u8())
    if (flags & HEADERS) properties.headers = readTable(reader)
    if (flags & DELIVERY_MODE) properties.deliveryMode = reader.u8()
    if (flags & PRIORITY) properties.priority = reader.u8()
    if (flags & CORRELATION_ID) properties.correlationId = reader.utf8(reader.u8())
    if (flags & REPLY_TO) properties.replyTo = reader.utf8(reader.u8())
    if (flags & EXPIRATION) properties.expiration = reader.utf8(reader.u8())
    if (flags & MESSAGE_ID) properties.messageId = reader.utf8(reader.u8())
    if (flags & TIMESTAMP) properties.timestamp = reader.u64be()
    if (flags & TYPE) properties.type = reader.utf8(reader.u8())
    if (flags & USER_ID) properties.userId = reader.utf8(reader.u8())
    if (flags & APP_ID) properties.appId = reader.utf8(reader.u8())
    if (flags & CLUSTER_ID) properties.clusterId = reader.utf8(reader.u8())
  } catch (error) {
    if (error instanceof ByteReaderError) throw malformed()
    throw error
  }
  return properties
}

/** Throws SYNTAX_ERROR for a short string beyond 255 bytes. */
export function encodeProperties(properties: Properties): Buffer {
  const writer = new ByteWriter(64)
  let flags = 0
  writer.u16be(0)
  if (properties.contentType !== undefined) {
    flags |= CONTENT_TYPE
    shortString(writer, 'content-type', properties.contentType)
  }
  if (properties.contentEncoding !== undefined) {
    flags |= CONTENT_ENCODING
    shortString(writer, 'content-encoding', properties.contentEncoding)
  }
  if (properties.headers !== undefined) {
    flags |= HEADERS
    writeTable(writer, properties.headers)
  }
  if (properties.deliveryMode !== undefined) {
    flags |= DELIVERY_MODE
    writer.u8(properties.deliveryMode)
  }
  if (properties.priority !== undefined) {
    flags |= PRIORITY
    writer.u8(properties.priority)
  }
  if (properties.correlationId !== undefined) {
    flags |= CORRELATION_ID
    shortString(writer, 'correlation-id', properties.correlationId)
  }
  if (properties.replyTo !== undefined) {
    flags |= REPLY_TO
    shortString(writer, 'reply-to', properties.replyTo)
  }
  if (properties.expiration !== undefined) {
    flags |= EXPIRATION
    shortString(writer, 'expiration', properties.expiration)
  }
  if (properties.messageId !== undefined) {
    flags |= MESSAGE_ID
    shortString(writer, 'message-id', properties.messageId)
  }
  if (properties.timestamp !== undefined) {
    flags |= TIMESTAMP
    writer.u64be(properties.timestamp)
  }
  if (properties.type !== undefined) {
    flags |= TYPE
    shortString(writer, 'type', properties.type)
  }
  if (properties.userId !== undefined) {
    flags |= USER_ID
    shortString(writer, 'user-id', properties.userId)
  }
  if (properties.appId !== undefined) {
    flags |= APP_ID
    shortString(writer, 'app-id', properties.appId)
  }
  if (properties.clusterId !== undefined) {
    flags |= CLUSTER_ID
    shortString(writer, 'cluster-id', properties.clusterId)
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
