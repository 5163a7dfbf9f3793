/**
 * The entries of a queue that are hidden until they are due: a hierarchical timing wheel (Varghese and Lauck, "Hashed and
 * hierarchical timing wheels", SOSP 1987) whose slots are backlogs, so that entries are bytes in pages, which may be on
 * disk, and nothing is sorted.
 *
 *     time      units of 16 ms since 1970
 *     slot      level k: 64^k units, beginning at a multiple of that      … |  64 s  |  1 s  | 16 ms |
 *     entry     in the slot of the highest level at which its unit and the present one are not in the same slot
 *
 * When a slot of level 0 is over, its entries are due, in the order in which they came. When one of a higher level begins,
 * they are spread over slots of lower levels; each entry moves at most once per level.
 *
 * Entries of a slot ascend by sequence, as those of a backlog must. For that, nothing may come into a slot while one around
 * it has entries that are not spread: so the present is held to be before the first slot there is, and of slots that begin
 * at the same time the inner one, which has the older entries, is spread first.
 *
 * In a page of such a slot the expiry of an entry is when it is due, and its delivery count is how many ms it may wait
 * after that (0: for ever): nobody has been handed what is hidden.
 */
import { Deque } from '../lib/deque.ts'
import { Heap } from '../lib/heap.ts'
import type { Backlog } from './backlog.ts'
import { Entry } from './entry.ts'
import { blankEntry } from './index-page.ts'
import { addTo, type Lane } from './lane.ts'
import { readableTogether } from './message-read.ts'

const unitMs = 16
const slotsPerLevel = 64
const levels = 8
/** Lanes with a lower number hold what is ready, of the priority that is their number. */
const priorities = 256

interface Slot {
  readonly lane: Lane
  readonly level: number
  /** When its entries are due, or are spread, in ms since 1970. */
  readonly turnMs: number
}

/** The index that the wheel is a part of. */
export interface WheelOwner {
  makeLane(number: number, priority: number): Lane
  /** Gives the entry a place in the log, if there is one, and counts it out; false if that cannot be. */
  placeDelayed(entry: Entry): boolean
}

/** The lane of the slot that is always over: what is in it is spread when the wheel first turns. */
export function firstDelayedLane(priority: number): number {
  return priorities * levels + priority
}

/** Whether lanes of that number hold what is hidden. */
export function isDelayedLane(number: number): boolean {
  return number >= priorities
}

/** Whether an entry that is due then may be in the lane of that number; 0: it is not hidden. */
export function laneTakes(number: number, dueAt: number): boolean {
  if (!isDelayedLane(number) || dueAt === 0) return isDelayedLane(number) === dueAt > 0
  const rest = Math.floor(number / priorities) - 1
  const width = unitMs * slotsPerLevel ** (rest % levels)
  return Math.floor(dueAt / width) === Math.floor(rest / levels)
}

/** The priority of what lies in the lane of that number. */
export function priorityOfLane(number: number): number {
  return number % priorities
}

/** How far somebody has come who goes through all that is hidden, while it moves from slot to slot. */
export class HiddenWalk {
  hasBegun = false
  /** Lanes it is done with. */
  readonly seen: Set<number> = new Set()
  /** The one it is in, and up to where; -1: it is in none. */
  lane = -1
  after = 0
}

/** An entry that was taken out from among the others. */
export interface Withdrawn {
  readonly entry: Entry
  /** Its memory was counted. */
  readonly isObject: boolean
}

export class DelayWheel {
  count = 0
  private readonly owner: WheelOwner
  /** By the number of their lanes. */
  private readonly slots = new Map<number, Slot>()
  private readonly order = new Heap<Slot>(
    (left, right) => left.turnMs < right.turnMs || (left.turnMs === right.turnMs && left.level < right.level),
  )
  /** What came in this turn. */
  private newcomers: Entry[] = []
  private readonly moving = new Deque<Entry>()
  private readonly walks = new Set<HiddenWalk>()
  /** When the last one came. */
  private nowMs = 0

  constructor(owner: WheelOwner) {
    this.owner = owner
  }

  /** Something came in this turn, or could not be put away. */
  get hasNewcomers(): boolean {
    return this.newcomers.length > 0
  }

  /** When something has to be done next, in ms since 1970; infinity: nothing. */
  get nextMs(): number {
    return this.order.peek()?.turnMs ?? Number.POSITIVE_INFINITY
  }

  /** The entry says when it is due, and its sequence is above all others. */
  push(entry: Entry, nowMs: number): void {
    this.nowMs = nowMs
    this.newcomers.push(entry)
    this.count++
  }

  /** End of turn: what came in it goes to its slots. */
  settleNewcomers(): void {
    const { newcomers } = this
    if (newcomers.length === 0) return
    let done = 0
    while (done < newcomers.length && this.putAway(newcomers[done] as Entry)) done++
    // Where the log takes nothing more the rest waits here.
    if (done === newcomers.length) newcomers.length = 0
    else this.newcomers = newcomers.slice(done)
  }

