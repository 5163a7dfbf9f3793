// What a broker measures and its model expects is held against what was really waited: noted by sender and handler themselves,
// in virtual time.
import { describe, expect, it } from 'vitest'
import { createWhiteBoxBroker } from '../../test/support/white-box-broker.ts'
import { Prng } from '../lib/prng.ts'
import { createTestBroker, type TestBroker } from '../testing/kit/test-broker.ts'
import { exponential, switched, type Times } from '../testing/queueing/distributions.ts'
import type { Bus } from './bus.ts'
import type { Queue } from './queue.ts'
import type { ProcessOptions } from './worker-options.ts'

interface Truth {
  /** Of each message, in ms. */
  readonly waitsMs: number[]
  readonly servicesMs: number[]
}

/** Sends so many with such gaps, from now on; resolves when the last one is sent. */
async function sendAll(test: TestBroker, queue: Queue<number>, gaps: Times, count: number): Promise<void> {
  for (let sent = 0; sent < count; sent++) {
    await test.sleep(gaps() * 1000)
    void queue.send(test.now.getTime())
  }
}

/** Works on them for such times, and notes what happens. */
function workAndNote(test: TestBroker, queue: Queue<number>, services: Times, options: ProcessOptions): Truth {
  const truth: Truth = { waitsMs: [], servicesMs: [] }
  queue.process(async ({ data }) => {
    const beganMs = test.now.getTime()
    await test.sleep(services() * 1000)
    truth.waitsMs.push(beganMs - data)
    truth.servicesMs.push(test.now.getTime() - beganMs)
  }, options)
  return truth
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function exact(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] as number
}

async function jobs(test: TestBroker): Promise<{ bus: Bus; queue: Queue<number> }> {
  const bus = await test.connect()
  return { bus, queue: await bus.createQueue<number>('jobs') }
}

