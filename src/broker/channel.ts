/**
 * A channel: the broker's side of the port. It keeps what belongs to one conversation: what was handed out and not yet
 * settled, confirms that are due, consumers, an open transaction, and the outbox that keeps everything in order.
 */
import type { ChannelEvents, Channel as ChannelPort } from '../model/channel.ts'
import type { BasicConsume, Command, Reply } from '../model/command.ts'
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Message } from '../model/message.ts'
import type { Entry } from '../store/entry.ts'
import { checkConsumerArguments } from './arguments.ts'
import { Confirms } from './confirms.ts'
import { Consumer, type ConsumingChannel } from './consumer.ts'
import { describeQueues } from './control.ts'
import type { Exchange } from './exchange.ts'
import { checkMessage } from './message-check.ts'
import { Got, Outbox } from './outbox.ts'
import type { BrokerParts, PublishingSession } from './parts.ts'
import type { Queue, QueueOwner } from './queue.ts'
import type { TickedChannel } from './tick.ts'
import { findExchange, findQueue } from './topology.ts'
import { type Outcome, Transaction } from './transaction.ts'
import { UnackedRing } from './unacked-ring.ts'
import type { VirtualHost } from './virtual-host.ts'

/** A session, as its channels see it. */
export interface ChannelOwner extends QueueOwner, PublishingSession {
  readonly virtualHost: VirtualHost
  /** Who logged in; null for the host process, which may speak for anybody. */
  readonly user: string | null
  readonly channels: Set<Channel>
}

export class Channel implements ChannelPort, ConsumingChannel, TickedChannel {
  /** In the tick's list of channels to see to. */
  touched = false
  /** In the tick's list of channels to see to when a frame becomes durable. */
  waitsForDisk = false
  /** One limit over all consumers of the channel; 0 = none. */
  prefetchCountGlobal = 0
  /** Deliveries to consumers that are not settled; what basic.get took does not count. */
  unackedByConsumers = 0
  private readonly parts: BrokerParts
  private readonly session: ChannelOwner
  private readonly host: VirtualHost
  private readonly events: ChannelEvents
  private readonly outbox: Outbox
  private readonly confirms = new Confirms()
  private readonly unacked = new UnackedRing()
  private readonly consumers = new Map<string, Consumer>()
  private transaction: Transaction | null = null
  private confirming = false
  private publishSequence = 0
  private nextDeliveryTag = 1
  private prefetchCount = 0
  private paused = false
  /** Failed or closed: nothing is accepted any more. */
  private closed = false
  /** Closed by its owner: nothing is said any more. */
  private silent = false
  /** Whether the command being run changed something that its answer must wait for. */
  private mustBeDurable = false
  private lastExchange: Exchange | null = null
  private lastExchangeVersion = -1

  constructor(parts: BrokerParts, session: ChannelOwner, events: ChannelEvents) {
    this.parts = parts
    this.outbox = new Outbox(parts.store.bodies)
    this.session = session
    this.host = session.virtualHost
    this.events = events
  }

  /** Whether deliveries wait: the receiver is full, or something must be said first. */
  get isHeld(): boolean {
    return this.paused || !this.outbox.isEmpty
  }

  /** Whether an answer or a confirm is still due. */
  get hasUndurable(): boolean {
    return !this.outbox.isEmpty || (!this.closed && !this.confirms.isEmpty)
  }

  execute(id: number, command: Command): void {
    if (this.closed) return
    this.mustBeDurable = false
    try {
      if (command.type === 'basic.get') {
        this.get(id, command.queue, command.noAck)
        this.said()
        return
      }
      const reply = this.run(command)
      this.outbox.reply(id, reply, this.mustBeDurable ? this.parts.store.barrier() : 0)
      this.said()
    } catch (error) {
      this.fail(id, error)
    }
  }

  publish(message: Message, mandatory: boolean): number {
    const sequence = this.accept(message, mandatory)
    // What a transaction holds back needs its body until that ends.
    if (message.refers && (this.transaction === null || this.closed)) this.parts.store.bodies?.release(message)
    return sequence
  }

