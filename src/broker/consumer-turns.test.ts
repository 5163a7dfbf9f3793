// Whose turn it is: priorities among consumers, and queues with one active consumer.
import { describe, expect, test } from 'vitest'
import { type CoreChannel, consume, openCore } from '../testing/core-harness.ts'

async function open(table: Readonly<Record<string, boolean>> = {}): Promise<CoreChannel> {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('q', { arguments: table })
  return channel
}

/** Who got the messages, in order. */
function turns(channel: CoreChannel, count: number): string {
  channel.deliveries = []
  for (let number = 0; number < count; number++) channel.post('', 'q', String(number))
  channel.counts('q')
  return channel.deliveries.map(({ consumerTag }) => consumerTag).join('')
}

describe('consumers with priorities', () => {
  const rank = (priority: number) => ({ arguments: { 'x-priority': priority } })

  test('are served from the highest down, in turns within one priority', async () => {
    const channel = await open()
    channel.consume('q', { tag: 'l', noAck: true, ...rank(-1) })
    channel.consume('q', { tag: 'a', noAck: true, ...rank(5) })
    channel.consume('q', { tag: 'm', noAck: true })
    channel.consume('q', { tag: 'b', noAck: true, ...rank(5) })
    expect(turns(channel, 5)).toBe('ababa')
    channel.cancel('a')
    expect(turns(channel, 2)).toBe('bb')
    channel.cancel('b')
    expect(turns(channel, 2)).toBe('mm')
  })

  test('that cannot take more are passed over', async () => {
    const channel = await open()
    channel.qos(2)
    channel.consume('q', { tag: 'h', ...rank(1) })
    channel.qos(0)
    channel.consume('q', { tag: 'l' })
    expect(turns(channel, 5)).toBe('hhlll')
    channel.ack(1)
    expect(turns(channel, 2)).toBe('hl')
  })

  test('that were passed over come behind the others when they can take more, as those that are new', async () => {
    const channel = await open()
    channel.qos(1)
    channel.consume('q', { tag: 'a' })
    channel.qos(0)
    channel.consume('q', { tag: 'b', noAck: true })
    channel.consume('q', { tag: 'c', noAck: true })
    expect(turns(channel, 5)).toBe('abcbc')
    channel.ack(1)
    expect(turns(channel, 4)).toBe('bcab')
    channel.consume('q', { tag: 'd', noAck: true })
    expect(turns(channel, 5)).toBe('cbdcb')
  })

  test('that can take more again stand before one that comes after that', async () => {
    const channel = await open()
    channel.qos(1)
    channel.consume('q', { tag: 'a' })
    channel.qos(0)
    expect(turns(channel, 1)).toBe('a')
    channel.publish('', 'q', 'waits')
    channel.counts('q')
    channel.get('q')
    channel.ack(1)
    channel.consume('q', { tag: 'b', noAck: true })
    expect(turns(channel, 2)).toBe('ab')
  })

  test('are exclusive also while they cannot take more', async () => {
    const channel = await open()
    channel.qos(1)
    channel.consume('q', { tag: 'a', exclusive: true })
    expect(turns(channel, 2)).toBe('a')
    expect(channel.refusal(consume('q'))).toBe("ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use")
  })

  test('can leave while they cannot take more', async () => {
    const channel = await open()
    channel.qos(1)
    channel.consume('q', { tag: 'a' })
    channel.consume('q', { tag: 'b' })
    expect(turns(channel, 3)).toBe('ab')
    channel.cancel('a')
    expect(channel.counts('q')?.consumers).toBe(1)
    channel.ack(1)
    channel.ack(2)
    expect(turns(channel, 1)).toBe('')
    channel.cancel('b')
    expect(channel.counts('q')?.consumers).toBe(0)
  })

  test('hear that their queue is gone in the order in which they came, whoever had the last turn', async () => {
    const channel = await open()
    channel.qos(1)
    for (const tag of ['a', 'b', 'c']) channel.consume('q', { tag })
    expect(turns(channel, 2)).toBe('ab')
    channel.takeLines()
    channel.sibling().deleteQueue('q')
    expect(channel.takeLines()).toEqual(['cancel a', 'cancel b', 'cancel c'])
  })

  test('keep their turns when one of several leaves', async () => {
    const channel = await open()
    for (const tag of ['a', 'b', 'c']) channel.consume('q', { tag, noAck: true })
    expect(turns(channel, 2)).toBe('ab')
    channel.cancel('a')
    expect(turns(channel, 3)).toBe('cbc')
  })
})

describe('a queue with a single active consumer', () => {
  test('serves the first, and the next when it leaves', async () => {
    const channel = await open({ 'x-single-active-consumer': true })
    for (const tag of ['a', 'b', 'c']) channel.consume('q', { tag, noAck: true })
    expect(channel.counts('q')?.consumers).toBe(3)
    expect(turns(channel, 3)).toBe('aaa')
    channel.cancel('b')
    expect(turns(channel, 1)).toBe('a')
    channel.cancel('a')
    expect(turns(channel, 2)).toBe('cc')
  })

  test('waits for the active one rather than serve another, and hands over what waits', async () => {
    const channel = await open({ 'x-single-active-consumer': true })
    const second = channel.sibling()
    channel.qos(1)
    channel.consume('q', { tag: 'a' })
    second.consume('q', { tag: 'b' })
    expect(turns(channel, 3)).toBe('a')
    expect(second.takeBodies()).toEqual([])
    channel.close()
    expect(second.takeBodies()).toEqual(['0', '1', '2'])
  })

  test('has no room for an exclusive consumer', async () => {
    const channel = await open({ 'x-single-active-consumer': true })
    expect(channel.refusal(consume('q', { exclusive: true }))).toBe(
      "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use",
    )
  })
})
