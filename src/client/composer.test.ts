// Values into messages and back: the quick way and the long way make the same bytes.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Message } from '../model/message.ts'
import { encodeProperties, type Properties } from '../model/properties.ts'
import type { Platform } from '../platform/platform.ts'
import { SimClock } from '../testing/sim-clock.ts'
import { SimRandom } from '../testing/sim-random.ts'
import { decodeBody, encodeBody } from './body.ts'
import { Composer, isPlainJson } from './composer.ts'
import { IdSource } from './ids.ts'

function composer(persistent = true): { make: Composer; ids: IdSource } {
  const ids = new IdSource({ clock: new SimClock(), random: new SimRandom(1) } as unknown as Platform)
  return {
    make: new Composer(
      { exchange: '', routingKey: 'jobs', what: "the data for queue 'jobs'" },
      persistent,
      ids,
      1_000_000,
    ),
    ids,
  }
}

function message(body: string | Buffer, properties: Properties): Message {
  return Message.of('', 'jobs', encodeProperties(properties), Buffer.from(body))
}

function decode(body: string | Buffer, properties: Properties): unknown {
  return decodeBody(message(body, properties), properties, 'it')
}

describe('Composer', () => {
  it.each([true, false])('makes plain messages as the long way does (persistent: %s)', (persistent) => {
    const { make, ids } = composer(persistent)
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), fc.string({ unit: 'binary' }), fc.uint8Array()), (value) => {
        const plain = make.plain(value)
        const rich = make.rich(make.encode(value, undefined), ids.text(), {})
        expect(plain.propertyBytes).toEqual(rich.propertyBytes)
        expect(plain.body).toEqual(rich.body)
        expect([plain.exchange, plain.routingKey, plain.persistent]).toEqual(['', 'jobs', persistent])
        expect(isPlainJson(plain)).toBe(!(value instanceof Uint8Array))
        const back = decodeBody(plain, plain.decodeProperties(), 'it')
        if (value instanceof Uint8Array) expect(back).toEqual(Buffer.from(value))
        else expect(back).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })

  it('makes messages that do not overwrite each other, small and large', () => {
    const { make } = composer()
    const texts = Array.from({ length: 500 }, (_, at) => 'x'.repeat(at % 50 === 0 ? 70_000 : at))
    const messages = texts.map((text) => make.plain(text))
    expect(messages.map((one) => JSON.parse(one.body.toString()) as unknown)).toEqual(texts)
  })

  it('sees that a message is not plain', () => {
    const messageId = 'i'.repeat(36)
    const contentType = 'application/json'
    expect(isPlainJson(message('1', { contentType, deliveryMode: 2, messageId }))).toBe(true)
    expect(isPlainJson(message('1', { contentType, messageId }))).toBe(true)
    for (const other of [
      {},
      { contentType },
      { contentType, messageId: 'short' },
      { contentType, messageId, replyTo: 'me' },
      { contentType: 'application/jsox', deliveryMode: 2, messageId },
      { contentType, deliveryMode: 2, messageId, headers: new Map() },
      { contentType, priority: 1, messageId },
    ]) {
      expect(isPlainJson(message('1', other)), JSON.stringify(other)).toBe(false)
    }
  })
})

describe('bodies', () => {
  it.each<[unknown, string | undefined, string, string]>([
    ['text', undefined, 'application/json', '"text"'],
    ['text', 'text/plain', 'text/plain', 'text'],
    [{ a: 1 }, 'application/cloudevents+json', 'application/cloudevents+json', '{"a":1}'],
    [undefined, undefined, 'application/json', ''],
    [null, undefined, 'application/json', 'null'],
    [Buffer.from('b'), undefined, 'application/octet-stream', 'b'],
    [new Uint16Array([0x6161]).subarray(0), undefined, 'application/json', '{"0":24929}'],
    [new Uint8Array([97]), 'image/png', 'image/png', 'a'],
  ])('encodes %j with content type %s', (value, contentType, type, body) => {
    const encoded = encodeBody(value, contentType, 'it')
    expect([encoded.contentType, encoded.body.toString()]).toEqual([type, body])
  })

  it.each<[string, Properties, unknown]>([
    ['{"a":1}', { contentType: 'application/json' }, { a: 1 }],
    ['{"a":1}', { contentType: 'application/json; charset=utf-8' }, { a: 1 }],
    ['{"a":1}', { contentType: 'application/problem+json' }, { a: 1 }],
    ['{"a":1}', { contentType: 'application/json', contentEncoding: 'utf-8' }, { a: 1 }],
    ['{"a":1}', { contentType: 'application/json', contentEncoding: 'gzip' }, Buffer.from('{"a":1}')],
    ['', { contentType: 'application/json' }, undefined],
    ['a', { contentType: 'text/plain' }, 'a'],
    ['a', { contentType: 'image/png' }, Buffer.from('a')],
    ['1', {}, 1],
    ['a', {}, Buffer.from('a')],
    ['', {}, undefined],
  ])('decodes %j of %j', (body, properties, value) => expect(decode(body, properties)).toEqual(value))

  it('refuses JSON that is none', () => {
    expect(() => decode('{', { contentType: 'application/json' })).toThrow(
      /^E_BAD_DATA: it is not the JSON it says it is/,
    )
  })
})
