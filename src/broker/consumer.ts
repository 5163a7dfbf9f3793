/** A consumer: one subscription of a channel to a queue, with its own count of what it holds. */
import type { Entry } from '../store/entry.ts'
import { ConsumerMeter } from './consumer-meter.ts'
import type { Subscriber } from './consumer-turns.ts'
import type { Queue } from './queue.ts'

/** A channel, as its consumers see it. */
export interface ConsumingChannel {
  /** Whether deliveries wait: the receiver is full, or something must be said first. */
  readonly isHeld: boolean
  /** One limit over all consumers of the channel; 0 = none. */
  readonly prefetchCountGlobal: number
  readonly unackedByConsumers: number
  deliver(consumer: Consumer, entry: Entry, redelivered: boolean): void
  consumerEnded(consumer: Consumer): void
}

export class Consumer implements Subscriber {
  readonly tag: string
  readonly queue: Queue
  readonly noAck: boolean
  readonly exclusive: boolean
  readonly priority: number
  /** It tells the senders of what it processes by itself. */
  readonly answersItself: boolean
  /** What it was handed that is transient, nobody else may try when it is gone. */
  readonly triesOnce: boolean
  /** It is handed nothing before all that was stored by then is as safe as a confirm says. */
  readonly afterConfirm: boolean
  /** Deliveries it may hold unacknowledged; 0 = any number. */
  readonly prefetchCount: number
  unackedCount = 0
  readonly concurrency: number
  readonly saysConcurrency: boolean
  readonly holdsAhead: boolean
  readonly meter: ConsumerMeter
  private readonly channel: ConsumingChannel

  constructor(
    tag: string,
    channel: ConsumingChannel,
    queue: Queue,
    noAck: boolean,
    exclusive: boolean,
    prefetchCount: number,
    priority: number,
    answersItself: boolean,
    triesOnce: boolean,
    afterConfirm: boolean,
    concurrency: number,
  ) {
    this.tag = tag
    this.channel = channel
    this.queue = queue
    this.noAck = noAck
    this.exclusive = exclusive
    this.prefetchCount = prefetchCount
    this.priority = priority
    this.answersItself = answersItself
    this.triesOnce = triesOnce
    this.afterConfirm = afterConfirm
    // One at a time is one at a time, whoever says it.
    this.saysConcurrency = concurrency > 0 || prefetchCount === 1
    const atOnce = concurrency > 0 ? concurrency : prefetchCount
    this.concurrency = atOnce > 0 ? atOnce : Number.POSITIVE_INFINITY
    this.meter = new ConsumerMeter(queue.meter, this.concurrency)
    this.holdsAhead = concurrency > 0 && (prefetchCount === 0 || prefetchCount > concurrency)
  }

  get hasCredit(): boolean {
    const { channel } = this
    if (channel.isHeld) return false
    if (this.noAck) return true
    if (this.prefetchCount !== 0 && this.unackedCount >= this.prefetchCount) return false
    return channel.prefetchCountGlobal === 0 || channel.unackedByConsumers < channel.prefetchCountGlobal
  }

  take(entry: Entry, redelivered: boolean): void {
    this.channel.deliver(this, entry, redelivered)
  }

  ended(): void {
    this.channel.consumerEnded(this)
  }
}
