/**
 * What opening a log does before anything is appended to it.
 *
 * It reads the segments in order and gives every record of every whole, valid frame to the sink. Three things need care:
 *
 * - **Where does the log end?** At the first frame that is not valid, number n. Let S be the highest synced LSN in any
 *   valid frame header: what was once known to be durable. n > S and nothing valid behind it: the frame was being
 *   written when the process or the machine died, nobody was told of it, it is a *torn tail* and set aside. Otherwise
 *   confirmed data is damaged and nothing may be cut off: refuse, or (salvage) leave out exactly what is damaged.
 * - **Which frames are durable?** Those up to S. A later one was found in the page cache, perhaps after a failed sync, and
 *   may vanish with the next power cut although somebody acted on it. It is written again, into a new segment that is
 *   synced before it gets its name, and only then given to the sink.
 * - **May a segment be missing?** Only if the newest RETAINED record does not list it.
 *
 * Nothing is changed before the whole log was judged; each change is one that a second recovery would make again.
 */
import { assert } from '../lib/assert.ts'
import type { DiskFile } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'
import {
  checkRecord,
  findFrameFault,
  frameBytes,
  frameCrc,
  frameHeaderBytes,
  frameLsn,
  frameMagicBytes,
  framePreviousCrc,
  frameRealtimeMs,
  frameSyncedLsn,
  hasFrameMagic,
  isFrameHeader,
  ownRecordTypeMin,
  readdressFrame,
  recordFlagCritical,
  recordHeaderBytes,
  recordTypeRetained,
  recordTypeSynced,
  sealFrame,
} from './frame.ts'
import { formatUnsupported, type LogError, storageCorrupt } from './log-error.ts'
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  findUnsupported,
  framesStart,
  headerCopyOffset,
  Segment,
  type SegmentHeader,
  segmentIdOf,
  segmentName,
} from './segment.ts'
import { SegmentReader } from './segment-reader.ts'
import { isErrorCode } from './small-file.ts'

/** Gets every record that survives, in order. The buffer is only valid during the call. */
export interface RecoverySink {
  /** The header part of the payload is `buffer[payloadStart, headerEnd)`; `recordOffset` tells where the record stands. */
  record(
    type: number,
    flags: number,
    buffer: Buffer,
    payloadStart: number,
    headerEnd: number,
    payloadEnd: number,
    segment: Segment,
    lsn: number,
  ): void
  frameEnd(lsn: number, realtimeMs: number): void
}

export interface Damage {
  readonly file: string
  readonly offset: number
  /** How much was left out (salvage); 0 if unknown. */
  readonly bytes: number
  readonly detail: string
}

export interface RecoveryReport {
  segments: number
  frames: number
  records: number
  bytes: number
  durationMs: number
  /** Frames that were valid but not known to be durable, and were written again. */
  reappendedFrames: number
  tornBytes: number
  /** Files made in quarantine/. */
  quarantined: string[]
  /** Segments that a retirement had given up and whose deletion was finished. */
  removed: string[]
  /** What was left out; always empty unless salvage was asked for. */
  damages: Damage[]
  /** Harmless, but worth telling: a lost copy of a header. */
  notes: string[]
}

export interface Recovered {
  /** In order; the last one is new, open and durable. */
  segments: Segment[]
  /** The last LSN in use. */
  lastLsn: number
  report: RecoveryReport
}

interface RetainedEntry {
  bytes: number
  lastCrc: number
}

interface HeldFrame {
  bytes: Buffer
  offset: number
}

interface FoundSegment {
  segment: Segment
  file: DiskFile
  fileBytes: number
  /** Both headers are lost; nothing in the segment can be checked. */
  isUnreadable: boolean
}

const copyBytesMax = 4 * 1024 * 1024

export async function recover(
  platform: Platform,
  directory: string,
  salvage: boolean,
  sink: RecoverySink,
): Promise<Recovered> {
  const recovery = new Recovery(platform, directory, salvage, sink)
  try {
    return await recovery.run()
  } finally {
    await recovery.closeFiles()
  }
}

