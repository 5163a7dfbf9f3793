/**
 * An append-only log of records in segment files, made durable by one write and one sync per batch.
 *
 *     begin … end  begin … end        commit()          durable(lsn)
 *     ───────────────────────────┐       │                   │
 *     open batch (arena A)       ├───────┴─ write ─ sync ────┤        exactly one batch in flight
 *     open batch (arena B)       └── begin … end … ──────────┴ commit() …
 *
 * A batch is one frame: it survives a crash whole or not at all. The caller says when to commit, best in its `durable`
 * handler: then each batch holds what gathered while the one before was written, and there are no timers.
 *
 * Failures. A *sync* that fails is the end: the system may have thrown the data away and marked it clean, so that a second
 * sync would succeed and mean nothing. Nothing is durable after it until the log is opened anew. A *write* that fails is
 * not: the batch stays in memory, its segment ends at the last good frame, and the same records are tried again in a new
 * segment until that works.
 *
 * A frame that is written again keeps its LSN, for it is the same frame; the salt of its segment is another.
 */
import { assert } from '../lib/assert.ts'
import { crc32 } from '../lib/crc32.ts'
import type { DiskFile } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'
import { Batch } from './batch.ts'
import { isColdId } from './cold-segment.ts'
import { FolderLock } from './folder-lock.ts'
import { type Format, incompatCheckpoints, openFormat, writeFormat } from './format-file.ts'
import {
  frameHeaderBytes,
  recordFlagCritical,
  recordHeaderBytes,
  recordTypeRetained,
  recordTypeSynced,
} from './frame.ts'
import { LogError, storageFailed } from './log-error.ts'
import { factsOf, type LogStart } from './log-start.ts'
import { type Recovered, type RecoveryReport, type RecoverySink, recover } from './recovery.ts'
import { encodeSegmentHeader, framesStart, Segment, segmentIdOf } from './segment.ts'
import { SegmentFiles } from './segment-files.ts'
import { isErrorCode, isSystemError, removeIfThere } from './small-file.ts'

export interface LogOptions {
  /** A segment that has reached this length is followed by a new one; a frame is never divided. */
  readonly segmentBytesMax: number
  /** Opens a damaged log and leaves out exactly what is damaged, instead of refusing. */
  readonly salvage: boolean
  /** Nothing that is written will be kept: the folder is only looked at. */
  readonly readsOnly?: boolean
  /** After this long without a batch a SYNCED frame proves the last one durable. */
  readonly idleSyncedMs: number
  /** How often a failed write is tried again. */
  readonly retryMs: number
}

export const logOptionsDefault: LogOptions = {
  segmentBytesMax: 64 * 1024 * 1024,
  salvage: false,
  idleSyncedMs: 1000,
  retryMs: 1000,
}

export interface LogEvents {
  /** Every frame up to this one is durable. */
  durable(lsn: number): void
  /** Writing does not work at the moment; what was appended waits in memory. */
  stalled(error: Error): void
  resumed(): void
  /** The end: what is not durable by now never will be, as far as this log can tell. */
  failed(error: LogError): void
}

const syncedNever = -1

export class SegmentedLog {
  readonly recovery: RecoveryReport
  /** The caller holds records back that will go to the open frame, and has named its number to somebody. */
  expectsRecords = false
  private readonly platform: Platform
  private readonly directory: string
  private readonly logDirectory: string
  private readonly options: LogOptions
  private readonly events: LogEvents
  private readonly lock: FolderLock
  private format: Format
  private readonly headerBuffer: Buffer = Buffer.alloc(framesStart)
  private readonly readers: SegmentFiles
  /** See `findUnwritten`; valid until something is appended or written. */
  unwrittenBuffer: Buffer = this.headerBuffer

  private readonly all: Segment[]
  private readonly cold = new Map<number, Segment>()
  /** The last durable segment; the open batch, or the one in flight, may belong to a later one. */
  private tail: Segment
  private open: Batch
  private flight: Batch | null = null
  private spare: Batch | null
  private durableLsnNow: number
  private retiring: Segment[] = []