describe('a queue with a worker', () => {
  it.each([
    [1, 2, 0.7, 20_000],
    [4, 8, 0.8, 30_000],
    // What is handed out ahead of its turn still waits.
    [2, 40, 0.75, 20_000],
  ])(
    'of %i at once that holds %i waits as the model says at ρ = %f, and as its figures say',
    async (concurrency, prefetch, load, count) => {
      await using test = await createTestBroker({ storage: 'memory' })
      const { queue } = await jobs(test)
      const truth = workAndNote(test, queue, exponential(new Prng(1001), 0.1), { concurrency, prefetch })
      await test.run(sendAll(test, queue, exponential(new Prng(2), 0.1 / (concurrency * load)), count))
      const [stats, model] = [await queue.stats(), await queue.model()]
      const waited = meanOf(truth.waitsMs) / 1000

      expect(stats.waitSeconds?.count).toBeGreaterThan(count - 100)
      expect(Math.abs((stats.waitSeconds?.mean ?? 0) / waited - 1)).toBeLessThan(0.005)
      expect(Math.abs((stats.processingSeconds?.mean ?? 0) * 1000 - meanOf(truth.servicesMs))).toBeLessThan(1)
      for (const [name, share] of [
        ['p50', 0.5],
        ['p95', 0.95],
        ['p99', 0.99],
        ['max', 1],
      ] as const) {
        const told = (stats.processingSeconds?.[name] ?? 0) * 1000
        expect(Math.abs(told / exact(truth.servicesMs, share) - 1)).toBeLessThan(0.03)
      }

      expect(model.servers).toBe(concurrency)
      expect(Math.abs((model.utilisation ?? 0) - load)).toBeLessThan(0.03)
      expect(Math.abs((model.arrivalScv ?? 0) - 1)).toBeLessThan(0.05)
      expect(Math.abs((model.serviceScv ?? 0) - 1)).toBeLessThan(0.05)
      expect(model.littlesLaw.difference).toBeLessThan(0.01)
      expect(model.expectedWaitSeconds.confidence).toBe('high')
      expect(Math.abs(Number(model.expectedWaitSeconds.value) / waited - 1)).toBeLessThan(0.1)
    },
  )

  it.each([
    // One line: nothing is handed to a worker that has something to do.
    [1, 'high', 0.15],
    // By default each has one ahead, which waits for that worker also when the other is free.
    [2, 'medium', 0.5],
  ])(
    'that holds %i waits with another one about as was forecast before: %s',
    async (prefetch, confidence, errorMax) => {
      const options = { concurrency: 1, prefetch }
      await using test = await createTestBroker({ storage: 'memory' })
      const { queue } = await jobs(test)
      workAndNote(test, queue, exponential(new Prng(6), 0.1), options)
      await test.run(sendAll(test, queue, exponential(new Prng(5), 0.1 / 0.8), 20_000))
      const forecast = await queue.forecast({ workers: 2 })
      expect(forecast).toMatchObject({ name: 'jobs', servers: 2, serversNeeded: 1 })
      expect(forecast.expectedWaitSeconds.confidence).toBe(confidence)

      await using other = await createTestBroker({ storage: 'memory' })
      const { queue: same } = await jobs(other)
      const truth = workAndNote(other, same, exponential(new Prng(7), 0.1), options)
      const more = workAndNote(other, same, exponential(new Prng(8), 0.1), options)
      await other.run(sendAll(other, same, exponential(new Prng(9), 0.1 / 0.8), 20_000))
      const waited = meanOf([...truth.waitsMs, ...more.waitsMs]) / 1000
      expect(Math.abs(Number(forecast.expectedWaitSeconds.value) / waited - 1)).toBeLessThan(errorMax)
    },
  )

  it('says that it is not to be trusted where messages come in waves', async () => {
    await using test = await createTestBroker({ storage: 'memory' })
    const { queue } = await jobs(test)
    const truth = workAndNote(test, queue, exponential(new Prng(6), 0.1), { concurrency: 1 })
    await test.run(sendAll(test, queue, switched(new Prng(5), [15, 1], [60, 60]), 20_000))
    const { expectedWaitSeconds } = await queue.model()
    expect(Math.abs(Number(expectedWaitSeconds.value) / (meanOf(truth.waitsMs) / 1000) - 1)).toBeGreaterThan(0.3)
    expect(expectedWaitSeconds.confidence).toBe('low')
    expect(expectedWaitSeconds.reasons.length).toBeGreaterThan(0)
  })

  it('sees how retries come back, and what is taken in batches', async () => {
    await using test = await createTestBroker({ storage: 'memory' })
    const bus = await test.connect()
    const queue = await bus.createQueue<number>('jobs', {
      retry: { attempts: 3, backoff: 'fixed', min: '1s', max: '1s' },
    })
    queue.process(
      async (_message, { attempt }) => {
        await test.sleep(100)
        if (attempt === 1) throw new Error('not yet')
      },
      { onError: () => {} },
    )
    await queue.sendMany(Array.from({ length: 10 }, (_, at) => at))
    await test.advance('1m')
    const model = await queue.model()
    // Each attempt is work: that comes of it what came and what came back.
    expect(model.samples).toEqual({ arrivals: 20, processed: 20 })
    expect(model.measured.processingSeconds).toBeCloseTo(0.1, 3)
    expect((await queue.stats()).waitSeconds?.count).toBe(20)
  })
})

