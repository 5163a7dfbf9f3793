/**
 * The segments of an open log: how they come, one after the other, and how they go.
 *
 *     planned ──▶ created ──▶ the tail ──▶ sealed ──▶ given up ──▶ deleted
 *        │           │           │            │                       └─ the frame that says so is durable
 *        │           │           │            └─ the first frame of the next one has landed
 *        │           │           └─ its first frame has landed
 *        │           └─ that frame is about to be written
 *        └─ a batch needs a place; from then on addresses may name it
 *
 * Cold segments (cold-segment.ts) come whole and go at once: no frame is written to them, and none speaks of them.
 */
import { assert } from '../lib/assert.ts'
import type { DiskFile } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'
import { storageFailed } from './log-error.ts'
import { encodeSegmentHeader, framesStart, Segment } from './segment.ts'
import { SegmentFiles } from './segment-files.ts'
import { findSegment, insertSegment } from './segment-list.ts'
import { SegmentRemoval } from './segment-removal.ts'
import { isErrorCode, removeIfThere } from './small-file.ts'

export class SegmentSet {
  /** What people know the log by, and where in it the segments are. */
  readonly folder: string
  readonly directory: string
  /** In order; behind `tail` are those that are only planned. */
  readonly list: Segment[]
  readonly cold: Map<number, Segment> = new Map()
  readonly files: SegmentFiles
  /** The last segment that is there; the open batch, or the one in flight, may belong to a later one. */
  tail: Segment
  private readonly platform: Platform
  /** Of segments that are begun. */
  private readonly flags: number
  private readonly headerBuffer: Buffer = Buffer.alloc(framesStart)
  private readonly removal: SegmentRemoval

  constructor(platform: Platform, folder: string, flags: number, recovered: Segment[]) {
    const tail = recovered.at(-1)
    assert(tail !== undefined, 'recovery begins a segment')
    this.platform = platform
    this.folder = folder
    this.directory = `${folder}/log`
    this.flags = flags
    this.list = recovered
    this.tail = tail
    this.files = new SegmentFiles(platform.disk)
    this.removal = new SegmentRemoval(platform.disk, (id) => findSegment(recovered, id))
  }

  plan(id: number): Segment {
    const segment = new Segment(this.directory, {
      major: 0,
      minor: 0,
      flags: this.flags,
      keyId: 0,
      checksum: 0,
      id,
      previousId: 0,
      epoch: this.tail.epoch,
      firstLsn: 0,
      salt: this.newSalt(),
      previousBytes: 0,
      previousCrc: 0,
    })
    insertSegment(this.list, segment)
    return segment
  }

  /**
   * Plans the segment for a frame that cannot be written at the end of the tail, where it would have had `lsn`. What is
   * durable of the tail stays; the frame moves to the id after it, which no other segment has.
   */
  planRefuge(lsn: number): Segment {
    const from = this.tail
    const refuge = this.plan(from.id + 1)
    refuge.movedFrom = from
    // From now on addresses beyond the end of `from` mean this one.
    refuge.follow(from, lsn)
    from.isTrimmed = false
    return refuge
  }

  newSalt(): Buffer {
    const salt = Buffer.alloc(8)
    this.platform.random.fill(salt)
    return salt
  }

  /** Makes the file of a planned segment, with its header and neither synced; its first frame is to be `firstLsn`. */
  async create(segment: Segment, firstLsn: number): Promise<DiskFile> {
    const { disk } = this.platform
    if (segment.mayExist) await this.removeFailed(segment)
    segment.follow(this.tail, firstLsn)
    encodeSegmentHeader(segment, this.headerBuffer)
    let file: DiskFile
    try {
      file = await disk.open(segment.path, 'create')
    } catch (error) {
      // Somebody made a segment that only we should make: another process is in this folder.
      if (isErrorCode(error, 'EEXIST')) throw storageFailed(this.folder, `${segment.path} is there already`, error)
      segment.mayExist = true
      throw error
    }
    segment.file = file
    segment.mayExist = true
    await file.write(this.headerBuffer, 0, framesStart, 0)
    return file
  }

  /** A frame has landed in the tail, or in the segment that follows it. */
  landed(segment: Segment, bytes: number, crc: number): void {
    const previous = this.tail
    segment.bytes = bytes
    segment.lastCrc = crc
    if (segment === previous) return
    previous.sealed = true
    this.tail = segment
    this.removal.closeFile(previous)
  }

  /** A durable frame has given them up. */
  delete(retired: readonly Segment[]): void {
    for (const segment of retired) {
      this.list.splice(this.list.indexOf(segment), 1)
      this.files.forget(segment)
    }
    this.removal.removeRetired(retired)
  }

  /** Nothing in it is needed any more; if its file cannot be deleted, the next opening does it. */
  deleteCold(segment: Segment): void {
    this.cold.delete(segment.id)
    this.files.forget(segment)
    this.removal.removeFile(segment.path)
  }

  /** Resolves when the files of what was deleted so far are gone. */
  get deleted(): Promise<void> {
    return this.removal.done
  }

  async close(): Promise<void> {
    for (const segment of this.list) await segment.file?.close().catch(() => {})
    await this.files.close()
  }

  private async removeFailed(segment: Segment): Promise<void> {
    const { file } = segment
    segment.file = null
    if (file !== null) await file.close().catch(() => {})
    await removeIfThere(this.platform.disk, segment.path)
  }
}
