// Who gets what, and when: order, turns, prefetch, and the original place of what comes back.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../model/limits.ts'
import { Message } from '../model/message.ts'
import { type CoreChannel, consume, openCore } from '../testing/core-harness.ts'
import { SimFolder } from '../testing/sim-folder.ts'

async function open(): Promise<CoreChannel> {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('q')
  return channel
}

function fill(channel: CoreChannel, count: number, from = 1): void {
  for (let number = from; number < from + count; number++) channel.publish('', 'q', String(number))
}

describe('a queue', () => {
  test('hands out in the order of publishing, and what it has to a consumer that comes later', async () => {
    const channel = await open()
    fill(channel, 3)
    channel.consume('q', { tag: 'c' })
    fill(channel, 2, 4)
    expect(channel.takeBodies()).toEqual(['1', '2', '3', '4', '5'])
    expect(channel.counts('q')).toEqual({ ready: 0, unacked: 5, consumers: 1 })
  })

  test('gives each consumer one message in turn, a new one its turn after those who wait', async () => {
    const channel = await open()
    channel.consume('q', { tag: 'a' })
    channel.consume('q', { tag: 'b' })
    fill(channel, 3)
    channel.consume('q', { tag: 'c' })
    fill(channel, 4, 4)
    channel.cancel('b')
    fill(channel, 3, 8)
    expect(channel.deliveries.map((delivery) => delivery.consumerTag).join('')).toBe('ababacbaca')
  })

  test('keeps the turns when a long hand-out is cut into several turns of the loop', async () => {
    const core = await openCore()
    const channel = await core.channel()
    channel.declareQueue('q')
    const count = limits.deliveriesPerTurn * 2 + 10
    for (let number = 0; number < count; number++) channel.post('', 'q', 'x')
    core.settle()
    const tags = ['a', 'b', 'c', 'd']
    for (const tag of tags) channel.port.execute(100, { ...consumeCommand, consumerTag: tag })
    core.settle()
    expect(channel.deliveries).toHaveLength(count)
    const outOfTurn = channel.deliveries.filter((delivery, at) => delivery.consumerTag !== tags[at % 4])
    expect(outOfTurn).toHaveLength(0)
  })

  test('hands out no more than its share in one turn, so that sockets get theirs', async () => {
    const core = await openCore()
    const channel = await core.channel()
    channel.declareQueue('q')
    for (let number = 0; number < limits.deliveriesPerTurn + 1; number++) channel.post('', 'q', 'x')
    core.settle()
    channel.port.execute(100, { ...consumeCommand, consumerTag: 'a' })
    core.clock.endTurn()
    expect(channel.deliveries).toHaveLength(limits.deliveriesPerTurn)
    core.clock.endTurn()
    expect(channel.deliveries).toHaveLength(limits.deliveriesPerTurn + 1)
  })

  test('passes over a consumer that cannot take more, and comes back to it', async () => {
    const channel = await open()
    channel.qos(1)
    channel.consume('q', { tag: 'slow' })
    channel.qos(0)
    channel.consume('q', { tag: 'fast' })
    fill(channel, 5)
    expect(channel.deliveries.map((delivery) => delivery.consumerTag)).toEqual(['slow', 'fast', 'fast', 'fast', 'fast'])
    channel.ack(1)
    fill(channel, 2, 6)
    expect(
      channel.deliveries
        .slice(5)
        .map((delivery) => delivery.consumerTag)
        .sort(),
    ).toEqual(['fast', 'slow'])
  })

  test('tells, when asked, what is ready, what is out and what was done', async () => {
    const channel = await open()
    fill(channel, 12)
    channel.qos(3)
    channel.consume('q', { tag: 'c' })
    channel.reject(1, true)
    channel.ack(2)
    channel.reject(3, false)
    channel.get('q', true)
    const reply = channel.ask({ type: 'leveret.queues' })
    // Handed out: 1 2 3, 1 again, 4 and 5; 6 was taken by basic.get.
    expect(reply.type === 'leveret.queues-ok' && reply.queues[0]).toEqual({
      name: 'q',
      durable: false,
      durability: 'none',
      deliverAfter: 'accept',
      exclusive: false,
      autoDelete: false,
      paused: false,
      arguments: [],
      ready: 6,
      readyBytes: 9,
      unacked: 3,
      delayed: 0,
      consumers: 1,
      counters: {
        published: 12,
        publishedBytes: 15,
        delivered: 6,
        deliveredBytes: 6,
        redelivered: 1,
        settled: 3,
        settledBytes: 3,
        expired: 0,
        dropped: 0,
        refused: 0,
        deadLettered: 0,
      },
      flow: expect.objectContaining({
        arrivals: 12,
        returns: 1,
        waiting: 6,
        working: 3,
        servers: 3,
        isGuessed: true,
        lengthMax: null,
      }) as unknown,
    })
  })
})

const consumeCommand = {
  type: 'basic.consume' as const,
  queue: 'q',
  consumerTag: '',
  noAck: true,
  exclusive: false,
  arguments: new Map(),
}

