/**
 * What one queue remembers: its ready entries in order, and which entries were settled since the log last heard of it.
 *
 * The queue decides, the index remembers. Whose turn it is, the index knows at once, however long the queue is; the message
 * may have to be read first: then `takeReady` gives nothing, asks for it, and the owner hears of it when it is there.
 *
 * It counts the memory its entries take, ready or with consumers, and lets go of messages that can be read again.
 */

import type { Rate } from '../lib/rate-meter.ts'
import { Slab } from '../lib/slab.ts'
import { limits } from '../model/limits.ts'
import type { Message } from '../model/message.ts'
import { Backlog } from './backlog.ts'
import { DelayWheel, isDelayedLane, type WheelOwner } from './delay-wheel.ts'
import { type AwaitingMessage, Entry, HeldEntries, type Pass, type RecordPlace, takeWaiters } from './entry.ts'
import type { IndexPage } from './index-page.ts'
import { KeyTurns } from './key-turns.ts'
import { Lane, type LaneOwner } from './lane.ts'
import { Lanes } from './lanes.ts'
import { MessageRead, type MessageReceiver } from './message-read.ts'
import { QueueBodies } from './queue-bodies.ts'
import type { BackedIndex, IndexBacking, IndexOwner } from './queue-index-backing.ts'
import { QueueWalk } from './queue-index-walk.ts'
import { RangeList } from './range-list.ts'
import { ReadingList } from './reading-list.ts'
import { entryOverheadBytes, type ResidentMemory } from './resident-memory.ts'
import type { GatedIndex, SyncGate } from './sync-gate.ts'
import { WaitingEntries } from './waiting-entries.ts'

/**
 * What a consumer was given is kept in memory in case it comes back, unless it is larger: then reading it again when that
 * happens costs less than copying each in case it does.
 */
const keptBytesMax = 512
/** One read brings at most so much. */
const loadBytesMax = 1_048_576
const loadBytesMin = 65_536
/** So many entries at most are spread over their keys: where more of one key wait, the others come later. */
const stageEntriesMax = 8_192
/** A window holds no more than it needs to be read ahead of the fastest consumer. */
const windowBytesEnough = 8_388_608

export class QueueIndex implements LaneOwner, WheelOwner, GatedIndex, MessageReceiver, BackedIndex {
  readonly queueId: number
  /** Whether its queue outlives the process. */
  readonly durable: boolean
  nextSequence = 1
  readyCount = 0
  /** Some entry here may expire. */
  mayExpire = false
  readyBytes = 0
  /** Entries with a delivery count of 0 below this were perhaps handed out by a life that did not tell. */
  suspectBelow = 0
  /** Those of them that were hidden and due by then, too. */
  private suspectDueMs = 0
  /** Settled since the last commit; only entries the log knows of. */
  readonly settled: RangeList = new RangeList()
  owner: IndexOwner | null = null
  /** What consumers hold: it lives, too. */
  private readonly heldEntries = new HeldEntries()
  /** Bytes of entries that are ready and objects. */
  private windowBytes = 0
  private readonly memory: ResidentMemory
  private readonly backing: IndexBacking | null
  /** Null: none is in a file. */
  private readonly bodies: QueueBodies | null
  private readonly slab = new Slab()
  private readonly lanes: Lanes
  /** Null: the queue knows no keys. */
  private keys: KeyTurns | null = null
  /** Null: nothing was ever hidden. */
  private delays: DelayWheel | null = null
  /** Null: what is accepted may be handed out. */
  private gate: SyncGate | null = null
  private waitsAtGate = false
  /** A higher priority counts as this one. */
  private maxPriority = 0
  isDropped = false
  private isLoading = false
  /** Entries with a consumer that were taken before their message came. */
  private wanted: Entry[] = []

  /** `backing` null: there is no log, everything stays in memory. */
  constructor(queueId: number, durable: boolean, memory: ResidentMemory, backing: IndexBacking | null) {
    this.queueId = queueId
    this.durable = durable
    this.memory = memory
    this.backing = backing
    const refs = backing?.bodyRefs ?? null
    this.bodies = refs === null ? null : new QueueBodies(queueId, refs, this.heldEntries)
    this.lanes = new Lanes((priority) => this.makeLane(priority, priority))
  }

