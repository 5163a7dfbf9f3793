/**
 * Takes what lives out of segments in which little does, so that they can be deleted:
 *
 *     choose segments → look through the indexes for what lives in them → copy those records, queue by queue, to a cold
 *       segment, durable → let the indexes say where they are now → the old segments hold nothing that lives
 *
 * Nothing is changed in place, and nothing commits it but the checkpoints: one that was made before knows the old places,
 * so the old segments stay until every checkpoint that is kept was begun after the move. A cold segment that no checkpoint
 * names is a copy of what is elsewhere, and goes with the next opening.
 *
 * What is missed on the way (an entry that moved from one place to another meanwhile) stays where it is, is counted there,
 * and keeps its segment.
 */
import type { Segment } from '../log/segment.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import { isSystemError } from '../log/small-file.ts'
import type { Platform } from '../platform/platform.ts'
import { type ColdCopy, ColdWriter } from './cold-writer.ts'
import type { Entry, RecordPlace } from './entry.ts'
import { forEachEntry, type IndexPage } from './index-page.ts'
import type { Lane } from './lane.ts'
import type { Leftovers } from './leftovers.ts'
import { Pace, type PaceOptions } from './pace.ts'
import type { PageFiles } from './page-files.ts'
import type { QueueIndex } from './queue-index.ts'
import type { Placed } from './record-runs.ts'

export interface CompactionOptions extends PaceOptions {
  /** Bytes that nothing refers to, in segments that something refers to, which are put up with; and half of what lives. */
  readonly deadBytesMax: number
  /** A cold segment gets about so long. */
  readonly coldBytesMax: number
  /** Bytes copied in a second at most. */
  readonly compactionBytesPerSecond: number
}

/** The store whose segments these are. */
export interface CompactedStore {
  readonly indexes: Iterable<QueueIndex>
  readonly takesWrites: boolean
  /** The oldest segment that recovery might read: what comes before is only referred to. */
  readonly neededFromId: number
  /** Waits until no checkpoint is being made, and keeps new ones away until `release`; false if there is no more of that. */
  holdCheckpoints(): Promise<boolean>
  releaseCheckpoints(): void
  /** The number of the first checkpoint that will know what is so now. */
  readonly nextCheckpointId: number
  /** Segments may have become free. */
  compacted(): void
  /** Nobody knows what is durable, or what is so: nothing can go on. */
  broken(detail: string, error: unknown): void
}

const retryMs = 10_000
/** One round moves no more: it remembers where each of them was. */
const recordsMax = 131_072
const roundsMax = 10_000
/** Where more than this share lives, copying costs more than it brings. */
const liveShareMax = 0.75

export class Compactor {
  /** Bytes copied since the log was opened. */
  copiedBytes = 0
  private readonly platform: Platform
  private readonly log: SegmentedLog
  private readonly pages: PageFiles
  private readonly options: CompactionOptions
  private readonly store: CompactedStore
  private readonly writer: ColdWriter
  private running: Promise<void> | null = null
  private isEnded = false
  private retryAtMs = 0

  constructor(
    platform: Platform,
    directory: string,
    log: SegmentedLog,
    pages: PageFiles,
    options: CompactionOptions,
    store: CompactedStore,
  ) {
    this.platform = platform
    this.log = log
    this.pages = pages
    this.options = options
    this.store = store
    this.writer = new ColdWriter(platform, directory, log, options, store)
  }

  /** Takes away what an earlier opening copied in vain; returns the cold segments that are not there. */
  async open(leftovers: Leftovers): Promise<Segment[]> {
    return this.writer.open(leftovers)
  }

  /** Starts a round if enough is dead, unless one is under way. */
  consider(): void {
    if (this.running !== null || this.isEnded || !this.store.takesWrites) return
    if (this.platform.clock.monotonicMs() < this.retryAtMs) return
    const victims = this.choose(false)
    if (victims.length > 0) void this.start(victims)
  }