describe('prefetch', () => {
  test('bounds what a consumer holds, and each settlement lets one more in', async () => {
    const channel = await open()
    channel.qos(2)
    channel.consume('q', { tag: 'c' })
    fill(channel, 6)
    expect(channel.takeBodies()).toEqual(['1', '2'])
    channel.ack(2)
    expect(channel.takeBodies()).toEqual(['3'])
    channel.reject(1, false)
    expect(channel.takeBodies()).toEqual(['4'])
    channel.ack(4, true)
    expect(channel.takeBodies()).toEqual(['5', '6'])
  })

  test('is counted for each consumer, and set for those that come after it', async () => {
    const channel = await open()
    channel.qos(1)
    channel.consume('q', { tag: 'one' })
    channel.qos(3)
    channel.consume('q', { tag: 'three' })
    fill(channel, 10)
    const tags = channel.deliveries.map((delivery) => delivery.consumerTag).sort()
    expect(tags).toEqual(['one', 'three', 'three', 'three'])
  })

  test('global, is one limit over all consumers of the channel, those it has included', async () => {
    const core = await openCore()
    const channel = await core.channel()
    const other = channel.sibling()
    for (const name of ['q', 'r']) channel.declareQueue(name)
    channel.consume('q', { tag: '1' })
    channel.consume('r', { tag: '2' })
    channel.qos(3, true)
    other.consume('r', { tag: '3' })
    for (let number = 0; number < 5; number++) channel.publish('', 'q', `q${number}`)
    expect(channel.takeBodies()).toHaveLength(3)
    for (let number = 0; number < 2; number++) channel.publish('', 'r', `r${number}`)
    expect(channel.takeBodies()).toEqual([])
    expect(other.takeBodies()).toEqual(['r0', 'r1'])
    channel.ack(3, true)
    expect(channel.takeBodies()).toEqual(['q3', 'q4'])
    channel.publish('', 'r', 'r2')
    channel.publish('', 'r', 'r3')
    expect(channel.takeBodies()).toHaveLength(1)
    // An acknowledgement on one queue makes room for another one's message.
    other.cancel('3')
    channel.publish('', 'r', 'r4')
    channel.ack(4)
    expect(channel.takeBodies()).toEqual(['r4'])
    channel.qos(0, true)
    channel.publish('', 'r', 'r5')
    expect(channel.takeBodies()).toEqual(['r5'])
  })

  test('global and per consumer hold both', async () => {
    const channel = await open()
    channel.qos(2)
    channel.qos(3, true)
    channel.consume('q', { tag: 'a' })
    channel.consume('q', { tag: 'b' })
    fill(channel, 9)
    expect(channel.deliveries.map((delivery) => delivery.consumerTag)).toEqual(['a', 'b', 'a'])
    channel.qos(9, true)
    expect(channel.deliveries.map((delivery) => delivery.consumerTag)).toEqual(['a', 'b', 'a', 'b'])
  })

  test('for each consumer lifts the one over all of them', async () => {
    const channel = await open()
    channel.qos(1, true)
    channel.consume('q', { tag: 'a' })
    fill(channel, 3)
    expect(channel.takeBodies()).toEqual(['1'])
    channel.qos(2)
    expect(channel.takeBodies()).toEqual(['2', '3'])
  })

  test('lowered below what is out, just waits', async () => {
    const channel = await open()
    channel.consume('q', { tag: 'c' })
    fill(channel, 4)
    channel.qos(2, true)
    fill(channel, 1, 5)
    channel.ack(2, true)
    expect(channel.takeBodies()).toEqual(['1', '2', '3', '4'])
    channel.ack(3)
    expect(channel.takeBodies()).toEqual(['5'])
  })

  test('does not bound consumers without acknowledgements, nor count what basic.get took', async () => {
    const channel = await open()
    fill(channel, 2)
    channel.get('q')
    channel.get('q')
    channel.qos(1)
    channel.qos(1, true)
    channel.consume('q', { tag: 'acks' })
    channel.declareQueue('r')
    channel.consume('r', { tag: 'none', noAck: true })
    for (let number = 0; number < 3; number++) channel.publish('', 'r', `r${number}`)
    fill(channel, 2, 3)
    expect(channel.takeBodies()).toEqual(['r0', 'r1', 'r2', '3'])
  })

  test('of a size is refused with NOT_IMPLEMENTED', async () => {
    const channel = await open()
    expect(channel.refusal({ type: 'basic.qos', prefetchSize: 1, prefetchCount: 0, global: false })).toBe(
      'NOT_IMPLEMENTED - prefetch_size!=0 (1)',
    )
  })
})

