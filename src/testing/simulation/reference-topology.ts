/**
 * What the reference knows of exchanges, queues and bindings: which there are, what may be declared and bound beside them, and
 * what goes with what. What changes something returns the frame that must be durable before that is said; 0: none must.
 */
import { assert } from '../../lib/assert.ts'
import type { BindCommand, ExchangeDeclare, QueueDeclare } from '../../model/command.ts'
import { emptyTable } from '../../model/field-table.ts'
import type { FactJournal } from './fact-journal.ts'
import { type BindingFacts, bindingKey, type DurableState, type ExchangeFacts } from './facts.ts'
import { rulesOf } from './feature-arguments.ts'
import { ModelQueue, type ModelSession } from './reference-channel.ts'
import { Refusal } from './refusal.ts'
import type { RoutingTables } from './routing.ts'

export class ReferenceTopology implements RoutingTables {
  readonly exchanges: Map<string, ExchangeFacts> = new Map()
  readonly queues: Map<string, ModelQueue> = new Map()
  readonly bindings: Map<string, BindingFacts> = new Map()
  private readonly journal: FactJournal
  /** When an exchange or binding became a fact, for answers that must wait for it. */
  private readonly bornLsns = new Map<string, number>()

  constructor(journal: FactJournal) {
    this.journal = journal
  }

  /** There is what `state` has, and what is always there. */
  restart(state: DurableState): void {
    this.exchanges.clear()
    this.queues.clear()
    this.bindings.clear()
    this.bornLsns.clear()
    for (const [name, kind] of predeclared) {
      this.exchanges.set(name, { name, kind, durable: true, autoDelete: false, internal: false, alternate: null })
    }
    for (const exchange of state.exchanges.values()) this.exchanges.set(exchange.name, exchange)
    for (const { facts, entries } of state.queues.values()) {
      const queue = new ModelQueue(facts, null)
      for (const entry of entries.values()) {
        queue.requeue(entry)
        queue.nextPosition = entry.position + 1
      }
      this.queues.set(facts.name, queue)
    }
    for (const [key, binding] of state.bindings) this.bindings.set(key, binding)
  }

  // ------------------------------------------------------------------------------------------------- exchanges

  findExchange(name: string): ExchangeFacts {
    const exchange = this.exchanges.get(name)
    if (exchange === undefined) throw new Refusal('NOT_FOUND')
    return exchange
  }

  declareExchange(command: ExchangeDeclare): number {
    const { exchange: name, kind, durable, autoDelete, internal } = command
    const alternate = (command.arguments.get('alternate-exchange')?.value ?? null) as string | null
    const existing = this.exchanges.get(name)
    if (command.passive) {
      this.findExchange(name)
      return 0
    }
    if (existing !== undefined) {
      const isSame = existing.kind === kind && existing.durable === durable && existing.autoDelete === autoDelete
      if (!isSame || existing.internal !== internal || existing.alternate !== alternate)
        throw new Refusal('PRECONDITION_FAILED')
      return this.bornLsns.get(`exchange ${name}`) ?? 0
    }
    const exchange = { name, kind, durable, autoDelete, internal, alternate }
    this.exchanges.set(name, exchange)
    if (!durable) return 0
    this.journal.record({ type: 'exchange-declared', exchange })
    return this.born(`exchange ${name}`)
  }

  deleteExchange(name: string, ifUnused: boolean): number {
    const exchange = this.exchanges.get(name)
    if (exchange === undefined) return 0
    if (ifUnused && this.bindingsFrom(name).length > 0) throw new Refusal('PRECONDITION_FAILED')
    this.removeExchange(exchange)
    return exchange.durable ? this.journal.lsn : 0
  }

  private removeExchange(exchange: ExchangeFacts): void {
    const { name } = exchange
    this.exchanges.delete(name)
    if (exchange.durable) this.journal.record({ type: 'exchange-deleted', name })
    for (const binding of this.bindingsFrom(name)) this.bindings.delete(binding.key)
    this.removeBindingsTo('exchange', name)
  }

  // ------------------------------------------------------------------------------------------------- queues

  findQueue(session: ModelSession, name: string): ModelQueue {
    const queue = this.queues.get(name)
    if (queue === undefined) throw new Refusal('NOT_FOUND')
    if (queue.owner !== null && queue.owner !== session) throw new Refusal('RESOURCE_LOCKED')
    return queue
  }

