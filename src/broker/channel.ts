/**
 * A channel: the broker's side of the port. It keeps what belongs to one conversation: what was handed out and not yet
 * settled, confirms that are due, consumers, an open transaction, and the outbox that keeps everything in order.
 */
import { type ChannelEvents, type Channel as ChannelPort, failedOn } from '../model/channel.ts'
import type { BasicConsume, Command, QueueDeclare, Reply } from '../model/command.ts'
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Message } from '../model/message.ts'
import { directReplyTo } from '../model/properties.ts'
import { isQueueCommand, type QueueCommand } from '../model/queue-command.ts'
import type { Entry } from '../store/entry.ts'
import { authorize } from './authorize.ts'
import { ChannelAdministration } from './channel-administration.ts'
import { ChannelConsumers } from './channel-consumers.ts'
import { ChannelUnits } from './channel-units.ts'
import { Confirms } from './confirms.ts'
import type { Consumer, ConsumingChannel } from './consumer.ts'
import { describeQueues } from './control.ts'
import { type DeferrableCommand, isDeferrable } from './deferrable-commands.ts'
import type { Grants } from './grants.ts'
import { Got, Later, Outbox } from './outbox.ts'
import { Outstanding } from './outstanding.ts'
import type { BrokerParts, PublishingSession } from './parts.ts'
import { PublishGate } from './publish-gate.ts'
import type { Queue, QueueOwner } from './queue.ts'
import { isRetryRequest, readRetryRequest } from './retry-request.ts'
import { shown, withReplyTo } from './rewrite.ts'
import type { TickedChannel } from './tick.ts'
import type { TimedChannel } from './time-watch.ts'
import { findQueue, noQueue } from './topology.ts'
import { type Outcome, Transaction } from './transaction.ts'
import type { VirtualHost } from './virtual-host.ts'

/** A session, as its channels see it. */
export interface ChannelOwner extends QueueOwner, PublishingSession {
  readonly virtualHost: VirtualHost
  /** Who logged in; null for the host process, which may speak for anybody. */
  readonly user: string | null
  /** What that user may do here; null for the host process, which may do everything. */
  readonly grants: Grants | null
  readonly channels: Set<Channel>
}

export class Channel implements ChannelPort, ConsumingChannel, TickedChannel, TimedChannel {
  /** In the tick's list of channels to see to. */
  touched = false
  touchedLate = false
  /** In the tick's list of channels to see to when a frame becomes durable. */
  waitsForDisk = false
  /** One limit over all consumers of the channel; 0 = none. */
  prefetchCountGlobal = 0
  isPaused = false
  private readonly parts: BrokerParts
  private readonly session: ChannelOwner
  private readonly host: VirtualHost
  private readonly events: ChannelEvents
  private readonly outbox: Outbox
  private readonly confirms = new Confirms()
  private readonly outstanding: Outstanding = new Outstanding(this)
  private readonly consumers: ChannelConsumers
  private transaction: Transaction | null = null
  private confirming = false
  private publishSequence = 0
  private prefetchCount = 0
  /** Failed or closed: nothing is accepted any more. */
  closed = false
  /** Closed by its owner: nothing is said any more. */
  private silent = false
  /** Whether the command being run changed something that its answer must wait for. */
  private mustBeDurable = false
  private isExecuting = false
  /** Tags of consumers that the command being run ended: its answer goes before what is said of them, as with RabbitMQ. */
  private readonly endedMeanwhile: string[] = []
  private readonly gate: PublishGate
  private readonly administration: ChannelAdministration
  private readonly units: ChannelUnits

  constructor(parts: BrokerParts, session: ChannelOwner, events: ChannelEvents) {
    this.parts = parts
    this.outbox = new Outbox(parts.store.bodies)
    this.session = session
    this.host = session.virtualHost
    this.events = events
    this.consumers = new ChannelConsumers(parts, session, this)
    this.gate = new PublishGate(session)
    this.units = new ChannelUnits(parts, session, this.gate, this.outstanding, this.outbox)
    this.administration = new ChannelAdministration(parts, session, this.outbox, this)
  }

  /** Whether deliveries wait: the receiver is full, or something must be said first. */
  get isHeld(): boolean {
    return this.isPaused || this.outbox.holdsDeliveries
  }

  /** Deliveries to consumers that are not settled; what basic.get took does not count. */
  get unackedByConsumers(): number {
    return this.outstanding.ofConsumers
  }

  /** Whether an answer or a confirm is still due. */
  get hasUndurable(): boolean {
    return !this.outbox.isEmpty || (!this.closed && !this.confirms.isEmpty)
  }

