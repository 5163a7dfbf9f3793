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
 *
 * `defersSync`: a batch has landed when it is written, and is synced later (background-sync.ts). What a frame, a checkpoint
 * or a deletion says or needs to be durable is synced all the same: `written` and `durable` are two things then.
 */
import { assert } from '../lib/assert.ts'
import { crc32 } from '../lib/crc32.ts'
import type { DiskFile } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'
import { BackgroundSync, type SyncedLog } from './background-sync.ts'
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
import type { LogEvents, LogOptions } from './log-options.ts'
import { factsOf, type LogStart } from './log-start.ts'
import { judgeFileSystem } from './network-file-system.ts'
import { type Recovered, type RecoveryReport, type RecoverySink, recover } from './recovery.ts'
import { deferredFlag, encodeSegmentHeader, framesStart, Segment, segmentIdOf } from './segment.ts'
import { SegmentFiles } from './segment-files.ts'
import { findHome, findHomeOffset, findSegment, insertSegment } from './segment-list.ts'
import { SegmentRemoval } from './segment-removal.ts'
import { isErrorCode, isSystemError, removeIfThere } from './small-file.ts'

const syncedNever = -1

export class SegmentedLog implements SyncedLog {
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
  private readonly removal: SegmentRemoval
  /** See `findUnwritten`; valid until something is appended or written. */
  unwrittenBuffer: Buffer = this.headerBuffer

  private readonly all: Segment[]
  private readonly cold = new Map<number, Segment>()
  /** The last segment that is there; the open batch, or the one in flight, may belong to a later one. */
  private tail: Segment
  private open: Batch
  private flight: Batch | null = null
  private spare: Batch | null
  private durableLsnNow: number
  /** Null where every batch is synced before it has landed. */
  private readonly background: BackgroundSync | null
  private retiring: Segment[] = []

  /** Settles when the batch in flight has landed, stalled or failed; never rejects. */
  private flying: Promise<void> = Promise.resolve()
  private stall: Error | null = null
  private failure: LogError | null = null
  private closing: Promise<void> | null = null
  /** Why nothing can be appended any more. */
  private refusal: LogError | null = null
  private cancelRetry: (() => void) | null = null
  private cancelIdle: (() => void) | null = null
  private lastLandingMs = 0
  /** Bytes that have landed since this log was opened, and batches of them that say something. */
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
    this.removal = new SegmentRemoval(platform.disk, (id) => findSegment(this.all, id))
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
    const end = { lsn: recovered.lastLsn, bytes: tail.bytes, crc: tail.lastCrc }
    this.background = options.defersSync ? new BackgroundSync(platform.clock, options, this, end) : null
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
      const notes = await judgeFileSystem(platform, directory, options.networkFolder === true)
      await disk.makeDirectory(`${directory}/quarantine`)
      lock = await FolderLock.acquire(platform, directory)
      const hasSegments = (await disk.list(`${directory}/log`)).some((name) => segmentIdOf(name) > 0)
      const format = await openFormat(platform, directory, hasSegments, options)
      // The folder's own name, if this process may sync the folder above.
      if (format.isNew) await disk.syncDirectory(`${directory}/..`).catch(() => {})
      const start = await findStart()
      const needsStart = (format.incompat & incompatCheckpoints) !== 0
      const flags = options.defersSync ? deferredFlag : 0
      recovered = await recover(platform, directory, options.salvage, sink, start, needsStart, flags)
      if (format.repaired !== '') notes.push(format.repaired)
      recovered.report.notes.push(...notes)
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

  /** Every frame up to this one would survive the end of the process. */
  get writtenLsn(): number {
    return this.background === null ? this.durableLsnNow : this.background.writtenLsn
  }