  /** The one that is there, or a new one. A queue without a name gets one from the broker, and can be found then. */
  declareQueue(session: ModelSession, command: QueueDeclare): ModelQueue {
    const existing = this.queues.get(command.queue)
    if (command.passive || existing !== undefined) {
      const queue = this.findQueue(session, command.queue)
      if (!command.passive) checkSameQueue(queue, command)
      return queue
    }
    const durable = command.durable && !command.exclusive
    const maxPriority = Number(command.arguments.get('x-max-priority')?.value ?? 0)
    const rules = rulesOf(command.arguments)
    const facts = { name: command.queue, durable, autoDelete: command.autoDelete, maxPriority, rules }
    const queue = new ModelQueue(facts, command.exclusive ? session : null)
    if (command.exclusive) session.exclusiveQueues.add(queue)
    if (durable) {
      this.journal.record({ type: 'queue-declared', queue: facts })
      queue.lsn = this.journal.lsn
    }
    if (command.queue !== '') this.queues.set(queue.name, queue)
    else {
      assert(
        !durable,
        'a name that the broker makes is not known until it is told, so the queue must not outlive a crash',
      )
    }
    return queue
  }

  /** The broker has told the name that it made. */
  nameQueue(queue: ModelQueue, name: string): void {
    queue.name = name
    if (!queue.isDeleted) this.queues.set(name, queue)
  }

  /** With its bindings; false if it has gone before. */
  removeQueue(queue: ModelQueue): boolean {
    if (queue.isDeleted) return false
    queue.isDeleted = true
    queue.ready.length = 0
    if (this.queues.get(queue.name) === queue) this.queues.delete(queue.name)
    queue.owner?.exclusiveQueues.delete(queue)
    if (queue.facts.durable) this.journal.record({ type: 'queue-deleted', name: queue.name })
    this.removeBindingsTo('queue', queue.name)
    return true
  }

  // ------------------------------------------------------------------------------------------------- bindings

  bind(session: ModelSession, command: BindCommand<'queue.bind' | 'exchange.bind'>): number {
    const source = this.findExchange(command.exchange)
    const toQueue = command.type === 'queue.bind'
    const destination = toQueue
      ? this.findQueue(session, command.destination).facts
      : this.findExchange(command.destination)
    const facts = bindingOf(command, toQueue)
    const key = bindingKey(facts)
    if (this.bindings.has(key)) return this.bornLsns.get(key) ?? 0
    const binding = { ...facts, key, durable: source.durable && destination.durable }
    this.bindings.set(key, binding)
    if (!binding.durable) return 0
    this.journal.record({ type: 'bound', binding })
    return this.born(key)
  }

  unbind(session: ModelSession, command: BindCommand<'queue.unbind' | 'exchange.unbind'>): number {
    const toQueue = command.type === 'queue.unbind'
    const key = bindingKey(bindingOf(command, toQueue))
    const binding = this.bindings.get(key)
    if (binding === undefined) return 0
    if (toQueue) this.findQueue(session, command.destination)
    this.bindings.delete(key)
    if (binding.durable) this.journal.record({ type: 'unbound', key })
    this.removeIfUnused(binding.source)
    return binding.durable ? this.journal.lsn : 0
  }

  private bindingsFrom(name: string): BindingFacts[] {
    return [...this.bindings.values()].filter((binding) => binding.source === name)
  }

  private removeBindingsTo(kind: 'queue' | 'exchange', name: string): void {
    const gone = [...this.bindings.values()].filter((one) => one.destinationKind === kind && one.destination === name)
    for (const binding of gone) this.bindings.delete(binding.key)
    for (const source of new Set(gone.map((binding) => binding.source))) this.removeIfUnused(source)
  }

  /** An auto-delete exchange goes with the last binding it is the source of. */
  private removeIfUnused(name: string): void {
    const exchange = this.exchanges.get(name)
    if (exchange?.autoDelete === true && this.bindingsFrom(name).length === 0) this.removeExchange(exchange)
  }

  private born(key: string): number {
    this.bornLsns.set(key, this.journal.lsn)
    return this.journal.lsn
  }
}

const predeclared: readonly (readonly [string, string])[] = [
  ['', 'direct'],
  ['amq.direct', 'direct'],
  ['amq.fanout', 'fanout'],
  ['amq.topic', 'topic'],
  ['amq.headers', 'headers'],
  ['amq.match', 'headers'],
]

function checkSameQueue(queue: ModelQueue, command: QueueDeclare): void {
  if (command.exclusive && queue.owner === null) throw new Refusal('RESOURCE_LOCKED')
  if (queue.owner === null && command.durable !== queue.facts.durable) throw new Refusal('PRECONDITION_FAILED')
  if (command.autoDelete !== queue.facts.autoDelete) throw new Refusal('PRECONDITION_FAILED')
}

function bindingOf(command: BindCommand<string>, toQueue: boolean): Omit<BindingFacts, 'key' | 'durable'> {
  return {
    source: command.exchange,
    destination: command.destination,
    destinationKind: toQueue ? 'queue' : 'exchange',
    routingKey: command.routingKey,
    arguments: command.arguments.size === 0 ? emptyTable : command.arguments,
  }
}