  /** One round over every segment in which something is dead, whatever there is to gain; resolves when it is over. */
  async compactAll(): Promise<void> {
    await this.running
    for (let rounds = 0; rounds < roundsMax && !this.isEnded; rounds++) {
      const victims = this.choose(true)
      const before = this.copiedBytes
      if (victims.length > 0) await this.start(victims)
      if (this.copiedBytes === before) return
    }
  }

  /** Gives up what is under way. */
  async end(): Promise<void> {
    this.isEnded = true
    await this.running
  }

  private start(victims: readonly Segment[]): Promise<void> {
    this.running = this.run(new Set(victims)).then(
      () => {
        this.running = null
      },
      (error: unknown) => {
        this.running = null
        this.retryAtMs = this.platform.clock.monotonicMs() + retryMs
        // The disk is full, or the broker ends: later there may be room. Anything else is a fault of our own.
        if (!(error instanceof GivenUp) && !isSystemError(error)) this.store.broken('compaction failed', error)
      },
    )
    return this.running
  }

  /** Those in which the least lives, as many as fill a cold segment. `isForced`: whatever there is to gain. */
  private choose(isForced: boolean): Segment[] {
    const { neededFromId } = this.store
    const candidates: Segment[] = []
    let dead = 0
    let live = 0
    const weigh = (segment: Segment, isOld: boolean): void => {
      if (segment.live === 0 || !segment.sealed || segment.isRetiring) return
      const share = shareOf(segment)
      live += segment.bytes * share
      if (!isOld) return
      dead += segment.bytes * (1 - share)
      if (share < (isForced ? 1 : liveShareMax)) candidates.push(segment)
    }
    for (const segment of this.log.segments) weigh(segment, segment.id < neededFromId)
    for (const segment of this.log.coldSegments) weigh(segment, true)
    if (!isForced && dead <= Math.max(this.options.deadBytesMax, live / 2)) return []
    candidates.sort((left, right) => shareOf(left) - shareOf(right))
    const victims: Segment[] = []
    let bytes = 0
    let records = 0
    for (const segment of candidates) {
      bytes += segment.bytes * shareOf(segment)
      records += segment.live
      if (victims.length > 0 && (bytes > this.options.coldBytesMax || records > recordsMax)) break
      victims.push(segment)
    }
    return victims
  }

  private async run(victims: ReadonlySet<Segment>): Promise<void> {
    const found = new LiveRecords(victims)
    const pace = new Pace(this.platform, this.options)
    for (const index of this.store.indexes) {
      await this.look(index, victims, found, pace)
    }
    if (found.count === 0) return
    const copy = await this.writer.copy(found.inOrder(), () => this.check())
    if (copy === null) return
    this.copiedBytes += copy.segment.bytes
    if (!(await this.store.holdCheckpoints())) return
    try {
      this.log.addCold(copy.segment)
      // Before anything moves: a victim may be empty while others have their turn, or the move may be given up half-way.
      this.keepForOlderCheckpoints(victims)
      const indexes = [...this.store.indexes]
      for (const index of indexes) {
        await pace.rest()
        this.check()
        if (!index.isDropped) await this.move(index, victims, copy, pace)
      }
    } finally {
      copy.segment.sealed = true
      this.store.releaseCheckpoints()
    }
    this.store.compacted()
  }

  /** Also the segments to which records of a victim had moved when it could not be written on (log/segment.ts). */
  private keepForOlderCheckpoints(victims: ReadonlySet<Segment>): void {
    const { nextCheckpointId } = this.store
    for (const segment of victims) segment.neededBefore = nextCheckpointId
    for (const segment of this.log.segments) {
      if (segment.movedFrom?.neededBefore === nextCheckpointId) segment.neededBefore = nextCheckpointId
    }
  }

