// The document of some contracts: valid by AsyncAPI's own schema, and true about what is on the wire.
import specs from '@asyncapi/specs'
import { Ajv, type SchemaObject, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineCall, defineEvent, defineQueue } from '../client/contract.ts'
import { type AsyncApiDocument, type AsyncApiMessage, asyncApi, type Contract } from './async-api.ts'

const resize = defineQueue('resize', {
  input: z.object({ file: z.string(), size: z.number().optional() }),
  result: z.object({ bytes: z.number() }),
})
const plain = defineQueue<{ file: string }>('plain')
const resized = defineEvent('image.resized', z.object({ file: z.string() }))
const price = defineCall('price', { input: z.object({ sku: z.string() }), result: z.number() })
const order = defineCall('order', { errors: { soldOut: z.object({ left: z.number() }), 'too late': z.string() } })
const contracts = [resize, plain, resized, price, order]

function validator(version: '3.0.0' | '3.1.0'): ValidateFunction {
  // The official schema brings draft 07 itself along, by the name under which Ajv has it.
  const ajv = new Ajv({ strict: false, allErrors: true, meta: false, validateSchema: false })
  addFormats.default(ajv)
  return ajv.compile(specs.schemas[version] as SchemaObject)
}

const validators = { '3.0.0': validator('3.0.0'), '3.1.0': validator('3.1.0') }

