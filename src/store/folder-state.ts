/**
 * What lives in a folder, as a broker that opens it would find: the newest checkpoint, the log after it, every index. It is
 * the broker's own code on a view (folder-view.ts), which nothing that happens here can change. Damage is gone around, as in
 * a salvage, and said.
 */
import { ByteReaderError } from '../lib/byte-reader.ts'
import { recordOffset } from '../log/frame.ts'
import { type LogEvents, type LogOptions, logOptionsDefault } from '../log/log-options.ts'
import type { LogStart } from '../log/log-start.ts'
import type { RecoveryReport } from '../log/recovery.ts'
import type { Segment } from '../log/segment.ts'
import { SegmentedLog } from '../log/segmented-log.ts'
import { BrokerError } from '../model/errors.ts'
import type { Residence } from '../model/message.ts'
import type { Platform } from '../platform/platform.ts'
import { BodyRefs } from './body-refs.ts'
import { knowSegments } from './checkpointed-segments.ts'
import type { FolderView } from './folder-view.ts'
import type { IndexPage } from './index-page.ts'
import { Notes } from './notes.ts'
import { PageFiles } from './page-files.ts'
import { QueueIndex } from './queue-index.ts'
import type { IndexBacking } from './queue-index-backing.ts'
import type { TopologyRecord } from './record.ts'
import { Replay } from './replay.ts'
import { ResidentMemory } from './resident-memory.ts'

/** Nothing is written, so nothing can be let go of: an entry takes a byte or two. */
const pageOptions = { pageBytesMax: Number.POSITIVE_INFINITY, pageFileBytesMax: 1 } as const
const logOptions: LogOptions = { ...logOptionsDefault, segmentBytesMax: 1, salvage: true, readsOnly: true }

/** A message that can no longer be read may have been the last of its queue. */
const sequencesAhead = 1_000_000

export interface FolderQueue {
  readonly queueId: number
  readonly virtualHost: string
  readonly name: string
  readonly index: QueueIndex
}

export class FolderState implements IndexBacking, LogEvents {
  readonly view: FolderView
  readonly pages: PageFiles
  readonly gate = null
  readonly bodyRefs = null
  log!: SegmentedLog
  clean = true
  messages = 0
  /** In the order in which they were declared. */
  queues: FolderQueue[] = []
  /** Pages that cannot be read, and why. */
  readonly unreadable: string[] = []
  /** The first record that cannot be understood; what comes behind it is not known. */
  unknown: UnknownRecord | null = null
  /** Which messages have their body in a file. */
  readonly bodies: BodyRefs = BodyRefs.reading()
  private readonly memory = new ResidentMemory(Number.MAX_SAFE_INTEGER)
  private readonly names = new Map<number, string>()
  private readonly missing = new Map<number, Residence>()

  private constructor(platform: Platform, view: FolderView) {
    this.view = view
    this.pages = new PageFiles(platform, `${view.directory}/idx`, pageOptions, (detail) => this.unreadable.push(detail))
  }

  /** Rejects with E_FORMAT_UNSUPPORTED, and E_STORAGE_CORRUPT if there is nothing to begin with. */
  static async load(platform: Platform, from: FolderView): Promise<FolderState> {
    const view = from.fork()
    const seen = view.platform(platform)
    const state = new FolderState(seen, view)
    await state.read(seen)
    return state
  }

  get report(): RecoveryReport {
    return this.log.recovery
  }

  /** How a queue is called, for people. */
  nameOf(queueId: number): string {
    return this.names.get(queueId) ?? `queue number ${queueId}, which was deleted`
  }

  /** Whether the queue is there and perhaps had that message: a flipped bit makes other numbers. */
  isKnown(queueId: number, sequence: number): boolean {
    const queue = this.queues.find((one) => one.queueId === queueId)
    return queue !== undefined && sequence < queue.index.nextSequence + sequencesAhead
  }

