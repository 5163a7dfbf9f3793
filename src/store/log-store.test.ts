// The broker on a simulated disk: what is there after it was closed, killed, filled, or let down by its disk.
import { describe, expect, test } from 'vitest'
import type { Command } from '../model/command.ts'
import { limits } from '../model/limits.ts'
import {
  bindCommand,
  CoreChannel,
  consume,
  declareExchange,
  declareQueue,
  makeMessage,
} from '../testing/core-harness.ts'
import type { SimOperation } from '../testing/sim-operation.ts'
import { commitMs, durableQueue, getOf, persistent, type StoreRun, StoreWorld } from '../testing/store-harness.ts'

const get: Command = getOf('q', true)

describe('after a clean close', () => {
  test('queues and their messages are there, in order, and what no consumer saw is not redelivered', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q', 'empty')
    await first.publish('q', '1', '2', '3', '4', '5')
    const { channel } = first
    channel.give({ ...get, noAck: false } as Command)
    channel.give({ ...get, noAck: false } as Command)
    channel.give({ ...get, noAck: false } as Command)
    channel.port.ack(2, false)
    channel.port.reject(3, false, true)
    await first.close()

    const second = await world.open()
    expect(second.broker.report).toMatchObject({ messages: 4, clean: true, notes: [] })
    expect(await second.queues()).toEqual(['q 4', 'empty 0'])
    await second.publish('q', '6')
    expect(await second.drain('q')).toEqual(['1!', '3!', '4', '5', '6'])
    await second.close()

    const third = await world.open()
    expect(await third.queues()).toEqual(['q 0', 'empty 0'])
  })

  test('what was acknowledged just before it does not come back', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', '1', '2')
    first.channel.give(consume('q', { tag: 'c' }))
    await first.settle()
    first.channel.port.ack(1, false)
    await first.close()
    const second = await world.open()
    expect(await second.drain('q')).toEqual(['2!'])
  })

  test('a message that was with a consumer while its queue was purged expires in its time all the same', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    first.channel.give(declareQueue('q', { durable: true, arguments: { 'x-message-ttl': 5_000 } }))
    await first.publish('q', 'held', 'purged')
    await first.ask({ ...get, noAck: false } as Command)
    await first.ask({ type: 'queue.purge', queue: 'q' })
    await first.close()
    await world.clock.advance(6_000)
    const second = await world.open()
    expect(await second.drain('q')).toEqual([])
  })

  test('keys still wait for each other, and priorities and expiry hold, in a window that holds next to nothing', async () => {
    const world = new StoreWorld({ windowBytesMax: 600, pageBytesMax: 0 })
    const first = await world.open()
    const keyed = { durable: true, arguments: { 'x-leveret-keyed': true, 'x-max-priority': 2 } }
    first.channel.give(declareQueue('q', keyed))
    await first.settle()
    for (const [body, key, priority] of [
      ['a1', 'a', 0],
      ['a2', 'a', 0],
      ['b1', 'b', 0],
      ['c1', 'c', 2],
    ] as const) {
      first.channel.post('', 'q', body, {
        persistent: true,
        headers: { 'x-leveret-key': key },
        properties: { priority },
      })
    }
    first.channel.post('', 'q', 'gone', { persistent: true, properties: { priority: 1, expiration: '5000' } })
    await first.settle()
    world.cutPower()
    await world.clock.advance(6_000)
    const second = await world.open()
    second.channel.give(consume('q', { tag: 'c' }))
    await second.settle(5_000)
    expect(second.channel.takeBodies()).toEqual(['c1', 'a1', 'b1'])
    second.channel.port.ack(2, false)
    await second.settle(1_000)
    expect(second.channel.takeBodies()).toEqual(['a2'])
    await second.close()
  })

  test('transient messages, transient queues and exclusive queues are gone', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    first.channel.give(declareQueue('transient'))
    first.channel.give(declareQueue('exclusive', { durable: true, exclusive: true }))
    await first.settle()
    first.channel.post('', 'q', 'transient')
    await first.publish('q', 'kept')
    await first.publish('transient', 'x')
    await first.close()
    const second = await world.open()
    expect(await second.queues()).toEqual(['q 1'])
    expect(await second.drain('q')).toEqual(['kept'])
  })

  test('a sequence is never given again, not even of messages that are gone, nor one above 2^32', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', '1', '2')
    const index = indexOf(first, 'q')
    index.nextSequence = 2 ** 33 + 5
    await first.publish('q', '3', '4')
    await first.drain('q')
    await first.close()
    const second = await world.open()
    expect(indexOf(second, 'q').nextSequence).toBe(2 ** 33 + 7)
    await second.publish('q', '5')
    await second.close()
    const third = await world.open()
    expect(await third.drain('q')).toEqual(['5'])
  })

  test('messages sorted by a requeue above 2^32 are still in order', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    indexOf(first, 'q').nextSequence = 2 ** 32 - 2
    await first.publish('q', '1', '2', '3', '4', '5')
    first.channel.give({ ...get, noAck: false } as Command)
    await first.settle()
    await first.close()
    const second = await world.open()
    expect(await second.drain('q')).toEqual(['1!', '2', '3', '4', '5'])
  })

  test('exchanges and bindings are there with all their properties, and what was deleted is not', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('a', 'b', 'gone')
    for (const command of [
      declareExchange('topic', 'topic', { durable: true, arguments: { 'x-own': 1 } }),
      declareExchange('inside', 'fanout', { durable: true, internal: true, autoDelete: true }),
      declareExchange('gone', 'fanout', { durable: true }),
      declareExchange('transient', 'fanout'),
      bindCommand('exchange.bind', 'inside', 'topic', 'order.#'),
      bindCommand('queue.bind', 'a', 'inside', ''),
      bindCommand('queue.bind', 'b', 'amq.headers', '', { kind: 'b', n: 1 }),
      bindCommand('queue.bind', 'a', 'topic', 'gone'),
      bindCommand('queue.unbind', 'a', 'topic', 'gone'),
      bindCommand('queue.bind', 'gone', 'topic', '#'),
      bindCommand('queue.bind', 'a', 'transient', ''),
    ]) {
      first.channel.give(command)
    }
    await first.settle()
    await first.ask({ type: 'queue.delete', queue: 'gone', ifUnused: false, ifEmpty: false })
    await first.ask({ type: 'exchange.delete', exchange: 'gone', ifUnused: false })
    await first.close()

    for (let round = 0; round < 2; round++) {
      const run = await world.open()
      expect((await run.queues()).map((line) => line.split(' ')[0])).toEqual(['a', 'b'])
      const { channel } = run
      channel.post('topic', 'order.new', '1')
      channel.post('topic', 'gone', '2')
      channel.post('amq.headers', '', '3', { headers: { kind: 'b', n: 1 } })
      await run.settle()
      expect([await run.drain('a'), await run.drain('b')]).toEqual([['1'], ['3']])
      await run.ask(declareExchange('inside', 'fanout', { durable: true, internal: true, autoDelete: true }))
      for (const missing of ['gone', 'transient']) {
        const probe = new CoreChannel({ settle() {} }, run.session.port)
        probe.give(declareExchange(missing, 'fanout', { passive: true }))
        await run.settle()
        expect(probe.error?.code).toBe('NOT_FOUND')
      }
      await run.close()
    }
  })

  test('a queue that was deleted and declared again has only what it got since', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', 'old')
    first.channel.give({ type: 'queue.delete', queue: 'q', ifUnused: false, ifEmpty: false })
    first.channel.give(durableQueue('q'))
    await first.publish('q', 'new')
    await first.close()
    const second = await world.open()
    expect(await second.drain('q')).toEqual(['new'])
  })
})

