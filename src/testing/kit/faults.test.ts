// Faults on demand: what each does, for as long as it is switched on, and the same with the same seed.
import { describe, expect, it } from 'vitest'
import { child } from '../../client/children.ts'
import type { Queue } from '../../client/queue.ts'
import { createTestBroker, type TestBroker } from '../index.ts'

const numbers = Array.from({ length: 40 }, (_, n) => n)

async function open(test: TestBroker, name = 'work'): Promise<Queue<number, void>> {
  return (await test.connect()).createQueue<number, void>(name, { retry: { min: '1s' } })
}

/** What the handler saw of these numbers, in order; a redelivery with a star. */
async function processed(test: TestBroker, queue: Queue<number, void>, prefetch = 10): Promise<string[]> {
  const seen: string[] = []
  const worker = queue.process(({ data, redelivered }) => void seen.push(`${data}${redelivered ? '*' : ''}`), {
    prefetch,
  })
  await queue.sendMany(numbers)
  await test.advance('1m')
  await worker.close()
  expect(await queue.count()).toEqual({ ready: 0, consumers: 0 })
  return seen
}

/** The same seed gives the same, another one something else. */
async function expectSeeded(history: (test: TestBroker) => Promise<unknown>): Promise<void> {
  const run = async (seed: number): Promise<unknown> => {
    await using test = await createTestBroker({ seed })
    return await history(test)
  }
  const first = await run(1)
  expect(await run(1)).toEqual(first)
  expect(await run(2)).not.toEqual(first)
}

describe('crashClient', () => {
  it('gives what a process held to another, and tells the first that its connection is lost', async () => {
    await using test = await createTestBroker()
    const [crashing, other] = [await test.connect(), await test.connect()]
    const queue = await crashing.createQueue('work')
    let signal: AbortSignal | undefined
    queue.process(async (_message, context) => {
      signal = context.signal
      await test.sleep('1h')
      return 'too late'
    })
    const sent = await queue.send('a', { receipt: true })
    const outcome = sent.processed()
    const seen: unknown[] = []
    const shared = await other.createQueue('work')
    shared.process(({ data, redelivered }) => void seen.push([data, redelivered]))
    await test.settle()
    expect(seen).toEqual([])
    await test.faults.crashClient(crashing)
    await expect(outcome).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    expect(signal?.aborted).toBe(true)
    await test.settle()
    expect(seen).toEqual([['a', true]])
    await test.advance('2h')
    expect(seen).toHaveLength(1)
    await expect(queue.send('b')).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    await shared.send('c')
    await crashing.close()
  })

  it('wants a bus of this broker', async () => {
    await using test = await createTestBroker()
    await using another = await createTestBroker()
    const bus = await another.connect()
    await expect(test.faults.crashClient(bus)).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
  })
})

