/**
 * What AMQP has no record for: a value under a key in a namespace, remembered in the frame of what it belongs to and until it
 * expires. Each namespace has a window and a bound; beyond that the oldest are forgotten, here and in recovery alike.
 */
import { limits } from '../model/limits.ts'
import { type Namespace, namespaces } from '../model/namespaces.ts'

export interface Note {
  readonly namespace: number
  readonly key: string
  readonly value: string
  /** In ms since 1970; 0: it is forgotten. */
  readonly expiresAt: number
  /** Whether it survives a restart. */
  readonly logged: boolean
}

/** The notes of one namespace, the oldest first. */
class Space {
  readonly notes = new Map<string, Note>()
  private bytes = 0

  put(note: Note, notesMax: number, bytesMax: number): void {
    this.remove(note.key)
    this.notes.set(note.key, note)
    this.bytes += costOf(note)
    for (const { key } of this.notes.values()) {
      if (this.notes.size <= notesMax && this.bytes <= bytesMax) return
      this.remove(key)
    }
  }

  /** Forgets what has expired, from the oldest on. */
  expire(nowMs: number): void {
    for (const { key, expiresAt } of this.notes.values()) {
      if (expiresAt > nowMs) return
      this.remove(key)
    }
  }

  remove(key: string): void {
    const known = this.notes.get(key)
    if (known === undefined) return
    this.notes.delete(key)
    this.bytes -= costOf(known)
  }
}

export class Notes {
  private readonly spaces = new Map<number, Space>()
  private readonly append: ((note: Note) => void) | null

  /** `append` writes a note into the open frame; null: there is no log. */
  constructor(append: ((note: Note) => void) | null) {
    this.append = append
  }

  /** The value; null if nothing is noted under that key, or not any more. */
  get({ id }: Namespace, key: string, nowMs: number): string | null {
    const note = this.spaces.get(id)?.notes.get(key)
    return note === undefined || note.expiresAt <= nowMs ? null : note.value
  }

  /** Whether anything is noted there. */
  has({ id }: Namespace): boolean {
    return (this.spaces.get(id)?.notes.size ?? 0) > 0
  }

  /** What is noted there, the oldest first. */
  *entries({ id }: Namespace): Generator<readonly [key: string, value: string]> {
    for (const { key, value } of this.spaces.get(id)?.notes.values() ?? []) yield [key, value]
  }

  /** How many notes there are. */
  countOf({ id }: Namespace): number {
    return this.spaces.get(id)?.notes.size ?? 0
  }

  /** Forgets what is noted under that key, here and in the log; false if that is nothing. */
  forget({ id }: Namespace, key: string): boolean {
    const known = this.spaces.get(id)?.notes.get(key)
    if (known === undefined) return false
    const gone = { ...known, value: '', expiresAt: 0 }
    this.restore(gone)
    if (known.logged) this.append?.(gone)
    return true
  }

  /** Forgets what is noted under that key in this life; for what means nothing in another. */
  drop({ id }: Namespace, key: string): void {
    this.spaces.get(id)?.remove(key)
  }

  /** Notes a value for the window of the namespace, or another; `logged`: it survives a restart. */
  put(
    space: Namespace,
    key: string,
    value: string,
    nowMs: number,
    logged: boolean,
    windowMs: number = space.windowMs,
  ): void {
    const { id } = space
    const note = { namespace: id, key, value, expiresAt: Math.ceil(nowMs + windowMs), logged }
    this.spaces.get(id)?.expire(nowMs)
    this.restore(note)
    if (logged) this.append?.(note)
  }

  /** Recovery: what the log, or a checkpoint, says. */
  restore(note: Note): void {
    const { namespace } = note
    let space = this.spaces.get(namespace)
    if (space === undefined) {
      space = new Space()
      this.spaces.set(namespace, space)
    }
    if (note.expiresAt === 0) return space.remove(note.key)
    const known = Object.values(namespaces).find(({ id }) => id === namespace)
    space.put(note, known?.notesMax ?? limits.notesMax, known?.bytesMax ?? limits.noteBytesMax)
  }

  /** All that survive a restart, those of a namespace in their order. */
  logged(): Note[] {
    const all: Note[] = []
    for (const { notes } of this.spaces.values()) for (const note of notes.values()) if (note.logged) all.push(note)
    return all
  }
}

/** A guess, on the high side, at what it takes in memory. */
function costOf({ key, value }: Note): number {
  return 2 * (key.length + value.length) + 160
}