/** What the official schema of that version of AsyncAPI has against it. */
function complaints(document: object, version: '3.0.0' | '3.1.0' = '3.0.0'): string[] {
  const validate = validators[version]
  validate(JSON.parse(JSON.stringify(document)))
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message ?? ''}`)
}

/** What a reference leads to; throws if it leads nowhere. */
function follow(document: AsyncApiDocument, { $ref }: { readonly $ref: string }): unknown {
  expect($ref).toMatch(/^#\//)
  let value: unknown = document
  for (const step of $ref.slice(2).split('/')) {
    value = (value as Record<string, unknown>)[step]
    if (value === undefined) throw new Error(`${$ref} leads nowhere`)
  }
  return value
}

function references(value: unknown): { readonly $ref: string }[] {
  if (typeof value !== 'object' || value === null) return []
  const inside = Object.values(value).flatMap(references)
  return '$ref' in value ? [value as { readonly $ref: string }, ...inside] : inside
}

describe('asyncApi', () => {
  it('gives a document that is valid by the official schemas of 3.0.0 and 3.1.0', () => {
    const servers = { local: 'amqp://localhost', production: 'amqps://user:secret@mq.example.com:5678/shop%2F1' }
    const document = asyncApi(contracts, { title: 'Images', version: '1.2.3', description: 'All of it', servers })
    expect(complaints(document)).toEqual([])
    expect(complaints({ ...document, asyncapi: '3.1.0' }, '3.1.0')).toEqual([])
    expect(complaints({ ...document, channels: { resize: { address: 1 } } })).not.toEqual([])
  })

  it('is valid without contracts and options, too', () => {
    expect(complaints(asyncApi([]))).toEqual([])
    expect(asyncApi([]).info).toEqual({ title: 'Messages', version: '0.0.0' })
  })

  it('has references that all lead somewhere', () => {
    const document = asyncApi([...contracts, defineQueue('{odd} ~1/é#%'), defineEvent('a~b.c/d')])
    const all = references(document)
    expect(all.length).toBeGreaterThan(30)
    for (const one of all) expect(() => follow(document, one)).not.toThrow()
    expect(complaints(document)).toEqual([])
  })

  it('says of a queue that it is sent to by its name, and that a result goes to reply_to', () => {
    const { channels, operations, components } = asyncApi([resize])
    expect(Object.keys(channels)).toEqual(['resize', 'resize.reply'])
    expect(channels['resize']).toMatchObject({
      address: 'resize',
      bindings: {
        amqp: { is: 'queue', queue: { name: 'resize', durable: true, exclusive: false, autoDelete: false } },
      },
    })
    const reply = {
      address: { location: '$message.header#/reply_to' },
      channel: { $ref: '#/channels/resize.reply' },
      messages: [{ $ref: '#/channels/resize.reply/messages/resize.reply' }],
    }
    const channel = { $ref: '#/channels/resize' }
    const messages = [{ $ref: '#/channels/resize/messages/resize' }]
    expect(operations).toMatchObject({
      'send.resize': {
        action: 'send',
        channel,
        messages,
        reply,
        bindings: { amqp: { deliveryMode: 2, mandatory: true } },
      },
      'process.resize': { action: 'receive', channel, messages, reply, bindings: { amqp: { ack: true } } },
    })
    expect(channels['resize.reply']?.address).toBeNull()
    expect(components.messages['resize']).toEqual({
      name: 'resize',
      title: 'resize',
      contentType: 'application/json',
      headers: { $ref: '#/components/schemas/leveret.message-headers' },
      payload: { $ref: '#/components/schemas/resize' },
      correlationId: { $ref: '#/components/correlationIds/leveret' },
    })
    expect(components.schemas).toMatchObject({
      resize: {
        type: 'object',
        properties: { file: { type: 'string' }, size: { type: 'number' } },
        required: ['file'],
      },
      'resize.reply': { properties: { bytes: { type: 'number' } } },
      'leveret.message-headers': { properties: { 'x-leveret-attempt': { type: 'integer' } } },
      'leveret.reply-headers': { properties: { 'x-leveret-outcome': { type: 'string' } } },
    })
  })

  it('says of a queue whose contract has no result that it has none', () => {
    const { channels, operations, components } = asyncApi([plain])
    expect(Object.keys(channels)).toEqual(['plain'])
    expect(operations['send.plain']).not.toHaveProperty('reply')
    expect(components.schemas['plain']).toEqual({ description: 'Any JSON value: the contract has no schema.' })
  })

  it('says of an event that it goes to amq.topic, and that nobody need listen', () => {
    const { channels, operations } = asyncApi([resized])
    expect(channels['image.resized']).toMatchObject({
      address: 'image.resized',
      bindings: { amqp: { is: 'routingKey', exchange: { name: 'amq.topic', type: 'topic', durable: true } } },
    })
    expect(operations).toMatchObject({
      'emit.image.resized': { action: 'send', bindings: { amqp: { mandatory: false } } },
      'on.image.resized': { action: 'receive' },
    })
    expect(operations['on.image.resized']).not.toHaveProperty('reply')
  })

  it('says of a call that it is answered at reply_to', () => {
    const { operations } = asyncApi([price])
    expect(operations).toMatchObject({
      'call.price': { action: 'send', reply: { channel: { $ref: '#/channels/price.reply' } } },
      'answer.price': { action: 'receive', reply: { address: { location: '$message.header#/reply_to' } } },
    })
  })

  it('says which errors a call declares: the name is in a header, the data are in the body', () => {
    const document = asyncApi([order])
    const { messages = [] } = document.operations['call.order']?.reply ?? {}
    const told = messages.map((one) => follow(document, follow(document, one) as { $ref: string }) as AsyncApiMessage)
    expect(told.map(({ name, title }) => [name, title])).toEqual([
      ['order.reply', 'result of order'],
      ['order.error.soldOut', 'error soldOut of order'],
      ['order.error.too_late', 'error too late of order'],
    ])
    const [, soldOut] = told
    expect(follow(document, soldOut?.payload as { $ref: string })).toMatchObject({ required: ['error', 'data'] })
    expect(document.components.schemas['order.error.soldOut.data']).toMatchObject({ required: ['left'] })
    expect(follow(document, soldOut?.headers as { $ref: string })).toHaveProperty([
      'properties',
      'x-leveret-error-name',
    ])
  })

  it('leaves passwords and what is for the connection out of servers', () => {
    const { servers } = asyncApi([], {
      servers: { a: 'amqps://user:secret@mq.example.com/shop%2F1?heartbeat=5', 'b c': 'amqp://[::1]:5673' },
    })
    expect(servers).toEqual({
      a: { host: 'mq.example.com:5671', pathname: '/shop%2F1', protocol: 'amqps', protocolVersion: '0-9-1' },
      b_c: { host: '[::1]:5673', protocol: 'amqp', protocolVersion: '0-9-1' },
    })
    expect(() => asyncApi([], { servers: { a: 'http://x' } })).toThrow('E_BAD_URL')
  })

  it('takes one contract given twice once, and refuses two that claim one name', () => {
    expect(asyncApi([resize, resize])).toEqual(asyncApi([resize]))
    for (const other of [defineQueue('resize'), defineCall('resize')]) {
      expect(() => asyncApi([resize, other])).toThrow("E_BAD_OPTION: two queues or calls are called 'resize'")
    }
    expect(() => asyncApi([resized, defineEvent('image.resized')])).toThrow("two events are called 'image.resized'")
  })

  it('tells a queue and an event of one name apart', () => {
    const document = asyncApi([defineQueue('orders'), defineEvent('orders')])
    expect(Object.keys(document.channels)).toEqual(['orders', 'orders.event'])
    expect(document.components.messages['orders.event']?.title).toBe('orders')
    expect(complaints(document)).toEqual([])
  })

  it('has ids of their own for names that differ in what AsyncAPI does not allow, and for its own parts', () => {
    const names = ['a b', 'a/b', 'a?b', 'leveret.message-headers']
    const document = asyncApi(names.map((name) => defineQueue(name)))
    const ids = ['a_b', 'a_b.queue', 'a_b.queue-2', 'leveret.message-headers.queue']
    expect(Object.keys(document.channels)).toEqual(ids)
    expect(ids.map((id) => document.components.messages[id]?.title)).toEqual(names)
    expect(complaints(document)).toEqual([])
  })

  it('has no address for a name that would be a parameter', () => {
    expect(asyncApi([defineQueue('{x}')]).channels['_x_']).toMatchObject({
      address: null,
      bindings: { amqp: { queue: { name: '{x}' } } },
    })
  })

  it('says what is no contract, and which options there are', () => {
    for (const [value, word] of [
      [{ name: 'x' }, 'an object that is no contract'],
      ['x', "'x'"],
      [null, 'null'],
    ] as const) {
      expect(() => asyncApi([value as unknown as Contract])).toThrow(
        `E_BAD_OPTION: asyncApi takes contracts, and got ${word}`,
      )
    }
    for (const value of [null, 5, {}]) {
      expect(() => asyncApi(value as unknown as Contract[])).toThrow('E_BAD_OPTION: asyncApi takes contracts, and got')
    }
    expect(() => asyncApi([], { title: 5 } as object)).toThrow('title is 5, and has to be text')
    expect(() => asyncApi([], { name: 'x' } as object)).toThrow("there is no option 'name'")
  })
})
