/**
 * Small folders as this version writes them, to be kept: each later version must be able to open them. One seed, one clock,
 * one folder. A version that changes what is written makes its own, with another name, and leaves these as they are.
 */
import type { LogStoreOptions } from '../store/log-store-options.ts'
import { bindCommand, declareExchange, declareQueue } from './core-harness.ts'
import { SimFolder } from './sim-folder.ts'

/** `1.0` has no feature bits, `1.0-checkpoints` incompatible bit 1. */
export const goldenNames = ['1.0', '1.0-checkpoints'] as const

export type GoldenName = (typeof goldenNames)[number]

const plain: Partial<LogStoreOptions> = { segmentBytesMax: 2_500, checkpointMs: 1e9, checkpointBytes: 1e9 }
const checkpointed: Partial<LogStoreOptions> = {
  segmentBytesMax: 2_500,
  windowBytesMax: 2_000,
  pageBytesMax: 60,
  pageFileBytesMax: 500,
  deadBytesMax: 1_000,
  coldBytesMax: 2_500,
}

export interface GoldenFolder {
  readonly files: ReadonlyMap<string, Buffer>
  /** How old the folder is, in virtual time: messages expire. */
  readonly ageMs: number
}

export async function makeGoldenFolder(name: GoldenName): Promise<GoldenFolder> {
  const world = new SimFolder(1)
  const run = await world.open('/data', name === '1.0' ? plain : checkpointed)
  const { channel } = run
  channel.give(declareQueue('plain', { durable: true }))
  channel.give(declareQueue('fast', { durable: true }))
  channel.give(declareQueue('purged', { durable: true }))
  channel.give(declareQueue('deleted', { durable: true }))
  channel.give(declareQueue('priority', { durable: true, arguments: { 'x-max-priority': 4 } }))
  channel.give(declareQueue('expiring', { durable: true, arguments: { 'x-message-ttl': 3_600_000 } }))
  channel.give(declareQueue('keyed', { durable: true, arguments: { 'x-leveret-keyed': true } }))
  channel.give(declareExchange('fan', 'fanout', { durable: true }))
  channel.give(declareExchange('news', 'topic', { durable: true, arguments: { note: 'kept' } }))
  for (const queue of ['plain', 'keyed']) channel.give(bindCommand('queue.bind', queue, 'fan', ''))
  channel.give(bindCommand('queue.bind', 'priority', 'news', 'news.#', { note: 'kept' }))
  channel.give(bindCommand('exchange.bind', 'fan', 'news', 'all'))
  await run.settle()
  for (let round = 1; round <= 8; round++) {
    const persistent = { persistent: true } as const
    channel.post('', 'plain', `plain ${round}`, persistent)
    channel.post('', 'plain', `transient ${round}`, {})
    channel.post('fan', '', `to two queues ${round}`, {
      ...persistent,
      headers: { 'x-leveret-key': `key ${round % 2}` },
    })
    channel.post('news', `news.${round}`, `priority ${round}`, { ...persistent, properties: { priority: round % 5 } })
    channel.post('', 'expiring', `expiring ${round}`, { ...persistent, properties: { expiration: '600000' } })
    channel.post('', 'expiring', `long lived ${round}`, persistent)
    channel.post('', 'purged', `purged ${round}`, persistent)
    channel.post('', 'deleted', `deleted ${round}`, persistent)
    for (let count = 1; count <= 8; count++)
      channel.post('', 'fast', `fast ${round} ${count} ${'x'.repeat(90)}`, persistent)
    await run.settle()
    await run.take('fast')
    // It is handed out and not acknowledged: it is there, and counts as redelivered.
    if (round === 2) channel.give({ type: 'basic.get', queue: 'plain', noAck: false })
    if (round === 6) channel.give({ type: 'queue.purge', queue: 'purged' })
    if (round === 7) channel.give({ type: 'queue.delete', queue: 'deleted', ifUnused: false, ifEmpty: false })
    if (round === 7) channel.give(bindCommand('queue.unbind', 'plain', 'fan', ''))
    await run.settle(name === '1.0' ? 40 : 600)
  }
  if (name === '1.0') world.kill()
  else {
    await run.settle(2_000)
    await run.close()
  }
  return { files: world.disk.snapshot(), ageMs: world.clock.monotonicMs() }
}