describe('after a kill', () => {
  test('everything that was confirmed is there, in order, and counts as redelivered', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    await first.ask({ type: 'confirm.select' })
    await first.publish('q', '1', '2', '3')
    expect(first.channel.takeLines()).toContain('confirm up to 3')
    world.kill()
    const second = await world.open()
    expect(second.broker.report).toMatchObject({ messages: 3, clean: false })
    expect(await second.drain('q')).toEqual(['1!', '2!', '3!'])
  })

  test('what was delivered without acknowledgement as the last thing that happened does not come back', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', '1', '2', '3')
    // Settled by the dispatch of a turn that is followed by no other (simulated seed 2000401).
    first.channel.give(consume('q', { tag: 'c', noAck: true }))
    await first.settle(limits.ackDelayMs + commitMs)
    world.cutPower()
    const second = await world.open()
    expect(await second.drain('q')).toEqual([])
  })

  test('an acknowledgement that had time to be stored does not come back', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', '1', '2', '3')
    first.channel.give(consume('q', { tag: 'c' }))
    await first.settle()
    first.channel.port.ack(2, true)
    await first.settle(limits.ackDelayMs + commitMs)
    world.cutPower()
    const second = await world.open()
    expect(await second.drain('q')).toEqual(['3!'])
  })

  test('a run that only opened the folder and handed messages out leaves them redelivered', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', '1', '2')
    await first.close()
    const second = await world.open()
    second.channel.give(consume('q', { tag: 'c' }))
    await second.settle()
    expect(second.channel.takeBodies()).toEqual(['1', '2'])
    world.cutPower()
    const third = await world.open()
    expect(third.broker.report.clean).toBe(false)
    expect(await third.drain('q')).toEqual(['1!', '2!'])
    await third.close()
  })

  test('messages that were redelivered once stay so through clean closes', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', '1')
    world.kill()
    for (let round = 0; round < 2; round++) {
      const run = await world.open()
      await run.publish('q', `new ${round}`)
      await run.close()
    }
    const last = await world.open()
    expect(await last.drain('q')).toEqual(['1!', 'new 0', 'new 1'])
  })

  test.each([1, 2, 3, 4])(
    'a commit is there as a whole or not at all, whenever the power goes (seed %d)',
    async (seed) => {
      const outcomes = new Set<string>()
      for (let operation = 0; operation < 12; operation++) {
        const world = new StoreWorld({ seed: seed * 100 + operation })
        const first = await world.open()
        await first.declare('q', 'r')
        await first.publish('q', '1')
        first.channel.give({ ...get, noAck: false } as Command)
        await first.settle()
        first.channel.takeLines()
        world.disk.stopAt = world.disk.operations + operation
        first.channel.commit([1], [makeMessage('', 'r', '2', persistent), makeMessage('', 'r', '3', persistent)])
        await first.settle()
        const isAnswered = first.channel.takeLines().some((line) => line.endsWith(' ok'))
        world.cutPower()
        const second = await world.open()
        const found = `${(await second.drain('q')).join(' ')} | ${(await second.drain('r')).join(' ')}`
        expect(['1! | ', ' | 2! 3!']).toContain(found)
        if (isAnswered) expect(found).toBe(' | 2! 3!')
        outcomes.add(found)
      }
      expect(outcomes.size).toBe(2)
    },
  )
})

