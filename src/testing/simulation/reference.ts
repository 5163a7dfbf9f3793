/**
 * The reference broker: what the port must do, in lock step with the real one and without any of its code. It is told of
 * every call just before the broker is, predicts what will be said, and writes down each fact that must survive together
 * with the number of the frame it is in.
 */

import { assert, unreachable } from '../../lib/assert.ts'
import { failedOn } from '../../model/channel.ts'
import type { BasicConsume, BindCommand, Command, ExchangeDeclare, QueueDeclare } from '../../model/command.ts'
import type { ReplyCode } from '../../model/errors.ts'
import { emptyTable } from '../../model/field-table.ts'
import {
  type BindingFacts,
  bindingKey,
  DurableState,
  type ExchangeFacts,
  type Fact,
  type ModelEntry,
  type Publication,
} from './facts.ts'
import { isLimited, rulesOf } from './feature-arguments.ts'
import {
  type Held,
  ModelChannel,
  type ModelConsumer,
  ModelQueue,
  ModelSession,
  type ModelTransaction,
} from './reference-channel.ts'
import { route } from './routing.ts'

class Refusal extends Error {
  readonly code: ReplyCode

  constructor(code: ReplyCode) {
    super(code)
    this.code = code
  }
}

interface DatedFact {
  readonly lsn: number
  readonly fact: Fact
}

/** What the disk may hold after a crash: everything up to frame `lsn`. */
export interface Candidate {
  readonly lsn: number
  readonly state: DurableState
}

export class Reference {
  readonly exchanges: Map<string, ExchangeFacts> = new Map()
  readonly queues: Map<string, ModelQueue> = new Map()
  readonly bindings: Map<string, BindingFacts> = new Map()
  readonly sessions: Set<ModelSession> = new Set()
  /** The frame that is being filled: where facts go that become true now. */
  lsn = 0
  private base = new DurableState()
  private journal: DatedFact[] = []
  /** When an exchange or binding became a fact, for answers that must wait for it. */
  private readonly bornLsns = new Map<string, number>()
  /** The channel whose command is being run: its answer goes before what is said of consumers that the command ended. */
  private executing: ModelChannel | null = null
  private readonly endedMeanwhile: string[] = []

  constructor() {
    this.restart(this.base)
  }

  // ------------------------------------------------------------------------------------------------- what survives

  /** The states that recovery may find, the one with the least first. */
  candidates(durableLsn: number, openLsn: number): Candidate[] {
    this.fold(durableLsn)
    const found: Candidate[] = [{ lsn: durableLsn, state: this.base }]
    let state = this.base
    for (let at = 0; at < this.journal.length; ) {
      const { lsn } = this.journal[at] as DatedFact
      if (lsn >= openLsn) break
      state = state.copy()
      for (; at < this.journal.length && this.journal[at]?.lsn === lsn; at++)
        state.apply((this.journal[at] as DatedFact).fact)
      found.push({ lsn, state })
    }
    return found
  }

  hasFactsAfter(lsn: number): boolean {
    return (this.journal.at(-1)?.lsn ?? 0) > lsn
  }

