// The explicit form of receiving: each message is settled by hand.
import { describe, expect, it } from 'vitest'
import { createWhiteBoxBroker, type WhiteBoxBroker } from '../../test/support/white-box-broker.ts'
import { toTable } from '../model/field-table.ts'
import type { Bus } from './bus.ts'
import type { ReceivedMessage } from './incoming.ts'
import type { Queue } from './queue.ts'
import type { Receipt } from './receipt.ts'

async function withMessages(...data: unknown[]): Promise<{ test: WhiteBoxBroker; bus: Bus; queue: Queue }> {
  const test = await createWhiteBoxBroker({ storage: 'memory' })
  const bus = await test.connect()
  const queue = await bus.createQueue('jobs')
  await queue.sendMany(data)
  return { test, bus, queue }
}

async function next(messages: AsyncIterator<ReceivedMessage>): Promise<ReceivedMessage> {
  return (await messages.next()).value as ReceivedMessage
}

/** What becomes of it is for the inbox. */
function forget(receipt: unknown): void {
  ;(receipt as Receipt).forget()
}

describe('queue.receive', () => {
  it('gives messages in order and takes their acknowledgements', async () => {
    const { queue } = await withMessages(1, 2, 3)
    const seen: unknown[] = []
    const all = (async () => {
      for await (const message of queue.receive()) {
        seen.push(message.data)
        await message.ack()
        if (seen.length === 3) break
      }
    })()
    await all
    expect(seen).toEqual([1, 2, 3])
    expect(await queue.stats()).toMatchObject({ length: 0, consumers: 0 })
  })

  it('takes no message before the first is asked for, and no more than its prefetch', async () => {
    const { test, queue } = await withMessages(1, 2, 3, 4)
    const messages = queue.receive({ prefetch: 2 })
    await test.settle()
    expect(await queue.stats()).toMatchObject({ unacked: 0, consumers: 0 })
    await next(messages)
    expect(await queue.stats()).toMatchObject({ ready: 2, unacked: 2 })
  })

  it('gives back what was not settled when it ends, to its place', async () => {
    const { queue } = await withMessages(1, 2, 3)
    const messages = queue.receive()
    const first = await next(messages)
    await messages.close()
    await expect(first.ack()).rejects.toThrow('the iteration has ended, and it went back to the queue')
    const again = await next(queue.receive())
    expect([again.data, again.redelivered]).toEqual([1, true])
  })

  it('ends with its signal', async () => {
    const { test, queue } = await withMessages()
    const controller = new AbortController()
    const messages = queue.receive({ signal: controller.signal })
    const waiting = messages.next()
    await test.settle()
    controller.abort()
    expect(await waiting).toEqual({ done: true, value: undefined })
    expect(await queue.receive({ signal: controller.signal }).next()).toMatchObject({ done: true })
  })

  it('puts a nacked message back and a rejected one into the dead-letter queue', async () => {
    const { test, queue } = await withMessages('a', 'b')
    const messages = queue.receive()
    const first = await next(messages)
    const second = await next(messages)
    await first.nack()
    await second.reject('no use')
    const again = await next(messages)
    expect([again.data, again.redelivered]).toEqual(['a', true])
    await again.ack()
    const [dead] = await (await test.connectPlain()).drain('jobs.dead')
    expect([dead?.body, dead?.headers['x-leveret-error']]).toEqual(['"b"', 'no use'])
    expect(await queue.stats()).toMatchObject({ length: 0 })
  })

  it('settles a message once', async () => {
    const { queue } = await withMessages('a')
    const message = await next(queue.receive())
    await message.ack()
    await expect(message.ack()).rejects.toThrow('it was settled before')
    await expect(message.nack()).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  it('answers the sender', async () => {
    const { queue } = await withMessages()
    const one = await queue.send(1, { receipt: true })
    const two = await queue.send(2, { receipt: true })
    const messages = queue.receive()
    const first = await next(messages)
    await one.delivered()
    await first.ack({ done: true })
    expect(await one.processed()).toEqual({ done: true })
    await (await next(messages)).reject('not two')
    await expect(two.processed()).rejects.toThrow('was dead-lettered: not two')
  })

  it('answers a named sender once, whatever becomes of the message', async () => {
    const { bus, queue } = await withMessages()
    const dropping = await bus.createQueue('dropping', { deadLetter: false })
    for (const to of [queue, queue, dropping]) await to.send('x', { sender: 'web-1' }).then(forget)
    const messages = queue.receive()
    await (await next(messages)).ack('done')
    await (await next(messages)).reject('no use')
    await (await next(dropping.receive())).reject('no use')
    const outcomes: string[] = []
    const all = async (): Promise<void> => {
      for await (const { status } of bus.receipts({ sender: 'web-1', wait: false })) outcomes.push(status)
    }
    await all()
    expect(outcomes).toEqual(['processed', 'dead-lettered', 'failed'])
  })

  it('passes over what cannot be read, into the dead-letter queue, and says so', async () => {
    const { test, queue } = await withMessages()
    const plain = await test.connectPlain()
    plain.publish('jobs', '{', { contentType: 'application/json' })
    plain.publish('jobs', '"good"', { contentType: 'application/json' })
    expect((await next(queue.receive())).data).toBe('good')
    expect(await plain.drain('jobs.dead')).toHaveLength(1)
    expect(test.errors).toHaveLength(1)
  })

  it('gives the bytes as they are if told to', async () => {
    const { test, queue } = await withMessages()
    const plain = await test.connectPlain()
    plain.publish('jobs', '{', { contentType: 'application/json' })
    const message = await next(queue.receive({ raw: true }))
    expect(message.data).toEqual(Buffer.from('{'))
    expect(message.body).toEqual(Buffer.from('{'))
  })

  it('ends with the queue', async () => {
    const { test, queue } = await withMessages()
    const waiting = queue.receive().next()
    waiting.catch(() => {})
    await test.settle()
    await queue.delete()
    await expect(waiting).rejects.toThrow("E_CLOSED: queue 'jobs' was deleted")
    await expect(queue.receive().next()).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})

describe('a received message', () => {
  it('is stored as settled together with its answer or its dead letter', async () => {
    const { test, queue } = await withMessages()
    const plain = await test.connectPlain()
    const good = await queue.send('good', { receipt: true })
    const bad = await queue.send('bad', { receipt: true })
    const messages = queue.receive()
    await (await next(messages)).ack({ bytes: 7 })
    await (await next(messages)).reject('corrupt')
    expect(await good.processed()).toEqual({ bytes: 7 })
    await expect(bad.processed()).rejects.toThrow('was dead-lettered: corrupt')
    expect(await plain.drain('jobs.dead')).toHaveLength(1)
    expect(await queue.stats()).toMatchObject({ length: 0 })
  })

  it('tells its sender once that it is processed', async () => {
    const { test, queue } = await withMessages()
    const plain = await test.connectPlain()
    const replyTo = await plain.replyQueue()
    const headers = toTable({ 'x-leveret-receipt': 'delivered,progress,processed' })
    plain.publish('jobs', '1', { replyTo, correlationId: 'c', headers })
    await test.settle()
    const message = await next(queue.receive())
    message.progress(0.5)
    await test.settle()
    await message.ack('done')
    await test.settle()
    const words = plain.received.map((answer) => answer.headers['x-leveret-outcome'])
    expect(words).toEqual(['delivered', 'progress', 'processed'])
    expect(plain.received[1]?.headers['x-leveret-progress']).toBe(0.5)
    expect(() => message.progress(2)).toThrow('no share from 0 to 1')
  })

  it('can go back for later, without an attempt being counted', async () => {
    const { test, queue } = await withMessages('x')
    const messages = queue.receive()
    await (await next(messages)).nack({ after: '5s' })
    expect(await queue.stats()).toMatchObject({ ready: 0, unacked: 0, delayed: 1 })
    await test.advance(5_000)
    const again = await next(messages)
    expect([again.data, again.redelivered, again.failure]).toEqual(['x', true, null])
  })

  it('goes back when its lease is over, and says so', async () => {
    const { test, queue } = await withMessages('x')
    const messages = queue.receive({ lease: '10s', prefetch: 1 })
    const first = await next(messages)
    const { signal } = first
    await test.advance(9_000)
    first.extend()
    await test.advance(9_000)
    first.extend('20s')
    await test.advance(19_000)
    expect(signal.aborted).toBe(false)
    await test.advance(1_000)
    expect(signal).toMatchObject({ aborted: true, reason: { code: 'E_LEASE_LOST' } })
    await expect(first.ack()).rejects.toMatchObject({ code: 'E_LEASE_LOST' })
    expect(() => first.extend()).toThrow('E_LEASE_LOST')
    expect((await next(messages)).redelivered).toBe(true)
  })

  it('is aborted when the iteration ends, and has a lease only if that was said', async () => {
    const { queue } = await withMessages('x')
    const messages = queue.receive()
    const message = await next(messages)
    const { signal } = message
    expect(() => message.extend()).toThrow("receive with { lease: '30s' }")
    await messages.close()
    expect(signal.aborted).toBe(true)
    expect(() => queue.receive({ lease: 0 })).toThrow('lease is 0')
  })
})