describe('segments', () => {
  /** One checkpoint after the other. */
  const small = { segmentBytesMax: 4_096, checkpointBytes: 1, checkpointMs: 1_000 }
  const body = 'x'.repeat(200)

  test('are deleted when nothing in them lives, while queues, exchanges and bindings stay', async () => {
    const world = new StoreWorld(small)
    const first = await world.open()
    await first.declare('q', 'other')
    await first.ask(declareExchange('x', 'fanout', { durable: true }))
    await first.ask(bindCommand('queue.bind', 'q', 'x', ''))
    first.channel.give(consume('q', { tag: 'c' }))
    let most = 0
    for (let round = 0; round < 100; round++) {
      for (let number = 0; number < 5; number++) first.channel.post('x', '', body, persistent)
      await first.settle()
      first.channel.port.ack(0, true)
      most = Math.max(most, world.segments.length)
    }
    await first.settle(limits.ackDelayMs + commitMs)
    expect(most).toBeLessThan(6)
    expect(world.segments.length).toBeLessThan(4)
    world.cutPower()
    const second = await world.open()
    expect(await second.queues()).toEqual(['q 0', 'other 0'])
    second.channel.post('x', '', 'still bound', persistent)
    await second.settle()
    expect(await second.drain('q')).toEqual(['still bound'])
    await second.close()
  })

  test('are deleted without waiting for anything else to happen', async () => {
    const world = new StoreWorld(small)
    const first = await world.open()
    await first.declare('q')
    for (let round = 0; round < 40; round++) await first.publish('q', body, body)
    expect(world.segments.length).toBeGreaterThan(4)
    await first.drain('q')
    await first.settle(limits.ackDelayMs + commitMs)
    expect(world.segments.length).toBeLessThan(3)
  })

  test('stay until two checkpoints came after them, and the clock alone makes those', async () => {
    const world = new StoreWorld({ segmentBytesMax: 4_096, checkpointMs: 10_000 })
    const first = await world.open()
    await first.declare('q')
    for (let round = 0; round < 16; round++) await first.publish('q', body, body)
    await first.drain('q')
    await first.settle(5_000)
    const before = world.segments
    expect(before.length).toBeGreaterThan(2)
    expect(before[0]).toBe('/data/log/0000000001.log')
    await first.settle(10_000)
    expect(world.segments.slice(0, before.length)).toEqual(before)
    await first.settle(10_000)
    expect(world.segments.length).toBeLessThan(3)
    expect(world.segments).not.toContain(before[0])
    world.cutPower()
    const second = await world.open()
    expect(await second.queues()).toEqual(['q 0'])
  })

  test('go soon when they are many, whenever the next checkpoint would be due', async () => {
    const world = new StoreWorld({ segmentBytesMax: 4_096, checkpointMs: 3_600_000 })
    const first = await world.open()
    await first.declare('q')
    for (let round = 0; round < 80; round++) await first.publish('q', body, body)
    expect(world.segments.length).toBeGreaterThan(10)
    await first.drain('q')
    await first.settle(5_000)
    expect(world.segments.length).toBeLessThan(8)
    world.cutPower()
    const second = await world.open()
    expect(await second.queues()).toEqual(['q 0'])
  })

  test('that are deleted take no sequence with them: a queue goes on counting though nothing of it is left', async () => {
    const world = new StoreWorld(small)
    const first = await world.open()
    await first.declare('q', 'other')
    await first.publish('q', '1', '2', '3')
    await first.drain('q')
    for (let round = 0; round < 40; round++) {
      await first.publish('other', body, body)
      await first.drain('other')
    }
    await first.settle(limits.ackDelayMs + commitMs)
    world.cutPower()
    const second = await world.open()
    expect(indexOf(second, 'q').nextSequence).toBe(4)
  })

  test('stay as long as one message in them does, also while a consumer holds it', async () => {
    const world = new StoreWorld(small)
    const first = await world.open()
    await first.declare('q', 'stuck')
    await first.publish('stuck', 'held', 'ready')
    first.channel.give({ ...get, queue: 'stuck', noAck: false } as Command)
    for (let round = 0; round < 40; round++) {
      await first.publish('q', body, body, body, body)
      await first.drain('q')
    }
    await first.settle(limits.ackDelayMs + commitMs)
    expect(world.segments.length).toBeLessThan(6)
    world.cutPower()
    const second = await world.open()
    expect(await second.drain('stuck')).toEqual(['held!', 'ready!'])
    expect(await second.drain('q')).toEqual([])
  })

  test('may go in the middle: what lies before and behind survives, and no acknowledgement is forgotten', async () => {
    const world = new StoreWorld(small)
    const first = await world.open()
    await first.declare('early', 'middle', 'late')
    await first.publish('early', ...Array.from({ length: 10 }, (_, number) => `early ${number}`))
    // Two of the first segment's messages are acknowledged in what will be the middle.
    for (let round = 0; round < 40; round++) {
      await first.publish('middle', `${round} ${body}`)
      if (round === 5) first.channel.give({ ...get, queue: 'early' } as Command)
      if (round === 15) first.channel.give({ ...get, queue: 'early' } as Command)
    }
    for (let number = 0; number < 30; number++) await first.publish('late', `late ${number} ${body}`)
    const before = world.segments
    await first.drain('middle')
    await first.settle(limits.ackDelayMs + commitMs)
    await first.publish('late', 'last')
    const after = world.segments
    expect(after.length).toBeLessThan(before.length)
    expect(after[0]).toBe(before[0])
    world.cutPower()

    const second = await world.open()
    expect(await second.drain('early')).toEqual(Array.from({ length: 8 }, (_, number) => `early ${number + 2}!`))
    expect(await second.drain('middle')).toEqual([])
    const late = await second.drain('late')
    expect(late).toHaveLength(31)
    expect(late.map((line) => line.split(' ')[1]).slice(0, 30)).toEqual(
      Array.from({ length: 30 }, (_, number) => String(number)),
    )
    await second.close()
  })

  test('take a queue with them into the next life that is declared and filled while they go', async () => {
    const world = new StoreWorld(small)
    const first = await world.open()
    await first.declare('q')
    await first.ask({ type: 'confirm.select' })
    // Publishes and drains without a pause, so that checkpoints are made while frames are being filled.
    let expected: string[] = []
    for (let round = 0; round < 60; round++) {
      const name = `made ${round}`
      first.channel.give(durableQueue(name))
      first.channel.post('', name, 'content', persistent)
      for (let number = 0; number < 3; number++) first.channel.post('', 'q', body, persistent)
      for (let number = 0; number < 3; number++) first.channel.give(get)
      await first.settle(1)
      expected = [...expected, name]
    }
    await first.settle()
    expect(world.segments.length).toBeLessThan(15)
    world.cutPower()
    const second = await world.open()
    expect(second.broker.report.notes).toEqual([])
    const lost: string[] = []
    for (const name of expected) if ((await second.drain(name)).join() !== 'content!') lost.push(name)
    expect(lost).toEqual([])
  })

  test('do not cost a checkpoint each when there is more to remember than fits into one', async () => {
    const world = new StoreWorld(small)
    const first = await world.open()
    const names = Array.from({ length: 300 }, (_, number) => `queue number ${number}`)
    await first.declare('q', ...names)
    await first.publish('q', 'x')
    await first.settle(1_000)
    let written = 0
    world.disk.fault = (operation: SimOperation) => {
      if (operation.kind === 'write') written += operation.bytes
      return null
    }
    for (let round = 0; round < 200; round++) {
      await first.publish('q', body)
      await first.drain('q')
    }
    // 200 frames of about 400 bytes; one checkpoint alone is about 20 KB.
    expect(written).toBeLessThan(400_000)
    await first.settle(1_000)
    const size = world.segments.reduce((sum, path) => sum + world.disk.contents(path).length, 0)
    expect(size).toBeLessThan(200_000)
    world.cutPower()
    const second = await world.open()
    expect(await second.queues()).toEqual(['q 0', ...names.map((name) => `${name} 0`)])
  })

  test('go when their queue is deleted or purged', async () => {
    const world = new StoreWorld(small)
    const first = await world.open()
    await first.declare('q', 'r', 'keep')
    for (let round = 0; round < 20; round++) {
      await first.publish('q', body, body)
      await first.publish('r', body, body)
    }
    const before = world.segments.length
    await first.ask({ type: 'queue.delete', queue: 'q', ifUnused: false, ifEmpty: false })
    await first.ask({ type: 'queue.purge', queue: 'r' })
    await first.publish('keep', 'x')
    await first.publish('keep', 'y')
    expect(world.segments.length).toBeLessThan(before / 2)
    world.cutPower()
    const second = await world.open()
    expect(await second.queues()).toEqual(['r 0', 'keep 2'])
  })
})