  /** The pages of a queue with the numbers of their lanes, and what they hold; those that cannot be read are left out. */
  *pagesOf(index: QueueIndex): Generator<{ page: IndexPage; bytes: Buffer; lane: number }> {
    const all: { page: IndexPage; lane: number }[] = []
    index.lanes.forEach(({ backlog, number }) => backlog?.forEachPage((page) => all.push({ page, lane: number })))
    for (const { page, lane } of all) {
      const bytes = this.pages.need(page)
      if (bytes !== null) yield { page, bytes, lane }
    }
  }

  async close(): Promise<void> {
    await this.pages.close()
    await this.log.close()
  }

  private async read(platform: Platform): Promise<void> {
    const { view } = this
    const replay = new Replay(
      (queueId) => new QueueIndex(queueId, true, this.memory, this),
      new Notes(null),
      this.bodies,
    )
    const checkpoint = view.checkpoint?.checkpoint ?? null
    const findStart = async (): Promise<LogStart | null> => {
      await this.pages.open()
      if (checkpoint === null) return null
      await this.pages.adopt(checkpoint.pageFiles)
      replay.begin(checkpoint, view.checkpoints[0] !== view.checkpoint)
      return checkpoint.start
    }
    const careful = new CarefulSink(replay)
    this.log = await SegmentedLog.open(platform, view.directory, logOptions, careful, this, findStart)
    this.unknown = careful.error
    if (checkpoint !== null) knowSegments(this.log, `${view.directory}/cold`, checkpoint)
    const recovered = new Map<number, QueueIndex>()
    replay.finish(this.log.openSegment.epoch, platform.clock.realtimeMs(), recovered)
    this.clean = replay.clean
    this.applyTopology(replay.topology, recovered)
  }

  private applyTopology(topology: readonly TopologyRecord[], recovered: ReadonlyMap<number, QueueIndex>): void {
    const queues = new Map<number, FolderQueue>()
    for (const record of topology) {
      if (record.type === 'queue-deleted') queues.delete(record.queueId)
      if (record.type !== 'queue-declared') continue
      const { queueId, virtualHost, name } = record
      const index = recovered.get(queueId) ?? new QueueIndex(queueId, true, this.memory, this)
      queues.set(queueId, { queueId, virtualHost, name, index })
      this.names.set(queueId, virtualHost === '/' ? name : `${name} of ${virtualHost}`)
    }
    this.queues = [...queues.values()]
    for (const [queueId, index] of recovered) if (!queues.has(queueId)) index.drop()
    for (const { index } of this.queues) this.messages += index.readyCount
  }

  // What indexes ask.

  segment(id: number): Segment {
    const known = this.log.segmentOf(id) ?? this.missing.get(id)
    if (known !== undefined) return known as Segment
    const missing = { id, live: 0, references: 0 }
    this.missing.set(id, missing)
    return missing as Segment
  }

  settlementsPending(): void {}
  purged(): void {}
  fetch(): void {}

  overflow(): boolean {
    return false
  }

  // What the log tells: it does nothing here that it could tell of.

  durable(): void {}

  written(): void {}
  stalled(): void {}
  resumed(): void {}
  failed(): void {}
}

/** A record that cannot be understood although its checksum is right. */
interface UnknownRecord {
  readonly path: string
  readonly offset: number
  readonly detail: string
}

/** Stops at the first of those. */
class CarefulSink {
  error: UnknownRecord | null = null
  private readonly replay: Replay

  constructor(replay: Replay) {
    this.replay = replay
  }

  record(...record: Parameters<Replay['record']>): void {
    if (this.error !== null) return
    try {
      this.replay.record(...record)
    } catch (error) {
      const isOurs = error instanceof ByteReaderError || error instanceof RangeError || error instanceof BrokerError
      if (!isOurs) throw error
      const [, , buffer, payloadStart, , , segment] = record
      const offset = recordOffset(buffer, payloadStart)
      this.error = { path: segment.path, offset, detail: `a record cannot be understood: ${error.message}` }
    }
  }

  frameEnd(): void {
    if (this.error === null) this.replay.frameEnd()
  }
}
