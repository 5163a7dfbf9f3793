// What the broker tells senders that asked for it, where no worker does.
import { describe, expect, test } from 'vitest'
import type { PlainValue } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import { type Core, type CoreChannel, openCore } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'

const asksForAll = { 'x-leveret-receipt': 'duplicate,delivered,processed' }

interface Told {
  readonly id: string | undefined
  readonly word: PlainValue | undefined
  readonly error?: unknown
}

function told(message: Message): Told {
  const { correlationId, headers } = message.decodeProperties()
  const error = headers?.get('x-leveret-error')?.value
  const word = headers?.get('x-leveret-outcome')?.value as PlainValue | undefined
  return error === undefined ? { id: correlationId, word } : { id: correlationId, word, error }
}

/** What has come to the reply queue since the last call. */
function takeTold(channel: CoreChannel): Told[] {
  const all: Told[] = []
  for (let reply = channel.get('replies', true); reply.type === 'basic.get-ok'; reply = channel.get('replies', true)) {
    all.push(told(reply.message))
  }
  return all
}

async function stage(table: Record<string, PlainValue> = {}): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('q', { arguments: table })
  channel.declareQueue('replies')
  return [core, channel]
}

function send(channel: CoreChannel, id: string, headers: Record<string, PlainValue> = asksForAll): void {
  channel.publish('', 'q', id, { headers, properties: { correlationId: id, replyTo: 'replies' } })
}

