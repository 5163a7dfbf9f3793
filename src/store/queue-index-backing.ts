/** What the index of a queue needs of the log behind it, and of its queue. */
import type { Message } from '../model/message.ts'
import type { SegmentDirectory } from './backlog.ts'
import type { BodyRefs } from './body-refs.ts'
import type { Entry } from './entry.ts'
import type { MessageReceiver } from './message-read.ts'
import type { PageFiles } from './page-files.ts'
import type { RangeList } from './range-list.ts'
import type { SyncGate } from './sync-gate.ts'

/** An index, as the log sees it. */
export interface BackedIndex {
  readonly queueId: number
  readonly nextSequence: number
  /** Settled since the last commit; only entries the log knows of. */
  readonly settled: RangeList
  /** Visits what consumers hold. */
  forEachHeld(visit: (entry: Entry) => void): void
}

/** The log behind an index. */
export interface IndexBacking extends SegmentDirectory {
  readonly pages: PageFiles
  readonly gate: SyncGate | null
  /** Null: nobody has bodies in files. */
  readonly bodyRefs: BodyRefs | null
  /** Told once when an index has settlements the log has not heard of. */
  settlementsPending(index: BackedIndex): void
  /** Everything ready was removed: entries below `nextSequence` that no consumer holds. */
  purged(index: BackedIndex): void
  /** Writes a message that the log would not have kept; false if the log takes nothing. */
  overflow(message: Message): boolean
  /** Reads messages; answered by `arrived` or `lost` for each that is still wanted, then by `loadEnded`. */
  fetch(to: MessageReceiver, entries: readonly Entry[]): void
}

/** Whose index it is. */
export interface IndexOwner {
  /** Messages that were asked for are there, or given up. */
  loaded(): void
}
