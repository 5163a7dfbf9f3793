// Kinds of exchanges beyond AMQP's four: one that spreads by a hash, one that keeps messages back until they are due.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bindCommand, type Core, type CoreChannel, declareExchange, openCore } from '../testing/core-harness.ts'
import { SimFolder } from '../testing/sim-folder.ts'
import { jump } from './consistent-hash.ts'

async function open(): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  return [core, await core.channel()]
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => `key ${index}`)

describe('x-consistent-hash', () => {
  test('gives each message to one queue, in proportion to the weights, and the same key always to the same', async () => {
    const [, channel] = await open()
    channel.declareExchange('x', 'x-consistent-hash')
    for (const [queue, weight] of Object.entries({ a: '1', b: '2', c: '5' })) {
      channel.declareQueue(queue)
      channel.bind(queue, 'x', weight)
    }
    for (const key of numbers(8_000)) channel.post('x', key, key)
    const first = ['a', 'b', 'c'].map((queue) => channel.drain(queue))
    const counts = first.map(({ length }) => length)
    expect(counts.reduce((sum, count) => sum + count)).toBe(8_000)
    for (const [at, expected] of [1_000, 2_000, 5_000].entries()) {
      expect(Math.abs((counts[at] as number) - expected)).toBeLessThan(250)
    }
    for (const key of numbers(8_000)) channel.post('x', key, key)
    expect(['a', 'b', 'c'].map((queue) => channel.drain(queue))).toEqual(first)
  })

  test('moves only what goes to a queue that is bound last', async () => {
    const [, channel] = await open()
    channel.declareExchange('x', 'x-consistent-hash')
    for (const queue of ['a', 'b', 'c']) channel.declareQueue(queue)
    channel.bind('a', 'x', '1')
    channel.bind('b', 'x', '1')
    for (const key of numbers(1_000)) channel.post('x', key, key)
    const [a, b] = [channel.drain('a'), channel.drain('b')]
    channel.bind('c', 'x', '1')
    for (const key of numbers(1_000)) channel.post('x', key, key)
    const moved = new Set(channel.drain('c'))
    expect(moved.size).toBeGreaterThan(200)
    expect(channel.drain('a')).toEqual(a.filter((key) => !moved.has(key)))
    expect(channel.drain('b')).toEqual(b.filter((key) => !moved.has(key)))
  })

  test.each([
    ['hash-header', 'region', { headers: { region: 'north' } }],
    ['hash-property', 'message_id', { properties: { messageId: 'm' } }],
    ['hash-property', 'correlation_id', { properties: { correlationId: 'c' } }],
    ['hash-property', 'timestamp', { properties: { timestamp: 1_700_000_000 } }],
  ])('looks at what %s = %s says instead of the key', async (argument, value, options) => {
    const [, channel] = await open()
    channel.declareExchange('x', 'x-consistent-hash', { arguments: { [argument]: value } })
    for (const queue of ['a', 'b', 'c']) {
      channel.declareQueue(queue)
      channel.bind(queue, 'x', '10')
    }
    for (const key of numbers(50)) channel.post('x', key, key, options)
    expect(['a', 'b', 'c'].map((queue) => channel.drain(queue).length).sort((one, two) => one - two)).toEqual([
      0, 0, 50,
    ])
  })

  test('counts a queue once, as it was bound first, and frees its place when that binding goes', async () => {
    const [, channel] = await open()
    channel.declareExchange('x', 'x-consistent-hash')
    channel.declareQueue('a')
    channel.declareQueue('b')
    channel.bind('a', 'x', '1')
    channel.bind('a', 'x', '1000')
    channel.bind('b', 'x', '1')
    for (const key of numbers(1_000)) channel.post('x', key, key)
    expect(Math.abs(channel.drain('a').length - 500)).toBeLessThan(100)
    channel.drain('b')
    channel.unbind('b', 'x', '1')
    channel.unbind('a', 'x', '1')
    channel.takeLines()
    channel.publish('x', 'k', 'm', { mandatory: true })
    expect(channel.takeLines()).toEqual(['return NO_ROUTE m'])
  })

  test.each(['', '0', '-1', 'heavy', '10001'])('refuses the weight %j', async (weight) => {
    const [, channel] = await open()
    channel.declareExchange('x', 'x-consistent-hash')
    channel.declareQueue('q')
    expect(channel.refusal(bindCommand('queue.bind', 'q', 'x', weight))).toBe(
      `PRECONDITION_FAILED - The binding key must be an integer from 1 to 10000, got '${weight}'`,
    )
  })

  test('the jump stays within the buckets, and with one more bucket either stays or goes there', () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.integer({ min: 1, max: 2_000 }), (hash, buckets) => {
        const before = jump(hash, buckets)
        expect(before).toBeLessThan(buckets)
        expect([before, buckets]).toContain(jump(hash, buckets + 1))
      }),
    )
  })
})

