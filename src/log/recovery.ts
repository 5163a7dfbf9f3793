/**
 * What opening a log does before anything is appended to it.
 *
 * It reads the segments in order and gives every record of every whole, valid frame to the sink. Four things need care:
 *
 * - **Where does the log end?** At the first frame that is not valid, number n. Let S be the highest synced LSN in any
 *   valid frame header: what was once known to be durable. n > S and nothing valid behind it: the frame was being
 *   written when the process or the machine died, nobody was told of it, it is a *torn tail* and set aside. Otherwise
 *   confirmed data is damaged and nothing may be cut off: refuse, or (salvage) leave out exactly what is damaged.
 *   Where syncing is put off (`deferredFlag`) several frames are written after S, in any order on the platter, and n > S
 *   alone decides: whoever was told of them was not promised that they outlive a power cut.
 *   See `log-scan.ts`, `frame-search.ts`.
 * - **Which frames are durable?** Those up to S. A later one was found in the page cache, perhaps after a failed sync, and
 *   may vanish with the next power cut although somebody acted on it. It is written again, into a new segment that is
 *   synced before it gets its name, and only then given to the sink. See `unproven-frames.ts`, `fresh-segment.ts`.
 * - **Where does reading begin?** At the first frame there is, or where a checkpoint says. See `log-start.ts`.
 * - **May a segment be missing?** Only if the newest RETAINED record does not list it. See `retention.ts`.
 *
 * Nothing is changed before the whole log was judged; each change is one that a second recovery would make again.
 */
import type { Disk } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'
import { Damages } from './damage.ts'
import { type FoundSegment, FoundSegments } from './found-segments.ts'
import { FrameDelivery, type RecoverySink } from './frame-delivery.ts'
import { createSegment, planFirst, planReplacement, planSuccessor } from './fresh-segment.ts'
import { isUnborn } from './headless-segment.ts'
import { LogScan } from './log-scan.ts'
import type { LogStart } from './log-start.ts'
import { Quarantine } from './quarantine.ts'
import { emptyReport, type RecoveryReport } from './recovery-report.ts'
import { Retention } from './retention.ts'
import { Salvage } from './salvage.ts'
import { framesStart, type Segment, segmentName } from './segment.ts'
import { SegmentDamage } from './segment-damage.ts'
import { SegmentReader } from './segment-reader.ts'
import { UnprovenFrames } from './unproven-frames.ts'
import { Watermarks } from './watermarks.ts'

/** @public A part of the report; nobody names it by itself yet. */
export type { Damage } from './damage.ts'
export type { RecoverySink } from './frame-delivery.ts'
export type { RecoveryReport } from './recovery-report.ts'

export interface Recovered {
  /** In order; the last one is new, open and durable. */
  segments: Segment[]
  /** The last LSN in use. */
  lastLsn: number
  report: RecoveryReport
}

export async function recover(
  platform: Platform,
  directory: string,
  salvage: boolean,
  sink: RecoverySink,
  start: LogStart | null,
  needsStart: boolean,
  flags: number,
): Promise<Recovered> {
  const found = new FoundSegments(platform.disk, `${directory}/log`)
  try {
    return await new Recovery(platform, directory, salvage, sink, found, start, needsStart, flags).run()
  } finally {
    await found.close()
  }
}

/** The steps in their order: read, judge, change. */
class Recovery {
  private readonly platform: Platform
  private readonly logDirectory: string
  private readonly found: FoundSegments
  private readonly reader = new SegmentReader()
  private readonly watermarks = new Watermarks()
  private readonly retention = new Retention()
  private readonly damages: Damages
  private readonly quarantine: Quarantine
  private readonly report: RecoveryReport
  private readonly delivery: FrameDelivery
  private readonly unproven: UnprovenFrames
  private readonly scan: LogScan
  private readonly start: LogStart | null
  private readonly needsStart: boolean
  /** Of the segment that is begun. */
  private readonly flags: number

  constructor(
    platform: Platform,
    directory: string,
    salvage: boolean,
    sink: RecoverySink,
    found: FoundSegments,
    start: LogStart | null,
    needsStart: boolean,
    flags: number,
  ) {
    this.start = start
    this.needsStart = needsStart
    this.flags = flags
    const { reader, watermarks, retention } = this
    this.platform = platform
    this.logDirectory = `${directory}/log`
    this.found = found
    this.damages = new Damages(salvage)
    this.quarantine = new Quarantine(platform.disk, this.logDirectory, `${directory}/quarantine`)
    this.report = emptyReport(this.quarantine.names, this.damages.list)
    this.delivery = new FrameDelivery(sink, retention, this.report)
    this.unproven = new UnprovenFrames(watermarks, this.delivery)
    this.scan = new LogScan(
      found.list,
      reader,
      watermarks,
      this.delivery,
      this.unproven,
      new SegmentDamage(found.list, retention, this.damages, this.quarantine),
      new Salvage(reader, this.delivery, platform.clock),
      start,
    )
  }

