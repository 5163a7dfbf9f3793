/** Seeded randomness: one seed, one history. */
import { Prng } from '../lib/prng.ts'
import type { Random } from '../platform/random.ts'

export class SimRandom implements Random {
  readonly prng: Prng

  constructor(seed: number) {
    this.prng = new Prng(seed)
  }

  fill(target: Buffer): void {
    this.prng.fill(target)
  }

  next(): number {
    return this.prng.next()
  }
}
