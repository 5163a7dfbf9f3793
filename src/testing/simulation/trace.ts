/**
 * The history of one seed, line by line: hashed, so that two runs can be compared, and printed when somebody looks.
 */
import type { Clock } from '../../platform/clock.ts'

/**
 * An invariant does not hold: one of these, or a word for what has no number. After each stands who looks.
 *
 *     I1   what was confirmed is there, or was consumed     checker after every crash and probe; letters; exhaustion
 *     I2   what was acknowledged durably stays away         checker; letters
 *     I3   nothing is made up, changed or doubled           ledger at every delivery; checker; letters
 *     I4   what a recovery showed is there after the next   checker (its states begin with what was found); judges
 *     I5   first in, first out; requeued to the old place;  witness (each next message is known), client-channel;
 *          of one key in order, and so many at a time       letters
 *     I6   "not redelivered" means nobody ever had it       witness, client-channel over all lives; reported as I7
 *     I7   redelivered never goes back, nor does a count    witness; checker after crashes. Counts, and the limit of
 *          of deliveries                                    them: letters, from what receivers are told
 *     I8   a transaction is whole or not there; a dead      checker (a state is that after some frame); letters
 *          letter is in one place
 *     I9   one answer per publish, when it is durable,      witness, against the platters of the disk; simulator waits
 *          none after the storage failed                    for those that are missing
 *     I10  routes and returns are the right ones            reference and routing, by counts, returns and deliveries;
 *                                                           reported as "model". Not by whom hashes choose
 *     I11  one holder at a time, no more than its credit;   witness (also that of a single active consumer, and of
 *          exclusive is exclusive                           priorities), letters; reference refuses what is exclusive
 *     I12  no frame and no sequence has a number twice      frame-history, checker
 *     I13  damage is found or does no harm                  simulator: a bit, a sector, a file, a segment of another
 *                                                           history; nobody looks at what the last segment lost
 *     I14  recovering twice is recovering once              checker (checkTwice), simulator; exhaustion
 *     I15  what is used has a bound                         simulator: an empty folder becomes small, letters: nothing
 *                                                           is left. Memory of the real process: scripts/bounds.mjs
 *     I16  no sooner and no later than its time, be it      letters, with a wall clock that is set back and forth; what
 *          that it expires or that it appears               is hidden also in what a crash leaves
 *     I17  without trouble everything moves on              simulator (checkLiveness, lastLife); letters, also that a
 *                                                           queue has no more than it may, and lodger, that one goes
 *                                                           when nobody uses it; else reported as "liveness"
 */
export class Violation extends Error {
  override readonly name: string = 'Violation'
  readonly invariant: string

  constructor(invariant: string, text: string) {
    super(`${invariant}: ${text}`)
    this.invariant = invariant
  }
}

/** What went wrong otherwise is one, too. */
export function asViolation(error: unknown): Violation {
  if (error instanceof Violation) return error
  return new Violation('exception', error instanceof Error ? (error.stack ?? error.message) : String(error))
}

/** For whoever runs a history of a seed. */
export interface HistoryOptions {
  /** Gets every line of the history; null for speed. */
  readonly print: ((line: string) => void) | null
  /** Errors that nobody caught, such as rejected promises; what is returned is forgotten. */
  readonly takeUncaught: () => unknown
}

export class Trace {
  lines = 0
  /** The first one. Who throws it may be called by code that catches errors, so it is kept here. */
  violation: Violation | null = null
  private readonly clock: Pick<Clock, 'monotonicMs'>
  private readonly print: ((line: string) => void) | null
  /** Two FNV-1a hashes with different offsets: 64 bits. */
  private low = 0x811c9dc5
  private high = 0x6c62272e

  constructor(clock: Pick<Clock, 'monotonicMs'>, print: ((line: string) => void) | null) {
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
