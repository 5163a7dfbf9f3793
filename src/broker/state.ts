/**
 * What the broker is, as the sum of the facts in the log: `apply` is the only place where exchanges, queues, bindings and
 * all that administrators make come and go, live and in recovery alike. It decides nothing; whoever appends a record has decided.
 */
import { assert } from '../lib/assert.ts'
import type { DeliverAfter } from '../model/durability.ts'
import { emptyTable, type FieldTable } from '../model/field-table.ts'
import type { Clock } from '../platform/clock.ts'
import type { TopologyRecord } from '../store/record.ts'
import { isAccessRecord } from '../store/record-access.ts'
import type { Store } from '../store/store.ts'
import { Access } from './access.ts'
import { bindingIdentity, makeBinding } from './binding.ts'
import { DeliveryCounts } from './delivery-counts.ts'
import { type Binding, Exchange, type ExchangeKind } from './exchange.ts'
import type { Expiry } from './expiry.ts'
import { Parameters } from './parameters.ts'
import { Pauses } from './pauses.ts'
import type { Publisher } from './publisher.ts'
import { Queue, type QueueParts } from './queue.ts'
import { MeteredQueues } from './queue-meter.ts'
import { applyAccess, forEachAccess } from './state-access.ts'
import type { Tick } from './tick.ts'
import { VirtualHost } from './virtual-host.ts'

/** What the state is made of and with. */
export interface StateParts {
  readonly store: Store
  readonly clock: Clock
  readonly tick: Tick
  readonly expiry: Expiry
  /** Runs on the monotonic clock. */
  readonly leases: Expiry
  readonly publisher: Publisher
  readonly deliverAfter: DeliverAfter
  /** Removes a queue that nobody uses. */
  readonly deleteQueue: (host: VirtualHost, queue: Queue) => void
}

/** Hears of what was declared, when all that was remembered is there. */
export interface DeclarationEvents {
  queueDeclared(host: VirtualHost, queue: Queue): void
  exchangeDeclared(host: VirtualHost, exchange: Exchange): void
}

export class State {
  readonly virtualHosts: Map<string, VirtualHost> = new Map([['/', new VirtualHost('/')]])
  readonly access: Access = new Access()
  readonly parameters: Parameters = new Parameters()
  readonly queuesById: Map<number, Queue> = new Map()
  nextQueueId = 1
  declarations: DeclarationEvents | null = null
  private readonly parts: StateParts
  private readonly queueParts = new WeakMap<VirtualHost, QueueParts>()
  private readonly deliveryCounts: DeliveryCounts
  private readonly pauses: Pauses
  private readonly metered = new MeteredQueues()

  constructor(parts: StateParts) {
    this.parts = parts
    this.deliveryCounts = new DeliveryCounts(parts.store.notes)
    this.pauses = new Pauses(parts.store.notes)
  }

  apply(record: TopologyRecord): void {
    if (isAccessRecord(record)) return applyAccess(this, record)
    const host = this.virtualHosts.get(record.virtualHost)
    assert(host !== undefined, `the virtual host '${record.virtualHost}' of a record exists`)
    host.topologyVersion++
    switch (record.type) {
      case 'exchange-declared': {
        const { name, kind, durable, autoDelete, internal } = record
        const exchange = new Exchange(name, kind as ExchangeKind, durable, autoDelete, internal, record.arguments)
        host.exchanges.set(name, exchange)
        this.declarations?.exchangeDeclared(host, exchange)
        return
      }
      case 'exchange-deleted':
        return this.removeExchange(host, record.name)
      case 'queue-declared': {
        const { name, queueId, durable, autoDelete } = record
        const index = this.parts.store.queueIndex(queueId, durable)
        const queue = new Queue(this.partsOf(host), queueId, name, durable, autoDelete, record.arguments, index)
        host.queues.set(name, queue)
        if (queue.delaysFor !== null) {
          const exchange = host.exchanges.get(queue.delaysFor)
          assert(exchange !== undefined, 'an exchange exists before the queue that keeps what it delays')
          exchange.delayQueue = queue
        }
        if (queue.mayRefuse) host.refusingQueues++
        this.queuesById.set(queueId, queue)
        if (queueId >= this.nextQueueId) this.nextQueueId = queueId + 1
        this.declarations?.queueDeclared(host, queue)
        return
      }
      case 'queue-deleted':
        return this.removeQueue(host, record.name)
      case 'bound': {
        const source = host.exchanges.get(record.source)
        const toQueue = record.destinationKind === 'queue'
        const destination = toQueue ? host.queues.get(record.destination) : host.exchanges.get(record.destination)
        assert(source !== undefined && destination !== undefined, 'both ends of a binding exist')
        const binding = makeBinding(source, destination, record.routingKey, record.arguments)
        if (source.bindings.has(binding.identity)) return
        source.bind(binding)
        const bindings = host.bindingsTo.get(destination)
        if (bindings === undefined) host.bindingsTo.set(destination, new Set([binding]))
        else bindings.add(binding)
        return
      }
      case 'unbound': {
        const source = host.exchanges.get(record.source)
        assert(source !== undefined, 'the source of a binding exists')
        const { destinationKind, destination, routingKey } = record
        const binding = source.unbind(bindingIdentity(destinationKind, destination, routingKey, record.arguments))
        if (binding !== undefined) forgetDestination(host, binding)
      }
    }
  }