describe('duplicate', () => {
  it('hands a parent out again with the results of its children', async () => {
    await using test = await createTestBroker({ seed: 1 })
    const bus = await test.connect()
    const leaf = await bus.createQueue<number, number>('leaf')
    const parent = await bus.createQueue<number, unknown>('parent')
    const seen: unknown[] = []
    leaf.process(({ data }) => data)
    parent.process((_message, { children }) => void seen.push(children.map(({ result }) => result)))
    test.faults.duplicate({ share: 1, queue: 'parent' })
    await test.run(parent.send(0, { children: [child(leaf, 1), child(leaf, 2)] }))
    await test.settle()
    expect(seen).toEqual([
      [1, 2],
      [1, 2],
    ])
    expect((await bus.stats()).map(({ name }) => name)).toEqual(['leaf', 'parent'])
  })

  it('delivers a share once more after it was handled, chosen by the seed', async () => {
    await using test = await createTestBroker()
    test.faults.duplicate({ share: 0.3 })
    const seen = await processed(test, await open(test))
    const again = seen.filter((one) => one.endsWith('*'))
    expect(again.length).toBeGreaterThan(4)
    expect(again.length).toBeLessThan(20)
    expect(seen.filter((one) => !one.endsWith('*')).map(Number)).toEqual(numbers)
    await expectSeeded(async (other) => {
      other.faults.duplicate({ share: 0.3 })
      return processed(other, await open(other))
    })
  })

  it('loses with the acknowledgement what was to be stored with it: a sender hears once', async () => {
    await using test = await createTestBroker()
    const bus = await test.connect()
    const work = await bus.createQueue<number, string>('work')
    const next = await bus.createQueue<number>('next')
    using fault = test.faults.duplicate({ share: 1 })
    let calls = 0
    work.process(({ data }, context) => {
      calls++
      context.send(next, data)
      return `call ${calls}`
    })
    const receipt = await work.send(1, { receipt: true })
    expect(await receipt.processed()).toBe('call 2')
    expect((await next.count()).ready).toBe(1)
    fault.end()
    await work.send(2)
    await test.settle()
    expect(calls).toBe(3)
  })

  it('hits an explicit acknowledgement too, and only the queue it is for', async () => {
    await using test = await createTestBroker()
    test.faults.duplicate({ share: 1, queue: 'hit' })
    const take = async (queue: Queue<number>): Promise<number[]> => {
      await queue.send(1)
      const taken: number[] = []
      const messages = queue.receive()
      void (async () => {
        for await (const message of messages) {
          taken.push(message.data)
          await message.ack()
        }
      })()
      await test.settle()
      await messages.close()
      return taken
    }
    expect(await take(await open(test, 'hit'))).toEqual([1, 1])
    expect(await take(await open(test, 'spared'))).toEqual([1])
  })
})

describe('reorder', () => {
  it('lets a share come late, within the time that is given, chosen by the seed', async () => {
    await using test = await createTestBroker()
    const queue = await open(test)
    const fault = test.faults.reorder({ share: 0.3, within: '500ms' })
    const seen = (await processed(test, queue, 40)).map(Number)
    expect(seen).not.toEqual(numbers)
    expect(seen.toSorted((a, b) => a - b)).toEqual(numbers)
    fault.end()
    expect((await processed(test, queue, 40)).map(Number)).toEqual(numbers)
    await expectSeeded(async (other) => {
      other.faults.reorder({ share: 0.3 })
      return processed(other, await open(other), 40)
    })
  })

  it('takes no time of others: without time going by the rest arrives', async () => {
    await using test = await createTestBroker()
    const queue = await open(test)
    const seen: number[] = []
    const fault = test.faults.reorder({ share: 1, within: '10s' })
    queue.process(({ data }) => void seen.push(data), { prefetch: 10 })
    await queue.send(1)
    await test.settle()
    fault.end()
    await queue.send(2)
    await test.settle()
    expect(seen).toEqual([2])
    await test.advance('10s')
    expect(seen).toEqual([2, 1])
  })

  it('gives back what is late when its consumer goes', async () => {
    await using test = await createTestBroker()
    const queue = await open(test)
    test.faults.reorder({ share: 1 })
    const worker = queue.process(() => {})
    await queue.sendMany([1, 2])
    await test.settle()
    await worker.close()
    expect((await queue.count()).ready).toBe(2)
    await test.advance('1m')
    expect((await queue.count()).ready).toBe(2)
  })
})

describe('failSend', () => {
  it('rejects a share of the sends, of which some are stored, chosen by the seed', async () => {
    const history = async (test: TestBroker): Promise<{ refused: number[]; found: string[] }> => {
      const queue = await open(test)
      const refused: number[] = []
      using fault = test.faults.failSend({ share: 0.4 })
      for (const n of numbers) {
        await queue.send(n).catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'E_REFUSED' })
          refused.push(n)
        })
      }
      fault.end()
      await queue.send(40)
      const found: string[] = []
      queue.process(({ data }) => void found.push(`${data}`))
      await test.settle()
      return { refused, found }
    }
    await using test = await createTestBroker({ seed: 3 })
    const { refused, found } = await history(test)
    const isThere = (n: number): boolean => found.includes(`${n}`)
    expect(refused.length).toBeGreaterThan(8)
    expect(refused.length).toBeLessThan(25)
    expect(refused.some(isThere)).toBe(true)
    expect(refused.every(isThere)).toBe(false)
    expect([...numbers, 40].filter((n) => !refused.includes(n)).every(isThere)).toBe(true)
    expect(new Set(found).size).toBe(found.length)
    await expectSeeded(history)
  })

  it('tells each of those that are sent together', async () => {
    await using test = await createTestBroker()
    const queue = await open(test)
    test.faults.failSend({ share: 0.5, queue: 'work' })
    const outcomes = await Promise.allSettled(numbers.map((n) => queue.send(n)))
    const stored = outcomes.filter(({ status }) => status === 'fulfilled').length
    expect(stored).toBeGreaterThan(8)
    expect(stored).toBeLessThan(32)
    expect((await queue.count()).ready).toBeGreaterThan(stored)
    await (await open(test, 'spared')).sendMany(numbers)
  })
})