  /** Appends a message at the end and gives it its sequence. */
  push(message: Message, logged: boolean, expiresAt = 0, keyHash = 0): Entry {
    const priority = this.maxPriority === 0 ? 0 : Math.min(message.priority, this.maxPriority)
    const { bodyBytes } = message
    const entry = new Entry(message, this.nextSequence++, logged, bodyBytes, priority, expiresAt, keyHash)
    if (message.refers) this.bodies?.add(entry, message)
    if (expiresAt > 0) this.mayExpire = true
    const lane = priority === 0 ? this.lanes.lowest : this.laneOf(priority)
    lane.push(entry)
    this.readyCount++
    this.readyBytes += entry.bodyBytes
    this.countIn(message.contentBytes + entryOverheadBytes)
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
    const priority = Math.min(message.priority, this.maxPriority)
    const { bodyBytes } = message
    const entry = new Entry(message, this.nextSequence++, logged, bodyBytes, priority, expiresAt, keyHash, dueAt)
    if (message.refers) this.bodies?.add(entry, message)
    entry.isReady = false
    this.wheel.push(entry, nowMs)
    this.memory.bytes += costOf(entry)
    return entry
  }

  /** What waits here, for whoever takes nothing. */
  get waiting(): WaitingEntries {
    return new WaitingEntries(this.lanes, this.keys, this.delays, this.suspectBelow)
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
    return this.delays?.count ?? 0
  }

  /** When `takeDue` may have something, in ms since 1970; infinity: nothing is hidden. */
  get nextDueMs(): number {
    return this.delays?.nextMs ?? Number.POSITIVE_INFINITY
  }

  /**
   * Takes up to `max` entries that are due by then; the caller holds them, and publishes their messages anew. Returns whether
   * there may be more.
   */
  takeDue(nowMs: number, max: number, visit: (entry: Entry) => void): boolean {
    const { delays } = this
    if (delays === null || delays.nextMs > nowMs) return false
    return delays.advance(nowMs, max, (hidden, dueAt, expiresAt) => {
      const { message, sequence, logged, bodyBytes, priority, keyHash, place } = hidden
      const entry = new Entry(message, sequence, logged, bodyBytes, priority, expiresAt, keyHash, dueAt)
      entry.isReady = false
      entry.place = place
      // Before a crash it may have been due already, and with somebody.
      if (sequence < this.suspectBelow && dueAt <= this.suspectDueMs) entry.deliveryCount = 1
      if (message === null) this.memory.bytes += costOf(entry)
      this.heldEntries.add(entry)
      visit(entry)
    })
  }

  /** The first entry if it may be handed to a consumer; null if there is none, or not yet: its owner hears when to look. */
  takeReady(): Entry | null {
    // The one lane that most queues have.
    const lane = this.lanes.highest === 0 && this.keys === null ? this.lanes.lowest : null
    const entry = lane === null ? this.first() : lane.peek(this.suspectBelow)
    if (entry === undefined) return null
    if (entry.message === null) {
      this.readAhead()
      return null
    }
    if (this.gate !== null && !this.gate.isOpen(entry)) {
      if (!this.waitsAtGate) this.gate.wait(this)
      this.waitsAtGate = true
      return null
    }
    if (lane === null) this.remove(entry)
    else {
      lane.remove(entry)
      this.countOutReady(entry)
    }
    return entry
  }

  /** Whether nobody can be given anything because every key has to wait. */
  get waitsForKeys(): boolean {
    return this.keys !== null && this.first() === undefined
  }

  gateOpened(): void {
    this.waitsAtGate = false
    this.owner?.loaded()
  }

  /** What an entry that was taken without asking has to wait for; null: nothing. */
  passFor(entry: Entry): Pass | null {
    return this.gate === null ? null : this.gate.passFor(entry)
  }