  /**
   * Gives up to `max` entries that are due to `visit`, in the order of the units in which they are due and then as they
   * came, with the time they were due and when they expire (0: never). Returns whether there may be more.
   */
  advance(nowMs: number, max: number, visit: (entry: Entry, dueAt: number, expiresAt: number) => void): boolean {
    let left = max
    for (let slot = this.order.peek(); slot !== undefined && slot.turnMs <= nowMs; slot = this.order.peek()) {
      if (left <= 0) return true
      const { lane, level, turnMs } = slot
      const taken = this.take(lane, left)
      // A page that cannot be read ends the broker.
      if (taken === 0 && lane.count > 0) return false
      left -= taken
      for (let entry = this.moving.shift(); entry !== undefined; entry = this.moving.shift()) {
        if (level > 0) this.spread(entry, turnMs)
        else {
          this.count--
          show(entry, visit)
        }
      }
      if (lane.count > 0) continue
      this.order.pop()
      this.slots.delete(lane.number)
    }
    return false
  }

  /** Recovery: where publishes go, which come in the order of the log; they are spread when the wheel first turns. */
  firstLane(priority: number): Lane {
    return this.slot(levels - 1, 0, priority)
  }

  /** Recovery: the lane of that number, which a checkpoint told of. */
  laneNumbered(number: number): Lane {
    const rest = Math.floor(number / priorities) - 1
    return this.slot(rest % levels, Math.floor(rest / levels), priorityOfLane(number))
  }

  /** Recovery is done: counts what is there. */
  recovered(): void {
    this.count = 0
    for (const { lane } of this.slots.values()) {
      this.count += lane.count
      lane.backlog?.countLive()
    }
  }

  forEachLane(visit: (lane: Lane) => void): void {
    for (const { lane } of this.slots.values()) visit(lane)
  }

  /** The first `max` by when they are due, and then as they came. What is not an object is shown as an entry of its own. */
  first(max: number): Entry[] {
    const found: Entry[] = []
    /** Nothing that is due later than that is among them. */
    let latest = Number.POSITIVE_INFINITY
    const prune = (): void => {
      found.sort((left, right) => left.dueAt - right.dueAt || left.sequence - right.sequence)
      if (found.length < max) return
      found.length = max
      latest = (found[max - 1] as Entry).dueAt
    }
    const add = (dueAt: number, make: () => Entry): void => {
      if (dueAt > latest) return
      found.push(make())
      if (found.length >= 2 * max + prunedAt) prune()
    }
    for (const entry of this.newcomers) add(entry.dueAt, () => entry)
    const slots = [...this.slots.values()].sort((left, right) => startOf(left) - startOf(right))
    for (const slot of slots) {
      prune()
      if (startOf(slot) > latest) break
      slot.lane.forEachEntry((entry) => add(entry.dueAt, () => entry))
      const { backlog } = slot.lane
      backlog?.forEachEntry((entry) => add(entry.expiresAt, () => unhidden(backlog.entryOf(entry))))
    }
    prune()
    return found
  }

  /** Takes an entry out, wherever it is now; null if it is not here. Returns whether it was an object. */
  withdraw({ sequence, dueAt, priority }: Entry): Withdrawn | null {
    const newAt = this.newcomers.findIndex((one) => one.sequence === sequence)
    if (newAt >= 0) {
      this.count--
      return { entry: this.newcomers.splice(newAt, 1)[0] as Entry, isObject: true }
    }
    for (const { lane } of this.slots.values()) {
      if (priorityOfLane(lane.number) !== priority || !laneTakes(lane.number, dueAt)) continue
      const object = lane.withdraw(sequence)
      const entry = object ?? lane.backlog?.withdraw(sequence) ?? null
      if (entry === null) continue
      this.count--
      return { entry, isObject: object !== undefined }
    }
    return null
  }

  /** What comes next for whoever goes through everything; empty: it has seen all that was here when it began. */
  next(walk: HiddenWalk, max: number): Entry[] {
    if (!walk.hasBegun) {
      walk.hasBegun = true
      this.walks.add(walk)
      if (this.newcomers.length > 0) return [...this.newcomers]
    }
    for (;;) {
      const slot = this.slotFor(walk)
      if (slot === undefined) {
        this.walks.delete(walk)
        return []
      }
      const listed: Entry[] = []
      const { lane } = slot
      lane.list(walk.after, 0, max, 0, listed)
      const found = readableTogether(listed)
      const last = found.at(-1)
      if (last === undefined) {
        walk.seen.add(lane.number)
        walk.lane = -1
        continue
      }
      walk.lane = lane.number
      walk.after = last.sequence
      return found.map((entry) => (entry.message === null ? unhidden(entry) : entry))
    }
  }

  /** Nobody goes on with it. */
  endWalk(walk: HiddenWalk): void {
    this.walks.delete(walk)
  }