  async run(): Promise<Recovered> {
    const { platform, found, watermarks, report } = this
    const startMs = platform.clock.monotonicMs()
    this.begin()
    await found.find(watermarks, report.notes, this.start)
    this.judgeCompleteness()
    report.segments = found.list.length
    await this.scan.run()

    const leftovers = this.judgeRetention()
    if (found.headless !== null) await this.judgeHeadless(found.headless)

    await this.setAside()
    // A last segment without a proven frame is itself not known to be durable, after a failed sync: the new one takes its
    // place and its name. Elsewhere the new one follows it.
    const isReplacing = found.list.length > 0 && this.delivery.provenFrames === 0
    // The new one's header says which it follows: that is to be there if the new one is.
    if (!isReplacing && this.unproven.mayLackName) await platform.disk.syncDirectory(this.logDirectory)
    const segment = await this.beginSegment(isReplacing)
    // Where something is damaged already, nothing is cut off.
    await trim(platform.disk, found.list, isReplacing, this.damages.list.length === 0, leftovers)
    await this.remove(leftovers)

    const segments = found.list.filter((one) => !leftovers.includes(one)).map((one) => one.segment)
    for (const old of segments) old.sealed = true
    if (isReplacing) segments.pop()
    segments.push(segment)
    report.bytes = this.reader.bytesRead
    report.durationMs = platform.clock.monotonicMs() - startMs
    return { segments, lastLsn: watermarks.usedLsn, report }
  }

  private begin(): void {
    const { start, watermarks, retention } = this
    if (start === null) return
    watermarks.noteUsed(start.syncedLsn)
    watermarks.noteSynced(start.syncedLsn)
    retention.begin(start.segments)
  }

  /** Where checkpoints were made, what segments that are gone said is in them alone: without one nothing may be missing. */
  private judgeCompleteness(): void {
    if (this.start !== null || !this.needsStart) return
    let previousId = 0
    for (const { segment, isUnreadable } of this.found.list) {
      if (!isUnreadable && segment.previousId !== previousId) {
        this.damages.note(segment.path, 0, 0, 'what the log said before it is in checkpoints, and none can be read')
      }
      previousId = segment.id
    }
  }

  /** Returns the segments that are only there because a crash came first. */
  private judgeRetention(): FoundSegment[] {
    for (const { bytes } of this.unproven.list) this.retention.noteFrame(bytes)
    return this.retention.judge(this.found.list, this.logDirectory, this.damages)
  }

  private async judgeHeadless(headless: FoundSegment): Promise<void> {
    const isOnly = this.found.list.length === 0
    if (await isUnborn(headless, isOnly, this.scan.lsnNext, this.reader)) return
    this.damages.note(headless.segment.path, 0, 0, 'both copies of its header are lost')
  }

  private async setAside(): Promise<void> {
    const { quarantine, report } = this
    const { torn } = this.scan
    const { headless } = this.found
    await quarantine.setTemporariesAside()
    if (torn !== null) {
      report.tornBytes = torn.found.fileBytes - torn.offset
      await quarantine.copyAside(torn.found, torn.offset, torn.found.fileBytes, 'torn')
      const { path, isDeferred } = torn.found.segment
      // Elsewhere nobody was told of it.
      if (isDeferred) report.notes.push(`${path}: from byte ${torn.offset} on what was not synced yet is lost`)
    }
    if (headless !== null) await quarantine.setFileAside(segmentName(headless.segment.id))
  }

  /** Begins the segment to append to, and delivers the frames that only now are durable, in it. */
  private async beginSegment(isReplacing: boolean): Promise<Segment> {
    const { platform, logDirectory } = this
    const { reappended } = this.unproven
    const segment = this.planSegment(isReplacing)
    const content = await createSegment(platform.disk, logDirectory, segment, reappended, this.watermarks)
    let at = framesStart
    for (const { bytes } of reappended) {
      this.delivery.deliver(content, at, at + bytes.length, segment)
      at += bytes.length
    }
    this.report.reappendedFrames = reappended.length
    return segment
  }

  private planSegment(isReplacing: boolean): Segment {
    const { logDirectory, found, flags } = this
    const salt = Buffer.alloc(8)
    this.platform.random.fill(salt)
    const epoch = found.epoch + 1
    const last = found.list.at(-1)?.segment
    if (last === undefined) return planFirst(logDirectory, flags, epoch, salt)
    if (isReplacing) return planReplacement(logDirectory, flags, epoch, salt, last)
    return planSuccessor(logDirectory, flags, epoch, salt, last, this.scan.endBytes, this.unproven.list)
  }

  private async remove(leftovers: readonly FoundSegment[]): Promise<void> {
    const { disk } = this.platform
    for (const { segment } of leftovers) {
      await disk.remove(segment.path)
      this.report.removed.push(segmentName(segment.id))
    }
    if (leftovers.length > 0) await disk.syncDirectory(this.logDirectory)
  }
}

/**
 * Cuts off what lies beyond the sealed length, so that the length is known even when the successor is gone. A file that
 * has its length already may have it from a process that died before it could sync: what was cut off then comes back with
 * the next loss of power (simulated seed 2002282). So before a successor goes, its predecessor is synced.
 */
async function trim(
  disk: Disk,
  list: readonly FoundSegment[],
  isReplacing: boolean,
  mayCut: boolean,
  leftovers: readonly FoundSegment[],
): Promise<void> {
  for (const [index, found] of list.entries()) {
    const next = list[index + 1]
    const isSealed = next === undefined ? !isReplacing : next.segment.previousId === found.segment.id
    if (!isSealed) continue
    const isLonger = found.segment.bytes < found.fileBytes
    const losesSuccessor = next !== undefined && leftovers.includes(next)
    if (isLonger ? !mayCut : !losesSuccessor) {
      found.segment.isTrimmed = false
      continue
    }
    const file = await disk.open(found.segment.path, 'write')
    try {
      if (isLonger) await file.truncate(found.segment.bytes)
      await file.sync()
    } finally {
      await file.close()
    }
  }
}