describe('x-delayed-message', () => {
  const delayed = { durable: true, arguments: { 'x-delayed-type': 'direct' } }

  async function openDelayed(): Promise<[Core, CoreChannel]> {
    const [core, channel] = await open()
    channel.declareExchange('x', 'x-delayed-message', delayed)
    channel.declareQueue('q')
    channel.bind('q', 'x', 'k')
    return [core, channel]
  }

  test('routes a message when it is due, with the delay negated, and one without delay at once', async () => {
    const [core, channel] = await openDelayed()
    channel.publish('x', 'k', 'later', { headers: { 'x-delay': 5_000, own: 1 } })
    channel.publish('x', 'k', 'now')
    channel.publish('x', 'k', 'now too', { headers: { 'x-delay': 0 } })
    expect(channel.drain('q')).toEqual(['now', 'now too'])
    core.clock.advance(4_900)
    expect(channel.drain('q')).toEqual([])
    core.clock.advance(1_200)
    const reply = channel.get('q', true)
    expect(reply.type === 'basic.get-ok' && reply.message.body.toString()).toBe('later')
    const headers = reply.type === 'basic.get-ok' ? reply.message.decodeProperties().headers : undefined
    expect([...(headers ?? [])].map(([name, { value }]) => [name, value])).toEqual([
      ['x-delay', -5_000],
      ['own', 1],
    ])
  })

  test('routes by the bindings there are when it is due', async () => {
    const [core, channel] = await openDelayed()
    channel.publish('x', 'other', 'm', { headers: { 'x-delay': 1_000 } })
    channel.bind('q', 'x', 'other')
    core.clock.advance(3_000)
    expect(channel.drain('q')).toEqual(['m'])
  })

  test('takes a mandatory message: whether it is routable is not known yet', async () => {
    const [core, channel] = await openDelayed()
    channel.takeLines()
    channel.publish('x', 'none', 'm', { mandatory: true, headers: { 'x-delay': 1_000 } })
    core.clock.advance(3_000)
    expect(channel.takeLines()).toEqual([])
  })

  test("goes with all that it keeps, and its queue is nobody else's", async () => {
    const [core, channel] = await openDelayed()
    expect(channel.counts('amq.delayed.x')).not.toBeNull()
    expect(channel.sibling().refusal({ type: 'basic.get', queue: 'amq.delayed.x', noAck: true })).toBe(
      "ACCESS_REFUSED - the queue 'amq.delayed.x' in vhost '/' belongs to an exchange",
    )
    channel.publish('x', 'k', 'm', { headers: { 'x-delay': 1_000 } })
    channel.deleteExchange('x')
    expect(channel.counts('amq.delayed.x')).toBeNull()
    core.clock.advance(3_000)
    expect(channel.drain('q')).toEqual([])
  })

  test('keeps a persistent message over a crash, and gives it once', async () => {
    const folder = new SimFolder()
    let run = await folder.open()
    await run.declare('q')
    run.channel.give(declareExchange('x', 'x-delayed-message', delayed))
    run.channel.give(bindCommand('queue.bind', 'q', 'x', 'k'))
    run.channel.post('x', 'k', 'm', { persistent: true, headers: { 'x-delay': 60_000 } })
    await run.settle()
    folder.kill()
    run = await folder.open()
    expect(await run.take('q')).toEqual([])
    await run.settle(62_000)
    expect(await run.take('q')).toEqual(['m'])
    await run.settle(1_000)
    folder.kill()
    run = await folder.open()
    await run.settle(62_000)
    expect(await run.take('q')).toEqual([])
  })
})