class Recovery {
  private readonly platform: Platform
  private readonly logDirectory: string
  private readonly quarantineDirectory: string
  private readonly salvage: boolean
  private readonly sink: RecoverySink
  private readonly reader = new SegmentReader()
  private readonly report: RecoveryReport = {
    segments: 0,
    frames: 0,
    records: 0,
    bytes: 0,
    durationMs: 0,
    reappendedFrames: 0,
    tornBytes: 0,
    quarantined: [],
    removed: [],
    damages: [],
    notes: [],
  }
  private found: FoundSegment[] = []
  /** The last segment, if both its headers are lost, or never were. */
  private headless: FoundSegment | null = null
  /** The number of the frame that would come next. */
  private lsnNext = 0
  private retained: Map<number, RetainedEntry> | null = null
  private retainedIdMax = 0
  private syncedLsn = 0
  /** The highest LSN that may stand anywhere on the disk. */
  private lsnMax = 0
  private held: HeldFrame[] = []
  /** Frames of the last segment that are proven durable. */
  private provenFrames = 0
  /** The new segment took the place of the last one. */
  private isReplacing = false
  private epoch = 0
  private torn: { found: FoundSegment; offset: number } | null = null

  constructor(platform: Platform, directory: string, salvage: boolean, sink: RecoverySink) {
    this.platform = platform
    this.logDirectory = `${directory}/log`
    this.quarantineDirectory = `${directory}/quarantine`
    this.salvage = salvage
    this.sink = sink
  }

  async run(): Promise<Recovered> {
    const startMs = this.platform.clock.monotonicMs()
    await this.findSegments()
    let sealedBytes = 0
    for (let index = 0; index < this.found.length; index++) {
      sealedBytes = await this.scan(index)
    }
    this.releaseHeld()
    for (const { bytes } of this.held) {
      forEachRecord(bytes, 0, bytes.length, (type, payloadStart, end) => {
        if (type === recordTypeRetained) this.noteRetained(bytes, payloadStart, end)
      })
    }
    const leftovers = this.judgeRetention()
    if (this.headless !== null) await this.judgeHeadless(this.headless)

    await this.setTemporariesAside()
    if (this.torn !== null) await this.setTornTailAside(this.torn.found, this.torn.offset)
    if (this.headless !== null) await this.setFileAside(segmentName(this.headless.segment.id))
    const segment = await this.beginSegment(this.held[0]?.offset ?? sealedBytes)
    await this.trim()
    await this.remove(leftovers)

    const segments = this.found.filter((found) => !leftovers.includes(found)).map((found) => found.segment)
    for (const old of segments) old.sealed = true
    if (this.isReplacing) segments.pop()
    segments.push(segment)
    this.report.bytes = this.reader.bytesRead
    this.report.durationMs = this.platform.clock.monotonicMs() - startMs
    return { segments, lastLsn: this.lsnMax, report: this.report }
  }

  async closeFiles(): Promise<void> {
    for (const found of this.found) await found.file.close().catch(() => {})
    if (this.headless !== null) await this.headless.file.close().catch(() => {})
  }

  // ---------------------------------------------------------------------------------------------------- reading

  private async findSegments(): Promise<void> {
    const { disk } = this.platform
    const head = Buffer.alloc(framesStart)
    for (const name of await disk.list(this.logDirectory)) {
      const id = segmentIdOf(name)
      if (id === 0) continue
      const path = `${this.logDirectory}/${name}`
      const file = await disk.open(path, 'read')
      const found: FoundSegment = {
        segment: new Segment(this.logDirectory, unknownHeader(id)),
        file,
        fileBytes: await file.size(),
        isUnreadable: true,
      }
      this.found.push(found)
      head.fill(0)
      await file.read(head, 0, head.length, 0)
      const headers = [decodeSegmentHeader(head, 0), decodeSegmentHeader(head, headerCopyOffset)]
      const header = headers.find((candidate) => candidate !== null && candidate.id === id)
      if (header == null) continue
      if (headers.includes(null)) this.report.notes.push(`${path}: one of the two copies of its header is damaged`)
      const unsupported = findUnsupported(header)
      if (unsupported !== null) {
        throw formatUnsupported(path, `Leveret format ${header.major}.${header.minor}`, unsupported)
      }
      found.isUnreadable = false
      found.segment = new Segment(this.logDirectory, header)
      this.epoch = Math.max(this.epoch, header.epoch)
      this.lsnMax = Math.max(this.lsnMax, header.firstLsn)
      // It was written when everything before it was synced.
      this.syncedLsn = Math.max(this.syncedLsn, header.firstLsn - 1)
    }
    // Judged when it is known where the others end.
    if (this.found.at(-1)?.isUnreadable === true) this.headless = this.found.pop() ?? null
    this.report.segments = this.found.length
  }

