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
 * segment until that works (batch-flight.ts).
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
import { BatchFlight, type FlyingLog } from './batch-flight.ts'
import { isColdId } from './cold-segment.ts'
import {
  frameHeaderBytes,
  recordFlagCritical,
  recordHeaderBytes,
  recordTypeRetained,
  recordTypeSynced,
} from './frame.ts'
import { IdleProof, type ProvenLog } from './idle-proof.ts'
import { LogError, storageFailed } from './log-error.ts'
import { LogFolder } from './log-folder.ts'
import type { LogEvents, LogOptions } from './log-options.ts'
import { factsOf, type LogStart } from './log-start.ts'
import { type Recovered, type RecoveryReport, type RecoverySink, recover } from './recovery.ts'
import { retainedBytes, writeRetained } from './retention.ts'
import { deferredFlag, framesStart, type Segment } from './segment.ts'
import { findHome, findHomeOffset, findSegment } from './segment-list.ts'
import { SegmentSet } from './segment-set.ts'
import { isSystemError } from './small-file.ts'

export class SegmentedLog implements FlyingLog, SyncedLog, ProvenLog {
  readonly recovery: RecoveryReport
  /** The caller holds records back that will go to the open frame, and has named its number to somebody. */
  expectsRecords = false
  private readonly platform: Platform
  private readonly folder: LogFolder
  private readonly options: LogOptions
  private readonly events: LogEvents
  private readonly set: SegmentSet
  private readonly flight: BatchFlight
  /** Null where every batch is synced before it has landed. */
  private readonly background: BackgroundSync | null
  private readonly proof: IdleProof
  private open: Batch
  /** The other arena, while nothing is in flight. */
  private spare: Batch | null
  private durableLsnNow: number
  private retiring: Segment[] = []
  /** See `findUnwritten`; valid until something is appended or written. */
  unwrittenBuffer: Buffer
  private failure: LogError | null = null
  private closing: Promise<void> | null = null
  /** Why nothing can be appended any more. */
  private refusal: LogError | null = null
  /** Bytes that have landed since this log was opened, and batches of them that say something. */
  landedBytes = 0
  landings = 0

