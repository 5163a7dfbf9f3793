/**
 * What one queue remembers: its entries from when they are pushed until they are settled, and which were settled since the
 * log last heard of it.
 *
 *     push         ready    in their order, until a consumer takes them: ready-entries.ts, lane.ts, key-turns.ts
 *                    ▼ ▲
 *                  held     by consumers, until they settle them or give them back
 *                    ▲
 *     pushDelayed  hidden   until they are due, then held by whoever publishes their messages anew: delay-wheel.ts
 *
 * The queue decides, the index remembers. Whose turn it is, the index knows at once, however long the queue is; the message
 * may have to be read first (read-ahead.ts): then `takeReady` gives nothing, asks for it, and the owner hears of it when it is
 * there.
 *
 * The memory that entries take, ready or with consumers, is counted (entry-memory.ts), and messages that can be read again
 * are let go of.
 */
import type { Rate } from '../lib/rate-meter.ts'
import type { Message } from '../model/message.ts'
import { type AwaitingMessage, Entry, HeldEntries, type Pass } from './entry.ts'
import { EntryMemory } from './entry-memory.ts'
import { KeyTurns } from './key-turns.ts'
import { MessageRead } from './message-read.ts'
import { QueueBodies } from './queue-bodies.ts'
import type { BackedIndex, IndexBacking, IndexOwner } from './queue-index-backing.ts'
import { QueueWalk } from './queue-index-walk.ts'
import { QueueLanes } from './queue-lanes.ts'
import { RangeList } from './range-list.ts'
import { ReadAhead } from './read-ahead.ts'
import { ReadyEntries } from './ready-entries.ts'
import type { ResidentMemory } from './resident-memory.ts'
import type { GatedIndex, SyncGate } from './sync-gate.ts'
import { WaitingEntries } from './waiting-entries.ts'

export class QueueIndex implements GatedIndex, BackedIndex, IndexOwner {
  readonly queueId: number
  /** Whether its queue outlives the process. */
  readonly durable: boolean
  nextSequence = 1
  /** What was there before this life has a smaller sequence. */
  firstOfLife = 1
  /** Some entry here may expire. */
  mayExpire = false
  /** Settled since the last commit; only entries the log knows of. */
  readonly settled: RangeList = new RangeList()
  /** Whose index it is. */
  owner: IndexOwner | null = null
  isDropped = false
  /** All there are, for whoever recovers them, or goes through them. */
  readonly lanes: QueueLanes
  private readonly ready: ReadyEntries
  /** What consumers hold: it lives, too. */
  private readonly heldEntries = new HeldEntries()
  private readonly memory: EntryMemory
  private readonly reading: ReadAhead
  private readonly backing: IndexBacking | null
  /** Null: none is in a file. */
  private readonly bodies: QueueBodies | null
  /** Null: what is accepted may be handed out. */
  private gate: SyncGate | null = null
  private waitsAtGate = false
  /** A higher priority counts as this one; 0: none counts, but of messages that say it does. */
  private maxPriority = 0
  /** What was hidden and due by then counts as handed out if its sequence is suspect, in ms since 1970. */
  private suspectDueMs = 0

  /** `backing` null: there is no log, everything stays in memory. */
  constructor(queueId: number, durable: boolean, memory: ResidentMemory, backing: IndexBacking | null) {
    this.queueId = queueId
    this.durable = durable
    this.backing = backing
    this.memory = new EntryMemory(memory, backing)
    this.lanes = new QueueLanes(queueId, this.memory, backing)
    this.ready = new ReadyEntries(this.lanes.ready, this.memory)
    this.reading = new ReadAhead(queueId, this.ready, this.heldEntries, this.memory, backing, this)
    const refs = backing?.bodyRefs ?? null
    this.bodies = refs === null ? null : new QueueBodies(queueId, refs, this.heldEntries)
  }

  get readyCount(): number {
    return this.ready.count
  }

  /** Of the bodies of what is ready. */
  get readyBytes(): number {
    return this.ready.bytes
  }

  /** Entries with a delivery count of 0 below this were perhaps handed out by a life that did not tell. */
  get suspectBelow(): number {
    return this.lanes.ready.suspectBelow
  }

  /** Appends a message at the end and gives it its sequence. */
  push(message: Message, logged: boolean, expiresAt = 0, keyHash = 0): Entry {
    const priority = message.priority === 0 ? 0 : this.priorityOf(message)
    const entry = new Entry(message, this.nextSequence++, logged, message.bodyBytes, priority, expiresAt, keyHash)
    if (message.refers) this.bodies?.add(entry, message)
    if (expiresAt > 0) this.mayExpire = true
    this.ready.push(entry)
    return entry
  }