  /**
   * A last segment without headers. While a segment is being made it has none, for they are synced with its first frame. A
   * second frame means that the first one was synced, and the headers with it: then they are damaged. Frames with lower
   * numbers do not count, they are what the blocks of the disk held before. The only segment was never made that way.
   */
  private async judgeHeadless(headless: FoundSegment): Promise<void> {
    const isUnborn = this.found.length > 0 && (await this.firstSyncedLsn(headless)) < this.lsnNext
    if (isUnborn) return
    const { path } = headless.segment
    this.report.damages.push(this.judge(path, 0, 'both copies of its header are lost'))
  }

  /** The LSN of the first frame if one with the next number seems to follow it, else 0. Without the salt, no checksums. */
  private async firstSyncedLsn(headless: FoundSegment): Promise<number> {
    const { reader } = this
    reader.begin(headless.file, headless.fileBytes)
    const first = await reader.load(framesStart, frameHeaderBytes)
    if (first === -1 || !hasFrameMagic(reader.buffer, first)) return 0
    const lsn = frameLsn(reader.buffer, first)
    const second = await reader.load(framesStart + frameBytes(reader.buffer, first), frameHeaderBytes)
    if (second === -1 || !hasFrameMagic(reader.buffer, second)) return 0
    return frameLsn(reader.buffer, second) === lsn + 1 ? lsn : 0
  }

  /** Reads one segment; returns where it ends. */
  private async scan(index: number): Promise<number> {
    const found = this.found[index] as FoundSegment
    const { segment } = found
    const next = this.found[index + 1]
    const follower = next !== undefined && !next.isUnreadable && next.segment.previousId === segment.id ? next : null
    const isLast = next === undefined
    if (found.isUnreadable) {
      this.provenFrames = 1
      await this.damaged(index, 0, found.fileBytes, 'both copies of its header are lost')
      return found.fileBytes
    }
    const sealedBytes = follower === null ? found.fileBytes : follower.segment.previousBytes
    const limit = Math.min(sealedBytes, found.fileBytes)
    if (isLast) this.provenFrames = 0
    this.reader.begin(found.file, found.fileBytes)

    let offset = framesStart
    let lsn = segment.firstLsn
    let isChained = true
    while (offset < limit) {
      const at = await this.loadFrame(offset, limit)
      const fault = this.findFault(found, at, offset, limit, lsn, isChained)
      if (fault === null) {
        const { buffer } = this.reader
        const end = offset + frameBytes(buffer, at)
        segment.lastCrc = frameCrc(buffer, at)
        lsn = frameLsn(buffer, at)
        this.acceptFrame(found, at, offset, isLast)
        offset = end
        lsn++
        isChained = true
        continue
      }
      if (isLast && (await this.isTorn(found, offset, lsn))) {
        this.torn = { found, offset }
        this.lsnNext = lsn
        this.lsnMax = Math.max(this.lsnMax, lsn)
        segment.bytes = offset
        return offset
      }
      const resumed = this.salvage ? await this.findFrame(found, offset + 1, limit, lsn) : limit
      if (!(await this.damaged(index, offset, resumed - offset, fault))) return offset
      // Frames held back so far are older than what is damaged, hence proven.
      this.syncedLsn = Math.max(this.syncedLsn, lsn - 1)
      this.releaseHeld()
      await this.salvageRecords(found, offset, resumed, lsn)
      offset = resumed
      const resumedAt = await this.loadFrame(offset, limit)
      if (resumedAt !== -1) lsn = frameLsn(this.reader.buffer, resumedAt)
      isChained = false
    }
    if (sealedBytes > found.fileBytes) {
      await this.damaged(index, found.fileBytes, 0, `it was ${sealedBytes} bytes long when it was sealed`)
    } else if (follower !== null && follower.segment.previousCrc !== segment.lastCrc) {
      await this.damaged(index, offset, 0, 'its last frame is not the one that the next segment names')
    }
    // The frame after the last one may have been begun without leaving a byte.
    if (isLast) {
      this.lsnNext = lsn
      this.lsnMax = Math.max(this.lsnMax, lsn)
    }
    segment.bytes = offset
    return offset
  }

