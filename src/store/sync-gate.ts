/**
 * `deliverAfter: 'sync'`: nobody is handed a message that a power cut could still take. A queue whose first message is not
 * durable yet waits here, and is looked at again whenever something has become durable; nobody gets a later one first.
 */
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { Entry, Pass } from './entry.ts'

/** Whoever hands out messages in order. */
export interface GatedIndex {
  gateOpened(): void
}

/** Open when the record at that address is durable. */
class RecordPass implements Pass {
  private readonly log: SegmentedLog
  private readonly segmentId: number
  private readonly offset: number

  constructor(log: SegmentedLog, segmentId: number, offset: number) {
    this.log = log
    this.segmentId = segmentId
    this.offset = offset
  }

  get isOpen(): boolean {
    return this.log.isDurable(this.segmentId, this.offset)
  }
}

export class SyncGate {
  private readonly log: SegmentedLog
  private waiting: GatedIndex[] = []

  constructor(log: SegmentedLog) {
    this.log = log
  }

  /** Whether the entry may be handed out now. What is not in its queue after a restart has nothing to wait for. */
  isOpen(entry: Entry): boolean {
    const { residence } = entry
    if (!entry.logged || residence === null) return true
    return this.log.isDurable(residence.id, offsetOf(entry))
  }

  /** For an entry that was taken; null if there is nothing to wait for. */
  passFor(entry: Entry): Pass | null {
    if (this.isOpen(entry)) return null
    return new RecordPass(this.log, entry.residence?.id ?? 0, offsetOf(entry))
  }

  wait(index: GatedIndex): void {
    this.waiting.push(index)
  }

  /** Something became durable. */
  look(): void {
    if (this.waiting.length === 0) return
    const { waiting } = this
    this.waiting = []
    for (const index of waiting) index.gateOpened()
  }
}

function offsetOf(entry: Entry): number {
  return entry.segment === null && entry.message !== null ? entry.message.recordOffset : entry.offset
}
