/**
 * Entries of one queue that came back and are not to be handed out again before their time: attempts that failed, in queues
 * that keep order per key. Each keeps its place, and in the eyes of its key it is still with a consumer, so those behind it wait.
 *
 * What they wait for, and what their next receiver is told, is noted in the frame in which they came back: after a crash they
 * are ready at their old places, and whoever takes them first finds the note.
 *
 *     note    key    queue id, sequence          value    { dueAt, headers }
 */
import { Heap } from '../lib/heap.ts'
import { type FieldTable, type PlainValue, toTable } from '../model/field-table.ts'
import { namespaces } from '../model/namespaces.ts'
import type { Entry } from '../store/entry.ts'
import type { Store } from '../store/store.ts'

/** What the next receiver is told, as headers. */
export type ParkedHeaders = { readonly [name: string]: PlainValue }

interface Parked {
  readonly dueAt: number
  readonly entry: Entry
}

interface ParkedNote {
  readonly dueAt: number
  readonly headers: ParkedHeaders
}

export class ParkedEntries {
  private readonly notes: Store['notes']
  private readonly queueId: number
  private readonly waiting = new Heap<Parked>((left, right) => left.dueAt < right.dueAt)

  constructor(notes: Store['notes'], queueId: number) {
    this.notes = notes
    this.queueId = queueId
  }

  get count(): number {
    return this.waiting.length
  }

  /** When the next one is due, in ms since 1970; infinity: none waits. */
  get nextMs(): number {
    return this.waiting.peek()?.dueAt ?? Number.POSITIVE_INFINITY
  }

  /** Whether anything of it is known: also of entries that wait no more, or not yet. */
  get isUsed(): boolean {
    return this.notes.has(namespaces.parked)
  }

  /** The entry came back, and waits until then. The note is in the open frame. */
  add(entry: Entry, dueAt: number, headers: ParkedHeaders, nowMs: number): void {
    const windowMs = dueAt - nowMs + namespaces.parked.windowMs
    const value = JSON.stringify({ dueAt, headers } satisfies ParkedNote)
    this.notes.put(namespaces.parked, this.keyOf(entry), value, nowMs, entry.logged, windowMs)
    this.waiting.push({ dueAt, entry })
  }

  /** Whether an entry that was ready has to wait still, as an earlier life noted; then it waits from now on. */
  catches(entry: Entry, nowMs: number): boolean {
    const note = this.noteOf(entry, nowMs)
    if (note === null || note.dueAt <= nowMs) return false
    this.waiting.push({ dueAt: note.dueAt, entry })
    return true
  }

  /** Takes out the first that is due by then; undefined: none is. */
  takeDue(nowMs: number): Entry | undefined {
    const first = this.waiting.peek()
    if (first === undefined || first.dueAt > nowMs) return undefined
    this.waiting.pop()
    return first.entry
  }

  /** What the receiver of the entry is told; null: nothing. */
  headersOf(entry: Entry, nowMs: number): FieldTable | null {
    const note = this.noteOf(entry, nowMs)
    return note === null ? null : toTable(note.headers)
  }

  /** The entry is done with. What the log says of it means nothing any more. */
  forget(entry: Entry): void {
    this.notes.drop(namespaces.parked, this.keyOf(entry))
  }

  /** All that wait. */
  entries(): readonly Entry[] {
    return this.waiting.values().map(({ entry }) => entry)
  }

  /** Takes that one out; false if it does not wait. */
  remove(entry: Entry): boolean {
    const others = this.waiting.values().filter((parked) => parked.entry !== entry)
    if (others.length === this.waiting.length) return false
    this.waiting.clear()
    for (const other of others) this.waiting.push(other)
    this.forget(entry)
    return true
  }

  /** Takes all of them out. */
  clear(visit: (entry: Entry) => void): void {
    const all = [...this.waiting.values()]
    this.waiting.clear()
    for (const { entry } of all) visit(entry)
  }

  private noteOf(entry: Entry, nowMs: number): ParkedNote | null {
    if (!this.isUsed) return null
    const value = this.notes.get(namespaces.parked, this.keyOf(entry), nowMs)
    return value === null ? null : (JSON.parse(value) as ParkedNote)
  }

  private keyOf({ sequence }: Entry): string {
    return `${this.queueId} ${sequence}`
  }
}
