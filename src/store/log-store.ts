/**
 * The store that survives: records in one segmented log, acknowledgements as ranges, checkpoints so that what lies before
 * them need not be read again.
 *
 * Publishes are written into the log's open frame as they come. Settlements gather per queue and become one record per
 * queue when a frame is written; if nothing else is to be written they wait up to `ackDelayMs` for company. A sealed segment
 * is deleted once no live message is in it and no checkpoint would have to be completed from it.
 */

import { assert } from '../lib/assert.ts'
import { ByteReaderError } from '../lib/byte-reader.ts'
import { ByteWriter } from '../lib/byte-writer.ts'
import { copyRange } from '../lib/copy-range.ts'
import { makeColdSegment } from '../log/cold-segment.ts'
import { LogError, storageCorrupt } from '../log/log-error.ts'
import type { LogEvents, LogOptions } from '../log/log-options.ts'
import type { LogStart } from '../log/log-start.ts'
import type { Segment } from '../log/segment.ts'
import { SegmentedLog } from '../log/segmented-log.ts'
import type { Durability } from '../model/durability.ts'
import { BrokerError, LeveretError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Message } from '../model/message.ts'
import type { Platform } from '../platform/platform.ts'
import { withMessages } from './affected-messages.ts'
import { Bodies, type BodiesOptions, type BodiesOwner } from './bodies.ts'
import type { BodyDamage } from './body-file.ts'
import type { BodyRefs } from './body-refs.ts'
import type { Checkpoint } from './checkpoint-file.ts'
import { type CheckpointedStore, Checkpointer, type CheckpointOptions } from './checkpointer.ts'
import { type CompactedStore, type CompactionOptions, Compactor } from './compactor.ts'
import { deliveredRanges } from './delivered-ranges.ts'
import { DiskSpace } from './disk-space.ts'
import type { Entry } from './entry.ts'
import { IndexSalvage } from './index-salvage.ts'
import { Leftovers } from './leftovers.ts'
import type { MessageReceiver } from './message-read.ts'
import { type Note, Notes } from './notes.ts'
import { PageFiles, type PageFilesOptions } from './page-files.ts'
import { PublishWriter } from './publish-writer.ts'
import { QueueIndex } from './queue-index.ts'
import type { IndexBacking } from './queue-index-backing.ts'
import { RangeList } from './range-list.ts'
import { criticalFlag, encodeNote, encodeTopology, recordTypes, type TopologyRecord } from './record.ts'
import { type ReaderEvents, RecordReader } from './record-reader.ts'
import { Replay } from './replay.ts'
import { ResidentMemory } from './resident-memory.ts'
import type { LoadReport, SnapshotSource, Store, StoreEvents } from './store.ts'
import { SyncGate } from './sync-gate.ts'
import { consistentTopology, rescuedQueues } from './topology-salvage.ts'

/** How a note ends that tells of a damaged part of the log, after a salvage. */
export const leftOut = '; this was left out'
/** So many segments in which nothing lives may be held by the checkpoints before there are others. */
const heldSegments = 6
/** How often segments are looked through for such that nobody needs. */
const retireMs = 100

export interface LogStoreOptions extends PageFilesOptions, CheckpointOptions, CompactionOptions, BodiesOptions {
  readonly segmentBytesMax: number
  /** Memory for messages that could be read from the disk again. */
  readonly windowBytesMax: number
  /** Publishers are blocked when the disk has less room than that. */
  readonly diskFreeBytesMin: number
  /** Room that is kept to be given back when there is none left; 0: none. */
  readonly reserveBytes: number
  /** Skip what is corrupt, and say so, instead of refusing the folder. */
  readonly salvage: boolean
  readonly durability: Durability
  /** For levels that put syncing off: see log-options.ts. */
  readonly syncDelayMs: number
  readonly syncDelayBytesMax: number
  /** The folder may be on a network file system. */
  readonly networkFolder: boolean
}

