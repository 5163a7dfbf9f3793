/**
 * Messages of entries that stay where they are, read once for somebody who only looks. Where their records lie they count as
 * living until they were read, whatever becomes of the entries meanwhile.
 */
import { Slab } from '../lib/slab.ts'
import type { Message, Residence } from '../model/message.ts'
import { Entry, RecordPlace } from './entry.ts'

/** Whoever is given messages that were read from the log. */
export interface MessageReceiver {
  readonly queueId: number
  /** Memory for what is read. */
  readonly readSlab: Slab
  /** The message of an entry that was asked for. */
  arrived(entry: Entry, message: Message): void
  /** It cannot be read. */
  lost(entry: Entry): void
  loadEnded(): void
}

/** One read brings at most so much, unless a single message has more. */
const readBytesMax = 1_048_576

/** As many of the first as are in memory, or can be read together. */
export function readableTogether(entries: readonly Entry[]): Entry[] {
  let bytes = 0
  let count = 0
  for (const { message, recordBytes } of entries) {
    if (message === null) bytes += recordBytes
    if (bytes > readBytesMax && count > 0) break
    count++
  }
  return entries.slice(0, count)
}

export class MessageRead implements MessageReceiver {
  readonly queueId: number
  readonly readSlab: Slab = new Slab()
  /** What to ask for: these are copies, and nobody else's. */
  readonly wanted: readonly Entry[]
  private readonly messages: (Message | null)[]
  /** Where in `messages` each of the wanted belongs. */
  private readonly places = new Map<Entry, number>()
  private readonly done: (messages: readonly (Message | null)[]) => void

  /** `done` gets the message of each entry; null: it cannot be read. Entries that have theirs are not read. */
  constructor(queueId: number, entries: readonly Entry[], done: (messages: readonly (Message | null)[]) => void) {
    this.queueId = queueId
    this.done = done
    this.messages = entries.map(({ message }) => message)
    this.wanted = entries.filter(({ message }) => message === null).map(copyOf)
    let at = 0
    for (const copy of this.wanted) {
      ;(copy.segment as Residence).live++
      while (this.messages[at] !== null) at++
      this.places.set(copy, at++)
    }
  }

  arrived(entry: Entry, message: Message): void {
    this.messages[this.places.get(entry) as number] = message
    this.release(entry)
  }

  lost(entry: Entry): void {
    this.release(entry)
  }

  loadEnded(): void {
    this.done(this.messages)
  }

  private release(entry: Entry): void {
    entry.isLoading = false
    ;(entry.segment as Residence).live--
  }
}

function copyOf({ sequence, logged, bodyBytes, priority, segment, offset, recordBytes }: Entry): Entry {
  const copy = new Entry(null, sequence, logged, bodyBytes, priority)
  copy.place = new RecordPlace(segment as Residence, offset, recordBytes)
  copy.isLoading = true
  return copy
}
