// The five steps: stored, delivered, processed; between typed and plain AMQP on either side.
import { describe, expect, it } from 'vitest'
import { openWorld, PlainClient, type World } from '../../test/support/client-world.ts'
import { toTable } from '../model/field-table.ts'
import { defineQueue } from './contract.ts'
import type { Queue } from './queue.ts'
import type { Receipt } from './receipt.ts'
import type { StandardSchema } from './standard-schema.ts'

async function withQueue(): Promise<{ world: World; queue: Queue }> {
  const world = await openWorld()
  const queue = await world.run(world.bus.createQueue('jobs', { retry: { attempts: 2, min: '1s', jitter: false } }))
  return { world, queue }
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
    const { world, queue } = await withQueue()
    const sent = await world.run(queue.send(1))
    expect(sent).not.toHaveProperty('processed')
    expect(JSON.parse(JSON.stringify(sent))).toEqual({ id: sent.id, duplicate: false })
    const [message] = await (await PlainClient.open(world)).drain('jobs')
    expect(message?.properties).toEqual({ contentType: 'application/json', deliveryMode: 2, messageId: sent.id })
  })

  it('tells when a worker has begun, and what it returned', async () => {
    const { world, queue } = await withQueue()
    let finish = (): void => {}
    const receipt = await world.run(queue.send(20, { receipt: true }))
    const delivered = receipt.delivered()
    const processed = receipt.processed()
    await world.settle()
    expect(await isPending(delivered)).toBe(true)
    queue.process(async (message) => {
      await new Promise<void>((resolve) => (finish = resolve))
      return { twice: (message.data as number) * 2 }
    })
    await world.settle()
    expect(await isPending(delivered)).toBe(false)
    expect(await isPending(processed)).toBe(true)
    finish()
    expect(await world.run(processed)).toEqual({ twice: 40 })
    expect(await receipt.processed()).toEqual({ twice: 40 })
    await receipt.delivered()
  })

  it('calls back once each, in order, after the send has resolved', async () => {
    const { world, queue } = await withQueue()
    const told: unknown[] = []
    queue.process(() => 'result')
    const sent = queue.send(1, {
      onDelivered: () => told.push('delivered'),
      onProcessed: (error, result) => told.push(['processed', error, result]),
    })
    void sent.then(() => told.push('stored'))
    await world.run(sent)
    await world.settle()
    expect(told).toEqual(['stored', 'delivered', ['processed', null, 'result']])
  })

  it('asks for no more than its callbacks need', async () => {
    const { world, queue } = await withQueue()
    const plain = await PlainClient.open(world)
    await world.run(queue.send(1, { onProcessed: () => {} }))
    await world.run(queue.send(2, { onDelivered: () => {} }))
    const messages = await plain.drain('jobs')
    expect(messages.map(({ headers }) => headers['x-leveret-receipt'])).toEqual(['processed', 'delivered,processed'])
    for (const { properties } of messages) {
      expect(properties.correlationId).toBe(properties.messageId)
      expect(properties.replyTo).toMatch(/^amq\.gen-/)
    }
  })

  it('rejects with the last error when the message was dead-lettered', async () => {
    const { world, queue } = await withQueue()
    const told: unknown[] = []
    queue.process((_message, context) => {
      throw new Error(`attempt ${context.attempt}`)
    })
    const receipt = await world.run(queue.send(1, { onProcessed: (error, result) => told.push([error?.code, result]) }))
    const processed = receipt.processed()
    processed.catch(() => {})
    await world.clock.advance(999)
    expect(await isPending(processed)).toBe(true)
    await world.clock.advance(17)
    await expect(processed).rejects.toMatchObject({
      code: 'E_NOT_PROCESSED',
      message: `E_NOT_PROCESSED: queue 'jobs': message ${receipt.id} was dead-lettered: Error: attempt 2`,
    })
    expect(told).toEqual([['E_NOT_PROCESSED', undefined]])
  })

  it('says that a message failed that was not kept', async () => {
    const world = await openWorld()
    const queue = await world.run(world.bus.createQueue('jobs', { retry: { attempts: 1 }, deadLetter: false }))
    queue.process(() => Promise.reject(new Error('no')))
    const receipt = await world.run(queue.send(1, { receipt: true }))
    await expect(world.run(receipt.processed())).rejects.toThrow(/has failed: Error: no$/)
  })

  it('rejects after its timeout and can be asked again', async () => {
    const { world, queue } = await withQueue()
    const receipt = await world.run(queue.send(1, { receipt: true }))
    const late = receipt.processed({ timeout: '2s' })
    late.catch(() => {})
    await world.clock.advance(1_999)
    expect(await isPending(late)).toBe(true)
    await world.clock.advance(1)
    await expect(late).rejects.toMatchObject({ code: 'E_TIMEOUT' })
    queue.process(() => 'at last')
    expect(await world.run(receipt.processed({ timeout: '2s' }))).toBe('at last')
    await expect(receipt.processed({ timeout: 'soon' as never })).resolves.toBe('at last')
  })

  it('can be forgotten', async () => {
    const { world, queue } = await withQueue()
    const told: unknown[] = []
    const receipt = await world.run(queue.send(1, { onProcessed: (error) => told.push(error) }))
    const processed = receipt.processed()
    processed.catch(() => {})
    receipt.forget()
    await expect(processed).rejects.toMatchObject({ code: 'E_CLOSED' })
    queue.process(() => 'nobody hears it')
    await world.settle()
    expect(told).toEqual([])
    await expect(receipt.processed()).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  it('is told when the bus closes', async () => {
    const { world, queue } = await withQueue()
    const receipt = await world.run(queue.send(1, { receipt: true }))
    const processed = receipt.processed()
    processed.catch(() => {})
    await world.run(world.bus.close())
    await expect(processed).rejects.toMatchObject({ code: 'E_CLOSED' })
    await expect(world.run(receipt.delivered())).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  it('reports a callback that throws, at once or later, and goes on', async () => {
    const { world, queue } = await withQueue()
    queue.process(() => {})
    const onProcessed = (): void => {
      throw new Error('in the callback')
    }
    const later = (async () => {
      throw new Error('later')
    }) as () => void
    await world.run(queue.send(1, { onProcessed }))
    await world.run(queue.send(1, { onProcessed: later }))
    const receipt = await world.run(queue.send(1, { receipt: true }))
    await world.run(receipt.processed())
    await world.settle()
    expect(world.errors.map((error) => error.message)).toEqual(['in the callback', 'later'])
  })

  it('keeps the order of sends around the first one that needs a reply queue', async () => {
    const { world, queue } = await withQueue()
    const sends = [queue.send(1), queue.send(2, { receipt: true }), queue.send(3), queue.send(4, { receipt: true })]
    await world.run(Promise.all(sends))
    const plain = await PlainClient.open(world)
    expect((await plain.drain('jobs')).map(({ body }) => body)).toEqual(['1', '2', '3', '4'])
  })

  it('checks results on both sides', async () => {
    const world = await openWorld()
    const plain = await PlainClient.open(world)
    const price: StandardSchema<number, bigint> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value) =>
          typeof value === 'number' ? { value: BigInt(value) } : { issues: [{ message: 'no number' }] },
      },
    }
    const contract = defineQueue('prices', { result: price })
    const queue = await world.run(world.bus.createQueue(contract, { retry: { attempts: 1 } }))
    const worker = queue.process((message) => (message.data === 'bad' ? ('text' as never) : 5))
    const good = await world.run(queue.send('good', { receipt: true }))
    expect(await world.run(good.processed())).toBe(5n)
    const bad = await world.run(queue.send('bad', { receipt: true }))
    await expect(world.run(bad.processed())).rejects.toThrow('the result of a handler')
    await world.run(worker.close())
    const odd = await world.run(queue.send('odd', { receipt: true }))
    const [request] = await plain.drain('prices')
    plain.publish(request?.properties.replyTo ?? '', '"a word"', { correlationId: odd.id })
    await expect(world.run(odd.processed())).rejects.toMatchObject({ code: 'E_BAD_DATA' })
  })

  it('is bounded in number', async () => {
    const { world, queue } = await withQueue()
    const some = await world.run(Promise.all(Array.from({ length: 1_000 }, () => queue.send(1, { receipt: true }))))
    for (const receipt of some) receipt.forget()
    queue.process(() => {})
    const more = await world.run(Promise.all(Array.from({ length: 1_000 }, () => queue.send(1, { receipt: true }))))
    await world.run(Promise.all(more.map((receipt) => receipt.processed())))
    expect((world.bus as unknown as { parts: { receipts: { size: number } } }).parts.receipts.size).toBe(0)
  })
})