  /** The frame at `offset` and, if there is one, the header after it; -1 if there is not even a header. */
  private async loadFrame(offset: number, limit: number): Promise<number> {
    if (offset + frameHeaderBytes > limit) return -1
    let at = this.reader.find(offset, frameHeaderBytes)
    if (at === -1) at = await this.reader.load(offset, frameHeaderBytes)
    if (at === -1 || !hasFrameMagic(this.reader.buffer, at)) return at
    const bytes = frameBytes(this.reader.buffer, at)
    const wanted = Math.min(bytes + frameHeaderBytes, limit - offset)
    if (bytes > limit - offset) return at
    const whole = this.reader.find(offset, wanted)
    return whole === -1 ? await this.reader.load(offset, wanted) : whole
  }

  private findFault(
    found: FoundSegment,
    at: number,
    offset: number,
    limit: number,
    lsn: number,
    isChained: boolean,
  ): string | null {
    const { buffer } = this.reader
    const { segment } = found
    if (at === -1) return 'a frame header is cut short'
    if (!isFrameHeader(buffer, at, segment.saltCrc)) return 'no valid frame header is there'
    if (isChained) {
      if (framePreviousCrc(buffer, at) !== segment.lastCrc) return 'the frame does not follow the one before it'
      if (frameLsn(buffer, at) !== lsn) return `frame ${frameLsn(buffer, at)} stands where ${lsn} belongs`
    }
    const bytes = frameBytes(buffer, at)
    if (offset + bytes > limit) return 'the frame is cut short'
    return findFrameFault(buffer, at, at + bytes, segment.saltCrc, segment.id, offset)
  }

  /** Gives a valid frame to the sink, or holds it back if it is not known to be durable. */
  private acceptFrame(found: FoundSegment, at: number, offset: number, isLast: boolean): void {
    const { buffer } = this.reader
    const { saltCrc } = found.segment
    const lsn = frameLsn(buffer, at)
    const end = at + frameBytes(buffer, at)
    this.lsnMax = Math.max(this.lsnMax, lsn)
    this.syncedLsn = Math.max(this.syncedLsn, frameSyncedLsn(buffer, at))
    this.releaseHeld()
    if (isLast && lsn > this.syncedLsn) {
      const following = offset + end - at
      if (this.reader.available(following) >= frameHeaderBytes && isFrameHeader(buffer, end, saltCrc)) {
        this.syncedLsn = Math.max(this.syncedLsn, frameSyncedLsn(buffer, end))
      }
      if (lsn > this.syncedLsn) {
        this.held.push({ bytes: Buffer.from(buffer.subarray(at, end)), offset })
        return
      }
    }
    this.deliver(buffer, at, end, found.segment)
  }

  private releaseHeld(): void {
    const last = this.found.at(-1)
    while (last !== undefined && this.held.length > 0) {
      const { bytes } = this.held[0] as HeldFrame
      if (frameLsn(bytes, 0) > this.syncedLsn) return
      this.held.shift()
      this.deliver(bytes, 0, bytes.length, last.segment)
    }
  }

  private deliver(buffer: Buffer, start: number, end: number, segment: Segment): void {
    const lsn = frameLsn(buffer, start)
    this.provenFrames++
    this.report.frames++
    let at = start + frameHeaderBytes
    while (at < end) {
      const recordEnd = at + recordHeaderBytes + buffer.readUInt32LE(at + 4)
      this.deliverRecord(buffer, at, recordEnd, segment, lsn)
      at = recordEnd
    }
    this.sink.frameEnd(lsn, frameRealtimeMs(buffer, start))
  }

