/** What a fuzzer asks of its seed: which of these, whether, how many, and whether to bend this one. */
import { Prng } from '../../lib/prng.ts'

export class Dice {
  readonly prng: Prng
  /** How often a value is bent. */
  bend = 0

  constructor(seed: number) {
    this.prng = new Prng(seed)
  }

  chance(probability: number): boolean {
    return this.prng.chance(probability)
  }

  get isBent(): boolean {
    return this.bend > 0 && this.prng.chance(this.bend)
  }

  below(bound: number): number {
    return this.prng.below(bound)
  }

  between(min: number, max: number): number {
    return min + this.prng.below(max - min + 1)
  }

  pick<T>(values: readonly T[]): T {
    return values[this.prng.below(values.length)] as T
  }

  next(): number {
    return this.prng.next()
  }

  octets(length: number): Buffer {
    const octets = Buffer.alloc(length)
    this.prng.fill(octets)
    return octets
  }
}