  private constructor(
    platform: Platform,
    folder: LogFolder,
    options: LogOptions,
    events: LogEvents,
    recovered: Recovered,
  ) {
    const { lastLsn, report, segments } = recovered
    this.platform = platform
    this.folder = folder
    this.options = options
    this.events = events
    this.recovery = report
    this.set = new SegmentSet(platform, folder.path, segmentFlags(options), segments)
    const { tail } = this.set
    this.durableLsnNow = lastLsn
    const end = { lsn: lastLsn, bytes: tail.bytes, crc: tail.lastCrc }
    this.background = options.defersSync ? new BackgroundSync(platform.clock, options, this, end) : null
    this.flight = new BatchFlight(platform, this.set, options.retryMs, this.background, this)
    this.proof = new IdleProof(platform.clock, options.idleSyncedMs, this)
    this.open = new Batch(tail)
    this.spare = new Batch(tail)
    this.unwrittenBuffer = this.open.buffer
    this.open.begin(tail, tail.bytes, lastLsn + 1)
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
    let folder: LogFolder | null = null
    let recovered: Recovered | null = null
    try {
      folder = await LogFolder.open(platform, directory, options)
      const start = await findStart()
      const { needsStart, notes } = folder
      recovered = await recover(platform, directory, options.salvage, sink, start, needsStart, segmentFlags(options))
      recovered.report.notes.push(...notes)
      const log = new SegmentedLog(platform, folder, options, events, recovered)
      await folder.setEpoch(log.set.tail.epoch)
      return log
    } catch (error) {
      await recovered?.segments.at(-1)?.file?.close()
      await folder?.release()
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
    const flightBytes = this.flight.batch === null ? 0 : this.flight.batch.usedBytes
    return flightBytes + this.open.usedBytes - frameHeaderBytes
  }

  get busy(): boolean {
    return this.flight.batch !== null
  }

  /** In order; the last one is where the log goes on. */
  get segments(): readonly Segment[] {
    return this.set.list
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
    if (this.flight.batch !== null || this.refusal !== null) return
    if (this.retiring.length > 0) this.appendRetained()
    if (this.open.recordCount === 0) return
    const batch = this.open
    const next = this.spare
    assert(next !== null, 'the second arena is free when nothing is in flight')
    batch.seal(this.durableLsnNow, this.platform.clock.realtimeMs(), this.set.tail.lastCrc)
    this.spare = null
    this.open = next
    const { segment } = batch
    const end = batch.offset + batch.usedBytes
    if (end < this.options.segmentBytesMax) next.begin(segment, end, batch.lsn + 1)
    // One id is left out: see segment.ts.
    else next.begin(this.set.plan(segment.id + 2), framesStart, batch.lsn + 1)
    this.flight.begin(batch)
  }

  /** Only at commit, when nothing is in flight: then the list is exact, whatever moved meanwhile. */
  private appendRetained(): void {
    const kept = this.set.list.filter((segment) => !segment.isRetiring)
    const start = this.begin(recordTypeRetained, recordFlagCritical, retainedBytes(kept))
    const end = writeRetained(this.open.buffer, start, kept, this.open.segment.id)
    this.end(end, end)
    this.open.retiring = this.retiring
    this.retiring = []
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
    return isColdId(segmentId) ? (this.set.cold.get(segmentId) ?? null) : findHome(this.set.list, segmentId, offset)
  }

  homeOffset(segmentId: number, offset: number): number {
    return isColdId(segmentId) ? offset : findHomeOffset(this.set.list, segmentId, offset)
  }

  /** The segment with that id, if it is there. */
  segmentOf(id: number): Segment | null {
    return isColdId(id) ? (this.set.cold.get(id) ?? null) : findSegment(this.set.list, id)
  }

  /** A cold segment belongs to the log from now on. */
  addCold(segment: Segment): void {
    this.set.cold.set(segment.id, segment)
  }

  /** Nothing in a cold segment is needed any more: it is deleted, or with the next opening if that fails. */
  removeCold(segment: Segment): void {
    this.set.deleteCold(segment)
  }

  get coldSegments(): Iterable<Segment> {
    return this.set.cold.values()
  }

  /** In all segments, cold ones too. */
  get segmentBytes(): number {
    let bytes = 0
    for (const segment of this.set.list) bytes += segment.bytes
    for (const segment of this.set.cold.values()) bytes += segment.bytes
    return bytes
  }

  /** Resolves when the files of what was given up are gone. */
  async removed(): Promise<void> {
    await this.set.deleted
  }

  /** A salt for a new cold segment. */
  newSalt(): Buffer {
    return this.set.newSalt()
  }

  /** Reads from a segment what was written; as DiskFile.read. */
  read(segment: Segment, buffer: Buffer, start: number, end: number, offset: number): Promise<number> {
    return this.set.files.read(segment, buffer, start, end, offset)
  }

  /**
   * Where the record at `offset` of `segment` stands in `unwrittenBuffer`, if its frame is yet to be written or is being
   * written; else -1: then it is in the file.
   */
  findUnwritten(segment: Segment, offset: number): number {
    for (const batch of [this.open, this.flight.batch]) {
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
    const end = home === this.set.tail && this.background !== null ? this.background.synced.bytes : home.bytes
    return this.homeOffset(segmentId, offset) < end
  }

  /** Somebody waits for that frame to be durable: it is not put off. */
  hurry(lsn: number): void {
    this.background?.hurry(lsn)
  }

  /** Something beside the log failed without which it means nothing: nothing more becomes durable. */
  abort(detail: string, cause: unknown): void {
    if (this.failure === null) this.failed(storageFailed(this.folder.path, detail, cause))
  }

  /** Where a recovery may begin that knows all that was appended up to now. */
  get start(): LogStart {
    const { tail, list } = this.set
    const lsn = this.durableLsnNow
    const { bytes, crc } = this.background?.synced ?? { bytes: tail.bytes, crc: tail.lastCrc }
    const segments = list
      .filter(({ id, isRetiring }) => id <= tail.id && !isRetiring)
      .map((segment) => (segment === tail ? { ...factsOf(tail), bytes, lastCrc: crc } : factsOf(segment)))
    return { segments, offset: bytes, lsn, crc, syncedLsn: lsn }
  }

  /** From now on a recovery may need such a start: versions that know of none must not open the folder. */
  needStart(): Promise<void> {
    return this.folder.needStart()
  }

  setAddresses(addresses: readonly string[]): Promise<void> {
    return this.folder.setAddresses(addresses)
  }

  /**
   * Makes what was appended durable, proves it with two SYNCED frames and frees the folder. Rejects with
   * E_STORAGE_FAILED if that did not work; the folder is free in any case.
   */
  close(): Promise<void> {
    this.closing ??= this.finish()
    return this.closing
  }

  // ------------------------------------------------------------------------------------------- what the flight tells

  landed(batch: Batch, isSynced: boolean, wasStalled: boolean): void {
    if (isSynced) this.durableLsnNow = batch.lsn
    if (this.background !== null) this.tellBackground(this.background, batch, isSynced)
    this.landedBytes += batch.usedBytes
    if (!batch.isSyncedOnly) this.landings++
    this.spare = batch
    this.proof.landed(batch.isSyncedOnly)
    if (batch.retiring.length > 0) this.set.delete(batch.retiring)
    if (wasStalled) this.events.resumed()
    if (isSynced) this.events.durable(batch.lsn)
    else this.events.written(batch.lsn)
    this.proof.watch()
  }

  written(lsn: number): void {
    this.events.written(lsn)
  }

  moved(batch: Batch, from: Segment): void {
    if (this.open.segment === from) this.open.move(batch.segment, batch.offset + batch.usedBytes)
  }

  stalled(error: Error): void {
    this.events.stalled(error)
  }

  failed(error: LogError): void {
    this.failure = error
    this.refusal = error
    this.flight.end()
    this.proof.end()
    void this.background?.end()
    this.events.failed(error)
  }

  private tellBackground(background: BackgroundSync, batch: Batch, isSynced: boolean): void {
    const end = { lsn: batch.lsn, bytes: batch.offset + batch.usedBytes, crc: batch.crc }
    if (isSynced) background.release(end)
    else background.add(end, batch.usedBytes)
  }

  // What the background sync asks and tells.

  syncTail(): Promise<void> {
    return (this.set.tail.file as DiskFile).sync()
  }

  caughtUp(): void {
    this.durableLsnNow = (this.background as BackgroundSync).synced.lsn
    this.events.durable(this.durableLsnNow)
    this.proof.watch()
  }

  syncFailed(error: unknown): void {
    if (this.failure === null) this.failed(storageFailed(this.folder.path, 'syncing to disk failed', error))
  }

  // What the idle proof asks, and when the log closes.

  get isSynced(): boolean {
    return this.background === null || this.background.isCaughtUp
  }

  commitSynced(): void {
    const payload = this.begin(recordTypeSynced, 0, 0)
    this.end(payload, payload)
    this.open.isSyncedOnly = true
    this.commit()
  }

  private async finish(): Promise<void> {
    const { flight } = this
    flight.closing()
    this.proof.end()
    try {
      for (let isRetried = false; this.failure === null; ) {
        await flight.settled
        if (flight.stall !== null) {
          // Waiting for the next retry has an end here: one more try at once, and no other.
          if (isRetried) break
          isRetried = true
          flight.retry()
        } else if (this.openRecords > 0) {
          this.commit()
        } else if (flight.batch === null && this.failure === null) {
          if (this.proof.isComplete) break
          this.commitSynced()
        }
      }
      await this.set.deleted
    } finally {
      await flight.settled
      await this.background?.end()
      this.refusal = storageFailed(this.folder.path, 'the log is closed', this.failure ?? 'nothing is appended to it')
      await this.set.close()
      await this.folder.release()
    }
    if (this.failure !== null) throw this.failure
    if (flight.stall !== null)
      throw storageFailed(this.folder.path, 'what was appended could not be written', flight.stall)
  }
}

function segmentFlags({ defersSync }: LogOptions): number {
  return defersSync ? deferredFlag : 0
}
