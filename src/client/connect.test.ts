// The public API as users call it: real folders, real sockets, real time; and plain AMQP clients beside it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Channel, connect as connectPlain } from 'amqplib'
import { afterEach, describe, expect, it } from 'vitest'
import { type Bus, type ConnectOptions, connect, LeveretError, type Queue, version } from '../index.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function open(url: string, options: ConnectOptions = {}): Promise<Bus> {
  const bus = await connect(url, options)
  cleanups.push(() => bus.close({ timeout: '1s' }))
  return bus
}

function folderUrl(): string {
  const folder = mkdtempSync(join(tmpdir(), 'leveret-'))
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }))
  return `file:${folder}/data`
}

async function plainChannel(url: string): Promise<Channel> {
  const connection = await connectPlain(url)
  cleanups.push(() => connection.close().catch(() => {}))
  return await connection.createChannel()
}

const never = (): never => expect.unreachable('that cannot be opened')

const quick = { retry: { attempts: 2, min: 1, jitter: false } } as const

/** The five steps between a sender's and a worker's bus. */
async function fiveSteps(sender: Bus, worker: Bus): Promise<void> {
  const jobs = await sender.createQueue<{ n: number }, { twice: number }>('jobs', quick)
  const hands = await worker.createQueue<{ n: number }, { twice: number }>('jobs', quick)
  const log = await worker.createQueue<number>('log')
  const attempts: number[] = []
  await using running = hands.process(
    (message, context) => {
      attempts.push(context.attempt)
      if (message.data.n < 0) throw new Error('negative')
      context.send(log, message.data.n)
      return { twice: message.data.n * 2 }
    },
    { concurrency: 10, onError: () => {} },
  )
  await running.ready()
  const told: unknown[] = []
  const receipt = await jobs.send(
    { n: 21 },
    { onDelivered: () => told.push('delivered'), onProcessed: (error, result) => told.push([error, result]) },
  )
  await receipt.delivered()
  expect(await receipt.processed({ timeout: '10s' })).toEqual({ twice: 42 })
  await new Promise((resolve) => setImmediate(resolve))
  expect(told).toEqual(['delivered', [null, { twice: 42 }]])
  const bad = await jobs.send({ n: -1 }, { receipt: true })
  await expect(bad.processed({ timeout: '10s' })).rejects.toThrow('was dead-lettered: Error: negative')
  const many = await Promise.all(Array.from({ length: 200 }, (_, n) => jobs.send({ n }, { receipt: true })))
  const results = await Promise.all(many.map((one) => one.processed({ timeout: '10s' })))
  expect(results.map(({ twice }) => twice)).toEqual(Array.from({ length: 200 }, (_, n) => n * 2))
  expect(attempts.filter((attempt) => attempt === 2)).toHaveLength(1)
  expect(await log.count()).toEqual({ ready: 201, consumers: 0 })
  expect(await (await worker.openQueue('jobs.dead')).count()).toMatchObject({ ready: 1 })
}