describe('what is requeued', () => {
  test('goes back to its original place and counts as redelivered', async () => {
    const channel = await open()
    fill(channel, 5)
    for (let number = 0; number < 3; number++) channel.get('q')
    channel.reject(2, true)
    expect(channel.sibling().getBody('q')).toBe('2!')
    channel.reject(3, true)
    channel.reject(1, true)
    expect(channel.drain('q')).toEqual(['1!', '3!', '4', '5'])
  })

  test('keeps the order when several are requeued by one multiple nack', async () => {
    const channel = await open()
    fill(channel, 4)
    for (let number = 0; number < 3; number++) channel.get('q')
    channel.reject(3, true, true)
    expect(channel.drain('q')).toEqual(['1!', '2!', '3!', '4'])
  })

  test('lies where a sorted list has it, however requeues, takes and publishes interleave', async () => {
    const step = fc.oneof(
      fc.constant({ kind: 'publish' as const, value: 0 }),
      fc.constant({ kind: 'take' as const, value: 0 }),
      fc.constant({ kind: 'take' as const, value: 0 }),
      fc.record({ kind: fc.constant('requeue' as const), value: fc.nat(100) }),
      fc.record({ kind: fc.constant('requeue up to' as const), value: fc.nat(100) }),
      fc.record({ kind: fc.constant('settle' as const), value: fc.nat(100) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
        const channel = await open()
        let ready: number[] = []
        let held: { tag: number; number: number }[] = []
        const seen = new Set<number>()
        let published = 0
        let lastTag = 0
        for (const { kind, value } of steps) {
          if (kind === 'publish') {
            channel.publish('', 'q', String(++published))
            ready.push(published)
          } else if (kind === 'take') {
            const number = ready.shift()
            const expected = number === undefined ? null : `${number}${seen.has(number) ? '!' : ''}`
            expect(channel.getBody('q')).toBe(expected)
            if (number === undefined) continue
            held.push({ tag: ++lastTag, number })
            seen.add(number)
          } else if (held.length > 0) {
            const chosen = held[value % held.length] as { tag: number; number: number }
            const gone = held.filter((each) => (kind === 'requeue up to' ? each.tag <= chosen.tag : each === chosen))
            held = held.filter((each) => !gone.includes(each))
            if (kind === 'settle') channel.ack(chosen.tag)
            else {
              channel.reject(chosen.tag, true, kind === 'requeue up to')
              ready = [...ready, ...gone.map((each) => each.number)].sort((left, right) => left - right)
            }
          }
        }
        expect(channel.drain('q')).toEqual(ready.map((number) => `${number}${seen.has(number) ? '!' : ''}`))
      }),
      { numRuns: 200 },
    )
  })
})

describe('a message', () => {
  /** What the network hands over: a chunk of 64 KiB in which a message is 22 bytes. */
  function inChunk(): Message {
    return new Message('', 'q', Buffer.alloc(65_536), 100, 102, 102, 122, false)
  }

  test.each<[string, (channel: CoreChannel) => void]>([
    ['waits in the queue', () => {}],
    [
      'is handed to a consumer at once',
      (channel) => channel.give({ ...consumeCommand, consumerTag: 'c', noAck: false }),
    ],
    ['is taken by basic.get at once', (channel) => channel.give({ type: 'basic.get', queue: 'q', noAck: false })],
    [
      'is one of many, of which a consumer takes the first',
      (channel) => {
        channel.give({ type: 'basic.qos', prefetchSize: 0, prefetchCount: 1, global: false })
        channel.give({ ...consumeCommand, consumerTag: 'c', noAck: false })
      },
    ],
  ])('that %s does not keep the chunk alive that it came in', async (_what, act) => {
    const core = await openCore()
    const channel = await core.channel()
    channel.declareQueue('q')
    const messages = [inChunk(), inChunk(), inChunk()]
    for (const message of messages) channel.port.publish(message, false)
    act(channel)
    core.settle()
    for (const message of messages) {
      expect(message.source.length).toBeLessThan(5_000)
      expect(message.owned).toBe(true)
      expect(message.body).toEqual(Buffer.alloc(20))
    }
  })

  test('that a consumer without acknowledgements takes at once is not copied', async () => {
    const core = await openCore()
    const channel = await core.channel()
    channel.declareQueue('q')
    channel.ask({ ...consumeCommand, consumerTag: 'c' })
    const message = inChunk()
    channel.port.publish(message, false)
    core.settle()
    expect(channel.deliveries).toHaveLength(1)
    expect(message.source.length).toBe(65_536)
  })
})

test('who acknowledges inside the delivery leaves nothing behind that keeps a folder from being opened again', async () => {
  const folder = new SimFolder()
  const run = await folder.open()
  await run.declare('q')
  run.channel.onDelivered = ({ tag }) => run.channel.ack(tag)
  run.channel.give(consume('q'))
  for (let round = 0; round < 30; round++) {
    for (let count = 0; count < 10; count++) run.post('q', '.'.repeat(500))
    await run.settle(400)
  }
  folder.kill()
  const again = await folder.open()
  await again.settle(5_000)
  await again.close()
  expect(folder.files().filter((name) => name.startsWith('log/')).length).toBeLessThan(4)
  expect((await folder.open()).channel.error).toBeNull()
})
