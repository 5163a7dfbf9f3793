// Handlers that get many messages at once.
import { describe, expect, it } from 'vitest'
import { createWhiteBoxBroker, type WhiteBoxBroker } from '../../test/support/white-box-broker.ts'
import type { Bus } from './bus.ts'
import type { Queue } from './queue.ts'

describe.each(['native', 'tx'] as const)('a batch, with %s commits,', (commits) => {
  async function stage(): Promise<{ test: WhiteBoxBroker; bus: Bus; queue: Queue; next: Queue }> {
    const test = await createWhiteBoxBroker({ storage: 'memory', wiring: { commits } })
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs', { retry: { attempts: 2, min: '1s', jitter: false } })
    return { test, bus, queue, next: await bus.createQueue('next') }
  }

  const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

  it('is full, or has waited long enough', async () => {
    const { test, queue } = await stage()
    const batches: unknown[][] = []
    queue.processBatch(
      (messages) => {
        batches.push(messages.map(({ data }) => data))
      },
      { size: 3, wait: '50ms' },
    )
    await queue.sendMany(numbers(7))
    await test.settle()
    expect(batches).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ])
    await test.advance(50)
    expect(batches).toEqual([[0, 1, 2], [3, 4, 5], [6]])
    expect(await queue.stats()).toMatchObject({ length: 0 })
  })

  it('is acknowledged together with what its handler sends', async () => {
    const { test, queue, next } = await stage()
    queue.processBatch(
      (messages, context) => {
        context.send(next, messages.length)
      },
      { size: 100, wait: 0 },
    )
    await queue.sendMany(numbers(10))
    await test.advance(10)
    expect((await (await test.connectPlain()).drain('next')).map(({ body }) => body)).toEqual(['10'])
    expect(await queue.stats()).toMatchObject({ length: 0 })
  })

  it('is tried again message by message if its handler throws, and what it sent is dropped', async () => {
    const { test, queue, next } = await stage()
    let calls = 0
    const worker = queue.processBatch(
      (messages, context) => {
        context.send(next, messages.length)
        if (++calls === 1) throw new Error('no')
      },
      { size: 4, wait: '10ms' },
    )
    await queue.sendMany(numbers(4))
    await test.advance(3_000)
    expect(calls).toBe(2)
    expect((await (await test.connectPlain()).drain('next')).map(({ body }) => body)).toEqual(['4'])
    expect(worker.stats()).toMatchObject({ processed: 4, retried: 4 })
  })

  it('may say for each of its messages what becomes of it', async () => {
    const { test, queue, next } = await stage()
    queue.processBatch(
      (messages, context) => {
        context.send(next, messages.length)
        return messages.map(({ data }) => {
          if (data === 'bad') return context.deadLetter('corrupt')
          return data === 'busy' ? context.retry({ after: '1h' }) : `done: ${String(data)}`
        })
      },
      { size: 3, wait: 0 },
    )
    const receipt = await queue.send('good', { receipt: true })
    await queue.sendMany(['bad', 'busy'])
    await test.advance(10)
    expect(await receipt.processed()).toBe('done: good')
    const plain = await test.connectPlain()
    expect((await plain.drain('jobs.dead')).map(({ body }) => body)).toEqual(['"bad"'])
    expect(await queue.stats()).toMatchObject({ ready: 0, unacked: 0, delayed: 1 })
  })

  it('must have one result for each message, or none at all', async () => {
    const { test, queue } = await stage()
    queue.processBatch(() => ['one'], { size: 2, wait: 0 })
    await queue.sendMany([1, 2])
    await test.advance(10)
    expect(test.errors.map(({ message }) => message)).toEqual([
      expect.stringContaining('a batch of 2 returned 1 results'),
      expect.stringContaining('a batch of 2 returned 1 results'),
    ])
  })

  it('runs as many at a time as it is told', async () => {
    const { test, queue } = await stage()
    let running = 0
    let most = 0
    queue.processBatch(
      async () => {
        most = Math.max(most, ++running)
        await test.sleep(100)
        running--
      },
      { size: 2, wait: 0, concurrency: 2 },
    )
    await queue.sendMany(numbers(12))
    await test.advance(1_000)
    expect(most).toBe(2)
    expect(await queue.stats()).toMatchObject({ length: 0 })
  })

  it('is finished when its worker closes, and what has gathered is not waited for', async () => {
    const { test, queue } = await stage()
    const sizes: number[] = []
    const worker = queue.processBatch((messages) => void sizes.push(messages.length), { size: 10, wait: '1h' })
    await queue.sendMany([1, 2])
    await test.settle()
    expect(sizes).toEqual([])
    await worker.close()
    expect(sizes).toEqual([2])
    expect(await queue.stats()).toMatchObject({ length: 0 })
  })

  it('loses its lease as one message does', async () => {
    const { test, queue } = await stage()
    let reason: unknown = null
    queue.processBatch(
      (_messages, context) =>
        new Promise<void>((resolve) => {
          context.signal.addEventListener('abort', () => {
            reason = context.signal.reason
            resolve()
          })
        }),
      { size: 2, wait: 0, lease: '1s' },
    )
    await queue.sendMany([1, 2])
    await test.advance(1_010)
    expect(reason).toMatchObject({ code: 'E_LEASE_LOST' })
    expect(await queue.stats()).toMatchObject({ unacked: 0, delayed: 2 })
  })

  it('leaves room for others when its channel is gone', async () => {
    const { test, bus, queue, next } = await stage()
    const full = await bus.createQueue('full', { maxLength: 1, overflow: 'reject' })
    await full.send('there is no room for more')
    const done: unknown[] = []
    queue.processBatch(
      async (messages, context) => {
        await test.sleep(5)
        // Its commit is refused while the next batch runs.
        if (messages.some(({ data }) => data === 0)) context.send(full, 'too much')
        context.send(next, 'done')
        done.push(...messages.map(({ data }) => data))
      },
      { size: 2, wait: '10ms' },
    )
    await queue.sendMany(numbers(7))
    await test.advance(60_000)
    expect(done).toEqual(expect.arrayContaining([1, 2, 3, 4, 5, 6]))
    expect(await queue.stats()).toMatchObject({ length: 0 })
  })

  it('fails as a whole if its commit is refused', async () => {
    const { test, bus, queue } = await stage()
    const gone = await bus.createQueue('gone')
    await gone.delete()
    const worker = queue.processBatch((messages, context) => void context.send(gone, messages.length), {
      size: 50,
      wait: '10ms',
    })
    await queue.sendMany(numbers(50))
    await test.advance('60s')
    expect(worker.stats()).toMatchObject({ deadLettered: 50, retried: 50 })
    // A channel for each attempt, not for each message.
    expect(test.errors.filter(({ message }) => message.includes('E_CONNECTION_LOST')).length).toBeLessThan(10)
  })

  it('checks its options', async () => {
    const { queue } = await stage()
    expect(() => queue.processBatch(() => {}, { size: 0 })).toThrow('size is 0')
    expect(() => queue.processBatch(() => {}, { many: 1 } as never)).toThrow("there is no option 'many'")
  })
})