  /** Bytes of records that are in memory: not durable yet or, where syncing is put off, not written. */
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
    return isColdId(segmentId) ? (this.cold.get(segmentId) ?? null) : findHome(this.all, segmentId, offset)
  }

  homeOffset(segmentId: number, offset: number): number {
    return isColdId(segmentId) ? offset : findHomeOffset(this.all, segmentId, offset)
  }

  /** The segment with that id, if it is there. */
  segmentOf(id: number): Segment | null {
    return isColdId(id) ? (this.cold.get(id) ?? null) : findSegment(this.all, id)
  }

  /** A cold segment belongs to the log from now on. */
  addCold(segment: Segment): void {
    this.cold.set(segment.id, segment)
  }

  /** Nothing in a cold segment is needed any more: it is deleted, or with the next opening if that fails. */
  removeCold(segment: Segment): void {
    this.cold.delete(segment.id)
    this.readers.forget(segment)
    this.removal.removeFile(segment.path)
  }

  get coldSegments(): Iterable<Segment> {
    return this.cold.values()
  }

  /** Resolves when the files of what was given up are gone. */
  async removed(): Promise<void> {
    await this.removal.done
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

  /** Whether the record with that address is durable. */
  isDurable(segmentId: number, offset: number): boolean {
    const home = this.homeSegment(segmentId, offset)
    // What is gone was there once, and durable.
    if (home === null) return true
    const end = home === this.tail && this.background !== null ? this.background.synced.bytes : home.bytes
    return this.homeOffset(segmentId, offset) < end
  }

  /** Somebody waits for that frame to be durable: it is not put off. */
  hurry(lsn: number): void {
    this.background?.hurry(lsn)
  }

  /** Something beside the log failed without which it means nothing: nothing more becomes durable. */
  abort(detail: string, cause: unknown): void {
    if (this.failure === null) this.fail(storageFailed(this.directory, detail, cause))
  }

  /** Where a recovery may begin that knows all that was appended up to now. */
  get start(): LogStart {
    const { tail } = this
    const lsn = this.durableLsnNow
    const { bytes, crc } = this.background?.synced ?? { bytes: tail.bytes, crc: tail.lastCrc }
    const segments = this.all
      .filter(({ id, isRetiring }) => id <= tail.id && !isRetiring)
      .map((segment) => (segment === tail ? { ...factsOf(tail), bytes, lastCrc: crc } : factsOf(segment)))
    return { segments, offset: bytes, lsn, crc, syncedLsn: lsn }
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
    // A segment says of everything before it that it is durable.
    if (isNew && this.background !== null) {
      await this.background.settle()
      if (this.failure !== null) return
    }
    try {
      file = isNew ? await this.createFile(segment, batch) : (file as DiskFile)
      await file.write(batch.buffer, 0, batch.usedBytes, batch.offset)
    } catch (error) {
      if (isSystemError(error)) this.stop(batch, error)
      else this.fail(error instanceof LogError ? error : storageFailed(this.directory, 'writing failed', error))
      return
    }
    if (this.background !== null && (await this.putOff(batch, this.background))) return
    try {
      await file.sync()
      if (isNew) await disk.syncDirectory(this.logDirectory)
    } catch (error) {
      this.fail(storageFailed(this.directory, 'syncing to disk failed', error))
      return
    }
    this.land(batch)
  }

  /** The batch is written. Its sync is put off, or it has failed before: then it is done with. */
  private async putOff(batch: Batch, background: BackgroundSync): Promise<boolean> {
    if (this.failure !== null) return true
    const { lsn, usedBytes } = batch
    // The files of what it gives up go when it is durable; see background-sync.ts for the others.
    const isDue = batch.segment !== this.tail || batch.retiring.length > 0 || this.closing !== null
    if (!isDue && !background.isDue(lsn, usedBytes)) {
      this.land(batch, false)
      return true
    }
    background.writtenLsn = lsn
    this.events.written(lsn)
    await background.hold()
    return this.failure !== null
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

  private land(batch: Batch, isSynced = true): void {
    if (this.failure !== null) return
    const previous = this.tail
    const { segment } = batch
    segment.bytes = batch.offset + batch.usedBytes
    segment.lastCrc = batch.crc
    if (segment !== previous) {
      previous.sealed = true
      this.tail = segment
      this.removal.closeFile(previous)
    }
    if (isSynced) this.durableLsnNow = batch.lsn
    if (this.background !== null) this.tellBackground(this.background, batch, isSynced)
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
    if (isSynced) this.events.durable(batch.lsn)
    else this.events.written(batch.lsn)
    this.watchForIdle()
  }

  private tellBackground(background: BackgroundSync, batch: Batch, isSynced: boolean): void {
    const end = { lsn: batch.lsn, bytes: batch.offset + batch.usedBytes, crc: batch.crc }
    if (isSynced) background.release(end)
    else background.add(end, batch.usedBytes)
  }

  // What the background sync asks and tells.

  syncTail(): Promise<void> {
    return (this.tail.file as DiskFile).sync()
  }

  caughtUp(): void {
    this.durableLsnNow = (this.background as BackgroundSync).synced.lsn
    this.events.durable(this.durableLsnNow)
    this.watchForIdle()
  }

  syncFailed(error: unknown): void {
    if (this.failure === null) this.fail(storageFailed(this.directory, 'syncing to disk failed', error))
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
    void this.background?.end()
    this.events.failed(error)
  }

  // ---------------------------------------------------------------------------------------------------- segments

  private planSegment(id: number): Segment {
    const segment = new Segment(this.logDirectory, {
      major: 0,
      minor: 0,
      flags: this.options.defersSync ? deferredFlag : 0,
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
    insertSegment(this.all, segment)
    return segment
  }

  private makeSalt(): Buffer {
    const salt = Buffer.alloc(8)
    this.platform.random.fill(salt)
    return salt
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
    this.removal.removeRetired(retired)
  }

  // ---------------------------------------------------------------------------------------------------- idle, close

  private watchForIdle(): void {
    if (this.syncedFrames !== 0 || this.cancelIdle !== null || this.closing !== null) return
    this.watchIdle(this.options.idleSyncedMs)
  }

  private watchIdle(delayMs: number): void {
    this.cancelIdle = this.platform.clock.setTimer(delayMs, () => {
      this.cancelIdle = null
      // A batch that is under way, or will be, starts the watch again when it lands.
      if (this.flight !== null || this.openRecords > 0 || this.syncedFrames !== 0) return
      // A SYNCED frame would take the number that those records were promised.
      if (this.expectsRecords) return this.watchIdle(this.options.idleSyncedMs)
      // It would prove nothing: the background sync starts the watch again.
      if (this.background?.isCaughtUp === false) return
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
      await this.removal.done
    } finally {
      await this.flying
      await this.background?.end()
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
