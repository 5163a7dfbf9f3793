/**
 * A last segment without headers. While a segment is being made it has none, for they are synced with its first frame. A
 * second frame means that the first one was synced, and the headers with it: then they are damaged. Frames with lower
 * numbers do not count, they are what the blocks of the disk held before. The only segment was never made that way.
 */
import type { FoundSegment } from './found-segments.ts'
import { frameBytes, frameHeaderBytes, frameLsn, hasFrameMagic } from './frame.ts'
import { framesStart } from './segment.ts'
import type { SegmentReader } from './segment-reader.ts'

/** Whether it was still being made, by somebody who died over it. `lsnNext` comes after all the other segments. */
export async function isUnborn(
  headless: FoundSegment,
  isOnly: boolean,
  lsnNext: number,
  reader: SegmentReader,
): Promise<boolean> {
  return !isOnly && (await firstSyncedLsn(headless, reader)) < lsnNext
}

/** The LSN of the first frame if one with the next number seems to follow it, else 0. Without the salt, no checksums. */
async function firstSyncedLsn(headless: FoundSegment, reader: SegmentReader): Promise<number> {
  if (headless.file === null) return 0
  reader.begin(headless.file, headless.fileBytes)
  const first = await reader.load(framesStart, frameHeaderBytes)
  if (first === -1 || !hasFrameMagic(reader.buffer, first)) return 0
  const lsn = frameLsn(reader.buffer, first)
  const second = await reader.load(framesStart + frameBytes(reader.buffer, first), frameHeaderBytes)
  if (second === -1 || !hasFrameMagic(reader.buffer, second)) return 0
  return frameLsn(reader.buffer, second) === lsn + 1 ? lsn : 0
}
