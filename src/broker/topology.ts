/**
 * Declaring, binding and deleting: the rules. Each checks a command against the state, makes a record of what is now a
 * fact, appends it if it must survive, and applies it. Texts are RabbitMQ's, because clients match on them.
 *
 * What is not durable is only applied. Each answers whether the reply must wait for the disk: if anything was appended, or
 * if all is already as it was asked for, because whoever did that may still be waiting.
 */

import type { BindCommand, ExchangeDeclare, QueueDeclare } from '../model/command.ts'
import { controlExchange, controlPrefix } from '../model/control-exchange.ts'
import { delayQueuePrefix, delaysForArgument } from '../model/delay-queues.ts'
import { BrokerError } from '../model/errors.ts'
import type { Field } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import { directReplyTo } from '../model/properties.ts'
import type { Random } from '../platform/random.ts'
import type { TopologyRecord } from '../store/record.ts'
import type { Store } from '../store/store.ts'
import { checkQueueArguments, checkSame, checkSameArgument, checkSameArguments, isQuorum } from './arguments.ts'
import { bindingIdentity } from './binding.ts'
import { checkWeight } from './consistent-hash.ts'
import { delayedKind, type Exchange, isExchangeKind } from './exchange.ts'
import { checkExchangeArguments } from './exchange-arguments.ts'
import { checkHeaderCriteria } from './header-match.ts'
import type { Queue, QueueOwner } from './queue.ts'
import type { State } from './state.ts'
import type { VirtualHost } from './virtual-host.ts'

export class Topology {
  private readonly random: Random
  private readonly store: Store
  private readonly state: State
  private changed = false

  constructor(random: Random, store: Store, state: State) {
    this.random = random
    this.store = store
    this.state = state
  }

  declareExchange(host: VirtualHost, command: ExchangeDeclare): boolean {
    this.changed = false
    const { exchange: name, kind } = command
    const where = `exchange '${name}' in vhost '${host.name}'`
    if (!command.passive && !isExchangeKind(kind)) {
      throw new BrokerError('PRECONDITION_FAILED', `unknown exchange type '${kind}'`)
    }
    if (name === '') throw onDefaultExchange()
    const existing = host.exchanges.get(name)
    if (command.passive) {
      if (existing === undefined) throw noExchange(host, name)
      return false
    }
    if (existing !== undefined) {
      checkSame(where, 'type', kind, existing.kind)
      checkSame(where, 'durable', command.durable, existing.durable)
      checkSame(where, 'auto_delete', command.autoDelete, existing.autoDelete)
      checkSame(where, 'internal', command.internal, existing.internal)
      for (const argument of ['alternate-exchange', 'x-delayed-type']) {
        checkSameArgument(where, argument, command.arguments, existing.arguments)
      }
      return existing.durable
    }
    checkName('exchange name', name)
    const reserved = ['amq.', controlPrefix].find((prefix) => name.startsWith(prefix))
    if (reserved !== undefined) {
      throw new BrokerError('ACCESS_REFUSED', `exchange name '${name}' contains reserved prefix '${reserved}*'`)
    }
    checkExchangeArguments(name, host.name, kind, command.arguments)
    if (kind === delayedKind) checkDelayQueue(host, name)
    const { durable, autoDelete, internal } = command
    this.record(
      {
        type: 'exchange-declared',
        virtualHost: host.name,
        name,
        kind,
        durable,
        autoDelete,
        internal,
        arguments: command.arguments,
      },
      durable,
    )
    if (kind === delayedKind) this.makeDelayQueue(host, name, durable)
    return this.changed
  }

  /** What the exchange delays waits in a queue of its own, which goes with it. */
  private makeDelayQueue(host: VirtualHost, exchange: string, durable: boolean): void {
    const table = new Map<string, Field>([[delaysForArgument, { tag: 'S', value: exchange }]])
    const queueId = this.state.nextQueueId++
    const name = `${delayQueuePrefix}${exchange}`
    const virtualHost = host.name
    const record = { type: 'queue-declared', virtualHost, name, queueId, durable, autoDelete: false } as const
    this.record({ ...record, arguments: table }, durable)
  }