  execute(id: number, command: Command): void {
    if (this.closed) return
    this.mustBeDurable = false
    this.isExecuting = true
    try {
      if (command.type === 'queue.declare') this.declareQueue(id, command)
      else this.executeAuthorized(id, command)
      while (this.endedMeanwhile.length > 0) this.outbox.cancelled(this.endedMeanwhile.shift() as string)
      this.said()
    } catch (error) {
      this.fail(id, error)
    } finally {
      this.isExecuting = false
    }
  }

  private executeAuthorized(id: number, command: Exclude<Command, QueueDeclare>): void {
    authorize(this.session.grants, this.host, command)
    if (command.type === 'basic.get') this.get(id, command.queue, command.noAck)
    else if (isDeferrable(command)) this.administration.administer(id, command)
    else if (isQueueCommand(command)) this.commandQueue(id, command)
    else {
      const reply = this.run(command)
      this.outbox.reply(id, reply, this.mustBeDurable ? this.parts.store.barrier() : 0)
    }
  }

  publish(message: Message, mandatory: boolean): number {
    const sequence = this.accept(message, mandatory)
    // What a transaction holds back needs its body until that ends.
    if (message.refers && (this.transaction === null || this.closed)) this.parts.store.bodies?.release(message)
    return sequence
  }

  private accept(published: Message, mandatory: boolean): number {
    if (this.closed) return 0
    const sequence = this.confirming ? ++this.publishSequence : 0
    try {
      if (isRetryRequest(published)) return this.acceptRetry(published, sequence)
      const exchange = this.gate.exchangeFor(published)
      const message = this.answerable(published)
      if (this.transaction !== null) {
        this.transaction.publish(message, mandatory)
        // It stays beyond this turn, and must not keep the chunk alive that it came in.
        if (!message.owned) message.own()
        return 0
      }
      const lsn = this.parts.publisher.publish(this.host, exchange, message, this.session.grants)
      if (mandatory && this.parts.publisher.routed === 0) {
        this.outbox.returned(message)
        this.said()
      }
      if (sequence !== 0) {
        this.confirms.add(sequence, lsn, !this.parts.publisher.refused)
        if (!this.touched || this.parts.tick.isEnding) this.parts.tick.touch(this)
      }
      this.parts.published(this.session)
    } catch (error) {
      this.fail(failedOn.publish, error)
    }
    return sequence
  }

  /** A delivery is to come back later. Whoever has it may say so. */
  private acceptRetry(published: Message, sequence: number): number {
    if (this.transaction !== null) {
      this.units.addRetry(this.transaction, published)
      if (!published.owned) published.own()
      return 0
    }
    this.outstanding.check(readRetryRequest(published).deliveryTag, null)
    this.outstanding.park(published)
    this.parts.tick.schedule()
    if (sequence !== 0) {
      this.confirms.add(sequence, this.parts.store.barrier(), true)
      if (!this.touched || this.parts.tick.isEnding) this.parts.tick.touch(this)
    }
    return sequence
  }

