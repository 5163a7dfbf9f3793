/** Whether the frame that ought to stand at a place in a segment does. */
import {
  findFrameFault,
  frameBytes,
  frameHeaderBytes,
  frameLsn,
  framePreviousCrc,
  hasFrameMagic,
  isFrameHeader,
} from './frame.ts'
import type { Segment } from './segment.ts'
import type { SegmentReader } from './segment-reader.ts'

/** The frame at `offset` and, if there is one, the header after it; -1 if there is not even a header. */
export async function loadFrame(reader: SegmentReader, offset: number, limit: number): Promise<number> {
  if (offset + frameHeaderBytes > limit) return -1
  let at = reader.find(offset, frameHeaderBytes)
  if (at === -1) at = await reader.load(offset, frameHeaderBytes)
  if (at === -1 || !hasFrameMagic(reader.buffer, at)) return at
  const bytes = frameBytes(reader.buffer, at)
  const wanted = Math.min(bytes + frameHeaderBytes, limit - offset)
  if (bytes > limit - offset) return at
  const whole = reader.find(offset, wanted)
  return whole === -1 ? await reader.load(offset, wanted) : whole
}

/**
 * What is wrong with the frame that `loadFrame` put at `at`; null if nothing is. It has to go on from the segment's last
 * frame with the number `chainedLsn`, unless that is null.
 */
export function findFault(
  buffer: Buffer,
  at: number,
  segment: Segment,
  offset: number,
  limit: number,
  chainedLsn: number | null,
): string | null {
  if (at === -1) return 'a frame header is cut short'
  if (!isFrameHeader(buffer, at, segment.saltCrc)) return 'no valid frame header is there'
  if (chainedLsn !== null) {
    if (framePreviousCrc(buffer, at) !== segment.lastCrc) return 'the frame does not follow the one before it'
    const lsn = frameLsn(buffer, at)
    if (lsn !== chainedLsn) return `frame ${lsn} stands where ${chainedLsn} belongs`
  }
  const bytes = frameBytes(buffer, at)
  if (offset + bytes > limit) return 'the frame is cut short'
  return findFrameFault(buffer, at, at + bytes, segment.saltCrc, segment.id, offset)
}