describe('large things survive a reopen', () => {
  test('a fan-out to 10,000 durable queues', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    const names = Array.from({ length: 10_000 }, (_, number) => `q${number}`)
    for (const name of names) {
      first.channel.give(durableQueue(name))
      first.channel.give(bindCommand('queue.bind', name, 'amq.fanout', ''))
    }
    await first.settle()
    await first.ask({ type: 'confirm.select' })
    first.channel.post('amq.fanout', '', 'to all', persistent)
    await first.settle()
    expect(first.channel.takeLines().at(-1)).toBe('confirm 1')
    world.cutPower()
    const second = await world.open()
    expect(second.broker.report.messages).toBe(10_000)
    // Each is one read of its own.
    const looked = names.filter((_name, number) => number % 10 === 0)
    for (const name of looked) second.channel.give({ ...get, queue: name } as Command)
    await second.settle(20_000)
    const found = second.channel.takeLines().filter((line) => line.includes('to all redelivered 0'))
    expect(found).toHaveLength(looked.length)
    await second.close()
  }, 120_000)

  test('a header table of 100 KiB', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    const headers = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`header ${n}`, `${n}`.repeat(1_024 / 2)]))
    first.channel.post('', 'q', 'x', { persistent: true, headers })
    await first.settle()
    await first.close()
    const second = await world.open()
    const reply = await second.ask(get)
    const message = reply.type === 'basic.get-ok' ? reply.message : null
    expect(message?.propertyBytes.length).toBeGreaterThan(90_000)
    expect(message?.decodeProperties().headers?.get('header 42')?.value).toBe('42'.repeat(512))
  })

  test('a body of 16 MiB, among small ones', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    const body = 'abcdefgh'.repeat(2 * 1_024 * 1_024)
    for (const each of ['before', body, 'after']) first.channel.post('', 'q', each, persistent)
    await first.settle(200)
    await first.close()
    const second = await world.open()
    const found = await second.drain('q')
    expect(found.map((each) => each.length)).toEqual([6, 16_777_216, 5])
    expect(found[1] === body).toBe(true)
  })

  test('exchange and routing key of each message, when they change from one to the next', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    await first.ask(declareExchange('x', 'fanout', { durable: true }))
    await first.ask(bindCommand('queue.bind', 'q', 'x', ''))
    await first.ask(bindCommand('queue.bind', 'q', 'amq.fanout', ''))
    const routes = ['x a', 'x b', 'amq.fanout b', 'amq.fanout b', 'x b', 'x a', ' q', 'x ']
    for (const route of routes) first.channel.post(...(route.split(' ') as [string, string]), route, persistent)
    await first.close()
    const second = await world.open()
    const found: string[] = []
    for (const route of routes) {
      const reply = await second.ask(get)
      if (reply.type !== 'basic.get-ok') break
      expect(reply.message.body.toString()).toBe(route)
      found.push(`${reply.message.exchange} ${reply.message.routingKey}`)
    }
    expect(found).toEqual(routes)
  })

  test('names of 255 bytes', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    const name = `${'ä'.repeat(127)}a`
    await first.declare('q', name)
    await first.ask(declareExchange(name, 'direct', { durable: true }))
    await first.ask(bindCommand('queue.bind', name, name, name))
    first.channel.post(name, name, 'x', persistent)
    first.channel.post('', 'q', 'y', persistent)
    first.channel.post(name, name, 'z', persistent)
    await first.close()
    const second = await world.open()
    const reply = await second.ask({ ...get, queue: name } as Command)
    const message = reply.type === 'basic.get-ok' ? reply.message : null
    expect([message?.exchange, message?.routingKey, message?.body.toString()]).toEqual([name, name, 'x'])
    expect([await second.drain('q'), await second.drain(name)]).toEqual([['y'], ['z']])
  })
})

