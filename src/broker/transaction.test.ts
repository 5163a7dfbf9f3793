// tx.select, and `commit(id, acks, publishes)`: all or nothing, in one frame, in order.
import { describe, expect, test } from 'vitest'
import { limits } from '../model/limits.ts'
import { Message } from '../model/message.ts'
import { ControlledStore } from '../testing/controlled-store.ts'
import { type Core, type CoreChannel, declareQueue, makeMessage, openCore } from '../testing/core-harness.ts'

const select = { type: 'tx.select' as const }
const commit = { type: 'tx.commit' as const }
const rollback = { type: 'tx.rollback' as const }

async function open(count = 0): Promise<[CoreChannel, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  const other = await core.channel()
  channel.declareQueue('q')
  channel.declareQueue('r')
  for (let number = 1; number <= count; number++) other.publish('', 'q', String(number))
  return [channel, other]
}

async function durable(): Promise<[CoreChannel, ControlledStore, Core]> {
  const store = new ControlledStore()
  const core = await openCore({ store })
  const channel = await core.channel()
  channel.give(declareQueue('q', { durable: true }))
  channel.give(declareQueue('r', { durable: true }))
  core.settle()
  store.sync()
  channel.takeLines()
  return [channel, store, core]
}

/** A message whose header table is no table: its length is right and its tag is unknown. */
function malformed(exchange: string): Message {
  const table = Buffer.from([0x20, 0x00, 0, 0, 0, 3, 1, 97, 63])
  return Message.of(exchange, '', table, Buffer.from('bad'))
}

