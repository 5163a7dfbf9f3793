// Data and headers that would become something else on the wire: they are refused, where they are given.
import { describe, expect, it } from 'vitest'
import type { PlainValue } from '../model/field-table.ts'
import { createTestBroker } from '../testing/kit/test-broker.ts'
import { toJson } from './body.ts'
import { callError } from './call-errors.ts'
import { defineCall } from './contract.ts'

const inMemory = { storage: 'memory' } as const

/** So that it is no promise where the test itself handles it. */
const named = (name: string, value: unknown): object => ({ [name]: value })

describe('data', () => {
  it.each<[string, unknown, string]>([
    ['a promise', Promise.resolve(1), 'it is a Promise, which JSON has no word for: await it before'],
    ['something else to be awaited', named('then', () => {}), 'await it before'],
    ['a Map', new Map([['a', 1]]), 'it is a Map, which'],
    ['a Set', new Set([1]), 'it is a Set, which'],
    ['a WeakMap', new WeakMap(), 'it is a WeakMap, which'],
    ['an Error', new Error('no'), 'it is an Error, which'],
    ['an Error with more to it', Object.assign(new TypeError('no'), { code: 'ENO' }), 'it is an Error, which'],
    ['a RegExp', /x/, 'it is a RegExp, which'],
    ['NaN', Number.NaN, 'it is NaN, which'],
    ['Infinity', Number.POSITIVE_INFINITY, 'it is Infinity, which'],
    ['an invalid Date', new Date('never'), 'it is an invalid Date, which'],
    ['a function', () => {}, 'it is a function, which'],
    ['a symbol', Symbol('s'), 'it is Symbol(s), which'],
    ['an ArrayBuffer', new ArrayBuffer(1), 'it is an ArrayBuffer, which'],
    ['what keeps all to itself', new URLSearchParams('a=1'), 'it is a URLSearchParams, which'],
    ['a generator', (function* () {})(), 'it is a Generator, which'],
    ['a bigint', 5n, 'it cannot be written as JSON'],
    [
      'what throws something strange',
      { toJSON: () => Promise.reject.call(null as never) },
      'cannot be written as JSON',
    ],
  ])('are not %s', (_name, value, text) => {
    expect(() => toJson(value, 'it')).toThrow(expect.objectContaining({ code: 'E_BAD_DATA' }))
    expect(() => toJson(value, 'it')).toThrow(text)
  })

  class Point {
    readonly x = 1
  }

  it.each<[string, unknown, string]>([
    ['an object', {}, '{}'],
    ['an array', [], '[]'],
    ['null', null, 'null'],
    ['nothing', undefined, ''],
    ['false', false, 'false'],
    ['a number', -0.5, '-0.5'],
    ['a Date', new Date(0), '"1970-01-01T00:00:00.000Z"'],
    ['of a class', new Point(), '{"x":1}'],
    ['of a class that has nothing', new (class {})(), '{}'],
    ['without a prototype', Object.create(null), '{}'],
    ['a URL, which says itself what it is', new URL('file:///a'), '"file:///a"'],
    ['an Error that says itself what it is', Object.assign(new Error('no'), { toJSON: () => 'no' }), '"no"'],
    ['null by its own word', { toJSON: () => null }, 'null'],
    ['with a field that is called so', named('then', 'later'), '{"then":"later"}'],
    ['text in an object', Object('x'), '"x"'],
    // What is inside is as JSON says: nobody goes through all of it.
    ['with something like that inside', { map: new Map(), not: Number.NaN }, '{"map":{},"not":null}'],
  ])('may be %s', (_name, value, text) => {
    expect(toJson(value, 'it')).toBe(text)
  })

  it('that somebody forgot to await are sent nowhere', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs')
    const load = async (): Promise<number> => 1
    for (const run of [
      () => queue.send(load()),
      () => queue.sendMany([1, load()]),
      () => queue.send(load(), { priority: 1 }),
      () => bus.emit('order.paid', load()),
      () => bus.call(defineCall('price'), load()),
      () => bus.schedule('often', { every: '1m' }, queue, load()),
    ]) {
      await expect(test.run(Promise.resolve(run()))).rejects.toMatchObject({
        code: 'E_BAD_DATA',
        message: expect.stringContaining('await it before'),
      })
    }
    expect(await queue.count()).toMatchObject({ ready: 0 })
  })

  it('of a declared error are refused where it is made, not where it is told', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    const price = defineCall<number, number, { sold: unknown }>('price')
    for (const data of [5n, new Map(), Promise.resolve(1)]) {
      expect(() => callError(price, 'sold', data)).toThrow("the data of error 'sold' of call 'price'")
    }
    await bus.answer(price, () => {
      throw callError(price, 'sold', 5n)
    })
    await expect(test.run(bus.call(price, 1))).rejects.toMatchObject({
      code: 'E_CALL_FAILED',
      remote: { code: 'E_BAD_DATA' },
    })
  })

  it('are so for results, too: the attempt has failed', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs', { retry: { attempts: 1 } })
    queue.process(() => new Map([['a', 1]]))
    const receipt = await queue.send(1, { receipt: true })
    await expect(test.run(receipt.processed())).rejects.toThrow('a Map, which JSON has no word for')
  })
})

