/**
 * How often the messages of queues with a delivery limit came back, so that one that brings its consumers down is given up
 * although each time the process ends with it. A count is noted when a message comes back, and looked up when it is
 * handed out. Checkpoints know the counts of what waits, too, as they were when they were made.
 */
import { namespaces } from '../model/namespaces.ts'
import type { Entry } from '../store/entry.ts'
import type { Store } from '../store/store.ts'

export class DeliveryCounts {
  private readonly notes: Store['notes']

  constructor(notes: Store['notes']) {
    this.notes = notes
  }

  /** The entry came back. */
  remember(queueId: number, entry: Entry, nowMs: number): void {
    if (!entry.logged) return
    this.notes.put(namespaces.deliveries, keyOf(queueId, entry), String(entry.deliveryCount), nowMs, true)
  }

  /** Gives the entry back what an earlier life knew of it. */
  recall(queueId: number, entry: Entry, nowMs: number): void {
    if (!entry.logged || !this.notes.has(namespaces.deliveries)) return
    const noted = this.notes.get(namespaces.deliveries, keyOf(queueId, entry), nowMs)
    if (noted !== null) entry.deliveryCount = Math.max(entry.deliveryCount, Number(noted))
  }
}

function keyOf(queueId: number, { sequence }: Entry): string {
  return `${queueId} ${sequence}`
}