  /** Appends a message that is hidden until it is due. */
  pushDelayed(
    message: Message,
    logged: boolean,
    dueAt: number,
    expiresAt: number,
    keyHash: number,
    nowMs: number,
  ): Entry {
    const priority = this.priorityOf(message)
    const { bodyBytes } = message
    const entry = new Entry(message, this.nextSequence++, logged, bodyBytes, priority, expiresAt, keyHash, dueAt)
    if (message.refers) this.bodies?.add(entry, message)
    entry.isReady = false
    this.lanes.wheel.push(entry, nowMs)
    this.memory.add(entry)
    return entry
  }

  private priorityOf({ priority, ranks }: Message): number {
    return ranks && this.maxPriority === 0 ? priority : Math.min(priority, this.maxPriority)
  }

  /** What waits here, for whoever takes nothing. */
  get waiting(): WaitingEntries {
    return new WaitingEntries(this.lanes.ready, this.ready.keys, this.lanes.hidden)
  }

  /** A way through all that waits, for whoever looks for something. */
  walk(): QueueWalk {
    return new QueueWalk(this.waiting, this.nextSequence)
  }

  /** Gives the messages of entries that stay where they are, now or later, to `done`; null for those that cannot be read. */
  read(entries: readonly Entry[], done: (messages: readonly (Message | null)[]) => void): void {
    const read = new MessageRead(this.queueId, entries, done)
    if (read.wanted.length === 0) read.loadEnded()
    else this.backing?.fetch(read, read.wanted)
  }

  /** How many are hidden. */
  get delayedCount(): number {
    return this.lanes.hidden?.count ?? 0
  }

  /** When `takeDue` may have something, in ms since 1970; infinity: nothing is hidden. */
  get nextDueMs(): number {
    return this.lanes.hidden?.nextMs ?? Number.POSITIVE_INFINITY
  }

  /**
   * Takes up to `max` entries that are due by then; the caller holds them, and publishes their messages anew. Returns whether
   * there may be more.
   */
  takeDue(nowMs: number, max: number, visit: (entry: Entry) => void): boolean {
    const { hidden: wheel } = this.lanes
    if (wheel === null || wheel.nextMs > nowMs) return false
    return wheel.advance(nowMs, max, (hidden, dueAt, expiresAt) => {
      const { message, sequence, logged, bodyBytes, priority, keyHash, place } = hidden
      const entry = new Entry(message, sequence, logged, bodyBytes, priority, expiresAt, keyHash, dueAt)
      entry.isReady = false
      entry.place = place
      // Before a crash it may have been due already, and with somebody.
      if (sequence < this.suspectBelow && dueAt <= this.suspectDueMs) entry.deliveryCount = 1
      if (message === null) this.memory.add(entry)
      this.heldEntries.add(entry)
      visit(entry)
    })
  }

  /** The first entry if it may be handed to a consumer; null if there is none, or not yet: its owner hears when to look. */
  takeReady(): Entry | null {
    const entry = this.ready.first()
    if (entry === undefined) return null
    if (entry.message === null) {
      this.reading.next()
      return null
    }
    if (this.gate !== null && !this.gate.isOpen(entry)) {
      if (!this.waitsAtGate) this.gate.wait(this)
      this.waitsAtGate = true
      return null
    }
    this.ready.remove(entry)
    return entry
  }

  /** Whether nobody can be given anything because every key has to wait. */
  get waitsForKeys(): boolean {
    return this.ready.keys !== null && this.ready.first() === undefined
  }

  gateOpened(): void {
    this.waitsAtGate = false
    this.loaded()
  }

  loaded(): void {
    this.owner?.loaded()
  }

  /** What an entry that was taken without asking has to wait for; null: nothing. */
  passFor(entry: Entry): Pass | null {
    return this.gate === null ? null : this.gate.passFor(entry)
  }

  /** The first entry, whether its message is there or not: see `await`. */
  take(): Entry | undefined {
    const entry = this.ready.first()
    if (entry !== undefined) this.ready.remove(entry)
    return entry
  }

  /** Asks for the message of an entry that was taken without it. */
  await(entry: Entry, waiter: AwaitingMessage): void {
    this.reading.await(entry, waiter)
  }

  /** Asks for messages that will be wanted next, if there is room for them or the first one is missing. */
  readAhead(): void {
    this.reading.next()
  }

  /** Back to its original position. */
  requeue(entry: Entry): void {
    this.heldEntries.remove(entry)
    // It lives, but nobody gets it in this life.
    if (entry.isLost) this.heldEntries.add(entry)
    else this.ready.requeue(entry)
  }

  /** Its body cannot be read: it lives, but nobody gets it in this life. It was taken before. */
  setAside(entry: Entry): void {
    entry.isLost = true
    // As for one whose record cannot be read: those of its key go on.
    this.ready.settled(entry)
    this.heldEntries.add(entry)
  }

  /** The entry is gone for good. It was taken before. */
  settle(entry: Entry): void {
    this.heldEntries.remove(entry)
    // What was hidden never had the turn of its key, and what cannot be read has given it back.
    if (entry.dueAt === 0 && !entry.isLost) this.ready.settled(entry)
    this.leave(entry)
    this.tell(entry)
  }

