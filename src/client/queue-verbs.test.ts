// What can be done with a queue beside sending and processing: pause, look, take back, redrive.
import { describe, expect, it } from 'vitest'
import { createWhiteBoxBroker, type WhiteBoxBroker } from '../../test/support/white-box-broker.ts'
import { toTable } from '../model/field-table.ts'
import type { Bus } from './bus.ts'
import type { Queue } from './queue.ts'
import type { QueueOptions } from './queue-options.ts'
import type { QueuedMessage } from './queued-message.ts'

interface Stage {
  readonly test: WhiteBoxBroker
  readonly bus: Bus
  readonly queue: Queue
}

async function stage(options: QueueOptions = {}): Promise<Stage> {
  const test = await createWhiteBoxBroker({ storage: 'memory' })
  const bus = await test.connect()
  const retry = { attempts: 2, min: 0, jitter: false }
  return { test, bus, queue: await bus.createQueue('jobs', { retry, ...options }) }
}

async function peek(queue: Queue, options?: Parameters<Queue['peek']>[0]): Promise<QueuedMessage[]> {
  const all: QueuedMessage[] = []
  for await (const message of queue.peek(options)) all.push(message)
  return all
}

describe('a paused queue', () => {
  it('takes messages and hands out none, until it goes on', async () => {
    const { test, queue } = await stage()
    const seen: unknown[] = []
    queue.process((message) => void seen.push(message.data))
    await queue.pause()
    await queue.sendMany([1, 2])
    await test.advance(1_000)
    expect(seen).toEqual([])
    expect(await queue.stats()).toMatchObject({ ready: 2, paused: true })
    await queue.resume()
    await test.settle()
    expect(seen).toEqual([1, 2])
  })
})

describe('a look at a queue', () => {
  it('shows what waits and what is hidden, and changes nothing', async () => {
    const { test, queue } = await stage({ ttl: '1h' })
    const { id } = await queue.send({ n: 1 }, { headers: { tenant: 7 } })
    await queue.send('late', { delay: '1m' })
    const [ready] = await peek(queue)
    expect(ready).toMatchObject({
      id,
      data: { n: 1 },
      headers: { tenant: 7 },
      state: 'ready',
      attempt: 1,
      deliveries: 0,
    })
    expect(ready?.dueAt).toBeNull()
    expect(ready?.expiresAt?.getTime()).toBe(test.now.getTime() + 3_600_000)
    const [delayed] = await peek(queue, { state: 'delayed' })
    expect(delayed).toMatchObject({ data: 'late', state: 'delayed', bytes: 6 })
    expect(delayed?.dueAt?.getTime()).toBe(test.now.getTime() + 60_000)
    const redelivered: boolean[] = []
    queue.process((message) => void redelivered.push(message.redelivered))
    await test.settle()
    expect(redelivered).toEqual([false])
  })

  it('goes through as many as are asked for, in order', async () => {
    const { queue } = await stage()
    await queue.sendMany(Array.from({ length: 350 }, (_, at) => at))
    expect(await peek(queue)).toHaveLength(100)
    const some = await peek(queue, { limit: 250, skip: 50 })
    expect(some.map(({ data }) => data)).toEqual(Array.from({ length: 250 }, (_, at) => at + 50))
    expect(await peek(queue, { limit: 1_000 })).toHaveLength(350)
    await expect(peek(queue, { limit: 0 })).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
    await expect(peek(queue, { state: 'gone' as never })).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
  })

  it('shows what cannot be read as bytes', async () => {
    const { test, queue } = await stage()
    const plain = await test.connectPlain()
    plain.publish('jobs', '{"a":', { contentType: 'application/json' })
    await test.settle()
    expect((await peek(queue)).map(({ data }) => data)).toEqual([Buffer.from('{"a":')])
  })
})

describe('a message that waits', () => {
  it('can be taken back, ready or delayed, and its sender hears of it', async () => {
    const { test, queue } = await stage()
    const told: unknown[] = []
    const ready = await queue.send(1, { onProcessed: (error) => told.push(error?.message) })
    const delayed = await queue.send(2, { delay: '1h' })
    await queue.send(3)
    expect(await queue.cancel(ready.id)).toBe(true)
    expect(await queue.cancel(delayed.id)).toBe(true)
    expect(await queue.cancel(delayed.id)).toBe(false)
    await test.settle()
    expect(told).toEqual([expect.stringContaining('it was cancelled')])
    expect(await queue.stats()).toMatchObject({ ready: 1, delayed: 0 })
  })

  it('cannot be taken back from a worker', async () => {
    const { test, queue } = await stage()
    let finish = (): void => {}
    queue.process(() => new Promise<void>((resolve) => (finish = resolve)))
    const { id } = await queue.send(1)
    await test.settle()
    expect(await queue.cancel(id)).toBe(false)
    finish()
    await expect(queue.cancel('')).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
  })

  it('is replaced by a later one of its debounce key', async () => {
    const { test, queue } = await stage()
    const seen: unknown[] = []
    queue.process((message) => void seen.push(message.data))
    const told: unknown[] = []
    for (const data of [1, 2, 3]) {
      const onProcessed = (error: Error | null): void => void told.push([data, error === null])
      await queue.send(data, { debounce: { key: 'k', wait: '1s' }, onProcessed })
      await test.advance(600)
    }
    await queue.send('other', { debounce: { key: 'l', wait: '1s' } })
    await test.advance(3_000)
    expect(seen).toEqual([3, 'other'])
    expect(told).toEqual([
      [1, false],
      [2, false],
      [3, true],
    ])
    await queue.send(4, { debounce: { key: 'k', wait: '1s' } })
    await test.advance(2_000)
    expect(seen).toEqual([3, 'other', 4])
  })
})

