// Topology records there and back.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader } from '../lib/byte-reader.ts'
import { ByteWriter } from '../lib/byte-writer.ts'
import type { Field, FieldTable } from '../model/field-table.ts'
import { decodeTopology, encodeTopology, type TopologyRecord } from './record.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const field: fc.Arbitrary<Field> = fc.oneof(
  fc.record({ tag: fc.constant('l' as const), value: fc.maxSafeInteger() }),
  fc.record({ tag: fc.constant('S' as const), value: text }),
  fc.record({ tag: fc.constant('t' as const), value: fc.boolean() }),
)
const table: fc.Arbitrary<FieldTable> = fc
  .dictionary(text, field, { maxKeys: 4 })
  .map((o) => new Map(Object.entries(o)))
const boolean = fc.boolean()
const binding = {
  virtualHost: text,
  source: text,
  destination: text,
  destinationKind: fc.constantFrom('queue' as const, 'exchange' as const),
  routingKey: text,
  arguments: table,
}
const record: fc.Arbitrary<TopologyRecord> = fc.oneof(
  fc.record({
    type: fc.constant('exchange-declared' as const),
    virtualHost: text,
    name: text,
    kind: text,
    durable: boolean,
    autoDelete: boolean,
    internal: boolean,
    arguments: table,
  }),
  fc.record({ type: fc.constant('exchange-deleted' as const), virtualHost: text, name: text }),
  fc.record({
    type: fc.constant('queue-declared' as const),
    virtualHost: text,
    name: text,
    queueId: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    durable: boolean,
    autoDelete: boolean,
    arguments: table,
  }),
  fc.record({ type: fc.constant('queue-deleted' as const), virtualHost: text, name: text, queueId: fc.nat() }),
  fc.record({ type: fc.constant('bound' as const), ...binding }),
  fc.record({ type: fc.constant('unbound' as const), ...binding }),
  fc.record({ type: fc.constant('virtual-host-put' as const), virtualHost: text, metadata: text }),
  fc.record({ type: fc.constant('virtual-host-deleted' as const), virtualHost: text }),
  fc.record({
    type: fc.constant('user-put' as const),
    virtualHost: text,
    name: text,
    passwordHash: text,
    hashing: text,
    tags: text,
    limits: text,
  }),
  fc.record({ type: fc.constant('user-deleted' as const), virtualHost: text, name: text }),
  fc.record({
    type: fc.constant('permission-put' as const),
    virtualHost: text,
    user: text,
    configure: text,
    write: text,
    read: text,
  }),
  fc.record({ type: fc.constant('permission-deleted' as const), virtualHost: text, user: text }),
  fc.record({
    type: fc.constant('topic-permission-put' as const),
    virtualHost: text,
    user: text,
    exchange: text,
    write: text,
    read: text,
  }),
  fc.record({
    type: fc.constant('topic-permission-deleted' as const),
    virtualHost: text,
    user: text,
    exchange: text,
  }),
  fc.record({
    type: fc.constant('parameter-put' as const),
    virtualHost: text,
    component: text,
    name: text,
    value: text,
  }),
  fc.record({ type: fc.constant('parameter-deleted' as const), virtualHost: text, component: text, name: text }),
)

describe('a topology record', () => {
  test('is read as it was written, to the last byte', () => {
    fc.assert(
      fc.property(record, (written) => {
        const writer = new ByteWriter(4)
        encodeTopology(writer, written)
        const reader = new ByteReader(writer.toBuffer())
        expect(decodeTopology(reader)).toEqual(written)
        expect(reader.remaining).toBe(0)
      }),
      { numRuns: 500 },
    )
  })

  test('that is cut short or unknown is refused', () => {
    const writer = new ByteWriter()
    encodeTopology(writer, { type: 'queue-deleted', virtualHost: '/', name: 'queue', queueId: 300 })
    const bytes = writer.toBuffer()
    for (let end = 0; end < bytes.length; end++) {
      expect(() => decodeTopology(new ByteReader(bytes, 0, end)), `${end} bytes`).toThrow('bytes wanted')
    }
    expect(() => decodeTopology(new ByteReader(Buffer.from([99, 0])))).toThrow('does not know')
  })
})
