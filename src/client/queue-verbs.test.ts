// What can be done with a queue beside sending and processing: pause, look, take back, redrive.
import { describe, expect, it } from 'vitest'
import { openWorld, PlainClient, type World } from '../../test/support/client-world.ts'
import { toTable } from '../model/field-table.ts'
import type { Queue } from './queue.ts'
import type { QueueOptions } from './queue-options.ts'
import type { QueuedMessage } from './queued-message.ts'

async function stage(options: QueueOptions = {}): Promise<{ world: World; queue: Queue }> {
  const world = await openWorld()
  const retry = { attempts: 2, min: 0, jitter: false }
  return { world, queue: await world.run(world.bus.createQueue('jobs', { retry, ...options })) }
}

async function peek(queue: Queue, options?: Parameters<Queue['peek']>[0]): Promise<QueuedMessage[]> {
  const all: QueuedMessage[] = []
  for await (const message of queue.peek(options)) all.push(message)
  return all
}

describe('a paused queue', () => {
  it('takes messages and hands out none, until it goes on', async () => {
    const { world, queue } = await stage()
    const seen: unknown[] = []
    queue.process((message) => void seen.push(message.data))
    await world.run(queue.pause())
    await world.run(queue.sendMany([1, 2]))
    await world.clock.advance(1_000)
    expect(seen).toEqual([])
    expect(await world.run(queue.stats())).toMatchObject({ ready: 2, paused: true })
    await world.run(queue.resume())
    await world.settle()
    expect(seen).toEqual([1, 2])
  })
})

describe('a look at a queue', () => {
  it('shows what waits and what is hidden, and changes nothing', async () => {
    const { world, queue } = await stage({ ttl: '1h' })
    const { id } = await world.run(queue.send({ n: 1 }, { headers: { tenant: 7 } }))
    await world.run(queue.send('late', { delay: '1m' }))
    const [ready] = await world.run(peek(queue))
    expect(ready).toMatchObject({
      id,
      data: { n: 1 },
      headers: { tenant: 7 },
      state: 'ready',
      attempt: 1,
      deliveries: 0,
    })
    expect(ready?.dueAt).toBeNull()
    expect(ready?.expiresAt?.getTime()).toBe(world.clock.realtimeMs() + 3_600_000)
    const [delayed] = await world.run(peek(queue, { state: 'delayed' }))
    expect(delayed).toMatchObject({ data: 'late', state: 'delayed', bytes: 6 })
    expect(delayed?.dueAt?.getTime()).toBe(world.clock.realtimeMs() + 60_000)
    const redelivered: boolean[] = []
    queue.process((message) => void redelivered.push(message.redelivered))
    await world.settle()
    expect(redelivered).toEqual([false])
  })

  it('goes through as many as are asked for, in order', async () => {
    const { world, queue } = await stage()
    await world.run(queue.sendMany(Array.from({ length: 350 }, (_, at) => at)))
    expect(await world.run(peek(queue))).toHaveLength(100)
    const some = await world.run(peek(queue, { limit: 250, skip: 50 }))
    expect(some.map(({ data }) => data)).toEqual(Array.from({ length: 250 }, (_, at) => at + 50))
    expect(await world.run(peek(queue, { limit: 1_000 }))).toHaveLength(350)
    await expect(world.run(peek(queue, { limit: 0 }))).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
    await expect(world.run(peek(queue, { state: 'gone' as never }))).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
  })

  it('shows what cannot be read as bytes', async () => {
    const { world, queue } = await stage()
    const plain = await PlainClient.open(world)
    plain.publish('jobs', '{"a":', { contentType: 'application/json' })
    await world.settle()
    expect((await world.run(peek(queue))).map(({ data }) => data)).toEqual([Buffer.from('{"a":')])
  })
})