describe('connect', () => {
  it('works in memory', async () => {
    const bus = await open('memory:')
    await fiveSteps(bus, bus)
  })

  it('works in a folder', async () => {
    const bus = await open(folderUrl())
    await fiveSteps(bus, bus)
  })

  it('works between a folder and another process', async () => {
    const bus = await open(folderUrl())
    const { url } = await bus.serve({ amqp: 0 })
    await fiveSteps(await open(url), bus)
  })

  it('works the other way round, and among remote ones', async () => {
    const bus = await open('memory:')
    const { url } = await bus.serve({ amqp: 0 })
    await fiveSteps(bus, await open(url))
    for (const name of ['jobs', 'jobs.dead', 'log']) await (await bus.openQueue(name)).delete()
    await fiveSteps(await open(url), await open(url))
  })

  it('finds in a folder what was put there', async () => {
    const url = folderUrl()
    const first = await connect(url)
    const jobs = await first.createQueue('jobs')
    const sent = await jobs.sendMany(['a', 'b', Buffer.from('c')])
    for await (const message of jobs.receive()) {
      await message.ack()
      break
    }
    await first.close()
    const again = await (await open(url)).createQueue('jobs')
    const seen: unknown[] = []
    for await (const message of again.receive()) {
      seen.push([message.id, message.data])
      await message.ack()
      if (seen.length === 2) break
    }
    expect(seen).toEqual([
      [sent[1]?.id, 'b'],
      [sent[2]?.id, Buffer.from('c')],
    ])
  })

  it('gives a folder to one at a time, and says who has it', async () => {
    const url = folderUrl()
    const bus = await open(url)
    const served = await bus.serve({ amqp: 0 })
    const refusal = await connect(url).catch((error: unknown) => error)
    expect(refusal).toMatchObject({ code: 'E_FOLDER_IN_USE' })
    expect((refusal as LeveretError).message).toContain(String(process.pid))
    expect((refusal as LeveretError).message).toContain(served.url)
    await bus.close()
    await open(url)
  })

  it('keeps the folder closed to nobody after a mistake', async () => {
    const url = folderUrl()
    await expect(connect(url, { highWater: -1 })).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
    await open(url)
  })

  it('says what is wrong with a path that is no folder', async () => {
    const url = folderUrl()
    const file = url.replace('file:', '').replace('/data', '/file')
    writeFileSync(file, 'not a folder')
    for (const path of [file, `${file}/below`]) {
      const error: LeveretError = await open(`file:${path}`).then(never, (thrown: LeveretError) => thrown)
      expect(error.code).toBe('E_STORAGE_FAILED')
      expect(error.message).toContain('is there and no folder')
      expect(error.message).not.toContain('free space')
    }
  })

  it('sends over a connection what whoever serves there takes, and nothing larger', async () => {
    const broker = await open('memory:')
    for (const [messageBytesMax, codes] of [
      [1_000, [null, 'E_BAD_DATA', null]],
      [18 << 20, [null, null, null]],
    ] as const) {
      const served = await broker.serve({ amqp: 0, messageBytesMax })
      const queue = await (await open(served.url)).createQueue('jobs')
      const sizes = [1, messageBytesMax === 1_000 ? 1_001 : 17 << 20, 2]
      const sent = await Promise.allSettled(sizes.map((size) => queue.send(Buffer.alloc(size))))
      expect(sent.map((one) => (one.status === 'rejected' ? (one.reason as LeveretError).code : null))).toEqual(codes)
    }
    expect(await (await broker.openQueue('jobs')).count()).toMatchObject({ ready: 5 })
  })

  it('promises for a folder what it is told to, and says so, also to those who are served', async () => {
    const bus = await open(folderUrl(), { durability: 'write', deliverAfter: 'sync' })
    const jobs = await bus.createQueue('jobs')
    await jobs.sendMany(['a', 'b'])
    const promised = { name: 'jobs', durability: 'write', deliverAfter: 'sync' }
    expect(await bus.stats()).toMatchObject([promised])
    const { url } = await bus.serve({ amqp: 0 })
    const remote = await (await open(url)).openQueue('jobs')
    expect(await remote.stats()).toMatchObject(promised)
    const seen: unknown[] = []
    for await (const message of remote.receive()) {
      seen.push(message.data)
      await message.ack()
      if (seen.length === 2) break
    }
    expect(seen).toEqual(['a', 'b'])
    await bus.createQueue('passing', { storage: 'memory' })
    expect((await bus.stats()).find(({ name }) => name === 'passing')).toMatchObject({
      durability: 'none',
      deliverAfter: 'accept',
    })
  })

  it('says what is wrong with an address', async () => {
    await expect(connect('./data')).rejects.toMatchObject({ code: 'E_BAD_URL' })
    await expect(connect('amqp://127.0.0.1:1')).rejects.toMatchObject({ code: 'E_CONNECT_FAILED' })
    await expect(connect('amqps://127.0.0.1:1')).rejects.toMatchObject({ code: 'E_CONNECT_FAILED' })
    const { port } = await (await open('memory:')).serve({ amqp: 0 })
    await expect(connect(`amqp://guest:wrong@127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'ACCESS_REFUSED' })
    await expect(connect(`amqp://127.0.0.1:${port}/none`)).rejects.toMatchObject({ code: 'NOT_ALLOWED' })
  })

  it('tells a remote bus that its broker has gone', async () => {
    const broker = await open('memory:')
    const served = await broker.serve({ amqp: 0 })
    const errors: Error[] = []
    const bus = await open(served.url, { onError: (error) => errors.push(error) })
    const jobs = await bus.createQueue('jobs')
    const worker = jobs.process(() => {})
    await worker.ready()
    const closed = worker.closed()
    closed.catch(() => {})
    await (await bus.createQueue('jobs.dead')).sendMany([1, 2, 3])
    const redriven = jobs.redrive({ rate: '1/h' })
    redriven.catch(() => {})
    const tick = bus.events('tick').next()
    tick.catch(() => {})
    const outcomes = bus.receipts({ sender: 'web-1' })
    const outcome = outcomes.next()
    outcome.catch(() => {})
    while (!(await broker.stats()).some(({ name, consumers }) => name === 'leveret.inbox.web-1' && consumers === 1)) {}
    await served.close()
    await expect(outcome).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    await expect(outcomes.next()).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    await expect(tick).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    await expect(redriven).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    await expect(jobs.redrive()).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    await expect(closed).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    await expect(jobs.send(1)).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    expect(errors[0]).toMatchObject({ code: 'E_CONNECTION_LOST' })
    await expect(bus.stats()).rejects.toMatchObject({ code: 'E_CONNECTION_LOST' })
    await expect(bus.serve()).rejects.toMatchObject({ code: 'E_UNSUPPORTED' })
  })

  it('says which port it cannot have', async () => {
    const bus = await open('memory:')
    const { port } = await bus.serve({ amqp: 0 })
    await expect(bus.serve({ amqp: port })).rejects.toThrow(`E_REFUSED: cannot serve on 127.0.0.1:${port}`)
    await expect(bus.serve({ amqp: 0, host: '192.0.2.1' })).rejects.toThrow('this machine has no such address')
  })

  it('has the version of its package', () => {
    const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
    expect((JSON.parse(text) as { version: string }).version).toBe(version)
  })
})

describe('a plain AMQP client that only knows reply_to', () => {
  async function served(): Promise<{ queue: Queue; channel: Channel }> {
    const bus = await open(folderUrl())
    const { url } = await bus.serve({ amqp: 0 })
    return { queue: await bus.createQueue('jobs', quick), channel: await plainChannel(url) }
  }

  it('is the worker of a typed sender', async () => {
    const { queue, channel } = await served()
    await channel.consume('jobs', (message) => {
      if (message === null) return
      const { replyTo, correlationId } = message.properties as { replyTo: string; correlationId: string }
      const n = JSON.parse(message.content.toString()) as number
      channel.sendToQueue(replyTo, Buffer.from(JSON.stringify(n * n)), { correlationId })
      channel.ack(message)
    })
    const receipt = await queue.send(12, { receipt: true })
    expect(await receipt.processed({ timeout: '10s' })).toBe(144)
  })

  it('is the sender for a typed worker', async () => {
    const { queue, channel } = await served()
    queue.process(
      (message) => {
        const { n } = message.data as { n: number }
        if (n < 0) throw new Error('negative')
        return n * n
      },
      { onError: () => {} },
    )
    const { queue: replyTo } = await channel.assertQueue('', { exclusive: true })
    const answers = new Promise<string[]>((resolve) => {
      const texts: string[] = []
      void channel.consume(replyTo, (message) => {
        texts.push(`${String(message?.properties.correlationId)} ${String(message?.content.toString())}`)
        if (texts.length === 2) resolve(texts.sort())
      })
    })
    channel.sendToQueue('jobs', Buffer.from('{"n":5}'), { replyTo, correlationId: 'a' })
    channel.sendToQueue('jobs', Buffer.from('{"n":-5}'), { replyTo, correlationId: 'b' })
    expect(await answers).toEqual(['a 25', 'b {"error":"Error: negative"}'])
  })
})
