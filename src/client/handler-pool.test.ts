// Handlers in threads, in virtual time: what crosses over to them and back, and what becomes of messages whose thread has ended.
import { describe, expect, it } from 'vitest'
import { createWhiteBoxBroker, type WhiteBoxBroker } from '../../test/support/white-box-broker.ts'
import { SimThreads } from '../testing/sim-threads.ts'
import { callError } from './call-errors.ts'
import { child } from './children.ts'
import { defineCall, defineQueue } from './contract.ts'
import type { Queue } from './queue.ts'
import type { QueueOptions } from './queue-options.ts'
import type { StandardSchema } from './standard-schema.ts'

interface Order {
  readonly do: string
  readonly [more: string]: unknown
}

interface Stage {
  readonly test: WhiteBoxBroker
  readonly queue: Queue<Order, unknown>
  readonly threads: SimThreads
}

const file = new URL('../../test/support/thread-handlers/everything.mjs', import.meta.url)

async function stage(options: QueueOptions = {}): Promise<Stage> {
  const test = await createWhiteBoxBroker({ storage: 'memory' })
  const bus = await test.connect()
  const queue = await bus.createQueue<Order, unknown>('jobs', { retry: { min: 0, jitter: false }, ...options })
  return { test, queue, threads: test.threadsOf(bus) }
}

/** What the handler's result is, or why there is none. */
async function resultOf({ test, queue }: Stage, order: Order): Promise<unknown> {
  const receipt = await queue.send(order, { receipt: true })
  return await test.run(receipt.processed({ timeout: '10m' }))
}