describe('acknowledgements', () => {
  test('alone are written a tenth of a second later, all as one frame', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', ...Array.from({ length: 50 }, String))
    first.channel.give(consume('q', { tag: 'c' }))
    await first.settle()
    const writes: number[] = []
    world.disk.fault = (operation: SimOperation) => {
      if (operation.kind === 'write') writes.push(operation.bytes)
      return null
    }
    for (let tag = 1; tag <= 50; tag++) {
      first.channel.port.ack(tag, false)
      await first.settle(1)
    }
    expect(writes).toEqual([])
    await first.settle(limits.ackDelayMs)
    expect(writes).toHaveLength(1)
    expect(writes[0]).toBeLessThan(120)
  })

  test('are written at once when somebody waits for them', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', '1', '2')
    first.channel.give({ ...get, noAck: false } as Command)
    await first.settle()
    first.channel.takeLines()
    first.channel.commit([1], [])
    await first.settle()
    expect(first.channel.takeLines()).toEqual(['3 ok'])
    first.channel.give({ type: 'queue.purge', queue: 'q' })
    await first.settle()
    expect(first.channel.takeLines()).toEqual(['4 queue.purge-ok 1'])
    world.cutPower()
    const second = await world.open()
    expect(await second.drain('q')).toEqual([])
  })

  test('share the frame of a publish that comes meanwhile', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q', 'r')
    await first.publish('q', '1')
    await first.drain('q')
    await first.publish('r', 'x')
    world.cutPower()
    const second = await world.open()
    expect(await second.queues()).toEqual(['q 0', 'r 1'])
  })
})

