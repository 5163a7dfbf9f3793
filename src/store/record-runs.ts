/** Which records are best read with one read: those that lie close to each other in one segment, in the order given. */
import type { Segment } from '../log/segment.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { Residence } from '../model/message.ts'

/** Bytes between two records that are read along rather than skipped. */
const gapBytesMax = 32_768

/** Where a record is. */
export interface Placed {
  readonly segment: Residence | null
  readonly offset: number
  readonly recordBytes: number
}

export interface Run {
  /** The first record that is not a part of it. */
  readonly next: number
  /** Bytes from the first one's start to the last one's end. */
  readonly bytes: number
}

/** The run that begins with `records[at]`, which lies at `offset` of `segment`; all of it is in the file. */
export function findRun(
  log: SegmentedLog,
  records: readonly Placed[],
  at: number,
  segment: Segment,
  offset: number,
  bytesMax: number,
): Run {
  let end = offset + (records[at] as Placed).recordBytes
  let next = at + 1
  for (; next < records.length; next++) {
    const record = records[next] as Placed
    const id = record.segment?.id ?? 0
    if (log.homeSegment(id, record.offset) !== segment) break
    const home = log.homeOffset(id, record.offset)
    if (home < end || home - end > gapBytesMax || home + record.recordBytes - offset > bytesMax) break
    if (log.findUnwritten(segment, home) !== -1) break
    end = home + record.recordBytes
  }
  return { next, bytes: end - offset }
}
