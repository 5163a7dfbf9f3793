/**
 * A folder in which there is something of everything: open, sealed and cold segments, page files, checkpoints, and in its
 * queues messages that are transient, have priorities, keys and expiries, went to several queues, are held by somebody, have
 * their bodies in files, or are to be taken once. One seed, one folder.
 */
import { Prng } from '../../lib/prng.ts'
import { toTable } from '../../model/field-table.ts'
import { Message } from '../../model/message.ts'
import { encodeProperties, type Properties } from '../../model/properties.ts'
import type { LogStoreOptions } from '../../store/log-store-options.ts'
import { bindCommand, declareExchange, declareQueue, type QueueOptions } from '../core-harness.ts'
import { SimFolder, type SimFolderRun } from '../sim-folder.ts'

/** How the broker that made the folder ended, and whether it made checkpoints. */
export type FolderKind = 'closed' | 'killed' | 'killed while writing' | 'killed before the first checkpoint'

export const folderKinds: readonly FolderKind[] = [
  'closed',
  'killed',
  'killed while writing',
  'killed before the first checkpoint',
]

export interface BusyFolder {
  readonly kind: FolderKind
  /** Every file, by its path. */
  readonly files: ReadonlyMap<string, Buffer>
  /** Virtual time since the folder was begun. */
  readonly ageMs: number
  /** The publishes that are to be taken once, and some that never were: as queue and idempotency key. */
  readonly keys: readonly string[]
}

const queues: Readonly<Record<string, QueueOptions>> = {
  plain: {},
  fast: {},
  slow: {},
  held: {},
  gone: {},
  purged: {},
  priority: { arguments: { 'x-max-priority': 4 } },
  expiring: { arguments: { 'x-message-ttl': 3_600_000 } },
  keyed: { arguments: { 'x-leveret-keyed': true } },
}

const names = Object.keys(queues)
const rounds = 10
/** Rounds after the last checkpoint, if the folder is not closed. */
const lateRounds = 4
const expiryMs = 600_000
/** Where a publish to the exchange `fan` goes. */
const fanQueues = ['plain', 'slow', 'held'] as const
/** Few enough that some publishes are left out. */
const onceKeys = 12
const onceHeader = 'x-leveret-idempotency-key'
/** Those of `purged` and `gone` go while there is still something to go; those of `fast` are taken in the same round. */
const largeQueues = ['slow', 'held', 'keyed', 'priority', 'expiring', 'fast', 'fast', 'purged', 'gone'] as const
const largeBytesMin = 4_001
/** As long as it takes to write a large body. */
const largeMs = 200

export async function makeBusyFolder(seed: number, kind: FolderKind): Promise<BusyFolder> {
  const world = new SimFolder(seed)
  const isPlain = kind === 'killed before the first checkpoint'
  const options: Partial<LogStoreOptions> = isPlain ? { checkpointMs: 1e9, checkpointBytes: 1e9 } : {}
  const run = await world.open('/data', options)
  const writer = new Writer(run, new Prng(seed * 2 + 1))
  await writer.declare()
  for (let round = 0; round < (isPlain ? lateRounds : rounds); round++) {
    await writer.round()
    await run.settle(600)
  }
  await run.settle(3_000)
  for (let round = 0; round < lateRounds; round++) await writer.round()
  if (kind === 'killed while writing') {
    writer.publish('plain')
    await run.settle(0)
    writer.publish('slow')
    writer.publish('held')
    // Of this there will be a file, or the beginning of one, and nothing that refers to it.
    writer.publishLarge()
    await run.settle(3)
  }
  if (kind === 'closed') await run.close()
  else world.kill()
  return { kind, files: world.disk.snapshot(), ageMs: world.clock.monotonicMs(), keys: writer.keys }
}

class Writer {
  private readonly run: SimFolderRun
  private readonly prng: Prng
  private count = 0
  /** Of what is held. */
  private readonly tags: number[] = []
  private readonly once = new Set<string>(fanQueues.map((queue) => `${queue} never`))

  constructor(run: SimFolderRun, prng: Prng) {
    this.run = run
    this.prng = prng
  }

  get keys(): string[] {
    return [...this.once].sort()
  }

  async declare(): Promise<void> {
    const { channel } = this.run
    for (const name of names) channel.give(declareQueue(name, { durable: true, ...queues[name] }))
    channel.give(declareExchange('fan', 'fanout', { durable: true }))
    channel.give(declareExchange('news', 'topic', { durable: true }))
    for (const name of fanQueues) channel.give(bindCommand('queue.bind', name, 'fan', ''))
    channel.give(bindCommand('queue.bind', 'priority', 'news', 'news.#', { note: 'kept' }))
    await this.run.settle()
  }

