/**
 * Makes checkpoints (checkpoint-file.ts): when enough was appended to the log, when time has passed, and at the end.
 *
 *     look at queues, a few milliseconds at a time → write their pages → pages durable, frames durable
 *       → file under a temporary name, durable → its name → the one before the last goes, and with it what only it needed
 *
 * The broker works on meanwhile. What was looked at is told as it was then; the log's records after that are applied to it.
 */
import { coldNumberOf } from '../log/cold-segment.ts'
import type { Segment } from '../log/segment.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import { isSystemError } from '../log/small-file.ts'
import type { Disk, DiskFile } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'
import type { BodyRefs } from './body-refs.ts'
import {
  type Checkpoint,
  CheckpointEncoder,
  type ColdFacts,
  checkpointIdOf,
  checkpointName,
  decodeCheckpoint,
  type LogPosition,
} from './checkpoint-file.ts'
import { firstDelayedLane, ttlOf } from './delay-wheel.ts'
import type { Entry } from './entry.ts'
import { blankEntry, IndexPage } from './index-page.ts'
import type { Lane } from './lane.ts'
import type { Leftovers } from './leftovers.ts'
import type { Notes } from './notes.ts'
import { Pace, type PaceOptions } from './pace.ts'
import type { PageFiles } from './page-files.ts'
import type { QueueIndex } from './queue-index.ts'
import type { TopologyRecord } from './record.ts'
import type { SnapshotSource } from './store.ts'

export interface CheckpointOptions extends PaceOptions {
  /** Bytes of log after which there is another checkpoint. */
  readonly checkpointBytes: number
  /** Time after which there is another one if anything was appended. */
  readonly checkpointMs: number
  /** Time between two that are made for the room they give back. */
  readonly checkpointSoonMs: number
}

/** The store whose checkpoints these are. */
export interface CheckpointedStore {
  readonly indexes: Iterable<QueueIndex>
  readonly notes: Notes
  readonly bodyRefs: BodyRefs
  /** The log is neither stalled nor broken. */
  readonly takesWrites: boolean
  /** Writes the settlements of an index that the log has not heard of. */
  writeSettlementsOf(index: QueueIndex): void
  /** Sees to it that this frame, perhaps the open one, becomes durable although nothing else happens. */
  commitNow(lsn: number): void
  /** A checkpoint has taken its place. */
  checkpointed(): void
  /** Nobody knows what is durable, or what is so: nothing can go on. */
  broken(detail: string, error: unknown): void
}

const writeBytesMax = 262_144
/** A page that is being filled is told of as it is; from this size on it is closed and goes to a file. */
const openPageBytesMax = 8_192
/** So many first pages of a queue are told of as they were, whatever happens to them meanwhile. */
const frozenPagesMax = 256
const entriesPerSlice = 8_192

interface Kept {
  readonly id: number
  readonly startId: number
  readonly pageFiles: readonly number[]
}

interface CapturedLane {
  readonly number: number
  readonly entries: Entry[]
  /** Pages and what they were when they were looked at; the same object where that cannot change. */
  readonly pages: IndexPage[]
  readonly frozen: IndexPage[]
}

interface CapturedQueue {
  readonly queueId: number
  readonly position: LogPosition
  readonly nextSequence: number
  readonly suspectBelow: number
  readonly mayExpire: boolean
  readonly lanes: CapturedLane[]
}

class Abandoned extends Error {}

function captureLane(lane: Lane): CapturedLane {
  // The log takes nothing: then what came late has no place, and there is no checkpoint either.
  if (lane.hasNewcomers) throw new Abandoned()
  const captured: CapturedLane = { number: lane.number, entries: [], pages: [], frozen: [] }
  lane.forEachEntry((entry) => {
    if (entry.logged) captured.entries.push(entry)
  })
  lane.backlog?.forEachPage((page) => {
    const isOpen = !page.isClosed && page.usedBytes < openPageBytesMax
    if (!isOpen) page.isClosed = true
    const mayChange = isOpen || page.place === null || captured.pages.length < frozenPagesMax
    captured.frozen.push(mayChange ? page.freeze(isOpen) : page)
    captured.pages.push(page)
  })
  return captured
}

