/**
 * The reference broker: what the port must do, in lock step with the real one and without any of its code. It is told of
 * every call just before the broker is, predicts what will be said, and writes down each fact that must survive together
 * with the number of the frame it is in.
 */

import { assert, unreachable } from '../../lib/assert.ts'
import { failedOn } from '../../model/channel.ts'
import type { BasicConsume, Command, QueueDeclare } from '../../model/command.ts'
import { FactJournal } from './fact-journal.ts'
import { DurableState, type ModelEntry, type Publication } from './facts.ts'
import { isLimited } from './feature-arguments.ts'
import {
  type Held,
  ModelChannel,
  type ModelConsumer,
  type ModelQueue,
  ModelSession,
  type ModelTransaction,
} from './reference-channel.ts'
import { ReferenceTopology } from './reference-topology.ts'
import { Refusal } from './refusal.ts'
import { route } from './routing.ts'

export class Reference {
  readonly journal: FactJournal = new FactJournal()
  readonly topology: ReferenceTopology = new ReferenceTopology(this.journal)
  readonly sessions: Set<ModelSession> = new Set()
  /** The channel whose command is being run: its answer goes before what is said of consumers that the command ended. */
  private executing: ModelChannel | null = null
  private readonly endedMeanwhile: string[] = []

  constructor() {
    this.restart(new DurableState())
  }

  // ------------------------------------------------------------------------------------------------- what survives

  /** Everything in memory is gone; `state` is what the broker begins with. */
  restart(state: DurableState): void {
    this.journal.restart(state)
    this.topology.restart(state)
    this.sessions.clear()
  }

  noteClean(): void {
    this.journal.record({ type: 'clean' })
  }

  /** Messages in queues, ready or held by somebody. */
  get messageCount(): number {
    let count = 0
    for (const queue of this.topology.queues.values()) count += queue.ready.length
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
    return [...this.topology.queues.values()].some(({ facts }) => isLimited(facts.rules))
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
        return this.reply(channel, id, this.topology.declareExchange(command), { type: 'ok' })
      case 'exchange.delete':
        return this.reply(channel, id, this.topology.deleteExchange(command.exchange, command.ifUnused), { type: 'ok' })
      case 'exchange.bind':
      case 'queue.bind':
        return this.reply(channel, id, this.topology.bind(channel.session, command), { type: 'ok' })
      case 'exchange.unbind':
      case 'queue.unbind':
        return this.reply(channel, id, this.topology.unbind(channel.session, command), { type: 'ok' })
      case 'queue.declare':
        return this.declareQueue(channel, id, command)
      case 'queue.purge': {
        const queue = this.topology.findQueue(channel.session, command.queue)
        const messageCount = queue.ready.length
        const lsn = queue.ready.some((entry) => entry.logged) ? this.journal.lsn : 0
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
    const exchange = this.topology.findExchange(publication.exchange)
    if (exchange.internal) throw new Refusal('ACCESS_REFUSED')
  }

  /** Queues that have no room leave it out; `routed` counts them all the same. */
  private enqueue(publication: Publication): { entries: ModelEntry[]; routed: number; isRefused: boolean } {
    const names = route(this.topology, publication)
    const entries: ModelEntry[] = []
    let isRefused = false
    for (const name of names) {
      const queue = this.topology.queues.get(name)
      assert(queue !== undefined, `the queue ${name} of a binding exists`)
      if (queue.refuses(1, publication.bodyBytes)) {
        isRefused = true
        continue
      }
      const logged = publication.persistent && queue.facts.durable
      const position = queue.nextPosition++
      const rank = position - Math.min(publication.priority, queue.facts.maxPriority) * 1_000_000
      const entry = {
        publication,
        queue: name,
        position,
        rank,
        logged,
        lsn: this.journal.lsn,
        handedOut: false,
        settledLsn: 0,
      }
      queue.requeue(entry)
      if (logged) entries.push(entry)
    }
    if (entries.length > 0) this.journal.record({ type: 'published', entries })
    return { entries, routed: names.size, isRefused }
  }

  /** A transaction is taken as a whole: every queue must have room for all that it is to get. */
  private checkRoom(unit: ModelTransaction): void {
    const planned = new Map<string, { messages: number; bytes: number }>()
    for (const { publication } of unit.publishes) {
      for (const name of route(this.topology, publication)) {
        const { messages, bytes } = planned.get(name) ?? { messages: 0, bytes: 0 }
        const load = { messages: messages + 1, bytes: bytes + publication.bodyBytes }
        planned.set(name, load)
        if (this.topology.queues.get(name)?.refuses(load.messages, load.bytes)) throw new Refusal('PRECONDITION_FAILED')
      }
    }
  }

  /** Returns the frame that has it, 0 if nothing of it needs one. */
  private applyUnit(channel: ModelChannel, unit: ModelTransaction, needsTargets = false): number {
    for (const { publication } of unit.publishes) this.checkPublish(publication)
    for (const { publication } of needsTargets ? unit.publishes : []) {
      const { exchange, routingKey } = publication
      if (exchange === '' && !this.topology.queues.has(routingKey)) throw new Refusal('NOT_FOUND')
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
    return needsDisk ? this.journal.lsn : 0
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
    entry.settledLsn = this.journal.lsn
    if (entry.logged && !queue.isDeleted) this.journal.record({ type: 'settled', entry })
  }

  private get(channel: ModelChannel, id: number, name: string, noAck: boolean): void {
    const queue = this.topology.findQueue(channel.session, name)
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
    const queue = this.topology.findQueue(channel.session, command.queue)
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

  // ------------------------------------------------------------------------------------------------- queues

  private declareQueue(channel: ModelChannel, id: number, command: QueueDeclare): void {
    const queue = this.topology.declareQueue(channel.session, command)
    if (command.queue !== '') return this.reply(channel, id, command.passive ? 0 : queue.lsn, declareOk(queue))
    this.reply(channel, id, 0, { type: 'queue.declare-ok', messageCount: 0, consumerCount: 0 }, null, (reply) =>
      this.topology.nameQueue(queue, String(reply['queue'])),
    )
  }

  private runDeleteQueue(channel: ModelChannel, id: number, name: string, ifUnused: boolean, ifEmpty: boolean): void {
    if (!this.topology.queues.has(name)) return this.reply(channel, id, 0, { type: 'queue.delete-ok', messageCount: 0 })
    const queue = this.topology.findQueue(channel.session, name)
    if (ifEmpty && queue.ready.length > 0) throw new Refusal('PRECONDITION_FAILED')
    if (ifUnused && queue.consumers.length > 0) throw new Refusal('PRECONDITION_FAILED')
    const messageCount = queue.ready.length
    this.deleteQueue(queue)
    this.reply(channel, id, queue.facts.durable ? this.journal.lsn : 0, { type: 'queue.delete-ok', messageCount })
  }

  private deleteQueue(queue: ModelQueue): void {
    if (!this.topology.removeQueue(queue)) return
    for (const consumer of queue.consumers.splice(0)) {
      const { channel, tag } = consumer
      if (!channel.consumers.delete(tag)) continue
      if (channel === this.executing) this.endedMeanwhile.push(tag)
      else channel.expected.push({ type: 'cancelled', consumerTag: tag })
    }
  }
}

function newTransaction(): ModelTransaction {
  return { publishes: [], settlements: [], settledTags: new Set() }
}

function declareOk(queue: ModelQueue): Readonly<Record<string, unknown>> {
  const { name, ready, consumers } = queue
  return { type: 'queue.declare-ok', queue: name, messageCount: ready.length, consumerCount: consumers.length }
}
