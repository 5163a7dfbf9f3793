/** What a history is to its processes: the broker they are on, dice, and somebody to tell what happens. */
import type { Prng } from '../../lib/prng.ts'
import type { TestBroker } from '../kit/test-broker.ts'

export interface World {
  readonly test: TestBroker
  /** For what is decided when it happens. */
  readonly prng: Prng
  nowMs(): number
  /** Something has happened. */
  note(line: string): void
  complain(invariant: string, text: string): void
}
