/** A consumer: one subscription of a channel to a queue, with its own count of what it holds. */
import type { Channel } from './channel.ts'
import type { Queue } from './queue.ts'

export class Consumer {
  readonly tag: string
  readonly channel: Channel
  readonly queue: Queue
  readonly noAck: boolean
  readonly exclusive: boolean
  /** Deliveries it may hold unacknowledged; 0 = any number. */
  readonly prefetchCount: number
  unackedCount = 0

  constructor(tag: string, channel: Channel, queue: Queue, noAck: boolean, exclusive: boolean, prefetchCount: number) {
    this.tag = tag
    this.channel = channel
    this.queue = queue
    this.noAck = noAck
    this.exclusive = exclusive
    this.prefetchCount = prefetchCount
  }

  /** Whether it can take a message now. */
  get hasCredit(): boolean {
    const { channel } = this
    if (channel.isHeld) return false
    if (this.noAck) return true
    if (this.prefetchCount !== 0 && this.unackedCount >= this.prefetchCount) return false
    return channel.prefetchCountGlobal === 0 || channel.unackedByConsumers < channel.prefetchCountGlobal
  }
}
