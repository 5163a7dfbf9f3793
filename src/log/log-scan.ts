/** Reading a log from its first frame to its last, which is how it is found out where it ends. */
import type { FoundSegment } from './found-segments.ts'
import { frameBytes, frameCrc, frameLsn } from './frame.ts'
import { findFault, loadFrame } from './frame-check.ts'
import type { FrameDelivery } from './frame-delivery.ts'
import { findFrame, isTorn } from './frame-search.ts'
import type { LogStart } from './log-start.ts'
import type { Salvage } from './salvage.ts'
import { framesStart } from './segment.ts'
import type { SegmentDamage } from './segment-damage.ts'
import type { SegmentReader } from './segment-reader.ts'
import type { UnprovenFrames } from './unproven-frames.ts'
import type { Watermarks } from './watermarks.ts'

/** So many frames may have been written after the last one that was synced, and have left no byte; 64 MiB hold fewer. */
const deferredFramesMax = 2 ** 20

export interface TornTail {
  readonly found: FoundSegment
  readonly offset: number
}

export class LogScan {
  /** The number of the frame that would come next. */
  lsnNext = 0
  /** Where the last segment ends. */
  endBytes = 0
  torn: TornTail | null = null
  private readonly list: readonly FoundSegment[]
  private readonly reader: SegmentReader
  private readonly watermarks: Watermarks
  private readonly delivery: FrameDelivery
  private readonly unproven: UnprovenFrames
  private readonly damage: SegmentDamage
  private readonly salvage: Salvage
  private readonly start: LogStart | null

  constructor(
    list: readonly FoundSegment[],
    reader: SegmentReader,
    watermarks: Watermarks,
    delivery: FrameDelivery,
    unproven: UnprovenFrames,
    damage: SegmentDamage,
    salvage: Salvage,
    start: LogStart | null,
  ) {
    this.list = list
    this.reader = reader
    this.watermarks = watermarks
    this.delivery = delivery
    this.unproven = unproven
    this.damage = damage
    this.salvage = salvage
    this.start = start
  }

  async run(): Promise<void> {
    for (let index = 0; index < this.list.length; index++) {
      this.endBytes = await this.scan(index)
    }
    await this.judgeEnd()
    this.unproven.release()
  }

  /** A checkpoint may know of frames that are gone without a trace: of a file that ends where a frame does. */
  private async judgeEnd(): Promise<void> {
    const { start, list, lsnNext } = this
    const last = list.at(-1)
    if (start === null || this.torn !== null || last === undefined || last.isKnown) return
    if (lsnNext > start.syncedLsn) return
    await this.damage.note(
      list.length - 1,
      this.endBytes,
      0,
      `frame ${start.syncedLsn} was there at the last checkpoint`,
    )
  }

  /** Reads one segment; returns where it ends. */
  private async scan(index: number): Promise<number> {
    const { reader, watermarks } = this
    const found = this.list[index] as FoundSegment
    const { segment, file } = found
    if (found.isKnown || file === null) return segment.bytes
    const next = this.list[index + 1]
    const follower = next !== undefined && !next.isUnreadable && next.segment.previousId === segment.id ? next : null
    const isLast = next === undefined
    if (found.isUnreadable) {
      this.delivery.provenFrames = 1
      await this.damage.note(index, 0, found.fileBytes, 'both copies of its header are lost')
      return found.fileBytes
    }
    const sealedBytes = follower === null ? found.fileBytes : follower.segment.previousBytes
    const limit = Math.min(sealedBytes, found.fileBytes)
    if (isLast) this.delivery.provenFrames = 0
    reader.begin(file, found.fileBytes)

    let offset = framesStart
    let lsn = segment.firstLsn
    let isChained = true
    const { start } = this
    // Where it would begin with the first frame the header says all that is needed, even if another took its place since.
    if (start !== null && start.segments.at(-1)?.id === segment.id && start.offset > framesStart) {
      offset = start.offset
      lsn = start.lsn + 1
      segment.lastCrc = start.crc
      if (isLast) this.delivery.provenFrames = 1
      if (offset > limit) {
        await this.damage.note(index, limit, 0, `it was ${offset} bytes long at the last checkpoint`)
      }
    }
    while (offset < limit) {
      const at = await loadFrame(reader, offset, limit)
      const fault = findFault(reader.buffer, at, segment, offset, limit, isChained ? lsn : null)
      if (fault === null) {
        const { buffer } = reader
        const end = offset + frameBytes(buffer, at)
        segment.lastCrc = frameCrc(buffer, at)
        lsn = frameLsn(buffer, at)
        this.unproven.accept(reader, at, segment, offset, isLast)
        offset = end
        lsn++
        isChained = true
        continue
      }
      if (isLast && (await isTorn(reader, found, offset, lsn, watermarks))) {
        this.torn = { found, offset }
        break
      }
      const resumed = this.damage.salvage ? await findFrame(reader, segment, offset + 1, limit, lsn) : limit
      if (!(await this.damage.note(index, offset, resumed - offset, fault))) return offset
      // Frames held back so far are older than what is damaged, hence proven.
      watermarks.noteSynced(lsn - 1)
      this.unproven.release()
      await this.salvage.deliverRecords(segment, offset, resumed, lsn)
      offset = resumed
      const resumedAt = await loadFrame(reader, offset, limit)
      if (resumedAt !== -1) lsn = frameLsn(reader.buffer, resumedAt)
      isChained = false
    }
    if (sealedBytes > found.fileBytes) {
      await this.damage.note(index, found.fileBytes, 0, `it was ${sealedBytes} bytes long when it was sealed`)
    } else if (follower !== null && follower.segment.previousCrc !== segment.lastCrc) {
      await this.damage.note(index, offset, 0, 'its last frame is not the one that the next segment names')
    }
    // The frame after the last one may have been begun without leaving a byte.
    if (isLast) {
      this.lsnNext = lsn
      watermarks.noteUsed(lsn)
      if (segment.isDeferred) watermarks.noteUsed(lsn + deferredFramesMax)
    }
    segment.bytes = offset
    return offset
  }
}