describe('a transaction', () => {
  test('keeps publishes to itself until the commit, then everybody sees them in order', async () => {
    const [channel, other] = await open()
    channel.ask(select)
    channel.publish('', 'q', '1')
    channel.publish('', 'r', '2')
    channel.publish('', 'q', '3')
    expect([other.counts('q')?.ready, other.counts('r')?.ready]).toEqual([0, 0])
    channel.ask(commit)
    expect([other.drain('q'), other.drain('r')]).toEqual([['1', '3'], ['2']])
    channel.publish('', 'q', '4')
    expect(other.drain('q')).toEqual([])
    channel.ask(commit)
    expect(other.drain('q')).toEqual(['4'])
  })

  test('keeps acknowledgements until the commit, and counts on them for nothing before', async () => {
    const [channel, other] = await open(3)
    channel.ask(select)
    channel.qos(2)
    channel.consume('q', { tag: 'c' })
    expect(channel.takeBodies()).toEqual(['1', '2'])
    channel.ack(1)
    channel.reject(2, true)
    expect(other.counts('q')).toEqual({ ready: 1, unacked: 2, consumers: 1 })
    expect(channel.takeBodies()).toEqual([])
    channel.ask(commit)
    expect(channel.deliveries.map(({ body, redelivered }) => [body, redelivered])).toEqual([
      ['2', true],
      ['3', false],
    ])
    expect(other.counts('q')).toEqual({ ready: 0, unacked: 2, consumers: 1 })
  })

  test('is the first to see its own tags: a second acknowledgement of one is an error', async () => {
    const [channel] = await open(2)
    channel.ask(select)
    channel.consume('q', { tag: 'c' })
    channel.ack(1)
    channel.ack(0, true)
    channel.ack(1)
    expect(channel.error?.message).toBe('PRECONDITION_FAILED - unknown delivery tag 1')
    expect(channel.sibling().drain('q')).toEqual(['1!', '2!'])
  })

  test('acknowledges up to a tag what the transaction has not settled yet', async () => {
    const [channel, other] = await open(3)
    channel.ask(select)
    channel.consume('q', { tag: 'c' })
    channel.reject(2, true)
    channel.cancel('c')
    channel.ack(3, true)
    channel.ask(commit)
    expect(other.drain('q')).toEqual(['2!'])
  })

  test('keeps to itself what it has settled when the rest is recovered', async () => {
    const [channel, other] = await open(3)
    channel.ask(select)
    for (let number = 0; number < 3; number++) channel.get('q')
    channel.ack(2)
    channel.ask({ type: 'basic.recover', requeue: true })
    expect(other.counts('q')).toEqual({ ready: 2, unacked: 1, consumers: 0 })
    channel.ask(commit)
    expect(other.drain('q')).toEqual(['1!', '3!'])
  })

  test('rolled back, forgets publishes, and its deliveries can be settled again without being handed out again', async () => {
    const [channel, other] = await open(2)
    channel.ask(select)
    channel.consume('q', { tag: 'c' })
    channel.publish('', 'r', 'x')
    channel.ack(1)
    channel.ask(rollback)
    channel.ask(commit)
    expect(other.counts('q')).toEqual({ ready: 0, unacked: 2, consumers: 1 })
    expect(other.drain('r')).toEqual([])
    expect(channel.takeBodies()).toEqual(['1', '2'])
    channel.ack(1)
    channel.ask(commit)
    channel.close()
    expect(other.drain('q')).toEqual(['2!'])
  })

  test.each(['closed', 'failed'])('is rolled back when its channel is %s', async (how) => {
    const [channel, other] = await open(1)
    channel.ask(select)
    channel.consume('q', { tag: 'c' })
    channel.publish('', 'r', 'x')
    channel.ack(1)
    if (how === 'closed') channel.close()
    else channel.publish('missing', '', 'x')
    expect(other.drain('q')).toEqual(['1!'])
    expect(other.drain('r')).toEqual([])
  })

  test('returns mandatory messages before it answers the commit', async () => {
    const [channel] = await open()
    channel.ask(select)
    channel.publish('', 'missing', 'x', { mandatory: true })
    channel.takeLines()
    channel.ask(commit)
    expect(channel.takeLines()).toEqual(['return NO_ROUTE x', '4 ok'])
  })

  test('fails as a whole when an exchange is gone by the time of the commit', async () => {
    const [channel, other] = await open(1)
    channel.declareExchange('x', 'fanout')
    channel.ask(select)
    channel.consume('q', { tag: 'c' })
    channel.publish('', 'r', '1')
    channel.publish('x', '', '2')
    channel.ack(1)
    other.deleteExchange('x')
    expect(channel.refusal(commit)).toBe("NOT_FOUND - no exchange 'x' in vhost '/'")
    expect([other.drain('q'), other.drain('r')]).toEqual([['1!'], []])
  })

  test('fails as a whole when the headers of one message cannot be read', async () => {
    const [channel, other] = await open()
    channel.ask(select)
    channel.publish('', 'q', 'good')
    channel.bind('q', 'amq.headers', '', { a: 1 })
    channel.port.publish(malformed('amq.headers'), false)
    expect(channel.refusal(commit)).toContain('SYNTAX_ERROR')
    expect(other.drain('q')).toEqual([])
  })

  test('fails as a whole when the exchange became one that reads headers by the time of the commit', async () => {
    const [channel, other] = await open()
    other.bind('q', 'amq.headers', '', { a: 1 })
    channel.ask(select)
    channel.publish('', 'q', 'good')
    channel.port.publish(malformed('amq.fanout'), false)
    other.bindExchange('amq.headers', 'amq.fanout')
    expect(channel.refusal(commit)).toContain('SYNTAX_ERROR')
    expect(other.drain('q')).toEqual([])
  })

  test('does not keep the chunks alive that its messages came in', async () => {
    const [channel, other] = await open()
    channel.ask(select)
    const chunk = Buffer.alloc(65_536)
    chunk.write('hello', 2)
    const message = new Message('', 'q', chunk, 0, 2, 2, 7, false)
    channel.port.publish(message, false)
    expect(message.source).not.toBe(chunk)
    chunk.fill(0xff)
    channel.ask(commit)
    expect(other.drain('q')).toEqual(['hello'])
  })

  test('is bounded, also when it is made of nothing but tiny messages', async () => {
    const [channel] = await open()
    channel.ask(select)
    const big = Buffer.alloc(limits.transactionBytesMax / 8)
    for (let number = 0; number < 8; number++) {
      channel.port.publish(new Message('', 'q', big, 0, 2, 2, big.length, true), false)
    }
    channel.takeLines()
    channel.publish('', 'q', 'x')
    expect(channel.takeLines()).toEqual([
      `0 failed: RESOURCE_ERROR - a transaction holds at most ${limits.transactionBytesMax} bytes`,
    ])
    const other = channel.sibling()
    other.ask(select)
    const message = makeMessage('', 'q', '')
    let count = 0
    while (other.error === null && count < 2_000_000) {
      other.port.publish(message, false)
      if (++count % 100_000 === 0) other.sibling().qos(0)
    }
    expect(count).toBeLessThan(2_000_000)
  })

  test('needs tx.select, and no confirms', async () => {
    for (const command of [commit, rollback]) {
      const [channel] = await open()
      expect(channel.refusal(command)).toBe('PRECONDITION_FAILED - channel is not transactional')
    }
    const [channel] = await open()
    channel.ask({ type: 'confirm.select' })
    expect(channel.refusal(select)).toBe('PRECONDITION_FAILED - cannot switch from confirm to tx mode')
  })

  test('selected twice, goes on', async () => {
    const [channel, other] = await open()
    channel.ask(select)
    channel.publish('', 'q', '1')
    channel.ask(select)
    channel.ask(commit)
    expect(other.drain('q')).toEqual(['1'])
  })

  test('is one frame of the log, and answered when that is on disk', async () => {
    const [channel, store, core] = await durable()
    channel.publish('', 'q', '1', { persistent: true })
    channel.publish('', 'q', '2', { persistent: true })
    store.sync()
    channel.consume('q', { tag: 'c' })
    channel.ask(select)
    channel.post('', 'r', 'a', { persistent: true })
    channel.port.ack(1, false)
    channel.post('', 'q', 'b', { persistent: true })
    channel.port.reject(2, false, true)
    core.settle()
    const before = store.frames.length
    channel.takeLines()
    channel.give(commit)
    core.settle()
    expect(store.frames.slice(before)).toEqual([['publish a to 2:1', 'publish b to 1:3', 'settled 1 1 1']])
    expect(channel.takeLines()).toEqual([])
    store.sync()
    expect(channel.takeLines()).toEqual(['5 ok', 'deliver c 3 2 redelivered', 'deliver c 4 b'])
  })
})

