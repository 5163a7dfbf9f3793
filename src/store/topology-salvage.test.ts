// Salvage of a folder in which a record about an exchange, a queue or a binding is damaged.
import { describe, expect, test } from 'vitest'
import {
  bindCommand,
  type CoreChannel,
  CoreSession,
  declareExchange,
  declareQueue,
  hostLogin,
} from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'
import type { TopologyRecord } from './record.ts'
import { consistentTopology, rescuedQueues } from './topology-salvage.ts'

const late = { checkpointMs: 1e9, checkpointBytes: 1e9 } as const
const file = '/data/log/0000000001.log'

/** Each command in a frame of its own, and another frame behind them. */
async function damagedFolder(...damaged: string[]): Promise<SimFolder> {
  const world = new SimFolder()
  const run = await world.open('/data', late)
  const steps = [
    declareExchange('fan', 'fanout', { durable: true }),
    declareQueue('first-queue', { durable: true }),
    bindCommand('queue.bind', 'first-queue', 'fan', 'the key'),
    { type: 'queue.delete', queue: 'first-queue', ifUnused: false, ifEmpty: false } as const,
    declareQueue('first-queue', { durable: true }),
  ]
  for (const [at, step] of steps.entries()) {
    run.channel.give(step)
    await run.settle()
    if (at === 1) await run.publish('first-queue', 'of the first')
  }
  await run.publish('first-queue', 'of the second')
  world.kill()
  const content = world.disk.contents(file)
  for (const text of damaged) world.disk.flipBit(file, content.indexOf(text), 0)
  await expect(world.open('/data', late)).rejects.toMatchObject({ code: 'E_STORAGE_CORRUPT' })
  const salvaged = await world.open('/data', { ...late, salvage: true })
  await salvaged.close()
  return world
}

/** Bytes that only the record of that kind has: what is told in it, and its operation in front. */
const declared = (kind: 'exchange' | 'queue', name: string): string =>
  `${String.fromCharCode(kind === 'exchange' ? 1 : 3)}\u0001/${String.fromCharCode(name.length)}${name}`
const deleted = `\u0004\u0001/\u000bfirst-queue`

describe('salvage', () => {
  test('leaves out what is bound to an exchange whose record is lost', async () => {
    const world = await damagedFolder(declared('exchange', 'fan'))
    const run = await world.open()
    expect(await run.take('first-queue')).toEqual(['of the second'])
  })

  test('keeps what an exchange delayed whose record is lost: it appears in its queue when it is due', async () => {
    const world = new SimFolder()
    let run = await world.open('/data', late)
    const exchange = declareExchange('later', 'x-delayed-message', {
      durable: true,
      arguments: { 'x-delayed-type': 'fanout' },
    })
    run.channel.give(exchange)
    await run.settle()
    run.channel.post('later', 'k', 'kept', { persistent: true, headers: { 'x-delay': 5_000 } })
    await run.settle()
    world.kill()
    world.disk.flipBit(file, world.disk.contents(file).indexOf(declared('exchange', 'later')), 0)
    await (await world.open('/data', { ...late, salvage: true })).close()
    run = await world.open('/data', late)
    await run.settle(8_000)
    expect(await run.take('amq.delayed.later')).toEqual(['kept'])
    expect(run.channel.error).toBeNull()
    run.channel.give(exchange)
    await run.settle()
    expect(String((run.channel.error as Error | null)?.message)).toContain(
      "'amq.delayed.later' in vhost '/' is in the way",
    )
  })

  test('knows that a queue that was declared twice was deleted in between', async () => {
    const world = await damagedFolder(deleted)
    const run = await world.open()
    expect(await run.take('first-queue')).toEqual(['of the second'])
    expect(run.broker.report).toMatchObject({ messages: 1 })
  })

  test('goes around bindings and deletions of a queue whose record is lost', async () => {
    const world = await damagedFolder(declared('queue', 'first-queue'))
    const run = await world.open()
    expect(await run.take('first-queue')).toEqual(['of the second'])
  })
})

test('messages of a queue whose record is lost are in one with its number', async () => {
  const world = new SimFolder()
  const run = await world.open('/data', late)
  await run.declare('lost-queue', 'other')
  await run.publish('lost-queue', 'kept')
  world.kill()
  world.disk.flipBit(file, world.disk.contents(file).indexOf(declared('queue', 'lost-queue')), 0)
  await (await world.open('/data', { ...late, salvage: true })).close()
  const again = await world.open()
  expect(await again.take('salvaged-1')).toEqual(['kept'])
})

describe('of a virtual host', () => {
  const login = {
    ...hostLogin,
    virtualHost: 'burrow',
    credentials: { user: 'guest', password: 'guest' },
    remoteAddress: '::1',
  }

  async function channelThere(world: SimFolder, run: SimFolderRun): Promise<CoreChannel> {
    const session = new CoreSession({ settle() {} })
    session.port = await world.clock.run(run.broker.openSession(login, session))
    return session.channel()
  }

  test('whose record is lost the queues are there with their messages', async () => {
    const world = new SimFolder()
    const run = await world.open('/data', late)
    const steps = [
      { type: 'leveret.put-virtual-host', virtualHost: 'burrow', metadata: {} },
      {
        type: 'leveret.put-permission',
        user: 'guest',
        virtualHost: 'burrow',
        configure: '.*',
        write: '.*',
        read: '.*',
      },
    ] as const
    for (const step of steps) {
      run.channel.give(step)
      await run.settle()
    }
    const there = await channelThere(world, run)
    there.give(declareQueue('q', { durable: true }))
    await run.settle()
    there.post('', 'q', 'kept', { persistent: true })
    await run.settle()
    world.kill()
    world.disk.flipBit(file, world.disk.contents(file).indexOf('\u0007\u0006burrow'), 0)
    await (await world.open('/data', { ...late, salvage: true })).close()
    const again = await world.open()
    const channel = await channelThere(world, again)
    const id = channel.give({ type: 'basic.get', queue: 'q', noAck: true })
    await again.settle()
    expect(channel.replies.get(id)).toMatchObject({ type: 'basic.get-ok' })
  })
})

test('messages of a queue whose record is lost are kept also where the virtual host / was deleted', () => {
  const recovered = new Map([[1, { readyCount: 1 }]])
  expect(rescuedQueues(recovered, [{ type: 'virtual-host-deleted', virtualHost: '/' }])).toMatchObject([
    { type: 'virtual-host-put', virtualHost: '/' },
    { type: 'queue-declared', virtualHost: '/', name: 'salvaged-1' },
  ])
})

test('a virtual host that was deleted takes the queues with it whose deletion is lost', () => {
  const queue = { virtualHost: 'h', name: 'q', queueId: 3 }
  const declared = { type: 'queue-declared', ...queue, durable: true, autoDelete: false, arguments: new Map() } as const
  const host = { type: 'virtual-host-put', virtualHost: 'h', metadata: '{}' } as const
  const deleted = { type: 'virtual-host-deleted', virtualHost: 'h' } as const
  const leftOut: TopologyRecord[] = []
  expect(consistentTopology([host, declared, deleted, deleted], leftOut)).toEqual([
    host,
    declared,
    { type: 'queue-deleted', ...queue },
    deleted,
  ])
  expect(leftOut).toEqual([deleted])
})