/** Adds pages that tell of `entries[from, to)`, which are in the order of their sequences. */
function packEntries(queueId: number, entries: readonly Entry[], from: number, to: number, into: IndexPage[]): void {
  const told = blankEntry()
  let page = new IndexPage(queueId)
  for (let at = from; at < to; at++) {
    if (page.isFull) {
      into.push(page)
      page = new IndexPage(queueId)
    }
    const entry = entries[at] as Entry
    if (entry.place === null && entry.message !== null) entry.settleAt(entry.message)
    told.sequence = entry.sequence
    told.segmentId = entry.segment?.id ?? 0
    told.offset = entry.offset
    told.recordBytes = entry.recordBytes
    told.bodyBytes = entry.bodyBytes
    // What is due and not yet published anew is hidden; see DelayWheel for what pages say of that.
    told.deliveryCount = entry.dueAt > 0 ? ttlOf(entry.dueAt, entry.expiresAt) : entry.deliveryCount
    told.expiresAt = entry.dueAt > 0 ? entry.dueAt : entry.expiresAt
    told.keyHash = entry.keyHash
    page.add(told)
  }
  if (page.count > 0) into.push(page)
}

function coldFactsOf({ id, epoch, salt, bytes, references }: Segment): ColdFacts {
  return { number: coldNumberOf(id), epoch, salt, bytes, references }
}

function topologyOf(source: SnapshotSource): TopologyRecord[] {
  const records: TopologyRecord[] = []
  source.durableTopology((record) => records.push(record))
  return records
}

export class Checkpointer {
  /** Why the newest checkpoint was not used, if it was not. */
  readonly notes: string[] = []
  /** A damaged checkpoint was passed over, so what the last life said at its end is not known. */
  isOutdated = false
  private readonly platform: Platform
  private readonly disk: Disk
  private readonly directory: string
  private readonly options: CheckpointOptions
  private readonly pages: PageFiles
  private readonly store: CheckpointedStore
  private log!: SegmentedLog
  private source!: SnapshotSource
  /** Oldest first. */
  private kept: Kept[] = []
  private unusable: string[] = []
  nextId = 1
  private running: Promise<boolean> | null = null
  private isAbandoned = false
  private isHeld = false
  private cancelTimer: (() => void) | null = null
  private bytesAtStart = 0
  private landingsAtStart = 0
  private lastBytes = 0
  private endedMs: number
  /** The timer stands for a checkpoint that is to give room back. */
  private isSoon = false
  private waiting: { lsn: number; done: () => void } | null = null

  constructor(
    platform: Platform,
    directory: string,
    options: CheckpointOptions,
    pages: PageFiles,
    store: CheckpointedStore,
  ) {
    this.platform = platform
    this.disk = platform.disk
    this.directory = directory
    this.options = options
    this.pages = pages
    this.store = store
    this.endedMs = platform.clock.monotonicMs()
  }

  /** The newest checkpoint that is whole; null if there is none. */
  async read(): Promise<Checkpoint | null> {
    await this.disk.makeDirectory(this.directory)
    const names = await this.disk.list(this.directory)
    let newest: Checkpoint | null = null
    for (const name of names.reverse()) {
      const id = checkpointIdOf(name)
      if (id === 0) {
        this.unusable.push(name)
        continue
      }
      this.nextId = Math.max(this.nextId, id + 1)
      const checkpoint = this.kept.length === 2 ? null : decodeCheckpoint(await this.readFile(name))
      // Or it would be taken for whole once there are others with these numbers.
      if (checkpoint !== null) this.pages.avoid(checkpoint.pageFiles)
      if (checkpoint === null || !checkpoint.pageFiles.every((file) => this.pages.has(file))) {
        this.unusable.push(name)
        if (this.kept.length === 0) this.isOutdated = true
        if (this.kept.length < 2) this.notes.push(`${this.directory}/${name} is damaged and was not used`)
        continue
      }
      const { start, pageFiles } = checkpoint
      this.kept.unshift({ id, startId: start.segments.at(-1)?.id ?? 0, pageFiles })
      newest ??= checkpoint
    }
    if (newest === null) this.isOutdated = false
    for (const { pageFiles } of this.kept) {
      await this.pages.adopt(pageFiles)
      this.pages.name(pageFiles)
    }
    return newest
  }

