/**
 * The store that survives: records in one segmented log, acknowledgements as ranges, checkpoints so that what lies before
 * them need not be read again.
 *
 * Publishes are written into the log's open frame as they come (publish-writer.ts), settlements gather until a frame is
 * written (settlement-writer.ts). A sealed segment is deleted once no live message is in it and no checkpoint would have to
 * be completed from it (dead-segments.ts).
 */

import { assert } from '../lib/assert.ts'
import { ByteReaderError } from '../lib/byte-reader.ts'
import { LogError, storageCorrupt } from '../log/log-error.ts'
import type { LogEvents } from '../log/log-options.ts'
import type { LogStart } from '../log/log-start.ts'
import type { Segment } from '../log/segment.ts'
import { SegmentedLog } from '../log/segmented-log.ts'
import type { Durability } from '../model/durability.ts'
import { BrokerError, LeveretError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { Platform } from '../platform/platform.ts'
import { withMessages } from './affected-messages.ts'
import { Bodies, type BodiesOwner } from './bodies.ts'
import type { BodyDamage } from './body-file.ts'
import type { BodyRefs } from './body-refs.ts'
import type { Checkpoint } from './checkpoint-file.ts'
import { knowSegments } from './checkpointed-segments.ts'
import { type CheckpointedStore, Checkpointer } from './checkpointer.ts'
import { type CompactedStore, Compactor } from './compactor.ts'
import { DeadSegments } from './dead-segments.ts'
import { deliveredRanges } from './delivered-ranges.ts'
import { DiskSpace } from './disk-space.ts'
import type { Entry } from './entry.ts'
import { FrameWaiters } from './frame-waiters.ts'
import { Leftovers } from './leftovers.ts'
import { type LogStoreOptions, logOptionsOf } from './log-store-options.ts'
import type { MessageReceiver } from './message-read.ts'
import { type Note, Notes } from './notes.ts'
import { PageFiles } from './page-files.ts'
import { PublishWriter } from './publish-writer.ts'
import { QueueIndex } from './queue-index.ts'
import type { IndexBacking } from './queue-index-backing.ts'
import type { TopologyRecord } from './record.ts'
import { type ReaderEvents, RecordReader } from './record-reader.ts'
import { RecordWriter } from './record-writer.ts'
import { Replay } from './replay.ts'
import { ResidentMemory } from './resident-memory.ts'
import { SettlementWriter } from './settlement-writer.ts'
import type { LoadReport, SnapshotSource, Store, StoreEvents } from './store.ts'
import { StoreSalvage } from './store-salvage.ts'
import { SyncGate } from './sync-gate.ts'

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
  private records!: RecordWriter
  private settlements!: SettlementWriter
  readonly notes: Notes = new Notes((note) => this.appendNote(note))
  readonly bodies: Bodies
  private reader!: RecordReader
  private events!: StoreEvents
  private source!: SnapshotSource
  private checkpointer!: Checkpointer
  private space!: DiskSpace
  private compactor!: Compactor
  private deadSegments!: DeadSegments
  private recovered: Map<number, QueueIndex> = new Map()
  private readonly indexesById: Map<number, QueueIndex> = new Map()
  /** Somebody waits for the open frame: write it even if it holds nothing but settlements. */
  private wanted = false
  private readonly waiters = new FrameWaiters()
  private isStalled = false
  private isLoading = true
  private pageError: Error | null = null
  /** Salvage has changed what a checkpoint said of indexes. */
  private isRepaired = false
  private closing = false
  /** The log has failed and takes no more records. */
  private isBroken = false

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
    try {
      this.log = await SegmentedLog.open(platform, directory, logOptionsOf(this.options), replay, this, findStart)
    } catch (error) {
      throw translate(await withMessages(platform.disk, error, replay.topology))
    }
    try {
      this.beginWriting(this.log)
      this.reader = new RecordReader(this.log, this)
      this.gate = new SyncGate(this.log)
      this.compactor = new Compactor(platform, `${directory}/cold`, this.log, this.pages, this.options, this)
      if (checkpoint !== null) knowSegments(this.log, `${directory}/cold`, checkpoint)
      const { epoch } = this.log.openSegment
      // Without a checkpoint nobody knows what they are for, and salvage throws nothing away.
      const isRescue = this.options.salvage && checkpoint === null
      const leftovers = new Leftovers(platform.disk, isRescue ? `${directory}/quarantine` : null, `${epoch}`)
      const missing = await this.compactor.open(leftovers)
      await this.pages.removeLeftovers(leftovers)
      const salvage = this.options.salvage
        ? new StoreSalvage(platform.disk, directory, this.log, checkpoint, missing)
        : null
      await salvage?.begin(replay, this.bodies)
      const { messages } = replay.finish(epoch, platform.clock.realtimeMs(), this.recovered, salvage)
      this.needPages()
      await this.bodies.load(leftovers)
      for (const segment of missing) if (segment.live > 0) throw storageCorrupt(segment.path, 0, 'the file is missing')
      this.isRepaired = salvage?.hasChangedIndexes === true
      const topology = salvage?.consistent(replay.topology) ?? replay.topology
      for (const record of topology) sink(record)
      // Queues look at their first entries.
      this.needPages()
      this.isLoading = false
      for (const record of salvage?.lostQueues(this.recovered, topology) ?? []) {
        this.appendTopology(record)
        sink(record)
      }
      // Whatever the topology does not know belongs to queues that were deleted.
      for (const index of this.recovered.values()) index.drop()
      this.recovered = new Map()
      await this.checkpointer.begin(this.log, source, leftovers)
      const notes = [...this.log.recovery.notes, ...this.checkpointer.notes, ...(salvage?.notes ?? [])]
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

  private beginWriting(log: SegmentedLog): void {
    const { clock } = this.platform
    this.publishes = new PublishWriter(log)
    this.records = new RecordWriter(log)
    this.settlements = new SettlementWriter(clock, log, this.records, this.bodyRefs, () => this.settlementsOverdue())
    const { segmentBytesMax } = this.options
    this.deadSegments = new DeadSegments(clock, log, this.checkpointer, segmentBytesMax, () => this.barrier())
  }

  appendTopology(record: TopologyRecord): void {
    // When the log has failed the sessions still end, and auto-delete queues with them. Nobody is told that it was stored.
    if (!this.isBroken) this.records.topology(record)
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
    if (this.log.openRecords === 0 && this.settlements.isEmpty) return this.log.openLsn - 1
    this.wanted = true
    return this.log.openLsn
  }

  commit(): void {
    const { log } = this
    if (log.busy || this.isBroken) return
    if (!this.settlements.isEmpty && log.openRecords === 0 && !this.wanted) return
    this.settlements.write()
    this.wanted = false
    if (log.openRecords > 0) log.commit()
  }

  /**
   * Copies what lives out of every segment in which something is dead, and deletes those. Resolves with the bytes given
   * back, once their files are gone.
   */
  async compactAll(): Promise<number> {
    const before = this.log.segmentBytes
    await this.compactor.compactAll()
    // Old segments stay until both checkpoints that are kept were begun after the move.
    for (let count = 0; count < 2; count++) if (!(await this.checkpointer.makeNow())) break
    this.retireDeadSegments()
    const lsn = this.barrier()
    this.commitNow(lsn)
    await this.reached(lsn)
    await this.log.removed()
    return Math.max(0, before - this.log.segmentBytes)
  }

  /** Resolves when the frame is durable; rejects if it never will be. */
  private async reached(lsn: number): Promise<void> {
    if (this.log.durableLsn >= lsn) return
    if (this.isBroken) throw new LeveretError('E_STORAGE_FAILED', `${this.directory}: the storage failed`)
    await this.waiters.add(lsn)
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
    this.settlements.forgetTimer()
    if (this.isBroken) await this.checkpointer.abandon()
    else {
      this.settlements.write()
      // Neither of those that are kept is to name what is damaged.
      if (this.isRepaired) await this.checkpointer.makeNow()
      const isCheckpointed = await this.checkpointer.finish()
      if (!isCheckpointed && !this.isBroken) {
        await this.checkpointer.abandon()
        this.writeDelivered()
        this.records.clean()
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
    this.waiters.durable(lsn)
    this.deadSegments.durable(lsn)
    if (!this.closing && this.deadSegments.isDue()) this.retireDeadSegments()
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
    this.waiters.fail(error)
    this.events.failed(error)
  }

  // What indexes tell.

  settlementsPending(index: QueueIndex): void {
    this.settlements.add(index)
  }

  private settlementsOverdue(): void {
    if (this.closing) return
    this.wanted = true
    this.commit()
  }

  segment(id: number): Segment {
    const segment = this.log.segmentOf(id)
    assert(segment !== null, 'a segment with live entries is there')
    return segment
  }

  purged(index: QueueIndex): void {
    if (!this.isBroken) this.records.purged(index)
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
    this.settlements.writeOf(index)
  }

  /** At a clean close without a checkpoint: which of the messages that stay were handed out before. */
  private writeDelivered(): void {
    for (const index of this.indexesById.values()) {
      if (!index.durable) continue
      const delivered = deliveredRanges(index, this.pages)
      if (!delivered.isEmpty) this.records.delivered(index.queueId, delivered)
    }
  }

  private retireDeadSegments(): void {
    if (this.deadSegments.retire()) this.wanted = true
  }

  private appendNote(note: Note): void {
    if (!this.isBroken) this.records.note(note)
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