  /** Notes what lives of a queue in the victims: pages first, for entries go from there to the window and not back. */
  private async look(index: QueueIndex, victims: ReadonlySet<Segment>, found: LiveRecords, pace: Pace): Promise<void> {
    const pages: IndexPage[] = []
    index.lanes.forEach((lane) =>
      lane.backlog?.forEachPage((page) => {
        if (refersTo(page, (id) => found.victims.has(id))) pages.push(page)
      }),
    )
    for (const page of pages) {
      await pace.rest()
      this.check()
      const bytes = page.isDead ? null : this.pages.need(page)
      if (bytes === null) continue
      forEachEntry(page, bytes, ({ sequence, segmentId, offset, recordBytes }) => {
        found.add(index.queueId, sequence, segmentId, offset, recordBytes)
      })
    }
    this.forEachObject(index, (entry) => {
      const place = placeOf(entry)
      if (place !== null && victims.has(place.segment as Segment)) {
        found.add(index.queueId, entry.sequence, place.segment.id, place.offset, place.recordBytes)
      }
    })
    await pace.rest()
    this.check()
  }

  /** Lets the entries of a queue say where their records are now. */
  private async move(index: QueueIndex, victims: ReadonlySet<Segment>, copy: ColdCopy, pace: Pace): Promise<void> {
    const lanes: Lane[] = []
    index.lanes.forEach((lane) => lanes.push(lane))
    for (const { backlog } of lanes) {
      if (backlog === null) continue
      const pages: IndexPage[] = []
      backlog.forEachPage((page) => {
        if (refersTo(page, (id) => copy.has(id))) pages.push(page)
      })
      for (const page of pages) {
        await pace.rest()
        this.check()
        if (!page.isDead) backlog.rewrite(page, copy)
      }
    }
    this.forEachObject(index, (entry) => {
      const place = placeOf(entry)
      if (place === null || !victims.has(place.segment as Segment)) return
      const offset = copy.find(place.segment.id, place.offset)
      if (offset === -1) return
      place.segment.live--
      copy.segment.live++
      copy.segment.references++
      place.segment = copy.segment
      place.offset = offset
    })
  }

  private forEachObject(index: QueueIndex, visit: (entry: Entry) => void): void {
    index.forEachOutside(visit)
    index.lanes.forEach((lane) => lane.forEachEntry(visit))
  }

  private check(): void {
    if (this.isEnded || !this.store.takesWrites) throw new GivenUp()
  }
}

class GivenUp extends Error {}

/** Where the entry counts; afterwards it says itself where its record is. */
function placeOf(entry: Entry): RecordPlace | null {
  if (entry.place === null && entry.residence !== null && entry.message !== null) entry.settleAt(entry.message)
  return entry.place
}

function shareOf(segment: Segment): number {
  return segment.references === 0 ? 1 : Math.min(1, segment.live / segment.references)
}

function refersTo(page: IndexPage, isWanted: (segmentId: number) => boolean): boolean {
  const { segments } = page
  for (let at = page.segmentsAt; at < segments.length; at += 2) if (isWanted(segments[at] as number)) return true
  return false
}

/** A record that lives in one of the victims. */
interface LiveRecord extends Placed {
  readonly queueId: number
  readonly sequence: number
}

/** Records that live in the victims, each once. */
class LiveRecords {
  readonly victims: ReadonlyMap<number, Segment>
  private readonly seen = new Map<number, Set<number>>()
  private readonly records: LiveRecord[] = []

  constructor(victims: ReadonlySet<Segment>) {
    this.victims = new Map([...victims].map((segment) => [segment.id, segment]))
    for (const { id } of victims) this.seen.set(id, new Set())
  }

  get count(): number {
    return this.records.length
  }

  /** Notes it if it is in a victim and there is room for it. */
  add(queueId: number, sequence: number, segmentId: number, offset: number, recordBytes: number): void {
    const segment = this.victims.get(segmentId)
    const seen = this.seen.get(segmentId)
    if (segment === undefined || seen === undefined || seen.has(offset) || this.records.length >= recordsMax) return
    seen.add(offset)
    this.records.push({ queueId, sequence, segment, offset, recordBytes })
  }

  /** By queue and sequence: so they will be read. */
  inOrder(): LiveRecord[] {
    return this.records.sort((left, right) => left.queueId - right.queueId || left.sequence - right.sequence)
  }
}
