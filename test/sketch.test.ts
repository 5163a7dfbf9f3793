// The whole vocabulary in one place, in the words in which a user would type it; each part of it has tests of its own elsewhere.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import {
  type Bus,
  connect,
  defineCall,
  defineEvent,
  defineQueue,
  type InboxOutcome,
  type Queue,
  type StandardSchema,
} from '../src/index.ts'
import { createTestBroker, type TestBroker } from '../src/testing/index.ts'

/** As those of zod, valibot and arktype are. */
function object<Shape extends object>(...names: (keyof Shape & string)[]): StandardSchema<Shape, Shape> {
  const validate = (value: unknown): { value: Shape } | { issues: { message: string }[] } => {
    const missing = names.filter((name) => !(name in (value as object)))
    return missing.length === 0 ? { value: value as Shape } : { issues: missing.map((name) => ({ message: name })) }
  }
  return { '~standard': { version: 1, vendor: 'test', validate } }
}

const resize = defineQueue('resize', {
  input: object<{ file: string }>('file'),
  result: object<{ bytes: number }>('bytes'),
})
const resized = defineEvent('image.resized', object<{ file: string }>('file'))
const price = defineCall<{ sku: string }, number>('price')
const other = defineQueue<{ file: string }>('other')

let test: TestBroker
let bus: Bus
let queue: Queue<{ file: string }, { bytes: number }>

beforeEach(async () => {
  test = await createTestBroker({ seed: 1 })
  bus = await test.connect()
  queue = await bus.createQueue(resize, {
    retry: { attempts: 5, backoff: 'exponential', min: '1s', max: '5m', jitter: true },
    deadLetter: 'resize.dead',
    maxLength: 1_000_000,
    overflow: 'reject',
    keys: { concurrency: 1, rate: '10/s' },
  })
})

afterEach(() => test.close())

it('sends, and waits or is called back', async () => {
  await bus.createQueue(other)
  const events: string[] = []
  const heard: string[] = []
  await bus.on('image.*', ({ name }) => events.push(name))
  queue.process(
    async (message, context) => {
      context.progress(0.5)
      await nextTurn()
      expect(context.signal.aborted).toBe(false)
      context.send(other, { file: message.data.file })
      context.emit(resized, { file: message.data.file })
      return { bytes: 10 }
    },
    { concurrency: 'auto', rate: '100/s' },
  )

  const { id, duplicate } = await queue.send({ file: 'a.png' })
  expect([typeof id, duplicate]).toEqual(['string', false])
  const receipt = await queue.send(
    { file: 'a.png' },
    {
      receipt: true,
      sender: 'web-1',
      onDelivered() {
        heard.push('delivered')
      },
      onProgress(share) {
        heard.push(`progress ${share}`)
      },
      onProcessed(error, result) {
        heard.push(`processed ${error === null ? result?.bytes : error.code}`)
      },
      key: 'tenant-7',
      idempotencyKey: 'a.png#1',
      delay: '5s',
      priority: 3,
      ttl: '10m',
      deadline: '1m',
      signal: new AbortController().signal,
    },
  )
  const { bytes } = await test.run(receipt.processed({ timeout: '1m' }))
  await test.settle()
  expect(bytes).toBe(10)
  expect(heard).toEqual(['delivered', 'progress 0.5', 'processed 10'])
  expect(events).toEqual(['image.resized', 'image.resized'])
  expect((await (await bus.openQueue(other)).stats()).ready).toBe(2)
})

it('retries and puts aside by what the handler returns, and brings back', async () => {
  let isBusy = true
  let isBad = true
  const attempts: number[] = []
  queue.process((_message, context) => {
    attempts.push(context.attempt)
    if (isBusy) {
      isBusy = false
      return context.retry({ after: '30s' })
    }
    if (isBad) return context.deadLetter('corrupt file')
    return { bytes: 10 }
  })
  await queue.send({ file: 'a.png' })
  await test.advance('31s')
  expect(attempts).toEqual([1, 2])

  isBad = false
  expect(await test.run(queue.redrive({ from: 'resize.dead', rate: '50/s' }))).toBe(1)
  await test.settle()
  expect(attempts).toEqual([1, 2, 1])
})