describe('a receipt of context.send', () => {
  it('tells of a message that a handler sent, after its commit', async () => {
    const { world, queue } = await withQueue()
    const next = await world.run(world.bus.createQueue<number, number>('next'))
    next.process((message) => message.data + 1)
    const told: unknown[] = []
    let receipt: Receipt<number> | null = null
    queue.process((_message, context) => {
      receipt = context.send(next, 1, { onProcessed: (error, result) => told.push([error, result]) })
    })
    await world.run(queue.send('go'))
    await world.settle()
    expect(told).toEqual([[null, 2]])
    expect(await (receipt as unknown as Receipt<number>).processed()).toBe(2)
  })

  it('cannot be awaited inside the handler', async () => {
    const { world, queue } = await withQueue()
    const next = await world.run(world.bus.createQueue('next'))
    let error: unknown = null
    queue.process(async (_message, context) => {
      const receipt = context.send(next, 1, { receipt: true })
      error = await receipt.processed().catch((thrown: unknown) => thrown)
    })
    await world.run(queue.send('go'))
    await world.settle()
    expect(error).toMatchObject({ code: 'E_WOULD_DEADLOCK' })
  })

  it('is dropped with the attempt that failed', async () => {
    const { world, queue } = await withQueue()
    const next = await world.run(world.bus.createQueue('next'))
    const receipts: Receipt[] = []
    queue.process((_message, context) => {
      receipts.push(context.send(next, 1, { receipt: true }))
      if (context.attempt === 1) throw new Error('no')
    })
    await world.run(queue.send('go'))
    await world.clock.advance(5_000)
    expect(receipts).toHaveLength(2)
    await expect(receipts[0]?.processed()).rejects.toMatchObject({ code: 'E_CLOSED' })
    next.process(() => 'done')
    expect(await world.run((receipts[1] as Receipt).processed())).toBe('done')
  })
})