  private accept(message: Message, mandatory: boolean): number {
    if (this.closed) return 0
    const sequence = this.confirming ? ++this.publishSequence : 0
    try {
      const exchange = this.exchangeFor(message)
      if (this.transaction !== null) {
        this.transaction.publish(message, mandatory)
        // It stays beyond this turn, and must not keep the chunk alive that it came in.
        if (!message.owned) message.own()
        return 0
      }
      const lsn = this.parts.publisher.publish(this.host, exchange, message)
      if (mandatory && this.parts.publisher.routed === 0) {
        this.outbox.returned(message)
        this.said()
      }
      if (sequence !== 0) {
        this.confirms.add(sequence, lsn)
        if (!this.touched) this.parts.tick.touch(this)
      }
      this.parts.published(this.session)
    } catch (error) {
      this.fail(0, error)
    }
    return sequence
  }

  ack(deliveryTag: number, multiple: boolean): void {
    this.settle(deliveryTag, multiple, 'acked')
  }

  reject(deliveryTag: number, multiple: boolean, requeue: boolean): void {
    this.settle(deliveryTag, multiple, requeue ? 'requeued' : 'rejected')
  }

  commit(id: number, acks: readonly number[], publishes: readonly Message[]): void {
    if (this.closed) return
    try {
      if (this.transaction !== null && this.transaction.publishes.length + this.transaction.settlements.length > 0) {
        throw new BrokerError('PRECONDITION_FAILED', 'commit while a transaction is open on this channel')
      }
      const unit = new Transaction(null)
      for (const tag of acks) {
        if (this.unacked.find(tag) < 0 || unit.settledTags.has(tag)) throw unknownTag(tag)
        unit.settle(tag, 'acked')
      }
      for (const message of publishes) unit.publish(message, false)
      this.mustBeDurable = false
      this.applyUnit(unit)
      this.outbox.reply(id, ok, this.mustBeDurable ? this.parts.store.barrier() : 0)
      this.said()
    } catch (error) {
      this.fail(id, error)
    }
  }

  pauseDeliveries(): void {
    this.paused = true
  }

  resumeDeliveries(): void {
    this.paused = false
    this.lookForDeliveries()
  }

  close(): void {
    if (this.silent) return
    this.silent = true
    this.outbox.clear()
    this.session.channels.delete(this)
    if (this.closed) return
    this.closed = true
    this.release()
  }

  /** From a queue: `entry` goes to `consumer`. */
  deliver(consumer: Consumer, entry: Entry, redelivered: boolean): void {
    const tag = this.nextDeliveryTag++
    if (!consumer.noAck) {
      this.unacked.push(tag, entry, consumer.queue, consumer)
      consumer.unackedCount++
      this.unackedByConsumers++
    }
    if (!this.touched) this.parts.tick.touch(this)
    this.events.delivered(consumer.tag, tag, redelivered, entry.message as Message)
  }

  /** From a queue that is going: this consumer ends. */
  consumerEnded(consumer: Consumer): void {
    if (this.consumers.delete(consumer.tag)) {
      this.outbox.cancelled(consumer.tag)
      this.said()
    }
  }

  /** End of turn: says what may be said; deliveries that were held by it can go on. */
  answer(): void {
    if (this.outbox.isEmpty) return
    if (this.outbox.drain(this.events, this.parts.store.answerableLsn)) this.lookForDeliveries()
    else if (this.outbox.lostId !== -1) {
      this.giveUp(this.outbox.lostId)
      // The turn has come to this channel and will not again.
      this.outbox.drain(this.events, this.parts.store.answerableLsn)
    } else this.parts.tick.waitForDisk(this)
  }

  /** End of turn: confirms what is as safe as it has to be. Returns come first, so it waits for the outbox. */
  confirm(): void {
    if (this.confirms.isEmpty || this.closed) return
    if (this.outbox.isEmpty) {
      const sequence = this.confirms.release(this.parts.store.answerableLsn)
      if (sequence > 0) this.events.confirmed(sequence, this.confirms.confirmedUpTo(sequence), true)
    }
    if (!this.confirms.isEmpty) this.parts.tick.waitForDisk(this)
  }

  flush(): void {
    if (!this.silent) this.events.flush()
  }

