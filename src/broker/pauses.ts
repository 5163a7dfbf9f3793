/** Which queues are paused, remembered as long as the queue is there: of a durable one over restarts, too. */
import { BrokerError } from '../model/errors.ts'
import { namespaces } from '../model/namespaces.ts'
import type { Store } from '../store/store.ts'

/** A queue, as far as its pause is concerned. */
interface PausedQueue {
  readonly id: number
  readonly name: string
  readonly durable: boolean
}

export class Pauses {
  private readonly notes: Store['notes']

  constructor(notes: Store['notes']) {
    this.notes = notes
  }

  /** Whether it is, as far as anybody remembers. */
  has({ id }: PausedQueue, nowMs: number): boolean {
    return this.notes.has(namespaces.pauses) && this.notes.get(namespaces.pauses, String(id), nowMs) !== null
  }

  /** Notes it. Throws RESOURCE_ERROR where so many are paused that one of them would be forgotten. */
  add({ id, name, durable }: PausedQueue, nowMs: number): void {
    const { notesMax } = namespaces.pauses
    if (this.notes.countOf(namespaces.pauses) >= notesMax) {
      const text = `the queue '${name}' cannot be paused: ${notesMax} are, and no more can be remembered`
      throw new BrokerError('RESOURCE_ERROR', text)
    }
    this.notes.put(namespaces.pauses, String(id), '', nowMs, durable)
  }

  remove({ id }: PausedQueue): void {
    this.notes.forget(namespaces.pauses, String(id))
  }
}
