/**
 * Every method of AMQP 0-9-1 (with RabbitMQ's additions) in one table, and the codec that reads it.
 *
 *     method payload   class u16be, method u16be, then the fields in the order of the table
 *       octet u8 · short u16be · long u32be · longlong u64be · table (see model/field-table)
 *       shortstr  length u8, UTF-8 · longstr  length u32be, UTF-8 · bytes  length u32be, any octets
 *       bit       consecutive bits share octets, lowest bit first
 *
 * This is the control plane: plain objects, one per method. The few methods that come with every message are read and
 * written by hand (publish-decoder, delivery-encoder, settlement) because an object per message would cost too much; the
 * tests hold both against each other.
 */
import { ByteReader, ByteReaderError } from '../lib/byte-reader.ts'
import type { ByteWriter } from '../lib/byte-writer.ts'
import { BrokerError } from '../model/errors.ts'
import { type FieldTable, readTable, writeTable } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import { frameMethod } from './frame-reader.ts'
import { frameText, octetList } from './octet-text.ts'
import { readShortString } from './short-strings.ts'

/** What each field type is in JavaScript. Reserved fields are read over, written as zero and named nowhere. */
interface Values {
  octet: number
  short: number
  long: number
  longlong: number
  shortstr: string
  longstr: string
  bytes: Buffer
  table: FieldTable
  bit: boolean
}

type FieldType = keyof Values | 'reserved-short' | 'reserved-shortstr' | 'reserved-longstr' | 'reserved-bit'

interface MethodRow {
  readonly classId: number
  readonly methodId: number
  readonly fields: { readonly [name: string]: FieldType }
}