  /** The first entry, whether its message is there or not: see `await`. */
  take(): Entry | undefined {
    const entry = this.first()
    if (entry !== undefined) this.remove(entry)
    return entry
  }

  /** Asks for the message of an entry that was taken without it. */
  await(entry: Entry, waiter: AwaitingMessage): void {
    const place = entry.place as RecordPlace
    waiter.next = place.awaiting
    place.awaiting = waiter
    if (entry.isLoading) return
    this.wanted.push(entry)
    this.readAhead()
  }

  /** Back to its original position. */
  requeue(entry: Entry): void {
    this.heldEntries.remove(entry)
    if (entry.isLost) {
      // It lives, but nobody gets it in this life.
      this.heldEntries.add(entry)
      return
    }
    entry.isReady = true
    if (this.keys === null) this.laneOf(entry.priority).requeue(entry)
    else {
      entry.isStaged = true
      this.keys.putBack(entry)
    }
    this.readyCount++
    this.readyBytes += entry.bodyBytes
    this.windowBytes += costOf(entry)
  }

  /** Its body cannot be read: it lives, but nobody gets it in this life. It was taken before. */
  setAside(entry: Entry): void {
    entry.isLost = true
    // As for one whose record cannot be read: those of its key go on.
    this.keys?.settled(entry)
    this.heldEntries.add(entry)
  }

  /** The entry is gone for good. It was taken before. */
  settle(entry: Entry): void {
    this.heldEntries.remove(entry)
    // What was hidden never had the turn of its key, and what cannot be read has given it back.
    if (entry.dueAt === 0 && !entry.isLost) this.keys?.settled(entry)
    this.leave(entry)
    this.tell(entry)
  }

  /** Takes out an entry that waits, wherever it is by now, and settles it; false if it does not wait any more. */
  withdraw(entry: Entry): boolean {
    if (entry.dueAt > 0) {
      const hidden = this.delays?.withdraw(entry) ?? null
      if (hidden?.isObject === true) this.free(hidden.entry)
      if (hidden !== null) this.tell(hidden.entry)
      return hidden !== null
    }
    const { sequence, priority, keyHash } = entry
    const lane = this.laneOf(priority)
    const staged = this.keys?.find(keyHash, sequence)
    if (staged !== undefined) {
      this.keys?.drop(staged)
      staged.isStaged = false
    }
    const object = staged ?? lane.withdraw(sequence)
    if (object !== undefined) {
      this.countOutReady(object)
      this.leave(object)
    }
    const packed = object === undefined ? (lane.backlog?.withdraw(sequence) ?? null) : null
    if (packed !== null) {
      this.readyCount--
      this.readyBytes -= packed.bodyBytes
    }
    const gone = object ?? packed
    if (gone !== null) this.tell(gone)
    return gone !== null
  }

  /** Somebody may still wait for the message: then its record must stay until it was read. */
  private leave(entry: Entry): void {
    if (entry.isAwaited) entry.isSettled = true
    else this.free(entry)
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
    if (entry.message === null) return
    // What the log has not, it gets only if memory is needed.
    const isCheap = entry.message.contentBytes >= keptBytesMax && entry.residence !== null
    if (entry.heldAt >= 0 && (isCheap || this.memory.isPressed) && this.place(entry)) {
      this.memory.bytes -= entry.message.contentBytes
      entry.message = null
    } else this.keep(entry)
  }

  /** A queue with priorities has a lane for each. */
  usePriorities(maxPriority: number): void {
    this.maxPriority = maxPriority
  }

  /** At most so many messages of one key are with consumers at a time. */
  useKeys(concurrency: number, rate: Rate | null = null): void {
    this.keys = new KeyTurns(concurrency, rate)
  }

  /** So late it is, in monotonic ms: keys that had to wait until now may have their turn. */
  advanceKeys(nowMs: number): void {
    this.keys?.advance(nowMs)
  }

  /** When that is to be called next; infinity: never. */
  get nextKeyMs(): number {
    return this.keys?.nextMs ?? Number.POSITIVE_INFINITY
  }

