/**
 * The store that survives: records in one segmented log, acknowledgements as ranges, a snapshot when segments can go.
 *
 * Publishes are written into the log's open frame as they come. Settlements gather per queue and become one record per
 * queue when a frame is written; if nothing else is to be written they wait up to `ackDelayMs` for company. Once a sealed
 * segment has no live message left, a snapshot of all that lives is appended and the segment is deleted when that is
 * durable: see record.ts for why nothing else in it is needed then.
 */
import { ByteReaderError } from '../lib/byte-reader.ts'
import { ByteWriter } from '../lib/byte-writer.ts'
import { copyRange } from '../lib/copy-range.ts'
import { LogError } from '../log/log-error.ts'
import type { Segment } from '../log/segment.ts'
import { type LogEvents, type LogOptions, SegmentedLog } from '../log/segmented-log.ts'
import { BrokerError, LeveretError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Message } from '../model/message.ts'
import type { Platform } from '../platform/platform.ts'
import type { Entry } from './entry.ts'
import { QueueIndex, type SettlementListener } from './queue-index.ts'
import { RangeList } from './range-list.ts'
import { criticalFlag, encodeTopology, recordTypes, routeBytes, type TopologyRecord } from './record.ts'
import { Replay } from './replay.ts'
import type { LoadReport, SnapshotSource, Store, StoreEvents } from './store.ts'

export interface LogStoreOptions {
  readonly segmentBytesMax: number
  /** Skip what is corrupt, and say so, instead of refusing the folder. */
  readonly salvage: boolean
}

export class LogStore implements Store, SettlementListener, LogEvents {
  readonly persists = true
  private readonly platform: Platform
  private readonly directory: string
  private readonly options: LogStoreOptions
  private log!: SegmentedLog
  private events!: StoreEvents
  private source!: SnapshotSource
  private recovered: Map<number, QueueIndex> = new Map()
  private readonly indexes: Map<number, QueueIndex> = new Map()
  /** Indexes with settlements that are not in the log yet. */
  private unwritten: QueueIndex[] = []
  private ackTimer: (() => void) | null = null
  /** Somebody waits for the open frame: write it even if it holds nothing but settlements. */
  private wanted = false
  /** The frame whose durability ends the snapshot under way; 0 = none is. */
  private snapshotLsn = 0
  /** What the last snapshot took. */
  private snapshotBytes = 0
  private closing = false
  /** The log has failed and takes no more records. */
  private isBroken = false
  private readonly writer = new ByteWriter(256)
  /** Exchange and routing key of the last publish as the record has them; publishers repeat themselves. */
  private readonly names = Buffer.alloc(2 + 2 * 255)
  private namesBytes = 0
  private namesExchange: string | null = null
  private namesKey = ''
  /** Where the route being added goes, and the message of the publish under way. */
  private at = 0
  private message: Message | null = null
  private routeCount = 0

  constructor(platform: Platform, directory: string, options: LogStoreOptions) {
    this.platform = platform
    this.directory = directory
    this.options = options
  }

  get openLsn(): number {
    return this.log.openLsn
  }

  get durableLsn(): number {
    return this.log.durableLsn
  }

  get unsyncedBytes(): number {
    return this.log.unsyncedBytes
  }

