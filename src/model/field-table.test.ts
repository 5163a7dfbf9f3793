// Field tables: every tag there and back, hostile names, hostile nesting, cuts.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader, ByteReaderError } from '../lib/byte-reader.ts'
import { ByteWriter } from '../lib/byte-writer.ts'
import { BrokerError } from './errors.ts'
import {
  emptyTable,
  type Field,
  type FieldTable,
  fromTable,
  type PlainValue,
  readTable,
  sameField,
  sameTable,
  toField,
  toTable,
  writeTable,
} from './field-table.ts'
import { limits } from './limits.ts'

function encode(table: FieldTable): Buffer {
  const writer = new ByteWriter()
  writeTable(writer, table)
  return writer.toBuffer()
}

function decode(bytes: Buffer): FieldTable {
  const reader = new ByteReader(bytes)
  const table = readTable(reader)
  expect(reader.remaining).toBe(0)
  return table
}

const text = fc.string({ unit: 'grapheme', maxLength: 20 })
const safe = fc.maxSafeInteger()
// A number where it is safe, a bigint where it is not: the form in which a table is read.
const narrow = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value)
const leaf: fc.Arbitrary<Field> = fc.oneof(
  fc.boolean().map((value): Field => ({ tag: 't', value })),
  fc.integer({ min: -128, max: 127 }).map((value): Field => ({ tag: 'b', value })),
  fc.nat(255).map((value): Field => ({ tag: 'B', value })),
  fc.integer({ min: -32768, max: 32767 }).map((value): Field => ({ tag: 's', value })),
  fc.nat(65535).map((value): Field => ({ tag: 'u', value })),
  fc.integer().map((value): Field => ({ tag: 'I', value })),
  fc.nat({ max: 0xffffffff }).map((value): Field => ({ tag: 'i', value })),
  safe.map((value): Field => ({ tag: 'l', value })),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value): Field => ({ tag: 'l', value: narrow(value) })),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value): Field => ({ tag: 'T', value: narrow(value) })),
  fc.float().map((value): Field => ({ tag: 'f', value })),
  fc.double().map((value): Field => ({ tag: 'd', value })),
  fc.record({ scale: fc.nat(255), value: fc.nat({ max: 0xffffffff }) }).map((value): Field => ({ tag: 'D', value })),
  text.map((value): Field => ({ tag: 'S', value })),
  fc.uint8Array({ maxLength: 30 }).map((value): Field => ({ tag: 'x', value: Buffer.from(value) })),
  fc.constant<Field>({ tag: 'V', value: null }),
)
const names = fc.oneof(text, fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', ''))
const { field } = fc.letrec<{ field: Field; table: FieldTable }>((tie) => ({
  field: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc.array(tie('field'), { maxLength: 5 }).map((value): Field => ({ tag: 'A', value })),
    tie('table').map((value): Field => ({ tag: 'F', value })),
  ),
  table: fc.array(fc.tuple(names, tie('field')), { maxLength: 5 }).map((pairs) => new Map(pairs)),
}))
const table: fc.Arbitrary<FieldTable> = fc
  .array(fc.tuple(names, field), { maxLength: 6 })
  .map((pairs) => new Map(pairs))

test('any table comes back with its tags, its values and its order', () => {
  fc.assert(
    fc.property(table, (value) => {
      const bytes = encode(value)
      const back = decode(bytes)
      expect([...back]).toEqual([...value])
      expect(encode(back).equals(bytes)).toBe(true)
    }),
    { numRuns: 500 },
  )
})

test('a table is the same as itself, in any order, and not as another', () => {
  fc.assert(
    fc.property(table, field, (value, extra) => {
      // NaN is not the same as itself, as everywhere.
      fc.pre(![...value.values()].some(holdsNaN))
      expect(sameTable(value, new Map([...value].reverse()))).toBe(true)
      const name = 'no such name here'
      expect(sameTable(value, new Map([...value, [name, extra]]))).toBe(false)
    }),
  )
})

function holdsNaN(value: Field): boolean {
  if (value.tag === 'A') return (value.value as readonly Field[]).some(holdsNaN)
  if (value.tag === 'F') return [...(value.value as FieldTable).values()].some(holdsNaN)
  return Number.isNaN(value.value)
}

test('integers of all sizes mean the same, other kinds do not', () => {
  expect(sameField({ tag: 'b', value: 1 }, { tag: 'l', value: 1n })).toBe(true)
  expect(sameField({ tag: 'l', value: 1 }, { tag: 'd', value: 1 })).toBe(false)
  expect(sameField({ tag: 'S', value: '1' }, { tag: 'l', value: 1 })).toBe(false)
  expect(sameField({ tag: 'f', value: 0.5 }, { tag: 'd', value: 0.5 })).toBe(true)
  expect(sameField({ tag: 'V', value: null }, { tag: 'V', value: null })).toBe(true)
  expect(sameField(toField([1, 'a']), toField([1n, 'a']))).toBe(true)
  expect(sameField(toField(Buffer.from('a')), toField(Buffer.from('b')))).toBe(false)
})

test('L is read as a signed number and written as l', () => {
  const bytes = Buffer.from('0000000b0161' + '4c' + 'ffffffffffffffff', 'hex')
  expect([...decode(bytes)]).toEqual([['a', { tag: 'l', value: -1 }]])
})