  deleteExchange(host: VirtualHost, name: string, ifUnused: boolean): boolean {
    this.changed = false
    if (name === '') throw onDefaultExchange()
    if (name.startsWith('amq.') || name === controlExchange) {
      throw new BrokerError(
        'ACCESS_REFUSED',
        `deletion of system exchange '${name}' in vhost '${host.name}' not allowed`,
      )
    }
    const exchange = host.exchanges.get(name)
    if (exchange === undefined) return true
    if (ifUnused && exchange.bindings.size > 0) {
      throw new BrokerError('PRECONDITION_FAILED', `exchange '${name}' in vhost '${host.name}' in use`)
    }
    this.removeExchange(host, exchange)
    return this.changed
  }

  /** `serverName` is the queue's name if the command has none. */
  declareQueue(host: VirtualHost, session: QueueOwner, command: QueueDeclare, serverName: string): Queue {
    this.changed = false
    const existing = command.queue === '' ? undefined : host.queues.get(command.queue)
    if (command.passive) {
      if (existing === undefined) throw noQueue(host, command.queue)
      checkOwner(host, existing, session)
      existing.used()
      return existing
    }
    if (command.queue.startsWith('amq.')) {
      throw new BrokerError('ACCESS_REFUSED', `queue name '${command.queue}' contains reserved prefix 'amq.*'`)
    }
    if (existing !== undefined) {
      this.checkSameQueue(host, existing, session, command)
      existing.used()
      return existing
    }
    const name = command.queue === '' ? serverName : command.queue
    checkName('queue name', name)
    checkQueueArguments(name, host.name, command.arguments)
    if (isQuorum(command.arguments)) checkQuorum(host, name, command)
    if (this.state.queuesById.size >= limits.queuesMax) {
      throw new BrokerError(
        'PRECONDITION_FAILED',
        `cannot declare queue '${name}': queue limit in vhost '${host.name}' (${limits.queuesMax}) is reached`,
      )
    }
    const queuesMax = this.state.parameters.limitOf(host.name, 'max-queues')
    if (host.queues.size >= queuesMax) {
      throw new BrokerError(
        'PRECONDITION_FAILED',
        `cannot declare queue '${name}': queue limit in vhost '${host.name}' (${queuesMax}) is reached`,
      )
    }
    // An exclusive queue ends with its connection, so it cannot outlive the process: RabbitMQ stores it as not durable.
    const durable = command.durable && !command.exclusive
    const queueId = this.state.nextQueueId++
    this.record(
      {
        type: 'queue-declared',
        virtualHost: host.name,
        name,
        queueId,
        durable,
        autoDelete: command.autoDelete,
        arguments: command.arguments,
      },
      durable,
    )
    const queue = host.queues.get(name) as Queue
    if (command.exclusive) {
      queue.owner = session
      session.exclusiveQueues.add(queue)
    }
    return queue
  }

  /** Removes a queue and what goes with it; returns how many messages were ready. */
  removeQueue(host: VirtualHost, queue: Queue): number {
    this.changed = false
    const count = queue.readyCount
    const sources = sourcesOf(host, queue)
    queue.owner?.exclusiveQueues.delete(queue)
    this.record({ type: 'queue-deleted', virtualHost: host.name, name: queue.name, queueId: queue.id }, queue.durable)
    for (const source of sources) this.removeIfUnused(host, source)
    return count
  }

  bind(host: VirtualHost, session: QueueOwner, command: BindCommand<'queue.bind' | 'exchange.bind'>): boolean {
    this.changed = false
    const source = findExchange(host, command.exchange)
    const destination =
      command.type === 'queue.bind'
        ? findQueue(host, session, command.destination)
        : findExchange(host, command.destination)
    if (source.name === '' || destination.name === '') throw onDefaultExchange()
    if (source === host.control || destination === host.control) throw onControlExchange()
    if (source.routerKind === 'headers') checkHeaderCriteria(command.arguments)
    if (source.routerKind === 'x-consistent-hash') checkWeight(command.routingKey)
    const kind = destination.kindOfThing
    const durable = source.durable && destination.durable
    const identity = bindingIdentity(kind, destination.name, command.routingKey, command.arguments)
    if (!source.bindings.has(identity)) this.record(bindingRecord(host, 'bound', kind, command), durable)
    return durable
  }

