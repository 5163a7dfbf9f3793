/**
 * A way through all that waits in a queue, in steps, while messages come and go: what was there when it began is shown, unless
 * it has left, or appeared from where it was hidden, before the walk came by. First what is hidden, slot after slot, then what
 * is ready, by priority and sequence. What consumers give back may be missed: it was with them when the walk came by.
 */
import { HiddenWalk } from './delay-wheel.ts'
import type { Entry } from './entry.ts'
import { readableTogether } from './message-read.ts'
import type { WaitingEntries } from './waiting-entries.ts'

/** So many entries are shown at once. */
const entriesMax = 256

export class QueueWalk {
  private readonly waiting: WaitingEntries
  private readonly hidden = new HiddenWalk()
  private isHiddenDone = false
  private priority: number
  private after = 0
  /** What came later need not be shown. */
  private readonly before: number

  constructor(waiting: WaitingEntries, nextSequence: number) {
    this.waiting = waiting
    this.priority = waiting.highestPriority
    this.before = nextSequence
  }

  /** Some more entries, whose messages are in memory or can be read together; empty: that was all. */
  next(): Entry[] {
    const { waiting } = this
    if (!this.isHiddenDone) {
      const hidden = waiting.nextHidden(this.hidden, entriesMax)
      if (hidden.length > 0) return hidden
      this.isHiddenDone = true
    }
    for (; this.priority >= 0; this.priority--) {
      const listed = waiting.readyAfter(this.priority, this.after, entriesMax)
      const entries = readableTogether(listed.filter(({ sequence }) => sequence < this.before))
      const last = entries.at(-1)
      this.after = last?.sequence ?? 0
      if (last !== undefined) return entries
    }
    return []
  }

  /** Nobody goes on with it. */
  end(): void {
    this.waiting.endWalk(this.hidden)
  }
}
