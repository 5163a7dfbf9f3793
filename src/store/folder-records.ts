/** What a record says, in words for people, and which messages it is about. */
import { ByteReader, ByteReaderError } from '../lib/byte-reader.ts'
import { Slab } from '../lib/slab.ts'
import { recordTypeRetained, recordTypeSynced } from '../log/frame.ts'
import { BrokerError } from '../model/errors.ts'
import { namespaces } from '../model/namespaces.ts'
import { bodyName } from './body-file.ts'
import type { Note } from './notes.ts'
import { forEachRoute, PublishNames, readMessage } from './publish-record.ts'
import { readRanges } from './range-list.ts'
import { decodeNote, decodeTopology, isPublish, recordTypes, type TopologyRecord } from './record.ts'
import { accessText, isAccessRecord } from './record-access.ts'

/** A message as a queue has it. */
export interface Route {
  readonly queueId: number
  readonly sequence: number
}

export interface RecordParts {
  readonly type: number
  readonly buffer: Buffer
  readonly payloadStart: number
  readonly headerEnd: number
  readonly payloadEnd: number
}

export type NameOf = (queueId: number) => string

const rangesShown = 8
const routesShown = 16
const bodyBytesShown = 60

export function typeName(type: number): string {
  if (type === recordTypeRetained) return 'RETAINED'
  if (type === recordTypeSynced) return 'SYNCED'
  const known = Object.entries(recordTypes).find(([, number]) => number === type)
  return known === undefined ? `type ${type}` : known[0].toUpperCase()
}

/** The queues and sequences that a PUBLISH record names. Throws ByteReaderError or RangeError on other bytes. */
export function routesOf({ buffer, payloadStart, headerEnd }: RecordParts): Route[] {
  const routes: Route[] = []
  forEachRoute(buffer, payloadStart, headerEnd, (queueId, sequence) => routes.push({ queueId, sequence }))
  return routes
}

/** As `routesOf`, for bytes that may be anything: none if they are no routes. */
export function routesIfAny(parts: RecordParts): Route[] {
  if (!isPublish(parts.type)) return []
  try {
    return routesOf(parts)
  } catch (error) {
    if (isUnreadable(error)) return []
    throw error
  }
}

/** What the record says, on one line. */
export function describeRecord(parts: RecordParts, nameOf: NameOf): string {
  try {
    return describe(parts, nameOf)
  } catch (error) {
    if (isUnreadable(error)) return `cannot be understood: ${error.message}`
    throw error
  }
}

/** Text that a terminal may be shown. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '\u{fffd}')
}

/** The beginning of a body: as text if it is some. */
export function preview(body: Buffer): string {
  if (body.length === 0) return ''
  const start = body.subarray(0, bodyBytesShown)
  const more = body.length > start.length ? '…' : ''
  const text = start.toString()
  // A character may be cut in two at the end.
  if (text.slice(0, -1).includes('\u{fffd}')) return `${start.toString('hex')}${more} (hex)`
  return `${printable(text)}${more}`
}

export function rangesText(ranges: readonly number[]): string {
  const parts: string[] = []
  for (let at = 0; at < ranges.length && parts.length < rangesShown; at += 2) {
    const [start, end] = [ranges[at] as number, ranges[at + 1] as number]
    parts.push(start === end ? String(start) : `${start}–${end}`)
  }
  const more = ranges.length / 2 - parts.length
  return parts.join(', ') + (more > 0 ? ` and ${more} more ranges` : '')
}

export function topologyText(record: TopologyRecord): string {
  const host = record.virtualHost === '/' ? '' : ` of ${record.virtualHost}`
  if (isAccessRecord(record)) return printable(accessText(record))
  switch (record.type) {
    case 'exchange-declared':
      return printable(`exchange ${record.name}${host} declared, ${record.kind}`)
    case 'exchange-deleted':
      return printable(`exchange ${record.name}${host} deleted`)
    case 'queue-declared':
      return printable(`queue ${record.name}${host} declared, number ${record.queueId}`)
    case 'queue-deleted':
      return printable(`queue ${record.name}${host} deleted, number ${record.queueId}`)
    case 'bound':
    case 'unbound': {
      const { source, destinationKind, destination, routingKey } = record
      return printable(`${destinationKind} ${destination}${host} ${record.type}: ${source} with key '${routingKey}'`)
    }
  }
}

export function noteText({ namespace, key, value, expiresAt }: Note): string {
  const name = Object.entries(namespaces).find(([, { id }]) => id === namespace)?.[0] ?? `namespace ${namespace}`
  return printable(`${name}: '${key}' is '${value}' until ${expiresAt} ms`)
}

function describe(parts: RecordParts, nameOf: NameOf): string {
  const { type, buffer, payloadStart, payloadEnd } = parts
  const reader = new ByteReader(buffer, payloadStart, payloadEnd)
  switch (type) {
    case recordTypes.publish:
    case recordTypes.referring:
      return publishText(parts, nameOf)
    case recordTypes.settled: {
      const queue = nameOf(reader.u32le())
      reader.u8()
      return printable(`${queue}: ${rangesText(readRanges(reader))}`)
    }
    case recordTypes.topology:
      return topologyText(decodeTopology(reader))
    case recordTypes.purged: {
      const queue = nameOf(reader.u32le())
      const before = reader.varint()
      const held = readRanges(reader)
      return printable(`${queue}: all before ${before}${held.length > 0 ? ` but ${rangesText(held)}` : ''}`)
    }
    case recordTypes.delivered:
      return printable(`${nameOf(reader.u32le())}: ${rangesText(readRanges(reader))}`)
    case recordTypes.snapshot:
      return `next queue number ${reader.varint()}`
    case recordTypes.live: {
      const queue = nameOf(reader.u32le())
      return printable(`${queue}: next ${reader.varint()}, live ${rangesText(readRanges(reader))}`)
    }
    case recordTypes.note:
      return noteText(decodeNote(reader))
    case recordTypes.clean:
      return `end of opening ${reader.varint()}`
    case recordTypeRetained: {
      const ids: number[] = []
      for (let at = payloadStart; at + 12 <= payloadEnd; at += 12) ids.push(buffer.readUInt32LE(at))
      return `segments ${ids.join(', ')}`
    }
    default:
      return ''
  }
}

function publishText(parts: RecordParts, nameOf: NameOf): string {
  const { type, buffer, payloadStart, headerEnd, payloadEnd } = parts
  const refers = type === recordTypes.referring
  const message = readMessage(new PublishNames(), new Slab(), buffer, payloadStart, headerEnd, payloadEnd, refers)
  const routes = routesOf(parts)
  const shown = routes.slice(0, routesShown).map(({ queueId, sequence }) => `${nameOf(queueId)} #${sequence}`)
  if (routes.length > shown.length) shown.push(`${routes.length - shown.length} more`)
  const to = shown.length === 0 ? 'no queue on disk' : shown.join(', ')
  const via = message.exchange === '' ? '' : ` from exchange ${message.exchange} with key '${message.routingKey}'`
  return `${printable(`to ${to}${via}`)}, ${message.bodyBytes} bytes: ${refers ? `in body/${bodyName(message.bodyId)}` : preview(message.body)}`
}

function isUnreadable(error: unknown): error is Error {
  return error instanceof ByteReaderError || error instanceof RangeError || error instanceof BrokerError
}