  /** Settles when the batch in flight has landed, stalled or failed; never rejects. */
  private flying: Promise<void> = Promise.resolve()
  private removing: Promise<void> = Promise.resolve()
  private stall: Error | null = null
  private failure: LogError | null = null
  private closing: Promise<void> | null = null
  /** Why nothing can be appended any more. */
  private refusal: LogError | null = null
  private cancelRetry: (() => void) | null = null
  private cancelIdle: (() => void) | null = null
  private lastLandingMs = 0
  /** Bytes that became durable since this log was opened, and batches of them that say something. */
  landedBytes = 0
  landings = 0
  /** SYNCED frames since the last other frame; syncedNever while this log has written nothing. */
  private syncedFrames = syncedNever

  private constructor(
    platform: Platform,
    directory: string,
    options: LogOptions,
    events: LogEvents,
    lock: FolderLock,
    recovered: Recovered,
    format: Format,
  ) {
    const tail = recovered.segments.at(-1)
    assert(tail !== undefined, 'recovery begins a segment')
    this.platform = platform
    this.readers = new SegmentFiles(platform.disk)
    this.directory = directory
    this.logDirectory = `${directory}/log`
    this.options = options
    this.events = events
    this.lock = lock
    this.format = format
    this.recovery = recovered.report
    this.all = recovered.segments
    this.tail = tail
    this.durableLsnNow = recovered.lastLsn
    this.open = new Batch(tail)
    this.spare = new Batch(tail)
    this.open.begin(tail, tail.bytes, recovered.lastLsn + 1)
  }

  /**
   * Locks the folder, reads what is there into `sink`, from where `findStart` says or from the beginning, and begins a new
   * segment. Both are called with the folder locked.
   */
  static async open(
    platform: Platform,
    directory: string,
    options: LogOptions,
    sink: RecoverySink,
    events: LogEvents,
    findStart: () => Promise<LogStart | null> = async () => null,
  ): Promise<SegmentedLog> {
    const { disk } = platform
    let lock: FolderLock | null = null
    let recovered: Recovered | null = null
    try {
      await disk.makeDirectory(`${directory}/log`)
      await disk.makeDirectory(`${directory}/quarantine`)
      lock = await FolderLock.acquire(platform, directory)
      const names = await disk.list(`${directory}/log`)
      const format = await openFormat(
        platform,
        directory,
        names.some((name) => segmentIdOf(name) > 0),
        options,
      )
      // The folder's own name, if this process may sync the folder above.
      if (format.isNew) await disk.syncDirectory(`${directory}/..`).catch(() => {})
      const start = await findStart()
      const needsStart = (format.incompat & incompatCheckpoints) !== 0
      recovered = await recover(platform, directory, options.salvage, sink, start, needsStart)
      if (format.repaired !== '') recovered.report.notes.push(format.repaired)
      const log = new SegmentedLog(platform, directory, options, events, lock, recovered, format)
      await lock.setEpoch(log.tail.epoch)
      return log
    } catch (error) {
      await recovered?.segments.at(-1)?.file?.close()
      await lock?.release()
      if (isSystemError(error)) throw storageFailed(directory, 'the folder could not be opened', error)
      throw error
    }
  }

  // ---------------------------------------------------------------------------------------------------- appending

  /** The arena of the open frame. `begin` may replace it: take it anew after each. */
  get buffer(): Buffer {
    return this.open.buffer
  }

  /** The number of the open frame: its records are durable as soon as `durableLsn` has reached it. */
  get openLsn(): number {
    return this.open.lsn
  }

  /** Where the records of the open frame will live. */
  get openSegment(): Segment {
    return this.open.segment
  }

  /** Where in that segment the next record will stand. */
  get openOffset(): number {
    return this.open.offset + this.open.usedBytes
  }

  get openRecords(): number {
    return this.open.recordCount + (this.retiring.length > 0 ? 1 : 0)
  }

  /** How many records of the caller's the open frame has. */
  get openRecordCount(): number {
    return this.open.recordCount
  }

  get durableLsn(): number {
    return this.durableLsnNow
  }

  get unsyncedBytes(): number {
    const flightBytes = this.flight === null ? 0 : this.flight.usedBytes
    return flightBytes + this.open.usedBytes - frameHeaderBytes
  }

  get busy(): boolean {
    return this.flight !== null
  }

