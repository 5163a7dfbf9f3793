/**
 * What a channel has to say besides most deliveries and confirms, in the order it must be said. An answer that waits for its
 * frame to be durable holds those behind it, and holds deliveries too: consume-ok comes before the first delivery, a
 * return before its confirm. So does the answer to basic.get whose message is still
 * being read, or is to be durable first. A delivery is in here only if its consumer wants it when all that was stored before it is
 * as safe as a confirm says.
 */
import { Deque } from '../lib/deque.ts'
import type { BodyStore } from '../model/bodies.ts'
import type { ChannelEvents } from '../model/channel.ts'
import type { Reply } from '../model/command.ts'
import type { BrokerError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { AwaitingMessage, Entry, Pass } from '../store/entry.ts'
import { shown } from './rewrite.ts'

type Item =
  | { readonly type: 'reply'; readonly lsn: number; readonly id: number; readonly reply: Reply }
  | Got
  | Later
  | { readonly type: 'returned'; readonly lsn: 0; readonly message: Message }
  | Delivery
  | { readonly type: 'cancelled'; readonly lsn: 0; readonly consumerTag: string }
  | { readonly type: 'failed'; readonly lsn: 0; readonly id: number; readonly error: BrokerError }

interface Delivery {
  readonly type: 'delivery'
  readonly lsn: number
  readonly consumerTag: string
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly message: Message
}

/** The answer to basic.get: it belongs to whoever asked, even if the entry has gone back to its queue meanwhile. */
export class Got implements AwaitingMessage {
  readonly type = 'got' as const
  readonly lsn = 0
  readonly id: number
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly messageCount: number
  /** How often the message was handed out, this time included; 0: nobody is told. */
  readonly deliveryCount: number
  message: Message | null
  /** What it has to wait for beside its message; null: nothing. */
  pass: Pass | null = null
  /** Called when it was given, or cannot be any more; null: nobody waits for that. */
  done: (() => void) | null = null
  isLost = false
  next: AwaitingMessage | null = null
  private readonly told: () => void

  /** `told` is called when the message is there, or cannot be read. */
  constructor(
    id: number,
    deliveryTag: number,
    redelivered: boolean,
    messageCount: number,
    entry: Entry,
    deliveryCount: number,
    told: () => void,
  ) {
    this.id = id
    this.deliveryTag = deliveryTag
    this.redelivered = redelivered
    this.messageCount = messageCount
    this.deliveryCount = deliveryCount
    this.message = entry.message
    this.told = told
  }

  get isDue(): boolean {
    return this.message !== null && !this.isLost && (this.pass === null || this.pass.isOpen)
  }

  arrived(message: Message): void {
    this.message = message
    this.told()
  }

  lost(): void {
    this.isLost = true
    this.told()
  }
}

/** The answer to a command that waits for something else than the disk. */
export class Later {
  readonly type = 'later' as const
  readonly id: number
  /** The frame it waits for then. */
  lsn = 0
  reply: Reply | null = null
  error: BrokerError | null = null
  /** The channel failed before: what is said of that is the answer. */
  isVoid = false

  constructor(id: number) {
    this.id = id
  }
}

/** Whoever is told. */
export interface Receiver {
  /** It takes no more messages now. */
  readonly isPaused: boolean
}

export class Outbox {
  private readonly items = new Deque<Item>()
  private readonly bodies: BodyStore | null
  private deliveries = 0

  constructor(bodies: BodyStore | null) {
    this.bodies = bodies
  }

  get isEmpty(): boolean {
    return this.items.length === 0
  }

  /** Whether something must be said before anything is delivered; deliveries that wait hold no others. */
  get holdsDeliveries(): boolean {
    return this.items.length > this.deliveries
  }

  /** To be delivered when the frame `lsn` is safe enough. */
  delivery(lsn: number, consumerTag: string, deliveryTag: number, redelivered: boolean, message: Message): void {
    if (message.refers) this.bodies?.retain(message)
    this.deliveries++
    this.items.push({ type: 'delivery', lsn, consumerTag, deliveryTag, redelivered, message })
  }

  /** The reply to command `id`, to be given when the frame `lsn` is safe enough; 0 = at the end of this turn. */
  reply(id: number, reply: Reply, lsn: number): void {
    this.items.push({ type: 'reply', lsn, id, reply })
  }

  /** The answer to basic.get, to be given when its message is there. */
  got(answer: Got): void {
    this.items.push(answer)
  }

  later(answer: Later): void {
    this.items.push(answer)
  }

  /** The command whose message, due next, cannot be read; -1 if there is none. */
  get lostId(): number {
    const item = this.items.peek()
    return item !== undefined && item.type === 'got' && item.isLost ? item.id : -1
  }

  returned(published: Message): void {
    const message = shown(published, 0)
    if (message.refers) this.bodies?.retain(message)
    this.items.push({ type: 'returned', lsn: 0, message })
  }

  cancelled(consumerTag: string): void {
    this.items.push({ type: 'cancelled', lsn: 0, consumerTag })
  }

  failed(id: number, error: BrokerError): void {
    this.items.push({ type: 'failed', lsn: 0, id, error })
  }

  clear(): void {
    for (let item = this.items.shift(); item !== undefined; item = this.items.shift()) this.release(item)
  }

  /**
   * Says what may be said now; true if nothing is left. A message for basic.get is handed out like any other: not to a
   * receiver that is full, or one could ask in one breath for more than there is memory.
   */
  drain(events: ChannelEvents, answerableLsn: number, receiver: Receiver): boolean {
    for (let item = this.items.peek(); item !== undefined; item = this.items.peek()) {
      if (item.lsn > answerableLsn) return false
      if (item.type === 'got' && (!item.isDue || receiver.isPaused)) return false
      if (item.type === 'delivery' && receiver.isPaused) return false
      if (item.type === 'later' && item.reply === null && item.error === null && !item.isVoid) return false
      this.items.shift()
      switch (item.type) {
        case 'got':
          events.replied(item.id, gotReply(item))
          item.done?.()
          break
        case 'reply':
          events.replied(item.id, item.reply)
          break
        case 'later':
          if (item.reply !== null) events.replied(item.id, item.reply)
          if (item.error === null) break
          events.failed(item.id, item.error)
          // The channel has failed with this: nothing that came later is answered.
          this.clear()
          break
        case 'returned':
          events.returned(item.message, 'NO_ROUTE')
          this.release(item)
          break
        case 'delivery':
          events.delivered(item.consumerTag, item.deliveryTag, item.redelivered, item.message)
          this.release(item)
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

  private release(item: Item): void {
    if (item.type === 'delivery') this.deliveries--
    if (item.type === 'got') item.done?.()
    else if ((item.type === 'returned' || item.type === 'delivery') && item.message.refers)
      this.bodies?.release(item.message)
  }
}

function gotReply({ deliveryTag, redelivered, message, messageCount, deliveryCount }: Got): Reply {
  return {
    type: 'basic.get-ok',
    deliveryTag,
    redelivered,
    message: shown(message as Message, deliveryCount),
    messageCount,
  }
}
