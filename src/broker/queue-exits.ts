/**
 * The ways out of a queue on which no consumer is done with a message: expired, too much, too often, rejected, cancelled. Its
 * dead-letter exchange gets it if there is one, and its sender is told if it asked for that; where there is nobody to be given or
 * told anything it is only settled, and need not be read for it.
 */
import type { Message } from '../model/message.ts'
import type { Entry } from '../store/entry.ts'
import { DeadLetters, type DyingQueue } from './dead-letters.ts'
import type { DepartureReason } from './departure-reason.ts'
import type { LengthLimit } from './length-limit.ts'
import type { Tick } from './tick.ts'
import type { Death } from './x-death.ts'

/** What a queue tells, in its virtual host; see SenderReceipts. */
export interface QueueReceipts<Teller> {
  wereAsked(queue: Teller): boolean
  areAsked(queue: Teller): void
  delivered(queue: Teller, message: Message): void
  departed(queue: Teller, message: Message, reason: DepartureReason, isKept: boolean): void
}

export class QueueExits<Teller extends DyingQueue> {
  private readonly queue: Teller
  private readonly tick: Tick
  private readonly publishDead: (death: Death) => void
  private readonly receipts: QueueReceipts<Teller>
  /** Where messages go that leave; null: nowhere. */
  private deadLetters: DeadLetters | null = null
  /** Whether senders of its messages want to be told; null: that was not looked at in this life. */
  private tells: boolean | null = null

  constructor(queue: Teller, tick: Tick, publishDead: (death: Death) => void, receipts: QueueReceipts<Teller>) {
    this.queue = queue
    this.tick = tick
    this.publishDead = publishDead
    this.receipts = receipts
  }

  /** From now on they go to that exchange; null: nowhere. `routingKey` null: under their own. */
  leadTo(exchange: string | null, routingKey: string | null): void {
    this.deadLetters = exchange === null ? null : this.lettersTo(exchange, routingKey)
  }

  /** Before the queue takes a message whose sender may want to be told; not between the parts of a record. */
  beginTelling(): void {
    if (this.tells === true) return
    if (!this.tellsSenders) this.receipts.areAsked(this.queue)
    this.tells = true
  }

  /** Whether senders of messages that are, or were, in it want to be told. */
  get tellsSenders(): boolean {
    this.tells ??= this.receipts.wereAsked(this.queue)
    return this.tells
  }

  /** Takes an entry that is in nobody's hands any more. */
  leave(entry: Entry, reason: DepartureReason): void {
    const { departing } = this
    if (departing === null) this.queue.index.settle(entry)
    else departing.add(entry, reason)
  }

  /** A message that never came in, for want of room: its dead-letter exchange gets it. */
  sendRefused(message: Message): void {
    this.deadLetters?.sendRefused(message)
  }

  /** Removes first entries that had expired by then: at the head alone, as RabbitMQ does. False: there may be more. */
  dropExpired(byMs: number): boolean {
    const { departing } = this
    const { index, counters } = this.queue
    for (;;) {
      // Those that wait mark the queue when they are read.
      if (departing?.isFull === true) return false
      const entry = index.takeExpired(byMs)
      if (entry === undefined) return true
      counters.expired++
      this.leave(entry, 'expired')
    }
  }

  /** Removes the first entries until the rest is not too much. Those whose message must be read first mark the queue later. */
  dropExcess(limit: LengthLimit): void {
    const { departing } = this
    const { index, counters } = this.queue
    // What refuses new messages keeps those it has.
    if (limit.refuses) return
    while (limit.isExceeded(index.readyCount, index.readyBytes) && index.readyCount > 0) {
      if (departing?.isFull === true) return
      const entry = index.takeFirst()
      if (entry === undefined) return
      counters.dropped++
      this.leave(entry, 'maxlen')
    }
  }

  /** Null: what leaves goes nowhere, and nobody is told. */
  private get departing(): DeadLetters | null {
    if (this.deadLetters === null && this.tellsSenders) this.deadLetters = this.lettersTo(null, null)
    return this.deadLetters
  }

  private lettersTo(exchange: string | null, routingKey: string | null): DeadLetters {
    return new DeadLetters(this.tick, this.publishDead, this.queue, exchange, routingKey)
  }
}