export const methods = {
  'connection.start': {
    classId: 10,
    methodId: 10,
    fields: {
      versionMajor: 'octet',
      versionMinor: 'octet',
      serverProperties: 'table',
      mechanisms: 'longstr',
      locales: 'longstr',
    },
  },
  'connection.start-ok': {
    classId: 10,
    methodId: 11,
    fields: { clientProperties: 'table', mechanism: 'shortstr', response: 'bytes', locale: 'shortstr' },
  },
  'connection.secure': { classId: 10, methodId: 20, fields: { challenge: 'bytes' } },
  'connection.secure-ok': { classId: 10, methodId: 21, fields: { response: 'bytes' } },
  'connection.tune': {
    classId: 10,
    methodId: 30,
    fields: { channelMax: 'short', frameMax: 'long', heartbeat: 'short' },
  },
  'connection.tune-ok': {
    classId: 10,
    methodId: 31,
    fields: { channelMax: 'short', frameMax: 'long', heartbeat: 'short' },
  },
  'connection.open': {
    classId: 10,
    methodId: 40,
    fields: { virtualHost: 'shortstr', capabilities: 'reserved-shortstr', insist: 'reserved-bit' },
  },
  'connection.open-ok': { classId: 10, methodId: 41, fields: { knownHosts: 'reserved-shortstr' } },
  'connection.close': {
    classId: 10,
    methodId: 50,
    fields: { replyCode: 'short', replyText: 'shortstr', classId: 'short', methodId: 'short' },
  },
  'connection.close-ok': { classId: 10, methodId: 51, fields: {} },
  'connection.blocked': { classId: 10, methodId: 60, fields: { reason: 'shortstr' } },
  'connection.unblocked': { classId: 10, methodId: 61, fields: {} },
  'connection.update-secret': { classId: 10, methodId: 70, fields: { newSecret: 'bytes', reason: 'shortstr' } },
  'connection.update-secret-ok': { classId: 10, methodId: 71, fields: {} },

  'channel.open': { classId: 20, methodId: 10, fields: { outOfBand: 'reserved-shortstr' } },
  'channel.open-ok': { classId: 20, methodId: 11, fields: { channelId: 'reserved-longstr' } },
  'channel.flow': { classId: 20, methodId: 20, fields: { active: 'bit' } },
  'channel.flow-ok': { classId: 20, methodId: 21, fields: { active: 'bit' } },
  'channel.close': {
    classId: 20,
    methodId: 40,
    fields: { replyCode: 'short', replyText: 'shortstr', classId: 'short', methodId: 'short' },
  },
  'channel.close-ok': { classId: 20, methodId: 41, fields: {} },

  'access.request': {
    classId: 30,
    methodId: 10,
    fields: { realm: 'shortstr', exclusive: 'bit', passive: 'bit', active: 'bit', write: 'bit', read: 'bit' },
  },
  'access.request-ok': { classId: 30, methodId: 11, fields: { ticket: 'short' } },

  'exchange.declare': {
    classId: 40,
    methodId: 10,
    fields: {
      ticket: 'reserved-short',
      exchange: 'shortstr',
      kind: 'shortstr',
      passive: 'bit',
      durable: 'bit',
      autoDelete: 'bit',
      internal: 'bit',
      noWait: 'bit',
      arguments: 'table',
    },
  },
  'exchange.declare-ok': { classId: 40, methodId: 11, fields: {} },
  'exchange.delete': {
    classId: 40,
    methodId: 20,
    fields: { ticket: 'reserved-short', exchange: 'shortstr', ifUnused: 'bit', noWait: 'bit' },
  },
  'exchange.delete-ok': { classId: 40, methodId: 21, fields: {} },
  'exchange.bind': {
    classId: 40,
    methodId: 30,
    fields: {
      ticket: 'reserved-short',
      destination: 'shortstr',
      exchange: 'shortstr',
      routingKey: 'shortstr',
      noWait: 'bit',
      arguments: 'table',
    },
  },
  'exchange.bind-ok': { classId: 40, methodId: 31, fields: {} },
  'exchange.unbind': {
    classId: 40,
    methodId: 40,
    fields: {
      ticket: 'reserved-short',
      destination: 'shortstr',
      exchange: 'shortstr',
      routingKey: 'shortstr',
      noWait: 'bit',
      arguments: 'table',
    },
  },
  // Not 41: RabbitMQ's extension numbered it so.
  'exchange.unbind-ok': { classId: 40, methodId: 51, fields: {} },

  'queue.declare': {
    classId: 50,
    methodId: 10,
    fields: {
      ticket: 'reserved-short',
      queue: 'shortstr',
      passive: 'bit',
      durable: 'bit',
      exclusive: 'bit',
      autoDelete: 'bit',
      noWait: 'bit',
      arguments: 'table',
    },
  },
  'queue.declare-ok': {
    classId: 50,
    methodId: 11,
    fields: { queue: 'shortstr', messageCount: 'long', consumerCount: 'long' },
  },
  'queue.bind': {
    classId: 50,
    methodId: 20,
    fields: {
      ticket: 'reserved-short',
      destination: 'shortstr',
      exchange: 'shortstr',
      routingKey: 'shortstr',
      noWait: 'bit',
      arguments: 'table',
    },
  },
  'queue.bind-ok': { classId: 50, methodId: 21, fields: {} },
  'queue.purge': {
    classId: 50,
    methodId: 30,
    fields: { ticket: 'reserved-short', queue: 'shortstr', noWait: 'bit' },
  },
  'queue.purge-ok': { classId: 50, methodId: 31, fields: { messageCount: 'long' } },
  'queue.delete': {
    classId: 50,
    methodId: 40,
    fields: { ticket: 'reserved-short', queue: 'shortstr', ifUnused: 'bit', ifEmpty: 'bit', noWait: 'bit' },
  },
  'queue.delete-ok': { classId: 50, methodId: 41, fields: { messageCount: 'long' } },
  // The only one of its kind without noWait.
  'queue.unbind': {
    classId: 50,
    methodId: 50,
    fields: {
      ticket: 'reserved-short',
      destination: 'shortstr',
      exchange: 'shortstr',
      routingKey: 'shortstr',
      arguments: 'table',
    },
  },
  'queue.unbind-ok': { classId: 50, methodId: 51, fields: {} },

  'basic.qos': {
    classId: 60,
    methodId: 10,
    fields: { prefetchSize: 'long', prefetchCount: 'short', global: 'bit' },
  },
  'basic.qos-ok': { classId: 60, methodId: 11, fields: {} },
  'basic.consume': {
    classId: 60,
    methodId: 20,
    fields: {
      ticket: 'reserved-short',
      queue: 'shortstr',
      consumerTag: 'shortstr',
      noLocal: 'bit',
      noAck: 'bit',
      exclusive: 'bit',
      noWait: 'bit',
      arguments: 'table',
    },
  },
  'basic.consume-ok': { classId: 60, methodId: 21, fields: { consumerTag: 'shortstr' } },
  'basic.cancel': { classId: 60, methodId: 30, fields: { consumerTag: 'shortstr', noWait: 'bit' } },
  'basic.cancel-ok': { classId: 60, methodId: 31, fields: { consumerTag: 'shortstr' } },
  'basic.publish': {
    classId: 60,
    methodId: 40,
    fields: {
      ticket: 'reserved-short',
      exchange: 'shortstr',
      routingKey: 'shortstr',
      mandatory: 'bit',
      immediate: 'bit',
    },
  },
  'basic.return': {
    classId: 60,
    methodId: 50,
    fields: { replyCode: 'short', replyText: 'shortstr', exchange: 'shortstr', routingKey: 'shortstr' },
  },
  'basic.deliver': {
    classId: 60,
    methodId: 60,
    fields: {
      consumerTag: 'shortstr',
      deliveryTag: 'longlong',
      redelivered: 'bit',
      exchange: 'shortstr',
      routingKey: 'shortstr',
    },
  },
  'basic.get': {
    classId: 60,
    methodId: 70,
    fields: { ticket: 'reserved-short', queue: 'shortstr', noAck: 'bit' },
  },
  'basic.get-ok': {
    classId: 60,
    methodId: 71,
    fields: {
      deliveryTag: 'longlong',
      redelivered: 'bit',
      exchange: 'shortstr',
      routingKey: 'shortstr',
      messageCount: 'long',
    },
  },
  'basic.get-empty': { classId: 60, methodId: 72, fields: { clusterId: 'reserved-shortstr' } },
  'basic.ack': { classId: 60, methodId: 80, fields: { deliveryTag: 'longlong', multiple: 'bit' } },
  'basic.reject': { classId: 60, methodId: 90, fields: { deliveryTag: 'longlong', requeue: 'bit' } },
  'basic.recover-async': { classId: 60, methodId: 100, fields: { requeue: 'bit' } },
  'basic.recover': { classId: 60, methodId: 110, fields: { requeue: 'bit' } },
  'basic.recover-ok': { classId: 60, methodId: 111, fields: {} },
  'basic.nack': {
    classId: 60,
    methodId: 120,
    fields: { deliveryTag: 'longlong', multiple: 'bit', requeue: 'bit' },
  },

  'confirm.select': { classId: 85, methodId: 10, fields: { noWait: 'bit' } },
  'confirm.select-ok': { classId: 85, methodId: 11, fields: {} },

  'tx.select': { classId: 90, methodId: 10, fields: {} },
  'tx.select-ok': { classId: 90, methodId: 11, fields: {} },
  'tx.commit': { classId: 90, methodId: 20, fields: {} },
  'tx.commit-ok': { classId: 90, methodId: 21, fields: {} },
  'tx.rollback': { classId: 90, methodId: 30, fields: {} },
  'tx.rollback-ok': { classId: 90, methodId: 31, fields: {} },
} as const

