/** What somebody sees who opens a folder and takes everything out of it. */
import type { TopologyRecord } from '../../store/record.ts'
import { type CoreChannel, consume, makeMessage } from '../core-harness.ts'
import { SimFolder, type SimFolderRun } from '../sim-folder.ts'
import type { BusyFolder } from './busy-folder.ts'
import { contentOf } from './folder-map.ts'

/** Nothing is tidied up while somebody looks. */
const quietly = { checkpointMs: 1e9, checkpointBytes: 1e9, deadBytesMax: 1e9 } as const
/** What expires after ten minutes does so before its queue is looked at. */
const waitMs = 1_200_000
const stepMs = 60
/** Taken as they are handed out; from all others each message is acknowledged. */
const noAckQueues: readonly string[] = ['plain', 'fast', 'expiring', 'purged']
/** Of what is published to see whether its key is known. */
const probe = 'probe'

/** A folder as somebody finds it; without keys nobody asks for any. */
export type FoundFolder = Pick<BusyFolder, 'files' | 'ageMs'> & Partial<Pick<BusyFolder, 'keys'>>

export interface Seen {
  /** The message as it is: where it was published, its property bytes and its body. */
  readonly content: string
  readonly redelivered: boolean
}

export interface Witness {
  /** Why the folder does not open. */
  readonly error: Error | null
  /** Why the broker ended while messages were taken. */
  readonly failure: Error | null
  /** What the broker said of the folder. */
  readonly notes: readonly string[]
  /** What it said of messages that cannot be read. */
  readonly damaged: readonly string[]
  readonly topology: readonly string[]
  /** By the name of the queue, in the order of their delivery. */
  readonly queues: ReadonlyMap<string, readonly Seen[]>
  /** The numbers of the queues, for what tells no names. */
  readonly names: ReadonlyMap<number, string>
  /** Idempotency keys that are remembered, each behind the name of its queue. */
  readonly keys: readonly string[]
  /** The files, as opening has left them. */
  readonly files: ReadonlyMap<string, Buffer>
}

/** A simulated machine on which the folder is, at the moment at which whoever made it left it. */
export function placeFolder({ files, ageMs }: Pick<BusyFolder, 'files' | 'ageMs'>): SimFolder {
  const world = new SimFolder(1)
  world.clock.jumpRealtime(ageMs)
  world.disk.restore(files)
  return world
}

/** Opens the folder with salvage and closes it again, as the command line does; the files it leaves, or an error. */
export async function salvageFolder(
  folder: Pick<BusyFolder, 'files' | 'ageMs'>,
): Promise<{ files: ReadonlyMap<string, Buffer>; notes: readonly string[]; error: Error | null }> {
  const world = placeFolder(folder)
  try {
    const run = await world.open('/data', { salvage: true })
    const { notes } = run.broker.report
    await run.close()
    return { files: world.disk.snapshot(), notes, error: null }
  } catch (error) {
    return { files: world.disk.snapshot(), notes: [], error: error as Error }
  }
}

export async function witnessFolder(folder: FoundFolder): Promise<Witness> {
  const world = placeFolder(folder)
  const seen: Sight = new Sight(world)
  let run: SimFolderRun
  try {
    run = await world.open('/data', quietly)
  } catch (error) {
    return { ...seen.told(), error: error as Error, files: world.disk.snapshot() }
  }
  const files = world.disk.snapshot()
  await seen.take(run, folder.keys ?? [])
  // Whatever is still to come of this broker does not matter any more.
  world.clock.clear()
  return { ...seen.told(), files }
}

class Sight {
  private readonly world: SimFolder
  private failure: Error | null = null
  private notes: readonly string[] = []
  private readonly damaged: string[] = []
  private readonly topology: string[] = []
  private readonly queues = new Map<string, Seen[]>()
  private readonly names = new Map<number, string>()
  private readonly keys: string[] = []

  constructor(world: SimFolder) {
    this.world = world
  }

  told(): Omit<Witness, 'files'> {
    const { failure, notes, damaged, topology, queues, names, keys } = this
    return { error: null, failure, notes, damaged, topology, queues, names, keys }
  }

  async take({ broker, channel }: SimFolderRun, keys: readonly string[]): Promise<void> {
    this.notes = broker.report.notes
    broker.onDamage((error) => this.damaged.push(error.message))
    broker.onFailure((error) => {
      this.failure = error
    })
    broker.durableTopology((record) => this.declared(record))
    for (const name of this.queues.keys())
      if (name !== 'expiring') channel.give(consume(name, { noAck: noAckQueues.includes(name), tag: name }))
    await this.drain(channel)
    await this.world.clock.advance(waitMs)
    channel.give(consume('expiring', { noAck: true, tag: 'expiring' }))
    await this.drain(channel)
    await this.askFor(keys, channel)
    this.failure ??= channel.error
  }

  /** A publish under a key that is known goes nowhere. */
  private async askFor(keys: readonly string[], channel: CoreChannel): Promise<void> {
    const asked = keys.filter((text) => this.queues.has(text.split(' ')[0] as string))
    for (const text of asked) {
      const [queue, key] = text.split(' ') as [string, string]
      const headers = { 'x-leveret-idempotency-key': key, [probe]: text }
      channel.port.publish(makeMessage('', queue, probe, { headers }), false)
    }
    await this.world.clock.advance(stepMs)
    const taken = new Set<unknown>()
    for (const { message } of channel.deliveries.splice(0)) {
      taken.add(message.decodeProperties().headers?.get(probe)?.value)
    }
    this.keys.push(...asked.filter((text) => !taken.has(text)))
  }

  private declared(record: TopologyRecord): void {
    this.topology.push(JSON.stringify(record, (_key, value) => (typeof value === 'bigint' ? String(value) : value)))
    if (record.type !== 'queue-declared') return
    this.names.set(record.queueId, record.name)
    this.queues.set(record.name, [])
  }

  private async drain(channel: CoreChannel): Promise<void> {
    do {
      for (const { consumerTag, tag, redelivered, message } of channel.deliveries.splice(0)) {
        if (!noAckQueues.includes(consumerTag)) channel.port.ack(tag, false)
        this.queues.get(consumerTag)?.push({ content: contentOf(message), redelivered })
      }
      await this.world.clock.advance(stepMs)
    } while (channel.deliveries.length > 0)
  }
}
