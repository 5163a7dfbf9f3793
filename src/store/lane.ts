/**
 * The ready entries of one priority in their order:
 *
 *     returned (heap by sequence)   back from consumers, to be handed out again at their original positions
 *     window   (ring)               the oldest that wait: messages in memory, or to be read next
 *     backlog  (pages)              the rest, without messages
 *     late     (list)               what arrived this turn and belongs behind the backlog
 *
 * At the end of the turn newcomers stay in the window with their content copied out of the network's chunks, or become
 * entries of the backlog: the newest first, until the window fits its share of memory.
 */
import { Deque } from '../lib/deque.ts'
import { Heap } from '../lib/heap.ts'
import type { Backlog } from './backlog.ts'
import type { Entry } from './entry.ts'
import { blankEntry } from './index-page.ts'

/** How many entries come out of the backlog at once when somebody looks at the first one. */
const entriesTakenMin = 64

/** The index that a lane is a part of: it counts, and knows the log. */
export interface LaneOwner {
  readonly isOverFull: boolean
  /** The entry came out of the backlog, without its message. */
  entered(entry: Entry): void
  /** Gives the entry a place in the log if it has none; false if that cannot be. */
  place(entry: Entry): boolean
  /** The entry went into the backlog and is an object no more. */
  packed(entry: Entry): void
  /** The entry's content outlives the turn. */
  keep(entry: Entry): void
}

export class Lane {
  /** What checkpoints call it: its priority, or more if it holds what is hidden; see DelayWheel. */
  readonly number: number
  readonly priority: number
  /** Null where everything stays in memory. */
  readonly backlog: Backlog | null
  readonly window: Deque<Entry> = new Deque<Entry>()
  readonly returned: Heap<Entry> = new Heap<Entry>((left, right) => left.sequence < right.sequence)
  /** Entries in `returned` without their message. */
  returnedBare = 0
  /** Entries in `window` without it. */
  windowBare = 0
  private readonly owner: LaneOwner
  private late: Entry[] = []
  /** Entries at the end of the window whose content is still where the network put it. */
  private newcomers = 0
  private readonly leaving: Entry[] = []

  constructor(priority: number, owner: LaneOwner, backlog: Backlog | null, number: number = priority) {
    this.number = number
    this.priority = priority
    this.owner = owner
    this.backlog = backlog
  }

  /** Something came in this turn and has not been settled. */
  get hasNewcomers(): boolean {
    return this.newcomers > 0 || this.late.length > 0
  }

  get count(): number {
    return this.window.length + this.returned.length + this.late.length + (this.backlog?.count ?? 0)
  }

  push(entry: Entry): void {
    if (this.late.length > 0 || (this.backlog !== null && this.backlog.count > 0)) this.late.push(entry)
    else {
      this.window.push(entry)
      this.newcomers++
    }
  }

  /** The first entry, taken out of the backlog if need be; undefined if there is none. */
  peek(suspectBelow: number): Entry | undefined {
    const { window, returned } = this
    if (window.length === 0 && !this.isDrained) this.refill(entriesTakenMin, suspectBelow)
    const front = window.peek()
    if (returned.length === 0) return front
    const back = returned.peek() as Entry
    return front !== undefined && front.sequence < back.sequence ? front : back
  }

  /** Takes out the entry that `peek` returned. */
  remove(entry: Entry): void {
    if (entry.isReturned) {
      this.returned.pop()
      entry.isReturned = false
      if (entry.message === null) this.returnedBare--
      return
    }
    this.window.shift()
    if (entry.message === null) this.windowBare--
  }

  requeue(entry: Entry): void {
    this.returned.push(entry)
    entry.isReturned = true
    if (entry.message === null) this.returnedBare++
  }

  /** Takes up to `max` entries out of the backlog, or what came late if nothing is there; returns how many. */
  refill(max: number, suspectBelow: number): number {
    const { window, backlog } = this
    const before = window.length
    if (backlog !== null && backlog.count > 0) {
      const taken = backlog.take(window, max, suspectBelow)
      for (let at = before; at < window.length; at++) this.owner.entered(window.get(at) as Entry)
      this.windowBare += taken
      return taken
    }
    this.admitLate()
    return window.length - before
  }

  /** End of turn: see the top. */
  settleNewcomers(): void {
    const { backlog, owner, window } = this
    if (this.late.length > 0) {
      if (backlog === null || backlog.count === 0) this.admitLate()
      else this.packLate(backlog)
    }
    let left = Math.min(this.newcomers, window.length)
    this.newcomers = 0
    if (left === 0) return
    if (backlog !== null && owner.isOverFull) left = this.packNewcomers(backlog, left)
    for (let at = window.length - left; at < window.length; at++) owner.keep(window.get(at) as Entry)
  }

  /** Takes everything out; the caller has settled, or will settle, what `visit` is shown. */
  clear(visit: (entry: Entry) => void): void {
    for (let entry = this.window.shift(); entry !== undefined; entry = this.window.shift()) visit(entry)
    for (let entry = this.returned.pop(); entry !== undefined; entry = this.returned.pop()) visit(entry)
    for (const entry of this.late) visit(entry)
    this.late = []
    this.returnedBare = 0
    this.windowBare = 0
    this.newcomers = 0
    this.backlog?.clear()
  }