  /** In order; the last one is where the log goes on. */
  get segments(): readonly Segment[] {
    return this.all
  }

  /**
   * Makes room for one record and returns where its payload starts in `buffer`. The caller writes the payload there and
   * calls `end` before anything else.
   */
  begin(type: number, flags: number, payloadBytesMax: number): number {
    if (this.refusal !== null) throw this.refusal
    const batch = this.open
    const start = batch.usedBytes
    const bytesMax = recordHeaderBytes + payloadBytesMax
    if (start + bytesMax > batch.buffer.length) batch.makeRoom(bytesMax)
    const { buffer } = batch
    buffer[start + 8] = type
    buffer[start + 9] = flags
    buffer[start + 10] = 0
    buffer[start + 11] = 0
    return start + recordHeaderBytes
  }

  /** Closes the record; the payload is `buffer[begin(), payloadEnd)`, its header part ends at `headerEnd`. */
  end(headerEnd: number, payloadEnd: number): void {
    const batch = this.open
    const { segment, view } = batch
    const start = batch.usedBytes
    const payloadStart = start + recordHeaderBytes
    assert(headerEnd >= payloadStart && payloadEnd >= headerEnd, 'the header part lies within the payload')
    assert(payloadEnd <= batch.buffer.length, 'the payload lies within the room it asked for')
    view.setUint32(start + 4, payloadEnd - payloadStart, true)
    view.setUint32(start + 12, headerEnd - payloadStart, true)
    view.setUint32(start + 16, segment.id, true)
    view.setUint32(start + 20, batch.offset + start, true)
    view.setUint32(start, crc32(batch.buffer, start + 4, payloadEnd, segment.saltCrc), true)
    batch.usedBytes = payloadEnd
    batch.recordCount++
  }

  /** Writes the open frame, unless one is in flight (then nothing happens: call again when that one is durable). */
  commit(): void {
    if (this.flight !== null || this.refusal !== null) return
    if (this.retiring.length > 0) this.appendRetained()
    if (this.open.recordCount === 0) return
    const batch = this.open
    const next = this.spare
    assert(next !== null, 'the second arena is free when nothing is in flight')
    batch.seal(this.durableLsnNow, this.platform.clock.realtimeMs(), this.tail.lastCrc)
    this.flight = batch
    this.spare = null
    this.open = next
    const { segment } = batch
    const end = batch.offset + batch.usedBytes
    if (end < this.options.segmentBytesMax) next.begin(segment, end, batch.lsn + 1)
    // One id is left out: see segment.ts.
    else next.begin(this.planSegment(segment.id + 2), framesStart, batch.lsn + 1)
    this.flying = this.fly(batch)
  }

  /**
   * Gives up segments that nothing refers to any more: as soon as the next frame, which says so, is durable, they leave
   * `segments` and their files are deleted.
   */
  retire(segments: readonly Segment[]): void {
    for (const segment of segments) {
      assert(segment.isRetirable, 'only a sealed segment without references is given up, and once')
      segment.isRetiring = true
      this.retiring.push(segment)
    }
  }

  /**
   * The segment that holds the record with the address (segmentId, offset), which may have moved (segment.ts); null if
   * that segment is gone. `homeOffset` tells where in it.
   */
  homeSegment(segmentId: number, offset: number): Segment | null {
    if (isColdId(segmentId)) return this.cold.get(segmentId) ?? null
    let id = segmentId
    let at = offset
    for (;;) {
      const next = this.findSegment(id + 1)
      if (next === null || next.previousId !== id || at < next.previousBytes) return this.findSegment(id)
      at += framesStart - next.previousBytes
      id++
    }
  }

  homeOffset(segmentId: number, offset: number): number {
    if (isColdId(segmentId)) return offset
    let id = segmentId
    let at = offset
    for (;;) {
      const next = this.findSegment(id + 1)
      if (next === null || next.previousId !== id || at < next.previousBytes) return at
      at += framesStart - next.previousBytes
      id++
    }
  }

  /** The segment with that id, if it is there. */
  segmentOf(id: number): Segment | null {
    return isColdId(id) ? (this.cold.get(id) ?? null) : this.findSegment(id)
  }

