/**
 * Frames at the end of the last segment that are valid but not known to be durable: held back until a later frame proves
 * them. Those that none does are written again before they are delivered.
 */
import { frameBytes, frameHeaderBytes, frameLsn, frameSyncedLsn, isFrameHeader, recordTypeSynced } from './frame.ts'
import type { FrameDelivery } from './frame-delivery.ts'
import type { Segment } from './segment.ts'
import type { SegmentReader } from './segment-reader.ts'
import type { Watermarks } from './watermarks.ts'

/** In a record's header. */
const recordTypeAt = 8

export interface UnprovenFrame {
  readonly bytes: Buffer
  readonly segment: Segment
  readonly offset: number
}

export class UnprovenFrames {
  /** In order. */
  readonly list: UnprovenFrame[] = []
  private readonly watermarks: Watermarks
  /** The segment of the last frame, and what is known of its SYNCED frames; see `mayLackName`. */
  private segmentId = 0
  private isSyncedSeen = false
  private isGoneOn = false
  private readonly delivery: FrameDelivery

  constructor(watermarks: Watermarks, delivery: FrameDelivery) {
    this.watermarks = watermarks
    this.delivery = delivery
  }

  /** Delivers the valid frame at `at`, or holds it back if it is not known to be durable. */
  accept(reader: SegmentReader, at: number, segment: Segment, offset: number, isLast: boolean): void {
    const { watermarks } = this
    const { buffer } = reader
    const lsn = frameLsn(buffer, at)
    const end = at + frameBytes(buffer, at)
    this.noteKind(buffer, at, segment)
    watermarks.noteUsed(lsn)
    watermarks.noteSynced(frameSyncedLsn(buffer, at))
    this.release()
    if (isLast && lsn > watermarks.syncedLsn) {
      const following = offset + end - at
      if (reader.available(following) >= frameHeaderBytes && isFrameHeader(buffer, end, segment.saltCrc)) {
        watermarks.noteSynced(frameSyncedLsn(buffer, end))
        this.release()
      }
      if (lsn > watermarks.syncedLsn) {
        this.list.push({ bytes: Buffer.from(buffer.subarray(at, end)), segment, offset })
        return
      }
    }
    this.delivery.deliver(buffer, at, end, segment)
  }

  /**
   * Whether the last segment may be one that an opening made and did not live to see its name durable: it ends with the
   * SYNCED frame that such a segment begins with.
   */
  get mayLackName(): boolean {
    return this.isSyncedSeen && !this.isGoneOn
  }

  private noteKind(buffer: Buffer, at: number, segment: Segment): void {
    if (segment.id !== this.segmentId) {
      this.segmentId = segment.id
      this.isSyncedSeen = false
      this.isGoneOn = false
    }
    if (this.isSyncedSeen) this.isGoneOn = true
    if (buffer[at + frameHeaderBytes + recordTypeAt] === recordTypeSynced) this.isSyncedSeen = true
  }

  /** Delivers those that are known to be durable by now. */
  release(): void {
    let count = 0
    for (const { bytes, segment } of this.list) {
      if (frameLsn(bytes, 0) > this.watermarks.syncedLsn) break
      count++
      this.delivery.deliver(bytes, 0, bytes.length, segment)
    }
    if (count > 0) this.list.splice(0, count)
  }

  /** Those that have to be written again: none if there is nothing of the caller's in them. */
  get reappended(): readonly UnprovenFrame[] {
    return this.list.every((frame) => isSyncedFrame(frame.bytes)) ? [] : this.list
  }
}

function isSyncedFrame(bytes: Buffer): boolean {
  const isAlone = bytes.readUInt32LE(12) === 1
  return isAlone && bytes[frameHeaderBytes + 8] === recordTypeSynced
}
