/** What is remembered beside messages, of which kinds, how long and how much of it. The notes themselves are in store/notes.ts. */
import { limits } from './limits.ts'

export interface Namespace {
  /** What the log calls it. */
  readonly id: number
  /** How long its notes are remembered. */
  readonly windowMs: number
  readonly notesMax: number
  /** Of memory. */
  readonly bytesMax: number
}

/** For what is remembered as long as what it is about: ten years. */
const foreverMs = 315_360_000_000

export const namespaces: {
  readonly idempotency: Namespace
  readonly deliveries: Namespace
  readonly asked: Namespace
  readonly outcomes: Namespace
  readonly askers: Namespace
  readonly pauses: Namespace
  readonly parked: Namespace
  readonly debounces: Namespace
  readonly schedules: Namespace
} = {
  /** Publishes that were taken: the key is queue and idempotency key, the value the message id. */
  idempotency: { id: 1, windowMs: 3_600_000, notesMax: limits.notesMax, bytesMax: limits.noteBytesMax },
  /** How often messages came back: the key is queue id and sequence, the value the count. */
  deliveries: { id: 2, windowMs: 604_800_000, notesMax: limits.notesMax, bytesMax: limits.noteBytesMax },
  /** Deliveries that came back for later: the key is queue id and sequence, the value JSON. Kept so long after they are due. */
  parked: { id: 8, windowMs: 604_800_000, notesMax: limits.notesMax, bytesMax: limits.noteBytesMax },
  /** The latest hidden message of each debounce key: the key is queue and that, the value its sequence. */
  debounces: { id: 9, windowMs: 3_600_000, notesMax: limits.notesMax, bytesMax: limits.noteBytesMax },
  /** Queues that ever had a message whose sender wants to be told: the key is the queue id. */
  asked: { id: 5, windowMs: foreverMs, notesMax: limits.queuesMax, bytesMax: Number.POSITIVE_INFINITY },
  /** What became of publishes with an idempotency key whose senders asked: the key as there, the value JSON. */
  outcomes: { id: 6, windowMs: 3_600_000, notesMax: limits.notesMax, bytesMax: limits.noteBytesMax },
  /** Who sent such a message again and wants to be told, too: the key as there, the value JSON. */
  askers: { id: 7, windowMs: 3_600_000, notesMax: limits.notesMax, bytesMax: limits.noteBytesMax },
  /**
   * Schedules: under the virtual host and the name what is published when, and under these and `progress` how far it has come. For a
   * hundred years; how many there can be is seen to where they are made.
   */
  schedules: {
    id: 10,
    windowMs: 3_155_760_000_000,
    notesMax: 2 * limits.schedulesMax,
    bytesMax: Number.POSITIVE_INFINITY,
  },
  /** Queues that hand out nothing: the key is the queue id. For a hundred years: as long as the queue is there. */
  pauses: { id: 3, windowMs: 3_155_760_000_000, notesMax: limits.notesMax, bytesMax: limits.noteBytesMax },
}
