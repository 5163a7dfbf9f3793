/**
 * Where recovery may begin, said by whoever remembers all that was before: the segments as they were, and the end of a
 * frame that was durable then. What lies before it is not read.
 */
import type { Segment } from './segment.ts'

/** What a segment's header and its successor say of it. */
export interface SegmentFacts {
  readonly id: number
  readonly previousId: number
  readonly previousBytes: number
  readonly previousCrc: number
  readonly epoch: number
  readonly firstLsn: number
  readonly salt: Buffer
  /** Its length, if it is sealed. */
  readonly bytes: number
  readonly lastCrc: number
  /** What was ever referred to in it. */
  readonly references: number
}

export interface LogStart {
  /** In order; recovery goes on in the last one. */
  readonly segments: readonly SegmentFacts[]
  /** Where in it, behind which frame, and the CRC of that frame's header. */
  readonly offset: number
  readonly lsn: number
  readonly crc: number
  /** A later frame that is known to be durable, too, or the same: what was told is not to be doubted. */
  readonly syncedLsn: number
}

export function factsOf(segment: Segment): SegmentFacts {
  const { id, previousId, previousBytes, previousCrc, epoch, firstLsn, salt, bytes, lastCrc, references } = segment
  return { id, previousId, previousBytes, previousCrc, epoch, firstLsn, salt, bytes, lastCrc, references }
}
