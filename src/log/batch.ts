/**
 * One frame in the making, in an arena that is used again and again:
 *
 *     buffer  [ room for the frame header, 48 B | record | record | …            | unused ]
 *                                                                   ^usedBytes
 */
import { assert } from '../lib/assert.ts'
import { frameHeaderBytes, readdressFrame, sealFrame } from './frame.ts'
import type { Segment } from './segment.ts'

const bufferBytesMin = 1024 * 1024
// A buffer that grew beyond this for one huge batch is given back after it.
const bufferBytesKeptMax = 4 * 1024 * 1024
// Offsets in a segment are 32 bits wide, and so must its largest frame be.
const bufferBytesMax = 1024 * 1024 * 1024

export class Batch {
  buffer: Buffer
  view: DataView
  usedBytes: number = frameHeaderBytes
  recordCount = 0
  segment: Segment
  /** Where the frame will stand in the segment's file. */
  offset: number
  lsn: number
  crc = 0
  syncedLsn = 0
  realtimeMs = 0
  previousCrc = 0
  /** Only SYNCED records: such a frame needs no other to prove it. */
  isSyncedOnly = false
  /** Segments to be deleted when this frame is durable. */
  retiring: Segment[] = []

  constructor(segment: Segment) {
    this.buffer = Buffer.allocUnsafeSlow(bufferBytesMin)
    this.view = new DataView(this.buffer.buffer, this.buffer.byteOffset, this.buffer.length)
    this.segment = segment
    this.offset = 0
    this.lsn = 0
  }

  begin(segment: Segment, offset: number, lsn: number): void {
    this.segment = segment
    this.offset = offset
    this.lsn = lsn
    this.usedBytes = frameHeaderBytes
    this.recordCount = 0
    this.isSyncedOnly = false
    this.retiring = []
    if (this.buffer.length > bufferBytesKeptMax) this.replaceBuffer(bufferBytesMin)
  }

  makeRoom(bytes: number): void {
    const needed = this.usedBytes + bytes
    assert(needed <= bufferBytesMax, 'a frame is smaller than 1 GiB')
    let capacity = this.buffer.length
    while (capacity < needed) capacity *= 2
    this.replaceBuffer(capacity)
  }

  seal(syncedLsn: number, realtimeMs: number, previousCrc: number): void {
    this.syncedLsn = syncedLsn
    this.realtimeMs = realtimeMs
    this.previousCrc = previousCrc
    this.reseal()
  }

  /** Once more, after the records moved. */
  reseal(): void {
    const { buffer, usedBytes, lsn, syncedLsn, realtimeMs, previousCrc } = this
    this.crc = sealFrame(buffer, 0, usedBytes, this.segment.saltCrc, lsn, syncedLsn, realtimeMs, previousCrc)
  }

  /** Moves to another place, or the same place under another salt. */
  move(segment: Segment, offset: number): void {
    this.segment = segment
    this.offset = offset
    readdressFrame(this.buffer, 0, this.usedBytes, segment.saltCrc, segment.id, offset)
  }

  private replaceBuffer(capacity: number): void {
    const buffer = Buffer.allocUnsafeSlow(capacity)
    this.buffer.copy(buffer, 0, 0, this.usedBytes)
    this.buffer = buffer
    this.view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
  }
}
