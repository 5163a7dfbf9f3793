/**
 * The history of one seed, line by line: hashed, so that two runs can be compared, and printed when somebody looks.
 */
import type { Clock } from '../../platform/clock.ts'

/** An invariant does not hold. `invariant` is its number in the design, or a word for those without. */
export class Violation extends Error {
  override readonly name: string = 'Violation'
  readonly invariant: string

  constructor(invariant: string, text: string) {
    super(`${invariant}: ${text}`)
    this.invariant = invariant
  }
}

export class Trace {
  lines = 0
  /** The first one. Who throws it may be called by code that catches errors, so it is kept here. */
  violation: Violation | null = null
  private readonly clock: Clock
  private readonly print: ((line: string) => void) | null
  /** Two FNV-1a hashes with different offsets: 64 bits. */
  private low = 0x811c9dc5
  private high = 0x6c62272e

  constructor(clock: Clock, print: ((line: string) => void) | null) {
    this.clock = clock
    this.print = print
  }

  add(line: string): void {
    this.lines++
    let { low, high } = this
    for (let at = 0; at < line.length; at++) {
      const code = line.charCodeAt(at)
      low = Math.imul(low ^ code, 0x01000193)
      high = Math.imul(high ^ code, 0x01000193) + low
    }
    this.low = low
    this.high = high | 0
    this.print?.(`${this.clock.monotonicMs().toFixed(3).padStart(10)}  ${line}`)
  }

  violated(violation: Violation): Violation {
    if (this.violation === null) this.add(`VIOLATION ${violation.message}`)
    this.violation ??= violation
    return violation
  }

  get hash(): string {
    return [this.high, this.low].map((part) => (part >>> 0).toString(16).padStart(8, '0')).join('')
  }
}
