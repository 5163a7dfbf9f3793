/**
 * AMQP field tables: headers and arguments, with their type tags.
 *
 *     table  length u32be, then pairs of  key (length u8, UTF-8)  tag u8  value
 *
 * The tags are RabbitMQ's, which differ from the printed specification ('s' is a 16-bit integer, 'L' is read as signed).
 * Tags are kept, because clients check that an int32 comes back as an int32. A table is a Map, never a plain object, so a
 * header called `__proto__` is a header like any other. Nesting is bounded (limits.tableDepthMax).
 */
import { ByteReader } from '../lib/byte-reader.ts'
import { ByteWriter } from '../lib/byte-writer.ts'
import { BrokerError } from './errors.ts'
import { limits } from './limits.ts'

export type FieldTag =
  | 't'
  | 'b'
  | 'B'
  | 's'
  | 'u'
  | 'I'
  | 'i'
  | 'l'
  | 'f'
  | 'd'
  | 'D'
  | 'S'
  | 'A'
  | 'T'
  | 'F'
  | 'V'
  | 'x'

export interface Decimal {
  readonly scale: number
  readonly value: number
}

export interface Field {
  readonly tag: FieldTag
  /** t: boolean · integers, f, d: number · l, T: bigint beyond 2^53, else number · D: Decimal · S: string · x: Buffer · A: Field[] · F: FieldTable · V: null */
  readonly value: boolean | number | bigint | string | Buffer | Decimal | readonly Field[] | FieldTable | null
}

export type FieldTable = ReadonlyMap<string, Field>

const typeNames: Readonly<Record<FieldTag, string>> = {
  t: 'bool',
  b: 'byte',
  B: 'unsignedbyte',
  s: 'short',
  u: 'unsignedshort',
  I: 'signedint',
  i: 'unsignedint',
  l: 'long',
  f: 'float',
  d: 'double',
  D: 'decimal',
  S: 'longstr',
  A: 'array',
  T: 'timestamp',
  F: 'table',
  V: 'void',
  x: 'binary',
}

/** What RabbitMQ calls the type of a field where it says that it is the wrong one. */
export function typeName({ tag }: Field): string {
  return typeNames[tag]
}

export const emptyTable: FieldTable = new Map<string, Field>()

/** What people write as a header or an argument; see `toField` for the tag each gets. */
export type PlainValue =
  | boolean
  | number
  | bigint
  | string
  | Buffer
  | Date
  | null
  | readonly PlainValue[]
  | { readonly [key: string]: PlainValue }

/**
 * Integers become `l`, other numbers `d`, strings `S`, buffers `x`, dates `T`, arrays `A`, objects `F`, null `V`. Throws SYNTAX_ERROR
 * for what AMQP has no word for.
 */
export function toField(value: PlainValue, depth = 0): Field {
  if (depth > limits.tableDepthMax) {
    throw new BrokerError('SYNTAX_ERROR', `a field table nests deeper than ${limits.tableDepthMax}`)
  }
  switch (typeof value) {
    case 'boolean':
      return { tag: 't', value }
    case 'number':
      return Number.isSafeInteger(value) ? { tag: 'l', value } : { tag: 'd', value }
    case 'bigint':
      if (BigInt.asIntN(64, value) !== value) throw wordless('an integer of more than 64 bits')
      return { tag: 'l', value }
    case 'string':
      return { tag: 'S', value }
    case 'object':
      break
    default:
      throw wordless(`${value === undefined ? 'undefined' : `a ${typeof value}`}`)
  }
  if (value === null) return { tag: 'V', value: null }
  if (Buffer.isBuffer(value)) return { tag: 'x', value }
  if (value instanceof Date) return { tag: 'T', value: secondsOf(value) }
  if (Array.isArray(value)) return { tag: 'A', value: (value as PlainValue[]).map((item) => toField(item, depth + 1)) }
  // A Map would become an empty table, and so would much else that keeps what it has to itself.
  const name = Object.prototype.toString.call(value)
  if (name !== '[object Object]') throw wordless(`a ${name.slice('[object '.length, -1)}`)
  return { tag: 'F', value: toTable(value as { readonly [key: string]: PlainValue }, depth + 1) }
}

/** Throws SYNTAX_ERROR. */
function secondsOf(date: Date): number {
  const seconds = Math.floor(date.getTime() / 1000)
  if (seconds >= 0) return seconds
  throw wordless(Number.isNaN(seconds) ? 'an invalid Date' : 'a time before 1970')
}

function wordless(what: string): BrokerError {
  return new BrokerError('SYNTAX_ERROR', `${what} is nothing that AMQP has a type for`)
}

