// A broker for tests, as the tests of those use it who use Leveret.
import { afterEach, expect, it, vi } from 'vitest'
import type { Bus } from '../../client/bus.ts'
import type { Queue } from '../../client/queue.ts'
import { createTestBroker, type TestBroker } from '../index.ts'

afterEach(() => void vi.useRealTimers())

/** What is ready in the queue, in order; nothing is taken out. */
async function readyIn(bus: Bus, name: string): Promise<unknown[]> {
  const queue = await bus.openQueue(name)
  const { ready } = await queue.count()
  const found: unknown[] = []
  const messages = queue.receive({ prefetch: Math.max(1, ready) })
  while (found.length < ready) found.push((await messages.next()).value?.data)
  await messages.close()
  return found
}

async function crashAndRecover(test: TestBroker): Promise<Bus> {
  await test.crash()
  await test.restart()
  return test.connect()
}

it('stores, delivers and processes without anybody asking for time', async () => {
  await using test = await createTestBroker()
  const bus = await test.connect()
  const queue = await bus.createQueue<number, number>('double')
  queue.process((message) => message.data * 2)
  const receipt = await queue.send(21, { receipt: true })
  expect(await receipt.processed()).toBe(42)
  expect(test.now).toEqual(new Date('2026-01-01T00:00:00Z'))
})

it('tries a message again when its pause is over', async () => {
  const startMs = Date.UTC(2030, 5, 1)
  await using test = await createTestBroker({ now: new Date(startMs) })
  const bus = await test.connect()
  const retry = { attempts: 3, min: '10m', max: '1d', jitter: false } as const
  const queue = await bus.createQueue('work', { retry, deadLetter: 'dead' })
  const minutes: number[] = []
  queue.process(() => {
    minutes.push(Math.round((test.now.getTime() - startMs) / 60_000))
    throw new Error('not today')
  })
  await queue.send({})
  await test.advance('9m')
  expect(minutes).toEqual([0])
  await test.advance('2m')
  expect(minutes).toEqual([0, 10])
  await test.advance('1h')
  expect(minutes).toEqual([0, 10, 30])
  expect(await readyIn(bus, 'dead')).toEqual([{}])
  // The handler has no onError of its own, so each attempt was told to the bus.
  expect(test.errors.map((error) => error.message)).toEqual(Array(3).fill('not today'))
})

it('hands out a delayed message when it is due, also after a crash', async () => {
  await using test = await createTestBroker()
  const first = await test.connect()
  await (await first.createQueue('work')).send('later', { delay: '1d' })
  await test.advance('23h')
  const bus = await crashAndRecover(test)
  expect(await readyIn(bus, 'work')).toEqual([])
  // A delay of a day is kept to the second.
  await test.advance('3601s')
  expect(await readyIn(bus, 'work')).toEqual(['later'])
})

it('gives a slow handler the time it takes, and a promise no more than it needs', async () => {
  await using test = await createTestBroker()
  const bus = await test.connect()
  const queue = await bus.createQueue<string, string>('slow')
  queue.process(async (message) => {
    await test.sleep('90s')
    return message.data.toUpperCase()
  })
  const receipt = await queue.send('a', { receipt: true })
  await expect(test.run(receipt.processed({ timeout: '1m' }))).rejects.toMatchObject({ code: 'E_TIMEOUT' })
  expect(test.now.getTime()).toBe(Date.UTC(2026, 0, 1, 0, 1))
  expect(await test.run(receipt.processed())).toBe('A')
  expect(test.now.getTime()).toBe(Date.UTC(2026, 0, 1, 0, 1, 30))
})

it('shares the work of a queue among several processes', async () => {
  await using test = await createTestBroker()
  const [sender, one, other] = [await test.connect(), await test.connect(), await test.connect()]
  const queue = await sender.createQueue<number>('work')
  const done: string[] = []
  for (const [name, bus] of Object.entries({ one, other })) {
    const shared = await bus.createQueue<number>('work')
    await shared.process((message) => void done.push(`${name} ${message.data}`), { prefetch: 1 }).ready()
  }
  for (const n of [1, 2, 3, 4]) await queue.send(n)
  await test.settle()
  expect(done.toSorted()).toEqual(['one 1', 'one 3', 'other 2', 'other 4'])
})

