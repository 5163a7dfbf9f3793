/** Randomness from the operating system. */
import { randomFillSync } from 'node:crypto'
import type { Random } from './random.ts'

export class NodeRandom implements Random {
  fill(target: Buffer): void {
    randomFillSync(target)
  }

  next(): number {
    return Math.random()
  }
}
