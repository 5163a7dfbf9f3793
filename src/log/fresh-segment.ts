/**
 * The segment that an opening appends to: never an old one, whose end is only as certain as the last scan. It is
 * written under another name and synced before it is renamed, so a segment of that kind is whole as soon as it exists,
 * and a SYNCED frame may say of those before it that they are durable.
 */
import { assert } from '../lib/assert.ts'
import type { Disk } from '../platform/disk.ts'
import {
  frameHeaderBytes,
  framePreviousCrc,
  frameRealtimeMs,
  readdressFrame,
  recordHeaderBytes,
  recordTypeSynced,
  sealFrame,
} from './frame.ts'
import { encodeSegmentHeader, framesStart, Segment } from './segment.ts'
import type { UnprovenFrame } from './unproven-frames.ts'
import type { Watermarks } from './watermarks.ts'

/** Plans the first segment of a log. */
export function planFirst(logDirectory: string, flags: number, epoch: number, salt: Buffer): Segment {
  return planSegment(logDirectory, flags, 1, epoch, salt)
}

/** Plans the segment that takes the place and the name of `last`. */
export function planReplacement(
  logDirectory: string,
  flags: number,
  epoch: number,
  salt: Buffer,
  last: Segment,
): Segment {
  const segment = planSegment(logDirectory, flags, last.id, epoch, salt)
  segment.previousId = last.previousId
  segment.previousBytes = last.previousBytes
  segment.previousCrc = last.previousCrc
  return segment
}

/** Plans the segment that follows `last`, and seals that one: at `endBytes`, or before its frames that are `unproven`. */
export function planSuccessor(
  logDirectory: string,
  flags: number,
  epoch: number,
  salt: Buffer,
  last: Segment,
  endBytes: number,
  unproven: readonly UnprovenFrame[],
): Segment {
  const segment = planSegment(logDirectory, flags, last.id + 1, epoch, salt)
  const [first] = unproven
  last.bytes = first?.offset ?? endBytes
  // The chain goes on from the last frame that stays where it is.
  if (first !== undefined) last.lastCrc = framePreviousCrc(first.bytes, 0)
  segment.previousId = last.id
  segment.previousBytes = last.bytes
  segment.previousCrc = last.lastCrc
  return segment
}

/** Makes the planned segment, durable and open, with `frames` at its start under new numbers; returns its content. */
export async function createSegment(
  disk: Disk,
  logDirectory: string,
  segment: Segment,
  frames: readonly UnprovenFrame[],
  watermarks: Watermarks,
): Promise<Buffer> {
  segment.firstLsn = watermarks.usedLsn + 1
  segment.lastCrc = segment.previousCrc
  const content = encodeSegment(segment, frames, watermarks)
  const temporary = `${segment.path}.tmp`
  const file = await disk.open(temporary, 'create')
  segment.file = file
  try {
    await file.write(content, 0, content.length, 0)
    await file.sync()
    await disk.rename(temporary, segment.path)
    await disk.syncDirectory(logDirectory)
  } catch (error) {
    await file.close().catch(() => {})
    throw error
  }
  segment.bytes = content.length
  return content
}

function planSegment(logDirectory: string, flags: number, id: number, epoch: number, salt: Buffer): Segment {
  return new Segment(logDirectory, {
    major: 0,
    minor: 0,
    flags,
    keyId: 0,
    checksum: 0,
    id,
    previousId: 0,
    epoch,
    firstLsn: 0,
    salt,
    previousBytes: 0,
    previousCrc: 0,
  })
}

function encodeSegment(segment: Segment, frames: readonly UnprovenFrame[], watermarks: Watermarks): Buffer {
  const syncedFrameBytes = frames.length > 0 ? frameHeaderBytes + recordHeaderBytes : 0
  const bytes = frames.reduce((sum, frame) => sum + frame.bytes.length, framesStart + syncedFrameBytes)
  const content = Buffer.alloc(bytes)
  encodeSegmentHeader(segment, content)
  let at = framesStart
  let { syncedLsn } = watermarks
  let realtimeMs = 0
  for (const frame of frames) {
    frame.bytes.copy(content, at)
    realtimeMs = frameRealtimeMs(frame.bytes, 0)
    at = appendFrame(segment, content, at, at + frame.bytes.length, ++watermarks.usedLsn, syncedLsn, realtimeMs)
    syncedLsn = watermarks.usedLsn
  }
  if (frames.length > 0) {
    content[at + frameHeaderBytes + 8] = recordTypeSynced
    at = appendFrame(segment, content, at, bytes, ++watermarks.usedLsn, syncedLsn, realtimeMs)
  }
  assert(at === bytes, 'the segment is as long as planned')
  return content
}

/** Makes the records in `content[at + 48, end)` a frame of the segment; returns where it ends. */
function appendFrame(
  segment: Segment,
  content: Buffer,
  at: number,
  end: number,
  lsn: number,
  syncedLsn: number,
  realtimeMs: number,
): number {
  const { saltCrc, lastCrc } = segment
  readdressFrame(content, at, end, saltCrc, segment.id, at)
  segment.lastCrc = sealFrame(content, at, end, saltCrc, lsn, syncedLsn, realtimeMs, lastCrc)
  return end
}
