// Workers that find their concurrency, with a broker in virtual time: the handlers, and the messages they hold.
import { describe, expect, it } from 'vitest'
import { createWhiteBoxBroker, type WhiteBoxBroker, type WhiteBoxOptions } from '../../test/support/white-box-broker.ts'
import type { Queue } from './queue.ts'

async function stage(options: WhiteBoxOptions = {}): Promise<{ test: WhiteBoxBroker; queue: Queue<number> }> {
  const test = await createWhiteBoxBroker({ storage: 'memory', ...options })
  const bus = await test.connect()
  return { test, queue: await bus.createQueue<number>('jobs') }
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at)
}

/** A resource that serves so many at a time, 20 ms each. */
function pool(test: WhiteBoxBroker, servers: number): () => Promise<void> {
  let busy = 0
  const waiting: (() => void)[] = []
  return async () => {
    if (busy === servers) await new Promise<void>((resolve) => waiting.push(resolve))
    else busy++
    await test.sleep(20)
    const next = waiting.shift()
    if (next === undefined) busy--
    else next()
  }
}

describe("a worker with concurrency 'auto'", () => {
  it('runs as many handlers as do more than fewer would, and says so', async () => {
    const { test, queue } = await stage()
    const worker = queue.process(pool(test, 12), { concurrency: { max: 64 } })
    await queue.sendMany(numbers(6_000))
    await test.advance('8s')
    const { concurrency, processed } = worker.stats()
    const { limit, reason } = concurrency
    expect(limit).toBeGreaterThanOrEqual(12)
    expect(limit).toBeLessThanOrEqual(14)
    expect(reason).toBe(`no more throughput with more than ${limit}, less with fewer`)
    // 600 a second at best.
    expect(processed).toBeGreaterThan(4_500)
  })

  it('grows to its maximum where more is always more, and holds no more messages than it needs', async () => {
    const { test, queue } = await stage()
    const worker = queue.process(() => test.sleep(100), { concurrency: { max: 20 } })
    await queue.sendMany(numbers(2_000))
    await test.advance('5s')
    expect(worker.stats()).toMatchObject({ running: 20, concurrency: { limit: 20, max: 20 } })
    expect((await queue.stats()).unacked).toBeLessThanOrEqual(64)
  })

  it('holds few messages as long as few handlers run, so that others get their share', async () => {
    const { test, queue } = await stage()
    queue.process(() => test.sleep('1m'), { concurrency: 'auto' })
    await queue.sendMany(numbers(100))
    await test.settle()
    expect(await queue.stats()).toMatchObject({ ready: 92, unacked: 8 })
  })

  it('changes what it holds by a new consumer where the limit is one of each consumer', async () => {
    // As a broker that is no Leveret: no limit over the channel, since RabbitMQ's quorum queues refuse it.
    const { test, queue } = await stage({ wiring: { statistics: () => false } })
    const worker = queue.process(() => test.sleep(100), { concurrency: { max: 20 } })
    await queue.sendMany(numbers(1_000))
    await test.advance('5s')
    expect(worker.stats()).toMatchObject({ running: 20, processed: expect.any(Number) })
    expect(await queue.count()).toMatchObject({ consumers: 1 })
    await test.advance('10s')
    expect(worker.stats()).toMatchObject({ running: 0, waiting: 0, processed: 1_000 })
    expect(await queue.count()).toEqual({ ready: 0, consumers: 1 })
    await test.run(worker.close())
    expect(await queue.count()).toEqual({ ready: 0, consumers: 0 })
    expect(test.errors).toEqual([])
  })

  it('does not grow while messages come one by one', async () => {
    const { test, queue } = await stage()
    const worker = queue.process(() => test.sleep(20), { concurrency: 'auto' })
    for (let at = 0; at < 200; at++) {
      await queue.send(at)
      await test.advance(30)
    }
    expect(worker.stats().concurrency).toEqual({ limit: 4, min: 1, max: 256, reason: 'waiting for messages: keeps 4' })
  })

  it('says that its rate holds it', async () => {
    const { test, queue } = await stage()
    const worker = queue.process(() => test.sleep(10), { concurrency: 'auto', rate: '10/s' })
    await queue.sendMany(numbers(200))
    await test.advance('10s')
    expect(worker.stats().concurrency).toMatchObject({ limit: 4, reason: 'held by its rate: keeps 4' })
  })

  it('is fixed where a number is given, and says so', async () => {
    const { queue } = await stage()
    const fixed = (options: Parameters<typeof queue.process>[1]): unknown =>
      queue.process(() => {}, options).stats().concurrency
    expect(fixed({})).toEqual({ limit: 1, min: 1, max: 1, reason: 'fixed' })
    expect(fixed({ concurrency: 5 })).toEqual({ limit: 5, min: 5, max: 5, reason: 'fixed' })
    const batch = queue.processBatch(() => {}, { size: 10, concurrency: 2 })
    expect(batch.stats().concurrency).toMatchObject({ limit: 2 })
  })

  it('refuses bounds that are none', async () => {
    const { queue } = await stage()
    for (const concurrency of ['many', { min: 5, max: 4 }, { min: 0 }, { most: 3 }, null, 1.5]) {
      const process = (): unknown => queue.process(() => {}, { concurrency } as object)
      expect(process, JSON.stringify(concurrency)).toThrow('E_BAD_OPTION')
    }
    expect(queue.process(() => {}, { concurrency: { min: 300 } }).stats().concurrency).toMatchObject({ max: 300 })
  })
})