  private slotFor(walk: HiddenWalk): Slot | undefined {
    const current = this.slots.get(walk.lane)
    if (current !== undefined) return current
    walk.after = 0
    for (const slot of this.slots.values()) if (!walk.seen.has(slot.lane.number)) return slot
    return undefined
  }

  /** Takes everything out; `visit` is shown what is an object. */
  clear(visit: (entry: Entry) => void): void {
    for (const entry of this.newcomers) visit(entry)
    this.newcomers = []
    for (const { lane } of this.slots.values()) lane.clear(visit)
    this.slots.clear()
    this.order.clear()
    this.count = 0
  }

  private putAway(entry: Entry): boolean {
    if (!this.owner.placeDelayed(entry)) return false
    const presentMs = Math.min(this.nowMs, this.nextMs - 2 * unitMs)
    const { backlog, window } = this.laneFor(entry.dueAt, presentMs, entry.priority)
    if (backlog === null) window.push(entry)
    else hide(backlog, entry)
    return true
  }

  /** Takes up to `max` entries out of a lane; returns how many there were. */
  private take({ backlog, window }: Lane, max: number): number {
    if (backlog !== null) return backlog.take(this.moving, max, 0)
    const taken = Math.min(max, window.length)
    for (let left = taken; left > 0; left--) this.moving.push(window.shift() as Entry)
    return taken
  }

  /** Puts an entry of a slot that begins now into one of a lower level. */
  private spread(entry: Entry, startMs: number): void {
    const isObject = entry.message !== null
    const lane = this.laneFor(isObject ? entry.dueAt : entry.expiresAt, startMs, entry.priority)
    const { backlog, window } = lane
    // Who has been here comes once more.
    for (const { seen } of this.walks) seen.delete(lane.number)
    if (backlog === null) window.push(entry)
    else addTo(backlog, entry)
  }

  private laneFor(dueAt: number, presentMs: number, priority: number): Lane {
    let due = Math.floor(dueAt / unitMs)
    let present = Math.floor(presentMs / unitMs)
    let level = 0
    // The lowest level at which both are in one slot, and one below it.
    for (;;) {
      const dueAbove = Math.floor(due / slotsPerLevel)
      const presentAbove = Math.floor(present / slotsPerLevel)
      if (dueAbove === presentAbove || level === levels - 1) return this.slot(level, due, priority)
      due = dueAbove
      present = presentAbove
      level++
    }
  }

  /** The lane of the slot with that index of those of its level. */
  private slot(level: number, index: number, priority: number): Lane {
    const number = priorities * (1 + index * levels + level) + priority
    const known = this.slots.get(number)
    if (known !== undefined) return known.lane
    const lane = this.owner.makeLane(number, priority)
    const startMs = index * unitMs * slotsPerLevel ** level
    const slot = { lane, level, turnMs: level === 0 ? startMs + unitMs : startMs }
    this.slots.set(number, slot)
    this.order.push(slot)
    return lane
  }
}

/** Beyond twice as many as are wanted, and this, the others are thrown away. */
const prunedAt = 1_024

/** When the first of its entries may be due. */
function startOf({ level, turnMs }: Slot): number {
  return level === 0 ? turnMs - unitMs : turnMs
}

/** An entry out of a page of a slot, as it is. */
function unhidden(entry: Entry): Entry {
  let whole = entry
  show(entry, ({ sequence, logged, bodyBytes, priority, keyHash, place }, dueAt, expiresAt) => {
    whole = new Entry(null, sequence, logged, bodyBytes, priority, expiresAt, keyHash, dueAt)
    whole.place = place
  })
  whole.isReady = false
  return whole
}

/** Filled in for each entry that goes into a slot. */
const hidden = blankEntry()

function hide(backlog: Backlog, entry: Entry): void {
  hidden.sequence = entry.sequence
  hidden.segmentId = entry.segment?.id ?? 0
  hidden.offset = entry.offset
  hidden.recordBytes = entry.recordBytes
  hidden.bodyBytes = entry.bodyBytes
  hidden.deliveryCount = ttlOf(entry.dueAt, entry.expiresAt)
  hidden.isTransient = !entry.logged
  hidden.expiresAt = entry.dueAt
  hidden.keyHash = entry.keyHash
  backlog.add(hidden)
}

/** How many ms something may wait when it is due; 0: for ever. */
export function ttlOf(dueAt: number, expiresAt: number): number {
  return expiresAt === 0 ? 0 : Math.max(1, expiresAt - dueAt)
}

function show(entry: Entry, visit: (entry: Entry, dueAt: number, expiresAt: number) => void): void {
  if (entry.message !== null) visit(entry, entry.dueAt, entry.expiresAt)
  else visit(entry, entry.expiresAt, entry.deliveryCount === 0 ? 0 : entry.expiresAt + entry.deliveryCount)
}