  private deliverRecord(buffer: Buffer, at: number, recordEnd: number, segment: Segment, lsn: number): void {
    const type = buffer[at + 8] as number
    const flags = buffer[at + 9] as number
    const payloadStart = at + recordHeaderBytes
    this.report.records++
    if (type < ownRecordTypeMin) {
      const headerEnd = payloadStart + buffer.readUInt32LE(at + 12)
      this.sink.record(type, flags, buffer, payloadStart, headerEnd, recordEnd, segment, lsn)
    } else if (type === recordTypeRetained) {
      this.noteRetained(buffer, payloadStart, recordEnd)
    } else if (type !== recordTypeSynced && (flags & recordFlagCritical) !== 0) {
      throw formatUnsupported(segment.path, 'a newer version of Leveret', `critical record type ${type} is unknown`)
    }
  }

  private noteRetained(buffer: Buffer, start: number, end: number): void {
    const retained = new Map<number, RetainedEntry>()
    for (let at = start; at + 12 <= end; at += 12) {
      const id = buffer.readUInt32LE(at)
      retained.set(id, { bytes: buffer.readUInt32LE(at + 4), lastCrc: buffer.readUInt32LE(at + 8) })
      this.retainedIdMax = Math.max(this.retainedIdMax, id)
    }
    this.retained = retained
  }

  // ---------------------------------------------------------------------------------------------------- judging

  /**
   * Whether the invalid frame number `lsn` at `offset` of the last segment is one that nobody was told of. A header that
   * is valid counts as a witness even if its records are not: it was written when what it calls synced was synced. An LSN
   * below n is no witness: somebody may have sent a copy of this very file as a message.
   */
  private async isTorn(found: FoundSegment, offset: number, lsn: number): Promise<boolean> {
    const { reader } = this
    let from = offset
    while (from + frameHeaderBytes <= found.fileBytes) {
      const wanted = Math.min(copyBytesMax, found.fileBytes - from)
      const at = await reader.load(from, wanted)
      if (at === -1) break
      const end = at + wanted
      let hit = reader.buffer.indexOf(frameMagicBytes, at)
      while (hit !== -1 && hit + frameHeaderBytes <= end) {
        if (isFrameHeader(reader.buffer, hit, found.segment.saltCrc)) {
          const hitLsn = frameLsn(reader.buffer, hit)
          this.lsnMax = Math.max(this.lsnMax, hitLsn)
          this.syncedLsn = Math.max(this.syncedLsn, frameSyncedLsn(reader.buffer, hit))
          if (hitLsn > lsn) return false
        }
        hit = reader.buffer.indexOf(frameMagicBytes, hit + 1)
      }
      from += wanted - frameHeaderBytes + 1
    }
    return lsn > this.syncedLsn
  }

  /**
   * Notes damage. Strict: throws, unless the segment is one that a later RETAINED record gives up, whose deletion a
   * crash interrupted; then returns false and the rest of the segment does not matter. Salvage: true.
   */
  private async damaged(index: number, offset: number, bytes: number, detail: string): Promise<boolean> {
    const found = this.found[index] as FoundSegment
    if (await this.isGivenUpLater(index)) return false
    if (!this.salvage) throw storageCorrupt(found.segment.path, offset, detail)
    this.report.damages.push({ file: found.segment.path, offset, bytes, detail })
    if (bytes > 0) await this.copyAside(found, offset, offset + bytes, 'damaged')
    return true
  }