  /** A cold segment belongs to the log from now on. */
  addCold(segment: Segment): void {
    this.cold.set(segment.id, segment)
  }

  /** Nothing in a cold segment is needed any more: it is deleted, or with the next opening if that fails. */
  removeCold(segment: Segment): void {
    this.cold.delete(segment.id)
    this.readers.forget(segment)
    this.removing = this.removing.then(() => this.platform.disk.remove(segment.path).catch(() => {}))
  }

  get coldSegments(): Iterable<Segment> {
    return this.cold.values()
  }

  /** Resolves when the files of what was given up are gone. */
  async removed(): Promise<void> {
    await this.removing
  }

  /** A salt for a new cold segment. */
  newSalt(): Buffer {
    return this.makeSalt()
  }

  /** Reads from a segment what was written; as DiskFile.read. */
  read(segment: Segment, buffer: Buffer, start: number, end: number, offset: number): Promise<number> {
    return this.readers.read(segment, buffer, start, end, offset)
  }

  /**
   * Where the record at `offset` of `segment` stands in `unwrittenBuffer`, if its frame is yet to be written or is being
   * written; else -1: then it is in the file.
   */
  findUnwritten(segment: Segment, offset: number): number {
    for (const batch of [this.open, this.flight]) {
      if (batch === null || batch.segment !== segment || offset < batch.offset) continue
      if (offset >= batch.offset + batch.usedBytes) continue
      this.unwrittenBuffer = batch.buffer
      return offset - batch.offset
    }
    return -1
  }

  /** Something beside the log failed without which it means nothing: nothing more becomes durable. */
  abort(detail: string, cause: unknown): void {
    if (this.failure === null) this.fail(storageFailed(this.directory, detail, cause))
  }

  /** Where a recovery may begin that knows all that was appended up to now. */
  get start(): LogStart {
    const { tail } = this
    const segments = this.all.filter(({ id, isRetiring }) => id <= tail.id && !isRetiring).map(factsOf)
    const lsn = this.durableLsnNow
    return { segments, offset: tail.bytes, lsn, crc: tail.lastCrc, syncedLsn: lsn }
  }

  /** From now on a recovery may need such a start: versions that know of none must not open the folder. */
  async needStart(): Promise<void> {
    const { uuid, incompat } = this.format
    if ((incompat & incompatCheckpoints) !== 0) return
    await writeFormat(this.platform, this.directory, uuid, incompat | incompatCheckpoints)
    this.format = { ...this.format, incompat: incompat | incompatCheckpoints }
  }

  setAddresses(addresses: readonly string[]): Promise<void> {
    return this.lock.setAddresses(addresses)
  }

  /**
   * Makes what was appended durable, proves it with two SYNCED frames and frees the folder. Rejects with
   * E_STORAGE_FAILED if that did not work; the folder is free in any case.
   */
  close(): Promise<void> {
    this.closing ??= this.finish()
    return this.closing
  }

  // ---------------------------------------------------------------------------------------------------- one batch

  private async fly(batch: Batch): Promise<void> {
    const { disk } = this.platform
    const { segment } = batch
    const isNew = segment !== this.tail
    let { file } = segment
    try {
      file = isNew ? await this.createFile(segment, batch) : (file as DiskFile)
      await file.write(batch.buffer, 0, batch.usedBytes, batch.offset)
    } catch (error) {
      if (isSystemError(error)) this.stop(batch, error)
      else this.fail(error instanceof LogError ? error : storageFailed(this.directory, 'writing failed', error))
      return
    }
    try {
      await file.sync()
      if (isNew) await disk.syncDirectory(this.logDirectory)
    } catch (error) {
      this.fail(storageFailed(this.directory, 'syncing to disk failed', error))
      return
    }
    this.land(batch)
  }

  private async createFile(segment: Segment, batch: Batch): Promise<DiskFile> {
    const { disk } = this.platform
    if (segment.mayExist) await this.removeFailed(segment)
    segment.follow(this.tail, batch.lsn)
    encodeSegmentHeader(segment, this.headerBuffer)
    let file: DiskFile
    try {
      file = await disk.open(segment.path, 'create')
    } catch (error) {
      // Somebody made a segment that only we should make: another process is in this folder.
      if (isErrorCode(error, 'EEXIST')) throw storageFailed(this.directory, `${segment.path} is there already`, error)
      segment.mayExist = true
      throw error
    }
    segment.file = file
    segment.mayExist = true
    await file.write(this.headerBuffer, 0, framesStart, 0)
    return file
  }

