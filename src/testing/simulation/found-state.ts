/**
 * What a broker finds on a disk: opened on a copy of it, on a clock of its own, every queue drained. Whoever looks must not
 * change what is looked at.
 */
import { Broker } from '../../broker/broker.ts'
import { Prng } from '../../lib/prng.ts'
import type { ChannelEvents, SessionEvents } from '../../model/channel.ts'
import type { BasicGetOk, Command, Reply } from '../../model/command.ts'
import type { DeliverAfter } from '../../model/durability.ts'
import { emptyTable } from '../../model/field-table.ts'
import type { Message } from '../../model/message.ts'
import type { AwaitingMessage, Entry } from '../../store/entry.ts'
import { LogStore } from '../../store/log-store.ts'
import type { LogStoreOptions } from '../../store/log-store-options.ts'
import type { TopologyRecord } from '../../store/record.ts'
import type { LoadReport, SnapshotSource, StoreEvents } from '../../store/store.ts'
import { SimClock } from '../sim-clock.ts'
import type { SimDisk } from '../sim-disk.ts'
import { SimMachine } from '../sim-host.ts'
import { SimNetwork } from '../sim-network.ts'
import { bindingKey, fingerprint } from './facts.ts'
import { SimProcess } from './sim-process.ts'

export const dataDirectory = '/data'

export interface FoundMessage {
  readonly fingerprint: string
  readonly redelivered: boolean
  readonly message: Message
}

/** A message that its queue hides. */
export interface FoundHidden {
  readonly message: Message
  /** It appears when the wall clock shows this, in ms since 1970. */
  readonly appearsMs: number
}

export interface FoundQueue {
  readonly autoDelete: boolean
  readonly messages: readonly FoundMessage[]
  /** In the order in which they would appear. */
  readonly hidden: readonly FoundHidden[]
}

export interface FoundState {
  readonly isClean: boolean
  readonly openLsn: number
  readonly exchanges: ReadonlyMap<string, string>
  readonly queues: ReadonlyMap<string, FoundQueue>
  readonly bindings: ReadonlySet<string>
  /** Messages that are known to be there and cannot be read. */
  readonly damages: readonly Error[]
  /** Why the broker gave up while it was emptied; null if it did not. */
  readonly failure: Error | null
}

export interface OpenedBroker {
  readonly broker: Broker
  readonly store: LogStore
  /** Messages that turned out to be unreadable. */
  readonly damages: readonly Error[]
}

export async function openBroker(
  process: SimProcess,
  storage: LogStoreOptions,
  memoryBytesMax: number,
  deliverAfter: DeliverAfter = 'accept',
): Promise<OpenedBroker> {
  return await openStore(process, new LogStore(process, dataDirectory, storage), memoryBytesMax, deliverAfter)
}

async function openStore(
  process: SimProcess,
  store: LogStore,
  memoryBytesMax: number,
  deliverAfter: DeliverAfter,
): Promise<OpenedBroker> {
  const broker = await Broker.open(process, store, { memoryBytesMax, deliverAfter })
  const damages: Error[] = []
  broker.onDamage((error) => damages.push(error))
  return { broker, store, damages }
}

/** For whoever looks what is there: queues have no arguments by which something would go as soon as they are opened, or asked. */
class QuietStore extends LogStore {
  override load(
    sink: (record: TopologyRecord) => void,
    events: StoreEvents,
    source: SnapshotSource,
  ): Promise<LoadReport> {
    return super.load((record) => sink(quiet(record)), events, source)
  }
}

const restless: readonly string[] = ['x-max-length', 'x-max-length-bytes', 'x-expires']
const limit = 'x-delivery-limit'

function quiet(record: TopologyRecord): TopologyRecord {
  if (record.type !== 'queue-declared') return record
  const table = new Map(record.arguments)
  for (const name of restless) table.delete(name)
  // None, which is another thing than not to say one.
  if (table.has(limit)) table.set(limit, { tag: 'l', value: -1 })
  return { ...record, arguments: table }
}

/** Opens the broker on the disk and takes everything out. The disk is of no use afterwards. */
export async function readState(
  clock: SimClock,
  disk: SimDisk,
  storage: LogStoreOptions,
  isDamaged = false,
): Promise<FoundState> {
  const life = onlyProcess(clock, disk)
  const quietStore = new QuietStore(life, dataDirectory, storage)
  const { broker, store, damages } = await clock.run(openStore(life, quietStore, Number.MAX_SAFE_INTEGER, 'accept'))
  const { openLsn } = store
  const exchanges = new Map<string, string>()
  const bindings = new Set<string>()
  const names = new Map<string, boolean>()
  const kept = new Set<string>()
  const namesById = new Map<number, string>()
  broker.durableTopology((record) => {
    if (record.type === 'exchange-declared') {
      const alternate = (record.arguments.get('alternate-exchange')?.value ?? null) as string | null
      exchanges.set(record.name, exchangeText({ ...record, alternate }))
    } else if (record.type === 'queue-declared') {
      // Nobody can ask for what an exchange keeps back: see `readHidden`.
      if (record.arguments.has('x-leveret-delays-for')) kept.add(record.name)
      names.set(record.name, record.autoDelete)
      namesById.set(record.queueId, record.name)
    } else if (record.type === 'bound') bindings.add(bindingKey(record))
  })
  const queues = new Map<string, FoundQueue>()
  const drain = new Drain()
  const login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }
  const session = await clock.run(broker.openSession(login, silentSession))
  let failure: Error | null = null
  broker.onFailure((error) => {
    failure = error
  })
  let channel = session.openChannel(drain)
  channel.execute(0, { type: 'leveret.queues' })
  while (!drain.isCounted && (await clock.step()));
  const counts = drain.takeCounts()
  const hidden = await readHidden(clock, store, namesById)
  for (const [name, autoDelete] of names) {
    const count = counts.get(name) ?? 0
    const get: Command = { type: 'basic.get', queue: name, noAck: true }
    if (kept.has(name)) {
      queues.set(name, { autoDelete, messages: [], hidden: hidden.get(name) ?? [] })
      continue
    }
    if (!isDamaged) {
      for (let at = 0; at <= count; at++) channel.execute(0, get)
      while (!drain.isEmpty && (await clock.step()));
    }
    // A message that cannot be read costs the channel that asked for it, and all answers that it still owes.
    while (!drain.isEmpty && failure === null) {
      if (drain.hasFailed) channel = session.openChannel(drain)
      const before = drain.answers
      channel.execute(0, get)
      while (drain.answers === before && (await clock.step()));
      if (drain.answers === before) break
    }
    queues.set(name, { autoDelete, messages: drain.takeMessages(), hidden: hidden.get(name) ?? [] })
  }
  life.kill()
  return { isClean: broker.report.clean, openLsn, exchanges, queues, bindings, damages, failure }
}