describe('a disk that fails', () => {
  test('to sync, ends every session, confirms nothing, and lets the folder go when the broker is closed', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    first.channel.give(declareQueue('auto', { durable: true, autoDelete: true }))
    await first.settle()
    await first.ask({ type: 'confirm.select' })
    await first.ask(consume('auto', { tag: 'c' }))
    const failures: string[] = []
    first.broker.onFailure((error) => failures.push(error.code))
    world.disk.fault = ({ kind }) => (kind === 'sync' ? { code: 'EIO' } : null)
    first.channel.takeLines()
    await first.publish('q', '1')
    first.channel.post('', 'q', '2', persistent)
    await first.settle(1_000)
    expect(failures).toEqual(['E_STORAGE_FAILED'])
    expect(first.session.lines).toEqual([
      'closed: INTERNAL_ERROR - the storage failed; outcomes not yet confirmed are unknown',
    ])
    expect(first.channel.takeLines()).toEqual([])
    await expect(first.close()).rejects.toThrow('E_STORAGE_FAILED')
    world.disk.fault = null
    const second = await world.open()
    expect(await second.queues()).toEqual(expect.arrayContaining([expect.stringMatching(/^q [01]$/), 'auto 0']))
    await second.close()
  })

  test('to take writes, blocks publishers and goes on when it takes them again, with nothing lost', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await first.declare('q')
    await first.ask({ type: 'confirm.select' })
    first.channel.takeLines()
    world.disk.fault = ({ kind }) => (kind === 'write' ? { code: 'ENOSPC', bytesWritten: 10 } : null)
    await first.publish('q', '1', '2')
    first.channel.give(consume('q', { tag: 'c' }))
    await first.settle(2_000)
    expect(first.session.lines).toEqual(['blocked low on disk'])
    expect(first.channel.takeLines()).toEqual(['3 basic.consume-ok c', 'deliver c 1 1', 'deliver c 2 2'])
    first.channel.port.ack(1, false)
    world.disk.fault = null
    await first.settle(2_000)
    expect(first.session.lines).toEqual(['blocked low on disk', 'unblocked'])
    expect(first.channel.takeLines()).toEqual(['confirm up to 2'])
    await first.settle(limits.ackDelayMs)
    world.cutPower()
    const second = await world.open()
    expect(await second.drain('q')).toEqual(['2!'])
  })

  test('for want of room gives its reserve back, and empties its queues with that', async () => {
    const reserve = '/data/reserve.bin'
    const world = new StoreWorld({ segmentBytesMax: 30_000, reserveBytes: 20_000, checkpointMs: 500 })
    const first = await world.open()
    await first.declare('q')
    const bodies = Array.from({ length: 40 }, (_, number) => `${number} ${'.'.repeat(1_000)}`)
    await first.publish('q', ...bodies)
    await first.settle(2_000)
    await first.publish('q', 'one more')
    expect(world.disk.paths()).toContain(reserve)
    // Somebody else has filled the disk.
    const isFull = (): boolean => world.disk.paths().includes(reserve)
    world.disk.fault = ({ kind }) => (kind === 'write' && isFull() ? { code: 'ENOSPC', bytesWritten: 0 } : null)
    first.channel.give(consume('q', { tag: 'c' }))
    await first.settle(100)
    first.channel.port.ack(41, true)
    await first.settle(8_000)
    expect(first.session.lines).toEqual(['blocked low on disk', 'unblocked'])
    expect(world.segments.length).toBeLessThan(3)
    await first.close()
    expect(await (await world.open()).drain('q')).toEqual([])
  })

  test('is told in the words of the public API, as is a folder in use', async () => {
    const world = new StoreWorld()
    const first = await world.open()
    await expect(world.open()).rejects.toMatchObject({ name: 'LeveretError', code: 'E_FOLDER_IN_USE' })
    await first.declare('q')
    for (let round = 0; round < 3; round++) await first.publish('q', `${round}`)
    // Without a checkpoint everything must be read.
    world.kill()
    const path = world.segments[0] as string
    // In the first frame, behind the segment's two headers.
    world.disk.flipBit(path, 1_024 + 100, 3)
    await expect(world.open()).rejects.toMatchObject({ name: 'LeveretError', code: 'E_STORAGE_CORRUPT' })
  })
})

