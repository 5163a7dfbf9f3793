/**
 * What one queue remembers: its ready entries in order, and which entries were settled since the log last heard of it.
 *
 *     returned (heap by sequence)  ┐
 *                                  ├─ head() is the one with the lower sequence
 *     ready    (ring, ascending)   ┘
 *
 * A requeued entry goes to the heap, so it is handed out again at its original position. The queue decides, the index
 * remembers; the same push and settle serve the live path and recovery. Entries are resident: reading ahead from the log
 * will make `head` answer "loading" for those that are not.
 */
import { Deque } from '../lib/deque.ts'
import { Heap } from '../lib/heap.ts'
import type { Message } from '../model/message.ts'
import { Entry } from './entry.ts'
import { RangeList } from './range-list.ts'

/** Told once when an index has settlements the log has not heard of. */
export interface SettlementListener {
  settlementsPending(index: QueueIndex): void
}

export class QueueIndex {
  readonly queueId: number
  nextSequence = 1
  readyBytes = 0
  /** Settled since the last commit; only entries the log knows of. */
  readonly settled: RangeList = new RangeList()
  private listener: SettlementListener | null
  private dropped = false
  private readonly ready: Deque<Entry> = new Deque<Entry>()
  private readonly returned: Heap<Entry> = new Heap<Entry>((left, right) => left.sequence < right.sequence)

  /** `listener` null: nothing here is logged. */
  constructor(queueId: number, listener: SettlementListener | null) {
    this.queueId = queueId
    this.listener = listener
  }

  get readyCount(): number {
    return this.ready.length + this.returned.length
  }

  /** Appends a message at the end and gives it its sequence. */
  push(message: Message, logged: boolean): Entry {
    const entry = new Entry(message, this.nextSequence++, logged)
    this.ready.push(entry)
    this.readyBytes += message.bodyBytes
    return entry
  }

  /** Appends an entry that recovery found, whose sequence is above all before it. */
  restore(entry: Entry): void {
    if (entry.sequence >= this.nextSequence) this.nextSequence = entry.sequence + 1
    this.ready.push(entry)
    this.readyBytes += entry.message.bodyBytes
  }

  /** Takes the first ready entry out, to be handed to a consumer; it is settled or requeued later. */
  shift(): Entry | undefined {
    let entry: Entry | undefined
    if (this.returned.length === 0) entry = this.ready.shift()
    else {
      const back = this.returned.peek() as Entry
      const front = this.ready.peek()
      entry = front !== undefined && front.sequence < back.sequence ? this.ready.shift() : this.returned.pop()
    }
    if (entry !== undefined) this.readyBytes -= entry.message.bodyBytes
    return entry
  }

  /** Back to its original position. */
  requeue(entry: Entry): void {
    this.returned.push(entry)
    this.readyBytes += entry.message.bodyBytes
  }

  /** The entry is gone for good: acknowledged, rejected or purged. It was shifted before. */
  settle(entry: Entry): void {
    if (!entry.logged) return
    const residence = entry.message.residence
    if (residence !== null) residence.live--
    if (this.dropped) return
    if (this.settled.isEmpty && this.listener !== null) this.listener.settlementsPending(this)
    this.settled.add(entry.sequence)
  }

  /** The queue was deleted: what is ready lets go of the log; what consumers still hold does so when they settle it. */
  drop(): void {
    this.dropped = true
    this.listener = null
    this.settled.clear()
    for (let entry = this.shift(); entry !== undefined; entry = this.shift()) this.settle(entry)
  }

  /** Takes the newest ready entry that is not yet at or below `sequence`; for walking back over what is new. */
  newestReady(behind: number): Entry | undefined {
    return this.ready.get(this.ready.length - 1 - behind)
  }

  /** Visits the ready entries, ascending by sequence but for the returned ones, which come first. */
  forEachReady(visit: (entry: Entry) => void): void {
    for (const entry of this.returned.values()) visit(entry)
    for (let at = 0; at < this.ready.length; at++) visit(this.ready.get(at) as Entry)
  }
}
