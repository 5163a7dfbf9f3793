/**
 * How often the messages of queues with a delivery limit were handed out, so that one that brings its consumers down is given
 * up although each time the process ends with it. A count is noted when a message comes back, and each time it is handed out
 * again: a crash says nothing any more. It is looked up when it is handed out. Of the first time nothing is noted; that it may
 * have been is known after a crash, and counted, but nothing is given up on suspicion. Checkpoints know the counts of what
 * waits, too, as they were when they were made.
 */
import { namespaces } from '../model/namespaces.ts'
import type { Entry } from '../store/entry.ts'
import type { Store } from '../store/store.ts'

export class DeliveryCounts {
  private readonly notes: Store['notes']

  constructor(notes: Store['notes']) {
    this.notes = notes
  }

  /** The entry came back, or is handed out once more. */
  remember(queueId: number, entry: Entry, nowMs: number): void {
    if (!entry.logged) return
    this.notes.put(namespaces.deliveries, keyOf(queueId, entry), String(entry.deliveryCount), nowMs, true)
  }

  /** Gives the entry back what an earlier life knew of it, and returns that; 0: nothing. */
  recall(queueId: number, entry: Entry, nowMs: number): number {
    if (!entry.logged || !this.notes.has(namespaces.deliveries)) return 0
    const noted = Number(this.notes.get(namespaces.deliveries, keyOf(queueId, entry), nowMs) ?? 0)
    if (noted > entry.deliveryCount) entry.deliveryCount = noted
    return noted
  }
}

function keyOf(queueId: number, { sequence }: Entry): string {
  return `${queueId} ${sequence}`
}
