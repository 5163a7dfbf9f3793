/** The segments that are in the folder when a log is opened, in order, each with what its header says. */
import type { Disk, DiskFile } from '../platform/disk.ts'
import { formatUnsupported } from './log-error.ts'
import type { LogStart, SegmentFacts } from './log-start.ts'
import {
  decodeSegmentHeader,
  findUnsupported,
  framesStart,
  headerCopyOffset,
  Segment,
  type SegmentHeader,
  segmentIdOf,
} from './segment.ts'
import type { Watermarks } from './watermarks.ts'

export interface FoundSegment {
  segment: Segment
  /** Null if there is no need to read it: see `isKnown`. */
  file: DiskFile | null
  fileBytes: number
  /** Both headers are lost; nothing in the segment can be checked. */
  isUnreadable: boolean
  /** Recovery begins behind it. */
  isKnown: boolean
}

export class FoundSegments {
  readonly list: FoundSegment[] = []
  /** The last segment, if both its headers are lost, or never were; not in the list then. */
  headless: FoundSegment | null = null
  /** The highest of any segment. */
  epoch = 0
  private readonly disk: Disk
  private readonly logDirectory: string

  constructor(disk: Disk, logDirectory: string) {
    this.disk = disk
    this.logDirectory = logDirectory
  }

  /** Opens them all and reads their headers. `notes` gets what is harmless, but worth telling. */
  async find(watermarks: Watermarks, notes: string[], start: LogStart | null): Promise<void> {
    const startId = start?.segments.at(-1)?.id ?? 0
    const head = Buffer.alloc(framesStart)
    for (const name of await this.disk.list(this.logDirectory)) {
      const id = segmentIdOf(name)
      if (id === 0) continue
      if (id < startId) {
        this.list.push(
          this.known(
            id,
            start?.segments.find((facts) => facts.id === id),
          ),
        )
        continue
      }
      const path = `${this.logDirectory}/${name}`
      const file = await this.disk.open(path, 'read')
      const found: FoundSegment = {
        segment: new Segment(this.logDirectory, unknownHeader(id)),
        file,
        fileBytes: await file.size(),
        isUnreadable: true,
        isKnown: false,
      }
      this.list.push(found)
      head.fill(0)
      await file.read(head, 0, head.length, 0)
      const headers = [decodeSegmentHeader(head, 0), decodeSegmentHeader(head, headerCopyOffset)]
      const header = headers.find((candidate) => candidate !== null && candidate.id === id)
      if (header == null) continue
      if (headers.includes(null)) notes.push(`${path}: one of the two copies of its header is damaged`)
      const unsupported = findUnsupported(header)
      if (unsupported !== null) {
        throw formatUnsupported(path, `Leveret format ${header.major}.${header.minor}`, unsupported)
      }
      found.isUnreadable = false
      found.segment = new Segment(this.logDirectory, header)
      this.epoch = Math.max(this.epoch, header.epoch)
      watermarks.noteUsed(header.firstLsn)
      // It was written when everything before it was synced.
      watermarks.noteSynced(header.firstLsn - 1)
    }
    for (const [index, { segment }] of this.list.entries()) {
      const before = this.list[index - 1]?.segment
      // Only such a segment can hold records that are still counted on the one before, and nobody wrote down whether.
      if (before !== undefined && before.id === segment.id - 1 && segment.previousId === before.id) {
        segment.movedFrom = before
      }
    }
    // Judged when it is known where the others end.
    if (this.list.at(-1)?.isUnreadable === true) this.headless = this.list.pop() ?? null
  }

  async close(): Promise<void> {
    for (const found of this.list) await found.file?.close().catch(() => {})
    await this.headless?.file?.close().catch(() => {})
  }

  /** Without facts it is one that was given up, and only a crash kept it from being deleted. */
  private known(id: number, facts: SegmentFacts | undefined): FoundSegment {
    const segment = new Segment(this.logDirectory, { ...unknownHeader(id), ...facts })
    segment.bytes = facts?.bytes ?? 0
    segment.lastCrc = facts?.lastCrc ?? 0
    this.epoch = Math.max(this.epoch, segment.epoch)
    return { segment, file: null, fileBytes: segment.bytes, isUnreadable: false, isKnown: true }
  }
}

function unknownHeader(id: number): SegmentHeader {
  return {
    major: 0,
    minor: 0,
    flags: 0,
    id,
    previousId: 0,
    epoch: 0,
    firstLsn: 0,
    salt: Buffer.alloc(8),
    previousBytes: 0,
    previousCrc: 0,
    keyId: 0,
    checksum: 0,
  }
}