  private async removeFailed(segment: Segment): Promise<void> {
    const { file } = segment
    segment.file = null
    if (file !== null) await file.close().catch(() => {})
    await removeIfThere(this.platform.disk, segment.path)
  }

  private land(batch: Batch): void {
    if (this.failure !== null) return
    const previous = this.tail
    const { segment } = batch
    segment.bytes = batch.offset + batch.usedBytes
    segment.lastCrc = batch.crc
    if (segment !== previous) {
      previous.sealed = true
      this.tail = segment
      this.removing = this.removing.then(() => this.closeFile(previous))
    }
    this.durableLsnNow = batch.lsn
    this.landedBytes += batch.usedBytes
    if (!batch.isSyncedOnly) this.landings++
    this.flight = null
    this.spare = batch
    this.syncedFrames = batch.isSyncedOnly ? Math.max(this.syncedFrames, 0) + 1 : 0
    this.lastLandingMs = this.platform.clock.monotonicMs()
    if (batch.retiring.length > 0) this.deleteRetired(batch.retiring)
    if (this.stall !== null) {
      this.stall = null
      this.events.resumed()
    }
    this.events.durable(batch.lsn)
    if (this.syncedFrames === 0 && this.cancelIdle === null && this.closing === null) {
      this.watchIdle(this.options.idleSyncedMs)
    }
  }

  /** A write failed. */
  private stop(batch: Batch, error: Error): void {
    if (this.failure !== null) return
    const from = batch.segment
    if (from === this.tail) {
      // What is durable of the segment stays; the frame moves to the id after it, which no other segment has.
      const home = this.planSegment(from.id + 1)
      home.movedFrom = from
      // From now on addresses beyond the end of `from` mean this one.
      home.follow(from, batch.lsn)
      from.isTrimmed = false
      batch.move(home, framesStart)
      if (this.open.segment === from) this.open.move(home, framesStart + batch.usedBytes)
    } else {
      // The new segment itself could not be made: again, under the same name, but not under the same salt.
      from.renewSalt(this.makeSalt())
      batch.move(from, batch.offset)
      if (this.open.segment === from) this.open.move(from, this.open.offset)
    }
    batch.reseal()
    const isFirst = this.stall === null
    this.stall = error
    if (this.closing === null) {
      this.cancelRetry = this.platform.clock.setTimer(this.options.retryMs, () => this.retry())
    }
    if (isFirst) this.events.stalled(error)
  }

  private retry(): void {
    this.cancelRetry?.()
    this.cancelRetry = null
    assert(this.flight !== null, 'a stalled log has a batch in flight')
    this.flying = this.fly(this.flight)
  }

  private fail(error: LogError): void {
    this.failure = error
    this.refusal = error
    this.cancelTimers()
    this.events.failed(error)
  }

  // ---------------------------------------------------------------------------------------------------- segments

  private planSegment(id: number): Segment {
    const segment = new Segment(this.logDirectory, {
      major: 0,
      minor: 0,
      flags: 0,
      keyId: 0,
      checksum: 0,
      id,
      previousId: 0,
      epoch: this.tail.epoch,
      firstLsn: 0,
      salt: this.makeSalt(),
      previousBytes: 0,
      previousCrc: 0,
    })
    // A segment for a batch that had to move goes before the one that was planned behind it.
    let index = this.all.length
    while (index > 0 && (this.all[index - 1] as Segment).id > id) index--
    this.all.splice(index, 0, segment)
    return segment
  }

  private makeSalt(): Buffer {
    const salt = Buffer.alloc(8)
    this.platform.random.fill(salt)
    return salt
  }

