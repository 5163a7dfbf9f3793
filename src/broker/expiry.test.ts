// Messages that may not wait for ever: when they go, at which end of the queue, and what is wrong with a time.
import { describe, expect, test } from 'vitest'
import { type Core, type CoreChannel, declareQueue, openCore } from '../testing/core-harness.ts'

async function open(queueArguments: Readonly<Record<string, number>> = {}): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('q', { arguments: queueArguments })
  return [core, channel]
}

function expiring(channel: CoreChannel, body: string, expiration: string): void {
  channel.publish('', 'q', body, { properties: { expiration } })
}

describe('a message that expires', () => {
  test('is there until its time has come, and gone then without anybody looking', async () => {
    const [core, channel] = await open()
    expiring(channel, 'a', '1000')
    core.clock.advance(999)
    expect(channel.counts('q')?.ready).toBe(1)
    core.clock.advance(1)
    expect(channel.counts('q')?.ready).toBe(0)
    expect(channel.get('q').type).toBe('basic.get-empty')
  })

  test('waits for the shorter of what it and its queue allow', async () => {
    const [core, channel] = await open({ 'x-message-ttl': 500 })
    expiring(channel, 'short', '100')
    expiring(channel, 'long', '900')
    core.clock.advance(101)
    expect(channel.counts('q')?.ready).toBe(1)
    core.clock.advance(400)
    expect(channel.counts('q')?.ready).toBe(0)
  })

  test('stays behind one that does not expire, and is never handed out', async () => {
    const [core, channel] = await open()
    channel.publish('', 'q', 'first')
    expiring(channel, 'second', '10')
    channel.publish('', 'q', 'third')
    core.clock.advance(50)
    expect(channel.counts('q')?.ready).toBe(3)
    expect(channel.drain('q')).toEqual(['first', 'third'])
  })

  test('goes when what was before it is got, and is not counted then', async () => {
    const [core, channel] = await open()
    channel.publish('', 'q', 'first')
    expiring(channel, 'second', '10')
    channel.publish('', 'q', 'third')
    core.clock.advance(50)
    expect(channel.get('q')).toMatchObject({ type: 'basic.get-ok', messageCount: 1 })
    expect(channel.counts('q')?.ready).toBe(1)
  })

  test('stays behind one that does not expire, and a consumer that gets both at once gets the first', async () => {
    const [core, channel] = await open()
    channel.publish('', 'q', 'first')
    expiring(channel, 'second', '10')
    channel.publish('', 'q', 'third')
    core.clock.advance(50)
    channel.consume('q', { tag: 'c' })
    expect(channel.takeBodies()).toEqual(['first', 'third'])
    expect(channel.counts('q')).toEqual({ ready: 0, unacked: 2, consumers: 1 })
  })

  test('in a queue with keys, is not handed out behind another, and gives its turn to the next of its key', async () => {
    const core = await openCore()
    const channel = await core.channel()
    channel.declareQueue('q', { arguments: { 'x-leveret-keyed': 10 } })
    const headers = { 'x-leveret-key': 'k' }
    channel.publish('', 'q', 'first', { headers })
    channel.publish('', 'q', 'second', { headers, properties: { expiration: '10' } })
    channel.publish('', 'q', 'third', { headers })
    core.clock.advance(50)
    channel.consume('q')
    expect(channel.takeBodies()).toEqual(['first', 'third'])
    expect(channel.counts('q')).toMatchObject({ ready: 0, unacked: 2 })
  })

  test('at once, goes to a consumer that can take it and to nobody else', async () => {
    const [core, channel] = await open({ 'x-message-ttl': 0 })
    channel.publish('', 'q', 'lost')
    core.clock.advance(1)
    expect(channel.counts('q')?.ready).toBe(0)
    channel.consume('q', { tag: 'c' })
    channel.publish('', 'q', 'taken')
    expect(channel.takeBodies()).toEqual(['taken'])
  })

  test('keeps its time when its queue was purged while a consumer had it', async () => {
    const [core, channel] = await open({ 'x-message-ttl': 100 })
    channel.publish('', 'q', 'held')
    channel.get('q')
    channel.publish('', 'q', 'purged')
    channel.ask({ type: 'queue.purge', queue: 'q' })
    core.clock.advance(200)
    channel.reject(1, true)
    expect(channel.counts('q')?.ready).toBe(0)
    expect(channel.get('q').type).toBe('basic.get-empty')
  })

  test('keeps its time when it comes back to its queue', async () => {
    const [core, channel] = await open({ 'x-message-ttl': 100 })
    channel.publish('', 'q', 'a')
    channel.consume('q', { tag: 'c' })
    core.clock.advance(150)
    channel.cancel('c')
    channel.port.reject(1, false, true)
    core.settle()
    expect(channel.counts('q')).toEqual({ ready: 0, unacked: 0, consumers: 0 })
  })

  test('is counted as expired, not as settled', async () => {
    const [core, channel] = await open({ 'x-message-ttl': 1 })
    channel.publish('', 'q', 'a')
    core.clock.advance(2)
    const reply = channel.ask({ type: 'leveret.queues' })
    const [queue] = reply.type === 'leveret.queues-ok' ? reply.queues : []
    expect([queue?.counters.expired, queue?.counters.settled]).toEqual([1, 0])
  })

  test.each(['x', '5m', '-1', '1.5', '', '999999999999'])(
    'closes the channel if its expiration is %j',
    async (text) => {
      const [, channel] = await open()
      expiring(channel, 'a', text)
      expect(channel.takeLines().at(-1)).toContain(`PRECONDITION_FAILED - invalid expiration '${text}'`)
    },
  )
})

