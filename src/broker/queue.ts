/**
 * A queue: ready entries in order, consumers in turn. It decides who gets what; its index remembers.
 *
 * A message arrives with `accept`, which only marks the queue; `dispatch` at the end of the turn hands out what consumers
 * have credit for. What stays behind is copied out of the socket's chunk into the queue's slab.
 */

import { Slab } from '../lib/slab.ts'
import type { QueueCounters } from '../model/command.ts'
import type { FieldTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import type { Entry } from '../store/entry.ts'
import type { QueueIndex } from '../store/queue-index.ts'
import { entryOverheadBytes, type ResidentMemory } from './resident-memory.ts'
import type { Tick, TickedQueue } from './tick.ts'

/** A consumer, as its queue sees it. */
export interface Subscriber {
  readonly noAck: boolean
  readonly exclusive: boolean
  /** Whether it can take a message now. */
  readonly hasCredit: boolean
  take(entry: Entry, redelivered: boolean): void
  /** The queue is going, and the consumer with it. */
  ended(): void
}

/** Whoever alone may use an exclusive queue. */
export interface QueueOwner {
  readonly exclusiveQueues: Set<Queue>
}

export class Queue implements TickedQueue {
  readonly kindOfThing = 'queue' as const
  readonly id: number
  readonly name: string
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly arguments: FieldTable
  /** The session that alone may use it; null if it is not exclusive. */
  owner: QueueOwner | null = null
  readonly index: QueueIndex
  readonly consumers: Subscriber[] = []
  readonly counters: QueueCounters = {
    published: 0,
    publishedBytes: 0,
    delivered: 0,
    deliveredBytes: 0,
    redelivered: 0,
    settled: 0,
    settledBytes: 0,
  }
  unackedCount = 0
  deleted = false
  routeMark = 0
  /** In the tick's list of queues to dispatch. */
  marked = false
  private readonly tick: Tick
  private readonly memory: ResidentMemory
  private readonly slab = new Slab()
  private nextConsumer = 0
  /** Entries at the end of the ready ring whose content is still where the network put it. */
  private newcomers = 0

  constructor(
    tick: Tick,
    memory: ResidentMemory,
    id: number,
    name: string,
    durable: boolean,
    autoDelete: boolean,
    table: FieldTable,
    index: QueueIndex,
  ) {
    this.tick = tick
    this.memory = memory
    this.id = id
    this.name = name
    this.durable = durable
    this.autoDelete = autoDelete
    this.arguments = table
    this.index = index
    index.forEachReady((entry) => {
      memory.bytes += entry.message.contentBytes + entryOverheadBytes
    })
  }

  get readyCount(): number {
    return this.index.readyCount
  }

  /** Takes a message in and returns the sequence it got. */
  accept(message: Message, logged: boolean): number {
    const entry = this.index.push(message, logged)
    this.newcomers++
    this.memory.bytes += message.contentBytes + entryOverheadBytes
    const { counters } = this
    counters.published++
    counters.publishedBytes += message.bodyEnd - message.bodyStart
    if (!this.marked) this.tick.markQueue(this)
    return entry.sequence
  }

  /** Hands out at most `budget` messages; true if consumers could take more. */
  dispatch(budget: number): boolean {
    let left = budget
    let more = false
    while (this.index.readyCount > 0) {
      const consumer = this.takeTurn()
      if (consumer === null) break
      if (left-- === 0) {
        // Its turn comes when the hand-out goes on.
        this.nextConsumer--
        more = true
        break
      }
      const entry = this.index.shift() as Entry
      this.handOver(entry, consumer)
    }
    this.keepNewcomers()
    return more
  }

  /** The first ready entry, for basic.get; the caller keeps it or settles it. */
  take(): Entry | undefined {
    const entry = this.index.shift()
    if (entry === undefined) return undefined
    this.countDelivery(entry)
    return entry
  }

  /** The caller of `take` keeps the entry until it is settled or requeued. */
  hold(entry: Entry): void {
    if (!entry.message.owned) entry.message.keepIn(this.slab)
    this.unackedCount++
  }

  /** An unacknowledged entry comes back to its place. */
  requeue(entry: Entry): void {
    this.unackedCount--
    if (this.deleted) {
      this.forget(entry)
      return
    }
    this.index.requeue(entry)
    if (!this.marked) this.tick.markQueue(this)
  }

  /** An entry that a consumer held is done with. */
  settleUnacked(entry: Entry): void {
    this.unackedCount--
    this.settle(entry)
  }

  /** Removes every ready entry and returns how many there were. */
  purge(): number {
    let count = 0
    for (let entry = this.index.shift(); entry !== undefined; entry = this.index.shift()) {
      this.forget(entry)
      count++
    }
    this.newcomers = 0
    return count
  }

  addConsumer(consumer: Subscriber): void {
    this.consumers.push(consumer)
    if (this.index.readyCount > 0) this.tick.markQueue(this)
  }

  removeConsumer(consumer: Subscriber): void {
    const at = this.consumers.lastIndexOf(consumer)
    if (at < 0) return
    this.consumers.splice(at, 1)
    if (this.nextConsumer > at) this.nextConsumer--
  }

  /** A consumer can take more: look again at the end of the turn. */
  creditReturned(): void {
    if (!this.marked && this.index.readyCount > 0) this.tick.markQueue(this)
  }

  /** Round robin over the consumers with credit; null if there is none. */
  private takeTurn(): Subscriber | null {
    const { consumers } = this
    const { length } = consumers
    for (let tried = 0; tried < length; tried++) {
      if (this.nextConsumer >= length) this.nextConsumer = 0
      const consumer = consumers[this.nextConsumer++] as Subscriber
      if (consumer.hasCredit) return consumer
    }
    return null
  }

  private handOver(entry: Entry, consumer: Subscriber): void {
    const redelivered = this.countDelivery(entry)
    if (consumer.noAck) this.settle(entry)
    else {
      if (!entry.message.owned) entry.message.keepIn(this.slab)
      this.unackedCount++
    }
    consumer.take(entry, redelivered)
  }

  private countDelivery(entry: Entry): boolean {
    const { counters } = this
    if (entry.deliveryCount++ > 0) {
      counters.redelivered++
      return true
    }
    counters.delivered++
    counters.deliveredBytes += entry.message.bodyEnd - entry.message.bodyStart
    return false
  }

  settle(entry: Entry): void {
    this.counters.settled++
    this.counters.settledBytes += entry.message.bodyEnd - entry.message.bodyStart
    this.forget(entry)
  }

  private forget(entry: Entry): void {
    this.memory.bytes -= entry.message.contentBytes + entryOverheadBytes
    this.index.settle(entry)
  }

  /** Copies what came in this turn and stays out of the network's chunks. */
  private keepNewcomers(): void {
    for (let behind = 0; behind < this.newcomers; behind++) {
      const entry = this.index.newestReady(behind)
      if (entry === undefined) break
      if (!entry.message.owned) entry.message.keepIn(this.slab)
    }
    this.newcomers = 0
  }
}