describe('the disk', () => {
  it('makes senders wait while it is full, and loses nothing', async () => {
    await using test = await createTestBroker()
    const queue = await open(test)
    await queue.send(1)
    const full = test.faults.diskFull()
    let isStored = false
    const sent = queue.send(2).then(() => {
      isStored = true
    })
    await test.advance('1h')
    expect(isStored).toBe(false)
    full.end()
    await test.advance('5s')
    await sent
    await test.crash()
    await test.restart()
    expect((await (await open(test)).count()).ready).toBe(2)
  })

  it('takes its time for a sync, so that a send needs that', async () => {
    await using test = await createTestBroker()
    const queue = await open(test)
    const elapsed = async (): Promise<number> => {
      const startMs = test.now.getTime()
      await test.run(queue.send(1))
      return test.now.getTime() - startMs
    }
    expect(await elapsed()).toBe(0)
    {
      using _slow = test.faults.syncDelay('50ms')
      expect(await elapsed()).toBe(50)
    }
    expect(await elapsed()).toBe(0)
  })

  it.each(['', 'a sender'])('lets a sender hear of a commit when that is stored, not before (%s)', async (sender) => {
    await using test = await createTestBroker()
    const queue = await open(test)
    const told: string[] = []
    const options = { receipt: true, onProcessed: () => void told.push('processed') } as const
    await queue.send(1, sender === '' ? options : { ...options, sender })
    using _slow = test.faults.syncDelay('1s')
    queue.process(() => void told.push('handled'))
    await test.advance('900ms')
    expect(told).toEqual(['handled'])
    await test.advance('2s')
    expect(told).toEqual(['handled', 'processed'])
  })

  it('is not there if the broker is in memory', async () => {
    await using test = await createTestBroker({ storage: 'memory' })
    expect(() => test.faults.diskFull()).toThrow(/^E_UNSUPPORTED: faults\.diskFull/)
    expect(() => test.faults.syncDelay('1s')).toThrow(/^E_UNSUPPORTED: faults\.syncDelay/)
  })

  it('is well again when the test ends', async () => {
    const test = await createTestBroker()
    const queue = await open(test)
    test.faults.diskFull()
    test.faults.syncDelay('1s')
    const sent = queue.send(1)
    await test.close()
    await sent
  })
})

it('leaves one fault alone whatever another does', async () => {
  const duplicated = async (share: number): Promise<string[]> => {
    await using test = await createTestBroker()
    test.faults.duplicate({ share: 0.3, queue: 'work' })
    test.faults.reorder({ share, queue: 'other' })
    const other = await open(test, 'other')
    await processed(test, other)
    return await processed(test, await open(test))
  }
  expect(await duplicated(0.5)).toEqual(await duplicated(0))
})

it('says what is wrong with a fault', async () => {
  await using test = await createTestBroker()
  expect(() => test.faults.duplicate({ share: 2 })).toThrow('faults.duplicate: share is 2')
  expect(() => test.faults.failSend({ share: 'all' as never })).toThrow('faults.failSend: share is all')
  expect(() => test.faults.reorder({ share: 1, within: 'soon' as never })).toThrow("faults.reorder: within is 'soon'")
  expect(() => test.faults.duplicate({ share: 1, within: '1s' } as never)).toThrow("there is no option 'within'")
})
