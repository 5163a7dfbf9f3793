/** Tells a log that has just been opened what a checkpoint says of segments that recovery did not read. */
import { makeColdSegment } from '../log/cold-segment.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { Checkpoint } from './checkpoint-file.ts'

/** `directory`: where cold segments are. */
export function knowSegments(
  log: SegmentedLog,
  directory: string,
  { id: checkpointId, cold, start }: Checkpoint,
): void {
  for (const { number, epoch, salt, bytes, references } of cold) {
    const segment = makeColdSegment(directory, number, epoch, salt)
    segment.bytes = bytes
    segment.references = references
    segment.neededBefore = checkpointId
    segment.sealed = true
    log.addCold(segment)
  }
  for (const { id, references } of start.segments) {
    const segment = log.segmentOf(id)
    if (segment === null) continue
    segment.references += references
    // The checkpoint before may say that something lives in it which was copied since.
    segment.neededBefore = checkpointId
  }
}
