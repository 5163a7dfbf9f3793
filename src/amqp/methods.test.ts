// The method codec: every method there and back, and what is no method.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteWriter } from '../lib/byte-writer.ts'
import type { BrokerError } from '../model/errors.ts'
import { toTable } from '../model/field-table.ts'
import { decodeMethod, encodeMethod, type Method, type MethodName, methodId, methodName, methods } from './methods.ts'

const shortString = fc.string({ unit: 'grapheme' }).filter((value) => Buffer.byteLength(value) <= 255)
const values: Record<string, fc.Arbitrary<unknown>> = {
  octet: fc.nat(255),
  short: fc.nat(65535),
  long: fc.nat({ max: 0xffffffff }),
  longlong: fc.maxSafeNat(),
  shortstr: shortString,
  longstr: fc.string({ unit: 'grapheme' }),
  bytes: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  table: fc.dictionary(fc.string({ maxLength: 20 }), fc.oneof(fc.integer(), fc.boolean(), fc.string())).map(toTable),
  bit: fc.boolean(),
}

const names = Object.keys(methods) as MethodName[]

function argumentsOf(name: MethodName): fc.Arbitrary<Method> {
  const fields = Object.entries(methods[name].fields).filter(([, type]) => !type.startsWith('reserved-'))
  const record = Object.fromEntries(fields.map(([field, type]) => [field, values[type] as fc.Arbitrary<unknown>]))
  return fc.record(record).map((args) => ({ name, args }) as unknown as Method)
}

function encode(method: Method): Buffer {
  const writer = new ByteWriter()
  encodeMethod(writer, method.name, method.args as never)
  return writer.toBuffer()
}

function codeOf(run: () => unknown): string {
  try {
    run()
    return 'none'
  } catch (error) {
    return (error as BrokerError).code
  }
}

describe('the table', () => {
  test('has RabbitMQ’s 66 methods, each number once', () => {
    expect(names).toHaveLength(66)
    expect(new Set(names.map(methodId)).size).toBe(names.length)
    for (const name of names) expect(methodName(methodId(name))).toBe(name)
    expect(methodName(0x000a0063)).toBeUndefined()
  })
})

test.each(names)('%s comes back as it was', (name) => {
  fc.assert(
    fc.property(argumentsOf(name), (method) => {
      const bytes = encode(method)
      expect(decodeMethod(Buffer.concat([Buffer.from('..'), bytes]), 2, 2 + bytes.length)).toEqual(method)
    }),
    { numRuns: 50 },
  )
})

test('a method cut anywhere, or with an octet too many, is a FRAME_ERROR that shows its octets', () => {
  fc.assert(
    fc.property(fc.constantFrom(...names).chain(argumentsOf), fc.nat(), (method, at) => {
      const bytes = encode(method)
      const cut = at % bytes.length
      expect(codeOf(() => decodeMethod(bytes, 0, cut))).toBe('FRAME_ERROR')
      const longer = Buffer.concat([bytes, Buffer.from([0])])
      expect(codeOf(() => decodeMethod(longer, 0, longer.length))).toBe('FRAME_ERROR')
    }),
    { numRuns: 300 },
  )
})

test('arbitrary octets are a method or a BrokerError', () => {
  const id = fc.constantFrom(...names).map(methodId)
  fc.assert(
    fc.property(id, fc.uint8Array({ maxLength: 80 }), (method, bytes) => {
      const payload = Buffer.concat([Buffer.alloc(4), bytes])
      payload.writeUInt32BE(method)
      const code = codeOf(() => decodeMethod(payload, 0, payload.length))
      expect(['none', 'SYNTAX_ERROR', 'FRAME_ERROR']).toContain(code)
    }),
    { numRuns: 2000 },
  )
})

test('a class or method nobody knows is COMMAND_INVALID', () => {
  expect(codeOf(() => decodeMethod(Buffer.from('003c0029', 'hex'), 0, 4))).toBe('COMMAND_INVALID')
  expect(codeOf(() => decodeMethod(Buffer.from('00630001', 'hex'), 0, 4))).toBe('COMMAND_INVALID')
})

test('a name that is not UTF-8 is a FRAME_ERROR, as in RabbitMQ', () => {
  const bytes = encode({ name: 'basic.cancel', args: { consumerTag: 'ab', noWait: false } })
  bytes[5] = 0xff
  expect(codeOf(() => decodeMethod(bytes, 0, bytes.length))).toBe('FRAME_ERROR')
})

test('a name beyond 255 bytes is refused before it is sent', () => {
  const method = { name: 'basic.cancel', args: { consumerTag: 'é'.repeat(128), noWait: false } } as const
  expect(codeOf(() => encode(method))).toBe('SYNTAX_ERROR')
})

test('known octets: queue.declare and exchange.unbind-ok', () => {
  const declare = { queue: 'q', passive: false, durable: true, exclusive: false, autoDelete: true, noWait: true }
  const bytes = encode({ name: 'queue.declare', args: { ...declare, arguments: toTable({ a: true }) } })
  expect(bytes.toString('hex')).toBe(`0032000a${'0000'}${'0171'}${'1a'}${'00000004'}${'01617401'}`)
  expect(encode({ name: 'exchange.unbind-ok', args: {} }).toString('hex')).toBe('00280033')
})