describe('a sender that asks', () => {
  test('hears when a consumer has its message, and when that acknowledged it', async () => {
    const [, channel] = await stage()
    channel.consume('q')
    send(channel, 'a')
    expect(takeTold(channel)).toEqual([{ id: 'a', word: 'delivered' }])
    channel.ack(1)
    expect(takeTold(channel)).toEqual([{ id: 'a', word: 'processed' }])
  })

  test('hears of an acknowledgement after basic.get, and of nothing that was taken without one', async () => {
    const [, channel] = await stage()
    send(channel, 'a')
    send(channel, 'b')
    channel.get('q')
    channel.ack(1)
    channel.get('q', true)
    expect(takeTold(channel)).toEqual([{ id: 'a', word: 'processed' }])
  })

  test('hears the end from a consumer that answers by itself, and not from the broker', async () => {
    const [, channel] = await stage()
    channel.consume('q', { arguments: { 'x-leveret-answers': true } })
    send(channel, 'a')
    channel.ack(1)
    expect(takeTold(channel)).toEqual([{ id: 'a', word: 'delivered' }])
  })

  test.each([
    [{}, 'failed'],
    [{ 'x-dead-letter-exchange': 'amq.fanout' }, 'dead-lettered'],
  ])('hears that its message was rejected, from a queue with %j: %s', async (table, word) => {
    const [, channel] = await stage(table)
    send(channel, 'a')
    channel.get('q')
    channel.reject(1, false)
    expect(takeTold(channel)).toEqual([{ id: 'a', word, error: 'a consumer rejected it' }])
  })

  test('hears that its message has expired', async () => {
    const [core, channel] = await stage({ 'x-message-ttl': 1_000 })
    send(channel, 'a')
    core.clock.advance(1_001)
    expect(takeTold(channel)).toMatchObject([{ id: 'a', word: 'expired' }])
  })

  test('hears that its message was dropped for want of room', async () => {
    const [, channel] = await stage({ 'x-max-length': 1 })
    send(channel, 'a')
    send(channel, 'b')
    expect(takeTold(channel)).toEqual([{ id: 'a', word: 'failed', error: 'the queue was too long' }])
  })

  test('hears that its message came back too often', async () => {
    const [, channel] = await stage({ 'x-queue-type': 'classic' })
    channel.declareQueue('quorum', { durable: true, arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 1 } })
    const properties = { correlationId: 'a', replyTo: 'replies' }
    channel.publish('', 'quorum', 'a', { headers: { 'x-leveret-receipt': 'processed' }, properties })
    for (let tag = 1; tag <= 2; tag++) {
      channel.get('quorum')
      channel.reject(tag, true)
    }
    expect(takeTold(channel)).toMatchObject([{ id: 'a', error: 'it came back too often' }])
  })

  test('hears only of what it asked for, and who asked for nothing hears nothing', async () => {
    const [, channel] = await stage()
    channel.consume('q')
    send(channel, 'a', { 'x-leveret-receipt': 'processed' })
    send(channel, 'b', { 'x-leveret-receipt': 'delivered' })
    send(channel, 'c', { other: 1 })
    channel.ack(0, true)
    expect(takeTold(channel)).toEqual([
      { id: 'b', word: 'delivered' },
      { id: 'a', word: 'processed' },
    ])
  })

  test('hears nothing more of a dead letter', async () => {
    const [, channel] = await stage({ 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' })
    channel.declareQueue('dead')
    send(channel, 'a')
    channel.get('q')
    channel.reject(1, false)
    takeTold(channel)
    channel.consume('dead')
    channel.ack(0, true)
    expect(takeTold(channel)).toEqual([])
  })

  test('may be gone: nothing comes of that', async () => {
    const [, channel] = await stage()
    channel.consume('q')
    const properties = { correlationId: 'a', replyTo: 'nobody' }
    channel.publish('', 'q', 'a', { headers: asksForAll, properties })
    channel.publish('', 'q', 'b', { headers: asksForAll })
    channel.ack(0, true)
    expect(channel.counts('q')).toMatchObject({ ready: 0, unacked: 0 })
  })
})

describe('who sends again what was taken before', () => {
  const again = { ...asksForAll, 'x-leveret-idempotency-key': 'k' }
  const published = (id: string): { headers: Record<string, PlainValue>; properties: object } => ({
    headers: again,
    properties: { correlationId: id, messageId: id, replyTo: 'replies' },
  })

  test('hears which one that was, and what becomes of it', async () => {
    const [, channel] = await stage()
    channel.publish('', 'q', 'a', published('a'))
    channel.publish('', 'q', 'b', published('b'))
    expect(takeTold(channel)).toEqual([
      { id: 'a', word: 'taken' },
      { id: 'b', word: 'duplicate' },
    ])
    channel.consume('q')
    channel.ack(0, true)
    const words = takeTold(channel)
    expect(words.filter(({ word }) => word === 'processed').map(({ id }) => id)).toEqual(['a', 'b'])
    channel.publish('', 'q', 'c', published('c'))
    expect(takeTold(channel)).toEqual([
      { id: 'c', word: 'duplicate' },
      { id: 'c', word: 'processed' },
    ])
  })

  test('is told that a result is not remembered which is too large for that', async () => {
    const [, channel] = await stage()
    channel.publish('', 'q', 'a', published('a'))
    const headers = { 'x-leveret-outcome': 'processed', 'x-leveret-queue': 'q', 'x-leveret-idempotency-key': 'k' }
    channel.publish('', 'replies', 'x'.repeat(70_000), { headers, properties: { correlationId: 'a' } })
    takeTold(channel)
    channel.publish('', 'q', 'b', published('b'))
    expect(takeTold(channel).at(-1)).toMatchObject({
      id: 'b',
      word: 'failed',
      error: expect.stringContaining('70000 bytes'),
    })
  })
})

describe('over a crash', () => {
  async function opened(folder: SimFolder): Promise<SimFolderRun> {
    const run = await folder.open()
    await run.declare('q')
    await run.declare('replies')
    return run
  }

  function send(run: SimFolderRun, id: string): void {
    const headers = { 'x-leveret-receipt': 'processed' }
    const properties = { correlationId: id, replyTo: 'replies' }
    run.channel.post('', 'q', id, { headers, persistent: true, properties })
  }

  test('an acknowledgement and what its sender is told are there together, or not at all', async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const folder = new SimFolder(seed)
      let run = await opened(folder)
      for (const id of ['a', 'b', 'c', 'd']) send(run, id)
      await run.settle()
      for (let tag = 1; tag <= 4; tag++) run.channel.give({ type: 'basic.get', queue: 'q', noAck: false })
      await run.settle()
      for (let tag = 1; tag <= 3; tag++) run.channel.port.ack(tag, false)
      await run.settle(seed)
      folder.kill(true)
      run = await folder.open()
      const left = await run.take('q')
      const replies = await run.take('replies')
      expect(left.length + replies.length, `seed ${seed}`).toBe(4)
    }
  })

  test('senders of what was there before are told, too', async () => {
    const folder = new SimFolder()
    let run = await opened(folder)
    send(run, 'a')
    await run.settle()
    folder.kill()
    run = await folder.open()
    run.channel.give({ type: 'basic.get', queue: 'q', noAck: false })
    await run.settle()
    run.channel.port.ack(1, false)
    await run.settle()
    expect(await run.take('replies')).toHaveLength(1)
  })
})