describe('a handler in a thread', () => {
  it('sees what the message is, and its result goes to the sender', async () => {
    const scene = await stage()
    scene.queue.process(file, { threads: 2 })
    const { id } = await scene.queue.send({ do: 'tell' }, { headers: { from: 'here' } })
    expect(id).toBeTypeOf('string')
    const told = (await resultOf(scene, { do: 'tell', x: 1 })) as { id: string; body: string }
    expect(told).toMatchObject({ body: '{"do":"tell","x":1}', attempt: 1, failure: null, redelivered: false })
    expect(told.id).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('gets what the schema makes of the data', async () => {
    const { test, threads } = await stage()
    expect(threads.running).toEqual([])
    const input: StandardSchema<string, { do: string }> = {
      '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: { do: `made of ${String(value)}` } }) },
    }
    const bus = await test.connect()
    const queue = await bus.createQueue(defineQueue('checked', { input }))
    queue.process(file, { threads: 1 })
    const receipt = await queue.send('text', { receipt: true })
    expect(await test.run(receipt.processed())).toEqual({ do: 'made of text' })
  })

  it('sends and emits with its acknowledgement, or not at all', async () => {
    const scene = await stage({ retry: { attempts: 1 } })
    const { test, queue } = scene
    const bus = await test.connect()
    const other = await (await test.connect()).createQueue<string>('other')
    const target = await bus.createQueue<Order, unknown>('more')
    await bus.createQueue('other')
    target.process(file, { threads: 1 })
    const send = async (fails: boolean): Promise<unknown> => {
      const order = { do: 'send', to: 'other', what: 'a letter', options: { delay: 5 }, fails }
      return await test.run((await target.send(order, { receipt: true })).processed())
    }
    expect(await send(false)).toBe('sent')
    await test.advance(1_000)
    expect(await other.count()).toMatchObject({ ready: 1 })
    await expect(send(true)).rejects.toThrow('after it had sent')
    await test.advance(1_000)
    expect(await other.count()).toMatchObject({ ready: 1 })
    // This bus has not opened it.
    queue.process(file, { threads: 1 })
    await expect(resultOf(scene, { do: 'send', to: 'other', what: 1 })).rejects.toThrow("has not opened queue 'other'")
  })

  it('knows its deadline, and what became of the children of its message', async () => {
    const scene = await stage({ retry: { attempts: 1 } })
    const { test, queue } = scene
    const bus = await test.connect()
    const parts = await bus.createQueue<Order, unknown>('parts', { retry: { attempts: 1 } })
    const whole = await bus.createQueue<Order, unknown>('whole')
    for (const one of [queue, parts, whole]) one.process(file, { threads: 1 })
    const nowMs = test.now.getTime()
    const receipt = await queue.send({ do: 'see' }, { deadline: '1m', receipt: true })
    expect(await test.run(receipt.processed())).toEqual({ deadline: nowMs + 60_000, children: [] })
    const children = [child(parts, { do: 'text' }), child(parts, { do: 'throw' })]
    const parent = await test.run(whole.send({ do: 'see' }, { children, childFailure: 'spare', receipt: true }))
    const { children: seen } = (await test.run(parent.processed())) as { children: unknown[] }
    expect(seen).toMatchObject([
      { queue: 'parts', status: 'processed', result: { do: 'text' }, error: null },
      { queue: 'parts', status: 'dead-lettered', error: 'E_NOT_PROCESSED' },
    ])
  })

  it('calls others, by a name or a contract, until it gives up or its deadline is over', async () => {
    const scene = await stage({ retry: { attempts: 1 } })
    const { test, queue } = scene
    const stock = defineCall<string, number, { soldOut: { left: number } }>('stock')
    const answerer = await test.connect({ onError() {} })
    let aborted = 0
    await answerer.answer(stock, async (sku, { signal }) => {
      if (sku === 'gone') throw callError(stock, 'soldOut', { left: 0 })
      if (sku === 'slow') {
        signal.addEventListener('abort', () => aborted++)
        await test.sleep('1h')
      }
      return sku.length
    })
    queue.process(file, { threads: 1 })
    const call = (order: object): Promise<unknown> => resultOf(scene, { do: 'call', name: 'stock', ...order })
    expect(await call({ data: 'four' })).toBe(4)
    expect(await call({ data: 'four', contract: true })).toBe(8)
    expect(await call({ data: 5, contract: true })).toMatchObject({ text: expect.stringContaining('E_BAD_DATA') })
    const soldOut = { call: 'stock', remote: { name: 'soldOut' } }
    expect(await call({ data: 'gone' })).toMatchObject({ ...soldOut, remote: { data: { left: 0 } } })
    expect(await call({ data: 'gone', contract: true })).toMatchObject({
      ...soldOut,
      remote: { data: { left: '0 left' } },
    })
    expect(await call({ data: 'slow', options: { timeout: '1s' } })).toMatchObject({
      text: expect.stringContaining('E_TIMEOUT'),
    })
    await test.advance('1s')
    expect(aborted).toBe(1)
    expect(await call({ data: 'slow', givesUp: true })).toMatchObject({ text: 'not any more' })
    await test.settle()
    expect(aborted).toBe(2)
    const late = await queue.send({ do: 'call', name: 'stock', data: 'slow' }, { deadline: '2s', receipt: true })
    expect(await test.run(late.processed())).toMatchObject({ text: expect.stringContaining('E_EXPIRED') })
    expect(aborted).toBe(3)
  })

  it('refuses options of a send that nobody could be told by', async () => {
    const scene = await stage({ retry: { attempts: 1 } })
    scene.queue.process(file, { threads: 1 })
    const order = { do: 'send', to: 'jobs', what: 1, options: { receipt: true } }
    await expect(resultOf(scene, order)).rejects.toThrow("there is no 'receipt' in a thread")
  })

  it('tells how much is done, asks for another attempt, and gives up', async () => {
    const scene = await stage()
    scene.queue.process(file, { threads: 2 })
    const shares: number[] = []
    await scene.queue.send({ do: 'progress', hangs: true }, { onProgress: (share) => shares.push(share) })
    await scene.test.settle()
    expect(shares.at(-1)).toBe(1)
    expect(await resultOf(scene, { do: 'retry' })).toBe(2)
    await expect(resultOf(scene, { do: 'dead-letter' })).rejects.toThrow('nobody wants it')
  })

  it('fails with the error it threw: its name, its text, its code and where that was', async () => {
    const scene = await stage({ retry: { attempts: 1 } })
    const errors: Error[] = []
    scene.queue.process(file, { threads: 1, onError: (error) => errors.push(error as Error) })
    await expect(resultOf(scene, { do: 'throw' })).rejects.toThrow('RangeError: too far')
    expect(errors).toMatchObject([{ name: 'RangeError', message: 'too far', code: 'E_FAR' }])
    expect(errors[0]?.stack).toContain('everything.mjs')
    await expect(resultOf(scene, { do: 'return a function' })).rejects.toThrow('cannot be copied')
  })

  it('is told when its lease is over, and its thread is stopped if it does not end', async () => {
    const scene = await stage()
    const { queue, threads, test } = scene
    queue.process(file, { threads: 1, lease: '1s' })
    const waits = await queue.send({ do: 'wait for abort' }, { receipt: true })
    await test.advance(500)
    const [first] = threads.running
    await test.advance(3_600)
    await expect(waits.processed()).rejects.toThrow('E_LEASE_LOST')
    expect(threads.running).toEqual([first])
    expect(await resultOf(scene, { do: 'hang' })).toBe(2)
    await test.advance(5_000)
    expect(threads.running).toHaveLength(1)
    expect(threads.running).not.toEqual([first])
  })

  it('may extend its lease, if it has one', async () => {
    const scene = await stage({ retry: { attempts: 1 } })
    const worker = scene.queue.process(file, { threads: 1, lease: '1s' })
    expect(await resultOf(scene, { do: 'extend', by: '5s' })).toBe('extended')
    await scene.test.run(worker.close())
    scene.queue.process(file, { threads: 1 })
    await expect(resultOf(scene, { do: 'extend' })).rejects.toThrow('there is no lease to extend')
  })
})

describe('a thread that ends', () => {
  it('fails its messages, which are tried again, and is replaced: at once, then after pauses that grow', async () => {
    const scene = await stage()
    const { queue, threads, test } = scene
    queue.process(file, { threads: 1 })
    expect(await resultOf(scene, { do: 'thread' })).toBe(0)
    await queue.send({ do: 'hang' })
    await test.settle()
    threads.running[0]?.die(new Error('out of memory'))
    await test.settle()
    expect(test.errors).toMatchObject([{ code: 'E_THREAD_LOST' }])
    expect(test.errors[0]?.message).toContain('out of memory')
    expect(await queue.stats()).toMatchObject({ length: 0 })
    for (const [pauses, ms] of [0, 100, 200, 400].entries()) {
      threads.running[0]?.die(new Error(`again, ${pauses}`))
      expect(threads.running).toHaveLength(0)
      if (ms > 0) await test.advance(ms - 1)
      expect(threads.running).toHaveLength(0)
      await test.advance(1)
      expect(threads.running, `after ${ms} ms`).toHaveLength(1)
    }
    expect(await resultOf(scene, { do: 'thread' })).toBe(0)
  })

  it('takes nothing with it that runs in another', async () => {
    const { queue, threads, test } = await stage({ retry: { attempts: 1 } })
    const worker = queue.process(file, { threads: 2 })
    await queue.send({ do: 'wait for abort' })
    await queue.send({ do: 'wait for abort' })
    await test.settle()
    expect(worker.stats()).toMatchObject({ running: 2 })
    threads.running[1]?.die(new Error('gone'))
    await test.settle()
    expect(worker.stats()).toMatchObject({ running: 1, deadLettered: 1 })
  })

  it('is not started again after the worker was closed, which waits for its handlers', async () => {
    const { queue, threads, test } = await stage()
    const worker = queue.process(file, { threads: 3, concurrency: 6 })
    await queue.send({ do: 'wait for abort' })
    await test.settle()
    const closing = worker.close({ timeout: '5s' })
    await test.advance(4_000)
    expect(threads.running).toHaveLength(3)
    await test.run(closing)
    await test.advance('1m')
    expect(threads.running).toEqual([])
    expect(await queue.count()).toEqual({ ready: 1, consumers: 0 })
  })
})

describe('a file of a handler', () => {
  it.each([
    ['broken.mjs', 'broken from the start'],
    ['no-function.mjs', 'its default export is string'],
    ['not-there.mjs', 'not-there.mjs cannot be loaded'],
  ])('that is unusable ends the worker, and ready() says why: %s', async (name, text) => {
    const { queue, threads, test } = await stage()
    const worker = queue.process(new URL(name, file), { threads: 2 })
    const ready = worker.ready()
    ready.catch(() => {})
    await test.run(worker.closed().catch(() => {}))
    await expect(ready).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
    await expect(ready).rejects.toThrow(text)
    expect(test.errors).toHaveLength(1)
    await test.advance('1m')
    expect(threads.running).toEqual([])
  })

  it('is a URL, and threads are some', async () => {
    const { queue } = await stage()
    expect(() => queue.process('./handler.js' as unknown as URL)).toThrow('E_BAD_OPTION')
    expect(() => queue.process(file, { threads: 0 })).toThrow('E_BAD_OPTION')
    expect(() => queue.process(() => {}, { threads: 2 } as object)).toThrow('E_BAD_OPTION')
  })
})
