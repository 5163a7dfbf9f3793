/** The lanes of what is ready in one queue: one for each priority that was ever used, the highest goes first. */
import type { Entry } from './entry.ts'
import type { Lane } from './lane.ts'

const all = Number.POSITIVE_INFINITY

export class Lanes {
  /** Of priority 0, the one lane that most queues have. */
  readonly lowest: Lane
  /** The highest priority there is a lane for. */
  highest = 0
  /** Entries with a delivery count of 0 below this were perhaps handed out by a life that did not tell. */
  suspectBelow = 0
  private readonly byPriority: (Lane | null)[]
  private readonly make: (priority: number) => Lane

  constructor(make: (priority: number) => Lane) {
    this.make = make
    this.lowest = make(0)
    this.byPriority = [this.lowest]
  }

  /** The lane of a priority, made if need be. */
  of(priority: number): Lane {
    const known = this.byPriority[priority]
    if (known != null) return known
    const lane = this.make(priority)
    while (this.byPriority.length < priority) this.byPriority.push(null)
    this.byPriority[priority] = lane
    this.highest = Math.max(this.highest, priority)
    return lane
  }

  /** Visits every lane, the lowest priority first. */
  forEach(visit: (lane: Lane) => void): void {
    for (const lane of this.byPriority) if (lane != null) visit(lane)
  }

  /** The next one below that priority that is not empty; null if there is none. All of them: from infinity on. */
  filledBelow(above: number): Lane | null {
    for (let priority = Math.min(above - 1, this.highest); priority >= 0; priority--) {
      const lane = this.byPriority[priority]
      if (lane != null && lane.count > 0) return lane
    }
    return null
  }

  /** The first entry of the highest priority there is. */
  first(): Entry | undefined {
    if (this.highest === 0) return this.lowest.peek(this.suspectBelow)
    for (let lane = this.filledBelow(all); lane !== null; lane = this.filledBelow(lane.priority)) {
      const entry = lane.peek(this.suspectBelow)
      if (entry !== undefined) return entry
    }
    return undefined
  }

  /** The first entry of some priority that has expired by then. */
  firstExpired(nowMs: number): Entry | undefined {
    for (let lane = this.filledBelow(all); lane !== null; lane = this.filledBelow(lane.priority)) {
      const entry = lane.peek(this.suspectBelow)
      if (entry !== undefined && entry.expiresAt > 0 && entry.expiresAt <= nowMs) return entry
    }
    return undefined
  }

  /** When the next first entry of some priority expires, in ms since 1970; infinity if none does. */
  nextExpiryMs(): number {
    let next = Number.POSITIVE_INFINITY
    for (let lane = this.filledBelow(all); lane !== null; lane = this.filledBelow(lane.priority)) {
      const entry = lane.peek(this.suspectBelow)
      if (entry !== undefined && entry.expiresAt > 0) next = Math.min(next, entry.expiresAt)
    }
    return next
  }
}