  /** Looks ahead for RETAINED records; only damage makes it necessary to read those bytes twice. */
  private async isGivenUpLater(index: number): Promise<boolean> {
    const { id } = (this.found[index] as FoundSegment).segment
    const reader = new SegmentReader()
    let isGivenUp = this.retained !== null && id < this.retainedIdMax && !this.retained.has(id)
    for (const { segment, file, fileBytes, isUnreadable } of this.found.slice(index + 1)) {
      if (isUnreadable) continue
      reader.begin(file, fileBytes)
      let offset = framesStart
      for (;;) {
        let at = await reader.load(offset, frameHeaderBytes)
        if (at === -1 || !isFrameHeader(reader.buffer, at, segment.saltCrc)) break
        const bytes = frameBytes(reader.buffer, at)
        at = await reader.load(offset, bytes)
        if (at === -1) break
        if (findFrameFault(reader.buffer, at, at + bytes, segment.saltCrc, segment.id, offset) !== null) break
        forEachRecord(reader.buffer, at, at + bytes, (type, payloadStart, end) => {
          if (type === recordTypeRetained) isGivenUp = !retainedIds(reader.buffer, payloadStart, end).includes(id)
        })
        offset += bytes
      }
    }
    return isGivenUp
  }

  /** Checks that every segment is there which must be; returns those that are only there because a crash came first. */
  private judgeRetention(): FoundSegment[] {
    const { retained, retainedIdMax } = this
    const leftovers: FoundSegment[] = []
    let previousId = 0
    for (const found of this.found) {
      const { id } = found.segment
      if (retained !== null && id < retainedIdMax && !retained.has(id)) {
        leftovers.push(found)
        continue
      }
      // Up to the newest list the list decides, after it each segment names the one before.
      if (id > retainedIdMax && !found.isUnreadable && found.segment.previousId !== previousId) {
        this.missing(found.segment.previousId)
      }
      const entry = retained?.get(id)
      const isSealed = entry !== undefined && entry.bytes !== 0
      if (isSealed && (entry.bytes !== found.segment.bytes || entry.lastCrc !== found.segment.lastCrc)) {
        this.report.damages.push(
          this.judge(found.segment.path, found.segment.bytes, 'it does not end where it was sealed'),
        )
      }
      previousId = id
    }
    for (const id of retained?.keys() ?? []) {
      if (!this.found.some((found) => found.segment.id === id)) this.missing(id)
    }
    return leftovers
  }

  private missing(id: number): void {
    const path = `${this.logDirectory}/${segmentName(id)}`
    if (this.report.damages.some((damage) => damage.file === path && damage.detail === 'the file is missing')) return
    this.report.damages.push(this.judge(path, 0, 'the file is missing'))
  }

  private judge(file: string, offset: number, detail: string): Damage {
    const error: LogError = storageCorrupt(file, offset, detail)
    if (!this.salvage) throw error
    return { file, offset, bytes: 0, detail }
  }

  // ---------------------------------------------------------------------------------------------------- salvage

  /** The next whole valid frame with an LSN after `lsn`'s predecessor; `limit` if there is none. */
  private async findFrame(found: FoundSegment, from: number, limit: number, lsn: number): Promise<number> {
    const { reader } = this
    let offset = from
    while (offset + frameHeaderBytes <= limit) {
      const wanted = Math.min(copyBytesMax, limit - offset)
      const at = await reader.load(offset, wanted)
      if (at === -1) break
      const hit = reader.buffer.indexOf(frameMagicBytes, at)
      if (hit === -1 || hit + frameHeaderBytes > at + wanted) {
        offset += wanted - frameHeaderBytes + 1
        continue
      }
      const hitOffset = offset + hit - at
      const frameAt = await this.loadFrame(hitOffset, limit)
      if (frameAt !== -1 && this.findFault(found, frameAt, hitOffset, limit, lsn, false) === null) {
        if (frameLsn(reader.buffer, frameAt) >= lsn) return hitOffset
      }
      offset = hitOffset + 1
    }
    return limit
  }

  /** Every record in the range that stands where it says and has the right checksum, whatever became of its frame. */
  private async salvageRecords(found: FoundSegment, from: number, to: number, lsn: number): Promise<void> {
    const { segment } = found
    const start = await this.reader.load(from, to - from)
    if (start === -1) return
    const { buffer } = this.reader
    const end = start + to - from
    let at = start
    while (at + recordHeaderBytes <= end) {
      const recordEnd = checkRecord(buffer, at, end, segment.saltCrc, segment.id, from + at - start)
      if (recordEnd === -1) {
        at++
        continue
      }
      this.deliverRecord(buffer, at, recordEnd, segment, lsn)
      at = recordEnd
    }
    this.provenFrames++
    this.sink.frameEnd(lsn, this.platform.clock.realtimeMs())
  }