export type MethodName = keyof typeof methods

type Fields<Name extends MethodName> = (typeof methods)[Name]['fields']

/** The fields of a method by name, without the reserved ones. */
export type Arguments<Name extends MethodName> = {
  readonly [Field in keyof Fields<Name> as Fields<Name>[Field] extends keyof Values
    ? Field
    : never]: Fields<Name>[Field] extends keyof Values ? Values[Fields<Name>[Field]] : never
}

export type Method = { [Name in MethodName]: { readonly name: Name; readonly args: Arguments<Name> } }[MethodName]

// The methods of the hot path as they stand on the wire: class and method in one number.
export const basicPublish = 0x003c0028
export const basicDeliver = 0x003c003c
export const basicAck = 0x003c0050
export const basicReject = 0x003c005a
export const basicNack = 0x003c0078

interface Layout {
  readonly name: MethodName
  readonly id: number
  readonly fields: readonly (readonly [string, FieldType])[]
}

// Here the table is checked against the shape it must have.
const rows: Readonly<Record<MethodName, MethodRow>> = methods

const layoutsByName = new Map<MethodName, Layout>()
const layoutsById = new Map<number, Layout>()
for (const [name, row] of Object.entries(rows) as [MethodName, MethodRow][]) {
  const layout = { name, id: row.classId * 65536 + row.methodId, fields: Object.entries(row.fields) }
  layoutsByName.set(name, layout)
  layoutsById.set(layout.id, layout)
}

/** Class and method in one number, as on the wire. */
export function methodId(name: MethodName): number {
  return layoutOf(name).id
}

export function methodName(id: number): MethodName | undefined {
  return layoutsById.get(id)?.name
}

function layoutOf(name: MethodName): Layout {
  return layoutsByName.get(name) as Layout
}

/** Reads a method frame's payload. Throws COMMAND_INVALID for a method nobody knows, FRAME_ERROR for wrong arguments. */
export function decodeMethod(buffer: Buffer, start: number, end: number): Method {
  if (end - start < 4) throw unknownFrame(frameMethod, buffer, start, end)
  const id = buffer.readUInt32BE(start)
  const layout = layoutsById.get(id)
  if (layout === undefined) {
    throw new BrokerError('COMMAND_INVALID', `unknown method: class ${id >>> 16}, method ${id & 0xffff}`)
  }
  try {
    const reader = new ByteReader(buffer, start + 4, end)
    const args = readFields(reader, layout)
    if (reader.remaining > 0) throw new ByteReaderError(`${reader.remaining} octets too many`)
    return { name: layout.name, args } as Method
  } catch (error) {
    if (!(error instanceof ByteReaderError)) throw error
    throw undecodable(buffer, start + 4, end)
  }
}

