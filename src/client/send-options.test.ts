// What can be said when something is sent: when, for how long, in which order, and what counts as the same.
import { describe, expect, it } from 'vitest'
import { createWhiteBoxBroker, type WhiteBoxBroker } from '../../test/support/white-box-broker.ts'
import { toTable } from '../model/field-table.ts'
import { createTestBroker } from '../testing/kit/test-broker.ts'
import { defineEvent } from './contract.ts'
import type { Queue } from './queue.ts'
import type { QueueOptions } from './queue-options.ts'
import type { StandardSchema } from './standard-schema.ts'

async function withQueue(options: QueueOptions = {}): Promise<{ test: WhiteBoxBroker; queue: Queue }> {
  const test = await createWhiteBoxBroker({ storage: 'memory' })
  const bus = await test.connect()
  return { test, queue: await bus.createQueue('jobs', options) }
}

/** Everything the queue's worker sees, in order. */
function watch(queue: Queue): unknown[] {
  const seen: unknown[] = []
  queue.process((message) => {
    seen.push(message.data)
  })
  return seen
}

describe('when a message comes', () => {
  it('can be delayed', async () => {
    const { test, queue } = await withQueue()
    const seen = watch(queue)
    await queue.send('later', { delay: '5s' })
    await queue.send('now')
    await test.advance(4_900)
    expect(seen).toEqual(['now'])
    expect(await queue.stats()).toMatchObject({ delayed: 1, length: 0 })
    await test.advance(120)
    expect(seen).toEqual(['now', 'later'])
  })

  it.each([
    ['a Date', (ms: number) => new Date(ms)],
    ['milliseconds', (ms: number) => ms],
  ])('can be said as %s', async (_kind, at) => {
    const { test, queue } = await withQueue()
    const seen = watch(queue)
    await queue.send('past', { at: at(test.now.getTime() - 1_000) })
    await queue.send('future', { at: at(test.now.getTime() + 60_000) })
    await test.advance(59_900)
    expect(seen).toEqual(['past'])
    await test.advance(120)
    expect(seen).toEqual(['past', 'future'])
  })

  it('is refused if it is said twice, or makes no sense', async () => {
    const { queue } = await withQueue()
    const bad = { code: 'E_BAD_OPTION' }
    await expect(queue.send(1, { delay: 1, at: 1 })).rejects.toThrow('use one of them')
    await expect(queue.send(1, { at: new Date('never') })).rejects.toMatchObject(bad)
    await expect(queue.send(1, { delay: 'soon' as never })).rejects.toMatchObject(bad)
    await expect(queue.send(1, { delay: '4000d' })).rejects.toMatchObject(bad)
    await expect(queue.send(1, { deadline: '1s', delay: '2s' })).rejects.toThrow('over before the message is due')
  })

  it('cannot be said to a broker that hides nothing', async () => {
    const test = await createWhiteBoxBroker({ storage: 'memory', wiring: { statistics: () => false } })
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs')
    for (const options of [{ delay: 1 }, { idempotencyKey: 'k' }, { throttle: { key: 'k', every: 1 } }]) {
      await expect(queue.send(1, options)).rejects.toMatchObject({ code: 'E_UNSUPPORTED' })
    }
  })
})