it('keeps what was stored over a crash, and tells every bus that its connection is lost', async () => {
  await using test = await createTestBroker()
  const bus = await test.connect({ onError() {} })
  const other = await test.connect()
  const queue = await bus.createQueue<number>('work')
  for (let n = 0; n < 20; n++) await queue.send(n)
  const receipt = await queue.send(20, { receipt: true })
  const outcome = receipt.processed()
  await test.crash()
  await expect(outcome).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
  await expect(queue.send(21)).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
  await expect(other.createQueue('other')).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
  expect(test.errors).toMatchObject([{ code: 'E_CONNECTION_LOST' }, { code: 'E_CONNECTION_LOST' }])
  await expect(test.connect()).rejects.toMatchObject({ code: 'E_CONNECT_FAILED' })
  await test.restart()
  expect(await readyIn(await test.connect(), 'work')).toEqual(Array.from({ length: 21 }, (_, n) => n))
})

it('loses in a crash only what nobody was told is stored', async () => {
  const histories = new Set<string>()
  for (let seed = 1; seed <= 20; seed++) {
    await using test = await createTestBroker({ seed })
    const bus = await test.connect()
    const queue = await bus.createQueue<number>('work')
    const stored: number[] = []
    for (let n = 0; n < 5; n++) {
      queue.send(n).then(
        () => stored.push(n),
        () => {},
      )
    }
    const recovered = await crashAndRecover(test)
    const found = await readyIn(recovered, 'work')
    expect(found).toEqual([0, 1, 2, 3, 4].slice(0, found.length))
    expect(found).toEqual(expect.arrayContaining(stored))
    histories.add(`${stored.length} stored, ${found.length} found`)
  }
  // Under way means unknown: stored all the same, or not.
  expect(histories).toContain('0 stored, 0 found')
  expect(histories).toContain('0 stored, 5 found')
  expect(histories).toContain('5 stored, 5 found')
})

it('delivers again after a crash what was acknowledged a moment before, and not what was a second before', async () => {
  await using test = await createTestBroker()
  const queue = await (await test.connect()).createQueue('work')
  const done: unknown[] = []
  queue.process((message) => void done.push(message.data))
  await queue.send('a second before')
  await test.advance('1s')
  await queue.send('a moment before')
  await test.settle()
  expect(done).toEqual(['a second before', 'a moment before'])
  const bus = await crashAndRecover(test)
  expect(await readyIn(bus, 'work')).toEqual(['a moment before'])
})

it('repeats a history of its seed, and has another for another', async () => {
  const history = async (seed: number): Promise<unknown[]> => {
    await using test = await createTestBroker({ seed, durability: 'write' })
    const bus = await test.connect()
    const queue = await bus.createQueue<number>('work', { retry: { min: '1s' } })
    await test.advance('5s')
    const seen: unknown[] = []
    queue.process(
      (message, { attempt }) => {
        seen.push([message.id, message.data, attempt, test.now.toISOString()])
        if (attempt === 1) throw new Error('once more')
      },
      { concurrency: 20 },
    )
    for (let n = 0; n < 30; n++) await queue.send(n)
    await test.advance('900ms')
    const recovered = await crashAndRecover(test)
    return [...seen, ...(await readyIn(recovered, 'work'))]
  }
  const first = await history(7)
  expect(first.length).toBeGreaterThan(30)
  expect(await history(7)).toEqual(first)
  expect(await history(8)).not.toEqual(first)
})