export const logStoreOptionsDefault: LogStoreOptions = {
  segmentBytesMax: limits.segmentBytesMax,
  salvage: false,
  durability: 'fsync',
  syncDelayMs: limits.syncDelayMs,
  syncDelayBytesMax: limits.syncDelayBytesMax,
  networkFolder: false,
  windowBytesMax: limits.windowBytesMax,
  diskFreeBytesMin: limits.diskFreeBytesMin,
  reserveBytes: 0,
  bodyInlineBytesMax: limits.bodyInlineBytesMax,
  bodyChunkBytes: limits.bodyChunkBytes,
  pageBytesMax: limits.pageBytesMax,
  pageFileBytesMax: limits.segmentBytesMax,
  checkpointBytes: limits.checkpointBytes,
  checkpointMs: limits.checkpointMs,
  checkpointSoonMs: limits.checkpointSoonMs,
  deadBytesMax: limits.deadBytesMax,
  coldBytesMax: limits.segmentBytesMax,
  compactionBytesPerSecond: limits.compactionBytesPerSecond,
  sliceMs: limits.sliceMs,
  restMs: 0,
}

interface Awaited {
  readonly lsn: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** A cold segment in which nothing lives, to be deleted when that frame is durable. */
interface DyingSegment {
  readonly segment: Segment
  readonly lsn: number
}

export class LogStore
  implements Store, IndexBacking, CheckpointedStore, CompactedStore, ReaderEvents, LogEvents, BodiesOwner
{
  readonly persists = true
  readonly memory: ResidentMemory
  pages!: PageFiles
  gate!: SyncGate
  private readonly platform: Platform
  private readonly directory: string
  private readonly options: LogStoreOptions
  private log!: SegmentedLog
  publishes!: PublishWriter
  readonly notes: Notes = new Notes((note) => this.appendNote(note))
  readonly bodies: Bodies
  private reader!: RecordReader
  private events!: StoreEvents
  private source!: SnapshotSource
  private checkpointer!: Checkpointer
  private space!: DiskSpace
  private compactor!: Compactor
  private recovered: Map<number, QueueIndex> = new Map()
  private readonly indexesById: Map<number, QueueIndex> = new Map()
  /** Indexes with settlements that are not in the log yet. */
  private unwritten: QueueIndex[] = []
  private ackTimer: (() => void) | null = null
  /** Somebody waits for the open frame: write it even if it holds nothing but settlements. */
  private wanted = false
  /** Who waits for a frame, in the order of the frames. */
  private readonly awaited: Awaited[] = []
  private readonly dyingCold: DyingSegment[] = []
  private retiredMs = Number.NEGATIVE_INFINITY
  private isStalled = false
  private isLoading = true
  private pageError: Error | null = null
  /** Salvage has changed what a checkpoint said of indexes. */
  private isRepaired = false
  private closing = false
  /** The log has failed and takes no more records. */
  private isBroken = false
  private readonly writer = new ByteWriter(256)
  constructor(platform: Platform, directory: string, options: LogStoreOptions) {
    this.platform = platform
    this.directory = directory
    this.options = options
    this.bodies = new Bodies(platform, `${directory}/body`, options, this)
    this.memory = new ResidentMemory(Number.MAX_SAFE_INTEGER, options.windowBytesMax)
  }

  get bodyRefs(): BodyRefs {
    return this.bodies.refs
  }

  get indexes(): Iterable<QueueIndex> {
    return this.indexesById.values()
  }

  get takesWrites(): boolean {
    return !this.isStalled && !this.isBroken
  }

  get openLsn(): number {
    return this.log.openLsn
  }

  get durability(): Durability {
    return this.options.durability
  }

  get durableLsn(): number {
    return this.log.durableLsn
  }

  /** Every frame up to this one survives the process. */
  get writtenLsn(): number {
    return this.log.writtenLsn
  }

  get answerableLsn(): number {
    // What was said of a frame that cannot be written, or will never be durable, was said before that was known.
    if (this.options.durability === 'none' && this.takesWrites) return this.log.openLsn
    return this.log.writtenLsn
  }

  get unsyncedBytes(): number {
    return this.log.unsyncedBytes
  }

  async load(sink: (record: TopologyRecord) => void, events: StoreEvents, source: SnapshotSource): Promise<LoadReport> {
    const { platform, directory } = this
    this.events = events
    this.source = source
    this.pages = new PageFiles(platform, `${directory}/idx`, this.options, (detail) => this.pageLost(detail))
    const { diskFreeBytesMin, reserveBytes } = this.options
    this.space = new DiskSpace(platform, directory, diskFreeBytesMin, reserveBytes, (isLow) => events.lowOnDisk(isLow))
    this.checkpointer = new Checkpointer(platform, `${directory}/ckpt`, this.options, this.pages, this)
    const replay = new Replay((queueId) => this.makeIndex(queueId, true), this.notes, this.bodies.refs)
    let checkpoint: Checkpoint | null = null
    const findStart = async (): Promise<LogStart | null> => {
      await this.pages.open()
      checkpoint = await this.checkpointer.read()
      if (checkpoint !== null) replay.begin(checkpoint, this.checkpointer.isOutdated)
      return checkpoint?.start ?? null
    }
    const options: LogOptions = {
      segmentBytesMax: this.options.segmentBytesMax,
      salvage: this.options.salvage,
      networkFolder: this.options.networkFolder,
      idleSyncedMs: 1_000,
      retryMs: 1_000,
      defersSync: this.options.durability !== 'fsync',
      syncDelayMs: this.options.syncDelayMs,
      syncDelayBytesMax: this.options.syncDelayBytesMax,
    }
    try {
      this.log = await SegmentedLog.open(platform, directory, options, replay, this, findStart)
      this.publishes = new PublishWriter(this.log)
    } catch (error) {
      throw translate(await withMessages(platform.disk, error, replay.topology))
    }
    try {
      this.reader = new RecordReader(this.log, this)
      this.gate = new SyncGate(this.log)
      this.compactor = new Compactor(platform, `${directory}/cold`, this.log, this.pages, this.options, this)
      if (checkpoint !== null) this.knowSegments(checkpoint)
      const { epoch } = this.log.openSegment
      // Without a checkpoint nobody knows what they are for, and salvage throws nothing away.
      const isRescue = this.options.salvage && checkpoint === null
      const leftovers = new Leftovers(platform.disk, isRescue ? `${directory}/quarantine` : null, `${epoch}`)
      const missing = await this.compactor.open(leftovers)
      await this.pages.removeLeftovers(leftovers)
      const isMissing = (id: number): boolean => this.log.segmentOf(id) === null || missing.some((one) => one.id === id)
      const salvage = this.options.salvage ? new IndexSalvage(platform.disk, directory, this.log, isMissing) : null
      await salvage?.rescuePages(checkpoint, replay)
      const missingBodies = salvage === null ? null : await this.bodies.findMissing()
      const goneOf = (index: QueueIndex): number[] => [
        ...(salvage?.goneOf(index) ?? []),
        ...(missingBodies?.goneOf(index.queueId) ?? []),
      ]
      const unreadable = salvage === null ? null : { goneOf }
      const { messages } = replay.finish(epoch, platform.clock.realtimeMs(), this.recovered, unreadable)
      this.needPages()
      await this.bodies.load(leftovers)
      const bodyNotes = missingBodies?.notes ?? []
      for (const segment of missing) if (segment.live > 0) throw storageCorrupt(segment.path, 0, 'the file is missing')
      this.isRepaired = salvage !== null && salvage.notes.length + bodyNotes.length > 0
      const unknown: TopologyRecord[] = []
      const topology = salvage === null ? replay.topology : consistentTopology(replay.topology, unknown)
      for (const record of topology) sink(record)
      // Queues look at their first entries.
      this.needPages()
      this.isLoading = false
      const { damages } = this.log.recovery
      for (const record of isRescue || damages.length > 0 ? rescuedQueues(this.recovered, topology) : []) {
        this.appendTopology(record)
        sink(record)
      }
      // Whatever the topology does not know belongs to queues that were deleted.
      for (const index of this.recovered.values()) index.drop()
      this.recovered = new Map()
      await this.checkpointer.begin(this.log, source, leftovers)
      for (const { type } of unknown) salvage?.notes.push(`'${type}' was left out: what it is about is not known`)
      const losses = damages.map(({ file, offset, detail }) => `${file} at ${offset}: ${detail}${leftOut}`)
      const notes = [
        ...this.log.recovery.notes,
        ...this.checkpointer.notes,
        ...losses,
        ...(salvage?.notes ?? []),
        ...bodyNotes,
      ]
      return { nextQueueId: replay.nextQueueId, messages, clean: replay.clean, notes }
    } catch (error) {
      await this.pages.close()
      await this.log.close()
      throw translate(error)
    }
  }

  /** Throws what was wrong with a page of an index, if one was needed and could not be had. */
  private needPages(): void {
    const error: Error | null = this.pageError
    if (error !== null) throw error
  }

  /** What a checkpoint says of segments that recovery did not read. */
  private knowSegments({ id: checkpointId, cold, start }: Checkpoint): void {
    for (const { number, epoch, salt, bytes, references } of cold) {
      const segment = makeColdSegment(`${this.directory}/cold`, number, epoch, salt)
      segment.bytes = bytes
      segment.references = references
      segment.neededBefore = checkpointId
      segment.sealed = true
      this.log.addCold(segment)
    }
    for (const { id, references } of start.segments) {
      const segment = this.log.segmentOf(id)
      if (segment === null) continue
      segment.references += references
      // The checkpoint before may say that something lives in it which was copied since.
      segment.neededBefore = checkpointId
    }
  }

  appendTopology(record: TopologyRecord): void {
    // When the log has failed the sessions still end, and auto-delete queues with them. Nobody is told that it was stored.
    if (this.isBroken) return
    this.writer.length = 0
    encodeTopology(this.writer, record)
    this.appendWritten(recordTypes.topology)
  }

  queueIndex(queueId: number, durable: boolean): QueueIndex {
    let index = this.recovered.get(queueId)
    if (index === undefined) index = this.makeIndex(queueId, durable)
    else this.recovered.delete(queueId)
    this.indexesById.set(queueId, index)
    return index
  }

  dropIndex(queueId: number): void {
    this.indexesById.delete(queueId)
  }

  barrier(): number {
    if (this.log.openRecords === 0 && this.unwritten.length === 0) return this.log.openLsn - 1
    this.wanted = true
    return this.log.openLsn
  }

  commit(): void {
    const { log } = this
    if (log.busy || this.isBroken) return
    if (this.unwritten.length > 0 && log.openRecords === 0 && !this.wanted) return
    this.writeSettlements()
    this.wanted = false
    if (log.openRecords > 0) log.commit()
  }

  /**
   * Copies what lives out of every segment in which something is dead, and deletes those. Resolves with the bytes given
   * back, once their files are gone.
   */
  async compactAll(): Promise<number> {
    const before = this.segmentBytes
    await this.compactor.compactAll()
    // Old segments stay until both checkpoints that are kept were begun after the move.
    for (let count = 0; count < 2; count++) if (!(await this.checkpointer.makeNow())) break
    this.retireDeadSegments()
    const lsn = this.barrier()
    this.commitNow(lsn)
    await this.reached(lsn)
    await this.log.removed()
    return Math.max(0, before - this.segmentBytes)
  }

  private get segmentBytes(): number {
    let bytes = 0
    for (const segment of this.log.segments) bytes += segment.bytes
    for (const segment of this.log.coldSegments) bytes += segment.bytes
    return bytes
  }

  /** Resolves when the frame is durable; rejects if it never will be. */
  private reached(lsn: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.log.durableLsn >= lsn) resolve()
      else if (this.isBroken) reject(new LeveretError('E_STORAGE_FAILED', `${this.directory}: the storage failed`))
      else this.awaited.push({ lsn, resolve, reject })
    })
  }

  async announce(addresses: readonly string[]): Promise<void> {
    await this.log.setAddresses([...addresses])
  }

  async close(): Promise<void> {
    this.closing = true
    await this.space.end()
    await this.compactor.end()
    await this.bodies.end()
    this.reader.close()
    this.ackTimer?.()
    this.ackTimer = null
    if (this.isBroken) await this.checkpointer.abandon()
    else {
      this.writeSettlements()
      // Neither of those that are kept is to name what is damaged.
      if (this.isRepaired) await this.checkpointer.makeNow()
      const isCheckpointed = await this.checkpointer.finish()
      if (!isCheckpointed && !this.isBroken) {
        await this.checkpointer.abandon()
        this.writeDelivered()
        this.writer.length = 0
        this.writer.varint(this.log.openSegment.epoch)
        this.appendWritten(recordTypes.clean)
      }
    }
    try {
      await this.pages.close()
      await this.log.close()
    } catch (error) {
      throw translate(error)
    }
  }

  // What the log tells.

  durable(lsn: number): void {
    this.gate.look()
    this.events.durable(lsn)
    this.noteWritten()
    this.checkpointer.durable(lsn)
    this.bodies.durable(lsn)
    while (this.awaited.length > 0 && (this.awaited[0] as Awaited).lsn <= lsn) this.awaited.shift()?.resolve()
    while (this.dyingCold.length > 0 && (this.dyingCold[0] as DyingSegment).lsn <= lsn) {
      this.log.removeCold((this.dyingCold.shift() as DyingSegment).segment)
    }
    const nowMs = this.platform.clock.monotonicMs()
    if (!this.closing && nowMs - this.retiredMs >= retireMs) {
      this.retiredMs = nowMs
      this.retireDeadSegments()
    }
    this.commit()
  }

  written(lsn: number): void {
    this.events.written(lsn)
    this.noteWritten()
    this.commit()
  }

  private noteWritten(): void {
    this.space.wrote(this.log.landedBytes + this.bodies.landedBytes)
  }

  stalled(error: Error): void {
    this.isStalled = true
    // Closing would wait for ever for a checkpoint that waits for the log.
    if (this.closing) this.checkpointer.giveUp()
    this.space.stalled()
    this.events.stalled(error)
  }

  resumed(): void {
    this.isStalled = false
    this.events.resumed()
  }

  failed(error: LogError): void {
    this.fail(translate(error))
  }

  // What the checkpointer tells.

  commitNow(lsn: number): void {
    this.wanted = true
    this.log.hurry(lsn)
    this.commit()
  }

  checkpointed(): void {
    if (this.closing || this.isBroken) return
    this.retireDeadSegments()
    this.commit()
    this.compactor.consider()
  }

  // What the compactor asks and tells.

  get neededFromId(): number {
    return this.checkpointer.neededFromId
  }

  get nextCheckpointId(): number {
    return this.checkpointer.nextId
  }

  holdCheckpoints(): Promise<boolean> {
    return this.checkpointer.hold()
  }

  releaseCheckpoints(): void {
    this.checkpointer.release()
  }

  compacted(): void {
    this.checkpointer.wantAnother()
  }

  broken(detail: string, error: unknown): void {
    this.log.abort(detail, error)
  }

  private fail(error: Error): void {
    if (this.isBroken) return
    this.isBroken = true
    this.checkpointer.giveUp()
    for (const { reject } of this.awaited.splice(0)) reject(error)
    this.events.failed(error)
  }

  // What indexes tell.

  settlementsPending(index: QueueIndex): void {
    this.unwritten.push(index)
    this.log.expectsRecords = true
    // Not at the next commit: what the last dispatch of a turn settles may be the last that happens for hours.
    this.ackTimer ??= this.platform.clock.setTimer(limits.ackDelayMs, () => this.writeOverdue())
  }

  /** Settlements have waited long enough for company. */
  private writeOverdue(): void {
    this.ackTimer = null
    if (this.unwritten.length === 0 || this.closing) return
    this.wanted = true
    this.commit()
  }

  segment(id: number): Segment {
    const segment = this.log.segmentOf(id)
    assert(segment !== null, 'a segment with live entries is there')
    return segment
  }

  purged(index: QueueIndex): void {
    if (this.isBroken) return
    const { writer } = this
    const held = new RangeList()
    index.forEachHeld((entry) => {
      if (entry.logged) held.add(entry.sequence)
    })
    writer.length = 0
    writer.u32le(index.queueId)
    writer.varint(index.nextSequence)
    held.encode(writer)
    this.appendWritten(recordTypes.purged)
  }

  overflow(message: Message): boolean {
    if (this.isBroken || this.closing) return false
    this.publishes.begin(message, 0)
    this.publishes.end()
    return true
  }

  fetch(index: MessageReceiver, entries: readonly Entry[]): void {
    this.reader.load(index, entries)
  }

  damaged(index: MessageReceiver, entry: Entry, path: string, offset: number, detail: string): void {
    const what = `message ${entry.sequence} of ${this.nameOf(index.queueId)}`
    this.events.damaged(
      new LeveretError('E_STORAGE_CORRUPT', `${path} at ${offset}: ${what} cannot be read: ${detail}`),
    )
  }

  bodiesWrote(): void {
    this.noteWritten()
  }

  bodiesStalled(): void {
    this.space.stalled()
  }

  bodyDamaged({ path, offset, message }: BodyDamage): void {
    this.events.damaged(
      new LeveretError('E_STORAGE_CORRUPT', `${path} at ${offset}: the body of a message: ${message}`),
    )
  }

  /** How a queue is called, for people. Only for what hardly ever happens: it looks through all of them. */
  private nameOf(queueId: number): string {
    let name = `queue number ${queueId}`
    this.source.durableTopology((record) => {
      if (record.type === 'queue-declared' && record.queueId === queueId) name = `queue '${record.name}'`
    })
    return name
  }

  /** Nobody knows what else is in the queue: nothing can go on. */
  private pageLost(detail: string): void {
    const error = new LeveretError('E_STORAGE_CORRUPT', detail)
    if (this.isLoading) this.pageError ??= error
    else {
      this.fail(error)
      this.log.abort(detail, error)
    }
  }

  private makeIndex(queueId: number, durable: boolean): QueueIndex {
    return new QueueIndex(queueId, durable, this.memory, this)
  }

  writeSettlementsOf(index: QueueIndex): void {
    if (index.settled.isEmpty) return
    const { writer } = this
    writer.length = 0
    writer.u32le(index.queueId)
    writer.u8(0)
    index.settled.encode(writer)
    if (!this.bodyRefs.isEmpty) this.bodyRefs.settled(index.queueId, index.settled.sorted())
    index.settled.clear()
    this.appendWritten(recordTypes.settled)
  }

  private writeSettlements(): void {
    for (const index of this.unwritten) this.writeSettlementsOf(index)
    this.unwritten.length = 0
    this.log.expectsRecords = false
  }

  /** At a clean close without a checkpoint: which of the messages that stay were handed out before. */
  private writeDelivered(): void {
    for (const index of this.indexesById.values()) {
      if (!index.durable) continue
      const delivered = deliveredRanges(index, this.pages)
      if (delivered.isEmpty) continue
      this.writer.length = 0
      this.writer.u32le(index.queueId)
      delivered.encode(this.writer)
      this.appendWritten(recordTypes.delivered)
    }
  }

  /** Gives up sealed segments in which nothing lives and that no checkpoint would want to read. */
  private retireDeadSegments(): void {
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
    if (heldBytes >= heldSegments * this.options.segmentBytesMax) checkpointer.makeSoon()
    for (const segment of log.coldSegments) {
      // One to which records are being moved is empty at first.
      if (segment.live > 0 || !segment.sealed || segment.isRetiring) continue
      if (segment.neededBefore > checkpointer.oldestKeptId) continue
      // Not before what settled its last message is durable: a crash would bring that message back.
      segment.isRetiring = true
      this.dyingCold.push({ segment, lsn: this.barrier() })
    }
    if (dead.length === 0) return
    this.log.retire(dead)
    this.wanted = true
  }

  private appendNote(note: Note): void {
    if (this.isBroken) return
    this.writer.length = 0
    encodeNote(this.writer, note)
    this.appendWritten(recordTypes.note)
  }

  private appendWritten(type: number): void {
    const { log, writer } = this
    const start = log.begin(type, criticalFlag, writer.length)
    copyRange(writer.buffer, 0, writer.length, log.buffer, start)
    log.end(start + writer.length, start + writer.length)
  }
}

/** The log's errors in the words of the public API. */
function translate(error: unknown): Error {
  if (error instanceof ByteReaderError || error instanceof RangeError || error instanceof BrokerError) {
    return new LeveretError('E_STORAGE_CORRUPT', `a record of the log cannot be read: ${error.message}`, error)
  }
  if (error instanceof LogError) return new LeveretError(error.code, error.message, error)
  return error as Error
}