function indexOf(run: StoreRun, name: string): { nextSequence: number } {
  const { state } = run.broker as unknown as {
    state: { virtualHosts: Map<string, { queues: Map<string, { index: { nextSequence: number } }> }> }
  }
  const queue = state.virtualHosts.get('/')?.queues.get(name)
  if (queue === undefined) throw new Error(`no queue ${name}`)
  return queue.index
}

describe('a salvage without a checkpoint that can be read', () => {
  test('keeps messages whose queue nobody declares any more, and puts aside what it cannot make sense of', async () => {
    const options = {
      segmentBytesMax: 4_096,
      checkpointBytes: 1,
      checkpointMs: 100,
      pageBytesMax: 0,
      windowBytesMax: 600,
    }
    const world = new StoreWorld(options)
    const first = await world.open()
    await first.declare('q')
    await first.declare('other')
    // Segments with the declarations go; some with messages stay.
    for (let round = 0; round < 8; round++) {
      await first.publish('other', 'x'.repeat(3_000))
      await first.drain('other')
      await first.settle(300)
    }
    await first.publish('q', '1', '2', '3')
    await first.settle(500)
    world.kill()
    for (const path of world.disk.paths().filter((name) => name.endsWith('.ckpt'))) world.disk.flipBit(path, 60, 1)

    await expect(world.open()).rejects.toThrow('E_STORAGE_CORRUPT')
    world.kill()
    const second = await world.open({ salvage: true })
    const [name] = (await second.queues()).filter((line) => line.startsWith('salvaged-') && line.endsWith(' 3'))
    expect(name).toBeDefined()
    expect(await second.drain(name?.split(' ')[0] as string)).toEqual(['1!', '2!', '3!'])
    expect(world.disk.paths().filter((path) => /quarantine.*ckpt/.test(path)).length).toBeGreaterThan(0)
    await second.close()
    const third = await world.open()
    expect((await third.queues()).some((line) => line.startsWith('salvaged-'))).toBe(true)
  })
})