it('forgets everything in a crash if it is in memory', async () => {
  await using test = await createTestBroker({ storage: 'memory' })
  await (await (await test.connect()).createQueue('work')).send(1)
  const bus = await crashAndRecover(test)
  await expect(bus.openQueue('work')).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

it('can be restarted in good order: then nothing is lost, at no level of durability', async () => {
  await using test = await createTestBroker({ durability: 'none' })
  const queue = await (await test.connect()).createQueue('work')
  await queue.send(1)
  await test.restart()
  await expect(queue.send(2)).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
  const bus = await test.connect()
  expect(bus.notes).toEqual([])
  expect(await readyIn(bus, 'work')).toEqual([1])
})

it('can be crashed by a handler, whose result does not count then', async () => {
  await using test = await createTestBroker()
  const queue = await (await test.connect()).createQueue('work')
  const crashed = new Promise<void>((resolve) => {
    queue.process(async (_message, { signal }) => {
      await test.crash()
      expect(signal.aborted).toBe(true)
      resolve()
    })
  })
  await queue.send(1)
  await crashed
  await test.restart()
  const bus = await test.connect()
  const { value } = await (await bus.openQueue('work')).receive().next()
  expect(value).toMatchObject({ data: 1, redelivered: true })
})

it('stands still where nothing can go on, and says what nobody can wait for', async () => {
  await using test = await createTestBroker()
  const queue: Queue = await (await test.connect()).createQueue('work')
  const receipt = await queue.send(1, { receipt: true })
  await expect(test.run(receipt.processed())).rejects.toMatchObject({ code: 'E_WOULD_DEADLOCK' })
})

it('lets go of everything when it is closed, whatever still runs', async () => {
  const test = await createTestBroker()
  const bus = await test.connect()
  const queue = await bus.createQueue('work', { retry: { min: '1h' } })
  queue.process(({ data }) => (data === 'fails' ? Promise.reject(new Error('no')) : new Promise(() => {})), {
    concurrency: 2,
  })
  await queue.send('never ends')
  const receipt = await queue.send('fails', { receipt: true })
  const outcome = receipt.processed({ timeout: '1d' }).catch((error: unknown) => error)
  await test.settle()
  await test.close()
  expect(await outcome).toMatchObject({ code: 'E_CLOSED' })
  await expect(queue.send('after')).rejects.toMatchObject({ code: 'E_CLOSED' })
  await expect(test.connect()).rejects.toMatchObject({ code: 'E_CLOSED' })
  await expect(test.advance('1h')).rejects.toMatchObject({ code: 'E_CLOSED' })
  await test.close()
  await bus.close()
})

it('does not mind fake timers of a test runner', async () => {
  vi.useFakeTimers()
  await using test = await createTestBroker()
  const queue = await (await test.connect()).createQueue('work')
  await queue.send(1)
  await test.advance('1d')
  expect((await queue.count()).ready).toBe(1)
})

it('waits for a pattern engine that a policy needs', async () => {
  await using test = await createTestBroker()
  const bus = await test.connect()
  const policy = { vhost: '/', name: 'short', pattern: '^w[aeiou]rk$', definition: { 'max-length': 1 } }
  await test.run(bus.importDefinitions({ policies: [{ ...policy, 'apply-to': 'queues', priority: 0 }] }))
  const queue = await bus.createQueue('work')
  for (const n of [1, 2, 3]) await queue.send(n)
  expect(await readyIn(bus, 'work')).toEqual([3])
})

it('says what it does not do', async () => {
  await expect(createTestBroker({ seed: -1 })).rejects.toThrow('seed is -1')
  await expect(createTestBroker({ storage: 'file' as never })).rejects.toThrow("storage is 'file'")
  await expect(createTestBroker({ now: new Date('tomorrow') })).rejects.toThrow('now is an invalid Date')
  await expect(createTestBroker({ time: 1 } as never)).rejects.toThrow("there is no option 'time'")
  await expect(createTestBroker({ storage: 'memory', durability: 'write' })).rejects.toMatchObject({
    code: 'E_BAD_OPTION',
  })
  await using test = await createTestBroker()
  await expect(test.connect({ durability: 'write' })).rejects.toThrow('give durability to createTestBroker')
  await expect((await test.connect()).serve()).rejects.toMatchObject({ code: 'E_UNSUPPORTED' })
  await expect(test.advance('soon' as never)).rejects.toThrow("test.advance is 'soon'")
})