  unbind(host: VirtualHost, session: QueueOwner, command: BindCommand<'queue.unbind' | 'exchange.unbind'>): boolean {
    this.changed = false
    if (command.exchange === '' || (command.type === 'exchange.unbind' && command.destination === '')) {
      throw onDefaultExchange()
    }
    const source = host.exchanges.get(command.exchange)
    if (source === host.control || (command.type === 'exchange.unbind' && command.destination === controlExchange)) {
      throw onControlExchange()
    }
    const kind = command.type === 'queue.unbind' ? 'queue' : 'exchange'
    const identity = bindingIdentity(kind, command.destination, command.routingKey, command.arguments)
    const binding = source?.bindings.get(identity)
    if (source === undefined || binding === undefined) return true
    if (binding.queue !== null) checkOwner(host, binding.queue, session)
    this.record(bindingRecord(host, 'unbound', kind, command), binding.durable)
    this.removeIfUnused(host, source)
    return this.changed
  }

  /** A queue for whoever wants to be answered directly, on one channel. */
  makeReplyQueue(host: VirtualHost): Queue {
    return this.state.addReplyQueue(host, `${directReplyTo}.${this.randomName()}`)
  }

  removeReplyQueue(host: VirtualHost, queue: Queue): void {
    this.state.removeReplyQueue(host, queue)
  }

  /** Removes a binding as if it had never been made. */
  takeBack(host: VirtualHost, command: BindCommand<'queue.unbind' | 'exchange.unbind'>): void {
    const kind = command.type === 'queue.unbind' ? 'queue' : 'exchange'
    const identity = bindingIdentity(kind, command.destination, command.routingKey, command.arguments)
    const binding = host.exchanges.get(command.exchange)?.bindings.get(identity)
    if (binding !== undefined) this.record(bindingRecord(host, 'unbound', kind, command), binding.durable)
  }

  /** A name for a queue that its owner has given none. */
  serverName(): string {
    return `amq.gen-${this.randomName()}`
  }

  /** 22 characters of 128 random bits, fit for a name. */
  randomName(): string {
    const bytes = Buffer.alloc(16)
    this.random.fill(bytes)
    return bytes.toString('base64url')
  }

  private checkSameQueue(host: VirtualHost, queue: Queue, session: QueueOwner, command: QueueDeclare): void {
    checkOwner(host, queue, session)
    if (command.exclusive !== (queue.owner !== null)) throw locked(host, queue.name)
    const where = `queue '${queue.name}' in vhost '${host.name}'`
    if (queue.owner === null) checkSame(where, 'durable', command.durable, queue.durable)
    checkSame(where, 'auto_delete', command.autoDelete, queue.autoDelete)
    checkSameArguments(where, command.arguments, queue.arguments)
  }

  /** An auto-delete exchange goes when the last binding it is the source of goes, and may take others with it. */
  private removeIfUnused(host: VirtualHost, exchange: Exchange): void {
    if (!exchange.autoDelete || exchange.bindings.size > 0 || host.exchanges.get(exchange.name) !== exchange) return
    this.removeExchange(host, exchange)
  }

  /** With all that go because this one goes, one after the other: a row of thousands would end the stack. */
  private removeExchange(host: VirtualHost, first: Exchange): void {
    const gone = [first]
    for (const exchange of gone) {
      if (host.exchanges.get(exchange.name) !== exchange) continue
      const sources = sourcesOf(host, exchange)
      if (exchange.delayQueue !== null) {
        const { name, id, durable } = exchange.delayQueue
        this.record({ type: 'queue-deleted', virtualHost: host.name, name, queueId: id }, durable)
      }
      this.record({ type: 'exchange-deleted', virtualHost: host.name, name: exchange.name }, exchange.durable)
      for (const source of sources) if (source.autoDelete && source.bindings.size === 0) gone.push(source)
    }
  }