export function toTable(values: { readonly [key: string]: PlainValue }, depth = 0): FieldTable {
  const table = new Map<string, Field>()
  for (const key of Object.keys(values)) {
    const value = values[key]
    if (value === undefined) continue
    checkKey(key, Buffer.byteLength(key))
    table.set(key, toField(value, depth))
  }
  return table
}

/** The plain value of a field; tables become objects without a prototype. */
export function fromField(field: Field): PlainValue {
  switch (field.tag) {
    case 'A':
      return (field.value as readonly Field[]).map(fromField)
    case 'F':
      return fromTable(field.value as FieldTable)
    case 'T':
      return new Date(Number(field.value as number | bigint) * 1000)
    case 'D': {
      const { scale, value } = field.value as Decimal
      return value / 10 ** scale
    }
    default:
      return field.value as PlainValue
  }
}

export function fromTable(table: FieldTable): { [key: string]: PlainValue } {
  const values = Object.create(null) as { [key: string]: PlainValue }
  for (const [key, field] of table) values[key] = fromField(field)
  return values
}

/** Reads a table with its length before it. Throws ByteReaderError or a BrokerError on bytes that are none. */
export function readTable(reader: ByteReader, depth = 0): FieldTable {
  const length = reader.u32be()
  return readTableBody(reader.buffer, reader, length, depth)
}

/** Reads `length` bytes of pairs: AMQPLAIN's response has no length before them. */
export function readTableBody(buffer: Buffer, reader: ByteReader, length: number, depth = 0): FieldTable {
  if (depth > limits.tableDepthMax) {
    throw new BrokerError('SYNTAX_ERROR', `a field table nests deeper than ${limits.tableDepthMax}`)
  }
  reader.need(length)
  const inner = new ByteReader(buffer, reader.at, reader.at + length)
  reader.at += length
  const table = new Map<string, Field>()
  while (inner.remaining > 0) {
    const key = inner.utf8(inner.u8())
    table.set(key, readField(inner, depth))
  }
  return table
}

/** Reads a table pair by pair: the key, and the octets of the whole pair. Throws as `readTable` does. */
export function forEachPair(reader: ByteReader, visit: (key: string, pair: Buffer) => void): void {
  const length = reader.u32be()
  reader.need(length)
  const inner = new ByteReader(reader.buffer, reader.at, reader.at + length)
  reader.at += length
  while (inner.remaining > 0) {
    const start = inner.at
    const key = inner.utf8(inner.u8())
    readField(inner, 0)
    visit(key, inner.buffer.subarray(start, inner.at))
  }
}

function readField(reader: ByteReader, depth: number): Field {
  const tag = String.fromCharCode(reader.u8())
  switch (tag) {
    case 't':
      return { tag, value: reader.u8() !== 0 }
    case 'b':
      return { tag, value: (reader.u8() << 24) >> 24 }
    case 'B':
      return { tag, value: reader.u8() }
    case 's':
      return { tag, value: (reader.u16be() << 16) >> 16 }
    case 'u':
      return { tag, value: reader.u16be() }
    case 'I':
      return { tag, value: reader.u32be() | 0 }
    case 'i':
      return { tag, value: reader.u32be() }
    case 'l':
    case 'L':
      return { tag: 'l', value: narrow(reader.bytes(8).readBigInt64BE(0)) }
    case 'T':
      return { tag, value: narrow(reader.bytes(8).readBigUInt64BE(0)) }
    case 'f':
      return { tag, value: reader.bytes(4).readFloatBE(0) }
    case 'd':
      return { tag, value: reader.bytes(8).readDoubleBE(0) }
    case 'D':
      return { tag, value: { scale: reader.u8(), value: reader.u32be() } }
    case 'S':
      return { tag, value: reader.utf8(reader.u32be()) }
    case 'x':
      return { tag, value: Buffer.from(reader.bytes(reader.u32be())) }
    case 'V':
      return { tag, value: null }
    case 'F':
      return { tag, value: readTable(reader, depth + 1) }
    case 'A': {
      if (depth >= limits.tableDepthMax) {
        throw new BrokerError('SYNTAX_ERROR', `a field table nests deeper than ${limits.tableDepthMax}`)
      }
      const length = reader.u32be()
      reader.need(length)
      const inner = new ByteReader(reader.buffer, reader.at, reader.at + length)
      reader.at += length
      const items: Field[] = []
      while (inner.remaining > 0) items.push(readField(inner, depth + 1))
      return { tag, value: items }
    }
    default:
      throw new BrokerError('SYNTAX_ERROR', `unknown field type '${tag}' in a field table`)
  }
}