describe('how long a message is of use', () => {
  it('waits no longer than its ttl, and its sender hears of that', async () => {
    const { test, queue } = await withQueue()
    const told: unknown[] = []
    await queue.send('old', { ttl: '1s', onProcessed: (error) => told.push(error?.code) })
    await test.advance(1_001)
    expect(told).toEqual(['E_EXPIRED'])
    expect(await queue.count()).toMatchObject({ ready: 0 })
  })

  it('is given to no handler beyond its deadline', async () => {
    const { test, queue } = await withQueue()
    const receipt = await queue.send('old', { deadline: '1s', receipt: true })
    await test.advance(1_001)
    const seen = watch(queue)
    await test.settle()
    expect(seen).toEqual([])
    await expect(receipt.processed()).rejects.toMatchObject({ code: 'E_EXPIRED' })
  })

  it('tells a handler that runs beyond it, and tries no more', async () => {
    const { test, queue } = await withQueue({ retry: { attempts: 5, min: '100ms' } })
    let attempts = 0
    queue.process(async (_message, context) => {
      attempts++
      await new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()))
      throw context.signal.reason as Error
    })
    const receipt = await queue.send('slow', { deadline: '1s', receipt: true })
    await test.advance(5_000)
    expect(attempts).toBe(1)
    await expect(receipt.processed()).rejects.toMatchObject({ code: 'E_EXPIRED' })
    const [dead] = await (await test.connectPlain()).drain('jobs.dead')
    expect(dead?.headers['x-leveret-error']).toContain('E_EXPIRED')
    expect(dead?.properties.expiration).toBeUndefined()
  })

  it('counts what a handler returns although its deadline was over', async () => {
    const { test, queue } = await withQueue()
    queue.process(async (_message, context) => {
      await new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()))
      return 'all the same'
    })
    const receipt = await queue.send('slow', { deadline: '1s', receipt: true })
    await test.advance(2_000)
    expect(await receipt.processed()).toBe('all the same')
  })

  it('gives up before a pause that would go beyond the deadline', async () => {
    const { test, queue } = await withQueue({ retry: { attempts: 5, min: '10s', jitter: false } })
    queue.process(() => Promise.reject(new Error('not now')))
    const receipt = await queue.send(1, { deadline: '5s', receipt: true })
    await test.settle()
    await expect(receipt.processed()).rejects.toThrow(/has expired: Error: not now/)
  })
})

describe('in which order', () => {
  it('are messages of one key, one at a time, and keys take turns', async () => {
    const { test, queue } = await withQueue({ keys: { concurrency: 1 } })
    const running = new Set<string>()
    const order: string[] = []
    queue.process(
      async (message) => {
        const name = String(message.data)
        const key = name.charAt(0)
        expect(running.has(key)).toBe(false)
        running.add(key)
        await test.sleep(100)
        running.delete(key)
        order.push(name)
      },
      { concurrency: 10 },
    )
    for (const name of ['a1', 'a2', 'a3', 'b1', 'b2', 'c1']) await queue.send(name, { key: name.charAt(0) })
    await test.advance(1_000)
    expect(order.filter((name) => name.startsWith('a'))).toEqual(['a1', 'a2', 'a3'])
    expect(order.slice(0, 3)).toEqual(['a1', 'b1', 'c1'])
  })

  it.each([
    ['strict', ['a1', 'b1', 'b2', 'a1', 'a2']],
    ['relaxed', ['a1', 'b1', 'b2', 'a2', 'a1']],
  ] as const)('comes what is tried again, where order is %s', async (order, expected) => {
    const { test, queue } = await withQueue({ keys: { order }, retry: { attempts: 2, min: '1s', jitter: false } })
    const seen: unknown[] = []
    queue.process((message, context) => {
      seen.push(message.data)
      if (message.data === 'a1' && context.attempt === 1) throw new Error('not yet')
    })
    for (const name of ['a1', 'a2', 'b1', 'b2']) await queue.send(name, { key: name.charAt(0) })
    await test.advance(2_000)
    expect(seen).toHaveLength(expected.length)
    expect(seen.filter((name) => String(name).startsWith('a'))).toEqual(expected.filter((name) => name.startsWith('a')))
  })

  it('is not promised by a queue without keys', async () => {
    const { queue } = await withQueue()
    await expect(queue.send(1, { key: 'a' })).rejects.toThrow('create it with { keys: { concurrency: 1 } }')
  })

  it('comes a higher priority first, in any queue', async () => {
    for (const options of [{ maxPriority: 9 }, {}]) {
      const { test, queue } = await withQueue(options)
      await queue.send('usual')
      await queue.send('soon', { priority: 5 })
      await queue.send('late', { priority: 9, delay: '1s' })
      await queue.send('urgent', { priority: 9 })
      await test.advance(1_100)
      const seen = watch(queue)
      await test.settle()
      expect(seen).toEqual(['urgent', 'late', 'soon', 'usual'])
      await expect(queue.send(1, { priority: 256 })).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
    }
  })

  it('has the priority of a plain client count where the queue has priorities, and nowhere else', async () => {
    for (const [options, expected] of [
      [{}, ['usual', 'urgent']],
      [{ maxPriority: 9 }, ['urgent', 'usual']],
    ] as const) {
      const { test, queue } = await withQueue(options)
      const plain = await test.connectPlain()
      plain.publish(queue.name, '"usual"', {})
      plain.publish(queue.name, '"urgent"', { priority: 5 })
      const seen = watch(queue)
      await test.settle()
      expect(seen).toEqual(expected)
    }
  })
})