  /** The message, with the name where its answers go if it asks to be answered directly. */
  private answerable(message: Message): Message {
    return message.mayReplyDirectly ? withReplyTo(message, this.consumers.replyTo) : message
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
      const unit = this.units.gather(
        acks,
        publishes.map((message) => this.answerable(message)),
      )
      this.mustBeDurable = this.units.apply(unit, true)
      this.outbox.reply(id, ok, this.mustBeDurable ? this.parts.store.barrier() : 0)
      this.said()
    } catch (error) {
      this.fail(id, error)
    }
  }

  pauseDeliveries(): void {
    this.isPaused = true
  }

  resumeDeliveries(): void {
    this.isPaused = false
    if (!this.outbox.isEmpty) this.said()
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
    const tag = this.outstanding.takeTag()
    if (!consumer.noAck) this.outstanding.add(tag, entry, consumer.queue, consumer)
    if (!this.touched) this.parts.tick.touch(this)
    const original = entry.message as Message
    const { queue } = consumer
    const isPlain = !original.mayHide && (!redelivered || !queue.tellsMore)
    const message = isPlain ? original : shown(original, queue.countOf(entry), redelivered ? queue.toldOf(entry) : null)
    if (consumer.afterConfirm) this.deliverAfterConfirm(consumer, tag, redelivered, message)
    else this.events.delivered(consumer.tag, tag, redelivered, message)
  }

  /** The message tells of something that was stored with it or before, and is of no use if a crash undoes that. */
  private deliverAfterConfirm(consumer: Consumer, tag: number, redelivered: boolean, message: Message): void {
    const { store } = this.parts
    const lsn = store.barrier()
    if (lsn <= store.answerableLsn && this.outbox.isEmpty) {
      this.events.delivered(consumer.tag, tag, redelivered, message)
      return
    }
    // It stays beyond this turn, and must not keep the chunk alive that it came in.
    if (!message.owned) message.own()
    this.outbox.delivery(lsn, consumer.tag, tag, redelivered, message)
    this.said()
  }

  /** Consumers end whose queue their user may not read any more. */
  accessChanged(grants: Grants): void {
    for (const { tag } of this.consumers.endUnreadable(grants)) {
      if (this.isExecuting) this.endedMeanwhile.push(tag)
      else this.outbox.cancelled(tag)
    }
    this.said()
  }

  /** From a queue that is going: this consumer ends. */
  consumerEnded(consumer: Consumer): void {
    if (!this.consumers.ended(consumer)) return
    if (this.isExecuting) this.endedMeanwhile.push(consumer.tag)
    else {
      this.outbox.cancelled(consumer.tag)
      this.said()
    }
  }

  /** End of turn: says what may be said; deliveries that were held by it can go on. */
  answer(): void {
    if (this.outbox.isEmpty) return
    if (this.outbox.drain(this.events, this.parts.store.answerableLsn, this)) this.lookForDeliveries()
    else if (this.outbox.lostId !== -1) {
      this.giveUp(this.outbox.lostId)
      // The turn has come to this channel and will not again.
      this.outbox.drain(this.events, this.parts.store.answerableLsn, this)
    } else this.parts.tick.waitForDisk(this)
  }

  /** End of turn: confirms what is as safe as it has to be. Returns come first, so it waits for the outbox. */
  confirm(): void {
    if (this.confirms.isEmpty || this.closed) return
    if (this.outbox.isEmpty) {
      const { confirms, events } = this
      const { answerableLsn } = this.parts.store
      for (let sequence = confirms.release(answerableLsn); sequence > 0; sequence = confirms.release(answerableLsn)) {
        events.confirmed(sequence, confirms.multiple, confirms.accepted)
      }
    }
    if (!this.confirms.isEmpty) this.parts.tick.waitForDisk(this)
  }

  flush(): void {
    if (!this.silent) this.events.flush()
  }

  private run(
    command: Exclude<Command, DeferrableCommand | QueueCommand | { type: 'basic.get' | 'queue.declare' }>,
  ): Reply {
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
      case 'queue.purge': {
        const queue = findQueue(host, session, command.queue)
        queue.trim()
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
        this.outstanding.requeueAll(this.transaction)
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
        this.mustBeDurable = this.units.apply(this.needTransaction(), this.consumers.answerThemselves)
        this.needTransaction().clear()
        return ok
      case 'tx.rollback':
        this.needTransaction().clear()
        return ok
      case 'leveret.queues':
        return { type: 'leveret.queues-ok', queues: describeQueues(host, session.grants) }
    }
  }

  private settle(deliveryTag: number, multiple: boolean, outcome: Outcome): void {
    if (this.closed) return
    try {
      this.outstanding.settle(deliveryTag, multiple, outcome, this.transaction)
      this.parts.tick.schedule()
    } catch (error) {
      this.fail(failedOn.settlement, error)
    }
  }

  private needTransaction(): Transaction {
    if (this.transaction === null) throw new BrokerError('PRECONDITION_FAILED', 'channel is not transactional')
    return this.transaction
  }

  private commandQueue(id: number, command: QueueCommand): void {
    const queue = findQueue(this.host, this.session, command.queue)
    const later = new Later(id)
    this.parts.queueCommands.run(queue, command, (reply, lsn) => {
      later.reply = reply
      later.lsn = lsn
      // Also if the channel has failed meanwhile: that is said behind it.
      this.said()
    })
    this.outbox.later(later)
  }

  /** From its administration: what it waited for went wrong. */
  failLate(): void {
    this.release()
    this.closed = true
  }

  private declareQueue(id: number, command: QueueDeclare): void {
    const { host, session, parts } = this
    if (command.queue.startsWith(directReplyTo)) {
      this.outbox.reply(id, this.declareReplies(command.queue), 0)
      return
    }
    // The rights are those to the name, also if the broker makes it.
    const queueName = command.queue === '' && !command.passive ? parts.topology.serverName() : command.queue
    authorize(session.grants, host, { ...command, queue: queueName })
    const queue = parts.topology.declareQueue(host, session, command, queueName)
    // Also for one that was there: whoever declared it may still be waiting for the disk.
    const lsn = queue.durable && !command.passive ? parts.store.barrier() : 0
    const { name, readyCount, consumers } = queue
    const counts = { messageCount: readyCount, consumerCount: consumers.count }
    this.outbox.reply(id, { type: 'queue.declare-ok', queue: name, ...counts }, lsn)
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
    queue.trim()
    const where = `queue '${name}' in vhost '${host.name}'`
    if (ifEmpty && queue.readyCount + queue.delayedCount > 0)
      throw new BrokerError('PRECONDITION_FAILED', `${where} not empty`)
    if (ifUnused && queue.consumers.count > 0) throw new BrokerError('PRECONDITION_FAILED', `${where} in use`)
    this.mustBeDurable = queue.durable
    return { type: 'queue.delete-ok', messageCount: parts.deleteQueue(host, queue) }
  }

  private qos(prefetchSize: number, prefetchCount: number, global: boolean): Reply {
    if (prefetchSize !== 0) throw new BrokerError('NOT_IMPLEMENTED', `prefetch_size!=0 (${prefetchSize})`)
    // As in RabbitMQ, a limit for each consumer lifts the one over all; said the other way round, both hold.
    this.prefetchCountGlobal = global ? prefetchCount : 0
    if (!global) this.prefetchCount = prefetchCount
    this.lookForDeliveries()
    return ok
  }

  private consume(command: BasicConsume): Reply {
    const consumer = this.consumers.add(command, this.prefetchCount)
    const { queue, noAck, tag } = consumer
    const isTimed = queue.consumerTimeoutMs !== null || this.session.user !== null
    if (!noAck && isTimed) this.parts.watchTime(this)
    return { type: 'basic.consume-ok', consumerTag: tag }
  }

  private cancel(consumerTag: string): Reply {
    this.consumers.cancel(consumerTag)
    return { type: 'basic.cancel-ok', consumerTag }
  }

  /** Whether somebody waits for answers under that name. */
  private declareReplies(name: string): Reply {
    if (name !== directReplyTo && !this.host.replyQueues.has(name)) throw noQueue(this.host, name)
    return { type: 'queue.declare-ok', queue: name, messageCount: 0, consumerCount: 1 }
  }

  private get(id: number, name: string, noAck: boolean): void {
    const { store } = this.parts
    const queue = findQueue(this.host, this.session, name)
    const entry = queue.take()
    if (entry === undefined) {
      this.outbox.reply(id, { type: 'basic.get-empty' }, 0)
      return
    }
    const deliveryTag = this.outstanding.takeTag()
    const redelivered = entry.deliveryCount > 1
    const told = (): void => this.answerArrived(got, queue, entry)
    const got = new Got(id, deliveryTag, redelivered, queue.readyCount, entry, queue.countOf(entry), told)
    this.outbox.got(got)
    got.pass = queue.index.passFor(entry)
    // It stays beyond this turn, and must not keep the chunk alive that it came in.
    if (got.pass !== null && entry.message?.owned === false) entry.message.own()
    if (entry.message === null) queue.index.await(entry, got)
    if (noAck) {
      // A body in a file goes with its message: not before that is given.
      if (entry.bodyBytes > (store.bodies?.inlineBytesMax ?? entry.bodyBytes)) {
        queue.hold(entry)
        got.done = () => {
          queue.settleUnacked(entry, false)
          queue.creditReturned()
        }
      } else queue.settle(entry)
    } else {
      queue.hold(entry)
      this.outstanding.add(deliveryTag, entry, queue, null)
    }
  }

  /** Fails if a consumer has held a message for longer than it may. `nowMs` is monotonic. */
  checkTime(nowMs: number): void {
    if (this.closed) return
    const overdueMs = this.outstanding.overdueMs(nowMs, this.consumerTimeoutMs)
    if (overdueMs === null) return
    const text =
      `delivery acknowledgement on channel ${this.events.number ?? 1} timed out. Timeout value used: ${overdueMs} ms. ` +
      'This timeout value can be configured, see consumers doc guide to learn more'
    this.fail(failedOn.nothing, new BrokerError('PRECONDITION_FAILED', text))
  }

  /** The host process may take its time; everybody else gets as much as the queue, or the broker, says. */
  private get consumerTimeoutMs(): number {
    return this.session.user === null ? Number.POSITIVE_INFINITY : limits.consumerTimeoutMs
  }

  private release(): void {
    const left = this.consumers.removeAll()
    this.transaction?.clear()
    // What comes back waits for others, unless its queue goes with its last consumer.
    this.outstanding.requeueAll(this.transaction)
    this.consumers.leave(left)
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

  lookForDeliveries(): void {
    this.consumers.lookForDeliveries()
  }

  said(): void {
    this.parts.tick.touch(this)
  }
}

const ok: Reply = { type: 'ok' }