function narrow(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** Writes a table with its length before it. */
export function writeTable(writer: ByteWriter, table: FieldTable): void {
  const lengthAt = writer.length
  writer.u32be(0)
  writePairs(writer, table)
  writer.buffer.writeUInt32BE(writer.length - lengthAt - 4, lengthAt)
}

/** Writes the pairs alone. */
export function writePairs(writer: ByteWriter, table: FieldTable): void {
  for (const [key, field] of table) {
    const size = Buffer.byteLength(key)
    checkKey(key, size)
    writer.u8(size)
    writer.reserve(size)
    writer.length += writer.buffer.write(key, writer.length, size, 'utf8')
    writeField(writer, field)
  }
}

/** Throws SYNTAX_ERROR. */
function checkKey(key: string, bytes: number): void {
  if (bytes <= limits.nameBytesMax) return
  const text = `the field name '${key.slice(0, 20)}…' is longer than ${limits.nameBytesMax} bytes`
  throw new BrokerError('SYNTAX_ERROR', text)
}

function writeField(writer: ByteWriter, field: Field): void {
  writer.u8(field.tag.charCodeAt(0))
  const { value } = field
  switch (field.tag) {
    case 't':
      return writer.u8(value === true ? 1 : 0)
    case 'b':
    case 'B':
      return writer.u8((value as number) & 255)
    case 's':
    case 'u':
      return writer.u16be((value as number) & 65535)
    case 'I':
    case 'i':
      return writer.u32be((value as number) >>> 0)
    case 'l':
    case 'T': {
      writer.reserve(8)
      writer.length = writer.buffer.writeBigUInt64BE(
        BigInt.asUintN(64, BigInt(value as number | bigint)),
        writer.length,
      )
      return
    }
    case 'f':
      writer.reserve(4)
      writer.length = writer.buffer.writeFloatBE(value as number, writer.length)
      return
    case 'd':
      writer.reserve(8)
      writer.length = writer.buffer.writeDoubleBE(value as number, writer.length)
      return
    case 'D':
      writer.u8((value as Decimal).scale)
      return writer.u32be((value as Decimal).value)
    case 'S': {
      const size = Buffer.byteLength(value as string)
      writer.u32be(size)
      writer.reserve(size)
      writer.length += writer.buffer.write(value as string, writer.length, size, 'utf8')
      return
    }
    case 'x':
      writer.u32be((value as Buffer).length)
      return writer.bytes(value as Buffer)
    case 'A': {
      const lengthAt = writer.length
      writer.u32be(0)
      for (const item of value as readonly Field[]) writeField(writer, item)
      writer.buffer.writeUInt32BE(writer.length - lengthAt - 4, lengthAt)
      return
    }
    case 'F':
      return writeTable(writer, value as FieldTable)
    case 'V':
  }
}

/**
 * Whether two fields mean the same: all integer types are one, strings and byte arrays compare by content, 1 is not 1.0.
 * RabbitMQ compares decoded Erlang terms, so the tag inside the integers does not count.
 */
export function sameField(left: Field, right: Field): boolean {
  const a = kindOf(left.tag)
  if (a !== kindOf(right.tag)) return false
  switch (a) {
    case 'integer':
      return BigInt(left.value as number | bigint) === BigInt(right.value as number | bigint)
    case 'array': {
      const one = left.value as readonly Field[]
      const two = right.value as readonly Field[]
      return one.length === two.length && one.every((item, index) => sameField(item, two[index] as Field))
    }
    case 'F':
      return sameTable(left.value as FieldTable, right.value as FieldTable)
    case 'x':
      return (left.value as Buffer).equals(right.value as Buffer)
    case 'D': {
      const one = left.value as Decimal
      const two = right.value as Decimal
      return one.scale === two.scale && one.value === two.value
    }
    default:
      return left.value === right.value
  }
}

/** Same keys, same values, in any order. */
export function sameTable(left: FieldTable, right: FieldTable): boolean {
  if (left.size !== right.size) return false
  for (const [key, field] of left) {
    const other = right.get(key)
    if (other === undefined || !sameField(field, other)) return false
  }
  return true
}

function kindOf(tag: FieldTag): string {
  switch (tag) {
    case 'b':
    case 'B':
    case 's':
    case 'u':
    case 'I':
    case 'i':
    case 'l':
      return 'integer'
    case 'f':
    case 'd':
      return 'float'
    case 'A':
      return 'array'
    default:
      return tag
  }
}
