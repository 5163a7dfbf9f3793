// The five steps: stored, delivered, processed; between typed and plain AMQP on either side.
import { describe, expect, it } from 'vitest'
import { createWhiteBoxBroker, type WhiteBoxBroker } from '../../test/support/white-box-broker.ts'
import { toTable } from '../model/field-table.ts'
import type { Bus } from './bus.ts'
import { defineQueue } from './contract.ts'
import type { Queue } from './queue.ts'
import type { Receipt } from './receipt.ts'
import type { StandardSchema } from './standard-schema.ts'

async function withQueue(): Promise<{ test: WhiteBoxBroker; bus: Bus; queue: Queue }> {
  const test = await createWhiteBoxBroker({ storage: 'memory' })
  const bus = await test.connect()
  const queue = await bus.createQueue('jobs', { retry: { attempts: 2, min: '1s', jitter: false } })
  return { test, bus, queue }
}

/** Whether it has not settled by now. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let pending = true
  const mark = (): void => {
    pending = false
  }
  promise.then(mark, mark)
  await new Promise((resolve) => setImmediate(resolve))
  return pending
}

describe('a receipt', () => {
  it('exists only if it was asked for', async () => {
    const { test, queue } = await withQueue()
    const sent = await queue.send(1)
    expect(sent).not.toHaveProperty('processed')
    expect(JSON.parse(JSON.stringify(sent))).toEqual({ id: sent.id, duplicate: false })
    const [message] = await (await test.connectPlain()).drain('jobs')
    expect(message?.properties).toEqual({ contentType: 'application/json', deliveryMode: 2, messageId: sent.id })
  })

  it('tells when a worker has begun, and what it returned', async () => {
    const { test, queue } = await withQueue()
    let finish = (): void => {}
    const receipt = await queue.send(20, { receipt: true })
    const delivered = receipt.delivered()
    const processed = receipt.processed()
    await test.settle()
    expect(await isPending(delivered)).toBe(true)
    queue.process(async (message) => {
      await new Promise<void>((resolve) => (finish = resolve))
      return { twice: (message.data as number) * 2 }
    })
    await test.settle()
    expect(await isPending(delivered)).toBe(false)
    expect(await isPending(processed)).toBe(true)
    finish()
    expect(await processed).toEqual({ twice: 40 })
    expect(await receipt.processed()).toEqual({ twice: 40 })
    await receipt.delivered()
  })

  it('calls back once each, in order, after the send has resolved', async () => {
    const { test, queue } = await withQueue()
    const told: unknown[] = []
    queue.process(() => 'result')
    const sent = queue.send(1, {
      onDelivered: () => told.push('delivered'),
      onProcessed: (error, result) => told.push(['processed', error, result]),
    })
    void sent.then(() => told.push('stored'))
    await sent
    await test.settle()
    expect(told).toEqual(['stored', 'delivered', ['processed', null, 'result']])
  })

  it('asks for no more than its callbacks need', async () => {
    const { test, queue } = await withQueue()
    const plain = await test.connectPlain()
    await queue.send(1, { onProcessed: () => {} })
    await queue.send(2, { onDelivered: () => {} })
    const messages = await plain.drain('jobs')
    expect(messages.map(({ headers }) => headers['x-leveret-receipt'])).toEqual(['processed', 'delivered,processed'])
    for (const { properties } of messages) {
      expect(properties.correlationId).toBe(properties.messageId)
      expect(properties.replyTo).toMatch(/^amq\.gen-/)
    }
  })

  it('rejects with the last error when the message was dead-lettered', async () => {
    const { test, queue } = await withQueue()
    const told: unknown[] = []
    queue.process((_message, context) => {
      throw new Error(`attempt ${context.attempt}`)
    })
    const receipt = await queue.send(1, { onProcessed: (error, result) => told.push([error?.code, result]) })
    const processed = receipt.processed()
    processed.catch(() => {})
    await test.advance(999)
    expect(await isPending(processed)).toBe(true)
    await test.advance(17)
    await expect(processed).rejects.toMatchObject({
      code: 'E_NOT_PROCESSED',
      message: `E_NOT_PROCESSED: queue 'jobs': message ${receipt.id} was dead-lettered: Error: attempt 2`,
    })
    expect(told).toEqual([['E_NOT_PROCESSED', undefined]])
  })

  it('says that a message failed that was not kept', async () => {
    const test = await createWhiteBoxBroker({ storage: 'memory' })
    const bus = await test.connect()
    const queue = await bus.createQueue('jobs', { retry: { attempts: 1 }, deadLetter: false })
    queue.process(() => Promise.reject(new Error('no')))
    const receipt = await queue.send(1, { receipt: true })
    await expect(receipt.processed()).rejects.toThrow(/has failed: Error: no$/)
  })

  it('rejects after its timeout and can be asked again', async () => {
    const { test, queue } = await withQueue()
    const receipt = await queue.send(1, { receipt: true })
    const late = receipt.processed({ timeout: '2s' })
    late.catch(() => {})
    await test.advance(1_999)
    expect(await isPending(late)).toBe(true)
    await test.advance(1)
    await expect(late).rejects.toMatchObject({ code: 'E_TIMEOUT' })
    queue.process(() => 'at last')
    expect(await receipt.processed({ timeout: '2s' })).toBe('at last')
    await expect(receipt.processed({ timeout: 'soon' as never })).rejects.toMatchObject({ code: 'E_BAD_OPTION' })
  })

  it('can be forgotten', async () => {
    const { test, queue } = await withQueue()
    const told: unknown[] = []
    const receipt = await queue.send(1, { onProcessed: (error) => told.push(error) })
    const processed = receipt.processed()
    processed.catch(() => {})
    receipt.forget()
    await expect(processed).rejects.toMatchObject({ code: 'E_CLOSED' })
    queue.process(() => 'nobody hears it')
    await test.settle()
    expect(told).toEqual([])
    await expect(receipt.processed()).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  it('is told when the bus closes', async () => {
    const { bus, queue } = await withQueue()
    const receipt = await queue.send(1, { receipt: true })
    const processed = receipt.processed()
    processed.catch(() => {})
    await bus.close()
    await expect(processed).rejects.toMatchObject({ code: 'E_CLOSED' })
    await expect(receipt.delivered()).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  it('reports a callback that throws, at once or later, and goes on', async () => {
    const { test, queue } = await withQueue()
    queue.process(() => {})
    const onProcessed = (): void => {
      throw new Error('in the callback')
    }
    const later = (async () => {
      throw new Error('later')
    }) as () => void
    await queue.send(1, { onProcessed })
    await queue.send(1, { onProcessed: later })
    const receipt = await queue.send(1, { receipt: true })
    await receipt.processed()
    await test.settle()
    expect(test.errors.map((error) => error.message)).toEqual(['in the callback', 'later'])
  })

  it('keeps the order of sends around the first one that needs a reply queue', async () => {
    const { test, queue } = await withQueue()
    const sends = [queue.send(1), queue.send(2, { receipt: true }), queue.send(3), queue.send(4, { receipt: true })]
    await Promise.all(sends)
    const plain = await test.connectPlain()
    expect((await plain.drain('jobs')).map(({ body }) => body)).toEqual(['1', '2', '3', '4'])
  })

  it('checks results on both sides', async () => {
    const test = await createWhiteBoxBroker({ storage: 'memory' })
    const bus = await test.connect()
    const plain = await test.connectPlain()
    const price: StandardSchema<number, bigint> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value) =>
          typeof value === 'number' ? { value: BigInt(value) } : { issues: [{ message: 'no number' }] },
      },
    }
    const contract = defineQueue('prices', { result: price })
    const queue = await bus.createQueue(contract, { retry: { attempts: 1 } })
    const worker = queue.process((message) => (message.data === 'bad' ? ('text' as never) : 5))
    const good = await queue.send('good', { receipt: true })
    expect(await good.processed()).toBe(5n)
    const bad = await queue.send('bad', { receipt: true })
    await expect(bad.processed()).rejects.toThrow('the result of a handler')
    await worker.close()
    const odd = await queue.send('odd', { receipt: true })
    const [request] = await plain.drain('prices')
    plain.publish(request?.properties.replyTo ?? '', '"a word"', { correlationId: odd.id })
    await expect(odd.processed()).rejects.toMatchObject({ code: 'E_BAD_DATA' })
  })

  it('is bounded in number', async () => {
    const { bus, queue } = await withQueue()
    const some = await Promise.all(Array.from({ length: 1_000 }, () => queue.send(1, { receipt: true })))
    for (const receipt of some) receipt.forget()
    queue.process(() => {})
    const more = await Promise.all(Array.from({ length: 1_000 }, () => queue.send(1, { receipt: true })))
    await Promise.all(more.map((receipt) => receipt.processed()))
    expect((bus as unknown as { parts: { receipts: { size: number } } }).parts.receipts.size).toBe(0)
  })
})

describe('a receipt of context.send', () => {
  it('tells of a message that a handler sent, after its commit', async () => {
    const { test, bus, queue } = await withQueue()
    const next = await bus.createQueue<number, number>('next')
    next.process((message) => message.data + 1)
    const told: unknown[] = []
    let receipt: Receipt<number> | null = null
    queue.process((_message, context) => {
      receipt = context.send(next, 1, { onProcessed: (error, result) => told.push([error, result]) })
    })
    await queue.send('go')
    await test.settle()
    expect(told).toEqual([[null, 2]])
    expect(await (receipt as unknown as Receipt<number>).processed()).toBe(2)
  })

  it('cannot be awaited inside the handler', async () => {
    const { test, bus, queue } = await withQueue()
    const next = await bus.createQueue('next')
    let error: unknown = null
    queue.process(async (_message, context) => {
      const receipt = context.send(next, 1, { receipt: true })
      error = await receipt.processed().catch((thrown: unknown) => thrown)
    })
    await queue.send('go')
    await test.settle()
    expect(error).toMatchObject({ code: 'E_WOULD_DEADLOCK' })
  })

  it('is dropped with the attempt that failed', async () => {
    const { test, bus, queue } = await withQueue()
    const next = await bus.createQueue('next')
    const receipts: Receipt[] = []
    queue.process((_message, context) => {
      receipts.push(context.send(next, 1, { receipt: true }))
      if (context.attempt === 1) throw new Error('no')
    })
    await queue.send('go')
    await test.advance(5_000)
    expect(receipts).toHaveLength(2)
    await expect(receipts[0]?.processed()).rejects.toMatchObject({ code: 'E_CLOSED' })
    next.process(() => 'done')
    expect(await (receipts[1] as Receipt).processed()).toBe('done')
  })
})

describe('a plain AMQP client that knows nothing but reply_to', () => {
  it('can be the worker', async () => {
    const { test, queue } = await withQueue()
    const plain = await test.connectPlain()
    const receipt = await queue.send({ n: 3 }, { receipt: true })
    const [request] = await plain.drain('jobs')
    const { replyTo = '', correlationId = '' } = request?.properties ?? {}
    plain.publish(replyTo, '{"square":9}', { correlationId })
    plain.publish(replyTo, '{"square":"twice"}', { correlationId })
    plain.publish(replyTo, 'to nobody', { correlationId: 'unknown' })
    expect(await receipt.processed()).toEqual({ square: 9 })
    await receipt.delivered()
  })

  it('can be the sender, and gets the result or the reason', async () => {
    const { test, queue } = await withQueue()
    const plain = await test.connectPlain()
    const replyTo = await plain.replyQueue()
    queue.process((message, context) => {
      const { data } = message as { data: string }
      if (data === 'bad') return context.deadLetter('corrupt')
      if (data === 'bytes') return Buffer.from('raw')
      return data === 'nothing' ? undefined : { data }
    })
    for (const text of ['good', 'bad', 'bytes', 'nothing']) {
      plain.publish('jobs', text, { contentType: 'text/plain', replyTo, correlationId: `c-${text}` })
    }
    await test.settle()
    const answers = Object.fromEntries(
      plain.received.map(({ properties, headers, body }) => [
        properties.correlationId,
        [properties.contentType, body, headers],
      ]),
    )
    const processed = { 'x-leveret-outcome': 'processed', 'x-leveret-queue': 'jobs' }
    expect(answers).toEqual({
      'c-good': ['application/json', '{"data":"good"}', processed],
      'c-bytes': ['application/octet-stream', 'raw', processed],
      'c-nothing': ['application/json', '', processed],
      'c-bad': [
        'application/json',
        '{"error":"corrupt"}',
        { 'x-leveret-outcome': 'dead-lettered', 'x-leveret-error': 'corrupt', 'x-leveret-queue': 'jobs' },
      ],
    })
  })

  it('is answered by its message id if it gave no correlation id, and gets what it asked for', async () => {
    const { test, queue } = await withQueue()
    const plain = await test.connectPlain()
    const replyTo = await plain.replyQueue()
    queue.process(() => 1)
    plain.publish('jobs', '1', { replyTo, messageId: 'm' })
    plain.publish('jobs', '2', { replyTo, messageId: 'd', headers: toTable({ 'x-leveret-receipt': 'delivered' }) })
    await test.settle()
    expect(
      plain.received.map(({ properties, headers }) => [properties.correlationId, headers['x-leveret-outcome']]),
    ).toEqual(
      expect.arrayContaining([
        ['m', 'processed'],
        ['d', 'delivered'],
      ]),
    )
    expect(plain.received).toHaveLength(2)
  })

  it('is answered once, though its dead letter is handled too', async () => {
    const { test, bus, queue } = await withQueue()
    const plain = await test.connectPlain()
    const replyTo = await plain.replyQueue()
    queue.process((_message, context) => context.deadLetter('no'))
    const dead = await bus.createQueue('jobs.dead')
    const seen: unknown[] = []
    dead.process((message) => {
      seen.push(message.headers['x-leveret-reply-to'])
    })
    plain.publish('jobs', '1', { replyTo, correlationId: 'c' })
    await test.settle()
    expect(seen).toEqual([replyTo])
    expect(plain.received).toHaveLength(1)
  })

  it('is no trouble when it has gone before the answer', async () => {
    const { test, queue } = await withQueue()
    const plain = await test.connectPlain()
    const worker = queue.process(() => 1)
    plain.publish('jobs', '1', { replyTo: 'gone', correlationId: 'c' })
    await test.settle()
    expect(worker.stats()).toMatchObject({ processed: 1, waiting: 0 })
    expect(test.errors).toEqual([])
  })
})
