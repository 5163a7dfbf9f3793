/**
 * The consumers of one channel, by their tags, and the one among them, if there is one, that gets answers directly, without a
 * queue that anybody could see.
 */
import type { BasicConsume } from '../model/command.ts'
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import { directReplyTo } from '../model/properties.ts'
import { consumerConcurrency, consumerPriority } from './arguments.ts'
import { Consumer, type ConsumingChannel } from './consumer.ts'
import type { Grants } from './grants.ts'
import type { BrokerParts } from './parts.ts'
import type { Queue, QueueOwner } from './queue.ts'
import { findQueue } from './topology.ts'
import type { VirtualHost } from './virtual-host.ts'

export class ChannelConsumers {
  private readonly parts: BrokerParts
  private readonly session: QueueOwner & { readonly virtualHost: VirtualHost }
  private readonly channel: ConsumingChannel
  private readonly consumers = new Map<string, Consumer>()
  /** Whether one of them, there or gone, tells senders by itself: what is committed here is what handlers did. */
  answerThemselves = false
  /** Where answers come directly; null: none are waited for. */
  private replyQueue: Queue | null = null

  constructor(
    parts: BrokerParts,
    session: QueueOwner & { readonly virtualHost: VirtualHost },
    channel: ConsumingChannel,
  ) {
    this.parts = parts
    this.session = session
    this.channel = channel
  }

  /** The name that answers are to be sent to; null: nobody waits for any. */
  get replyTo(): string | null {
    return this.replyQueue?.name ?? null
  }

  add(command: BasicConsume, prefetchCount: number): Consumer {
    const { session, parts } = this
    const { virtualHost } = session
    const isReply = command.queue === directReplyTo
    if (isReply) this.checkReplyConsumer(command)
    const named = isReply ? null : findQueue(virtualHost, session, command.queue)
    const priority = consumerPriority(command.queue, virtualHost.name, command.arguments)
    const tag = command.consumerTag === '' ? `amq.ctag-${parts.topology.randomName()}` : command.consumerTag
    this.checkTag(tag)
    // An exclusive consumer is the only one there is.
    if (named !== null && named.refusesConsumer(command.exclusive)) {
      throw new BrokerError('ACCESS_REFUSED', `queue '${named.name}' in vhost '${virtualHost.name}' in exclusive use`)
    }
    if (isReply) this.replyQueue = parts.topology.makeReplyQueue(virtualHost)
    const queue = named ?? (this.replyQueue as Queue)
    const { noAck, exclusive } = command
    const answersItself = command.arguments.get('x-leveret-answers')?.value === true
    const triesOnce = command.arguments.get('x-leveret-once')?.value === true
    const afterConfirm = command.arguments.get('x-leveret-deliver-after')?.value === 'confirm'
    const traits = [prefetchCount, priority, answersItself, triesOnce, afterConfirm] as const
    const concurrency = consumerConcurrency(command.arguments)
    const consumer = new Consumer(tag, this.channel, queue, noAck, exclusive, ...traits, concurrency)
    this.consumers.set(tag, consumer)
    if (answersItself) this.answerThemselves = true
    queue.addConsumer(consumer)
    return consumer
  }

  cancel(tag: string): void {
    const consumer = this.consumers.get(tag)
    if (consumer === undefined) return
    this.consumers.delete(tag)
    consumer.queue.removeConsumer(consumer)
    this.leave([consumer])
  }

  /** Its queue is going. False if it was not here any more. */
  ended(consumer: Consumer): boolean {
    return this.consumers.delete(consumer.tag)
  }

  /** Ends those whose queue may not be read any more; answers that come directly are nobody else's. */
  endUnreadable(grants: Grants): readonly Consumer[] {
    const ended = [...this.consumers.values()].filter(
      ({ queue }) => queue !== this.replyQueue && !grants.allows('read', queue.name),
    )
    for (const { tag } of ended) this.cancel(tag)
    return ended
  }

  /** Takes all of them from their queues, which get no more from this channel; see `leave`. */
  removeAll(): readonly Consumer[] {
    // The latest first: they stand at the end of their queues' lists, where removing is cheap.
    const consumers = [...this.consumers.values()].reverse()
    this.consumers.clear()
    for (const consumer of consumers) consumer.queue.removeConsumer(consumer)
    return consumers
  }

  /** Queues that were waiting for their last consumer to leave go with it. */
  leave(consumers: readonly Consumer[]): void {
    const { parts, session } = this
    for (const { queue } of consumers) {
      if (queue === this.replyQueue) {
        this.replyQueue = null
        parts.topology.removeReplyQueue(session.virtualHost, queue)
      } else if (queue.autoDelete && queue.consumers.count === 0 && !queue.deleted) {
        parts.deleteQueue(session.virtualHost, queue)
      }
    }
  }

  /** Some of them can take more. */
  lookForDeliveries(): void {
    for (const consumer of this.consumers.values()) consumer.queue.creditReturned()
  }

  private checkReplyConsumer({ noAck }: BasicConsume): void {
    if (!noAck) throw new BrokerError('PRECONDITION_FAILED', 'reply consumer cannot acknowledge')
    if (this.replyQueue !== null) throw new BrokerError('PRECONDITION_FAILED', 'reply consumer already set')
  }

  private checkTag(tag: string): void {
    if (this.consumers.has(tag)) throw new BrokerError('NOT_ALLOWED', `attempt to reuse consumer tag '${tag}'`)
    const { consumersPerChannelMax } = limits
    if (this.consumers.size < consumersPerChannelMax) return
    throw new BrokerError('NOT_ALLOWED', `reached maximum (${consumersPerChannelMax}) of consumers per channel`)
  }
}
