// Message properties: all of them there and back, and property bytes that are not what they claim.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BrokerError } from './errors.ts'
import { toTable } from './field-table.ts'
import {
  changeProperties,
  decodeProperties,
  emptyProperties,
  encodeProperties,
  hideMark,
  isMarked,
  markDied,
  type Properties,
  priorityShift,
  scanProperties,
  traits,
} from './properties.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 30 })
const properties: fc.Arbitrary<Properties> = fc.record(
  {
    contentType: text,
    contentEncoding: text,
    headers: fc.dictionary(text, fc.oneof(fc.integer(), fc.boolean(), text)).map(toTable),
    deliveryMode: fc.nat(255),
    priority: fc.nat(255),
    correlationId: text,
    replyTo: text,
    expiration: text,
    messageId: text,
    timestamp: fc.maxSafeNat(),
    type: text,
    userId: text,
    appId: text,
    clusterId: text,
  },
  { requiredKeys: [] },
)

const isRefused = (run: () => unknown): boolean => {
  try {
    run()
    return false
  } catch (error) {
    if (error instanceof BrokerError) return true
    throw error
  }
}

test('any properties come back, and the scan knows what the broker must know of every message', () => {
  fc.assert(
    fc.property(properties, (value) => {
      const bytes = encodeProperties(value)
      const padded = Buffer.concat([Buffer.from('abc'), bytes, Buffer.from([0xce, 1, 2])])
      expect(decodeProperties(padded, 3, 3 + bytes.length)).toEqual(value)
      const isNamed = value.userId === undefined ? 0 : 4
      const expected = (value.deliveryMode === 2 ? 1 : 0) | (value.expiration === undefined ? 0 : 2) | isNamed
      const scanned = scanProperties(padded, 3, 3 + bytes.length)
      // Whether headers may ask for something is a guess.
      expect(scanned & 7).toBe(expected)
      expect(scanned >>> priorityShift).toBe(value.priority ?? 0)
    }),
    { numRuns: 500 },
  )
})

test('headers come and go, another reply_to, expiration goes; the rest stays octet by octet', () => {
  fc.assert(
    fc.property(properties, (value) => {
      const { expiration: _gone, ...others } = value
      const headers = new Map(value.headers).set('own', { tag: 'l', value: 1 })
      const change = { headers: toTable({ own: 1 }), without: ['gone'], replyTo: 'r', withoutExpiration: true }
      const gone = new Map([...headers, ...toTable({ gone: 1 })])
      const bytes = encodeProperties({ ...value, headers: gone })
      expect(decodeProperties(changeProperties(bytes, change))).toEqual({ ...others, headers, replyTo: 'r' })
      expect(changeProperties(encodeProperties(value), {})).toEqual(encodeProperties(value))
      expect(isRefused(() => changeProperties(Buffer.from([0x80, 0, 5, 1]), change))).toBe(true)
    }),
    { numRuns: 200 },
  )
})

test('bytes cut anywhere, or one too many, are refused by the scan', () => {
  fc.assert(
    fc.property(properties, (value) => {
      const bytes = Buffer.concat([encodeProperties(value), Buffer.from([0xce])]).subarray(0, -1)
      for (let cut = 0; cut < bytes.length; cut++) {
        expect(isRefused(() => scanProperties(bytes, 0, cut))).toBe(true)
        isRefused(() => decodeProperties(bytes, 0, cut))
      }
      const longer = Buffer.concat([bytes, Buffer.from([0])])
      expect(isRefused(() => scanProperties(longer, 0, longer.length))).toBe(true)
    }),
  )
})

test('arbitrary octets that pass the scan decode, or are refused for their header table alone', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 2, maxLength: 60 }), (octets) => {
      // On the wire the frame's end octet always stands behind them.
      const bytes = Buffer.from([...octets, 0xce])
      if (isRefused(() => scanProperties(bytes, 0, octets.length))) return
      const headers = (bytes.readUInt16BE(0) & 0x2000) !== 0
      expect(isRefused(() => decodeProperties(bytes, 0, octets.length)) && !headers).toBe(false)
    }),
    { numRuns: 5000 },
  )
})

