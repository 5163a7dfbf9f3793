/**
 * Entries on their way out of a queue, in order: to its dead-letter exchange, or, when they are due, to its end. What is not
 * in memory is read first, and nobody overtakes it. They live in the queue until they are sent.
 */
import { Deque } from '../lib/deque.ts'
import type { AwaitingMessage, Entry } from '../store/entry.ts'
import type { QueueIndex } from '../store/queue-index.ts'
import type { Tick, TickedQueue } from './tick.ts'

/** When so many wait to be read the queue stops looking for more. */
const waitingMax = 256
/** Bodies are read as long as those that are being read have no more together. */
const readingBytesMax = 1_048_576

export interface DepartedQueue extends TickedQueue {
  readonly index: QueueIndex
}

export class Departures<Reason> {
  private readonly tick: Tick
  private readonly queue: DepartedQueue
  private readonly send: (entry: Entry, reason: Reason) => void
  private readonly waiting = new Deque<Departure<Reason>>()
  /** The first of them, which have been asked for or were in memory. */
  private readingCount = 0
  private readingBytes = 0

  /** `send` must settle the entry. */
  constructor(tick: Tick, queue: DepartedQueue, send: (entry: Entry, reason: Reason) => void) {
    this.tick = tick
    this.queue = queue
    this.send = send
  }

  /** How many more may come; the queue is dispatched again when that was 0 and is no more. */
  get room(): number {
    return Math.max(0, waitingMax - this.waiting.length)
  }

  /** Takes an entry that is in nobody's hands any more. */
  add(entry: Entry, reason: Reason): void {
    // Sessions that end because the storage failed give back what they have. It stays where it is on the disk.
    if (this.tick.stopped) return
    if (entry.message !== null && this.waiting.length === 0) {
      this.send(entry, reason)
      return
    }
    this.waiting.push(new Departure(this, entry, reason))
    // It lives here until it is there.
    this.queue.index.held(entry)
    this.readMore()
  }

  /** A message came, or will not come. */
  sendArrived(): void {
    if (this.tick.stopped) return
    for (let first = this.waiting.peek(); first !== undefined; first = this.waiting.peek()) {
      if (!first.isLost && first.entry.message === null) break
      this.waiting.shift()
      this.readingCount--
      this.readingBytes -= first.entry.bodyBytes
      // What cannot be read stays on disk, and in this queue.
      if (!first.isLost) this.send(first.entry, first.reason)
    }
    this.readMore()
    this.tick.markQueue(this.queue)
  }

  private readMore(): void {
    const { index } = this.queue
    while (this.readingCount < this.waiting.length && this.readingBytes < readingBytesMax) {
      const departure = this.waiting.get(this.readingCount++) as Departure<Reason>
      const { entry } = departure
      this.readingBytes += entry.bodyBytes
      if (entry.message === null) index.await(entry, departure)
    }
  }
}

class Departure<Reason> implements AwaitingMessage {
  next: AwaitingMessage | null = null
  isLost = false
  readonly entry: Entry
  readonly reason: Reason
  private readonly owner: Departures<Reason>

  constructor(owner: Departures<Reason>, entry: Entry, reason: Reason) {
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