  /** Publishes here and there, takes some, gives some back, and keeps some for ever. */
  async round(): Promise<void> {
    const { run, prng } = this
    const { channel } = run
    for (let left = 20 + prng.below(20); left > 0; left--) {
      this.publish(names[prng.below(names.length)] as string)
      if (prng.chance(0.1)) await run.settle(prng.below(20))
    }
    for (let left = 25; left > 0; left--) this.publish('fast')
    // Behind it there are others, of the same keys too.
    this.publishLarge()
    if (prng.chance(0.4)) this.publishLarge()
    await run.settle(largeMs)
    for (let left = 6; left > 0; left--) this.publish(names[prng.below(names.length)] as string)
    await run.settle()
    await run.take('fast')
    await run.take('slow', prng.below(2))
    await this.hold(prng.below(4))
    if (prng.chance(0.5) && this.tags.length > 0) channel.port.ack(this.tags.pop() as number, false)
    if (prng.chance(0.3)) channel.give({ type: 'queue.purge', queue: 'purged' })
    if (prng.chance(0.2)) {
      channel.give({ type: 'queue.delete', queue: 'gone', ifUnused: false, ifEmpty: false })
      channel.give(declareQueue('gone', { durable: true }))
    }
    await run.settle()
  }

  publish(queue: string): void {
    const { prng, run } = this
    const size = prng.chance(0.05) ? prng.below(4_000) : prng.below(300)
    const text = `${++this.count} `
    const body = Buffer.alloc(text.length + size)
    body.write(text)
    prng.fill(body.subarray(text.length))
    const properties: Properties = { deliveryMode: prng.chance(0.08) ? 1 : 2, priority: prng.below(6) }
    const [exchange, key] = this.target(queue)
    const once = this.onceFor(exchange, key)
    if (once !== null) properties.headers = toTable({ [onceHeader]: once, count: this.count })
    else if (prng.chance(0.5)) properties.headers = toTable({ ...this.someKey(), count: this.count })
    if (queue === 'expiring' && prng.chance(0.5)) properties.expiration = String(expiryMs)
    run.channel.port.publish(Message.of(exchange, key, encodeProperties(properties), body), false)
  }

  /** A message whose body goes to a file: to several queues or to one, where it is taken, held, purged, or stays. */
  publishLarge(): void {
    const { prng, run } = this
    const text = `large ${++this.count} `
    const bytes = Buffer.alloc(largeBytesMin + prng.below(3_000) - text.length)
    prng.fill(bytes)
    // Whoever posts one gives text.
    const body = text + Buffer.from(bytes.map((byte) => 32 + (byte & 63))).toString('latin1')
    const isFan = prng.chance(0.3)
    const queue = isFan ? '' : (largeQueues[prng.below(largeQueues.length)] as string)
    const once = this.onceFor(isFan ? 'fan' : '', queue)
    const headers = { ...(once === null ? this.someKey() : { [onceHeader]: once }), count: this.count }
    run.postLarge(queue, body, { headers, persistent: prng.chance(0.9), exchange: isFan ? 'fan' : '' })
  }

  /** Perhaps a key under which the publish is taken once, noted for all that it goes to. */
  private onceFor(exchange: string, queue: string): string | null {
    const to = exchange === 'fan' ? fanQueues : fanQueues.filter((name) => exchange === '' && name === queue)
    if (to.length === 0 || !this.prng.chance(0.3)) return null
    const key = `once-${this.prng.below(onceKeys)}`
    for (const name of to) this.once.add(`${name} ${key}`)
    return key
  }

  private someKey(): Record<string, string> {
    return { 'x-leveret-key': `key ${this.prng.below(5)}` }
  }

  private target(queue: string): [exchange: string, key: string] {
    if (queue === 'plain' && this.prng.chance(0.4)) return ['fan', '']
    if (queue === 'priority' && this.prng.chance(0.4)) return ['news', `news.${this.prng.below(3)}`]
    return ['', queue]
  }

  /** Takes so many messages and neither acknowledges nor returns them. */
  private async hold(count: number): Promise<void> {
    const { channel } = this.run
    const ids = Array.from({ length: count }, () => channel.give({ type: 'basic.get', queue: 'held', noAck: false }))
    await this.run.settle()
    for (const id of ids) {
      const reply = channel.replies.get(id)
      if (reply?.type === 'basic.get-ok') this.tags.push(reply.deliveryTag)
    }
  }
}