  private run(command: Exclude<Command, { type: 'basic.get' }>): Reply {
    const { topology } = this.parts
    const { host, session } = this
    switch (command.type) {
      case 'exchange.declare':
        this.mustBeDurable = topology.declareExchange(host, command)
        return ok
      case 'exchange.delete':
        this.mustBeDurable = topology.deleteExchange(host, command.exchange, command.ifUnused)
        return ok
      case 'exchange.bind':
      case 'queue.bind':
        this.mustBeDurable = topology.bind(host, session, command)
        return ok
      case 'exchange.unbind':
      case 'queue.unbind':
        this.mustBeDurable = topology.unbind(host, session, command)
        return ok
      case 'queue.declare': {
        const queue = topology.declareQueue(host, session, command)
        // Also for one that was there: whoever declared it may still be waiting for the disk.
        this.mustBeDurable = queue.durable && !command.passive
        return {
          type: 'queue.declare-ok',
          queue: queue.name,
          messageCount: queue.readyCount,
          consumerCount: queue.consumers.length,
        }
      }
      case 'queue.purge': {
        const queue = findQueue(host, session, command.queue)
        const messageCount = queue.purge()
        this.mustBeDurable = queue.durable
        return { type: 'queue.purge-ok', messageCount }
      }
      case 'queue.delete':
        return this.deleteQueue(command.queue, command.ifUnused, command.ifEmpty)
      case 'basic.qos':
        return this.qos(command.prefetchSize, command.prefetchCount, command.global)
      case 'basic.consume':
        return this.consume(command)
      case 'basic.cancel':
        return this.cancel(command.consumerTag)
      case 'basic.recover':
        if (!command.requeue) throw new BrokerError('NOT_IMPLEMENTED', 'requeue=false')
        this.requeueAll()
        return ok
      case 'confirm.select':
        if (this.transaction !== null)
          throw new BrokerError('PRECONDITION_FAILED', 'cannot switch from tx to confirm mode')
        this.confirming = true
        return ok
      case 'tx.select':
        if (this.confirming) throw new BrokerError('PRECONDITION_FAILED', 'cannot switch from confirm to tx mode')
        this.transaction ??= new Transaction(this.parts.store.bodies)
        return ok
      case 'tx.commit':
        this.applyUnit(this.needTransaction())
        this.needTransaction().clear()
        return ok
      case 'tx.rollback':
        this.needTransaction().clear()
        return ok
      case 'leveret.queues':
        return { type: 'leveret.queues-ok', queues: describeQueues(host) }
    }
  }

  /** The exchange a message goes to; what is wrong with the message is found here, before anything changes. */
  private exchangeFor(message: Message): Exchange {
    checkMessage(message, this.session.user)
    const last = this.lastExchange
    if (last !== null && last.name === message.exchange && this.lastExchangeVersion === this.host.topologyVersion) {
      return last
    }
    const exchange = findExchange(this.host, message.exchange)
    if (exchange.internal) {
      throw new BrokerError(
        'ACCESS_REFUSED',
        `cannot publish to internal exchange '${exchange.name}' in vhost '${this.host.name}'`,
      )
    }
    this.lastExchange = exchange
    this.lastExchangeVersion = this.host.topologyVersion
    return exchange
  }

  private settle(deliveryTag: number, multiple: boolean, outcome: Outcome): void {
    if (this.closed) return
    const { unacked, transaction } = this
    if (deliveryTag === 0) {
      if (!multiple) return this.fail(0, unknownTag(0))
      this.settleSlots(0, unacked.slots, outcome)
      return
    }
    const slot = unacked.find(deliveryTag)
    if (slot < 0 || transaction?.settledTags.has(deliveryTag) === true) return this.fail(0, unknownTag(deliveryTag))
    this.settleSlots(multiple ? 0 : slot, slot + 1, outcome)
  }

  private settleSlots(start: number, end: number, outcome: Outcome): void {
    const { unacked, transaction } = this
    for (let slot = start; slot < end; slot++) {
      const entry = unacked.entryAt(slot)
      if (entry === null) continue
      if (transaction === null) this.settleSlot(slot, entry, outcome)
      else {
        const tag = unacked.tagAt(slot)
        if (!transaction.settledTags.has(tag)) transaction.settle(tag, outcome)
      }
    }
    if (transaction === null) unacked.trim()
    this.parts.tick.schedule()
  }

