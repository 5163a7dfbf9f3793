/**
 * The messages that one queue gets rid of and its dead-letter exchange gets. Each is published there and settled here in
 * one turn, hence in one frame of the log: after a crash it is in one of both places, never in both or in none. One that
 * is not in memory is read first; they go in the order in which they died.
 */
import { Deque } from '../lib/deque.ts'
import type { QueueCounters } from '../model/command.ts'
import type { AwaitingMessage, Entry } from '../store/entry.ts'
import type { QueueIndex } from '../store/queue-index.ts'
import type { Tick, TickedQueue } from './tick.ts'
import { Death, type DeathReason } from './x-death.ts'

/** When so many wait to be read the queue stops looking for more that have expired. */
const waitingMax = 256
/** Bodies are read as long as those that are being read have no more together. */
const readingBytesMax = 1_048_576

/** A queue that gets rid of messages. */
export interface DyingQueue extends TickedQueue {
  readonly name: string
  readonly index: QueueIndex
  readonly counters: QueueCounters
}

export class DeadLetters {
  private readonly tick: Tick
  private readonly publish: (death: Death) => void
  private readonly queue: DyingQueue
  private readonly exchange: string
  private readonly routingKey: string | null
  private readonly waiting = new Deque<DeadLetter>()
  /** The first of them, which have been asked for or were in memory. */
  private readingCount = 0
  private readingBytes = 0

  /** `routingKey` null: messages keep their own. */
  constructor(
    tick: Tick,
    publish: (death: Death) => void,
    queue: DyingQueue,
    exchange: string,
    routingKey: string | null,
  ) {
    this.tick = tick
    this.publish = publish
    this.queue = queue
    this.exchange = exchange
    this.routingKey = routingKey
  }

  get isFull(): boolean {
    return this.waiting.length >= waitingMax
  }

  /** Takes an entry that is in nobody's hands any more. */
  add(entry: Entry, reason: DeathReason): void {
    if (entry.message !== null && this.waiting.length === 0) {
      this.send(entry, reason)
      return
    }
    const letter = new DeadLetter(this, entry, reason)
    this.waiting.push(letter)
    // It lives here until it is there.
    this.queue.index.held(entry)
    this.readMore()
  }

  /** A message came, or will not come. */
  sendArrived(): void {
    for (let letter = this.waiting.peek(); letter !== undefined; letter = this.waiting.peek()) {
      if (!letter.isLost && letter.entry.message === null) break
      this.waiting.shift()
      this.readingCount--
      this.readingBytes -= letter.entry.bodyBytes
      // What cannot be read stays on disk, and in this queue.
      if (!letter.isLost) this.send(letter.entry, letter.reason)
    }
    this.readMore()
    this.tick.markQueue(this.queue)
  }

  private readMore(): void {
    const { index } = this.queue
    while (this.readingCount < this.waiting.length && this.readingBytes < readingBytesMax) {
      const letter = this.waiting.get(this.readingCount++) as DeadLetter
      this.readingBytes += letter.entry.bodyBytes
      if (letter.entry.message === null) index.await(letter.entry, letter)
    }
  }

  private send(entry: Entry, reason: DeathReason): void {
    const { queue, tick, exchange, routingKey } = this
    const { message } = entry
    if (message !== null && !queue.deleted) {
      this.publish(new Death(message, queue.name, reason, tick.nowMs, exchange, routingKey))
      queue.counters.deadLettered++
    }
    queue.index.settle(entry)
    tick.schedule()
  }
}

class DeadLetter implements AwaitingMessage {
  next: AwaitingMessage | null = null
  isLost = false
  readonly entry: Entry
  readonly reason: DeathReason
  private readonly owner: DeadLetters

  constructor(owner: DeadLetters, entry: Entry, reason: DeathReason) {
    this.owner = owner
    this.entry = entry
    this.reason = reason
  }

  arrived(): void {
    this.owner.sendArrived()
  }

  lost(): void {
    this.isLost = true
    this.owner.sendArrived()
  }
}
