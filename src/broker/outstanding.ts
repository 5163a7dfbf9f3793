/**
 * What a channel has handed out and is with somebody: numbered when it goes, settled by its number, or given back when the
 * channel ends. In tx mode a settlement waits in the transaction; its tag counts as settled for everybody else.
 */
import { BrokerError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { Entry } from '../store/entry.ts'
import type { Consumer } from './consumer.ts'
import { HoldTimes } from './hold-times.ts'
import type { Queue } from './queue.ts'
import { readRetryRequest } from './retry-request.ts'
import type { Outcome, Settlement, Transaction } from './transaction.ts'
import { UnackedRing } from './unacked-ring.ts'

/** The channel, as far as somebody gets credit again. */
interface CreditOwner {
  readonly prefetchCountGlobal: number
  lookForDeliveries(): void
}

export class Outstanding {
  /** Of consumers; what basic.get took does not count. */
  ofConsumers = 0
  private readonly channel: CreditOwner
  private readonly unacked = new UnackedRing()
  private readonly holdTimes = new HoldTimes()
  private nextTag = 1

  constructor(channel: CreditOwner) {
    this.channel = channel
  }

  /** The number of a delivery that nobody has to settle, or that `add` takes in. */
  takeTag(): number {
    return this.nextTag++
  }

  /** `consumer` null: basic.get took it. */
  add(tag: number, entry: Entry, queue: Queue, consumer: Consumer | null): void {
    this.unacked.push(tag, entry, queue, consumer)
    if (consumer === null) return
    consumer.unackedCount++
    consumer.meter.handed(tag, entry)
    this.ofConsumers++
  }

  /** Throws PRECONDITION_FAILED unless the delivery is with somebody and not settled in the unit. */
  check(tag: number, unit: Transaction | null): void {
    if (this.unacked.find(tag) < 0 || unit?.settledTags.has(tag) === true) throw unknownTag(tag)
  }

  /** As Channel.ack and reject; into the transaction, if there is one. Throws PRECONDITION_FAILED for an unknown tag. */
  settle(tag: number, multiple: boolean, outcome: Outcome, transaction: Transaction | null): void {
    const { unacked } = this
    if (tag === 0) {
      if (!multiple) throw unknownTag(0)
      this.settleSlots(0, unacked.slots, outcome, transaction)
      return
    }
    const slot = unacked.find(tag)
    if (slot < 0 || transaction?.settledTags.has(tag) === true) throw unknownTag(tag)
    this.settleSlots(multiple ? 0 : slot, slot + 1, outcome, transaction)
  }

  /** Of a unit that takes effect. True if something has to be durable. */
  settleAll(settlements: readonly Settlement[]): boolean {
    let needsDisk = false
    for (const { tag, outcome } of settlements) {
      const slot = this.unacked.find(tag)
      const entry = slot < 0 ? null : this.unacked.entryAt(slot)
      if (entry === null) continue
      if (entry.logged && outcome !== 'requeued') needsDisk = true
      this.settleSlot(slot, entry, outcome)
    }
    this.unacked.trim()
    return needsDisk
  }

  /** A delivery goes back to its place for later, as the message says; see retry-request.ts. */
  park(request: Message): void {
    const { deliveryTag, delayMs, headers } = readRetryRequest(request)
    const slot = this.unacked.find(deliveryTag)
    const entry = slot < 0 ? null : this.unacked.entryAt(slot)
    if (entry === null) return
    const queue = this.unacked.queueAt(slot)
    this.leave(slot)
    queue.park(entry, delayMs, headers)
    this.unacked.trim()
    this.creditReturned(queue)
  }

  /** All but what a transaction settles goes back to its place, or nowhere if its consumer said so of what is transient. */
  requeueAll(transaction: Transaction | null): void {
    const { unacked } = this
    // Nobody is done with any of it.
    for (let slot = 0; slot < unacked.slots; slot++) unacked.consumerAt(slot)?.meter.followNone()
    for (let slot = 0; slot < unacked.slots; slot++) {
      const entry = unacked.entryAt(slot)
      if (entry === null || transaction?.settledTags.has(unacked.tagAt(slot)) === true) continue
      if (unacked.consumerAt(slot)?.triesOnce === true && entry.message?.persistent === false) this.abandon(slot, entry)
      else this.settleSlot(slot, entry, 'requeued')
    }
    unacked.trim()
  }

  /** The time that some delivery was not to exceed and has, in ms; null: none has. `nowMs` is monotonic. */
  overdueMs(nowMs: number, timeoutMs: number): number | null {
    return this.holdTimes.overdue(this.unacked, this.nextTag, nowMs, timeoutMs)
  }

  private abandon(slot: number, entry: Entry): void {
    const queue = this.unacked.queueAt(slot)
    this.leave(slot)
    queue.abandon(entry)
    this.creditReturned(queue)
  }

  private settleSlots(start: number, end: number, outcome: Outcome, transaction: Transaction | null): void {
    const { unacked } = this
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
  }

  private settleSlot(slot: number, entry: Entry, outcome: Outcome): void {
    const queue = this.unacked.queueAt(slot)
    const consumer = this.leave(slot)
    if (outcome === 'acked') queue.settleUnacked(entry, consumer !== null && consumer.answersItself)
    else if (outcome === 'requeued') queue.requeue(entry)
    else queue.reject(entry)
    this.creditReturned(queue)
  }

  /** What was in the slot is with nobody any more. Returns the consumer that had it. */
  private leave(slot: number): Consumer | null {
    const { unacked } = this
    const consumer = unacked.consumerAt(slot)
    unacked.clear(slot)
    if (consumer === null) return null
    consumer.unackedCount--
    consumer.meter.settled(unacked, slot)
    this.ofConsumers--
    return consumer
  }

  private creditReturned(queue: Queue): void {
    if (this.channel.prefetchCountGlobal === 0) queue.creditReturned()
    else this.channel.lookForDeliveries()
  }
}

function unknownTag(tag: number): BrokerError {
  return new BrokerError('PRECONDITION_FAILED', `unknown delivery tag ${tag}`)
}