it('keeps what its callbacks would have been told, for after a restart', async () => {
  await queue.send({ file: 'a.png' }, { sender: 'web-1' })
  await test.crash()
  await test.restart()

  bus = await test.connect()
  ;(await bus.openQueue(resize)).process(() => ({ bytes: 10 }))
  await test.settle()
  const outcomes: InboxOutcome[] = []
  for await (const outcome of bus.receipts({ sender: 'web-1', wait: false })) outcomes.push(outcome)
  expect(outcomes.map(({ status, result }) => [status, result])).toEqual([['processed', { bytes: 10 }]])
})

it('receives one at a time, or in batches', async () => {
  await queue.sendMany([{ file: 'a.png' }, { file: 'b.png' }])
  const reader = new AbortController()
  const seen: string[] = []
  for await (const m of queue.receive({ prefetch: 10, signal: reader.signal })) {
    seen.push(m.data.file)
    await m.ack()
    if (seen.length === 2) reader.abort()
  }
  expect(seen).toEqual(['a.png', 'b.png'])

  const sizes: number[] = []
  queue.processBatch(async (messages) => void sizes.push(messages.length), { size: 500, wait: '50ms' })
  await queue.sendMany([{ file: 'c.png' }, { file: 'd.png' }])
  await test.advance('50ms')
  expect(sizes).toEqual([2])
})

it('tells everybody, and asks', async () => {
  const live: unknown[] = []
  const indexed: string[] = []
  await bus.on('image.*', (event) => live.push(event.data))
  await bus.on(resized, ({ data }) => void indexed.push(data.file), { durable: 'indexer' })
  await bus.emit(resized, { file: 'a.png' })
  await test.settle()
  expect(live).toEqual([{ file: 'a.png' }])
  expect(indexed).toEqual(['a.png'])

  await bus.answer(price, async ({ sku }) => sku.length + 41)
  const quote = await test.run(bus.call(price, { sku: 'x' }, { timeout: '2s' }))
  expect(quote).toBe(42)
})

it('does so again and again', async () => {
  const nightly = await bus.schedule('nightly', '0 3 * * *', resize, { file: 'all' }, { timezone: 'Asia/Shanghai' })
  expect(nightly.nextAt?.getUTCHours()).toBe(19)
  await test.advance('1d')
  expect((await queue.stats()).ready).toBe(1)
})

it('counts, pauses, looks and purges', async () => {
  await queue.pause()
  await queue.send({ file: 'a.png' })
  expect(await queue.stats()).toMatchObject({ ready: 1, unacked: 0, delayed: 0, length: 1, paused: true })
  for await (const m of queue.peek({ limit: 20 })) expect(m.data).toEqual({ file: 'a.png' })
  expect(await queue.purge()).toBe(1)
  await queue.resume()
  expect(bus.capabilities().keys.support).toBe('native')
})

it('knows what goes through it, and what would with more workers', async () => {
  queue.process(async () => {
    await test.sleep(50)
    return { bytes: 10 }
  })
  for (let sent = 0; sent < 300; sent++) {
    await queue.send({ file: 'a.png' }, { key: `tenant-${sent % 50}` })
    await test.advance(100)
  }
  const stats = await queue.stats()
  for (const rate of [stats.sendRate, stats.receiveRate, stats.processingRate]) expect(rate).toBeCloseTo(10, 0)
  expect(stats.sendBytesRate / stats.sendRate).toBeCloseTo(16, 0)
  expect(stats.processingSeconds?.p50).toBeCloseTo(0.05, 2)
  const { arrivalRate, serviceRate, utilisation, drainSeconds } = await queue.model()
  expect([arrivalRate, serviceRate, utilisation].map((value) => Math.round((value ?? 0) * 10) / 10)).toEqual([
    10, 20, 0.5,
  ])
  expect(drainSeconds.value).toBe(0)
  expect((await queue.forecast({ workers: 8 })).utilisation).toBeCloseTo(0.0625, 2)
})

it('is served from a folder, to others who type the same', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'leveret-sketch-'))
  try {
    await using own = await connect(`file:${folder}`)
    await own.createQueue(resize)
    const { url } = await own.serve({ amqp: 0 })
    await using remote = await connect(url)
    const there = await remote.openQueue(resize)
    await using worker = there.process(async () => ({ bytes: 10 }))
    await worker.ready()
    const receipt = await (await own.openQueue(resize)).send({ file: 'a.png' }, { receipt: true })
    expect(await receipt.processed({ timeout: '10s' })).toEqual({ bytes: 10 })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