/**
 * Takes what is hidden out of the indexes, as a queue does when it is due. A clock that is set on until all is due would
 * not do: what appears then may expire, and what was ready has expired long ago.
 */
async function readHidden(
  clock: SimClock,
  store: LogStore,
  names: ReadonlyMap<number, string>,
): Promise<ReadonlyMap<string, readonly FoundHidden[]>> {
  const found = new Map<string, readonly FoundHidden[]>()
  for (const index of store.indexes) {
    const taken: Taken[] = []
    for (let atMs = index.nextDueMs; atMs < Number.POSITIVE_INFINITY; atMs = index.nextDueMs) {
      const before = taken.length
      const nextMs = (): number => index.nextDueMs
      index.takeDue(atMs, Number.MAX_SAFE_INTEGER, (entry) => taken.push(new Taken(entry, atMs)))
      // A page that cannot be read.
      if (taken.length === before && nextMs() === atMs) break
    }
    for (const one of taken) if (one.message === null) index.await(one.entry, one)
    while (taken.some(({ isWaiting }) => isWaiting) && (await clock.step()));
    const list = taken.flatMap(({ message, appearsMs }) => (message === null ? [] : [{ message, appearsMs }]))
    found.set(names.get(index.queueId) ?? '', list)
  }
  return found
}

/** An entry that was taken, and waits for its message. */
class Taken implements AwaitingMessage {
  next: AwaitingMessage | null = null
  isLost = false
  message: Message | null
  readonly entry: Entry
  readonly appearsMs: number

  constructor(entry: Entry, appearsMs: number) {
    this.entry = entry
    this.appearsMs = appearsMs
    this.message = entry.message
  }

  get isWaiting(): boolean {
    return this.message === null && !this.isLost
  }

  arrived(message: Message): void {
    this.message = message
  }

  lost(): void {
    this.isLost = true
  }
}

/** Opens the broker, as a recovery that is cut off right after it. */
export async function openOnly(clock: SimClock, disk: SimDisk, storage: LogStoreOptions): Promise<void> {
  const life = onlyProcess(clock, disk)
  await clock.run(openBroker(life, storage, Number.MAX_SAFE_INTEGER))
  life.kill()
}

interface ExchangeLooks {
  readonly kind: string
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly alternate: string | null
}

export function exchangeText({ kind, autoDelete, internal, alternate }: ExchangeLooks): string {
  const elsewhere = alternate === null ? '' : ` else to '${alternate}'`
  return `${kind}${autoDelete ? ' auto-delete' : ''}${internal ? ' internal' : ''}${elsewhere}`
}

export function onlyProcess(clock: SimClock, disk: SimDisk): SimProcess {
  const network = new SimNetwork(clock, new Prng(1))
  return new SimProcess(clock, disk, network, new SimMachine(), '127.0.0.1', 1)
}

function ignore(): void {}

export const silentSession: SessionEvents = {
  blocked: ignore,
  unblocked: ignore,
  throttled: ignore,
  resumed: ignore,
  closed: ignore,
}

export const silentChannel: ChannelEvents = {
  replied: ignore,
  delivered: ignore,
  confirmed: ignore,
  returned: ignore,
  cancelled: ignore,
  failed: ignore,
  flush: ignore,
}

/** Hears the answers to one leveret.queues and then to basic.get, up to the first that finds nothing. */
class Drain implements ChannelEvents {
  isEmpty = false
  isCounted = false
  hasFailed = false
  answers = 0
  private counts = new Map<string, number>()
  private messages: FoundMessage[] = []

  takeCounts(): ReadonlyMap<string, number> {
    return this.counts
  }

  takeMessages(): FoundMessage[] {
    const { messages } = this
    this.messages = []
    this.isEmpty = false
    return messages
  }

  replied(_id: number, reply: Reply): void {
    this.answers++
    this.hasFailed = false
    if (reply.type === 'leveret.queues-ok') {
      this.counts = new Map(reply.queues.map((queue) => [queue.name, queue.ready]))
      this.isCounted = true
    } else if (reply.type === 'basic.get-ok') this.note(reply)
    else if (reply.type === 'basic.get-empty') this.isEmpty = true
  }

  delivered(): void {}
  confirmed(): void {}
  returned(): void {}
  cancelled(): void {}

  failed(): void {
    this.hasFailed = true
    this.answers++
  }

  flush(): void {}

  private note({ message, redelivered }: BasicGetOk): void {
    this.messages.push({ fingerprint: fingerprint(message), redelivered, message })
  }
}