  /** Every durable thing as the record that makes it; bindings after what they bind. */
  forEachDurable(visit: (record: TopologyRecord) => void): void {
    forEachAccess(this, visit)
    for (const host of this.virtualHosts.values()) {
      const virtualHost = host.name
      for (const exchange of host.exchanges.values()) {
        if (!exchange.durable || exchange === host.control) continue
        if (exchange.name === '' || exchange.name.startsWith('amq.')) continue
        const { name, kind, durable, autoDelete, internal } = exchange
        const table = exchange.arguments
        visit({ type: 'exchange-declared', virtualHost, name, kind, durable, autoDelete, internal, arguments: table })
      }
      for (const queue of host.queues.values()) {
        if (!queue.durable) continue
        const { name, id, durable, autoDelete } = queue
        const table = queue.arguments
        visit({ type: 'queue-declared', virtualHost, name, queueId: id, durable, autoDelete, arguments: table })
      }
      for (const exchange of host.exchanges.values()) {
        for (const binding of exchange.bindings.values()) {
          if (binding.durable) visit(boundRecord(virtualHost, binding))
        }
      }
    }
  }

  private removeExchange(host: VirtualHost, name: string): void {
    const exchange = host.exchanges.get(name)
    assert(exchange !== undefined, 'an exchange that is deleted exists')
    for (const binding of exchange.bindings.values()) forgetDestination(host, binding)
    unbindAllTo(host, exchange)
    host.exchanges.delete(name)
  }

  private removeQueue(host: VirtualHost, name: string): void {
    const queue = host.queues.get(name)
    assert(queue !== undefined, 'a queue that is deleted exists')
    unbindAllTo(host, queue)
    host.queues.delete(name)
    if (queue.mayRefuse) host.refusingQueues--
    this.queuesById.delete(queue.id)
    this.dropQueue(queue)
  }

  applyQueuePolicy(host: VirtualHost, queue: Queue, policy: FieldTable | null): void {
    if (queue.mayRefuse) host.refusingQueues--
    queue.applyPolicy(policy)
    if (queue.mayRefuse) host.refusingQueues++
    // Routes that are remembered know whether a queue may refuse.
    host.topologyVersion++
  }

  applyExchangePolicy(host: VirtualHost, exchange: Exchange, policy: FieldTable | null): void {
    exchange.applyPolicy(policy)
    host.topologyVersion++
  }

  /** A queue for one consumer that is answered directly: under a name that only the default exchange knows. */
  addReplyQueue(host: VirtualHost, name: string): Queue {
    const id = this.nextQueueId++
    const index = this.parts.store.queueIndex(id, false)
    const queue = new Queue(this.partsOf(host), id, name, false, false, emptyTable, index)
    host.replyQueues.set(name, queue)
    host.topologyVersion++
    return queue
  }

  removeReplyQueue(host: VirtualHost, queue: Queue): void {
    host.replyQueues.delete(queue.name)
    host.topologyVersion++
    this.dropQueue(queue)
  }

  private dropQueue(queue: Queue): void {
    queue.ended()
    queue.index.drop()
    this.parts.store.dropIndex(queue.id)
  }

  private partsOf(host: VirtualHost): QueueParts {
    const known = this.queueParts.get(host)
    if (known !== undefined) return known
    const { store, clock, tick, expiry, leases, publisher, deliverAfter, deleteQueue } = this.parts
    const { receipts } = publisher
    const parts: QueueParts = {
      tick,
      expiry,
      leases,
      clock,
      durability: store.durability,
      deliverAfter: store.persists ? deliverAfter : 'accept',
      bodies: store.bodies,
      deliveryCounts: this.deliveryCounts,
      receipts: {
        wereAsked: (queue) => receipts.wereAsked(queue.id, tick.nowMs),
        areAsked: (queue) => receipts.areAsked(queue, tick.nowMs),
        delivered: (queue, message) => receipts.delivered(host, queue.name, message),
        departed: (queue, message, reason, isKept) => receipts.departed(host, queue, message, reason, isKept),
      },
      pauses: this.pauses,
      metered: this.metered,
      notes: store.notes,
      publishDead: (death) => publisher.publishDead(host, death),
      publishDue: (queue, entry) => publisher.appear(host, queue, entry),
      gatherings: {
        isThere: (name) => host.queues.has(name),
        release: (queue, parent, to) => publisher.gathered(host, parent, queue.name, to),
      },
      deleteQueue: (queue) => deleteQueue(host, queue),
    }
    this.queueParts.set(host, parts)
    return parts
  }
}

export function boundRecord(virtualHost: string, binding: Binding): TopologyRecord {
  return {
    type: 'bound',
    virtualHost,
    source: binding.source.name,
    destination: binding.queue !== null ? binding.queue.name : (binding.exchange?.name ?? ''),
    destinationKind: binding.queue !== null ? 'queue' : 'exchange',
    routingKey: binding.routingKey,
    arguments: binding.arguments,
  }
}

function forgetDestination(host: VirtualHost, binding: Binding): void {
  const destination = binding.queue ?? binding.exchange
  assert(destination !== null, 'a binding has a destination')
  const bindings = host.bindingsTo.get(destination)
  bindings?.delete(binding)
  if (bindings?.size === 0) host.bindingsTo.delete(destination)
}

function unbindAllTo(host: VirtualHost, destination: Queue | Exchange): void {
  for (const binding of host.bindingsTo.get(destination) ?? []) binding.source.unbind(binding.identity)
  host.bindingsTo.delete(destination)
}