describe('a message that waits', () => {
  it('can be taken back, ready or delayed, and its sender hears of it', async () => {
    const { world, queue } = await stage()
    const told: unknown[] = []
    const ready = await world.run(queue.send(1, { onProcessed: (error) => told.push(error?.message) }))
    const delayed = await world.run(queue.send(2, { delay: '1h' }))
    await world.run(queue.send(3))
    expect(await world.run(queue.cancel(ready.id))).toBe(true)
    expect(await world.run(queue.cancel(delayed.id))).toBe(true)
    expect(await world.run(queue.cancel(delayed.id))).toBe(false)
    await world.settle()
    expect(told).toEqual([expect.stringContaining('it was cancelled')])
    expect(await world.run(queue.stats())).toMatchObject({ ready: 1, delayed: 0 })
  })

  it('cannot be taken back from a worker', async () => {
    const { world, queue } = await stage()
    let finish = (): void => {}
    queue.process(() => new Promise<void>((resolve) => (finish = resolve)))
    const { id } = await world.run(queue.send(1))
    await world.settle()
    expect(await world.run(queue.cancel(id))).toBe(false)
    finish()
    await expect(queue.cancel('')).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
  })

  it('is replaced by a later one of its debounce key', async () => {
    const { world, queue } = await stage()
    const seen: unknown[] = []
    queue.process((message) => void seen.push(message.data))
    const told: unknown[] = []
    for (const data of [1, 2, 3]) {
      const onProcessed = (error: Error | null): void => void told.push([data, error === null])
      await world.run(queue.send(data, { debounce: { key: 'k', wait: '1s' }, onProcessed }))
      await world.clock.advance(600)
    }
    await world.run(queue.send('other', { debounce: { key: 'l', wait: '1s' } }))
    await world.clock.advance(3_000)
    expect(seen).toEqual([3, 'other'])
    expect(told).toEqual([
      [1, false],
      [2, false],
      [3, true],
    ])
    await world.run(queue.send(4, { debounce: { key: 'k', wait: '1s' } }))
    await world.clock.advance(2_000)
    expect(seen).toEqual([3, 'other', 4])
  })
})

describe('dead letters', () => {
  async function withDead(): Promise<{
    world: World
    queue: Queue
    setFails: (fails: boolean) => void
    seen: unknown[]
  }> {
    const { world, queue } = await stage()
    let fails = true
    const seen: unknown[] = []
    queue.process((message, context) => {
      seen.push([message.data, context.attempt])
      if (fails) throw new Error('no')
      return 'at last'
    })
    return { world, queue, seen, setFails: (value) => (fails = value) }
  }

  it('tell what went wrong, and when', async () => {
    const { world, queue } = await withDead()
    await world.run(queue.send(1))
    await world.settle()
    const dead = await world.run(world.bus.openQueue('jobs.dead'))
    const [letter] = await world.run(peek(dead))
    expect(letter?.failure).toMatchObject({ queue: 'jobs', error: 'Error: no', attempts: 2 })
    expect(letter?.failure?.history.map(({ attempt, error }) => [attempt, error])).toEqual([
      [1, 'Error: no'],
      [2, 'Error: no'],
    ])
    expect(letter?.failure?.firstAt?.getTime()).toBe(world.clock.realtimeMs())
  })

  it('go back into their queue with their attempts counted anew, and answer their sender', async () => {
    const { world, queue, seen, setFails } = await withDead()
    const plain = await PlainClient.open(world)
    const replyTo = await plain.replyQueue()
    plain.publish('jobs', '"x"', {
      replyTo,
      correlationId: 'c',
      headers: toTable({ 'x-leveret-idempotency-key': 'k' }),
    })
    await world.settle()
    expect(plain.received.map(({ headers }) => headers['x-leveret-outcome'])).toEqual(['dead-lettered'])
    setFails(false)
    expect(await world.run(queue.redrive())).toBe(1)
    await world.settle()
    expect(seen.at(-1)).toEqual(['x', 1])
    expect(plain.received.at(-1)?.body).toBe('"at last"')
    expect(await world.run(queue.redrive())).toBe(0)
  })

  it('go back as fast as is asked for, as many as are asked for, and those of other queues stay', async () => {
    const { world, queue } = await stage({ deadLetter: 'morgue' })
    const morgue = await world.run(world.bus.createQueue('morgue'))
    for (let at = 0; at < 30; at++) {
      await world.run(morgue.send(at, { headers: { 'x-leveret-queue': at % 3 === 0 ? 'others' : 'jobs' } }))
    }
    expect(await world.run(queue.redrive({ limit: 5 }))).toBe(5)
    const startMs = world.clock.monotonicMs()
    expect(await world.run(queue.redrive({ rate: '10/s' }))).toBe(15)
    expect(world.clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(900)
    expect(await world.run(queue.count())).toMatchObject({ ready: 20 })
    expect(await world.run(morgue.count())).toMatchObject({ ready: 10 })
  })

  it('must be somewhere else', async () => {
    const { world, queue } = await stage({ deadLetter: false })
    await expect(queue.redrive()).rejects.toThrow('say { from: … }')
    await expect(queue.redrive({ from: 'jobs' })).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
    await expect(world.run(queue.redrive({ from: 'none' }))).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})

it('verbs that AMQP has no word for are refused by a broker that is no Leveret', async () => {
  const world = await openWorld({ wiring: { statistics: () => false } })
  const queue = await world.run(world.bus.createQueue('jobs'))
  const refused = { code: 'E_UNSUPPORTED' }
  await expect(queue.pause()).rejects.toMatchObject(refused)
  await expect(queue.resume()).rejects.toMatchObject(refused)
  await expect(queue.cancel('id')).rejects.toMatchObject(refused)
  await expect(peek(queue)).rejects.toMatchObject(refused)
})