  // ---------------------------------------------------------------------------------------------------- changing

  private async setTemporariesAside(): Promise<void> {
    for (const name of await this.platform.disk.list(this.logDirectory)) {
      if (name.endsWith('.tmp')) await this.setFileAside(name)
    }
  }

  private async setFileAside(name: string): Promise<void> {
    const { disk } = this.platform
    const taken = await disk.list(this.quarantineDirectory)
    let number = 1
    while (taken.includes(`${name}.${number}`)) number++
    await disk.rename(`${this.logDirectory}/${name}`, `${this.quarantineDirectory}/${name}.${number}`)
    await disk.syncDirectory(this.quarantineDirectory)
    await disk.syncDirectory(this.logDirectory)
    this.report.quarantined.push(`${name}.${number}`)
  }

  private async setTornTailAside(found: FoundSegment, offset: number): Promise<void> {
    this.report.tornBytes = found.fileBytes - offset
    await this.copyAside(found, offset, found.fileBytes, 'torn')
  }

  /** The salt in the name makes a second recovery after a crash replace this very copy, and no other. */
  private async copyAside(found: FoundSegment, from: number, to: number, why: string): Promise<void> {
    const { disk } = this.platform
    const { segment } = found
    const name = `${segmentName(segment.id)}.${segment.salt.toString('hex')}.${from}.${why}`
    const temporary = `${this.quarantineDirectory}/${name}.tmp`
    await disk.remove(temporary).catch((error: unknown) => {
      if (!isErrorCode(error, 'ENOENT')) throw error
    })
    const copy = await disk.open(temporary, 'create')
    try {
      const buffer = Buffer.allocUnsafeSlow(Math.min(copyBytesMax, to - from))
      for (let offset = from; offset < to; ) {
        const bytes = await found.file.read(buffer, 0, Math.min(buffer.length, to - offset), offset)
        if (bytes === 0) break
        await copy.write(buffer, 0, bytes, offset - from)
        offset += bytes
      }
      await copy.sync()
    } finally {
      await copy.close()
    }
    await disk.rename(temporary, `${this.quarantineDirectory}/${name}`)
    await disk.syncDirectory(this.quarantineDirectory)
    this.report.quarantined.push(name)
  }

  /**
   * The segment that this opening appends to: never an old one, whose end is only as certain as the last scan. It is
   * written under another name and synced before it is renamed, so a segment of that kind is whole as soon as it exists,
   * and a SYNCED frame may say of those before it that they are durable.
   */
  private async beginSegment(sealedBytes: number): Promise<Segment> {
    const { platform, held } = this
    const last = this.found.at(-1)?.segment
    // A last segment without a proven frame is itself not known to be durable, after a failed sync: the new one takes its
    // place and its name. Elsewhere the new one follows it.
    this.isReplacing = last !== undefined && this.provenFrames === 0
    const salt = Buffer.alloc(8)
    platform.random.fill(salt)
    const segment = new Segment(this.logDirectory, {
      ...unknownHeader(last === undefined ? 1 : this.isReplacing ? last.id : last.id + 1),
      epoch: this.epoch + 1,
      salt,
    })
    segment.firstLsn = this.lsnMax + 1
    if (last !== undefined && this.isReplacing) {
      segment.previousId = last.previousId
      segment.previousBytes = last.previousBytes
      segment.previousCrc = last.previousCrc
    } else if (last !== undefined) {
      segment.previousId = last.id
      segment.previousBytes = sealedBytes
      // The chain goes on from the last frame that stays where it is.
      segment.previousCrc = held.length > 0 ? framePreviousCrc((held[0] as HeldFrame).bytes, 0) : last.lastCrc
      last.bytes = sealedBytes
      last.lastCrc = segment.previousCrc
    }
    segment.lastCrc = segment.previousCrc

    const reappended = held.every((frame) => isSyncedFrame(frame.bytes, 0)) ? [] : held
    const content = this.encodeSegment(segment, reappended)
    const temporary = `${segment.path}.tmp`
    const file = await platform.disk.open(temporary, 'create')
    segment.file = file
    try {
      await file.write(content, 0, content.length, 0)
      await file.sync()
      await platform.disk.rename(temporary, segment.path)
      await platform.disk.syncDirectory(this.logDirectory)
    } catch (error) {
      await file.close().catch(() => {})
      throw error
    }
    segment.bytes = content.length

    let at = framesStart
    for (const frame of reappended) {
      this.deliver(content, at, at + frame.bytes.length, segment)
      at += frame.bytes.length
    }
    this.report.reappendedFrames = reappended.length
    return segment
  }

