/**
 * A message in a queue: one per route, sharing the message. It is both an entry of the queue's window and the record of
 * what a consumer holds.
 *
 * The message itself may be gone from memory: then `message` is null and the entry says where its record lies in the log,
 * from where it is read again before anybody gets it.
 */
import type { Message, Residence } from '../model/message.ts'

/** Somebody who took an entry and waits for its message, whatever becomes of the entry meanwhile. */
export interface AwaitingMessage {
  next: AwaitingMessage | null
  arrived(message: Message): void
  /** The message cannot be read. */
  lost(): void
}

export class Entry {
  message: Message | null
  /** The message's place in its queue, from 1, never used again. */
  readonly sequence: number
  /** Whether the log says that this entry is in its queue, so that settling it must be recorded. */
  readonly logged: boolean
  readonly bodyBytes: number
  /** The lane it waits in. */
  readonly priority: number
  /** When it expires, in ms since 1970; 0 = never. */
  readonly expiresAt: number
  /** Its key's hash; 0 = it has none. */
  readonly keyHash: number
  /** How often it was handed out, as far as this broker or its checkpoints know. */
  deliveryCount = 0
  /** Where its record is, so that it can be read; null as long as only the message knows, or if there is none. */
  segment: Residence | null = null
  offset = 0
  recordBytes = 0
  /** It is in its queue, not with a consumer. */
  isReady = true
  /** It waits for the turn of its key, out of its lane. */
  isStaged = false
  /** It is in its queue once more, after it was handed out. */
  isReturned = false
  /** The message has been asked for and not come yet. */
  isLoading = false
  /** It was settled before its message came, which somebody waits for: its place in the log is needed until then. */
  isSettled = false
  /** The message cannot be read: nobody gets it in this life. */
  isLost = false
  /** Its neighbours among those that consumers of its queue hold; see `HeldEntries`. */
  before: Entry | null = null
  after: Entry | null = null
  isHeld = false
  /** Those who took the entry before its message was there, each linked to the next. */
  awaiting: AwaitingMessage | null = null

  constructor(
    message: Message | null,
    sequence: number,
    logged: boolean,
    bodyBytes: number,
    priority = 0,
    expiresAt = 0,
    keyHash = 0,
  ) {
    this.message = message
    this.sequence = sequence
    this.logged = logged
    this.bodyBytes = bodyBytes
    this.priority = priority
    this.expiresAt = expiresAt
    this.keyHash = keyHash
  }

  /** The segment it counts in; null if it is nowhere in a log. */
  get residence(): Residence | null {
    if (this.segment !== null) return this.segment
    return this.logged && this.message !== null ? this.message.residence : null
  }

  /** Remembers by itself where the record of its message is. */
  settleAt(message: Message): void {
    this.segment = message.residence
    this.offset = message.recordOffset
    this.recordBytes = message.recordBytes
  }
}

/** The entries of one queue that consumers hold, in the order in which they were handed out, linked to each other. */
export class HeldEntries {
  count = 0
  private first: Entry | null = null
  private last: Entry | null = null

  add(entry: Entry): void {
    if (entry.isHeld) return
    entry.isHeld = true
    entry.before = this.last
    if (this.last === null) this.first = entry
    else this.last.after = entry
    this.last = entry
    this.count++
  }

  remove(entry: Entry): void {
    if (!entry.isHeld) return
    const { before, after } = entry
    if (before === null) this.first = after
    else before.after = after
    if (after === null) this.last = before
    else after.before = before
    entry.before = null
    entry.after = null
    entry.isHeld = false
    this.count--
  }

  forEach(visit: (entry: Entry) => void): void {
    for (let entry = this.first; entry !== null; entry = entry.after) visit(entry)
  }
}