  /** Messages are handed out when they are durable. */
  deliverAfterSync(): void {
    this.gate = this.backing?.gate ?? null
  }

  /** The first entry of some priority that has expired by then, taken out; undefined if there is none. */
  takeExpired(nowMs: number): Entry | undefined {
    if (!this.mayExpire) return undefined
    if (this.keys !== null) return this.takeExpiredOfKey(this.keys, nowMs)
    const entry = this.lanes.firstExpired(nowMs, this.suspectBelow)
    if (entry !== undefined) this.remove(entry)
    return entry
  }

  private takeExpiredOfKey(keys: KeyTurns, nowMs: number): Entry | undefined {
    this.fillStage(keys)
    return this.takeOutOfTurn(keys, keys.firstExpired(nowMs))
  }

  /** Takes out the first entry, be it the turn of its key or not: nobody is to get it. */
  takeFirst(): Entry | undefined {
    const { keys } = this
    if (keys === null) return this.take()
    this.fillStage(keys)
    return this.takeOutOfTurn(keys, keys.oldest())
  }

  private takeOutOfTurn(keys: KeyTurns, entry: Entry | undefined): Entry | undefined {
    if (entry === undefined) return undefined
    keys.expire(entry)
    entry.isStaged = false
    this.countOutReady(entry)
    return entry
  }

  /** When the next first entry of some priority expires, in ms since 1970; infinity if none does. */
  get nextExpiryMs(): number {
    if (!this.mayExpire) return Number.POSITIVE_INFINITY
    let next = this.lanes.nextExpiryMs(this.suspectBelow)
    this.keys?.forEachFirst(({ expiresAt }) => {
      if (expiresAt > 0) next = Math.min(next, expiresAt)
    })
    return next
  }

  /** Removes everything ready and returns how many entries that were. */
  purge(): number {
    const count = this.readyCount + this.delayedCount
    if (count === 0) return 0
    // One record says it all, however many there are; but it must not come after later settlements.
    this.lanes.forEach((lane) => lane.clear((entry) => this.forget(entry)))
    this.delays?.clear((entry) => this.free(entry))
    this.forEachStaged((entry) => this.forget(entry))
    this.keys?.clear()
    this.readyCount = 0
    this.readyBytes = 0
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
    this.settled.clear()
    this.purge()
    this.bodies?.dropped()
  }

  /** End of turn: what came in it and stays is copied out of the network's chunks, or goes to the log alone. */
  settleNewcomers(): void {
    if (this.lanes.highest === 0) this.lanes.lowest.settleNewcomers()
    else this.lanes.forEach((lane) => lane.settleNewcomers())
    this.delays?.settleNewcomers()
  }

  /** Asks for messages that will be wanted next, if there is room for them or the first one is missing. */
  readAhead(): void {
    if (this.backing === null || this.isLoading || (this.isDropped && this.wanted.length === 0)) return
    const first = this.first()
    const isMissing = this.wanted.length > 0 || (first !== undefined && first.message === null && !first.isLoading)
    const room = Math.min(this.memory.windowShare, windowBytesEnough)
    if (!isMissing && this.windowBytes * 2 > room) return
    const entries = this.chooseNext(Math.min(loadBytesMax, Math.max(loadBytesMin, room - this.windowBytes)))
    if (entries.length === 0) return
    for (const entry of entries) entry.isLoading = true
    this.isLoading = true
    this.backing.fetch(this, entries)
  }

  /** From the log: the message of an entry that was asked for. */
  arrived(entry: Entry, message: Message): void {
    if (!entry.isLoading) return
    entry.isLoading = false
    if (entry.isSettled) this.free(entry)
    else {
      this.memory.bytes += message.contentBytes
      if (entry.isReady) this.windowBytes += message.contentBytes
      if (entry.isStaged) entry.isLoading = false
      else if (entry.isReturned) this.laneOf(entry.priority).returnedBare--
      else if (entry.isReady) this.laneOf(entry.priority).windowBare--
    }
    entry.message = message
    let waiter = takeWaiters(entry)
    for (; waiter !== null; waiter = waiter.next) waiter.arrived(message)
  }