  private encodeSegment(segment: Segment, frames: HeldFrame[]): Buffer {
    const syncedFrameBytes = frames.length > 0 ? frameHeaderBytes + recordHeaderBytes : 0
    const bytes = frames.reduce((sum, frame) => sum + frame.bytes.length, framesStart + syncedFrameBytes)
    const content = Buffer.alloc(bytes)
    encodeSegmentHeader(segment, content)
    let at = framesStart
    let syncedLsn = this.syncedLsn
    let realtimeMs = 0
    for (const frame of frames) {
      frame.bytes.copy(content, at)
      realtimeMs = frameRealtimeMs(frame.bytes, 0)
      at = this.appendFrame(segment, content, at, at + frame.bytes.length, syncedLsn, realtimeMs)
      syncedLsn = this.lsnMax
    }
    if (frames.length > 0) {
      content[at + frameHeaderBytes + 8] = recordTypeSynced
      at = this.appendFrame(segment, content, at, bytes, syncedLsn, realtimeMs)
    }
    assert(at === bytes, 'the segment is as long as planned')
    return content
  }

  private appendFrame(
    segment: Segment,
    content: Buffer,
    at: number,
    end: number,
    syncedLsn: number,
    realtimeMs: number,
  ): number {
    this.lsnMax++
    readdressFrame(content, at, end, segment.saltCrc, segment.id, at)
    const { saltCrc, lastCrc } = segment
    segment.lastCrc = sealFrame(content, at, end, saltCrc, this.lsnMax, syncedLsn, realtimeMs, lastCrc)
    return end
  }

  /** Cuts off what lies beyond the sealed length, so that the length is known even when the successor is gone. */
  private async trim(): Promise<void> {
    for (const [index, found] of this.found.entries()) {
      const next = this.found[index + 1]
      const isSealed = next === undefined ? !this.isReplacing : next.segment.previousId === found.segment.id
      if (!isSealed || found.segment.bytes >= found.fileBytes) continue
      // Where something is damaged already, nothing is cut off.
      if (this.report.damages.length > 0) {
        found.segment.isTrimmed = false
        continue
      }
      const file = await this.platform.disk.open(found.segment.path, 'write')
      try {
        await file.truncate(found.segment.bytes)
        await file.sync()
      } finally {
        await file.close()
      }
    }
  }

  private async remove(leftovers: FoundSegment[]): Promise<void> {
    for (const { segment } of leftovers) {
      await this.platform.disk.remove(segment.path)
      this.report.removed.push(segmentName(segment.id))
    }
    if (leftovers.length > 0) await this.platform.disk.syncDirectory(this.logDirectory)
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
    checksum: 0,
  }
}

function forEachRecord(
  buffer: Buffer,
  start: number,
  end: number,
  callback: (type: number, payloadStart: number, end: number) => void,
): void {
  let at = start + frameHeaderBytes
  while (at < end) {
    const recordEnd = at + recordHeaderBytes + buffer.readUInt32LE(at + 4)
    callback(buffer[at + 8] as number, at + recordHeaderBytes, recordEnd)
    at = recordEnd
  }
}

function retainedIds(buffer: Buffer, start: number, end: number): number[] {
  const ids: number[] = []
  for (let at = start; at + 12 <= end; at += 12) ids.push(buffer.readUInt32LE(at))
  return ids
}

function isSyncedFrame(buffer: Buffer, start: number): boolean {
  const isAlone = buffer.readUInt32LE(start + 12) === 1
  return isAlone && buffer[start + frameHeaderBytes + 8] === recordTypeSynced
}
