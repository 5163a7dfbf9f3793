/**
 * What was settled and the log has not heard of. It gathers per queue, and becomes one record per queue when a frame is
 * written; if nothing else is to be written it waits up to `ackDelayMs` for company.
 */
import type { SegmentedLog } from '../log/segmented-log.ts'
import { limits } from '../model/limits.ts'
import type { Clock } from '../platform/clock.ts'
import type { BodyRefs } from './body-refs.ts'
import type { BackedIndex } from './queue-index-backing.ts'
import type { RecordWriter } from './record-writer.ts'

export class SettlementWriter {
  private readonly clock: Clock
  private readonly log: SegmentedLog
  private readonly records: RecordWriter
  private readonly bodyRefs: BodyRefs
  private readonly overdue: () => void
  /** Indexes with settlements that are not in the log yet. */
  private readonly unwritten: BackedIndex[] = []
  private cancelTimer: (() => void) | null = null

  /** `overdue` is called when they have waited long enough for company. */
  constructor(clock: Clock, log: SegmentedLog, records: RecordWriter, bodyRefs: BodyRefs, overdue: () => void) {
    this.clock = clock
    this.log = log
    this.records = records
    this.bodyRefs = bodyRefs
    this.overdue = overdue
  }

  get isEmpty(): boolean {
    return this.unwritten.length === 0
  }

  /** The index has some, the first since they were written. */
  add(index: BackedIndex): void {
    this.unwritten.push(index)
    this.log.expectsRecords = true
    // Not at the next commit: what the last dispatch of a turn settles may be the last that happens for hours.
    this.cancelTimer ??= this.clock.setTimer(limits.ackDelayMs, () => this.waited())
  }

  write(): void {
    for (const index of this.unwritten) this.writeOf(index)
    this.unwritten.length = 0
    this.log.expectsRecords = false
  }

  writeOf(index: BackedIndex): void {
    if (index.settled.isEmpty) return
    this.records.settled(index)
    if (!this.bodyRefs.isEmpty) this.bodyRefs.settled(index.queueId, index.settled.sorted())
    index.settled.clear()
  }

  /** Nobody is called any more. */
  forgetTimer(): void {
    this.cancelTimer?.()
    this.cancelTimer = null
  }

  private waited(): void {
    this.cancelTimer = null
    if (this.unwritten.length > 0) this.overdue()
  }
}
