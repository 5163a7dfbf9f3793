// What becomes of a message: acknowledged, tried again, dead-lettered, returned. With the broker's own commit and with tx mode.
import { describe, expect, it } from 'vitest'
import { createWhiteBoxBroker, type WhiteBoxBroker, type WhiteBoxOptions } from '../../test/support/white-box-broker.ts'
import { toTable } from '../model/field-table.ts'
import type { Bus } from './bus.ts'
import { defineQueue } from './contract.ts'
import type { IncomingMessage } from './incoming.ts'
import type { Queue } from './queue.ts'
import type { QueueOptions } from './queue-options.ts'
import type { StandardSchema } from './standard-schema.ts'

/** What the clock of a test broker shows at first. */
const startMs = Date.UTC(2026, 0, 1)
const noJitter: QueueOptions = { retry: { attempts: 3, min: '1s', jitter: false } }

function numbers(async = false): StandardSchema<{ n: number }, { n: number }> {
  const check = (value: unknown) =>
    typeof (value as { n?: unknown } | null)?.n === 'number'
      ? { value: value as { n: number } }
      : { issues: [{ message: 'no number', path: ['n'] }] }
  const validate = (value: unknown) => (async ? Promise.resolve(check(value)) : check(value))
  return { '~standard': { version: 1, vendor: 'test', validate } }
}