  /** From the log: the message cannot be read. The entry stays on disk and is not handed out by this life. */
  lost(entry: Entry): void {
    if (!entry.isLoading) return
    entry.isLoading = false
    entry.isLost = true
    let waiter = takeWaiters(entry)
    for (; waiter !== null; waiter = waiter.next) waiter.lost()
    if (entry.isSettled) this.free(entry)
    if (!entry.isReady) {
      // Whoever took it gets nothing, and those of its key go on.
      if (entry.dueAt === 0 && !entry.isSettled) this.keys?.settled(entry)
      return
    }
    if (entry.isStaged) {
      this.keys?.drop(entry)
      entry.isStaged = false
    } else this.laneOf(entry.priority).extract(entry)
    entry.isReady = false
    this.readyCount--
    this.readyBytes -= entry.bodyBytes
    this.windowBytes -= costOf(entry)
    this.heldEntries.add(entry)
  }

  loadEnded(): void {
    this.isLoading = false
    this.owner?.loaded()
    if (this.wanted.length > 0) this.readAhead()
  }

  /** Memory for what is read. */
  get readSlab(): Slab {
    return this.slab
  }

  // ------------------------------------------------------------------------------------------ recovery, checkpoints

  /** Recovery: a page that a checkpoint told of. */
  addPage(lane: number, page: IndexPage): void {
    this.laneNumbered(lane).backlog?.addPage(page)
  }

  /** Recovery: the lane of that number, be it of what is ready or of what is hidden. */
  laneNumbered(lane: number): Lane {
    return isDelayedLane(lane) ? this.wheel.laneNumbered(lane) : this.laneOf(lane)
  }

  /** Recovery: the lane of messages of that priority which the log says are hidden. */
  delayedLane(priority: number): Lane {
    return this.wheel.firstLane(priority)
  }

  /** Recovery: leaves out what is gone, and what does not survive a restart; see Backlog.sift. */
  sift(gone: readonly number[], seen: readonly number[]): void {
    this.forEachLane(({ backlog }) => backlog?.sift(gone, seen, true))
  }

  /** Recovery: the queue was deleted. */
  discard(): void {
    this.forEachLane(({ backlog }) => backlog?.discard())
  }

  /** Recovery is done: counts what is there. Messages below `suspectBelow` that were due by then may have been handed out. */
  recovered(nextSequence: number, suspectBelow: number, suspectDueMs: number): void {
    this.nextSequence = Math.max(this.nextSequence, nextSequence)
    this.suspectBelow = suspectBelow
    this.suspectDueMs = suspectDueMs
    this.readyCount = 0
    this.readyBytes = 0
    this.delays?.recovered()
    this.lanes.forEach(({ backlog }) => {
      if (backlog === null) return
      this.readyCount += backlog.count
      this.readyBytes += backlog.bodyBytes
      backlog.countLive()
    })
  }

  /** Visits what consumers hold. */
  forEachHeld(visit: (entry: Entry) => void): void {
    this.heldEntries.forEach(visit)
  }

  /** Visits what waits for the turn of its key. */
  forEachStaged(visit: (entry: Entry) => void): void {
    this.keys?.forEachEntry(visit)
  }

  /** Visits every lane there is, the lowest priority first, and those of what is hidden behind them. */
  forEachLane(visit: (lane: Lane) => void): void {
    this.lanes.forEach(visit)
    this.delays?.forEachLane(visit)
  }

  /** Whether something hidden has no place yet: the log takes nothing. */
  get hasUnplacedDelays(): boolean {
    return this.delays !== null && this.delays.hasNewcomers
  }

  /** The lane of a priority, made if need be. */
  laneOf(priority: number): Lane {
    return this.lanes.of(priority)
  }

  // ------------------------------------------------------------------------------------------ what the lanes ask

  makeLane(number: number, priority: number): Lane {
    const { backing, queueId } = this
    const backlog = backing === null ? null : new Backlog(queueId, priority, backing.pages, backing)
    return new Lane(priority, this, backlog, number)
  }

