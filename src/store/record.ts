/**
 * What the log says, record by record. A record is a fact in the past tense with every random or derived value resolved,
 * so that replaying it needs no decision.
 *
 * Payloads, little endian; text is UTF-8 behind a varint length, ranges as in range-list.ts, tables as in AMQP:
 *
 *     1  PUBLISH    exchange (u8 length, UTF-8) | routing key (u8 length, UTF-8) | route count u32
 *                   | routes: queue id u32, sequence u48, priority u8, flags u8
 *                             [expiry u48, ms since 1970, if flags has bit 0] [hash of the key u32, if bit 1]
 *                             [hidden until u48, ms since 1970, if bit 2]
 *                   | property bytes up to the record's header length | body
 *     2  SETTLED    queue id u32 | reason u8 (0 = settled by a consumer or purged) | ranges of sequences
 *     4  TOPOLOGY   operation u8 | its fields, see encodeTopology and record-access.ts
 *     5  PURGED     queue id u32 | next sequence varint | ranges of sequences below it that stay: consumers hold them
 *     6  DELIVERED  queue id u32 | ranges of live sequences that were handed out; written at a clean close
 *     7  NOTE       namespace u8 | expiry varint, ms since 1970 | key | value: both text; see notes.ts
 *     8  REFERRING  as PUBLISH; behind the header a reference to the body, see message.ts: it is in a file of its own
 *     12 SNAPSHOT   next queue id varint; the TOPOLOGY and LIVE records of its frame are then all there is
 *     13 LIVE       queue id u32 | next sequence varint | ranges of live sequences
 *     14 CLEAN      epoch varint; what DELIVERED does not name was never handed out up to the end of that opening
 *
 * A PUBLISH without routes is there for its content alone: entries refer to it that do not survive a restart.
 *
 * A snapshot makes every record before it unnecessary but the PUBLISH records that a LIVE range names: it is what allows
 * segments without live messages to be deleted anywhere in the log.
 */
import type { ByteReader } from '../lib/byte-reader.ts'
import type { ByteWriter } from '../lib/byte-writer.ts'
import { type FieldTable, readTable, writeTable } from '../model/field-table.ts'
import type { Note } from './notes.ts'
import { type AccessRecord, accessOperations, decodeAccess, encodeAccess, isAccessRecord } from './record-access.ts'

export const recordTypes = {
  publish: 1,
  settled: 2,
  topology: 4,
  purged: 5,
  delivered: 6,
  note: 7,
  referring: 8,
  snapshot: 12,
  live: 13,
  clean: 14,
} as const

/** A reader that does not know a record with this flag must refuse the folder. */
export const criticalFlag = 0x80

/** Bytes of one route in a PUBLISH record, without and with all that its flags can announce. */
export const routeBytes = 12
export const routeBytesMax = 28
export const routeExpires = 1
export const routeKeyed = 2
export const routeDelayed = 4

export type TopologyRecord =
  | {
      readonly type: 'exchange-declared'
      readonly virtualHost: string
      readonly name: string
      readonly kind: string
      readonly durable: boolean
      readonly autoDelete: boolean
      readonly internal: boolean
      readonly arguments: FieldTable
    }
  | { readonly type: 'exchange-deleted'; readonly virtualHost: string; readonly name: string }
  | {
      readonly type: 'queue-declared'
      readonly virtualHost: string
      readonly name: string
      readonly queueId: number
      readonly durable: boolean
      readonly autoDelete: boolean
      readonly arguments: FieldTable
    }
  | { readonly type: 'queue-deleted'; readonly virtualHost: string; readonly name: string; readonly queueId: number }
  | BindingRecord<'bound'>
  | BindingRecord<'unbound'>
  | AccessRecord

export interface BindingRecord<Type extends string> {
  readonly type: Type
  readonly virtualHost: string
  readonly source: string
  readonly destination: string
  readonly destinationKind: 'queue' | 'exchange'
  readonly routingKey: string
  readonly arguments: FieldTable
}

const operations = [
  'exchange-declared',
  'exchange-deleted',
  'queue-declared',
  'queue-deleted',
  'bound',
  'unbound',
  ...accessOperations,
] as const

export function encodeTopology(writer: ByteWriter, record: TopologyRecord): void {
  writer.u8(operations.indexOf(record.type) + 1)
  writer.text(record.virtualHost)
  if (isAccessRecord(record)) return encodeAccess(writer, record)
  switch (record.type) {
    case 'exchange-declared':
      writer.text(record.name)
      writer.text(record.kind)
      writer.u8((record.durable ? 1 : 0) | (record.autoDelete ? 2 : 0) | (record.internal ? 4 : 0))
      writeTable(writer, record.arguments)
      return
    case 'exchange-deleted':
      writer.text(record.name)
      return
    case 'queue-declared':
      writer.text(record.name)
      writer.varint(record.queueId)
      writer.u8((record.durable ? 1 : 0) | (record.autoDelete ? 2 : 0))
      writeTable(writer, record.arguments)
      return
    case 'queue-deleted':
      writer.text(record.name)
      writer.varint(record.queueId)
      return
    case 'bound':
    case 'unbound':
      writer.text(record.source)
      writer.text(record.destination)
      writer.u8(record.destinationKind === 'queue' ? 0 : 1)
      writer.text(record.routingKey)
      writeTable(writer, record.arguments)
  }
}

/** Throws ByteReaderError or RangeError on bytes that are no topology record. */
export function decodeTopology(reader: ByteReader): TopologyRecord {
  const type = operations[reader.u8() - 1]
  const virtualHost = reader.text()
  switch (type) {
    case 'exchange-declared': {
      const name = reader.text()
      const kind = reader.text()
      const bits = reader.u8()
      return {
        type,
        virtualHost,
        name,
        kind,
        durable: (bits & 1) !== 0,
        autoDelete: (bits & 2) !== 0,
        internal: (bits & 4) !== 0,
        arguments: readTable(reader),
      }
    }
    case 'exchange-deleted':
      return { type, virtualHost, name: reader.text() }
    case 'queue-declared': {
      const name = reader.text()
      const queueId = reader.varint()
      const bits = reader.u8()
      const table = readTable(reader)
      return {
        type,
        virtualHost,
        name,
        queueId,
        durable: (bits & 1) !== 0,
        autoDelete: (bits & 2) !== 0,
        arguments: table,
      }
    }
    case 'queue-deleted':
      return { type, virtualHost, name: reader.text(), queueId: reader.varint() }
    case 'bound':
    case 'unbound': {
      const source = reader.text()
      const destination = reader.text()
      const destinationKind = reader.u8() === 0 ? 'queue' : 'exchange'
      const routingKey = reader.text()
      return { type, virtualHost, source, destination, destinationKind, routingKey, arguments: readTable(reader) }
    }
    case undefined:
      throw new RangeError('a topology record with an operation that this version does not know')
    default:
      return decodeAccess(type, virtualHost, reader)
  }
}

/** Whether records of that type put a message into queues. */
export function isPublish(type: number): boolean {
  return type === recordTypes.publish || type === recordTypes.referring
}

export function encodeNote(writer: ByteWriter, { namespace, expiresAt, key, value }: Note): void {
  writer.u8(namespace)
  writer.varint(expiresAt)
  writer.text(key)
  writer.text(value)
}

export function decodeNote(reader: ByteReader): Note {
  return { namespace: reader.u8(), expiresAt: reader.varint(), key: reader.text(), value: reader.text(), logged: true }
}