  /** Takes out an entry that waits, wherever it is by now, and settles it; false if it does not wait any more. */
  withdraw(entry: Entry): boolean {
    const withdrawn = (entry.dueAt > 0 ? this.lanes.hidden : this.ready)?.withdraw(entry) ?? null
    if (withdrawn === null) return false
    if (withdrawn.isObject) this.leave(withdrawn.entry)
    this.tell(withdrawn.entry)
    return true
  }

  /** Somebody may still wait for the message: then its record must stay until it was read. */
  private leave(entry: Entry): void {
    if (entry.isAwaited) entry.isSettled = true
    else this.memory.free(entry)
  }

  /** The log hears that the entry is gone, if it knows of it. */
  private tell(entry: Entry): void {
    if (!entry.logged || this.isDropped) return this.bodies?.gone(entry)
    if (this.settled.isEmpty) this.backing?.settlementsPending(this)
    this.settled.add(entry.sequence)
  }

  /** A consumer is about to be given the entry. It may settle it at once, so that it has to be known as held before. */
  hold(entry: Entry): void {
    if (this.backing !== null) this.heldEntries.add(entry)
  }

  /** As `hold`; and whoever holds it has been given its message if it is there: see what stays of it. */
  held(entry: Entry): void {
    this.hold(entry)
    this.given(entry)
  }

  /** The consumer has been given the message of what it holds, and may have settled it: see what stays of it. */
  given(entry: Entry): void {
    this.memory.handedOut(entry)
  }

  /** A queue with priorities has a lane for each. */
  usePriorities(maxPriority: number): void {
    this.maxPriority = maxPriority
  }

  /** At most so many messages of one key are with consumers at a time. */
  useKeys(concurrency: number, rate: Rate | null = null): void {
    this.ready.keys = new KeyTurns(concurrency, rate)
  }

  /** So late it is, in monotonic ms: keys that had to wait until now may have their turn. */
  advanceKeys(nowMs: number): void {
    this.ready.keys?.advance(nowMs)
  }

  /** When that is to be called next; infinity: never. */
  get nextKeyMs(): number {
    return this.ready.keys?.nextMs ?? Number.POSITIVE_INFINITY
  }

  /** Messages are handed out when they are durable. */
  deliverAfterSync(): void {
    this.gate = this.backing?.gate ?? null
  }

  /** The first entry of some priority that has expired by then, taken out; undefined if there is none. */
  takeExpired(nowMs: number): Entry | undefined {
    return this.mayExpire ? this.ready.takeExpired(nowMs) : undefined
  }

  /** Takes out the first entry, be it the turn of its key or not: nobody is to get it. */
  takeFirst(): Entry | undefined {
    return this.ready.takeFirst()
  }

  /** When the next first entry of some priority expires, in ms since 1970; infinity if none does. */
  get nextExpiryMs(): number {
    return this.mayExpire ? this.ready.nextExpiryMs : Number.POSITIVE_INFINITY
  }

  /** Removes everything ready and returns how many entries that were. */
  purge(): number {
    const count = this.readyCount + this.delayedCount
    if (count === 0) return 0
    // One record says it all, however many there are; but it must not come after later settlements.
    this.ready.clear((entry) => this.leave(entry))
    this.lanes.hidden?.clear((entry) => this.memory.free(entry))
    this.bodies?.purged(this.nextSequence)
    if (!this.isDropped && this.durable && this.backing !== null) {
      this.backing.purged(this)
      // What was settled before is covered by that.
      this.settled.clear()
    }
    return count
  }

  /** The queue was deleted: what is ready lets go of the log; what consumers still hold does so when they settle it. */
  drop(): void {
    this.isDropped = true
    this.reading.drop()
    this.settled.clear()
    this.purge()
    this.bodies?.dropped()
  }

  /** End of turn: what came in it and stays is copied out of the network's chunks, or goes to the log alone. */
  settleNewcomers(): void {
    this.lanes.settleNewcomers()
  }

  /** Recovery is done: counts what is there. Messages below `suspectBelow` that were due by then may have been handed out. */
  recovered(nextSequence: number, suspectBelow: number, suspectDueMs: number): void {
    this.nextSequence = Math.max(this.nextSequence, nextSequence)
    this.firstOfLife = this.nextSequence
    this.lanes.ready.suspectBelow = suspectBelow
    this.suspectDueMs = suspectDueMs
    this.lanes.hidden?.recovered()
    this.ready.recovered()
  }

  /** Visits what consumers hold. */
  forEachHeld(visit: (entry: Entry) => void): void {
    this.heldEntries.forEach(visit)
  }

  /** Visits what is in no lane: what consumers hold, and what waits for the turn of its key. */
  forEachOutside(visit: (entry: Entry) => void): void {
    this.heldEntries.forEach(visit)
    this.ready.keys?.forEachEntry(visit)
  }
}
