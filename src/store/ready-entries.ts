/**
 * What is ready in one queue, and whose turn it is: the oldest of the highest priority, or, where keys take turns, the first
 * of the key whose turn it is. Entries that wait for their key are out of their lanes, in the stage (see key-turns.ts); those
 * behind them stay in the lanes.
 */
import { limits } from '../model/limits.ts'
import type { Withdrawn } from './delay-wheel.ts'
import type { Entry } from './entry.ts'
import type { EntryMemory } from './entry-memory.ts'
import type { KeyTurns } from './key-turns.ts'
import type { Lane } from './lane.ts'
import type { Lanes } from './lanes.ts'
import type { ReadingList } from './reading-list.ts'

/** So many entries at most are spread over their keys: where more of one key wait, the others come later. */
const stageEntriesMax = 8_192

export class ReadyEntries {
  count = 0
  /** Of their bodies. */
  bytes = 0
  /** Null: the queue knows no keys. */
  keys: KeyTurns | null = null
  private readonly lanes: Lanes
  private readonly memory: EntryMemory

  constructor(lanes: Lanes, memory: EntryMemory) {
    this.lanes = lanes
    this.memory = memory
  }

  /** The entry is behind all others of its priority. */
  push(entry: Entry): void {
    this.laneOf(entry).push(entry)
    this.count++
    this.bytes += entry.bodyBytes
    this.memory.entered(entry)
  }

  /** The entry whose turn it is, be its message there or not; undefined: nothing is ready, or every key has to wait. */
  first(): Entry | undefined {
    const { keys } = this
    if (keys === null) return this.lanes.first()
    this.fillStage(keys)
    return keys.peek()
  }

  /** Takes out what `first` returned: it is with somebody until `settled` or `requeue`. */
  remove(entry: Entry): void {
    if (this.keys === null) this.laneOf(entry).remove(entry)
    else {
      this.keys.take()
      entry.isStaged = false
    }
    this.countOut(entry)
  }

  /** What was removed comes back, to its original position. */
  requeue(entry: Entry): void {
    entry.isReady = true
    if (this.keys === null) this.laneOf(entry).requeue(entry)
    else {
      entry.isStaged = true
      this.keys.putBack(entry)
    }
    this.count++
    this.bytes += entry.bodyBytes
    this.memory.returned(entry)
  }

  /** What was removed is done with, and those of its key go on. */
  settled(entry: Entry): void {
    this.keys?.settled(entry)
  }

  /** Takes the first entry of some priority, or key, out that has expired by then; undefined if there is none. */
  takeExpired(nowMs: number): Entry | undefined {
    const { keys } = this
    if (keys !== null) {
      this.fillStage(keys)
      return this.takeOutOfTurn(keys, keys.firstExpired(nowMs))
    }
    const entry = this.lanes.firstExpired(nowMs)
    if (entry !== undefined) this.remove(entry)
    return entry
  }

  /** Takes the first entry out, be it the turn of its key or not: nobody is to get it. */
  takeFirst(): Entry | undefined {
    const { keys } = this
    if (keys !== null) {
      this.fillStage(keys)
      return this.takeOutOfTurn(keys, keys.oldest())
    }
    const entry = this.lanes.first()
    if (entry !== undefined) this.remove(entry)
    return entry
  }

  /** When the next first entry of some priority, or key, expires, in ms since 1970; infinity if none does. */
  get nextExpiryMs(): number {
    let next = this.lanes.nextExpiryMs()
    this.keys?.forEachFirst(({ expiresAt }) => {
      if (expiresAt > 0) next = Math.min(next, expiresAt)
    })
    return next
  }

  /** Takes an entry out, wherever it is now; null if it is not here. */
  withdraw(wanted: Entry): Withdrawn | null {
    const { keyHash, sequence } = wanted
    const lane = this.laneOf(wanted)
    const staged = this.keys?.find(keyHash, sequence)
    if (staged !== undefined) {
      this.keys?.drop(staged)
      staged.isStaged = false
    }
    const object = staged ?? lane.withdraw(sequence)
    if (object !== undefined) {
      this.countOut(object)
      return { entry: object, isObject: true }
    }
    const packed = lane.backlog?.withdraw(sequence) ?? null
    if (packed === null) return null
    this.count--
    this.bytes -= packed.bodyBytes
    return { entry: packed, isObject: false }
  }

  /** Takes an entry out whose message cannot be read, wherever it is; slow. */
  extract(lost: Entry): void {
    if (lost.isStaged) {
      this.keys?.drop(lost)
      lost.isStaged = false
    } else this.laneOf(lost).extract(lost)
    this.countOut(lost)
  }

  /** The message of an entry that had none is there, and the entry may be here or with somebody. */
  arrived(entry: Entry): void {
    if (entry.isStaged) return
    if (entry.isReturned) this.laneOf(entry).returnedBare--
    else if (entry.isReady) this.laneOf(entry).windowBare--
  }

  /** Puts those on the list whose messages will be wanted next. */
  listNext(list: ReadingList): void {
    const { keys, lanes } = this
    if (keys !== null) return list.addFromKeys(keys)
    let lane = lanes.filledBelow(Number.POSITIVE_INFINITY)
    for (; lane !== null; lane = lanes.filledBelow(lane.priority)) list.addFromLane(lane, lanes.suspectBelow)
  }

  /** Takes everything out; `visit` is shown what is an object. */
  clear(visit: (entry: Entry) => void): void {
    const forget = (entry: Entry): void => {
      this.memory.left(entry)
      entry.isReady = false
      entry.isReturned = false
      visit(entry)
    }
    this.lanes.forEach((lane) => lane.clear(forget))
    this.keys?.forEachEntry(forget)
    this.keys?.clear()
    this.count = 0
    this.bytes = 0
  }

  /** Recovery is done: counts what is there. */
  recovered(): void {
    this.count = 0
    this.bytes = 0
    this.lanes.forEach(({ backlog }) => {
      if (backlog === null) return
      this.count += backlog.count
      this.bytes += backlog.bodyBytes
      backlog.countLive()
    })
  }

  private laneOf({ priority }: Entry): Lane {
    // The one that most queues have.
    return priority === 0 ? this.lanes.lowest : this.lanes.of(priority)
  }

  private takeOutOfTurn(keys: KeyTurns, entry: Entry | undefined): Entry | undefined {
    if (entry === undefined) return undefined
    keys.expire(entry)
    entry.isStaged = false
    this.countOut(entry)
    return entry
  }

  private countOut(entry: Entry): void {
    entry.isReady = false
    this.count--
    this.bytes -= entry.bodyBytes
    this.memory.left(entry)
  }

  /** Keeps enough entries in the stage for their keys to take turns. */
  private fillStage(keys: KeyTurns): void {
    for (;;) {
      // Where a key may have to wait for hours those behind it are looked for further away.
      const isWaiting = keys.isPaced && !keys.hasTurns
      if (keys.count >= (isWaiting ? limits.stagedEntriesMax : stageEntriesMax)) return
      const entry = this.lanes.first()
      if (entry === undefined) return
      this.laneOf(entry).remove(entry)
      // Its place in the window is gone, and with it the care for what came this turn.
      if (entry.message !== null) this.memory.keep(entry)
      entry.isStaged = true
      keys.add(entry)
    }
  }
}
