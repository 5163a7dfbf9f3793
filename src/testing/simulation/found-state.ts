/**
 * What a broker finds on a disk: opened on a copy of it, on a clock of its own, every queue drained. Whoever looks must not
 * change what is looked at.
 */
import { Broker } from '../../broker/broker.ts'
import { Prng } from '../../lib/prng.ts'
import type { ChannelEvents, SessionEvents } from '../../model/channel.ts'
import type { BasicGetOk, Command, Reply } from '../../model/command.ts'
import { emptyTable } from '../../model/field-table.ts'
import { LogStore } from '../../store/log-store.ts'
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
}

export interface FoundQueue {
  readonly autoDelete: boolean
  readonly messages: readonly FoundMessage[]
}

export interface FoundState {
  readonly isClean: boolean
  readonly openLsn: number
  readonly exchanges: ReadonlyMap<string, string>
  readonly queues: ReadonlyMap<string, FoundQueue>
  readonly bindings: ReadonlySet<string>
}

export interface OpenedBroker {
  readonly broker: Broker
  readonly store: LogStore
}

export async function openBroker(
  process: SimProcess,
  segmentBytesMax: number,
  memoryBytesMax: number,
): Promise<OpenedBroker> {
  const store = new LogStore(process, dataDirectory, { segmentBytesMax, salvage: false })
  const broker = await Broker.open(process, store, { memoryBytesMax })
  return { broker, store }
}

/** Opens the broker on the disk and takes everything out. The disk is of no use afterwards. */
export async function readState(clock: SimClock, disk: SimDisk, segmentBytesMax: number): Promise<FoundState> {
  const life = onlyProcess(clock, disk)
  const { broker, store } = await clock.run(openBroker(life, segmentBytesMax, Number.MAX_SAFE_INTEGER))
  const { openLsn } = store
  const exchanges = new Map<string, string>()
  const bindings = new Set<string>()
  const names = new Map<string, boolean>()
  broker.durableTopology((record) => {
    if (record.type === 'exchange-declared') exchanges.set(record.name, exchangeText(record))
    else if (record.type === 'queue-declared') names.set(record.name, record.autoDelete)
    else if (record.type === 'bound') bindings.add(bindingKey(record))
  })
  const queues = new Map<string, FoundQueue>()
  const drain = new Drain()
  const login = { credentials: null, virtualHost: '/', remoteAddress: '', clientProperties: emptyTable }
  const session = await clock.run(broker.openSession(login, silentSession))
  const channel = session.openChannel(drain)
  channel.execute(0, { type: 'leveret.queues' })
  await clock.step()
  const counts = drain.takeCounts()
  for (const [name, autoDelete] of names) {
    const count = counts.get(name) ?? 0
    const get: Command = { type: 'basic.get', queue: name, noAck: true }
    for (let at = 0; at <= count; at++) channel.execute(0, get)
    while (!drain.isEmpty && (await clock.step()));
    queues.set(name, { autoDelete, messages: drain.takeMessages() })
  }
  life.kill()
  return { isClean: broker.report.clean, openLsn, exchanges, queues, bindings }
}

/** Opens the broker, as a recovery that is cut off right after it. */
export async function openOnly(clock: SimClock, disk: SimDisk, segmentBytesMax: number): Promise<void> {
  const life = onlyProcess(clock, disk)
  await clock.run(openBroker(life, segmentBytesMax, Number.MAX_SAFE_INTEGER))
  life.kill()
}

export function exchangeText(exchange: { kind: string; autoDelete: boolean; internal: boolean }): string {
  return `${exchange.kind}${exchange.autoDelete ? ' auto-delete' : ''}${exchange.internal ? ' internal' : ''}`
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
    if (reply.type === 'leveret.queues-ok')
      this.counts = new Map(reply.queues.map((queue) => [queue.name, queue.ready]))
    else if (reply.type === 'basic.get-ok') this.note(reply)
    else if (reply.type === 'basic.get-empty') this.isEmpty = true
  }

  delivered(): void {}
  confirmed(): void {}
  returned(): void {}
  cancelled(): void {}

  failed(_id: number, error: Error): void {
    throw error
  }

  flush(): void {}

  private note({ message, redelivered }: BasicGetOk): void {
    this.messages.push({ fingerprint: fingerprint(message), redelivered })
  }
}