  /** Recovery is done. */
  async begin(log: SegmentedLog, source: SnapshotSource, leftovers: Leftovers): Promise<void> {
    this.log = log
    this.source = source
    for (const name of this.unusable.splice(0)) await leftovers.take(this.directory, name)
    // What had to be replayed would have to be once more.
    this.bytesAtStart = -log.recovery.bytes
    this.landingsAtStart = -1
    if (this.isWanted) this.startTimer()
  }

  /** The first segment that one of the kept checkpoints may want to read: those before it are only read for what lives. */
  get neededFromId(): number {
    return this.kept.length < 2 ? 0 : (this.kept[0] as Kept).startId
  }

  /** The older of the checkpoints that are kept; 0 as long as there are not two. */
  get oldestKeptId(): number {
    return this.kept.length < 2 ? 0 : (this.kept[0] as Kept).id
  }

  /** Something is not where the last checkpoint says: there is to be another, sooner or later. */
  wantAnother(): void {
    this.landingsAtStart = -1
    if (this.running === null && this.cancelTimer === null && !this.isAbandoned) this.startTimer()
  }

  /** Waits for the one that is being made, and makes no other until `release`; false if no more are made at all. */
  async hold(): Promise<boolean> {
    while (this.running !== null) await this.running
    this.isHeld = !this.isAbandoned
    return this.isHeld
  }

  release(): void {
    this.isHeld = false
    this.durable(0)
  }

  /** A frame is durable. */
  durable(lsn: number): void {
    const { waiting } = this
    if (waiting !== null && lsn >= waiting.lsn) {
      this.waiting = null
      waiting.done()
    }
    if (this.running !== null || this.isAbandoned || this.isHeld) return
    const wanted = Math.max(this.options.checkpointBytes, 4 * this.lastBytes)
    if (this.log.landedBytes - this.bytesAtStart >= wanted) void this.run(false)
    else if (this.cancelTimer === null && this.isWanted) this.startTimer()
  }

  /** Makes one at once, after the one that is being made; false if it did not work. */
  async makeNow(): Promise<boolean> {
    while (this.running !== null) await this.running
    return this.isAbandoned || this.isHeld ? false : this.run(false)
  }

  /** Makes one now, or a while after the last one if that was just made, or the folder just opened. */
  makeSoon(): void {
    if (this.running !== null || this.isAbandoned || this.isHeld || this.isSoon) return
    this.isSoon = true
    this.startTimer(Math.max(0, this.endedMs + this.options.checkpointSoonMs - this.platform.clock.monotonicMs()))
  }

  /** No checkpoint is begun any more; one that is being made is given up. */
  async abandon(): Promise<void> {
    this.giveUp()
    await this.running
  }

  /** As `abandon`, without waiting for the one that is being made. */
  giveUp(): void {
    this.isAbandoned = true
    this.cancelTimer?.()
    this.cancelTimer = null
    const { waiting } = this
    this.waiting = null
    waiting?.done()
  }

  /** The last one, of a broker in which nothing happens any more; false if it did not work. */
  async finish(): Promise<boolean> {
    await this.abandon()
    // It may have failed or stalled meanwhile: then nothing would ever become durable.
    if (!this.store.takesWrites) return false
    this.isAbandoned = false
    const worked = await this.run(true)
    this.isAbandoned = true
    return worked
  }

  /** An idle broker makes none: there is a timer only as long as there is something to tell. */
  private startTimer(ms = this.options.checkpointMs): void {
    this.cancelTimer?.()
    this.cancelTimer = this.platform.clock.setTimer(ms, () => {
      this.cancelTimer = null
      this.isSoon = false
      if (this.running !== null || this.isAbandoned) return
      // While it is held the next durable frame, or the release, starts the timer again.
      if (this.isWanted && !this.isHeld) void this.run(false)
    })
  }

  private get isWanted(): boolean {
    return this.log.landings > this.landingsAtStart || this.holdsDead()
  }

  /** Whether there are segments that only the older of the two checkpoints keeps. */
  private holdsDead(): boolean {
    const { startId, id } = this.kept.at(-1) ?? { startId: 0, id: 0 }
    return this.log.segments.some(
      (segment) => segment.id < startId && segment.neededBefore <= id && segment.isRetirable && !this.isFree(segment),
    )
  }

