// deliverAfter: 'sync': nobody is handed a message that a power cut could still take, and nobody a later one first.
import { describe, expect, test } from 'vitest'
import type { DeliverAfter, Durability } from '../model/durability.ts'
import { type CoreChannel, consume, declareQueue } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'

interface Opened {
  readonly folder: SimFolder
  readonly run: SimFolderRun
  readonly channel: CoreChannel
  /** Bodies in the order in which they were delivered, '!' behind those that were not on the platter. */
  readonly delivered: string[]
}

async function opened(
  durability: Durability,
  deliverAfter: DeliverAfter,
  table: Readonly<Record<string, number | boolean>> = {},
): Promise<Opened> {
  const folder = new SimFolder(1)
  const run = await folder.open('/data', { durability, segmentBytesMax: 10_000_000 }, deliverAfter)
  const { channel } = run
  channel.give(declareQueue('q', { durable: true, arguments: table }))
  await run.settle(3_000)
  const delivered: string[] = []
  channel.onDelivered = ({ body }) => delivered.push(isOnPlatter(folder, body) ? body : `${body}!`)
  return { folder, run, channel, delivered }
}

function isOnPlatter({ disk }: SimFolder, body: string): boolean {
  const segments = disk.paths().filter((path) => path.includes('/log/'))
  return segments.some((path) => disk.durableContents(path).includes(body))
}

test('by default a message is delivered before the disk has it', async () => {
  const { run, channel, delivered } = await opened('fsync', 'accept')
  channel.give(consume('q', { noAck: true }))
  run.post('q', 'body one')
  await run.settle(0)
  expect(delivered).toEqual(['body one!'])
})

describe.each([
  ['fsync', 10],
  ['write', 1_010],
  ['none', 1_010],
] as const)('with %s', (durability, waitMs) => {
  test('a consumer gets a message when its frame is synced', async () => {
    const { run, channel, delivered } = await opened(durability, 'sync')
    channel.give(consume('q', { noAck: true }))
    for (const body of ['body one', 'body two', 'body three']) run.post('q', body)
    await run.settle(0)
    expect(delivered).toEqual([])
    await run.settle(waitMs)
    expect(delivered).toEqual(['body one', 'body two', 'body three'])
  })

  test('basic.get is answered when the frame of its message is synced', async () => {
    const { folder, run, channel } = await opened(durability, 'sync')
    run.post('q', 'body one')
    const ids = [true, false].map((noAck) => {
      if (!noAck) run.post('q', 'body two')
      return channel.give({ type: 'basic.get', queue: 'q', noAck })
    })
    while (!channel.replies.has(ids[0] as number)) {
      expect(isOnPlatter(folder, 'body one')).toBe(false)
      expect(await folder.clock.step()).toBe(true)
    }
    expect(isOnPlatter(folder, 'body one')).toBe(true)
    await run.settle(waitMs)
    const bodies = ids.map((id) => {
      const reply = channel.replies.get(id)
      return reply?.type === 'basic.get-ok' ? reply.message.body.toString() : reply?.type
    })
    expect(bodies).toEqual(['body one', 'body two'])
  })

  test('what is handed out survives a power cut, whenever that comes', async () => {
    for (let steps = 0; steps < 60; steps++) {
      const { folder, run, channel, delivered } = await opened(durability, 'sync')
      channel.give(consume('q'))
      for (let at = 0; at < 6; at++) {
        run.post('q', `body ${at}`)
        await run.settle(at % 2)
      }
      for (let step = 0; step < steps; step++) await folder.clock.step()
      folder.cutPower(() => 'lost')
      const left = await (await folder.open()).take('q')
      expect(left.slice(0, delivered.length)).toEqual(delivered)
    }
  })
})

test('a transient message waits for nothing, but not in front of one that does', async () => {
  const { run, channel, delivered } = await opened('write', 'sync')
  channel.give(consume('q', { noAck: true }))
  channel.post('', 'q', 'transient one')
  await run.settle(0)
  expect(delivered).toEqual(['transient one!'])
  run.post('q', 'persistent')
  channel.post('', 'q', 'transient two')
  await run.settle(0)
  expect(delivered).toHaveLength(1)
  await run.settle(1_010)
  expect(delivered.slice(1)).toEqual(['persistent', 'transient two!'])
})

test('a message that comes back is handed out again without waiting', async () => {
  const { run, channel, delivered } = await opened('write', 'sync')
  channel.give(consume('q'))
  run.post('q', 'body one')
  await run.settle(1_010)
  channel.port.reject(1, false, true)
  run.post('q', 'body two')
  await run.settle(0)
  expect(delivered).toEqual(['body one', 'body one'])
})

test('a message with a higher priority holds the others until it is synced', async () => {
  const { run, channel, delivered } = await opened('write', 'sync', { 'x-max-priority': 3 })
  run.post('q', 'low one')
  await run.settle(1_010)
  channel.post('', 'q', 'high one', { persistent: true, properties: { priority: 3 } })
  channel.give(consume('q', { noAck: true }))
  await run.settle(0)
  expect(delivered).toEqual([])
  await run.settle(1_010)
  expect(delivered).toEqual(['high one', 'low one'])
})

test('messages with keys wait too', async () => {
  const { run, channel, delivered } = await opened('write', 'sync', { 'x-leveret-keyed': true })
  channel.give(consume('q', { noAck: true }))
  channel.post('', 'q', 'of key a', { persistent: true, headers: { 'x-leveret-key': 'a' } })
  await run.settle(0)
  expect(delivered).toEqual([])
  await run.settle(1_010)
  expect(delivered).toEqual(['of key a'])
})

test('what recovery has found waits for nothing', async () => {
  const { folder, run, channel } = await opened('write', 'sync')
  run.post('q', 'body one')
  await run.settle(10)
  channel.takeLines()
  folder.kill()
  const again = await folder.open('/data', { durability: 'write' }, 'sync')
  const delivered: string[] = []
  again.channel.onDelivered = ({ body }) => delivered.push(isOnPlatter(folder, body) ? body : `${body}!`)
  again.channel.give(consume('q'))
  // It may have to be read.
  await again.settle(20)
  expect(delivered).toEqual(['body one'])
})

test('a queue that is deleted while its first message waits is gone', async () => {
  const { run, channel, delivered } = await opened('write', 'sync')
  channel.give(consume('q'))
  run.post('q', 'body one')
  await run.settle(10)
  channel.give({ type: 'queue.delete', queue: 'q', ifUnused: false, ifEmpty: false })
  await run.settle(3_000)
  expect(delivered).toEqual([])
  expect(channel.error).toBe(null)
})

describe('a consumer that wants it after the confirm', () => {
  const wants = { noAck: true, arguments: { 'x-leveret-deliver-after': 'confirm' } }

  test('gets it when what was stored before is synced, many with one sync, in order, and others do not wait', async () => {
    const { run, channel, delivered } = await opened('fsync', 'accept')
    channel.give(declareQueue('answers'))
    channel.give(declareQueue('others'))
    channel.give(consume('answers', wants))
    channel.give(consume('others', { noAck: true }))
    run.post('q', 'something stored')
    for (const body of ['one', 'two', 'three']) channel.post('', 'answers', body)
    channel.post('', 'others', 'at once')
    await run.settle(0)
    expect(delivered).toEqual(['at once!'])
    await run.settle(10)
    expect(delivered.slice(1)).toEqual(['one!', 'two!', 'three!'])
    channel.post('', 'answers', 'nothing to wait for')
    await run.settle(0)
    expect(delivered.slice(4)).toEqual(['nothing to wait for!'])
  })
})