describe('a queue without one', () => {
  it('never drains, fills up, and knows how old its oldest message is', async () => {
    await using test = await createTestBroker()
    const bus = await test.connect()
    const queue = await bus.createQueue<number>('jobs', { maxLength: 1_000, overflow: 'reject' })
    await test.run(sendAll(test, queue, () => 0.1, 600))
    expect((await queue.stats()).oldestSeconds).toBeCloseTo(60, 0)
    const { drainSeconds, growthRate, limitSeconds, expectedWaitSeconds, utilisation } = await queue.model()
    expect(drainSeconds).toMatchObject({ value: 'never drains', confidence: 'high', reasons: ['nobody consumes'] })
    expect(growthRate.value).toBeCloseTo(10, 1)
    expect(limitSeconds.value).toBeCloseTo(40, 0)
    expect([expectedWaitSeconds.value, expectedWaitSeconds.confidence, utilisation]).toEqual([null, 'none', null])
    expect(expectedWaitSeconds.reasons.join()).toContain('nobody consumes')
  })

  it('has nothing to say before the first message, and says so', async () => {
    await using test = await createTestBroker()
    const { queue } = await jobs(test)
    expect(await queue.stats()).toMatchObject({ oldestSeconds: null, waitSeconds: null, processingSeconds: null })
    const model = await queue.model()
    const { expectedWaitSeconds, drainSeconds, servers } = model
    expect(model).toMatchObject({ arrivalRate: null, serviceRate: null, arrivalScv: null, serviceScv: null })
    expect(model.trust.arrivalRate).toEqual({ confidence: 'none', margin: null, reasons: ['nothing was measured yet'] })
    expect(expectedWaitSeconds.reasons.join()).toContain('too few samples: 0 arrivals')
    expect([drainSeconds.value, servers]).toEqual([0, 0])
    expect(await queue.forecast({ workers: 3, arrival: '600/m' })).toMatchObject({ servers: 3, arrivalRate: 10 })
  })

  it('does not know the age of what was there before the broker was started', async () => {
    await using test = await createTestBroker()
    const { queue } = await jobs(test)
    await queue.send(1)
    await test.advance('1m')
    await test.restart()
    const again = await (await test.connect()).openQueue<number>('jobs')
    expect(await again.stats()).toMatchObject({ ready: 1, oldestSeconds: null })
    await again.send(2)
    await test.advance('10s')
    expect(await again.stats()).toMatchObject({ ready: 2, oldestSeconds: null })
    const taken: number[] = []
    again.process(({ data }) => void taken.push(data))
    await test.settle()
    expect(taken).toEqual([1, 2])
    // What it waited in all is not known, and not made up.
    expect((await again.stats()).waitSeconds).toMatchObject({ count: 1 })
    expect((await again.stats()).waitSeconds?.mean).toBeCloseTo(10, 1)
  })
})

describe('a consumer that says nothing of itself', () => {
  it('is taken to work on all that it holds, which the model doubts', async () => {
    await using test = await createTestBroker({ storage: 'memory' })
    const { queue } = await jobs(test)
    const received = queue.receive({ prefetch: 5 })
    const reading = (async () => {
      for await (const message of received) await message.ack()
    })()
    await test.run(sendAll(test, queue, () => 0.1, 200))
    const { servers, expectedWaitSeconds } = await queue.model()
    expect(servers).toBe(5)
    expect(expectedWaitSeconds.confidence).toBe('low')
    expect(expectedWaitSeconds.reasons.join()).toContain('taken from their prefetch')
    await received.close()
    await test.run(reading)
  })
})

describe('a forecast', () => {
  it.each([
    [{ workers: -1 }, 'workers'],
    [{ workers: 1.5 }, 'workers'],
    [{ concurrency: 0 }, 'concurrency'],
    [{ arrival: -1 }, 'arrival'],
    [{ arrival: 'many' }, 'arrival'],
    // These took seconds, or had a load without end.
    [{ workers: 1_000_000, concurrency: 1_000 }, 'workers times concurrency'],
    [{ arrival: 1e300 }, 'arrival'],
    [{ speed: 1 }, 'speed'],
  ])('wants options that make sense, unlike %j', async (options, name) => {
    await using test = await createTestBroker({ storage: 'memory' })
    const { queue } = await jobs(test)
    await expect(queue.forecast(options as object)).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
    await expect(queue.forecast(options as object)).rejects.toThrow(name)
  })

  it('and a model are refused where the broker cannot be asked', async () => {
    const test = await createWhiteBoxBroker({ storage: 'memory', wiring: { statistics: () => false } })
    const queue = await (await test.connect()).createQueue('jobs')
    await expect(queue.model()).rejects.toMatchObject({ code: 'E_UNSUPPORTED' })
    await expect(queue.forecast()).rejects.toMatchObject({ code: 'E_UNSUPPORTED' })
  })
})

it('the first rates of a bus that is younger than its broker are those of the time in which the broker counted', async () => {
  await using broker = await createTestBroker()
  const queue = await (await broker.connect()).createQueue<number>('old')
  await queue.sendMany(Array.from({ length: 1_000 }, (_, at) => at))
  await broker.advance('100s')
  const young = await (await broker.connect()).openQueue('old')
  await broker.advance('10ms')
  const { sendRate, windowSeconds } = await young.stats()
  expect(windowSeconds).toBeGreaterThan(99)
  expect(sendRate).toBeGreaterThan(9.5)
  expect(sendRate).toBeLessThan(10.5)
})
