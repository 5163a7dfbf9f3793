/**
 * All lanes of one queue, those of what is ready and those of what is hidden: what recovery fills, and what checkpoints and
 * compaction go through. Each has a number that says which it is.
 */
import { Backlog } from './backlog.ts'
import { DelayWheel, isDelayedLane, type WheelOwner } from './delay-wheel.ts'
import type { Entry } from './entry.ts'
import type { EntryMemory } from './entry-memory.ts'
import type { IndexPage } from './index-page.ts'
import { Lane } from './lane.ts'
import { Lanes } from './lanes.ts'
import type { IndexBacking } from './queue-index-backing.ts'

export class QueueLanes implements WheelOwner {
  readonly ready: Lanes
  /** Null: nothing was ever hidden. */
  hidden: DelayWheel | null = null
  private readonly queueId: number
  private readonly memory: EntryMemory
  private readonly backing: IndexBacking | null

  constructor(queueId: number, memory: EntryMemory, backing: IndexBacking | null) {
    this.queueId = queueId
    this.memory = memory
    this.backing = backing
    this.ready = new Lanes((priority) => this.makeLane(priority, priority))
  }

  /** Where something is hidden, made if need be. */
  get wheel(): DelayWheel {
    this.hidden ??= new DelayWheel(this)
    return this.hidden
  }

  /** Something hidden has no place yet: the log takes nothing. */
  get hasUnplaced(): boolean {
    return this.hidden !== null && this.hidden.hasNewcomers
  }

  /** Visits every lane there is, the lowest priority first, and those of what is hidden behind them. */
  forEach(visit: (lane: Lane) => void): void {
    this.ready.forEach(visit)
    this.hidden?.forEachLane(visit)
  }

  /** End of turn. */
  settleNewcomers(): void {
    if (this.ready.highest === 0) this.ready.lowest.settleNewcomers()
    else this.ready.forEach((lane) => lane.settleNewcomers())
    this.hidden?.settleNewcomers()
  }

  /** The lane of that number, made if need be. */
  numbered(number: number): Lane {
    return isDelayedLane(number) ? this.wheel.laneNumbered(number) : this.ready.of(number)
  }

  /** Recovery: where a message of that priority goes of which the log tells. */
  recovering(priority: number, isHidden: boolean): Lane {
    return isHidden ? this.wheel.firstLane(priority) : this.ready.of(priority)
  }

  /** Recovery: a page that a checkpoint told of. */
  addPage(number: number, page: IndexPage): void {
    this.numbered(number).backlog?.addPage(page)
  }

  /** Recovery: leaves out what is gone, and what does not survive a restart; see Backlog.sift. */
  sift(gone: readonly number[], seen: readonly number[]): void {
    this.forEach(({ backlog }) => backlog?.sift(gone, seen, true))
  }

  /** Recovery: the queue was deleted. */
  discard(): void {
    this.forEach(({ backlog }) => backlog?.discard())
  }

  // What the wheel asks.

  makeLane(number: number, priority: number): Lane {
    const { backing, memory, queueId } = this
    const backlog = backing === null ? null : new Backlog(queueId, priority, backing.pages, backing)
    return new Lane(priority, memory, backlog, number)
  }

  placeDelayed(entry: Entry): boolean {
    return this.memory.placeHidden(entry)
  }
}