  private settleSlot(slot: number, entry: Entry, outcome: Outcome): void {
    const { unacked } = this
    const queue = unacked.queueAt(slot)
    const consumer = unacked.consumerAt(slot)
    unacked.clear(slot)
    if (consumer !== null) {
      consumer.unackedCount--
      this.unackedByConsumers--
    }
    if (outcome === 'acked') queue.settleUnacked(entry)
    else if (outcome === 'requeued') queue.requeue(entry)
    else queue.reject(entry)
    if (this.prefetchCountGlobal === 0) queue.creditReturned()
    else this.lookForDeliveries()
  }

  private needTransaction(): Transaction {
    if (this.transaction === null) throw new BrokerError('PRECONDITION_FAILED', 'channel is not transactional')
    return this.transaction
  }

  /**
   * Publishes, then settles. The turn has no end in between, so all of it is in one frame. What can go wrong goes wrong
   * before anything changes: a missing exchange, or headers that cannot be read where somebody will look at them.
   */
  private applyUnit(unit: Transaction): void {
    const { publisher } = this.parts
    for (const message of unit.publishes) {
      if (!this.exchangeFor(message).routesByKey) message.decodeProperties()
    }
    for (let at = 0; at < unit.publishes.length; at++) {
      const message = unit.publishes[at] as Message
      if (publisher.publish(this.host, this.exchangeFor(message), message) !== 0) this.mustBeDurable = true
      if (unit.mandatory[at] === true && publisher.routed === 0) this.outbox.returned(message)
    }
    for (const { tag, outcome } of unit.settlements) {
      const slot = this.unacked.find(tag)
      const entry = slot < 0 ? null : this.unacked.entryAt(slot)
      if (entry === null) continue
      if (entry.logged && outcome !== 'requeued') this.mustBeDurable = true
      this.settleSlot(slot, entry, outcome)
    }
    this.unacked.trim()
    this.parts.published(this.session)
    this.parts.tick.schedule()
  }

  private deleteQueue(name: string, ifUnused: boolean, ifEmpty: boolean): Reply {
    const { host, session, parts } = this
    const existing = host.queues.get(name)
    if (existing === undefined) {
      // Whoever deleted it may still be waiting for the disk.
      this.mustBeDurable = true
      return { type: 'queue.delete-ok', messageCount: 0 }
    }
    const queue = findQueue(host, session, name)
    const where = `queue '${name}' in vhost '${host.name}'`
    if (ifEmpty && queue.readyCount + queue.index.delayedCount > 0)
      throw new BrokerError('PRECONDITION_FAILED', `${where} not empty`)
    if (ifUnused && queue.consumers.length > 0) throw new BrokerError('PRECONDITION_FAILED', `${where} in use`)
    this.mustBeDurable = queue.durable
    return { type: 'queue.delete-ok', messageCount: parts.deleteQueue(host, queue) }
  }

  private qos(prefetchSize: number, prefetchCount: number, global: boolean): Reply {
    if (prefetchSize !== 0) throw new BrokerError('NOT_IMPLEMENTED', `prefetch_size!=0 (${prefetchSize})`)
    if (global) {
      this.prefetchCountGlobal = prefetchCount
      this.lookForDeliveries()
    } else this.prefetchCount = prefetchCount
    return ok
  }

  private consume(command: BasicConsume): Reply {
    const { host, session } = this
    const queue = findQueue(host, session, command.queue)
    checkConsumerArguments(queue.name, host.name, command.arguments)
    const tag = command.consumerTag === '' ? `amq.ctag-${this.parts.topology.randomName()}` : command.consumerTag
    if (this.consumers.has(tag)) {
      throw new BrokerError('NOT_ALLOWED', `attempt to reuse consumer tag '${tag}'`)
    }
    if (this.consumers.size >= limits.consumersPerChannelMax) {
      throw new BrokerError(
        'NOT_ALLOWED',
        `reached maximum (${limits.consumersPerChannelMax}) of consumers per channel`,
      )
    }
    // An exclusive consumer is the only one there is.
    const first = queue.consumers[0]
    if (first !== undefined && (command.exclusive || first.exclusive)) {
      throw new BrokerError('ACCESS_REFUSED', `queue '${queue.name}' in vhost '${host.name}' in exclusive use`)
    }
    const consumer = new Consumer(tag, this, queue, command.noAck, command.exclusive, this.prefetchCount)
    this.consumers.set(tag, consumer)
    queue.addConsumer(consumer)
    return { type: 'basic.consume-ok', consumerTag: tag }
  }

