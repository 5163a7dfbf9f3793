/**
 * The messages of one queue that are read back from the log: those that somebody waits for, and ahead of its consumers those
 * whose turn comes next. One read is under way at a time.
 */
import type { Slab } from '../lib/slab.ts'
import type { Message } from '../model/message.ts'
import { type AwaitingMessage, type Entry, type HeldEntries, type RecordPlace, takeWaiters } from './entry.ts'
import type { EntryMemory } from './entry-memory.ts'
import type { MessageReceiver } from './message-read.ts'
import type { IndexBacking, IndexOwner } from './queue-index-backing.ts'
import { ReadingList } from './reading-list.ts'
import type { ReadyEntries } from './ready-entries.ts'

/** One read brings at most so much. */
const loadBytesMax = 1_048_576
const loadBytesMin = 65_536

export class ReadAhead implements MessageReceiver {
  readonly queueId: number
  private readonly ready: ReadyEntries
  private readonly held: HeldEntries
  private readonly memory: EntryMemory
  private readonly backing: IndexBacking | null
  private readonly owner: IndexOwner
  /** Entries that were taken before their message came. */
  private wanted: Entry[] = []
  private isLoading = false
  private isDropped = false

  /** `backing` null: there is no log, and every message is there. `owner` hears of each read that has ended. */
  constructor(
    queueId: number,
    ready: ReadyEntries,
    held: HeldEntries,
    memory: EntryMemory,
    backing: IndexBacking | null,
    owner: IndexOwner,
  ) {
    this.queueId = queueId
    this.ready = ready
    this.held = held
    this.memory = memory
    this.backing = backing
    this.owner = owner
  }

  /** Asks for the message of an entry that was taken without it. */
  await(entry: Entry, waiter: AwaitingMessage): void {
    const place = entry.place as RecordPlace
    waiter.next = place.awaiting
    place.awaiting = waiter
    if (entry.isLoading) return
    this.wanted.push(entry)
    this.next()
  }

  /** Asks for messages that will be wanted next, if there is room for them or the first one is missing. */
  next(): void {
    if (this.backing === null || this.isLoading || (this.isDropped && this.wanted.length === 0)) return
    // What comes out of a backlog for that counts.
    const first = this.ready.first()
    const isMissing = this.wanted.length > 0 || (first !== undefined && first.message === null && !first.isLoading)
    const { windowBytes, windowBytesWanted } = this.memory
    if (!isMissing && windowBytes * 2 > windowBytesWanted) return
    const bytesMax = Math.min(loadBytesMax, Math.max(loadBytesMin, windowBytesWanted - windowBytes))
    const list = new ReadingList(this.wanted, bytesMax)
    this.wanted = []
    this.ready.listNext(list)
    const { entries } = list
    if (entries.length === 0) return
    for (const entry of entries) entry.isLoading = true
    this.isLoading = true
    this.backing.fetch(this, entries)
  }

  /** The queue was deleted: only who waits for a message gets it. */
  drop(): void {
    this.isDropped = true
  }

  /** From the log: the message of an entry that was asked for. */
  arrived(entry: Entry, message: Message): void {
    if (!entry.isLoading) return
    entry.isLoading = false
    if (entry.isSettled) this.memory.free(entry)
    else {
      this.memory.arrived(entry, message)
      this.ready.arrived(entry)
    }
    entry.message = message
    let waiter = takeWaiters(entry)
    for (; waiter !== null; waiter = waiter.next) waiter.arrived(message)
  }

  /** From the log: the message cannot be read. The entry stays on disk and is not handed out by this life. */
  lost(entry: Entry): void {
    if (!entry.isLoading) return
    entry.isLoading = false
    entry.isLost = true
    let waiter = takeWaiters(entry)
    for (; waiter !== null; waiter = waiter.next) waiter.lost()
    if (entry.isSettled) this.memory.free(entry)
    if (!entry.isReady) {
      // Whoever took it gets nothing, and those of its key go on.
      if (entry.dueAt === 0 && !entry.isSettled) this.ready.settled(entry)
      return
    }
    this.ready.extract(entry)
    this.held.add(entry)
  }

  loadEnded(): void {
    this.isLoading = false
    this.owner.loaded()
    if (this.wanted.length > 0) this.next()
  }

  /** Memory for what is read. */
  get readSlab(): Slab {
    return this.memory.slab
  }
}