describe('a plain AMQP client that knows nothing but reply_to', () => {
  it('can be the worker', async () => {
    const { world, queue } = await withQueue()
    const plain = await PlainClient.open(world)
    const receipt = await world.run(queue.send({ n: 3 }, { receipt: true }))
    const [request] = await plain.drain('jobs')
    const { replyTo = '', correlationId = '' } = request?.properties ?? {}
    plain.publish(replyTo, '{"square":9}', { correlationId })
    plain.publish(replyTo, '{"square":"twice"}', { correlationId })
    plain.publish(replyTo, 'to nobody', { correlationId: 'unknown' })
    expect(await world.run(receipt.processed())).toEqual({ square: 9 })
    await receipt.delivered()
  })

  it('can be the sender, and gets the result or the reason', async () => {
    const { world, queue } = await withQueue()
    const plain = await PlainClient.open(world)
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
    await world.settle()
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
    const { world, queue } = await withQueue()
    const plain = await PlainClient.open(world)
    const replyTo = await plain.replyQueue()
    queue.process(() => 1)
    plain.publish('jobs', '1', { replyTo, messageId: 'm' })
    plain.publish('jobs', '2', { replyTo, messageId: 'd', headers: toTable({ 'x-leveret-receipt': 'delivered' }) })
    await world.settle()
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
    const { world, queue } = await withQueue()
    const plain = await PlainClient.open(world)
    const replyTo = await plain.replyQueue()
    queue.process((_message, context) => context.deadLetter('no'))
    const dead = await world.run(world.bus.createQueue('jobs.dead'))
    const seen: unknown[] = []
    dead.process((message) => {
      seen.push(message.headers['x-leveret-reply-to'])
    })
    plain.publish('jobs', '1', { replyTo, correlationId: 'c' })
    await world.settle()
    expect(seen).toEqual([replyTo])
    expect(plain.received).toHaveLength(1)
  })

  it('is no trouble when it has gone before the answer', async () => {
    const { world, queue } = await withQueue()
    const plain = await PlainClient.open(world)
    const worker = queue.process(() => 1)
    plain.publish('jobs', '1', { replyTo: 'gone', correlationId: 'c' })
    await world.settle()
    expect(worker.stats()).toMatchObject({ processed: 1, waiting: 0 })
    expect(world.errors).toEqual([])
  })
})