  /** Visits every entry that is an object. */
  forEachEntry(visit: (entry: Entry) => void): void {
    for (const entry of this.returned.values()) visit(entry)
    for (let at = 0; at < this.window.length; at++) visit(this.window.get(at) as Entry)
    for (const entry of this.late) visit(entry)
  }

  /**
   * Adds to `into` up to `max` entries whose sequence is above `after`, in order, leaving out the first `skip` of them; returns
   * how many are still to be left out. What is in the backlog is shown as entries of their own.
   */
  list(after: number, skip: number, max: number, suspectBelow: number, into: Entry[]): number {
    const { window, backlog } = this
    const returned = this.returned.values().filter(({ sequence }) => sequence > after)
    returned.sort((left, right) => left.sequence - right.sequence)
    let left = skip
    const end = into.length + max
    let at = this.placeAfter(after)
    for (let back = 0; into.length < end; ) {
      const first = window.get(at)
      const other = returned[back]
      const entry = other !== undefined && (first === undefined || other.sequence < first.sequence) ? other : first
      if (entry === undefined) break
      if (entry === other) back++
      else at++
      if (left > 0) left--
      else into.push(entry)
    }
    if (backlog !== null) left = backlog.list(after, left, end - into.length, suspectBelow, into)
    for (const entry of this.late) {
      if (entry.sequence <= after || into.length >= end) continue
      if (left > 0) left--
      else into.push(entry)
    }
    return left
  }

  /** Takes an entry that is an object out of wherever it is; undefined if it is not here. */
  withdraw(sequence: number): Entry | undefined {
    const { window } = this
    const at = this.placeAfter(sequence - 1)
    const entry = window.get(at)
    if (entry?.sequence === sequence) {
      if (at >= window.length - this.newcomers) this.newcomers--
      for (let behind = at + 1; behind < window.length; behind++) window.set(behind - 1, window.get(behind) as Entry)
      window.pop()
      if (entry.message === null) this.windowBare--
      return entry
    }
    const lateAt = this.late.findIndex((one) => one.sequence === sequence)
    if (lateAt >= 0) return this.late.splice(lateAt, 1)[0]
    const back = this.returned.values().find((one) => one.sequence === sequence)
    if (back !== undefined) {
      const others = this.returned.values().filter((one) => one !== back)
      this.returned.clear()
      this.returnedBare = 0
      for (const other of others) this.requeue(other)
      back.isReturned = false
    }
    return back
  }

  /** Where in the window the first entry is whose sequence is above that. */
  private placeAfter(sequence: number): number {
    let low = 0
    let high = this.window.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.window.get(middle) as Entry).sequence <= sequence) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Takes an entry out of wherever it is; slow, for what cannot be read. */
  extract(lost: Entry): void {
    for (let left = this.window.length; left > 0; left--) {
      const entry = this.window.shift() as Entry
      if (entry !== lost) this.window.push(entry)
      else if (entry.message === null) this.windowBare--
    }
    const others = this.returned.values().filter((entry) => entry !== lost)
    this.returned.clear()
    this.returnedBare = 0
    for (const entry of others) this.requeue(entry)
  }

  private get isDrained(): boolean {
    return this.late.length === 0 && (this.backlog === null || this.backlog.count === 0)
  }

  private admitLate(): void {
    for (const entry of this.late) this.window.push(entry)
    this.newcomers += this.late.length
    this.late.length = 0
  }

  private packLate(backlog: Backlog): void {
    const { late } = this
    let done = 0
    while (done < late.length && this.pack(backlog, late[done] as Entry)) done++
    if (done === late.length) late.length = 0
    else {
      // The log takes nothing more: they wait where they are.
      this.late = late.slice(done)
      for (const entry of this.late) this.owner.keep(entry)
    }
  }

  /** Returns how many of the newcomers stay. */
  private packNewcomers(backlog: Backlog, newcomers: number): number {
    const { window, leaving, owner } = this
    let left = newcomers
    while (left > 0 && owner.isOverFull) {
      const entry = window.pop() as Entry
      left--
      // Placed and counted out at once: what is over the share is judged anew for each.
      if (!owner.place(entry)) {
        window.push(entry)
        left++
        break
      }
      owner.packed(entry)
      leaving.push(entry)
    }
    for (let at = leaving.length - 1; at >= 0; at--) addTo(backlog, leaving[at] as Entry)
    leaving.length = 0
    return left
  }

  private pack(backlog: Backlog, entry: Entry): boolean {
    if (!this.owner.place(entry)) return false
    this.owner.packed(entry)
    addTo(backlog, entry)
    return true
  }
}

/** Filled in for each entry that goes into a backlog, which reads it and keeps nothing of it. */
const packed = blankEntry()

/** Packs an entry that has a place in the log. */
export function addTo(backlog: Backlog, entry: Entry): void {
  packed.sequence = entry.sequence
  packed.segmentId = entry.segment?.id ?? 0
  packed.offset = entry.offset
  packed.recordBytes = entry.recordBytes
  packed.bodyBytes = entry.bodyBytes
  packed.deliveryCount = entry.deliveryCount
  packed.isTransient = !entry.logged
  packed.expiresAt = entry.expiresAt
  packed.keyHash = entry.keyHash
  backlog.add(packed)
}
