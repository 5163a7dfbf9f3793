/**
 * The memory that the entries of one queue take: it is counted here, and made less where the log can give a message back.
 * Messages that stay are copied out of the network's chunks.
 */
import { Slab } from '../lib/slab.ts'
import type { Message } from '../model/message.ts'
import type { Entry, RecordPlace } from './entry.ts'
import type { LaneOwner } from './lane.ts'
import type { IndexBacking } from './queue-index-backing.ts'
import { entryOverheadBytes, type ResidentMemory } from './resident-memory.ts'

/**
 * What a consumer was given is kept in memory in case it comes back, unless it is larger: then reading it again when that
 * happens costs less than copying each in case it does.
 */
const keptBytesMax = 512
/** A window holds no more than it needs to be read ahead of the fastest consumer. */
const windowBytesEnough = 8_388_608

export class EntryMemory implements LaneOwner {
  /** Bytes of entries that are ready and objects. */
  windowBytes = 0
  readonly slab: Slab = new Slab()
  /** What all queues take. */
  private readonly resident: ResidentMemory
  private readonly backing: IndexBacking | null

  /** `backing` null: there is no log, everything stays. */
  constructor(resident: ResidentMemory, backing: IndexBacking | null) {
    this.resident = resident
    this.backing = backing
  }

  get isOverFull(): boolean {
    return this.windowBytes > this.resident.windowShare
  }

  /** How many bytes the window may grow to by what is read ahead. */
  get windowBytesWanted(): number {
    return Math.min(this.resident.windowShare, windowBytesEnough)
  }

  /** The entry is an object, and not ready. */
  add(entry: Entry): void {
    this.resident.bytes += costOf(entry)
  }

  /** The entry is an object, and ready. */
  entered(entry: Entry): void {
    const bytes = costOf(entry)
    this.resident.bytes += bytes
    this.windowBytes += bytes
  }

  /** The entry was ready and is an object no more. */
  packed(entry: Entry): void {
    const bytes = costOf(entry)
    this.resident.bytes -= bytes
    this.windowBytes -= bytes
  }

  /** The entry is ready no more. */
  left(entry: Entry): void {
    this.windowBytes -= costOf(entry)
  }

  /** The entry is ready once more. */
  returned(entry: Entry): void {
    this.windowBytes += costOf(entry)
  }

  /** The message of an entry without one is there. */
  arrived(entry: Entry, { contentBytes }: Message): void {
    this.resident.bytes += contentBytes
    if (entry.isReady) this.windowBytes += contentBytes
  }

  /** The entry is gone, and its record needed no more. */
  free(entry: Entry): void {
    this.resident.bytes -= costOf(entry)
    entry.isLoading = false
    const { residence } = entry
    if (residence !== null) residence.live--
  }

  /** A consumer has been given the message, and may have settled it: it stays in case it comes back, or is read again then. */
  handedOut(entry: Entry): void {
    const { message } = entry
    if (message === null) return
    // What the log has not, it gets only if memory is needed.
    const isCheap = message.contentBytes >= keptBytesMax && entry.residence !== null
    if (entry.heldAt >= 0 && (isCheap || this.resident.isPressed) && this.place(entry)) {
      this.resident.bytes -= message.contentBytes
      entry.message = null
    } else this.keep(entry)
  }

  /** Gives the entry a place in the log if it has none; false if that cannot be. */
  place(entry: Entry): boolean {
    if (entry.place !== null) return true
    const message = entry.message as Message
    // Where nothing lives any more the segment may go, or be gone: then the message is written once more.
    const isThere = message.residence !== null && message.residence.live > 0
    if (!isThere && !(this.backing as IndexBacking).overflow(message)) return false
    entry.settleAt(message)
    // The log has counted the routes it knows of; this one is another.
    if (!entry.logged) {
      const { segment } = entry.place as unknown as RecordPlace
      segment.live++
      segment.references++
    }
    return true
  }

  /** An entry that is hidden becomes one of a page, where there is a log; false if it has to stay as it is. */
  placeHidden(entry: Entry): boolean {
    if (this.backing === null) {
      this.keep(entry)
      return true
    }
    if (!this.place(entry)) return false
    this.resident.bytes -= costOf(entry)
    return true
  }

  keep(entry: Entry): void {
    const message = entry.message as Message
    if (!message.owned) message.keepIn(this.slab)
  }
}

function costOf(entry: Entry): number {
  return entryOverheadBytes + (entry.message === null ? 0 : entry.message.contentBytes)
}