describe('an idempotency key', () => {
  it('gives the second send the id of the first, and stores nothing', async () => {
    const { queue } = await withQueue()
    const first = await queue.send('a', { idempotencyKey: 'a#1' })
    const second = await queue.send('a', { idempotencyKey: 'a#1' })
    const other = await queue.send('a', { idempotencyKey: 'a#2' })
    expect(first.duplicate).toBe(false)
    expect(second).toMatchObject({ id: first.id, duplicate: true })
    expect(JSON.parse(JSON.stringify(second))).toEqual({ id: first.id, duplicate: true })
    expect(second).not.toHaveProperty('processed')
    expect(other.duplicate).toBe(false)
    expect(await queue.count()).toMatchObject({ ready: 2 })
  })

  it('counts for an hour', async () => {
    const { test, queue } = await withQueue()
    await queue.send(1, { idempotencyKey: 'k' })
    await test.advance(3_600_001)
    expect((await queue.send(1, { idempotencyKey: 'k' })).duplicate).toBe(false)
  })

  it('tells both senders what becomes of the one message', async () => {
    const { test, queue } = await withQueue()
    const first = await queue.send(20, { idempotencyKey: 'k', receipt: true })
    const told: unknown[] = []
    const second = await queue.send(20, {
      idempotencyKey: 'k',
      onDelivered: () => told.push('delivered'),
      onProcessed: (error, result) => told.push([error, result]),
    })
    expect([second.id, second.duplicate]).toEqual([first.id, true])
    let calls = 0
    queue.process((message) => {
      calls++
      return (message.data as number) * 2
    })
    await test.settle()
    expect(await first.processed()).toBe(40)
    expect(await second.processed()).toBe(40)
    expect(told).toEqual(['delivered', [null, 40]])
    expect(calls).toBe(1)
  })

  it('tells a later sender what became of it before', async () => {
    const { test, queue } = await withQueue({ retry: { attempts: 1 } })
    queue.process((message) => {
      if (message.data === 'bad') throw new Error('no')
      return `done: ${String(message.data)}`
    })
    await queue.send('good', { idempotencyKey: 'g', receipt: true })
    await queue.send('bad', { idempotencyKey: 'b', receipt: true })
    await test.settle()
    const good = await queue.send('good', { idempotencyKey: 'g', receipt: true })
    const bad = await queue.send('bad', { idempotencyKey: 'b', receipt: true })
    expect(await good.processed()).toBe('done: good')
    await expect(bad.processed()).rejects.toThrow(/was dead-lettered: Error: no/)
  })

  it('makes a throttle: one in a time, and later ones are duplicates', async () => {
    const { test, queue } = await withQueue()
    const throttle = { key: 'report', every: '1m' } as const
    const sends = [await queue.send(1, { throttle }), await queue.send(2, { throttle })]
    await test.advance(60_001)
    sends.push(await queue.send(3, { throttle }))
    expect(sends.map(({ duplicate }) => duplicate)).toEqual([false, true, false])
    const seen = watch(queue)
    await test.settle()
    expect(seen).toEqual([1, 3])
  })

  it('is text of at most 255 bytes, and one of three ways to say what is the same', async () => {
    const { queue } = await withQueue()
    const bad = { code: 'E_BAD_OPTION' }
    await expect(queue.send(1, { idempotencyKey: '' })).rejects.toMatchObject(bad)
    await expect(queue.send(1, { idempotencyKey: 'ä'.repeat(128) })).rejects.toThrow('has 256 bytes')
    await expect(queue.send(1, { idempotencyKey: 7 as never })).rejects.toMatchObject(bad)
    const both = { idempotencyKey: 'k', throttle: { key: 'k', every: 1 } }
    await expect(queue.send(1, both)).rejects.toThrow('use one of them')
    await expect(queue.sendMany([1], { idempotencyKey: 'k' })).rejects.toMatchObject({ code: 'E_UNSUPPORTED' })
  })
})