describe('dead letters', () => {
  interface Failing extends Stage {
    readonly setFails: (fails: boolean) => void
    readonly seen: unknown[]
  }

  async function withDead(): Promise<Failing> {
    const all = await stage()
    let fails = true
    const seen: unknown[] = []
    all.queue.process((message, context) => {
      seen.push([message.data, context.attempt])
      if (fails) throw new Error('no')
      return 'at last'
    })
    return { ...all, seen, setFails: (value) => (fails = value) }
  }

  it('tell what went wrong, and when', async () => {
    const { test, bus, queue } = await withDead()
    await queue.send(1)
    await test.settle()
    const dead = await bus.openQueue('jobs.dead')
    const [letter] = await peek(dead)
    expect(letter?.failure).toMatchObject({ queue: 'jobs', error: 'Error: no', attempts: 2 })
    expect(letter?.failure?.history.map(({ attempt, error }) => [attempt, error])).toEqual([
      [1, 'Error: no'],
      [2, 'Error: no'],
    ])
    expect(letter?.failure?.firstAt?.getTime()).toBe(test.now.getTime())
  })

  it('go back into their queue with their attempts counted anew, and answer their sender', async () => {
    const { test, queue, seen, setFails } = await withDead()
    const plain = await test.connectPlain()
    const replyTo = await plain.replyQueue()
    plain.publish('jobs', '"x"', {
      replyTo,
      correlationId: 'c',
      headers: toTable({ 'x-leveret-idempotency-key': 'k' }),
    })
    await test.settle()
    expect(plain.received.map(({ headers }) => headers['x-leveret-outcome'])).toEqual(['dead-lettered'])
    setFails(false)
    expect(await queue.redrive()).toBe(1)
    await test.settle()
    expect(seen.at(-1)).toEqual(['x', 1])
    expect(plain.received.at(-1)?.body).toBe('"at last"')
    expect(await queue.redrive()).toBe(0)
  })

  it('go back as fast as is asked for, as many as are asked for, and those of other queues stay', async () => {
    const { test, bus, queue } = await stage({ deadLetter: 'morgue' })
    const morgue = await bus.createQueue('morgue')
    for (let at = 0; at < 30; at++) {
      await morgue.send(at, { headers: { 'x-first-death-queue': at % 3 === 0 ? 'others' : 'jobs' } })
    }
    expect(await queue.redrive({ limit: 5 })).toBe(5)
    const startMs = test.now.getTime()
    expect(await test.run(queue.redrive({ rate: '10/s' }))).toBe(15)
    expect(test.now.getTime() - startMs).toBeGreaterThanOrEqual(900)
    expect(await queue.count()).toMatchObject({ ready: 20 })
    expect(await morgue.count()).toMatchObject({ ready: 10 })
  })

  it('are waited for no longer when their redrive is stopped, or the bus closed', async () => {
    const { test, bus, queue } = await stage({})
    const dead = await bus.createQueue('jobs.dead')
    await dead.sendMany([1, 2, 3])
    const stop = new AbortController()
    const stopped = queue.redrive({ rate: '1/h', signal: stop.signal })
    await test.settle()
    stop.abort()
    await test.settle()
    expect(await stopped).toBe(1)
    const closed = queue.redrive({ rate: '1/h' })
    closed.catch(() => {})
    await test.settle()
    await bus.close()
    await expect(closed).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  it('must be somewhere else', async () => {
    const { queue } = await stage({ deadLetter: false })
    await expect(queue.redrive()).rejects.toThrow('say { from: … }')
    await expect(queue.redrive({ from: 'jobs' })).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
    await expect(queue.redrive({ from: 'none' })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})

it('verbs that AMQP has no word for are refused by a broker that is no Leveret', async () => {
  const test = await createWhiteBoxBroker({ storage: 'memory', wiring: { statistics: () => false } })
  const bus = await test.connect()
  const queue = await bus.createQueue('jobs')
  const refused = { code: 'E_UNSUPPORTED' }
  await expect(queue.pause()).rejects.toMatchObject(refused)
  await expect(queue.resume()).rejects.toMatchObject(refused)
  await expect(queue.cancel('id')).rejects.toMatchObject(refused)
  await expect(peek(queue)).rejects.toMatchObject(refused)
})