  /** Whether no checkpoint that is kept would read a segment in which nothing lives. */
  isFree(segment: Segment): boolean {
    return segment.id < this.neededFromId && segment.neededBefore <= this.oldestKeptId
  }

  private run(isFinal: boolean): Promise<boolean> {
    this.bytesAtStart = this.log.landedBytes
    this.landingsAtStart = this.log.landings
    this.cancelTimer?.()
    this.cancelTimer = null
    this.isSoon = false
    this.pages.hold()
    const running = this.write(isFinal).then(
      () => true,
      (error: unknown) => {
        // The disk is full, or it is not wanted any more. Anything else is a fault of our own.
        if (!(error instanceof Abandoned) && !isSystemError(error)) this.store.broken('a checkpoint failed', error)
        return false
      },
    )
    this.running = running.then((worked) => {
      this.running = null
      this.endedMs = this.platform.clock.monotonicMs()
      this.pages.release()
      // There is as much to tell as before.
      if (!worked) this.landingsAtStart = -1
      if (worked) this.store.checkpointed()
      if (this.cancelTimer === null && !this.isAbandoned && !isFinal && this.isWanted) this.startTimer()
      return worked
    })
    return this.running
  }

  private async write(isFinal: boolean): Promise<void> {
    const id = this.nextId++
    const path = `${this.directory}/${checkpointName(id)}`
    const temporary = `${path}.tmp`
    const file = await this.disk.open(temporary, 'create')
    let filled: Kept
    try {
      filled = await this.fill(file, id, isFinal)
      await file.close()
    } catch (error) {
      await file.close().catch(() => {})
      await this.disk.remove(temporary).catch(() => {})
      throw error
    }
    // From here on it may be there, whatever else fails, and what it names must be there with it.
    this.pages.name(filled.pageFiles)
    await this.disk.rename(temporary, path)
    await this.syncOrBreak(() => this.disk.syncDirectory(this.directory))
    this.kept.push(filled)
    if (this.kept.length > 2) await this.letGo(this.kept.shift() as Kept)
  }

  /** Errors do not matter: the next opening takes away what is too much. */
  private async letGo({ id, pageFiles }: Kept): Promise<void> {
    await this.disk.remove(`${this.directory}/${checkpointName(id)}`).catch(() => {})
    this.pages.unname(pageFiles)
  }

  private async fill(file: DiskFile, id: number, isFinal: boolean): Promise<Kept> {
    const { log, source } = this
    await log.needStart()
    this.checkWanted()
    // From here to the topology nothing may come between.
    const encoder = new CheckpointEncoder(id)
    const { start } = log
    const { epoch } = log.openSegment
    let last = this.position()
    encoder.start(start, last, source.nextQueueId(), epoch, isFinal)
    const indexes = [...this.store.indexes].filter((index) => index.durable)
    encoder.topology(topologyOf(source))
    const notes = this.store.notes.logged()
    const { nextId: nextBodyId } = this.store.bodyRefs
    const bodies = this.store.bodyRefs.logged()
    let written = 0
    const flush = async (): Promise<void> => {
      const part = encoder.take()
      await file.write(part, 0, part.length, written)
      written += part.length
    }
    const pageFiles = new Set<number>()
    const pace = new Pace(this.platform, this.options)
    const rest = async (): Promise<void> => {
      await pace.rest()
      this.checkWanted()
    }
    for (let at = 0; at < notes.length; at += entriesPerSlice) {
      encoder.notes(notes.slice(at, at + entriesPerSlice))
      await rest()
      if (encoder.bytes >= writeBytesMax) await flush()
    }
    for (let at = 0; at < bodies.length || (at === 0 && nextBodyId > 1); at += entriesPerSlice) {
      encoder.bodies(nextBodyId, bodies.slice(at, at + entriesPerSlice))
      await rest()
      if (encoder.bytes >= writeBytesMax) await flush()
    }
    for (const index of indexes) {
      await rest()
      if (index.isDropped) {
        // The topology above has the queue, so its deletion must be durable before this counts: its messages are not in here.
        last = this.position()
        continue
      }
      const captured = this.capture(index)
      last = captured.position
      for (const { pages, frozen } of captured.lanes) await this.pages.store(pages, frozen)
      await this.encode(encoder, captured, pageFiles, rest)
      if (encoder.bytes >= writeBytesMax) await flush()
    }
    await this.reached(last)
    encoder.cold([...log.coldSegments].map(coldFactsOf))
    encoder.finish(log.durableLsn, [...pageFiles])
    await flush()
    await this.syncOrBreak(() => this.pages.sync())
    await this.syncOrBreak(() => file.sync())
    this.checkWanted()
    this.lastBytes = written
    return { id, startId: start.segments.at(-1)?.id ?? 0, pageFiles: [...pageFiles] }
  }

