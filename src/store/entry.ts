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

/** What somebody who took an entry has to wait for beside its message, whatever becomes of the entry meanwhile. */
export interface Pass {
  readonly isOpen: boolean
}

/** Where the record of a message lies in the log. */
export class RecordPlace {
  segment: Residence
  offset: number
  readonly recordBytes: number
  /** Those who took the entry before its message was there, each linked to the next. */
  awaiting: AwaitingMessage | null = null

  constructor(segment: Residence, offset: number, recordBytes: number) {
    this.segment = segment
    this.offset = offset
    this.recordBytes = recordBytes
  }
}

/** What most entries have none of. */
class EntryTerms {
  readonly expiresAt: number
  readonly keyHash: number
  readonly dueAt: number

  constructor(expiresAt: number, keyHash: number, dueAt: number) {
    this.expiresAt = expiresAt
    this.keyHash = keyHash
    this.dueAt = dueAt
  }
}

const logged = 1
const ready = 2
const staged = 4
const returned = 8
const loading = 16
const settled = 32
const lost = 64
const priorityShift = 8

/** Entries survive the young generation by the hundred thousand, and then each word of them is copied: there are few. */
export class Entry {
  message: Message | null
  /** The message's place in its queue, from 1, never used again. */
  readonly sequence: number
  readonly bodyBytes: number
  /** How often it was handed out, as far as this broker or its checkpoints know. */
  deliveryCount = 0
  place: RecordPlace | null = null
  /** Where `HeldEntries` has it; -1 if it has not. */
  heldAt = -1
  private readonly terms: EntryTerms | null
  private bits: number

  constructor(
    message: Message | null,
    sequence: number,
    isLogged: boolean,
    bodyBytes: number,
    priority = 0,
    expiresAt = 0,
    keyHash = 0,
    dueAt = 0,
  ) {
    this.message = message
    this.sequence = sequence
    this.bodyBytes = bodyBytes
    this.terms = expiresAt === 0 && keyHash === 0 && dueAt === 0 ? null : new EntryTerms(expiresAt, keyHash, dueAt)
    this.bits = (isLogged ? logged | ready : ready) | (priority << priorityShift)
  }

  /** Whether the log says that this entry is in its queue, so that settling it must be recorded. */
  get logged(): boolean {
    return (this.bits & logged) !== 0
  }

  /** The lane it waits in. */
  get priority(): number {
    return this.bits >>> priorityShift
  }

  /** When it expires, in ms since 1970; 0 = never. */
  get expiresAt(): number {
    return this.terms === null ? 0 : this.terms.expiresAt
  }

  /** Its key's hash; 0 = it has none. */
  get keyHash(): number {
    return this.terms === null ? 0 : this.terms.keyHash
  }

  /** Until when it is hidden, in ms since 1970; 0 = it is not. */
  get dueAt(): number {
    return this.terms === null ? 0 : this.terms.dueAt
  }

  /** It is in its queue, not with a consumer. */
  get isReady(): boolean {
    return (this.bits & ready) !== 0
  }
  set isReady(is: boolean) {
    this.set(ready, is)
  }

  /** It waits for the turn of its key, out of its lane. */
  get isStaged(): boolean {
    return (this.bits & staged) !== 0
  }
  set isStaged(is: boolean) {
    this.set(staged, is)
  }

  /** It is in its queue once more, after it was handed out. */
  get isReturned(): boolean {
    return (this.bits & returned) !== 0
  }
  set isReturned(is: boolean) {
    this.set(returned, is)
  }

  /** The message has been asked for and not come yet. */
  get isLoading(): boolean {
    return (this.bits & loading) !== 0
  }
  set isLoading(is: boolean) {
    this.set(loading, is)
  }

  /** It was settled before its message came, which somebody waits for: its place in the log is needed until then. */
  get isSettled(): boolean {
    return (this.bits & settled) !== 0
  }
  set isSettled(is: boolean) {
    this.set(settled, is)
  }

  /** The message cannot be read: nobody gets it in this life. */
  get isLost(): boolean {
    return (this.bits & lost) !== 0
  }
  set isLost(is: boolean) {
    this.set(lost, is)
  }

  /** Whether somebody took it before its message was there, and waits for that. */
  get isAwaited(): boolean {
    return this.place !== null && this.place.awaiting !== null
  }

  /** Where its record is; null and zeros as long as only the message knows, or if there is none. */
  get segment(): Residence | null {
    return this.place === null ? null : this.place.segment
  }
  get offset(): number {
    return this.place === null ? 0 : this.place.offset
  }
  get recordBytes(): number {
    return this.place === null ? 0 : this.place.recordBytes
  }

  /** The segment it counts in; null if it is nowhere in a log. */
  get residence(): Residence | null {
    if (this.place !== null) return this.place.segment
    return this.logged && this.message !== null ? this.message.residence : null
  }

  /** Remembers by itself where the record of its message is, if it is anywhere. */
  settleAt(message: Message): void {
    const { residence, recordOffset, recordBytes } = message
    if (residence !== null) this.place = new RecordPlace(residence, recordOffset, recordBytes)
  }

  private set(bit: number, is: boolean): void {
    if (is) this.bits |= bit
    else this.bits &= ~bit
  }
}

/** The entries of one queue that consumers hold, in any order. */
export class HeldEntries {
  private readonly entries: Entry[] = []

  get count(): number {
    return this.entries.length
  }

  add(entry: Entry): void {
    if (entry.heldAt >= 0) return
    entry.heldAt = this.entries.length
    this.entries.push(entry)
  }

  remove(entry: Entry): void {
    const { heldAt } = entry
    if (heldAt < 0) return
    const last = this.entries.pop() as Entry
    if (last !== entry) {
      last.heldAt = heldAt
      this.entries[heldAt] = last
    }
    entry.heldAt = -1
  }

  /** Nothing may be added or removed meanwhile. */
  forEach(visit: (entry: Entry) => void): void {
    for (const entry of this.entries) visit(entry)
  }
}

/** Those who wait for its message, in whatever order; they wait no more. */
export function takeWaiters({ place }: Entry): AwaitingMessage | null {
  if (place === null) return null
  const { awaiting } = place
  place.awaiting = null
  return awaiting
}
