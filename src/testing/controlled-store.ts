/**
 * A store whose durability the test decides: what is committed becomes a frame in a list, and it is durable when the test
 * says `sync`. Frames are kept, so a test can ask what would survive together.
 */
import { assert, unreachable } from '../lib/assert.ts'
import { ByteReader } from '../lib/byte-reader.ts'
import { ByteWriter } from '../lib/byte-writer.ts'
import type { Message, Residence } from '../model/message.ts'
import type { Entry } from '../store/entry.ts'
import { Notes } from '../store/notes.ts'
import type { PageFiles } from '../store/page-files.ts'
import { QueueIndex } from '../store/queue-index.ts'
import type { IndexBacking } from '../store/queue-index-backing.ts'
import { readRanges } from '../store/range-list.ts'
import type { TopologyRecord } from '../store/record.ts'
import { ResidentMemory } from '../store/resident-memory.ts'
import type { LoadReport, PublishLog, SnapshotSource, Store, StoreEvents } from '../store/store.ts'

/** Tells of each publish in one line. */
class ToldPublishes implements PublishLog {
  private readonly tell: (line: string, bytes: number) => void
  private routes: string[] = []
  private publishing: Message | null = null

  constructor(tell: (line: string, bytes: number) => void) {
    this.tell = tell
  }

  begin(message: Message, routeCount: number): void {
    assert(this.publishing === null, 'one publish at a time')
    assert(routeCount > 0, 'a publish that nobody takes is not stored')
    this.publishing = message
  }

  addRoute(queueId: number, { sequence }: Entry): void {
    this.routes.push(`${queueId}:${sequence}`)
  }

  end(): void {
    const message = this.publishing as Message
    this.tell(`publish ${message.body.toString()} to ${this.routes.join(' ')}`, message.contentBytes)
    this.routes = []
    this.publishing = null
  }
}

export class ControlledStore implements Store, IndexBacking {
  readonly persists = true
  /** Never so much that anything leaves it. */
  readonly memory: ResidentMemory = new ResidentMemory(Number.MAX_SAFE_INTEGER)
  readonly pages: PageFiles = undefined as unknown as PageFiles
  readonly gate = null
  readonly bodyRefs = null
  openLsn = 1
  readonly durability = 'fsync'
  durableLsn = 0
  unsyncedBytes = 0
  readonly notes: Notes = new Notes((note) => this.open.push(`note ${note.key} ${note.value}`))
  readonly bodies = null
  readonly publishes: PublishLog = new ToldPublishes((line, bytes) => {
    this.open.push(line)
    this.unsyncedBytes += bytes
  })
  /** What each committed frame holds, one line per record; frame n is at n - 1. */
  readonly frames: string[][] = []
  isClosed = false
  private events!: StoreEvents
  private open: string[] = []
  private wanted = false
  private unwritten: QueueIndex[] = []

  async load(
    _sink: (record: TopologyRecord) => void,
    events: StoreEvents,
    _source: SnapshotSource,
  ): Promise<LoadReport> {
    this.events = events
    return { nextQueueId: 1, messages: 0, clean: true, notes: [] }
  }

  appendTopology(record: TopologyRecord): void {
    const about = 'name' in record ? record.name : 'destination' in record ? record.destination : record.virtualHost
    this.open.push(`${record.type} ${about}`)
  }

  queueIndex(queueId: number, durable: boolean): QueueIndex {
    return new QueueIndex(queueId, durable, this.memory, this)
  }

  dropIndex(_queueId: number): void {}

  segment(): Residence {
    return unreachable('nothing leaves memory here')
  }

  overflow(): boolean {
    return false
  }

  fetch(): void {}

  purged(index: QueueIndex): void {
    const held: number[] = []
    index.forEachHeld((entry) => {
      if (entry.logged) held.push(entry.sequence)
    })
    this.open.push(`purged ${index.queueId} below ${index.nextSequence} but ${held.join(' ')}`.trimEnd())
  }

  settlementsPending(index: QueueIndex): void {
    this.unwritten.push(index)
  }

  /** Like the log: settlements alone are not written until somebody wants them to be. */
  commit(): void {
    if (this.open.length === 0 && !this.wanted) return
    for (const index of this.unwritten) {
      const writer = new ByteWriter()
      index.settled.encode(writer)
      index.settled.clear()
      this.open.push(`settled ${index.queueId} ${readRanges(new ByteReader(writer.toBuffer())).join(' ')}`)
    }
    this.unwritten = []
    this.wanted = false
    if (this.open.length === 0) return
    this.frames.push(this.open)
    this.open = []
    this.openLsn++
  }

  get answerableLsn(): number {
    return this.durableLsn
  }

  barrier(): number {
    if (this.open.length === 0 && this.unwritten.length === 0) return this.openLsn - 1
    this.wanted = true
    return this.openLsn
  }

  async announce(): Promise<void> {}

  async close(): Promise<void> {
    this.isClosed = true
  }

  // What the test does.

  /** Every frame that was committed, or those up to `lsn`, become durable. */
  sync(lsn: number = this.openLsn - 1): void {
    this.durableLsn = lsn
    if (lsn === this.openLsn - 1) this.unsyncedBytes = 0
    this.events.durable(lsn)
  }

  stall(): void {
    this.events.stalled(new Error('no space'))
  }

  resume(): void {
    this.events.resumed()
  }

  lowOnDisk(isLow: boolean): void {
    this.events.lowOnDisk(isLow)
  }

  fail(): void {
    this.events.failed(new Error('sync failed'))
  }
}