  /** Up to here the log's open frame is a part of what is told. */
  private position(): LogPosition {
    return { lsn: this.log.openLsn, records: this.log.openRecordCount }
  }

  /** Looks at a queue, at one moment. */
  private capture(index: QueueIndex): CapturedQueue {
    index.settleNewcomers()
    this.store.writeSettlementsOf(index)
    if (index.lanes.hasUnplaced) throw new Abandoned()
    const lanes: CapturedLane[] = []
    index.lanes.forEach((lane) => lanes.push(captureLane(lane)))
    // What consumers hold, and what waits for its key, goes in front of its lane.
    const [first] = lanes
    const note = (entry: Entry): void => {
      if (!entry.logged) return
      const number = entry.dueAt > 0 ? firstDelayedLane(entry.priority) : entry.priority
      const lane = lanes.find((one) => one.number === number)
      if (lane === undefined && entry.dueAt > 0) lanes.push({ number, entries: [entry], pages: [], frozen: [] })
      else (lane ?? first)?.entries.push(entry)
    }
    index.forEachOutside(note)
    const { queueId, nextSequence, suspectBelow, mayExpire } = index
    return { queueId, position: this.position(), nextSequence, suspectBelow, mayExpire, lanes }
  }

  private async encode(
    encoder: CheckpointEncoder,
    { queueId, position, nextSequence, suspectBelow, mayExpire, lanes }: CapturedQueue,
    pageFiles: Set<number>,
    rest: () => Promise<void>,
  ): Promise<void> {
    encoder.beginQueue(queueId, position, nextSequence, suspectBelow, mayExpire, lanes.length)
    for (const { number, entries, pages, frozen } of lanes) {
      const loose: IndexPage[] = []
      entries.sort((left, right) => left.sequence - right.sequence)
      for (let at = 0; at < entries.length; at += entriesPerSlice) {
        packEntries(queueId, entries, at, Math.min(entries.length, at + entriesPerSlice), loose)
        await rest()
      }
      encoder.beginLane(number, loose.length + frozen.length)
      for (const page of loose) encoder.page(page)
      for (let at = 0; at < frozen.length; at++) {
        const page = frozen[at] as IndexPage
        // It was to be told of as it is, and is not what it was. What was withdrawn from it meanwhile the log says later.
        const isGone = page.isDead && !page.isSuperseded
        if (page === pages[at] && (page.passed > 0 || isGone)) throw new Abandoned()
        encoder.page(page)
        if (page.place !== null) pageFiles.add(page.place.file)
        if (at % 1_024 === 1_023) await rest()
      }
    }
    encoder.endQueue()
  }

  private async syncOrBreak(sync: () => Promise<void>): Promise<void> {
    try {
      await sync()
    } catch (error) {
      this.store.broken('syncing a checkpoint failed', error)
      throw error
    }
  }

  /** Waits until everything before the position is durable. */
  private async reached({ lsn, records }: LogPosition): Promise<void> {
    const wanted = records > 0 ? lsn : lsn - 1
    this.checkWanted()
    if (this.log.durableLsn < wanted) {
      await new Promise<void>((resolve) => {
        this.waiting = { lsn: wanted, done: resolve }
        this.store.commitNow(wanted)
      })
    }
    this.checkWanted()
  }

  private checkWanted(): void {
    if (this.isAbandoned) throw new Abandoned()
  }

  private async readFile(name: string): Promise<Buffer> {
    const file = await this.disk.open(`${this.directory}/${name}`, 'read')
    try {
      const content = Buffer.allocUnsafeSlow(await file.size())
      const bytes = await file.read(content, 0, content.length, 0)
      return content.subarray(0, bytes)
    } finally {
      await file.close()
    }
  }
}
