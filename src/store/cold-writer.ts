/** Copies records to a new cold segment, at a bounded rate; each is checked before it gets a new checksum. */
import { coldFlags, coldNumberIn, coldNumberOf, copyRecord, makeColdSegment } from '../log/cold-segment.ts'
import { checkRecord } from '../log/frame.ts'
import { encodeSegmentHeader, framesStart, type Segment } from '../log/segment.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { Disk, DiskFile } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'
import type { Leftovers } from './leftovers.ts'
import { findRun, type Placed } from './record-runs.ts'

const bufferBytes = 1_048_576

export interface ColdWriterOptions {
  readonly compactionBytesPerSecond: number
}

/** Whoever must know that a sync failed. */
export interface SyncGuard {
  broken(detail: string, error: unknown): void
}

/** A cold segment, and where in it each of the records is. */
export class ColdCopy {
  readonly segment: Segment
  private readonly places = new Map<number, Map<number, number>>()

  constructor(segment: Segment) {
    this.segment = segment
  }

  /** The segments that records came from. */
  has(segmentId: number): boolean {
    return this.places.has(segmentId)
  }

  note(segmentId: number, offset: number, newOffset: number): void {
    const places = this.places.get(segmentId)
    if (places === undefined) this.places.set(segmentId, new Map([[offset, newOffset]]))
    else places.set(offset, newOffset)
  }

  /** Where the record of that address is now; -1 if it was not copied. */
  find(segmentId: number, offset: number): number {
    return this.places.get(segmentId)?.get(offset) ?? -1
  }
}

export class ColdWriter {
  private readonly platform: Platform
  private readonly disk: Disk
  private readonly directory: string
  private readonly log: SegmentedLog
  private readonly options: ColdWriterOptions
  private readonly guard: SyncGuard
  private nextNumber = 1

  constructor(platform: Platform, directory: string, log: SegmentedLog, options: ColdWriterOptions, guard: SyncGuard) {
    this.platform = platform
    this.disk = platform.disk
    this.directory = directory
    this.log = log
    this.options = options
    this.guard = guard
  }

  /** Removes what is in the folder and no checkpoint named: copies of what is elsewhere. Returns what should be there. */
  async open(leftovers: Leftovers): Promise<Segment[]> {
    await this.disk.makeDirectory(this.directory)
    const known = new Map([...this.log.coldSegments].map((segment) => [segment.path, segment]))
    // A number is not given again as long as anybody might mean the one that had it.
    for (const { id } of known.values()) this.nextNumber = Math.max(this.nextNumber, coldNumberOf(id) + 1)
    for (const name of await this.disk.list(this.directory)) {
      const number = coldNumberIn(name)
      this.nextNumber = Math.max(this.nextNumber, number + 1)
      const path = `${this.directory}/${name}`
      if (number > 0 && !known.delete(path)) await leftovers.take(this.directory, name)
    }
    return [...known.values()]
  }

  /**
   * Copies the records in their order, durably. `check` throws when it is not wanted any more. Null: not one of them can be
   * read.
   */
  async copy(records: readonly Placed[], check: () => void): Promise<ColdCopy | null> {
    const segment = makeColdSegment(this.directory, this.nextNumber++, this.log.openSegment.epoch, this.log.newSalt())
    const file = await this.disk.open(segment.path, 'create')
    const copy = new ColdCopy(segment)
    try {
      await this.fill(file, copy, records, check)
      if (segment.bytes > framesStart) await this.sync(file)
      await file.close()
    } catch (error) {
      await file.close().catch(() => {})
      await this.disk.remove(segment.path).catch(() => {})
      throw error
    }
    if (segment.bytes > framesStart) return copy
    await this.disk.remove(segment.path).catch(() => {})
    return null
  }

  private async fill(file: DiskFile, copy: ColdCopy, records: readonly Placed[], check: () => void): Promise<void> {
    const { log } = this
    const { segment } = copy
    const head = Buffer.alloc(framesStart)
    encodeSegmentHeader(segment, head, coldFlags)
    await file.write(head, 0, head.length, 0)
    let source = Buffer.allocUnsafeSlow(bufferBytes)
    let target = Buffer.allocUnsafeSlow(bufferBytes)
    for (let at = 0; at < records.length; ) {
      check()
      const first = records[at] as Placed
      const id = first.segment?.id ?? 0
      const home = log.homeSegment(id, first.offset)
      const offset = log.homeOffset(id, first.offset)
      if (home === null || log.findUnwritten(home, offset) !== -1) {
        at++
        continue
      }
      const run = findRun(log, records, at, home, offset, bufferBytes)
      if (run.bytes > source.length) {
        source = Buffer.allocUnsafeSlow(run.bytes)
        target = Buffer.allocUnsafeSlow(run.bytes)
      }
      const startedMs = this.platform.clock.monotonicMs()
      const read = await log.read(home, source, 0, run.bytes, offset)
      let used = 0
      for (; at < run.next; at++) {
        const record = records[at] as Placed
        const recordId = record.segment?.id ?? 0
        const recordOffset = log.homeOffset(recordId, record.offset)
        const from = recordOffset - offset
        const end = from + record.recordBytes
        // What is damaged stays where it is: a new checksum would say that it is right.
        if (end > read || checkRecord(source, from, end, home.saltCrc, home.id, recordOffset) !== end) continue
        const newOffset = segment.bytes + used
        copyRecord(source, from, end, target, used, segment, newOffset)
        copy.note(recordId, record.offset, newOffset)
        used += record.recordBytes
      }
      if (used > 0) await file.write(target, 0, used, segment.bytes)
      segment.bytes += used
      await this.pause(run.bytes + used, startedMs)
    }
  }

  /** The more was read and written, the longer the disk is left to others. */
  private async pause(bytes: number, startedMs: number): Promise<void> {
    const { clock } = this.platform
    const wantedMs = (bytes / this.options.compactionBytesPerSecond) * 1_000
    const leftMs = wantedMs - (clock.monotonicMs() - startedMs)
    if (leftMs > 0) await new Promise<void>((resolve) => clock.setTimer(leftMs, resolve))
  }

  private async sync(file: DiskFile): Promise<void> {
    try {
      await file.sync()
      await this.disk.syncDirectory(this.directory)
    } catch (error) {
      this.guard.broken('syncing a cold segment failed', error)
      throw error
    }
  }
}
