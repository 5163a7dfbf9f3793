// The explicit form of receiving: each message is settled by hand.
import { describe, expect, it } from 'vitest'
import { openWorld, PlainClient, type World } from '../../test/support/client-world.ts'
import { toTable } from '../model/field-table.ts'
import type { ReceivedMessage } from './incoming.ts'
import type { Queue } from './queue.ts'
import type { Receipt } from './receipt.ts'

async function withMessages(...data: unknown[]): Promise<{ world: World; queue: Queue }> {
  const world = await openWorld()
  const queue = await world.run(world.bus.createQueue('jobs'))
  await world.run(queue.sendMany(data))
  return { world, queue }
}

async function next(world: World, messages: AsyncIterator<ReceivedMessage>): Promise<ReceivedMessage> {
  return (await world.run(messages.next())).value as ReceivedMessage
}

/** What becomes of it is for the inbox. */
function forget(receipt: unknown): void {
  ;(receipt as Receipt).forget()
}

describe('queue.receive', () => {
  it('gives messages in order and takes their acknowledgements', async () => {
    const { world, queue } = await withMessages(1, 2, 3)
    const seen: unknown[] = []
    const all = (async () => {
      for await (const message of queue.receive()) {
        seen.push(message.data)
        await message.ack()
        if (seen.length === 3) break
      }
    })()
    await world.run(all)
    expect(seen).toEqual([1, 2, 3])
    expect(await world.run(queue.stats())).toMatchObject({ length: 0, consumers: 0 })
  })

  it('takes no message before the first is asked for, and no more than its prefetch', async () => {
    const { world, queue } = await withMessages(1, 2, 3, 4)
    const messages = queue.receive({ prefetch: 2 })
    await world.settle()
    expect(await world.run(queue.stats())).toMatchObject({ unacked: 0, consumers: 0 })
    await next(world, messages)
    expect(await world.run(queue.stats())).toMatchObject({ ready: 2, unacked: 2 })
  })

  it('gives back what was not settled when it ends, to its place', async () => {
    const { world, queue } = await withMessages(1, 2, 3)
    const messages = queue.receive()
    const first = await next(world, messages)
    await world.run(messages.close())
    await expect(first.ack()).rejects.toThrow('the iteration has ended, and it went back to the queue')
    const again = await next(world, queue.receive())
    expect([again.data, again.redelivered]).toEqual([1, true])
  })

  it('ends with its signal', async () => {
    const { world, queue } = await withMessages()
    const controller = new AbortController()
    const messages = queue.receive({ signal: controller.signal })
    const waiting = messages.next()
    await world.settle()
    controller.abort()
    expect(await world.run(waiting)).toEqual({ done: true, value: undefined })
    expect(await world.run(queue.receive({ signal: controller.signal }).next())).toMatchObject({ done: true })
  })

  it('puts a nacked message back and a rejected one into the dead-letter queue', async () => {
    const { world, queue } = await withMessages('a', 'b')
    const messages = queue.receive()
    const first = await next(world, messages)
    const second = await next(world, messages)
    await world.run(first.nack())
    await world.run(second.reject('no use'))
    const again = await next(world, messages)
    expect([again.data, again.redelivered]).toEqual(['a', true])
    await world.run(again.ack())
    const [dead] = await (await PlainClient.open(world)).drain('jobs.dead')
    expect([dead?.body, dead?.headers['x-leveret-error']]).toEqual(['"b"', 'no use'])
    expect(await world.run(queue.stats())).toMatchObject({ length: 0 })
  })

  it('settles a message once', async () => {
    const { world, queue } = await withMessages('a')
    const message = await next(world, queue.receive())
    await message.ack()
    await expect(message.ack()).rejects.toThrow('it was settled before')
    await expect(message.nack()).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  it('answers the sender', async () => {
    const { world, queue } = await withMessages()
    const one = await world.run(queue.send(1, { receipt: true }))
    const two = await world.run(queue.send(2, { receipt: true }))
    const messages = queue.receive()
    const first = await next(world, messages)
    await world.run(one.delivered())
    await world.run(first.ack({ done: true }))
    expect(await world.run(one.processed())).toEqual({ done: true })
    await world.run((await next(world, messages)).reject('not two'))
    await expect(world.run(two.processed())).rejects.toThrow('was dead-lettered: not two')
  })

  it('answers a named sender once, whatever becomes of the message', async () => {
    const { world, queue } = await withMessages()
    const dropping = await world.run(world.bus.createQueue('dropping', { deadLetter: false }))
    for (const to of [queue, queue, dropping]) await world.run(to.send('x', { sender: 'web-1' })).then(forget)
    const messages = queue.receive()
    await world.run((await next(world, messages)).ack('done'))
    await world.run((await next(world, messages)).reject('no use'))
    await world.run((await next(world, dropping.receive())).reject('no use'))
    const outcomes: string[] = []
    const all = async (): Promise<void> => {
      for await (const { status } of world.bus.receipts({ sender: 'web-1', wait: false })) outcomes.push(status)
    }
    await world.run(all())
    expect(outcomes).toEqual(['processed', 'dead-lettered', 'failed'])
  })

  it('passes over what cannot be read, into the dead-letter queue, and says so', async () => {
    const { world, queue } = await withMessages()
    const plain = await PlainClient.open(world)
    plain.publish('jobs', '{', { contentType: 'application/json' })
    plain.publish('jobs', '"good"', { contentType: 'application/json' })
    expect((await next(world, queue.receive())).data).toBe('good')
    expect(await plain.drain('jobs.dead')).toHaveLength(1)
    expect(world.errors).toHaveLength(1)
  })

  it('gives the bytes as they are if told to', async () => {
    const { world, queue } = await withMessages()
    const plain = await PlainClient.open(world)
    plain.publish('jobs', '{', { contentType: 'application/json' })
    const message = await next(world, queue.receive({ raw: true }))
    expect(message.data).toEqual(Buffer.from('{'))
    expect(message.body).toEqual(Buffer.from('{'))
  })

  it('ends with the queue', async () => {
    const { world, queue } = await withMessages()
    const waiting = queue.receive().next()
    waiting.catch(() => {})
    await world.settle()
    await world.run(queue.delete())
    await expect(world.run(waiting)).rejects.toThrow("E_CLOSED: queue 'jobs' was deleted")
    await expect(world.run(queue.receive().next())).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})

describe('a received message', () => {
  it('is stored as settled together with its answer or its dead letter', async () => {
    const { world, queue } = await withMessages()
    const plain = await PlainClient.open(world)
    const good = await world.run(queue.send('good', { receipt: true }))
    const bad = await world.run(queue.send('bad', { receipt: true }))
    const messages = queue.receive()
    await world.run((await next(world, messages)).ack({ bytes: 7 }))
    await world.run((await next(world, messages)).reject('corrupt'))
    expect(await world.run(good.processed())).toEqual({ bytes: 7 })
    await expect(world.run(bad.processed())).rejects.toThrow('was dead-lettered: corrupt')
    expect(await plain.drain('jobs.dead')).toHaveLength(1)
    expect(await world.run(queue.stats())).toMatchObject({ length: 0 })
  })

  it('tells its sender once that it is processed', async () => {
    const { world, queue } = await withMessages()
    const plain = await PlainClient.open(world)
    const replyTo = await plain.replyQueue()
    const headers = toTable({ 'x-leveret-receipt': 'delivered,progress,processed' })
    plain.publish('jobs', '1', { replyTo, correlationId: 'c', headers })
    await world.settle()
    const message = await next(world, queue.receive())
    message.progress(0.5)
    await world.settle()
    await world.run(message.ack('done'))
    await world.settle()
    const words = plain.received.map((answer) => answer.headers['x-leveret-outcome'])
    expect(words).toEqual(['delivered', 'progress', 'processed'])
    expect(plain.received[1]?.headers['x-leveret-progress']).toBe(0.5)
    expect(() => message.progress(2)).toThrow('no share from 0 to 1')
  })

  it('can go back for later, without an attempt being counted', async () => {
    const { world, queue } = await withMessages('x')
    const messages = queue.receive()
    await world.run((await next(world, messages)).nack({ after: '5s' }))
    expect(await world.run(queue.stats())).toMatchObject({ ready: 0, unacked: 0, delayed: 1 })
    await world.clock.advance(5_000)
    const again = await next(world, messages)
    expect([again.data, again.redelivered, again.failure]).toEqual(['x', true, null])
  })

  it('goes back when its lease is over, and says so', async () => {
    const { world, queue } = await withMessages('x')
    const messages = queue.receive({ lease: '10s', prefetch: 1 })
    const first = await next(world, messages)
    const { signal } = first
    await world.clock.advance(9_000)
    first.extend()
    await world.clock.advance(9_000)
    first.extend('20s')
    await world.clock.advance(19_000)
    expect(signal.aborted).toBe(false)
    await world.clock.advance(1_000)
    expect(signal).toMatchObject({ aborted: true, reason: { code: 'E_LEASE_LOST' } })
    await expect(first.ack()).rejects.toMatchObject({ code: 'E_LEASE_LOST' })
    expect(() => first.extend()).toThrow('E_LEASE_LOST')
    expect((await next(world, messages)).redelivered).toBe(true)
  })

  it('is aborted when the iteration ends, and has a lease only if that was said', async () => {
    const { world, queue } = await withMessages('x')
    const messages = queue.receive()
    const message = await next(world, messages)
    const { signal } = message
    expect(() => message.extend()).toThrow("receive with { lease: '30s' }")
    await world.run(messages.close())
    expect(signal.aborted).toBe(true)
    expect(() => queue.receive({ lease: 0 })).toThrow('lease is 0')
  })
})
