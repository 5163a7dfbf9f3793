/** Which messages of a queue are read next: those whose turn comes first, as many as one read may bring. */
import type { Entry } from './entry.ts'
import type { KeyTurns } from './key-turns.ts'
import type { Lane } from './lane.ts'

const entriesMax = 4_096
/** So many come out of a backlog at once when there are too few that are objects. */
const entriesTakenAhead = 256

export class ReadingList {
  readonly entries: Entry[]
  private bytes = 0
  private readonly bytesMax: number

  /** `first` are wanted in any case. */
  constructor(first: Entry[], bytesMax: number) {
    this.entries = first
    this.bytesMax = bytesMax
    for (const entry of first) this.bytes += entry.recordBytes
  }

  addFromKeys(keys: KeyTurns): void {
    keys.forEachNext((entry) => {
      if (isBare(entry) && !this.isEnough) this.add(entry)
    })
  }

  addFromLane(lane: Lane, suspectBelow: number): void {
    if (lane.returnedBare > 0) {
      const bare = lane.returned.values().filter(isBare)
      bare.sort((left, right) => left.sequence - right.sequence)
      for (const entry of bare) {
        if (this.isEnough) return
        this.add(entry)
      }
    }
    for (let at = lane.windowBare > 0 ? 0 : lane.window.length; !this.isEnough; at++) {
      if (at === lane.window.length) {
        if (lane.backlog === null || lane.backlog.count === 0) break
        if (lane.refill(entriesTakenAhead, suspectBelow) === 0) break
      }
      const entry = lane.window.get(at) as Entry
      if (isBare(entry)) this.add(entry)
    }
  }

  private get isEnough(): boolean {
    return this.bytes >= this.bytesMax || this.entries.length >= entriesMax
  }

  private add(entry: Entry): void {
    this.entries.push(entry)
    this.bytes += entry.recordBytes
  }
}

/** Its message is not in memory, and nobody reads it. */
function isBare(entry: Entry): boolean {
  return entry.message === null && !entry.isLoading
}
