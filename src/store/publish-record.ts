/** The content of a PUBLISH record (record.ts) and how to get at it: recovery wants its routes, readers its message. */
import { ByteReader } from '../lib/byte-reader.ts'
import { copyRange } from '../lib/copy-range.ts'
import type { Slab } from '../lib/slab.ts'
import { Message, referenceBytes } from '../model/message.ts'
import { recordTypes, routeBytes, routeDelayed, routeExpires, routeKeyed } from './record.ts'

/** Exchange and routing key of the last record, as bytes and as the strings that its neighbours share. */
export class PublishNames {
  exchange = ''
  routingKey = ''
  private readonly names = Buffer.alloc(2 + 2 * 255)
  private bytes = 0

  read(reader: ByteReader): void {
    const { buffer, at } = reader
    const { names, bytes } = this
    if (bytes > 0 && reader.remaining >= bytes && buffer.compare(names, 0, bytes, at, at + bytes) === 0) {
      reader.at += bytes
      return
    }
    this.exchange = reader.utf8(reader.u8())
    this.routingKey = reader.utf8(reader.u8())
    this.bytes = reader.at - at
    buffer.copy(names, 0, at, reader.at)
  }
}

/** Moves the reader behind exchange and routing key. */
export function skipNames(reader: ByteReader): void {
  for (let left = 2; left > 0; left--) {
    const bytes = reader.u8()
    reader.need(bytes)
    reader.at += bytes
  }
}

/** Moves the reader behind the routes. */
export function skipRoutes(reader: ByteReader): void {
  const count = reader.u32le()
  for (let left = count; left > 0; left--) skipRoute(reader)
}

/** Moves the reader behind one route. */
export function skipRoute(reader: ByteReader): void {
  reader.need(routeBytes)
  const flags = reader.buffer[reader.at + routeBytes - 1] as number
  const bytes =
    routeBytes + (flags & routeExpires ? 6 : 0) + (flags & routeKeyed ? 4 : 0) + (flags & routeDelayed ? 6 : 0)
  reader.need(bytes)
  reader.at += bytes
}

export type VisitRoute = (
  queueId: number,
  sequence: number,
  priority: number,
  expiresAt: number,
  keyHash: number,
  dueAt: number,
) => void

/** Tells the routes of the record whose header is `buffer[payloadStart, headerEnd)`. Throws as `readMessage` does. */
export function forEachRoute(buffer: Buffer, payloadStart: number, headerEnd: number, visit: VisitRoute): void {
  const reader = new ByteReader(buffer, payloadStart, headerEnd)
  skipNames(reader)
  for (let left = reader.u32le(); left > 0; left--) {
    const { at } = reader
    skipRoute(reader)
    const flags = buffer[at + 11] as number
    const expiresAt = flags & routeExpires ? buffer.readUIntLE(at + routeBytes, 6) : 0
    const dueAt = flags & routeDelayed ? buffer.readUIntLE(reader.at - 6, 6) : 0
    const keyHash = flags & routeKeyed ? buffer.readUInt32LE(reader.at - (dueAt > 0 ? 10 : 4)) : 0
    visit(buffer.readUInt32LE(at), buffer.readUIntLE(at + 4, 6), buffer[at + 10] as number, expiresAt, keyHash, dueAt)
  }
}

/** How long the body is of the message in a record whose type stands at `typeAt`, wherever that body is. */
export function bodyBytesOf(buffer: Buffer, typeAt: number, headerEnd: number, payloadEnd: number): number {
  return buffer[typeAt] === recordTypes.referring ? buffer.readUIntLE(headerEnd + 6, 6) : payloadEnd - headerEnd
}

/**
 * The message in the payload `buffer[payloadStart, payloadEnd)`, its content copied to the slab. Throws ByteReaderError,
 * RangeError or BrokerError on bytes that are no PUBLISH record.
 */
export function readMessage(
  names: PublishNames,
  slab: Slab,
  buffer: Buffer,
  payloadStart: number,
  headerEnd: number,
  payloadEnd: number,
  refers = false,
): Message {
  const reader = new ByteReader(buffer, payloadStart, payloadEnd)
  names.read(reader)
  skipRoutes(reader)
  const contentAt = reader.at
  const propertiesBytes = headerEnd - contentAt
  if (propertiesBytes < 0) throw new RangeError('a PUBLISH record whose header ends inside its routes')
  const bytes = payloadEnd - contentAt
  const source = slab.take(bytes)
  const start = slab.offset
  copyRange(buffer, contentAt, payloadEnd, source, start)
  const bodyStart = start + propertiesBytes
  if (refers && bytes - propertiesBytes !== referenceBytes)
    throw new RangeError('a reference to a body of another size')
  return new Message(names.exchange, names.routingKey, source, start, bodyStart, bodyStart, start + bytes, true, refers)
}