describe.each(['native', 'tx'] as const)('a worker with %s commits', (commits) => {
  interface Open {
    readonly test: WhiteBoxBroker
    readonly bus: Bus
  }

  async function open(wiring: WhiteBoxOptions['wiring'] = {}): Promise<Open> {
    const test = await createWhiteBoxBroker({ storage: 'memory', wiring: { commits, ...wiring } })
    return { test, bus: await test.connect() }
  }

  async function withQueue(options: QueueOptions = noJitter): Promise<Open & { readonly queue: Queue }> {
    const { test, bus } = await open()
    return { test, bus, queue: await bus.createQueue('jobs', options) }
  }

  async function ready(bus: Bus, name: string): Promise<number> {
    const all = await bus.stats()
    return all.find((queue) => queue.name === name)?.ready ?? 0
  }

  async function length(queue: Queue): Promise<number> {
    return (await queue.stats()).length
  }

  it('acknowledges what the handler is done with, in the order it was sent', async () => {
    const { test, queue } = await withQueue()
    const seen: unknown[] = []
    queue.process((message) => {
      seen.push(message.data)
    })
    await queue.sendMany([1, 'two', { three: 3 }, null, [5]])
    await test.settle()
    expect(seen).toEqual([1, 'two', { three: 3 }, null, [5]])
    expect(await length(queue)).toBe(0)
  })

  it('runs as many handlers at once as it is told, and no more', async () => {
    const { test, queue } = await withQueue()
    const waiting: (() => void)[] = []
    const worker = queue.process(() => new Promise<void>((resolve) => waiting.push(resolve)), { concurrency: 3 })
    await queue.sendMany([1, 2, 3, 4, 5, 6, 7, 8])
    await test.settle()
    expect(waiting).toHaveLength(3)
    expect(worker.stats()).toMatchObject({ running: 3, waiting: 3 })
    waiting.shift()?.()
    await test.settle()
    expect(worker.stats()).toMatchObject({ running: 3, processed: 1 })
    while (waiting.length > 0) {
      waiting.shift()?.()
      await test.settle()
    }
    expect(worker.stats()).toMatchObject({ running: 0, waiting: 0, processed: 8 })
    expect(await length(queue)).toBe(0)
  })

  it('knows how fast one handler is: messages over the time spent in handlers', async () => {
    const { test, queue } = await withQueue()
    const pause = (): Promise<void> => test.sleep(500)
    const worker = queue.process(pause, { concurrency: 2 })
    await queue.sendMany([1, 2, 3, 4])
    await test.advance(10_000)
    expect(worker.stats()).toMatchObject({ processed: 4, operationSeconds: 2, operationRate: 2 })
    await worker.close()
    const quick = queue.process(() => test.clock.pause(250))
    expect(quick.stats().operationRate).toBe(0)
    await queue.sendMany([1, 2])
    await test.settle()
    expect(quick.stats()).toMatchObject({ processed: 2, operationSeconds: 0.5, operationRate: 4 })
  })

  it('calls no handler inside the call that sends', async () => {
    const { test, queue } = await withQueue()
    let called = false
    const worker = queue.process(() => {
      called = true
    })
    await worker.ready()
    const sent = queue.send(1)
    expect(called).toBe(false)
    await sent
    await test.settle()
    expect(called).toBe(true)
  })

  it('tries again what threw, after its backoff, with the attempt counted', async () => {
    const { test, queue } = await withQueue()
    const attempts: { attempt: number; atMs: number; first: unknown }[] = []
    queue.process((message, context) => {
      attempts.push({
        attempt: context.attempt,
        atMs: test.now.getTime() - startMs,
        first: message.headers['x-leveret-first-time'],
      })
      if (context.attempt < 3) throw new Error('not yet')
    })
    await queue.send('x')
    await test.advance(10_000)
    // What is hidden appears up to 16 ms late.
    const rounded = attempts.map((one) => ({ ...one, atMs: Math.floor(one.atMs / 100) * 100 }))
    expect(rounded).toEqual([
      { attempt: 1, atMs: 0, first: undefined },
      { attempt: 2, atMs: 1_000, first: startMs },
      { attempt: 3, atMs: 3_000, first: startMs },
    ])
    expect(await length(queue)).toBe(0)
    expect(test.errors.map((error) => error.message)).toEqual(['not yet', 'not yet'])
  })

  it('leaves a message that backs off to the broker, so that attempt and pause outlive the worker', async () => {
    const { test, queue } = await withQueue()
    const worker = queue.process(() => Promise.reject(new Error('no')))
    await queue.send('x')
    await test.settle()
    expect(worker.stats()).toMatchObject({ running: 0, waiting: 0, retried: 1 })
    expect(await queue.stats()).toMatchObject({ ready: 0, unacked: 0, delayed: 1 })
    await worker.close()
    const plain = await test.connectPlain()
    await test.advance(999)
    expect(await plain.drain('jobs')).toEqual([])
    await test.advance(17)
    expect((await plain.drain('jobs')).map(({ headers }) => headers['x-leveret-attempt'])).toEqual([2])
  })

  it('keeps a message that backs off where the broker hides nothing', async () => {
    const { test, bus } = await open({ statistics: () => false })
    const queue = await bus.createQueue('jobs', noJitter)
    const worker = queue.process(() => Promise.reject(new Error('no')))
    await queue.send('x')
    await test.settle()
    expect(worker.stats()).toMatchObject({ running: 0, waiting: 1 })
    expect(await queue.count()).toMatchObject({ ready: 0 })
    await test.advance(1_000)
    expect(worker.stats()).toMatchObject({ waiting: 1, retried: 1 })
  })

  it('puts what failed for good into the dead-letter queue, with the reason', async () => {
    const { test, queue } = await withQueue()
    const plain = await test.connectPlain()
    const worker = queue.process(() => {
      throw new TypeError('broken file')
    })
    const { id } = await queue.send({ file: 'a' }, { headers: { tenant: 7 } })
    await test.advance(10_000)
    expect(await length(queue)).toBe(0)
    const [dead, ...more] = await plain.drain('jobs.dead')
    expect(more).toEqual([])
    expect(dead?.body).toBe('{"file":"a"}')
    expect(dead?.properties).toMatchObject({ messageId: id, contentType: 'application/json', deliveryMode: 2 })
    const { 'x-leveret-history': history, ...headers } = dead?.headers ?? {}
    const error = 'TypeError: broken file'
    expect(JSON.parse(history as string)).toMatchObject([1, 2, 3].map((attempt) => ({ attempt, error })))
    expect(headers).toEqual({
      tenant: 7,
      'x-leveret-attempts': 3,
      'x-leveret-error': 'TypeError: broken file',
      'x-leveret-first-time': startMs,
      'x-leveret-queue': 'jobs',
    })
    expect(worker.stats()).toMatchObject({ retried: 2, deadLettered: 1, processed: 0 })
  })

  it('starts counting afresh for a worker of the dead-letter queue', async () => {
    const { test, bus, queue } = await withQueue({ retry: { attempts: 1 } })
    queue.process(() => Promise.reject(new Error('no')))
    await queue.send('x')
    await test.settle()
    const dead = await bus.createQueue('jobs.dead')
    const attempts: number[] = []
    dead.process((_message, context) => {
      attempts.push(context.attempt)
    })
    await test.settle()
    expect(attempts).toEqual([1])
  })

  it('drops what failed for good if there is to be no dead-letter queue', async () => {
    const { test, bus, queue } = await withQueue({ retry: { attempts: 1 }, deadLetter: false })
    queue.process(() => Promise.reject(new Error('no')))
    await queue.send('x')
    await test.settle()
    expect((await bus.stats()).map(({ name, length }) => [name, length])).toEqual([['jobs', 0]])
  })

  it('puts dead letters into a queue that somebody has made otherwise', async () => {
    const { test, bus, queue } = await withQueue({ retry: { attempts: 1 }, deadLetter: 'morgue' })
    await bus.createQueue('morgue', { storage: 'memory' })
    queue.process(() => Promise.reject(new Error('no')))
    await queue.send('x')
    await test.settle()
    expect(await ready(bus, 'morgue')).toBe(1)
  })

  it('makes the dead-letter queue again if somebody has deleted it', async () => {
    const { test, bus, queue } = await withQueue({ retry: { attempts: 1 } })
    queue.process(() => Promise.reject(new Error('no')))
    await queue.send(1)
    await test.settle()
    await (await bus.openQueue('jobs.dead')).delete()
    await queue.send(2)
    await test.settle()
    expect(await ready(bus, 'jobs.dead')).toBe(1)
  })

  it('does what the handler returns instead of a result', async () => {
    const { test, bus, queue } = await withQueue()
    const seen: string[] = []
    queue.process((message, context) => {
      seen.push(`${String(message.data)} ${context.attempt} ${test.now.getTime() - startMs}`)
      if (message.data === 'bad') return context.deadLetter('corrupt')
      return context.attempt === 1 ? context.retry({ after: '5s' }) : undefined
    })
    await queue.sendMany(['busy', 'bad'])
    await test.advance(60_000)
    expect(seen).toEqual(['busy 1 0', 'bad 1 0', expect.stringMatching(/^busy 2 50(0\d|1[0-6])$/)])
    expect(await ready(bus, 'jobs.dead')).toBe(1)
    expect(await length(queue)).toBe(0)
  })

  it('ends a message that asks for another attempt for ever', async () => {
    const { test, bus, queue } = await withQueue()
    let calls = 0
    queue.process((_message, context) => {
      calls++
      return context.retry({ after: 0 })
    })
    await queue.send('x')
    await test.advance(1_000)
    expect(calls).toBe(3)
    expect(await ready(bus, 'jobs.dead')).toBe(1)
  })

  it('dead-letters what is not the JSON it says it is, once and for all', async () => {
    const { test, queue } = await withQueue()
    const plain = await test.connectPlain()
    const seen: unknown[] = []
    queue.process((message) => {
      seen.push(message.data)
    })
    plain.publish('jobs', '{"a":', { contentType: 'application/json' })
    plain.publish('jobs', '{"a":1}', { contentType: 'application/json' })
    await test.advance(60_000)
    expect(seen).toEqual([{ a: 1 }])
    const [dead] = await plain.drain('jobs.dead')
    expect(dead?.headers['x-leveret-error']).toMatch(/^E_BAD_DATA: a message of queue 'jobs' is not the JSON/)
    expect(dead?.headers['x-leveret-attempts']).toBe(1)
  })

  it.each([false, true])('dead-letters what its schema refuses (asynchronous: %s)', async (async) => {
    const { test, bus } = await open()
    const plain = await test.connectPlain()
    const queue = await bus.createQueue(defineQueue('jobs', { input: numbers(async) }))
    const seen: number[] = []
    queue.process((message) => {
      seen.push(message.data.n)
    })
    plain.publish('jobs', '{"n":"1"}')
    await queue.send({ n: 2 })
    await test.settle()
    expect(seen).toEqual([2])
    const [dead] = await plain.drain('jobs.dead')
    expect(dead?.headers['x-leveret-error']).toContain(
      "the data of a message of queue 'jobs' does not match its schema",
    )
  })

  it('gives a handler text as text and bytes as bytes', async () => {
    const { test, queue } = await withQueue()
    const plain = await test.connectPlain()
    const seen: unknown[] = []
    queue.process((message) => {
      seen.push(message.data)
    })
    plain.publish('jobs', 'a,b', { contentType: 'text/csv' })
    plain.publish('jobs', '{"a":1}', { contentType: 'application/octet-stream' })
    plain.publish('jobs', '{"a":1}')
    plain.publish('jobs', 'no json')
    await queue.send(Buffer.from('bytes'))
    await test.settle()
    expect(seen).toEqual(['a,b', Buffer.from('{"a":1}'), { a: 1 }, Buffer.from('no json'), Buffer.from('bytes')])
  })

  it('hands the worker of a queue what a schema makes of the data', async () => {
    const { test, bus } = await open()
    const dates: StandardSchema<string, Date> = {
      '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: new Date(String(value)) }) },
    }
    const queue = await bus.createQueue(defineQueue('days', { input: dates }))
    const seen: Date[] = []
    queue.process((message) => {
      seen.push(message.data)
    })
    await queue.send('2026-01-02')
    await test.settle()
    expect(seen).toEqual([new Date('2026-01-02')])
  })

  it('sends from a handler together with its acknowledgement, or not at all', async () => {
    const { test, bus, queue } = await withQueue({ retry: { attempts: 2, min: '1s', jitter: false } })
    const next = await bus.createQueue<{ from: number }>('next')
    queue.process(async (message, context) => {
      const sent = context.send(next, { from: context.attempt })
      expect(sent.id).toMatch(/^[0-9a-f-]{36}$/)
      context.send(defineQueue<{ from: number }>('next'), { from: 10 })
      await Promise.resolve()
      if (message.data === 'fails once' && context.attempt === 1) throw new Error('after sending')
    })
    await queue.send('fails once')
    await test.settle()
    expect(await ready(bus, 'next')).toBe(0)
    await test.advance(5_000)
    const plain = await test.connectPlain()
    expect((await plain.drain('next')).map(({ body }) => body)).toEqual(['{"from":2}', '{"from":10}'])
    expect(await length(queue)).toBe(0)
  })

  it('fails an attempt that sends to a queue that is gone', async () => {
    const { test, bus, queue } = await withQueue({ retry: { attempts: 1 } })
    const gone = await bus.createQueue('gone')
    queue.process((_message, context) => {
      context.send(gone, 1)
      return 'done'
    })
    await gone.delete()
    const receipt = await queue.send('x', { receipt: true })
    await expect(test.run(receipt.processed())).rejects.toThrow("no queue 'gone'")
    expect(await ready(bus, 'jobs.dead')).toBe(1)
  })

  it.each(['created', 'opened'] as const)('tries again in a full queue that was %s', async (how) => {
    const { test, bus } = await withQueue()
    const retry = { attempts: 3, min: '1s', jitter: false } as const
    const made = await bus.createQueue('full', { maxLength: 1, overflow: 'reject', retry })
    const full = how === 'created' ? made : await bus.openQueue('full', { retry })
    const attempts: number[] = []
    const worker = full.process(
      (message, context) => {
        if (message.data !== 'fails') return
        attempts.push(context.attempt)
        if (context.attempt < 3) throw new Error('not yet')
      },
      { prefetch: 1, onError() {} },
    )
    await full.send('fails')
    await test.settle()
    // One is ready behind it whenever it is tried again.
    for (let at = 0; at < 20; at++) {
      await full.send('in the way').catch(() => {})
      await test.advance('500ms')
    }
    await test.advance('20s')
    expect(attempts).toEqual([1, 2, 3])
    expect(worker.stats().running).toBe(0)
    expect(await length(full)).toBe(0)
  })

  it('keeps what its dead-letter queue has no room for, and lives', async () => {
    const { test, bus, queue } = await withQueue({ retry: { attempts: 1 }, deadLetter: 'morgue' })
    const morgue = await bus.createQueue('morgue', { maxLength: 1, overflow: 'reject' })
    await morgue.send('full')
    queue.process(() => Promise.reject(new Error('no')), { onError() {} })
    await queue.sendMany([1, 2])
    await test.advance('100s')
    expect(await queue.stats()).toMatchObject({ consumers: 1, delayed: 2 })
    expect(test.errors.some(({ message }) => message.includes('a dead letter cannot be stored'))).toBe(true)
    await morgue.purge()
    await test.advance('31s')
    expect(await ready(bus, 'morgue')).toBe(1)
    await morgue.purge()
    await test.advance('31s')
    expect(await ready(bus, 'morgue')).toBe(1)
    expect(await length(queue)).toBe(0)
  })

  it('tells a handler whose queue is deleted that it was', async () => {
    const { test, queue } = await withQueue()
    let signal: AbortSignal | null = null
    queue.process((_message, context) => {
      ;({ signal } = context)
      return new Promise(() => {})
    })
    await queue.send(1)
    await test.settle()
    await queue.delete()
    await test.settle()
    expect(signal).toMatchObject({ aborted: true, reason: { code: 'E_CLOSED' } })
    expect(String((signal as unknown as AbortSignal).reason)).toContain("queue 'jobs' was deleted")
  })

  it('says what is wrong with a send inside a handler', async () => {
    const { test, queue } = await withQueue({ retry: { attempts: 1 } })
    let kept: { send: (to: Queue, data: unknown) => unknown } | null = null
    queue.process((_message, context) => {
      kept = context as never
      context.send(defineQueue('never opened'), 1)
    })
    await queue.send('x')
    await test.settle()
    expect(test.errors[0]?.message).toContain("this bus has not opened queue 'never opened'")
    expect(() => (kept as never as { send: (to: Queue, data: unknown) => unknown }).send(queue, 1)).toThrow('has ended')
  })

  it('waits for running handlers when it is closed, and gives the rest back at once', async () => {
    const { test, queue } = await withQueue()
    let finish = (): void => {}
    const worker = queue.process(() => new Promise<void>((resolve) => (finish = resolve)), { prefetch: 10 })
    await queue.sendMany([1, 2, 3])
    await test.settle()
    const closed = worker.close()
    await test.settle()
    if (commits === 'native') expect(await queue.stats()).toMatchObject({ ready: 2, unacked: 1 })
    finish()
    await closed
    expect(await queue.stats()).toMatchObject({ ready: 2, unacked: 0, consumers: 0 })
    expect(worker.stats().processed).toBe(1)
    await worker.closed()
  })

  it('gives a message back whose handler takes longer than the deadline, and tells the handler', async () => {
    const { test, queue } = await withQueue()
    let signal: AbortSignal | null = null
    let finish = (): void => {}
    const worker = queue.process((_message, context) => {
      ;({ signal } = context)
      return new Promise<void>((resolve) => (finish = resolve))
    })
    await queue.send(1)
    await test.settle()
    const closed = worker.close({ timeout: '5s' })
    await test.advance(4_999)
    expect(signal).toMatchObject({ aborted: false })
    await test.advance(1)
    await closed
    const text = "E_CLOSED: queue 'jobs': the message went back to the queue, for its worker was closed"
    expect(signal).toMatchObject({ aborted: true, reason: { code: 'E_CLOSED', message: text } })
    finish()
    await test.settle()
    expect(await queue.stats()).toMatchObject({ ready: 1, unacked: 0 })
  })

  it('cuts a backoff short when it is closed where the broker hides nothing, and keeps the count of attempts', async () => {
    const { test, bus } = await open({ statistics: () => false })
    const queue = await bus.createQueue('jobs', noJitter)
    const worker = queue.process(() => Promise.reject(new Error('no')))
    await queue.send('x')
    await test.settle()
    await worker.close()
    expect(test.now.getTime()).toBe(startMs)
    const plain = await test.connectPlain()
    expect((await plain.drain('jobs')).map(({ headers }) => headers['x-leveret-attempt'])).toEqual([2])
  })

  it('returns messages with the bus, too', async () => {
    const { test, bus, queue } = await withQueue()
    queue.process(() => new Promise<void>(() => {}), { concurrency: 2 })
    await queue.sendMany([1, 2, 3, 4])
    await test.settle()
    const closing = bus.close({ timeout: '1s' })
    await test.advance(1_000)
    await closing
  })

  it('ends when its queue is deleted, and says so', async () => {
    const { test, queue } = await withQueue()
    const worker = queue.process(() => {})
    await worker.ready()
    expect(await queue.delete()).toBe(0)
    await expect(worker.closed()).rejects.toThrow("E_CLOSED: queue 'jobs' was deleted")
    expect(test.errors).toHaveLength(1)
  })

  it('says that it could not begin', async () => {
    const { queue } = await withQueue()
    await queue.delete()
    const worker = queue.process(() => {})
    await expect(worker.ready()).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(worker.closed()).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await worker.close()
  })

  it('tells the bus of a bad result if it has no onError', async () => {
    const { test, bus } = await open()
    const checked = await bus.createQueue(defineQueue('checked', { result: numbers() }), { retry: { attempts: 1 } })
    checked.process(() => ({ n: 'none' }) as never)
    await checked.send(1)
    await test.settle()
    expect(test.errors.map((error) => error.message)).toEqual([expect.stringContaining('does not match its schema')])
  })

  it('tells a failed attempt to its own onError, and survives what that throws', async () => {
    const { test, bus, queue } = await withQueue({ retry: { attempts: 1 } })
    const told: [string, unknown, number][] = []
    const onError = (error: unknown, message: IncomingMessage, attempt: number): void => {
      told.push([(error as Error).message, message.data, attempt])
      throw new Error('in onError')
    }
    queue.process(() => Promise.reject(new Error('no')), { onError })
    await queue.send('x')
    await test.settle()
    expect(told).toEqual([['no', 'x', 1]])
    expect(test.errors.map((error) => error.message)).toEqual(['in onError'])
    expect(await ready(bus, 'jobs.dead')).toBe(1)
  })

  it('copies a plain client’s properties for another attempt, but not what would get the copy refused', async () => {
    const { test, queue } = await withQueue()
    const plain = await test.connectPlain()
    const worker = queue.process(() => Promise.reject(new Error('no')))
    const headers = toTable({ kept: 1 })
    plain.publish('jobs', '1', { headers, userId: 'guest', correlationId: 'c', type: 't', priority: 3, timestamp: 9 })
    await test.settle()
    await worker.close()
    await test.advance(1_016)
    const [copy] = await plain.drain('jobs')
    expect(copy?.properties).toMatchObject({ correlationId: 'c', type: 't', priority: 3, timestamp: 9 })
    expect(copy?.properties.userId).toBeUndefined()
    expect(copy?.headers).toMatchObject({ kept: 1, 'x-leveret-user': 'guest', 'x-leveret-attempt': 2 })
  })

  it('checks its options', async () => {
    const { queue } = await withQueue()
    expect(() => queue.process(() => {}, { concurrency: 0 })).toThrow('concurrency is 0')
    expect(() => queue.process(() => {}, { rate: 'fast' as never })).toThrow("such as '10/s'")
    expect(() => queue.process(() => {}, { lease: 0 })).toThrow('lease is 0')
    expect(() => queue.process(() => {}, { parallel: 1 } as never)).toThrow("there is no option 'parallel'")
  })
})