test('every single property is skipped at its size', () => {
  const all: Properties = {
    contentType: 'text/plain',
    contentEncoding: 'gzip',
    headers: toTable({ a: 1 }),
    deliveryMode: 2,
    priority: 9,
    correlationId: 'c',
    replyTo: 'r',
    expiration: '1000',
    messageId: 'm',
    timestamp: 1_700_000_000,
    type: 't',
    userId: 'guest',
    appId: 'a',
    clusterId: '',
  }
  const found: { readonly [key: string]: number } = {
    deliveryMode: 1,
    expiration: 2,
    userId: 4,
    priority: 9 << priorityShift,
  }
  for (const key of Object.keys(all) as (keyof Properties)[]) {
    const bytes = encodeProperties({ [key]: all[key] })
    expect(scanProperties(bytes, 0, bytes.length), key).toBe(found[key] ?? 0)
    expect(decodeProperties(bytes)).toEqual({ [key]: all[key] })
  }
  const bytes = encodeProperties(all)
  expect(bytes.readUInt16BE(0)).toBe(0xfffc)
  expect(scanProperties(bytes, 0, bytes.length)).toBe(7 | (9 << priorityShift))
})

describe('refused', () => {
  test('a second flags word, which AMQP 0-9-1 has no property for', () => {
    expect(isRefused(() => scanProperties(Buffer.from([0, 1, 0, 0]), 0, 4))).toBe(true)
  })

  test('a short string beyond 255 bytes, by the name of its property', () => {
    expect(() => encodeProperties({ messageId: 'é'.repeat(128) })).toThrow('the property message-id has 256 bytes')
    expect(encodeProperties({ messageId: 'x'.repeat(255) })).toHaveLength(258)
  })
})

test('no properties are two octets', () => {
  expect(encodeProperties({})).toEqual(emptyProperties)
  expect(decodeProperties(emptyProperties)).toEqual({})
})

describe('the scan guesses from the headers', () => {
  test.each([
    [{ CC: ['a'] }, traits.mayCopy],
    [{ BCC: ['a'] }, traits.mayCopy | traits.mayHide],
    [{ a: 1, BCC: ['b'], CC: ['c'] }, traits.mayCopy | traits.mayHide],
    [{ ACCOUNT: 1, ABCC: 1 }, 0],
    [{ 'x-delay': 5 }, traits.mayAsk],
    [{ 'x-leveret-delay': 5 }, traits.mayAsk],
    [{ 'x-leveret-key': 'k' }, traits.mayAsk],
    [{ 'x-leveret-idempotency-key': 'k' }, traits.mayAsk],
    [{ 'x-leveret-attempt': 1, 'x-death': [], 'x-other': 1 }, 0],
  ])('what %j asks for', (headers, expected) => {
    const bytes = encodeProperties({ headers: toTable(headers) })
    expect(scanProperties(bytes, 0, bytes.length)).toBe(expected)
  })

  test.each([
    ['amq.rabbitmq.reply-to', traits.mayReplyDirectly],
    ['amq.rabbitmq.reply-to.abc', 0],
    ['answers', 0],
  ])('whether %s means a direct answer', (replyTo, expected) => {
    const bytes = encodeProperties({ replyTo })
    expect(scanProperties(bytes, 0, bytes.length)).toBe(expected)
  })
})

test("the broker's own mark is a trait, is none of the properties, and can be taken away", () => {
  const bytes = markDied(encodeProperties({ type: 't' }))
  expect(isMarked(bytes, 0)).toBe(true)
  expect(scanProperties(bytes, 0, bytes.length)).toBe(traits.died)
  expect(decodeProperties(bytes)).toEqual({ type: 't' })
  hideMark(bytes, 0)
  expect(bytes).toEqual(encodeProperties({ type: 't' }))
})
