// Queues that keep order per key: over all consumers, with acknowledgements, returns and expiry.
import { describe, expect, test } from 'vitest'
import { type Core, type CoreChannel, consume, declareQueue, openCore } from '../testing/core-harness.ts'
import { SimFolder } from '../testing/sim-folder.ts'

async function open(keyed: boolean | number = true): Promise<[Core, CoreChannel]> {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('q', { arguments: { 'x-leveret-keyed': keyed } })
  return [core, channel]
}

function publish(channel: CoreChannel, ...bodies: string[]): void {
  for (const body of bodies) channel.publish('', 'q', body, { headers: { 'x-leveret-key': body.charAt(0) } })
}

describe('a queue with keys', () => {
  test('has one message of a key out at a time, over all consumers, and hands out the next with the acknowledgement', async () => {
    const [core, channel] = await open()
    channel.consume('q', { tag: 'one' })
    channel.consume('q', { tag: 'two' })
    publish(channel, 'a1', 'a2', 'b1', 'a3')
    expect(channel.takeBodies()).toEqual(['a1', 'b1'])
    channel.port.ack(1, false)
    core.settle()
    expect(channel.takeBodies()).toEqual(['a2'])
  })

  test('serves keys in turn, so that one with many messages does not keep the others waiting', async () => {
    const [, channel] = await open(2)
    publish(channel, 'a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1')
    channel.consume('q', { tag: 'c' })
    expect(channel.takeBodies()).toEqual(['a1', 'b1', 'c1', 'a2', 'b2'])
  })

  test('hands a rejected message out again before the next of its key', async () => {
    const [core, channel] = await open()
    publish(channel, 'a1', 'a2')
    channel.consume('q', { tag: 'c' })
    channel.port.reject(1, false, true)
    core.settle()
    channel.port.ack(2, false)
    core.settle()
    expect(channel.takeBodies()).toEqual(['a1', 'a1', 'a2'])
  })

  test('does not hold up messages without a key', async () => {
    const [, channel] = await open()
    for (const body of ['1', '2', '3']) channel.publish('', 'q', body)
    channel.consume('q', { tag: 'c' })
    expect(channel.takeBodies()).toEqual(['1', '2', '3'])
  })

  test('answers basic.get with nothing while every key has its message out', async () => {
    const [, channel] = await open()
    publish(channel, 'a1', 'a2')
    expect(channel.get('q').type).toBe('basic.get-ok')
    expect(channel.get('q').type).toBe('basic.get-empty')
    expect(channel.counts('q')).toEqual({ ready: 1, unacked: 1, consumers: 0 })
  })

  test('is purged with all that waits for its key, and goes on after it', async () => {
    const [core, channel] = await open()
    publish(channel, 'a1', 'a2', 'a3')
    channel.consume('q', { tag: 'c' })
    expect(channel.ask({ type: 'queue.purge', queue: 'q' })).toEqual({ type: 'queue.purge-ok', messageCount: 2 })
    publish(channel, 'a4')
    channel.port.ack(1, false)
    core.settle()
    expect(channel.takeBodies()).toEqual(['a1', 'a4'])
  })

  test('lets what expires go, and its key with it', async () => {
    const [core, channel] = await open()
    const headers = { 'x-leveret-key': 'a' }
    channel.publish('', 'q', 'a1', { headers, properties: { expiration: '10' } })
    channel.publish('', 'q', 'a2', { headers })
    core.clock.advance(11)
    expect(channel.counts('q')?.ready).toBe(1)
    expect(channel.drain('q')).toEqual(['a2'])
  })

  test('refuses a number of messages per key that is none', async () => {
    const [, channel] = await open()
    expect(channel.refusal(declareQueue('other', { arguments: { 'x-leveret-keyed': 'yes' } }))).toContain(
      "invalid arg 'x-leveret-keyed' for queue 'other'",
    )
  })
})

test('a message that cannot be read, which basic.get has taken, does not hold those of its key', async () => {
  const folder = new SimFolder()
  let run = await folder.open()
  run.channel.give(declareQueue('k', { durable: true, arguments: { 'x-leveret-keyed': true } }))
  await run.settle()
  for (const body of ['first one', 'second', 'third']) run.post('k', body, { 'x-leveret-key': 'k' })
  await run.settle(300)
  await run.close()
  const path = `/data/${folder.files().find((name) => name.startsWith('log/'))}`
  folder.disk.flipBit(path, folder.disk.contents(path).indexOf('first one'), 1)
  run = await folder.open()
  const asking = run.onChannel(run.channel.sibling())
  asking.channel.give({ type: 'basic.get', queue: 'k', noAck: false })
  await run.settle(300)
  expect(asking.channel.error?.text).toContain('cannot be read')
  run.channel.onDelivered = ({ tag }) => run.channel.port.ack(tag, false)
  run.channel.give(consume('k'))
  await run.settle(300)
  expect(run.channel.takeBodies()).toEqual(['second', 'third'])
})
