/** What can be had from a stretch of a segment in which no frame is whole. */
import type { Clock } from '../platform/clock.ts'
import { checkRecord, recordHeaderBytes } from './frame.ts'
import type { FrameDelivery } from './frame-delivery.ts'
import type { Segment } from './segment.ts'
import type { SegmentReader } from './segment-reader.ts'

export class Salvage {
  private readonly reader: SegmentReader
  private readonly delivery: FrameDelivery
  private readonly clock: Clock

  constructor(reader: SegmentReader, delivery: FrameDelivery, clock: Clock) {
    this.reader = reader
    this.delivery = delivery
    this.clock = clock
  }

  /** Every record in the range that stands where it says and has the right checksum, whatever became of its frame. */
  async deliverRecords(segment: Segment, from: number, to: number, lsn: number): Promise<void> {
    const start = await this.reader.load(from, to - from)
    if (start === -1) return
    const { buffer } = this.reader
    const end = start + to - from
    let at = start
    while (at + recordHeaderBytes <= end) {
      const recordEnd = checkRecord(buffer, at, end, segment.saltCrc, segment.id, from + at - start)
      if (recordEnd === -1) {
        at++
        continue
      }
      this.delivery.deliverRecord(buffer, at, recordEnd, segment, lsn)
      at = recordEnd
    }
    this.delivery.endFrame(lsn, this.clock.realtimeMs())
  }
}
