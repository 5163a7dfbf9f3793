/**
 * A seeded generator (sfc32: 128 bits of state, passes PractRand): the same seed gives the same numbers on every
 * machine, which is all that the simulator and the tests ask of it. Not for secrets.
 */

export class Prng {
  private a: number
  private b: number
  private c: number
  private counter = 1

  constructor(seed: number) {
    this.a = seed | 0
    this.b = Math.floor(seed / 2 ** 32) | 0
    this.c = 0x9e3779b9 | 0
    for (let round = 0; round < 15; round++) this.nextU32()
  }

  nextU32(): number {
    const sum = (((this.a + this.b) | 0) + this.counter) | 0
    this.counter = (this.counter + 1) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = (this.c << 21) | (this.c >>> 11)
    this.c = (this.c + sum) | 0
    return sum >>> 0
  }

  /** In [0, 1). */
  next(): number {
    return this.nextU32() / 2 ** 32
  }

  /** A whole number in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.next() * bound)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  fill(target: Buffer): void {
    for (let at = 0; at < target.length; at++) target[at] = this.nextU32() >>> 24
  }
}
