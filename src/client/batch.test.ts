// Handlers that get many messages at once.
import { describe, expect, it } from 'vitest'
import { openWorld, PlainClient, type World } from '../../test/support/client-world.ts'
import type { Queue } from './queue.ts'

describe.each(['native', 'tx'] as const)('a batch, with %s commits,', (commits) => {
  async function stage(): Promise<{ world: World; queue: Queue; next: Queue }> {
    const world = await openWorld({ commits })
    const queue = await world.run(world.bus.createQueue('jobs', { retry: { attempts: 2, min: '1s', jitter: false } }))
    return { world, queue, next: await world.run(world.bus.createQueue('next')) }
  }

  const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

  it('is full, or has waited long enough', async () => {
    const { world, queue } = await stage()
    const batches: unknown[][] = []
    queue.processBatch(
      (messages) => {
        batches.push(messages.map(({ data }) => data))
      },
      { size: 3, wait: '50ms' },
    )
    await world.run(queue.sendMany(numbers(7)))
    await world.settle()
    expect(batches).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ])
    await world.clock.advance(50)
    expect(batches).toEqual([[0, 1, 2], [3, 4, 5], [6]])
    expect(await world.run(queue.stats())).toMatchObject({ length: 0 })
  })

  it('is acknowledged together with what its handler sends', async () => {
    const { world, queue, next } = await stage()
    queue.processBatch(
      (messages, context) => {
        context.send(next, messages.length)
      },
      { size: 100, wait: 0 },
    )
    await world.run(queue.sendMany(numbers(10)))
    await world.clock.advance(10)
    expect((await (await PlainClient.open(world)).drain('next')).map(({ body }) => body)).toEqual(['10'])
    expect(await world.run(queue.stats())).toMatchObject({ length: 0 })
  })

  it('is tried again message by message if its handler throws, and what it sent is dropped', async () => {
    const { world, queue, next } = await stage()
    let calls = 0
    const worker = queue.processBatch(
      (messages, context) => {
        context.send(next, messages.length)
        if (++calls === 1) throw new Error('no')
      },
      { size: 4, wait: '10ms' },
    )
    await world.run(queue.sendMany(numbers(4)))
    await world.clock.advance(3_000)
    expect(calls).toBe(2)
    expect((await (await PlainClient.open(world)).drain('next')).map(({ body }) => body)).toEqual(['4'])
    expect(worker.stats()).toMatchObject({ processed: 4, retried: 4 })
  })

  it('may say for each of its messages what becomes of it', async () => {
    const { world, queue, next } = await stage()
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
    const receipt = await world.run(queue.send('good', { receipt: true }))
    await world.run(queue.sendMany(['bad', 'busy']))
    await world.clock.advance(10)
    expect(await receipt.processed()).toBe('done: good')
    const plain = await PlainClient.open(world)
    expect((await plain.drain('jobs.dead')).map(({ body }) => body)).toEqual(['"bad"'])
    expect(await world.run(queue.stats())).toMatchObject({ ready: 0, unacked: 0, delayed: 1 })
  })

  it('must have one result for each message, or none at all', async () => {
    const { world, queue } = await stage()
    queue.processBatch(() => ['one'], { size: 2, wait: 0 })
    await world.run(queue.sendMany([1, 2]))
    await world.clock.advance(10)
    expect(world.errors.map(({ message }) => message)).toEqual([
      expect.stringContaining('a batch of 2 returned 1 results'),
      expect.stringContaining('a batch of 2 returned 1 results'),
    ])
  })

  it('runs as many at a time as it is told', async () => {
    const { world, queue } = await stage()
    let running = 0
    let most = 0
    queue.processBatch(
      async () => {
        most = Math.max(most, ++running)
        await new Promise<void>((resolve) => world.clock.setTimer(100, resolve))
        running--
      },
      { size: 2, wait: 0, concurrency: 2 },
    )
    await world.run(queue.sendMany(numbers(12)))
    await world.clock.advance(1_000)
    expect(most).toBe(2)
    expect(await world.run(queue.stats())).toMatchObject({ length: 0 })
  })

  it('is finished when its worker closes, and what has gathered is not waited for', async () => {
    const { world, queue } = await stage()
    const sizes: number[] = []
    const worker = queue.processBatch((messages) => void sizes.push(messages.length), { size: 10, wait: '1h' })
    await world.run(queue.sendMany([1, 2]))
    await world.settle()
    expect(sizes).toEqual([])
    await world.run(worker.close())
    expect(sizes).toEqual([2])
    expect(await world.run(queue.stats())).toMatchObject({ length: 0 })
  })

  it('loses its lease as one message does', async () => {
    const { world, queue } = await stage()
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
    await world.run(queue.sendMany([1, 2]))
    await world.clock.advance(1_010)
    expect(reason).toMatchObject({ code: 'E_LEASE_LOST' })
    expect(await world.run(queue.stats())).toMatchObject({ unacked: 0, delayed: 2 })
  })

  it('leaves room for others when its channel is gone', async () => {
    const { world, queue, next } = await stage()
    const full = await world.run(world.bus.createQueue('full', { maxLength: 1, overflow: 'reject' }))
    await world.run(full.send('there is no room for more'))
    const done: unknown[] = []
    queue.processBatch(
      async (messages, context) => {
        await new Promise<void>((resolve) => void world.clock.setTimer(5, resolve))
        // Its commit is refused while the next batch runs.
        if (messages.some(({ data }) => data === 0)) context.send(full, 'too much')
        context.send(next, 'done')
        done.push(...messages.map(({ data }) => data))
      },
      { size: 2, wait: '10ms' },
    )
    await world.run(queue.sendMany(numbers(7)))
    await world.clock.advance(60_000)
    expect(done).toEqual(expect.arrayContaining([1, 2, 3, 4, 5, 6]))
    expect(await world.run(queue.stats())).toMatchObject({ length: 0 })
  })

  it('checks its options', async () => {
    const { queue } = await stage()
    expect(() => queue.processBatch(() => {}, { size: 0 })).toThrow('size is 0')
    expect(() => queue.processBatch(() => {}, { many: 1 } as never)).toThrow("there is no option 'many'")
  })
})