  async load(sink: (record: TopologyRecord) => void, events: StoreEvents, source: SnapshotSource): Promise<LoadReport> {
    this.events = events
    this.source = source
    const replay = new Replay()
    const options: LogOptions = {
      segmentBytesMax: this.options.segmentBytesMax,
      salvage: this.options.salvage,
      idleSyncedMs: 1_000,
      retryMs: 1_000,
    }
    try {
      this.log = await SegmentedLog.open(this.platform, this.directory, options, replay, this)
    } catch (error) {
      throw translate(error)
    }
    try {
      const { epoch } = this.log.openSegment
      const { messages } = replay.finish(epoch, (queueId) => this.makeIndex(queueId), this.recovered)
      for (const record of replay.topology) sink(record)
      // Whatever the topology does not know belongs to queues that were deleted.
      for (const index of this.recovered.values()) index.drop()
      this.recovered = new Map()
      const notes = [...this.log.recovery.notes, ...replay.notes]
      return { nextQueueId: replay.nextQueueId, messages, clean: replay.clean, notes }
    } catch (error) {
      await this.log.close()
      throw translate(error)
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
    if (!durable) return new QueueIndex(queueId, null)
    let index = this.recovered.get(queueId)
    if (index === undefined) index = this.makeIndex(queueId)
    else this.recovered.delete(queueId)
    this.indexes.set(queueId, index)
    return index
  }

  dropIndex(queueId: number): void {
    this.indexes.get(queueId)?.drop()
    this.indexes.delete(queueId)
  }

  beginPublish(message: Message, routeCount: number): void {
    if (message.exchange !== this.namesExchange || message.routingKey !== this.namesKey) this.writeNames(message)
    const { log, namesBytes } = this
    const bytesMax = namesBytes + 4 + routeCount * routeBytes + message.contentBytes
    const start = log.begin(recordTypes.publish, criticalFlag, bytesMax)
    copyRange(this.names, 0, namesBytes, log.buffer, start)
    this.at = writeU32(log.buffer, start + namesBytes, routeCount)
    this.message = message
    this.routeCount = routeCount
  }

  addRoute(queueId: number, sequence: number): void {
    const { buffer } = this.log
    const at = writeU32(buffer, this.at, queueId)
    writeU32(buffer, at, sequence >>> 0)
    const high = Math.floor(sequence / 4294967296)
    buffer[at + 4] = high & 255
    buffer[at + 5] = high >>> 8
    buffer[at + 6] = 0
    buffer[at + 7] = 0
    this.at = at + 8
  }

  endPublish(): void {
    const { log } = this
    const message = this.message as Message
    const { source, propertiesStart, propertiesEnd, bodyStart, bodyEnd } = message
    const headerEnd = this.at + propertiesEnd - propertiesStart
    copyRange(source, propertiesStart, propertiesEnd, log.buffer, this.at)
    copyRange(source, bodyStart, bodyEnd, log.buffer, headerEnd)
    const segment = log.openSegment
    segment.live += this.routeCount
    message.residence = segment
    log.end(headerEnd, headerEnd + bodyEnd - bodyStart)
    this.message = null
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

  async announce(addresses: readonly string[]): Promise<void> {
    await this.log.setAddresses([...addresses])
  }

  async close(): Promise<void> {
    this.closing = true
    this.ackTimer?.()
    this.ackTimer = null
    if (!this.isBroken) {
      this.writeSettlements()
      this.writeDelivered()
      this.writer.length = 0
      this.writer.varint(this.log.openSegment.epoch)
      this.appendWritten(recordTypes.clean)
    }
    try {
      await this.log.close()
    } catch (error) {
      throw translate(error)
    }
  }

  // What the log tells.

  durable(lsn: number): void {
    if (this.snapshotLsn !== 0 && lsn >= this.snapshotLsn) this.snapshotLsn = 0
    this.events.durable(lsn)
    if (!this.closing) this.dropDeadSegments()
    this.commit()
  }

  stalled(error: Error): void {
    this.events.stalled(error)
  }

  resumed(): void {
    this.events.resumed()
  }

  failed(error: LogError): void {
    this.isBroken = true
    this.events.failed(translate(error))
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

  private makeIndex(queueId: number): QueueIndex {
    return new QueueIndex(queueId, this)
  }

  private writeSettlements(): void {
    const { unwritten, writer } = this
    for (const index of unwritten) {
      if (index.settled.isEmpty) continue
      writer.length = 0
      writer.u32le(index.queueId)
      writer.u8(0)
      index.settled.encode(writer)
      index.settled.clear()
      this.appendWritten(recordTypes.settled)
    }
    unwritten.length = 0
    this.log.expectsRecords = false
  }

  /** At a clean close: which of the messages that stay were handed out before. */
  private writeDelivered(): void {
    for (const index of this.indexes.values()) {
      const delivered = new RangeList()
      index.forEachReady((entry) => {
        if (entry.logged && entry.deliveryCount > 0) delivered.add(entry.sequence)
      })
      if (delivered.isEmpty) continue
      this.writer.length = 0
      this.writer.u32le(index.queueId)
      delivered.encode(this.writer)
      this.appendWritten(recordTypes.delivered)
    }
  }

  /**
   * Deletes sealed segments in which nothing lives, after a snapshot that makes the rest of them unnecessary. The snapshot
   * is dead itself when its segment is sealed, so there must be more to gain than it costs: where a million queues are to
   * be remembered, every frame would bring another.
   */
  private dropDeadSegments(): void {
    if (this.snapshotLsn !== 0) return
    const dead: Segment[] = []
    let bytes = 0
    for (const segment of this.log.segments) {
      if (!segment.isRetirable) continue
      dead.push(segment)
      bytes += segment.bytes
    }
    if (dead.length === 0 || bytes < 2 * this.snapshotBytes) return
    this.writeSnapshot()
    this.log.retire(dead)
    this.snapshotLsn = this.log.openLsn
    this.wanted = true
  }

  /** Everything that lives, in one frame: what is settled and not yet written needs no record of its own any more. */
  private writeSnapshot(): void {
    const { log, writer } = this
    const start = log.openOffset
    writer.length = 0
    writer.varint(this.source.nextQueueId())
    this.appendWritten(recordTypes.snapshot)
    this.source.durableTopology((record) => this.appendTopology(record))
    const live = new Map<number, RangeList>()
    for (const index of this.indexes.values()) {
      const ranges = new RangeList()
      index.forEachReady((entry) => addLive(ranges, entry))
      index.settled.clear()
      live.set(index.queueId, ranges)
    }
    this.unwritten.length = 0
    this.source.unacked((queueId, entry) => {
      const ranges = live.get(queueId)
      if (ranges !== undefined) addLive(ranges, entry)
    })
    for (const [queueId, ranges] of live) {
      writer.length = 0
      writer.u32le(queueId)
      writer.varint((this.indexes.get(queueId) as QueueIndex).nextSequence)
      ranges.encode(writer)
      this.appendWritten(recordTypes.live)
    }
    this.snapshotBytes = log.openOffset - start
  }

  private appendWritten(type: number): void {
    const { log, writer } = this
    const start = log.begin(type, criticalFlag, writer.length)
    copyRange(writer.buffer, 0, writer.length, log.buffer, start)
    log.end(start + writer.length, start + writer.length)
  }

  private writeNames(message: Message): void {
    const { names } = this
    const exchangeBytes = names.write(message.exchange, 1, 255, 'utf8')
    names[0] = exchangeBytes
    const keyBytes = names.write(message.routingKey, 2 + exchangeBytes, 255, 'utf8')
    names[1 + exchangeBytes] = keyBytes
    this.namesBytes = 2 + exchangeBytes + keyBytes
    this.namesExchange = message.exchange
    this.namesKey = message.routingKey
  }
}

function addLive(ranges: RangeList, entry: Entry): void {
  if (entry.logged) ranges.add(entry.sequence)
}

function writeU32(buffer: Buffer, at: number, value: number): number {
  buffer[at] = value & 255
  buffer[at + 1] = (value >>> 8) & 255
  buffer[at + 2] = (value >>> 16) & 255
  buffer[at + 3] = value >>> 24
  return at + 4
}

/** The log's errors in the words of the public API. */
function translate(error: unknown): Error {
  if (error instanceof ByteReaderError || error instanceof RangeError || error instanceof BrokerError) {
    return new LeveretError('E_STORAGE_CORRUPT', `a record of the log cannot be read: ${error.message}`, error)
  }
  if (error instanceof LogError) return new LeveretError(error.code, error.message, error)
  return error as Error
}