  placeDelayed(entry: Entry): boolean {
    if (this.backing === null) {
      this.keep(entry)
      return true
    }
    if (!this.place(entry)) return false
    this.memory.bytes -= costOf(entry)
    return true
  }

  get isOverFull(): boolean {
    return this.windowBytes > this.memory.windowShare
  }

  entered(entry: Entry): void {
    this.countIn(costOf(entry))
  }

  /** Gives the entry a place in the log if it has none; false if that cannot be. */
  place(entry: Entry): boolean {
    if (entry.place !== null) return true
    const message = entry.message as Message
    // Where nothing lives any more the segment may go, or be gone: then the message is written once more.
    const isThere = message.residence !== null && message.residence.live > 0
    if (!isThere && !(this.backing as IndexBacking).overflow(message)) return false
    entry.settleAt(message)
    // The log has counted the routes it knows of; this one is another.
    if (!entry.logged) {
      const { segment } = entry.place as unknown as RecordPlace
      segment.live++
      segment.references++
    }
    return true
  }

  packed(entry: Entry): void {
    this.countIn(-costOf(entry))
  }

  keep(entry: Entry): void {
    const message = entry.message as Message
    if (!message.owned) message.keepIn(this.slab)
  }

  // ------------------------------------------------------------------------------------------ the rest

  private get wheel(): DelayWheel {
    this.delays ??= new DelayWheel(this)
    return this.delays
  }

  private remove(entry: Entry): void {
    if (this.keys === null) this.laneOf(entry.priority).remove(entry)
    else {
      this.keys.take()
      entry.isStaged = false
    }
    this.countOutReady(entry)
  }

  private countOutReady(entry: Entry): void {
    entry.isReady = false
    this.readyCount--
    this.readyBytes -= entry.bodyBytes
    this.windowBytes -= costOf(entry)
  }

  /** As settling what was ready, but without telling the log: it is told of all at once. */
  private forget(entry: Entry): void {
    this.windowBytes -= costOf(entry)
    entry.isReady = false
    entry.isReturned = false
    this.leave(entry)
  }

  private free(entry: Entry): void {
    this.memory.bytes -= costOf(entry)
    entry.isLoading = false
    const { residence } = entry
    if (residence !== null) residence.live--
  }

  /** The entry whose turn it is. */
  private first(): Entry | undefined {
    if (this.keys === null) return this.lanes.first(this.suspectBelow)
    this.fillStage(this.keys)
    return this.keys.peek()
  }

  /** Keeps enough entries in the stage for their keys to take turns. */
  private fillStage(keys: KeyTurns): void {
    for (;;) {
      // Where a key may have to wait for hours those behind it are looked for further away.
      const isWaiting = keys.isPaced && !keys.hasTurns
      if (keys.count >= (isWaiting ? limits.stagedEntriesMax : stageEntriesMax)) return
      const entry = this.lanes.first(this.suspectBelow)
      if (entry === undefined) return
      this.laneOf(entry.priority).remove(entry)
      // Its place in the window is gone, and with it the care for what came this turn.
      if (entry.message !== null) this.keep(entry)
      entry.isStaged = true
      keys.add(entry)
    }
  }

  private chooseNext(bytesMax: number): Entry[] {
    const list = new ReadingList(this.wanted, bytesMax)
    this.wanted = []
    if (this.keys !== null) {
      list.addFromKeys(this.keys)
      return list.entries
    }
    const { lanes } = this
    let lane = lanes.filledBelow(Number.POSITIVE_INFINITY)
    for (; lane !== null; lane = lanes.filledBelow(lane.priority)) list.addFromLane(lane, this.suspectBelow)
    return list.entries
  }

  private countIn(bytes: number): void {
    this.memory.bytes += bytes
    this.windowBytes += bytes
  }
}

function costOf(entry: Entry): number {
  return entryOverheadBytes + (entry.message === null ? 0 : entry.message.contentBytes)
}
