/**
 * Gives up segments that nobody needs: those of the log when nothing in them lives and no checkpoint that is kept would have
 * to be completed from them, cold ones when what settled their last message is durable, too.
 */
import type { Segment } from '../log/segment.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { Clock } from '../platform/clock.ts'
import type { Checkpointer } from './checkpointer.ts'

/** So many segments in which nothing lives may be held by the checkpoints before there are others. */
const heldSegments = 6
/** How often segments are looked through for such that nobody needs. */
const lookMs = 100

/** A cold segment in which nothing lives, to be deleted when that frame is durable. */
interface DyingSegment {
  readonly segment: Segment
  readonly lsn: number
}

export class DeadSegments {
  private readonly clock: Clock
  private readonly log: SegmentedLog
  private readonly checkpointer: Checkpointer
  private readonly segmentBytesMax: number
  private readonly barrier: () => number
  private readonly dyingCold: DyingSegment[] = []
  private lookedMs = Number.NEGATIVE_INFINITY

  /** `barrier`: the frame in which is all that was settled so far. */
  constructor(
    clock: Clock,
    log: SegmentedLog,
    checkpointer: Checkpointer,
    segmentBytesMax: number,
    barrier: () => number,
  ) {
    this.clock = clock
    this.log = log
    this.checkpointer = checkpointer
    this.segmentBytesMax = segmentBytesMax
    this.barrier = barrier
  }

  durable(lsn: number): void {
    while (this.dyingCold.length > 0 && (this.dyingCold[0] as DyingSegment).lsn <= lsn) {
      this.log.removeCold((this.dyingCold.shift() as DyingSegment).segment)
    }
  }

  /** Whether it is time to look again. */
  isDue(): boolean {
    const nowMs = this.clock.monotonicMs()
    if (nowMs - this.lookedMs < lookMs) return false
    this.lookedMs = nowMs
    return true
  }

  /** Gives up what there is. Returns whether a frame has to say so, and should be written although nothing else happens. */
  retire(): boolean {
    const { log, checkpointer } = this
    const { neededFromId } = checkpointer
    const dead: Segment[] = []
    let heldBytes = 0
    for (const segment of log.segments) {
      if (!segment.isRetirable) continue
      if (segment.id < neededFromId && checkpointer.isFree(segment)) dead.push(segment)
      else heldBytes += segment.bytes
    }
    // Whoever empties a long queue writes little, and gives back much: it is not to wait for a checkpoint's time.
    if (heldBytes >= heldSegments * this.segmentBytesMax) checkpointer.makeSoon()
    for (const segment of log.coldSegments) {
      // One to which records are being moved is empty at first.
      if (segment.live > 0 || !segment.sealed || segment.isRetiring) continue
      if (segment.neededBefore > checkpointer.oldestKeptId) continue
      // Not before what settled its last message is durable: a crash would bring that message back.
      segment.isRetiring = true
      this.dyingCold.push({ segment, lsn: this.barrier() })
    }
    if (dead.length === 0) return false
    log.retire(dead)
    return true
  }
}