  private cancel(consumerTag: string): Reply {
    const consumer = this.consumers.get(consumerTag)
    if (consumer !== undefined) {
      this.consumers.delete(consumerTag)
      consumer.queue.removeConsumer(consumer)
      this.deleteIfUnused(consumer.queue)
    }
    return { type: 'basic.cancel-ok', consumerTag }
  }

  private get(id: number, name: string, noAck: boolean): void {
    const { store } = this.parts
    const queue = findQueue(this.host, this.session, name)
    const entry = queue.take()
    if (entry === undefined) {
      this.outbox.reply(id, { type: 'basic.get-empty' }, 0)
      return
    }
    const deliveryTag = this.nextDeliveryTag++
    const redelivered = entry.deliveryCount > 1
    const got = new Got(id, deliveryTag, redelivered, queue.readyCount, entry, () =>
      this.answerArrived(got, queue, entry),
    )
    this.outbox.got(got)
    got.pass = queue.index.passFor(entry)
    // It stays beyond this turn, and must not keep the chunk alive that it came in.
    if (got.pass !== null && entry.message?.owned === false) entry.message.own()
    if (entry.message === null) queue.index.await(entry, got)
    if (noAck) {
      // A body in a file goes with its message: not before that is given.
      if (entry.bodyBytes > (store.bodies?.inlineBytesMax ?? entry.bodyBytes)) {
        queue.hold(entry)
        got.done = () => queue.settleUnacked(entry)
      } else queue.settle(entry)
    } else {
      queue.hold(entry)
      this.unacked.push(deliveryTag, entry, queue, null)
    }
  }

  /** A consumer is gone from this channel; a queue that was waiting for its last one to leave goes with it. */
  private deleteIfUnused(queue: Queue): void {
    if (queue.autoDelete && queue.consumers.length === 0 && !queue.deleted) this.parts.deleteQueue(this.host, queue)
  }

  private requeueAll(): void {
    const { unacked, transaction } = this
    for (let slot = 0; slot < unacked.slots; slot++) {
      const entry = unacked.entryAt(slot)
      if (entry === null || transaction?.settledTags.has(unacked.tagAt(slot)) === true) continue
      this.settleSlot(slot, entry, 'requeued')
    }
    unacked.trim()
  }

  private release(): void {
    // The latest first: they stand at the end of their queues' lists, where removing is cheap.
    const consumers = [...this.consumers.values()].reverse()
    this.consumers.clear()
    this.transaction?.clear()
    for (const consumer of consumers) consumer.queue.removeConsumer(consumer)
    this.requeueAll()
    for (const consumer of consumers) this.deleteIfUnused(consumer.queue)
  }

  private fail(id: number, error: unknown): void {
    if (!(error instanceof BrokerError)) throw error
    this.release()
    this.closed = true
    this.outbox.failed(id, error)
    this.parts.tick.touch(this)
  }

  private answerArrived(got: Got, queue: Queue, entry: Entry): void {
    if (queue.isDamaged(entry)) {
      // It stays with nobody, also if it was to be taken without an acknowledgement; it may be back in its queue by now.
      if (!entry.isReady && !entry.isSettled) queue.index.setAside(entry)
      if (got.done !== null) got.done = () => queue.requeue(entry)
      got.isLost = true
    }
    if (!this.outbox.isEmpty) this.said()
  }

  /** What basic.get took cannot be read; the message stays on disk, unacknowledged. */
  private giveUp(id: number): void {
    // Also if the channel has failed meanwhile: nobody was told of that yet.
    this.outbox.clear()
    this.fail(id, new BrokerError('INTERNAL_ERROR', 'the message cannot be read from the disk'))
  }

  private lookForDeliveries(): void {
    for (const consumer of this.consumers.values()) consumer.queue.creditReturned()
  }

  private said(): void {
    this.parts.tick.touch(this)
  }
}

const ok: Reply = { type: 'ok' }

function unknownTag(tag: number): BrokerError {
  return new BrokerError('PRECONDITION_FAILED', `unknown delivery tag ${tag}`)
}
