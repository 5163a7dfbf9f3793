// ByteWriter and ByteReader there and back, and copyRange on both sides of its threshold.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader, ByteReaderError } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import { copyRange } from './copy-range.ts'

describe('what a byte writer wrote', () => {
  test('is read back, however small the buffer was at first', () => {
    const item = fc.oneof(
      fc.record({ kind: fc.constant('u8' as const), value: fc.nat(255) }),
      fc.record({ kind: fc.constant('u16be' as const), value: fc.nat(65535) }),
      fc.record({ kind: fc.constant('u32be' as const), value: fc.nat(4294967295) }),
      fc.record({ kind: fc.constant('u32le' as const), value: fc.nat(4294967295) }),
      fc.record({ kind: fc.constant('u64be' as const), value: fc.maxSafeNat() }),
      fc.record({ kind: fc.constant('varint' as const), value: fc.maxSafeNat() }),
      fc.record({ kind: fc.constant('text' as const), value: fc.string({ unit: 'binary', maxLength: 40 }) }),
    )
    fc.assert(
      fc.property(fc.array(item), fc.integer({ min: 1, max: 16 }), (items, capacity) => {
        const writer = new ByteWriter(capacity)
        for (const { kind, value } of items) {
          if (kind === 'text') writer.text(value)
          else writer[kind](value)
        }
        const reader = new ByteReader(writer.toBuffer())
        for (const { kind, value } of items) {
          expect(reader[kind](), kind).toBe(value)
        }
        expect(reader.remaining).toBe(0)
      }),
    )
  })

  test.each([
    [0, 1],
    [1, 1],
    [127, 1],
    [128, 2],
    [16383, 2],
    [16384, 3],
    [2 ** 31, 5],
    [2 ** 32, 5],
    [2 ** 49 - 1, 7],
    [2 ** 49, 8],
    [Number.MAX_SAFE_INTEGER, 8],
  ])('holds %d as a varint of %d octets', (value, octets) => {
    const writer = new ByteWriter()
    writer.varint(value)
    expect(writer.length).toBe(octets)
    expect(new ByteReader(writer.toBuffer()).varint()).toBe(value)
  })
})

describe('a byte reader', () => {
  test.each([
    ['u8', 0],
    ['u16be', 1],
    ['u32be', 3],
    ['u32le', 3],
    ['u64be', 7],
  ] as const)('refuses to read %s from %d bytes', (method, bytes) => {
    expect(() => new ByteReader(Buffer.alloc(bytes))[method]()).toThrow(ByteReaderError)
  })

  test('refuses text, bytes and varints that reach beyond the end of its range, though the buffer goes on', () => {
    const buffer = Buffer.from([5, 65, 66, 67, 68, 69])
    expect(() => new ByteReader(buffer, 0, 4).text()).toThrow(ByteReaderError)
    expect(() => new ByteReader(buffer, 0, 4).bytes(5)).toThrow(ByteReaderError)
    expect(() => new ByteReader(buffer, 0, 4).utf8(5)).toThrow(ByteReaderError)
    expect(() => new ByteReader(Buffer.alloc(20, 0x80)).varint()).toThrow('varint')
    expect(new ByteReader(buffer).text()).toBe('ABCDE')
  })
})

test('copyRange copies exactly the range, on both sides of its threshold', () => {
  const source = Buffer.from(Array.from({ length: 120 }, (_, at) => at))
  for (const length of [0, 1, 47, 48, 49, 50, 100]) {
    const target = Buffer.alloc(130, 0xee)
    copyRange(source, 7, 7 + length, target, 11)
    const expected = Buffer.alloc(130, 0xee)
    source.copy(expected, 11, 7, 7 + length)
    expect(target.equals(expected), `${length} bytes`).toBe(true)
  }
})
