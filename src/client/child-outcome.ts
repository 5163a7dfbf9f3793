/** What became of a child: as its parent is told. */
import type { LeveretError } from '../model/errors.ts'

/** What became of a child. */
export interface ChildOutcome {
  readonly queue: string
  readonly status: 'processed' | 'failed' | 'dead-lettered' | 'expired'
  /** What its handler returned; undefined unless it was processed. */
  readonly result: unknown
  /** Null if it was processed. */
  readonly error: LeveretError | null
}