  /** Everything in memory is gone; `state` is what the broker begins with. From now on only a new close is a clean one. */
  restart(state: DurableState): void {
    this.base = state.copy()
    this.base.isClean = false
    this.journal = []
    this.sessions.clear()
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

  noteClean(): void {
    this.record({ type: 'clean' })
  }

  /** Messages in queues, ready or held by somebody. */
  get messageCount(): number {
    let count = 0
    for (const queue of this.queues.values()) count += queue.ready.length
    for (const session of this.sessions) for (const channel of session.channels) count += channel.unacked.size
    return count
  }

  /** Who waits for an answer or a confirm; null if nobody does. */
  describeWaiting(): string | null {
    for (const session of this.sessions) {
      for (const { name, expected, openPublishes, isFailed, isPaused } of session.channels) {
        const [next] = expected
        // A message for basic.get waits until its receiver takes messages again, and all else behind it.
        if (isPaused && next?.type === 'replied' && next.entry !== null) continue
        if (next !== undefined) return `channel ${name} waits for '${next.type}'`
        const [open] = openPublishes
        if (open !== undefined && !isFailed) return `channel ${name} waits for the confirm ${open.sequence}`
      }
    }
    return null
  }

  /** Whether some queue refuses what is too much. */
  get hasLimits(): boolean {
    return [...this.queues.values()].some(({ facts }) => isLimited(facts.rules))
  }

  // ------------------------------------------------------------------------------------------------- sessions

  openSession(name: string): ModelSession {
    const session = new ModelSession(name)
    this.sessions.add(session)
    return session
  }

  openChannel(session: ModelSession, name: string): ModelChannel {
    const channel = new ModelChannel(session, name)
    session.channels.add(channel)
    return channel
  }

  closeSession(session: ModelSession): void {
    if (session.isClosed) return
    session.isClosed = true
    for (const channel of session.channels) this.closeChannel(channel)
    for (const queue of session.exclusiveQueues) this.deleteQueue(queue)
    this.sessions.delete(session)
  }

  closeChannel(channel: ModelChannel): void {
    if (channel.isSilent) return
    channel.isSilent = true
    channel.expected.length = 0
    channel.session.channels.delete(channel)
    if (!channel.isFailed) this.release(channel)
    channel.isFailed = true
  }

  // ------------------------------------------------------------------------------------------------- the port

  execute(channel: ModelChannel, id: number, command: Command): void {
    if (channel.isFailed) return
    this.executing = channel
    this.attempt(channel, id, () => this.run(channel, id, command))
    this.executing = null
    for (const consumerTag of this.endedMeanwhile.splice(0)) channel.expected.push({ type: 'cancelled', consumerTag })
  }

  /** Returns the sequence number the publish gets. */
  publish(channel: ModelChannel, publication: Publication, isMandatory: boolean): number {
    if (channel.isFailed) return 0
    const sequence = channel.isConfirming ? ++channel.publishSequence : 0
    this.attempt(channel, failedOn.publish, () => {
      this.checkPublish(publication)
      if (channel.transaction !== null) {
        channel.transaction.publishes.push({ publication, isMandatory })
        return
      }
      const { entries, routed, isRefused } = this.enqueue(publication)
      if (isMandatory && routed === 0) channel.expected.push({ type: 'returned', publication, sequence })
      if (sequence !== 0) channel.openPublishes.push({ sequence, publication, entries, isRefused })
    })
    return sequence
  }

  settle(channel: ModelChannel, deliveryTag: number, multiple: boolean, requeue: boolean): void {
    if (channel.isFailed) return
    this.attempt(channel, failedOn.settlement, () => {
      const { transaction, unacked } = channel
      if (deliveryTag !== 0 || !multiple) {
        if (!unacked.has(deliveryTag) || transaction?.settledTags.has(deliveryTag))
          throw new Refusal('PRECONDITION_FAILED')
      }
      const covered = (tag: number): boolean =>
        multiple ? deliveryTag === 0 || tag <= deliveryTag : tag === deliveryTag
      for (const tag of [...unacked.keys()].filter(covered)) {
        if (transaction === null) this.settleTag(channel, tag, requeue)
        else if (!transaction.settledTags.has(tag)) {
          transaction.settlements.push({ tag, requeue })
          transaction.settledTags.add(tag)
        }
      }
    })
  }

  commit(channel: ModelChannel, id: number, acks: readonly number[], publications: readonly Publication[]): void {
    if (channel.isFailed) return
    this.attempt(channel, id, () => {
      const { transaction } = channel
      if (transaction !== null && transaction.publishes.length + transaction.settlements.length > 0) {
        throw new Refusal('PRECONDITION_FAILED')
      }
      if (new Set(acks).size < acks.length || acks.some((tag) => !channel.unacked.has(tag))) {
        throw new Refusal('PRECONDITION_FAILED')
      }
      const unit = newTransaction()
      unit.publishes = publications.map((publication) => ({ publication, isMandatory: false }))
      unit.settlements = acks.map((tag) => ({ tag, requeue: false }))
      const lsn = this.applyUnit(channel, unit, true)
      this.reply(channel, id, lsn, { type: 'ok' })
    })
  }

  /** The broker hands the first ready message of the consumer's queue out; null if there is none. */
  deliver(consumer: ModelConsumer): Held | null {
    const { channel, queue } = consumer
    const entry = queue.ready.shift()
    const tag = channel.nextTag++
    if (entry === undefined) return null
    const held = { entry, queue, consumer }
    if (consumer.noAck) this.settleEntry(queue, entry)
    else {
      channel.unacked.set(tag, held)
      consumer.unacked++
      channel.unackedByConsumers++
    }
    return held
  }

  // ------------------------------------------------------------------------------------------------- commands

  private attempt(channel: ModelChannel, id: number, action: () => void): void {
    try {
      action()
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.release(channel)
      channel.isFailed = true
      channel.expected.push({ type: 'failed', id, code: error.code })
    }
  }

  private run(channel: ModelChannel, id: number, command: Command): void {
    switch (command.type) {
      case 'exchange.declare':
        return this.reply(channel, id, this.declareExchange(command), { type: 'ok' })
      case 'exchange.delete':
        return this.reply(channel, id, this.deleteExchange(command.exchange, command.ifUnused), { type: 'ok' })
      case 'exchange.bind':
      case 'queue.bind':
        return this.reply(channel, id, this.bind(channel, command), { type: 'ok' })
      case 'exchange.unbind':
      case 'queue.unbind':
        return this.reply(channel, id, this.unbind(channel, command), { type: 'ok' })
      case 'queue.declare':
        return this.declareQueue(channel, id, command)
      case 'queue.purge': {
        const queue = this.findQueue(channel, command.queue)
        const messageCount = queue.ready.length
        const lsn = queue.ready.some((entry) => entry.logged) ? this.lsn : 0
        for (const entry of queue.ready.splice(0)) this.settleEntry(queue, entry)
        return this.reply(channel, id, lsn, { type: 'queue.purge-ok', messageCount })
      }
      case 'queue.delete':
        return this.runDeleteQueue(channel, id, command.queue, command.ifUnused, command.ifEmpty)
      case 'basic.qos':
        channel.prefetchGlobal = command.global ? command.prefetchCount : 0
        if (!command.global) channel.prefetch = command.prefetchCount
        return this.reply(channel, id, 0, { type: 'ok' })
      case 'basic.consume': {
        const consumer = this.consume(channel, command)
        return this.reply(channel, id, 0, { type: 'basic.consume-ok', consumerTag: consumer.tag }, null, () => {
          consumer.isAnnounced = true
        })
      }
      case 'basic.cancel': {
        const consumer = channel.consumers.get(command.consumerTag)
        channel.consumers.delete(command.consumerTag)
        if (consumer !== undefined) this.leave(consumer)
        return this.reply(channel, id, 0, { type: 'basic.cancel-ok', consumerTag: command.consumerTag })
      }
      case 'basic.get':
        return this.get(channel, id, command.queue, command.noAck)
      case 'basic.recover':
        this.requeueAll(channel)
        return this.reply(channel, id, 0, { type: 'ok' })
      case 'confirm.select':
        if (channel.transaction !== null) throw new Refusal('PRECONDITION_FAILED')
        channel.isConfirming = true
        return this.reply(channel, id, 0, { type: 'ok' })
      case 'tx.select':
        if (channel.isConfirming) throw new Refusal('PRECONDITION_FAILED')
        channel.transaction ??= newTransaction()
        return this.reply(channel, id, 0, { type: 'ok' })
      case 'tx.commit': {
        if (channel.transaction === null) throw new Refusal('PRECONDITION_FAILED')
        const lsn = this.applyUnit(channel, channel.transaction)
        channel.transaction = newTransaction()
        return this.reply(channel, id, lsn, { type: 'ok' })
      }
      case 'tx.rollback':
        if (channel.transaction === null) throw new Refusal('PRECONDITION_FAILED')
        channel.transaction = newTransaction()
        return this.reply(channel, id, 0, { type: 'ok' })
      case 'leveret.queues':
        return this.reply(channel, id, 0, { type: 'leveret.queues-ok' })
      default:
        return unreachable('the simulator does not administer')
    }
  }

  private reply(
    channel: ModelChannel,
    id: number,
    lsn: number,
    reply: Readonly<Record<string, unknown>>,
    entry: ModelEntry | null = null,
    done: ((reply: Readonly<Record<string, unknown>>) => void) | null = null,
  ): void {
    channel.expected.push({ type: 'replied', id, lsn, reply, entry, done })
  }

  private checkPublish(publication: Publication): void {
    const exchange = this.findExchange(publication.exchange)
    if (exchange.internal) throw new Refusal('ACCESS_REFUSED')
  }

  /** Queues that have no room leave it out; `routed` counts them all the same. */
  private enqueue(publication: Publication): { entries: ModelEntry[]; routed: number; isRefused: boolean } {
    const names = route(this, publication)
    const entries: ModelEntry[] = []
    let isRefused = false
    for (const name of names) {
      const queue = this.queues.get(name)
      assert(queue !== undefined, `the queue ${name} of a binding exists`)
      if (queue.refuses(1, publication.bodyBytes)) {
        isRefused = true
        continue
      }
      const logged = publication.persistent && queue.facts.durable
      const position = queue.nextPosition++
      const rank = position - Math.min(publication.priority, queue.facts.maxPriority) * 1_000_000
      const entry = { publication, queue: name, position, rank, logged, lsn: this.lsn, handedOut: false, settledLsn: 0 }
      queue.requeue(entry)
      if (logged) entries.push(entry)
    }
    if (entries.length > 0) this.record({ type: 'published', entries })
    return { entries, routed: names.size, isRefused }
  }

  /** A transaction is taken as a whole: every queue must have room for all that it is to get. */
  private checkRoom(unit: ModelTransaction): void {
    const planned = new Map<string, { messages: number; bytes: number }>()
    for (const { publication } of unit.publishes) {
      for (const name of route(this, publication)) {
        const { messages, bytes } = planned.get(name) ?? { messages: 0, bytes: 0 }
        const load = { messages: messages + 1, bytes: bytes + publication.bodyBytes }
        planned.set(name, load)
        if (this.queues.get(name)?.refuses(load.messages, load.bytes)) throw new Refusal('PRECONDITION_FAILED')
      }
    }
  }

  /** Returns the frame that has it, 0 if nothing of it needs one. */
  private applyUnit(channel: ModelChannel, unit: ModelTransaction, needsTargets = false): number {
    for (const { publication } of unit.publishes) this.checkPublish(publication)
    for (const { publication } of needsTargets ? unit.publishes : []) {
      const { exchange, routingKey } = publication
      if (exchange === '' && !this.queues.has(routingKey)) throw new Refusal('NOT_FOUND')
    }
    this.checkRoom(unit)
    let needsDisk = false
    for (const { publication, isMandatory } of unit.publishes) {
      const { entries, routed } = this.enqueue(publication)
      if (entries.length > 0) needsDisk = true
      if (isMandatory && routed === 0) channel.expected.push({ type: 'returned', publication, sequence: 0 })
    }
    for (const { tag, requeue } of unit.settlements) {
      const held = channel.unacked.get(tag)
      if (held === undefined) continue
      if (held.entry.logged && !requeue && !held.queue.isDeleted) needsDisk = true
      this.settleTag(channel, tag, requeue)
    }
    return needsDisk ? this.lsn : 0
  }

  private settleTag(channel: ModelChannel, tag: number, requeue: boolean): void {
    const { entry, queue, consumer } = channel.unacked.get(tag) as Held
    channel.unacked.delete(tag)
    if (consumer !== null) {
      consumer.unacked--
      channel.unackedByConsumers--
    }
    if (!requeue) this.settleEntry(queue, entry)
    else if (!queue.isDeleted) queue.requeue(entry)
  }

  private settleEntry(queue: ModelQueue, entry: ModelEntry): void {
    entry.settledLsn = this.lsn
    if (entry.logged && !queue.isDeleted) this.record({ type: 'settled', entry })
  }

  private get(channel: ModelChannel, id: number, name: string, noAck: boolean): void {
    const queue = this.findQueue(channel, name)
    const entry = queue.ready.shift()
    if (entry === undefined) return this.reply(channel, id, 0, { type: 'basic.get-empty' })
    const deliveryTag = channel.nextTag++
    if (noAck) this.settleEntry(queue, entry)
    else channel.unacked.set(deliveryTag, { entry, queue, consumer: null })
    const redelivered = entry.handedOut
    entry.handedOut = true
    const messageCount = queue.ready.length
    this.reply(channel, id, 0, { type: 'basic.get-ok', deliveryTag, redelivered, messageCount }, entry)
  }

  private consume(channel: ModelChannel, command: BasicConsume): ModelConsumer {
    const { consumerTag: tag, noAck, exclusive: isExclusive } = command
    const queue = this.findQueue(channel, command.queue)
    if (channel.consumers.has(tag)) throw new Refusal('NOT_ALLOWED')
    if (queue.consumers.length > 0 && (isExclusive || queue.consumers.some((other) => other.isExclusive))) {
      throw new Refusal('ACCESS_REFUSED')
    }
    if (isExclusive && queue.facts.rules.singleActive) throw new Refusal('ACCESS_REFUSED')
    const { prefetch } = channel
    const priority = Number(command.arguments.get('x-priority')?.value ?? 0)
    const consumer = { tag, channel, queue, noAck, isExclusive, prefetch, priority, unacked: 0, isAnnounced: false }
    channel.consumers.set(tag, consumer)
    queue.add(consumer)
    return consumer
  }

  /** What ends with a channel: its consumers, its transaction, and its hold on messages. */
  private release(channel: ModelChannel): void {
    const consumers = [...channel.consumers.values()]
    channel.consumers.clear()
    channel.transaction = channel.transaction === null ? null : newTransaction()
    for (const consumer of consumers) consumer.queue.remove(consumer)
    this.requeueAll(channel)
    for (const consumer of consumers) this.leave(consumer)
  }

  private requeueAll(channel: ModelChannel): void {
    for (const tag of channel.unacked.keys()) {
      if (!channel.transaction?.settledTags.has(tag)) this.settleTag(channel, tag, true)
    }
  }

  private leave(consumer: ModelConsumer): void {
    const { queue } = consumer
    queue.remove(consumer)
    if (queue.facts.autoDelete && queue.consumers.length === 0 && !queue.isDeleted) this.deleteQueue(queue)
  }

  // ------------------------------------------------------------------------------------------------- topology

  private record(fact: Fact): void {
    this.journal.push({ lsn: this.lsn, fact })
  }

  private fold(durableLsn: number): void {
    let count = 0
    for (const { lsn, fact } of this.journal) {
      if (lsn > durableLsn) break
      this.base.apply(fact)
      count++
    }
    this.journal.splice(0, count)
  }

  private findExchange(name: string): ExchangeFacts {
    const exchange = this.exchanges.get(name)
    if (exchange === undefined) throw new Refusal('NOT_FOUND')
    return exchange
  }

  private findQueue(channel: ModelChannel, name: string): ModelQueue {
    const queue = this.queues.get(name)
    if (queue === undefined) throw new Refusal('NOT_FOUND')
    if (queue.owner !== null && queue.owner !== channel.session) throw new Refusal('RESOURCE_LOCKED')
    return queue
  }

  private declareExchange(command: ExchangeDeclare): number {
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
    this.record({ type: 'exchange-declared', exchange })
    return this.born(`exchange ${name}`)
  }

  private deleteExchange(name: string, ifUnused: boolean): number {
    const exchange = this.exchanges.get(name)
    if (exchange === undefined) return 0
    if (ifUnused && this.bindingsFrom(name).length > 0) throw new Refusal('PRECONDITION_FAILED')
    this.removeExchange(exchange)
    return exchange.durable ? this.lsn : 0
  }

  private removeExchange(exchange: ExchangeFacts): void {
    const { name } = exchange
    this.exchanges.delete(name)
    if (exchange.durable) this.record({ type: 'exchange-deleted', name })
    for (const binding of this.bindingsFrom(name)) this.bindings.delete(binding.key)
    this.removeBindingsTo('exchange', name)
  }

  private declareQueue(channel: ModelChannel, id: number, command: QueueDeclare): void {
    const { session } = channel
    const existing = this.queues.get(command.queue)
    if (command.passive || existing !== undefined) {
      const queue = this.findQueue(channel, command.queue)
      if (!command.passive) checkSameQueue(queue, command)
      const lsn = command.passive ? 0 : queue.lsn
      return this.reply(channel, id, lsn, declareOk(queue))
    }
    const durable = command.durable && !command.exclusive
    const maxPriority = Number(command.arguments.get('x-max-priority')?.value ?? 0)
    const rules = rulesOf(command.arguments)
    const facts = { name: command.queue, durable, autoDelete: command.autoDelete, maxPriority, rules }
    const queue = new ModelQueue(facts, command.exclusive ? session : null)
    if (command.exclusive) session.exclusiveQueues.add(queue)
    if (durable) {
      this.record({ type: 'queue-declared', queue: facts })
      queue.lsn = this.lsn
    }
    if (command.queue !== '') {
      this.queues.set(queue.name, queue)
      return this.reply(channel, id, queue.lsn, declareOk(queue))
    }
    assert(
      !durable,
      'a name that the broker makes is not known until it is told, so the queue must not outlive a crash',
    )
    this.reply(channel, id, 0, { type: 'queue.declare-ok', messageCount: 0, consumerCount: 0 }, null, (reply) => {
      queue.name = String(reply['queue'])
      if (!queue.isDeleted) this.queues.set(queue.name, queue)
    })
  }

  private runDeleteQueue(channel: ModelChannel, id: number, name: string, ifUnused: boolean, ifEmpty: boolean): void {
    if (!this.queues.has(name)) return this.reply(channel, id, 0, { type: 'queue.delete-ok', messageCount: 0 })
    const queue = this.findQueue(channel, name)
    if (ifEmpty && queue.ready.length > 0) throw new Refusal('PRECONDITION_FAILED')
    if (ifUnused && queue.consumers.length > 0) throw new Refusal('PRECONDITION_FAILED')
    const messageCount = queue.ready.length
    this.deleteQueue(queue)
    this.reply(channel, id, queue.facts.durable ? this.lsn : 0, { type: 'queue.delete-ok', messageCount })
  }

  private deleteQueue(queue: ModelQueue): void {
    if (queue.isDeleted) return
    queue.isDeleted = true
    queue.ready.length = 0
    if (this.queues.get(queue.name) === queue) this.queues.delete(queue.name)
    queue.owner?.exclusiveQueues.delete(queue)
    if (queue.facts.durable) this.record({ type: 'queue-deleted', name: queue.name })
    this.removeBindingsTo('queue', queue.name)
    for (const consumer of queue.consumers.splice(0)) {
      const { channel, tag } = consumer
      if (!channel.consumers.delete(tag)) continue
      if (channel === this.executing) this.endedMeanwhile.push(tag)
      else channel.expected.push({ type: 'cancelled', consumerTag: tag })
    }
  }

  private bind(channel: ModelChannel, command: BindCommand<'queue.bind' | 'exchange.bind'>): number {
    const source = this.findExchange(command.exchange)
    const toQueue = command.type === 'queue.bind'
    const destination = toQueue
      ? this.findQueue(channel, command.destination).facts
      : this.findExchange(command.destination)
    const facts = bindingOf(command, toQueue)
    const key = bindingKey(facts)
    if (this.bindings.has(key)) return this.bornLsns.get(key) ?? 0
    const binding = { ...facts, key, durable: source.durable && destination.durable }
    this.bindings.set(key, binding)
    if (!binding.durable) return 0
    this.record({ type: 'bound', binding })
    return this.born(key)
  }

  private unbind(channel: ModelChannel, command: BindCommand<'queue.unbind' | 'exchange.unbind'>): number {
    const toQueue = command.type === 'queue.unbind'
    const key = bindingKey(bindingOf(command, toQueue))
    const binding = this.bindings.get(key)
    if (binding === undefined) return 0
    if (toQueue) this.findQueue(channel, command.destination)
    this.bindings.delete(key)
    if (binding.durable) this.record({ type: 'unbound', key })
    this.removeIfUnused(binding.source)
    return binding.durable ? this.lsn : 0
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
    this.bornLsns.set(key, this.lsn)
    return this.lsn
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

function newTransaction(): ModelTransaction {
  return { publishes: [], settlements: [], settledTags: new Set() }
}

function declareOk(queue: ModelQueue): Readonly<Record<string, unknown>> {
  const { name, ready, consumers } = queue
  return { type: 'queue.declare-ok', queue: name, messageCount: ready.length, consumerCount: consumers.length }
}

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