test('known octets of every tag', () => {
  const value = new Map<string, Field>([
    ['t', { tag: 't', value: true }],
    ['s', { tag: 's', value: -2 }],
    ['I', { tag: 'I', value: -1 }],
    ['D', { tag: 'D', value: { scale: 2, value: 314 } }],
    ['S', { tag: 'S', value: 'é' }],
    ['A', { tag: 'A', value: [{ tag: 'V', value: null }] }],
    ['F', { tag: 'F', value: emptyTable }],
    ['x', { tag: 'x', value: Buffer.from([255]) }],
  ])
  const body = [
    '017474' + '01',
    '017373' + 'fffe',
    '014949' + 'ffffffff',
    '014444' + '02' + '0000013a',
    '015353' + '00000002c3a9',
    '014141' + '00000001' + '56',
    '014646' + '00000000',
    '017878' + '00000001ff',
  ].join('')
  expect(encode(value).toString('hex')).toBe((body.length / 2).toString(16).padStart(8, '0') + body)
})

describe('names that are dangerous to plain objects', () => {
  test('are names like any other', () => {
    const hostile = new Map<string, Field>([
      ['__proto__', { tag: 'F', value: new Map<string, Field>([['admin', { tag: 't', value: true }]]) }],
      ['constructor', { tag: 'S', value: 'x' }],
    ])
    const back = decode(encode(hostile))
    expect([...back.keys()]).toEqual(['__proto__', 'constructor'])
    const object = fromTable(back)
    expect(Object.keys(object)).toEqual(['__proto__', 'constructor'])
    expect(Object.getPrototypeOf(object)).toBeNull()
    expect(object['admin']).toBeUndefined()
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
    expect([...toTable(object)]).toEqual([...back])
  })
})

describe('nesting', () => {
  const nested = (depth: number, tag: 'F' | 'A'): Buffer => {
    let inner = Buffer.alloc(0)
    for (let level = 0; level < depth; level++) {
      const head = Buffer.from(tag === 'F' || level === depth - 1 ? [1, 97, tag.charCodeAt(0)] : [tag.charCodeAt(0)])
      const length = Buffer.alloc(4)
      length.writeUInt32BE(inner.length)
      inner = Buffer.concat([head, length, inner])
    }
    const length = Buffer.alloc(4)
    length.writeUInt32BE(inner.length)
    return Buffer.concat([length, inner])
  }

  test.each(['F', 'A'] as const)('of %s is read up to the limit and refused beyond', (tag) => {
    expect(() => decode(nested(limits.tableDepthMax, tag))).not.toThrow()
    for (const depth of [limits.tableDepthMax + 1, 5_000]) {
      expect(() => decode(nested(depth, tag))).toThrow(
        new BrokerError('SYNTAX_ERROR', `a field table nests deeper than ${limits.tableDepthMax}`),
      )
    }
  })

  test('of what the host passes is refused too', () => {
    let value: PlainValue = 'x'
    for (let level = 0; level < 10_000; level++) value = [value]
    expect(() => toField(value)).toThrow('nests deeper')
  })
})

describe('values that AMQP has no type for', () => {
  const values: readonly unknown[] = [
    2n ** 63n,
    -(2n ** 63n) - 1n,
    Symbol('s'),
    () => {},
    new Map(),
    new Set(),
    /x/,
    new Error('no'),
    Promise.resolve(),
    new Date('never'),
    new Date(-1),
    { ['x'.repeat(256)]: 1 },
  ]

  test.each(values)('%s is refused, and does not become something else', (value) => {
    expect(() => toField(value as PlainValue)).toThrow(BrokerError)
    expect(() => toField([{ deep: value as PlainValue }])).toThrow(BrokerError)
  })

  test('integers of 64 bits come back as they are', () => {
    const table = toTable({ least: -(2n ** 63n), most: 2n ** 63n - 1n })
    expect(fromTable(decode(encode(table)))).toEqual({ least: -(2n ** 63n), most: 2n ** 63n - 1n })
  })
})

describe('octets that are no table', () => {
  const refused = (bytes: Buffer): boolean => {
    try {
      readTable(new ByteReader(bytes))
      return false
    } catch (error) {
      if (error instanceof ByteReaderError || error instanceof BrokerError) return true
      throw error
    }
  }

  test('a table cut anywhere is refused, as is one whose length is too small', () => {
    fc.assert(
      fc.property(table, (value) => {
        const bytes = encode(value)
        for (let cut = 0; cut < bytes.length; cut++) expect(refused(bytes.subarray(0, cut))).toBe(true)
        for (let length = 1; length < bytes.length - 4; length++) {
          const shorter = Buffer.from(bytes.subarray(0, 4 + length))
          shorter.writeUInt32BE(length)
          refused(shorter)
        }
      }),
    )
  })

  test('arbitrary octets are a table or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (octets) => {
        const bytes = Buffer.concat([Buffer.alloc(4), octets])
        bytes.writeUInt32BE(octets.length)
        refused(bytes)
      }),
      { numRuns: 3000 },
    )
  })

  test('an unknown tag is refused by name', () => {
    expect(() => decode(Buffer.from('00000003016155', 'hex'))).toThrow("unknown field type 'U'")
  })

  test('a name beyond 255 bytes is not written', () => {
    expect(() => encode(toTable({ ['é'.repeat(128)]: 1 }))).toThrow('SYNTAX_ERROR')
  })
})

test('plain values get the tags the documentation names, and come back', () => {
  const values = {
    b: true,
    i: 1,
    f: 1.5,
    g: 2n ** 60n,
    s: 'x',
    n: null,
    a: [1, ['y']],
    o: { k: 'v' },
    z: Buffer.from([1]),
  }
  const tags = [...toTable(values)].map(([key, { tag }]) => `${key}${tag}`)
  expect(tags).toEqual(['bt', 'il', 'fd', 'gl', 'sS', 'nV', 'aA', 'oF', 'zx'])
  expect({ ...fromTable(decode(encode(toTable(values)))) }).toMatchObject({ ...values, o: { k: 'v' } })
  const time = new Date(1_700_000_000_000)
  expect(fromTable(decode(encode(toTable({ time }))))['time']).toEqual(time)
})