describe('headers', () => {
  const circular: { self?: unknown } = {}
  circular.self = circular

  it.each<[string, unknown, string]>([
    ['a bigint of more than 64 bits', 2n ** 70n, 'an integer of more than 64 bits is nothing that AMQP has a type for'],
    ['one that is just too large', 2n ** 63n, 'more than 64 bits'],
    ['a symbol', Symbol('s'), 'a symbol is nothing'],
    ['a function', () => {}, 'a function is nothing'],
    ['undefined', undefined, 'undefined is nothing'],
    ['a Map', new Map(), 'a Map is nothing'],
    ['a promise in a list', [Promise.resolve(1)], 'a Promise is nothing'],
    ['a Set inside', { inside: new Set() }, 'a Set is nothing'],
    ['an invalid Date', new Date('never'), 'an invalid Date is nothing'],
    ['a Date that AMQP cannot say', new Date(-1_000), 'a time before 1970 is nothing'],
    ['circular', circular, 'nests deeper than'],
    ['an object with a name that is too long', { ['x'.repeat(256)]: 1 }, 'longer than 255 bytes'],
  ])('are not %s', async (_name, value, text) => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs')
    const options = { headers: { good: 1, strange: value as PlainValue } }
    for (const run of [
      () => queue.send(1, options),
      () => bus.emit('paid', 1, options),
      () => bus.call('price', 1, options),
    ]) {
      await expect(test.run(Promise.resolve(run()))).rejects.toMatchObject({
        code: 'E_BAD_OPTION',
        message: expect.stringMatching(/headers: 'strange': .*give text, numbers/),
      })
    }
    await expect(queue.send(1, options)).rejects.toThrow(text)
    await expect(bus.createQueue('other', { arguments: options.headers })).rejects.toThrow(`arguments: 'strange': `)
  })

  it('come as they were sent, whatever they are called', async () => {
    await using test = await createTestBroker(inMemory)
    const queue = await (await test.connect()).createQueue('jobs')
    const headers = {
      least: -(2n ** 63n),
      most: 2n ** 63n - 1n,
      day: new Date(0),
      list: [null, { a: 1.5 }],
    }
    await queue.send(1, { headers: { ...headers, ['__proto__']: 'x' } })
    const { value } = await queue.receive().next()
    expect({ ...value?.headers }).toEqual({ ...headers, ['__proto__']: 'x' })
  })

  it('of ours are left out, so those of another message may be passed on, and no message says what is not so', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs')
    await queue.send(1, { headers: { 'x-leveret-attempt': 3, kept: 1 } })
    const { value } = await queue.receive().next()
    expect({ ...value?.headers }).toEqual({ kept: 1 })
  })

  it('that are too large for a connection are refused before they end it', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs')
    const headers = { large: 'x'.repeat(98_304) }
    for (const run of [
      () => queue.send(1, { headers }),
      () => queue.send(1, { headers, receipt: true }),
      () => bus.emit('paid', 1, { headers }),
    ]) {
      await expect(test.run(run())).rejects.toMatchObject({
        code: 'E_BAD_OPTION',
        message: expect.stringContaining('bytes, at most 98304 fit: put what is large into the data'),
      })
    }
    await queue.send(1, { headers: { large: 'x'.repeat(98_000) } })
    expect(await queue.count()).toMatchObject({ ready: 1 })
  })

  it('of a schedule that JSON cannot keep are refused', async () => {
    await using test = await createTestBroker(inMemory)
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs')
    const headers = { share: Number.NaN }
    await expect(bus.schedule('often', { every: '1m' }, queue, 1, { headers })).rejects.toMatchObject({
      code: 'E_BAD_OPTION',
    })
  })
})