describe('an event', () => {
  it('is published to amq.topic under its name', async () => {
    const test = await createWhiteBoxBroker({ storage: 'memory' })
    const bus = await test.connect()
    const plain = await test.connectPlain()
    const replyQueue = await plain.replyQueue()
    const bind = { destination: replyQueue, exchange: 'amq.topic', routingKey: 'image.*', arguments: toTable({}) }
    await plain.execute({ type: 'queue.bind', ...bind })
    const resized = defineEvent<{ file: string }>('image.resized')
    const { id } = await bus.emit(resized, { file: 'a.png' }, { headers: { by: 'me' }, ttl: '1m' })
    await bus.emit('other', 1)
    await test.settle()
    expect(plain.received).toMatchObject([{ body: '{"file":"a.png"}', headers: { by: 'me' } }])
    expect(plain.received[0]?.properties).toMatchObject({ messageId: id, expiration: '60000' })
  })

  it('is stored with the acknowledgement of the handler that emits it, or not at all', async () => {
    const { test, queue } = await withQueue({ retry: { attempts: 2, min: '1s', jitter: false } })
    const plain = await test.connectPlain()
    const name = await plain.replyQueue()
    const bind = { destination: name, exchange: 'amq.topic', routingKey: '#', arguments: toTable({}) }
    await plain.execute({ type: 'queue.bind', ...bind })
    const done = defineEvent<number>('done')
    queue.process((_message, context) => {
      context.emit(done, context.attempt)
      if (context.attempt === 1) throw new Error('after emitting')
    })
    await queue.send('x')
    await test.advance(2_000)
    expect(plain.received.map(({ body }) => body)).toEqual(['2'])
  })

  it('is checked by its schema, and its name', async () => {
    const test = await createWhiteBoxBroker({ storage: 'memory' })
    const bus = await test.connect()
    const schema: StandardSchema<number, number> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value) => (typeof value === 'number' ? { value } : { issues: [{ message: 'no number' }] }),
      },
    }
    const measured = defineEvent('measured', schema)
    await expect(bus.emit(measured, 'x' as never)).rejects.toThrow('no number')
    for (const name of ['', 'a..b', 'a.*', '#']) expect(() => defineEvent(name)).toThrow('no name for an event')
    expect(() => defineEvent('x', {} as never)).toThrow('is no schema')
    await expect(bus.emit(measured, 1, { delay: 1 } as never)).rejects.toThrow("no option 'delay'")
  })
})

describe('whether a message is a duplicate', () => {
  it('is waited for, also where what the broker says of it comes after the confirm', async () => {
    await using test = await createTestBroker()
    const bus = await test.connect()
    const jobs = await bus.createQueue('jobs')
    const first = await jobs.send('a', { idempotencyKey: 'k' })
    using _late = test.faults.reorder({ share: 1 })
    const again = await test.run(jobs.send('a', { idempotencyKey: 'k' }))
    expect([again.duplicate, again.id]).toEqual([true, first.id])
    expect((await test.run(jobs.send('a', { idempotencyKey: 'l' }))).duplicate).toBe(false)
  })
})