  private record(record: TopologyRecord, durable: boolean): void {
    if (durable && this.store.persists) {
      this.store.appendTopology(record)
      this.changed = true
    }
    this.state.apply(record)
  }
}

export function findExchange(host: VirtualHost, name: string): Exchange {
  const exchange = host.exchanges.get(name)
  if (exchange === undefined) throw noExchange(host, name)
  return exchange
}

/** The queue, if it is there and not another connection's. */
export function findQueue(host: VirtualHost, session: QueueOwner, name: string): Queue {
  const queue = host.queues.get(name)
  if (queue === undefined) throw noQueue(host, name)
  if (queue.delaysFor !== null) {
    throw new BrokerError('ACCESS_REFUSED', `the queue '${name}' in vhost '${host.name}' belongs to an exchange`)
  }
  checkOwner(host, queue, session)
  return queue
}

function sourcesOf(host: VirtualHost, destination: Queue | Exchange): Set<Exchange> {
  return new Set([...(host.bindingsTo.get(destination) ?? [])].map((binding) => binding.source))
}

function checkOwner(host: VirtualHost, queue: Queue, session: QueueOwner): void {
  if (queue.owner !== null && queue.owner !== session) throw locked(host, queue.name)
}

/** What is replicated elsewhere is durable here, and nobody's own. */
function checkQuorum(host: VirtualHost, name: string, command: QueueDeclare): void {
  if (command.queue === '') {
    throw new BrokerError('PRECONDITION_FAILED', 'Cannot declare a server-named queue for type quorum')
  }
  const { durable, exclusive, autoDelete } = command
  const property = durable ? (exclusive ? 'exclusive-owner' : autoDelete ? 'auto-delete' : null) : 'non-durable'
  if (property === null) return
  throw new BrokerError(
    'PRECONDITION_FAILED',
    `invalid property '${property}' for queue '${name}' in vhost '${host.name}'`,
  )
}

/** Where a folder was salvaged that had lost the exchange, what it kept is in a queue of that name, which anybody may empty. */
function checkDelayQueue(host: VirtualHost, exchange: string): void {
  const name = `${delayQueuePrefix}${exchange}`
  if (!host.queues.has(name)) return
  const text = `the queue '${name}' in vhost '${host.name}' is in the way of what exchange '${exchange}' delays: delete it`
  throw new BrokerError('PRECONDITION_FAILED', text)
}

function checkName(what: string, name: string): void {
  const size = Buffer.byteLength(name)
  if (size <= limits.nameBytesMax) return
  throw new BrokerError('PRECONDITION_FAILED', `the ${what} has ${size} bytes, at most ${limits.nameBytesMax} fit`)
}

function bindingRecord(
  host: VirtualHost,
  type: 'bound' | 'unbound',
  destinationKind: 'queue' | 'exchange',
  command: BindCommand<string>,
): TopologyRecord {
  return {
    type,
    virtualHost: host.name,
    source: command.exchange,
    destination: command.destination,
    destinationKind,
    routingKey: command.routingKey,
    arguments: command.arguments,
  }
}

function locked(host: VirtualHost, name: string): BrokerError {
  return new BrokerError(
    'RESOURCE_LOCKED',
    `cannot obtain exclusive access to locked queue '${name}' in vhost '${host.name}'. It could be originally declared on ` +
      `another connection or the exclusive property value does not match that of the original declaration.`,
  )
}

export function noQueue(host: VirtualHost, name: string): BrokerError {
  return new BrokerError('NOT_FOUND', `no queue '${name}' in vhost '${host.name}'`)
}

function noExchange(host: VirtualHost, name: string): BrokerError {
  return new BrokerError('NOT_FOUND', `no exchange '${name}' in vhost '${host.name}'`)
}

function onDefaultExchange(): BrokerError {
  return new BrokerError('ACCESS_REFUSED', 'operation not permitted on the default exchange')
}

function onControlExchange(): BrokerError {
  return new BrokerError('ACCESS_REFUSED', `operation not permitted on the exchange '${controlExchange}'`)
}
