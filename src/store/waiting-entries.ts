/**
 * What waits in a queue, for whoever looks through it and takes nothing. What is an object is shown as it is, what lies in a page
 * as an entry of its own; either is good for this turn alone.
 */
import type { DelayWheel, HiddenWalk } from './delay-wheel.ts'
import type { Entry } from './entry.ts'
import type { KeyTurns } from './key-turns.ts'
import type { Lanes } from './lanes.ts'

export class WaitingEntries {
  private readonly lanes: Lanes
  private readonly keys: KeyTurns | null
  private readonly delays: DelayWheel | null

  constructor(lanes: Lanes, keys: KeyTurns | null, delays: DelayWheel | null) {
    this.lanes = lanes
    this.keys = keys
    this.delays = delays
  }

  get highestPriority(): number {
    return this.lanes.highest
  }

  /** Up to `max` ready entries behind the first `skip`: the highest priority first, and the oldest of those. */
  ready(skip: number, max: number): Entry[] {
    const found: Entry[] = []
    let left = skip
    for (let priority = this.lanes.highest; priority >= 0 && found.length < max; priority--) {
      left = this.list(priority, 0, left, max - found.length, found)
    }
    return found
  }

  /** Up to `max` ready entries of that priority whose sequence is above `after`, the oldest first. */
  readyAfter(priority: number, after: number, max: number): Entry[] {
    const found: Entry[] = []
    this.list(priority, after, 0, max, found)
    return found
  }

  /** Up to `max` hidden entries behind the first `skip`: by when they are due, and then as they came. */
  hidden(skip: number, max: number): Entry[] {
    return this.delays?.first(skip + max).slice(skip) ?? []
  }

  /** Up to `max` hidden entries more, in any order; empty: all that was there when `walk` began was shown, or has become due. */
  nextHidden(walk: HiddenWalk, max: number): Entry[] {
    return this.delays?.next(walk, max) ?? []
  }

  endWalk(walk: HiddenWalk): void {
    this.delays?.endWalk(walk)
  }

  private list(priority: number, after: number, skip: number, max: number, into: Entry[]): number {
    const staged: Entry[] = []
    this.keys?.forEachEntry((entry) => {
      if (entry.priority === priority && entry.sequence > after) staged.push(entry)
    })
    // What waits for its key is older than all that is in the lane.
    staged.sort((one, other) => one.sequence - other.sequence)
    const shown = staged.slice(skip, skip + max)
    into.push(...shown)
    const left = Math.max(0, skip - staged.length)
    const { lanes } = this
    return lanes.of(priority).list(after, left, max - shown.length, lanes.suspectBelow, into)
  }
}