/** RabbitMQ's words for arguments that are not those of their method. */
export function undecodable(buffer: Buffer, start: number, end: number): BrokerError {
  return new BrokerError('FRAME_ERROR', `cannot decode ${octetList(buffer.subarray(start, end))}`)
}

/** RabbitMQ's words for a frame that is too short to be one of its type. */
export function unknownFrame(type: number, buffer: Buffer, start: number, end: number): BrokerError {
  return new BrokerError('FRAME_ERROR', `${frameText(type, buffer, start, end)}: unknown_frame`)
}

function readFields(reader: ByteReader, layout: Layout): Record<string, unknown> {
  const args: Record<string, unknown> = {}
  let bits = 0
  let bitCount = 0
  for (const [name, type] of layout.fields) {
    if (type !== 'bit' && type !== 'reserved-bit') {
      bitCount = 0
      const value = readValue(reader, type)
      if (value !== undefined) args[name] = value
      continue
    }
    if (bitCount === 0) bits = reader.u8()
    if (type === 'bit') args[name] = (bits & (1 << bitCount)) !== 0
    bitCount = (bitCount + 1) & 7
  }
  return args
}

/** The value of a field that is not a bit; undefined for a reserved one. */
function readValue(reader: ByteReader, type: FieldType): unknown {
  switch (type) {
    case 'octet':
      return reader.u8()
    case 'short':
      return reader.u16be()
    case 'long':
      return reader.u32be()
    case 'longlong':
      return reader.u64be()
    case 'shortstr':
      return readShortString(reader)
    case 'longstr':
      return reader.utf8(reader.u32be())
    case 'bytes':
      return Buffer.from(reader.bytes(reader.u32be()))
    case 'table':
      return readTable(reader)
    case 'reserved-short':
      reader.u16be()
      return undefined
    case 'reserved-shortstr':
      reader.bytes(reader.u8())
      return undefined
    case 'reserved-longstr':
      reader.bytes(reader.u32be())
      return undefined
    default:
      return undefined
  }
}

/** Appends a method frame's payload. Throws SYNTAX_ERROR for a short string beyond 255 bytes. */
export function encodeMethod<Name extends MethodName>(writer: ByteWriter, name: Name, args: Arguments<Name>): void {
  const layout = layoutOf(name)
  const values = args as { readonly [field: string]: unknown }
  writer.u32be(layout.id)
  let bits = 0
  let bitCount = 0
  for (const [field, type] of layout.fields) {
    if (type === 'bit' || type === 'reserved-bit') {
      if (values[field] === true) bits |= 1 << bitCount
      bitCount++
      if (bitCount < 8) continue
    }
    if (bitCount > 0) {
      writer.u8(bits)
      bits = 0
      bitCount = 0
    }
    if (type !== 'bit' && type !== 'reserved-bit') writeValue(writer, name, field, type, values[field])
  }
  if (bitCount > 0) writer.u8(bits)
}

function writeValue(writer: ByteWriter, method: string, field: string, type: FieldType, value: unknown): void {
  switch (type) {
    case 'octet':
      return writer.u8(value as number)
    case 'short':
      return writer.u16be(value as number)
    case 'long':
      return writer.u32be(value as number)
    case 'longlong':
      return writer.u64be(value as number)
    case 'shortstr':
      return writeShortString(writer, value as string, method, field)
    case 'longstr':
      return writeBytes(writer, Buffer.from(value as string))
    case 'bytes':
      return writeBytes(writer, value as Buffer)
    case 'table':
      return writeTable(writer, value as FieldTable)
    case 'reserved-short':
      return writer.u16be(0)
    case 'reserved-shortstr':
      return writer.u8(0)
    case 'reserved-longstr':
      return writer.u32be(0)
    default:
  }
}

function writeBytes(writer: ByteWriter, bytes: Buffer): void {
  writer.u32be(bytes.length)
  writer.bytes(bytes)
}

function writeShortString(writer: ByteWriter, value: string, method: string, field: string): void {
  const size = Buffer.byteLength(value)
  if (size > limits.nameBytesMax) {
    throw new BrokerError('SYNTAX_ERROR', `${method}: ${field} has ${size} bytes, at most ${limits.nameBytesMax} fit`)
  }
  writer.u8(size)
  writer.reserve(size)
  writer.length += writer.buffer.write(value, writer.length, size, 'utf8')
}
