/**
 * What a channel has to say besides deliveries and confirms, in the order it must be said. An answer that waits for its
 * frame to be durable holds those behind it, and holds deliveries too: consume-ok comes before the first delivery, a
 * return before its confirm.
 */
import { Deque } from '../lib/deque.ts'
import type { ChannelEvents } from '../model/channel.ts'
import type { Reply } from '../model/command.ts'
import type { BrokerError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'

type Item =
  | { readonly type: 'reply'; readonly lsn: number; readonly id: number; readonly reply: Reply }
  | { readonly type: 'returned'; readonly lsn: 0; readonly message: Message }
  | { readonly type: 'cancelled'; readonly lsn: 0; readonly consumerTag: string }
  | { readonly type: 'failed'; readonly lsn: 0; readonly id: number; readonly error: BrokerError }

export class Outbox {
  private readonly items = new Deque<Item>()

  get isEmpty(): boolean {
    return this.items.length === 0
  }

  /** The reply to command `id`, to be given when the frame `lsn` is durable; 0 = at the end of this turn. */
  reply(id: number, reply: Reply, lsn: number): void {
    this.items.push({ type: 'reply', lsn, id, reply })
  }

  returned(message: Message): void {
    this.items.push({ type: 'returned', lsn: 0, message })
  }

  cancelled(consumerTag: string): void {
    this.items.push({ type: 'cancelled', lsn: 0, consumerTag })
  }

  failed(id: number, error: BrokerError): void {
    this.items.push({ type: 'failed', lsn: 0, id, error })
  }

  clear(): void {
    this.items.clear()
  }

  /** Says what may be said now; true if nothing is left. */
  drain(events: ChannelEvents, durableLsn: number): boolean {
    for (let item = this.items.peek(); item !== undefined; item = this.items.peek()) {
      if (item.lsn > durableLsn) return false
      this.items.shift()
      switch (item.type) {
        case 'reply':
          events.replied(item.id, item.reply)
          break
        case 'returned':
          events.returned(item.message, 'NO_ROUTE')
          break
        case 'cancelled':
          events.cancelled(item.consumerTag)
          break
        case 'failed':
          events.failed(item.id, item.error)
      }
    }
    return true
  }
}