  private findSegment(id: number): Segment | null {
    let low = 0
    let high = this.all.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.all[middle] as Segment).id < id) low = middle + 1
      else high = middle
    }
    const segment = this.all[low]
    return segment !== undefined && segment.id === id ? segment : null
  }

  /**
   * Only at commit, when nothing is in flight: then the list is exact, whatever moved meanwhile. The frame's own segment
   * is in it with length 0, for it goes on.
   */
  private appendRetained(): void {
    const { retiring } = this
    this.retiring = []
    const kept = this.all.filter((segment) => !segment.isRetiring)
    let at = this.begin(recordTypeRetained, recordFlagCritical, kept.length * 12)
    const { buffer } = this.open
    for (const segment of kept) {
      const isSealed = segment.id < this.open.segment.id
      at = buffer.writeUInt32LE(segment.id, at)
      at = buffer.writeUInt32LE(isSealed ? segment.bytes : 0, at)
      at = buffer.writeUInt32LE(isSealed ? segment.lastCrc : 0, at)
    }
    this.end(at, at)
    this.open.retiring = retiring
  }

  private deleteRetired(retired: readonly Segment[]): void {
    for (const segment of retired) {
      this.all.splice(this.all.indexOf(segment), 1)
      this.readers.forget(segment)
    }
    this.removing = this.removing.then(async () => {
      for (const segment of retired) await this.deleteFile(segment)
    })
  }

  /** Errors do not matter here: the next opening finishes what the RETAINED record began. */
  private async deleteFile(segment: Segment): Promise<void> {
    try {
      // Its header alone says where its predecessor ends, so that must not end later.
      const previous = this.findSegment(segment.previousId)
      if (previous !== null && !previous.isTrimmed && !(await this.trim(previous))) return
      await this.platform.disk.remove(segment.path)
    } catch {}
  }

  private async closeFile(segment: Segment): Promise<void> {
    const { file } = segment
    segment.file = null
    await file?.close().catch(() => {})
  }

  private async trim(segment: Segment): Promise<boolean> {
    try {
      const file = await this.platform.disk.open(segment.path, 'write')
      try {
        if ((await file.size()) > segment.bytes) await file.truncate(segment.bytes)
        await file.sync()
        segment.isTrimmed = true
      } finally {
        await file.close()
      }
    } catch {}
    return segment.isTrimmed
  }

  // ---------------------------------------------------------------------------------------------------- idle, close

  private watchIdle(delayMs: number): void {
    this.cancelIdle = this.platform.clock.setTimer(delayMs, () => {
      this.cancelIdle = null
      // A batch that is under way, or will be, starts the watch again when it lands.
      if (this.flight !== null || this.openRecords > 0 || this.syncedFrames !== 0) return
      // A SYNCED frame would take the number that those records were promised.
      if (this.expectsRecords) return this.watchIdle(this.options.idleSyncedMs)
      const idleMs = this.platform.clock.monotonicMs() - this.lastLandingMs
      if (idleMs >= this.options.idleSyncedMs) this.commitSynced()
      else this.watchIdle(this.options.idleSyncedMs - idleMs)
    })
  }

  private commitSynced(): void {
    const payload = this.begin(recordTypeSynced, 0, 0)
    this.end(payload, payload)
    this.open.isSyncedOnly = true
    this.commit()
  }

  private async finish(): Promise<void> {
    this.cancelTimers()
    try {
      for (let isRetried = false; this.failure === null; ) {
        await this.flying
        if (this.stall !== null) {
          // Waiting for the next retry has an end here: one more try at once, and no other.
          if (isRetried) break
          isRetried = true
          this.retry()
        } else if (this.openRecords > 0) {
          this.commit()
        } else if (this.flight === null && this.failure === null) {
          if (this.syncedFrames === syncedNever || this.syncedFrames >= 2) break
          this.commitSynced()
        }
      }
      await this.removing
    } finally {
      await this.flying
      this.refusal = storageFailed(this.directory, 'the log is closed', this.failure ?? 'nothing is appended to it')
      for (const segment of this.all) await segment.file?.close().catch(() => {})
      await this.readers.close()
      await this.lock.release()
    }
    if (this.failure !== null) throw this.failure
    if (this.stall !== null) throw storageFailed(this.directory, 'what was appended could not be written', this.stall)
  }

  private cancelTimers(): void {
    this.cancelRetry?.()
    this.cancelRetry = null
    this.cancelIdle?.()
    this.cancelIdle = null
  }
}
