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

export const namespaces: { readonly idempotency: Namespace; readonly deliveries: Namespace } = {
  /** Publishes that were taken: the key is queue and idempotency key, the value the message id. */
  idempotency: { id: 1, windowMs: 3_600_000, notesMax: limits.notesMax, bytesMax: limits.noteBytesMax },
  /** How often messages came back: the key is queue id and sequence, the value the count. */
  deliveries: { id: 2, windowMs: 604_800_000, notesMax: limits.notesMax, bytesMax: limits.noteBytesMax },
}
