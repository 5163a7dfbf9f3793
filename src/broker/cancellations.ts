/**
 * Messages of one queue that are removed by their message-id. Whoever asks waits until all that waited in the queue was looked
 * through, in slices, and what was found was taken out. Those that ask meanwhile wait for the next round, together.
 *
 * What is hidden and becomes due meanwhile is looked at in the moment in which it appears, for the walk may find it in neither
 * place (store/queue-index-walk.ts).
 *
 * What is not in memory is read; before it is taken out it is looked for once more, as it may be with a consumer by then.
 */
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Message } from '../model/message.ts'
import type { Clock } from '../platform/clock.ts'
import type { Entry } from '../store/entry.ts'
import type { QueueIndex } from '../store/queue-index.ts'
import type { QueueWalk } from '../store/queue-index-walk.ts'
import type { Tick } from './tick.ts'

/** How often it is looked whether what is due has appeared. */
const appearMs = 10
/** Their messages may have to be read. */
const parkedAtOnce = 64

/** A queue, as far as its messages are removed by their id. */
export interface CancellingQueue {
  readonly index: QueueIndex
  readonly deleted: boolean
  /** What waits and is not in the index: deliveries that were given back for later. */
  readonly parkedEntries: readonly Entry[]
  /** Takes out what waits; false if it is not there any more. */
  withdraw(entry: Entry): boolean
  /** The entry is being removed. */
  cancelled(message: Message): void
}

class Order {
  count = 0
  readonly messageId: string
  readonly done: (count: number) => void

  constructor(messageId: string, done: (count: number) => void) {
    this.messageId = messageId
    this.done = done
  }
}

/** One way through the queue. */
class Round {
  readonly orders: Map<string, Order[]> = new Map()
  private readonly walk: QueueWalk
  /** What waits outside of the index, and is looked at first. */
  private readonly parked: Entry[]
  /** What was due at the end and has not appeared; null: it is not over. */
  appearing: Entry[] | null = null

  constructor(orders: readonly Order[], { index, parkedEntries }: CancellingQueue) {
    for (const order of orders) this.orders.set(order.messageId, [...(this.orders.get(order.messageId) ?? []), order])
    this.parked = [...parkedEntries]
    this.walk = index.walk()
  }

  /** The entries to be looked at next; none: that was all. */
  next(): readonly Entry[] {
    return this.parked.length > 0 ? this.parked.splice(0, parkedAtOnce) : this.walk.next()
  }

  end(): void {
    this.walk.end()
  }
}

export class Cancellations {
  private readonly clock: Clock
  private readonly tick: Tick
  private readonly queue: CancellingQueue
  private waiting: Order[] = []
  private round: Round | null = null

  constructor(clock: Clock, tick: Tick, queue: CancellingQueue) {
    this.clock = clock
    this.tick = tick
    this.queue = queue
  }

  /** Calls `done` with how many were removed, inside this call or later. */
  ask(messageId: string, done: (count: number) => void): void {
    this.waiting.push(new Order(messageId, done))
    if (this.round === null) this.begin()
  }

  /** Whether somebody wants the entry removed, which is due and appears now. It is then told so. */
  takes(entry: Entry): boolean {
    const { round } = this
    const message = entry.message
    if (round === null || message === null) return false
    const orders = this.ordersFor(round, message)
    if (orders === undefined) return false
    this.took(orders, message)
    return true
  }

  private begin(): void {
    const orders = this.waiting
    this.waiting = []
    this.round = new Round(orders, this.queue)
    this.goOn(this.round)
  }

  private goOn(round: Round): void {
    const { clock, queue, tick } = this
    const untilMs = clock.monotonicMs() + limits.sliceMs
    // Sessions ended, and nobody is told anything.
    while (!tick.stopped) {
      const entries = queue.deleted ? [] : round.next()
      if (entries.length === 0) return this.finish(round)
      if (entries.some(({ message }) => message === null)) return this.read(round, entries)
      for (const entry of entries) this.look(round, entry, entry.message)
      if (clock.monotonicMs() >= untilMs) return clock.defer(() => this.goOn(round))
    }
  }

  private read(round: Round, entries: readonly Entry[]): void {
    this.queue.index.read(entries, (messages) => {
      if (this.tick.stopped) return
      if (!this.queue.deleted) {
        for (const [at, entry] of entries.entries()) this.look(round, entry, messages[at] ?? null)
      }
      // Nothing is called back inside the call that caused it; and others have had their turn meanwhile.
      this.clock.defer(() => this.goOn(round))
    })
  }

  private look(round: Round, entry: Entry, message: Message | null): void {
    if (message === null) return
    const orders = this.ordersFor(round, message)
    if (orders !== undefined && this.queue.withdraw(entry)) this.took(orders, message)
  }

  private took(orders: readonly Order[], message: Message): void {
    // Whoever asked first gets it, if several ask for the same.
    ;(orders[0] as Order).count++
    this.queue.cancelled(message)
    // The record must be written although nothing else happens.
    this.tick.schedule()
  }

  private ordersFor(round: Round, message: Message): readonly Order[] | undefined {
    try {
      const { messageId } = message.decodeProperties()
      return messageId === undefined ? undefined : round.orders.get(messageId)
    } catch (error) {
      // Nobody can say what its id is.
      if (error instanceof BrokerError) return undefined
      throw error
    }
  }

  /** All was looked at, but for what is due and being read: that is waited for. */
  private finish(round: Round): void {
    const { queue, clock } = this
    if (round.appearing === null) {
      const appearing: Entry[] = []
      queue.index.forEachHeld((entry) => {
        if (entry.dueAt > 0) appearing.push(entry)
      })
      round.appearing = appearing
    }
    round.appearing = round.appearing.filter(({ heldAt, isLost }) => heldAt >= 0 && !isLost)
    if (round.appearing.length > 0 && !queue.deleted) {
      clock.setTimer(appearMs, () => {
        if (!this.tick.stopped) this.finish(round)
      })
      return
    }
    round.end()
    this.round = null
    for (const orders of round.orders.values()) for (const { done, count } of orders) done(count)
    if (this.waiting.length > 0) this.begin()
  }
}