describe('arguments of a queue', () => {
  test.each([
    ['x-message-ttl', -1, '{value_negative,-1}'],
    ['x-message-ttl', 'soon', '"expected integer, got longstr"'],
    ['x-message-ttl', 315_360_000_001, '{value_too_large,315360000001}'],
    ['x-message-ttl', 1.5, '"expected integer, got double"'],
    ['x-max-priority', 256, '{max_value_exceeded,256}'],
    ['x-max-priority', true, '"expected integer, got bool"'],
  ])('refuse %s = %j in the words of RabbitMQ', async (name, value, reason) => {
    const [, channel] = await open()
    expect(channel.refusal(declareQueue('other', { arguments: { [name]: value } }))).toBe(
      `PRECONDITION_FAILED - invalid arg '${name}' for queue 'other' in vhost '/': ${reason}`,
    )
  })
})

describe('a queue with priorities', () => {
  test('hands out the highest first, and the oldest of those, whatever its message asks beyond the highest', async () => {
    const [, channel] = await open({ 'x-max-priority': 3 })
    for (const [body, priority] of [
      ['a0', 0],
      ['b2', 2],
      ['c9', 9],
      ['d2', 2],
      ['e3', 3],
    ] as const) {
      channel.publish('', 'q', body, { properties: { priority } })
    }
    expect(channel.drain('q')).toEqual(['c9', 'e3', 'b2', 'd2', 'a0'])
  })

  test('puts back what is requeued at its old place among its like', async () => {
    const [core, channel] = await open({ 'x-max-priority': 1 })
    for (const body of ['low 1', 'low 2']) channel.publish('', 'q', body)
    for (const body of ['high 1', 'high 2']) channel.publish('', 'q', body, { properties: { priority: 1 } })
    channel.get('q')
    channel.get('q')
    channel.get('q')
    channel.port.reject(0, true, true)
    core.settle()
    expect(channel.sibling().drain('q')).toEqual(['high 1!', 'high 2!', 'low 1!', 'low 2'])
  })

  test('expires messages at the head of each priority', async () => {
    const [core, channel] = await open({ 'x-max-priority': 1 })
    channel.publish('', 'q', 'low', { properties: { expiration: '5' } })
    channel.publish('', 'q', 'high', { properties: { priority: 1 } })
    core.clock.advance(6)
    expect(channel.drain('q')).toEqual(['high'])
  })

  test('ignores priorities if it was declared without', async () => {
    const [, channel] = await open()
    channel.publish('', 'q', 'a')
    channel.publish('', 'q', 'b', { properties: { priority: 9 } })
    expect(channel.drain('q')).toEqual(['a', 'b'])
  })
})