describe('a transaction of a consumer that answers senders by itself', () => {
  test('is refused if what it sends has no queue, and takes effect without it', async () => {
    const [channel, other] = await open(2)
    channel.consume('q', { tag: 'c', arguments: { 'x-leveret-answers': true } })
    channel.ask({ type: 'tx.select' })
    channel.ack(1)
    channel.publish('', 'gone', 'x')
    expect(channel.refusal({ type: 'tx.commit' })).toBe("NOT_FOUND - no queue 'gone' in vhost '/'")
    expect(other.drain('q')).toEqual(['1!', '2!'])
  })

  test('loses it like any other if it answers somebody', async () => {
    const [channel, other] = await open(2)
    channel.consume('q', { tag: 'c', arguments: { 'x-leveret-answers': true } })
    channel.ask({ type: 'tx.select' })
    channel.ack(1)
    channel.publish('', 'gone', 'x', { headers: { 'x-leveret-outcome': 'processed' } })
    channel.ask({ type: 'tx.commit' })
    channel.close()
    expect(other.drain('q')).toEqual(['2!'])
  })
})

describe('commit(id, acks, publishes)', () => {
  test('publishes and acknowledges in one frame, and answers when that is on disk', async () => {
    const [channel, store] = await durable()
    channel.publish('', 'q', '1', { persistent: true })
    store.sync()
    channel.consume('q', { tag: 'c' })
    channel.takeLines()
    const before = store.frames.length
    channel.commit(
      [1],
      [makeMessage('', 'r', 'a', { persistent: true }), makeMessage('', 'r', 'b', { persistent: true })],
    )
    expect(store.frames.slice(before)).toEqual([['publish a to 2:1', 'publish b to 2:2', 'settled 1 1 1']])
    expect(channel.takeLines()).toEqual([])
    store.sync()
    expect(channel.takeLines()).toEqual(['4 ok'])
  })

  test('answers at once when nothing of it needs the disk', async () => {
    const [channel, store] = await durable()
    channel.publish('', 'q', '1')
    channel.get('q')
    channel.takeLines()
    channel.commit([1], [makeMessage('', 'r', 'a')])
    expect(channel.takeLines()).toEqual(['4 ok'])
    expect(store.frames).toHaveLength(1)
    channel.commit([], [])
    expect(channel.takeLines()).toEqual(['5 ok'])
  })

  test('waits for the disk for publishes alone', async () => {
    const [channel, store] = await durable()
    channel.commit([], [makeMessage('', 'r', 'a', { persistent: true }), makeMessage('amq.fanout', '', 'b')])
    expect(channel.takeLines()).toEqual([])
    store.sync()
    expect(channel.takeLines()).toEqual(['3 ok'])
  })

  test('waits for the disk for an acknowledgement alone', async () => {
    const [channel, store] = await durable()
    channel.publish('', 'q', '1', { persistent: true })
    store.sync()
    channel.get('q')
    channel.takeLines()
    channel.commit([1], [])
    expect(channel.takeLines()).toEqual([])
    store.sync()
    expect(channel.takeLines()).toEqual(['4 ok'])
  })

  test.each([
    ['an unknown tag', [1, 9], '', 'PRECONDITION_FAILED - unknown delivery tag 9'],
    ['a tag twice', [1, 1], '', 'PRECONDITION_FAILED - unknown delivery tag 1'],
    ['tag 0', [0], '', 'PRECONDITION_FAILED - unknown delivery tag 0'],
    ['a missing exchange', [1], 'missing', "NOT_FOUND - no exchange 'missing' in vhost '/'"],
  ])('does nothing of it for %s', async (_what, acks, exchange, text) => {
    const [channel, other] = await open(2)
    channel.consume('q', { tag: 'c' })
    channel.takeLines()
    const id = channel.commit(acks, [makeMessage('', 'r', 'good'), makeMessage(exchange, 'r', 'x')])
    expect(channel.takeLines()).toEqual([`${id} failed: ${text}`])
    expect([other.drain('q'), other.drain('r')]).toEqual([['1!', '2!'], []])
  })

  test('does nothing of it for a message whose queue is gone, unless it answers somebody', async () => {
    const [channel, other] = await open(2)
    channel.consume('q', { tag: 'c' })
    channel.takeLines()
    const answer = makeMessage('', 'gone', 'a', { headers: { 'x-leveret-outcome': 'processed' } })
    const first = channel.commit([1], [answer])
    expect(channel.takeLines()).toEqual([`${first} ok`])
    const second = channel.commit([2], [makeMessage('', 'r', 'good'), makeMessage('', 'gone', 'x')])
    expect(channel.takeLines()).toEqual([`${second} failed: NOT_FOUND - no queue 'gone' in vhost '/'`])
    expect([other.drain('q'), other.drain('r')]).toEqual([['2!'], []])
  })

  test('does nothing of it when the headers of one message cannot be read', async () => {
    const [channel, other] = await open()
    channel.bind('q', 'amq.headers', '', { a: 1 })
    channel.commit([], [makeMessage('', 'q', 'good'), malformed('amq.headers')])
    expect(channel.error?.code).toBe('SYNTAX_ERROR')
    expect(other.drain('q')).toEqual([])
  })

  test('is refused while an AMQP transaction is open on the channel, not beside an empty one', async () => {
    const [channel, other] = await open()
    channel.ask(select)
    channel.commit([], [makeMessage('', 'q', '1')])
    expect(other.drain('q')).toEqual(['1'])
    channel.publish('', 'q', '2')
    channel.commit([], [makeMessage('', 'q', '3')])
    expect(channel.error?.message).toBe('PRECONDITION_FAILED - commit while a transaction is open on this channel')
    expect(other.drain('q')).toEqual([])
  })

  test('does not touch the numbers of confirms', async () => {
    const [channel] = await open()
    channel.ask({ type: 'confirm.select' })
    channel.publish('', 'q', '1')
    channel.commit([], [makeMessage('', 'q', '2')])
    expect(channel.publish('', 'q', '3')).toBe(2)
  })
})
