/**
 * Whether a disk holds what it must: the state that recovery finds is compared with the states the reference allows, one
 * per frame that may have become durable or not. It must be one of them exactly: so nothing confirmed is lost, nothing
 * settled comes back, nothing is invented, order is kept, and no frame is there by half.
 */

import { LeveretError } from '../../model/errors.ts'
import type { LogStoreOptions } from '../../store/log-store-options.ts'
import { SimClock } from '../sim-clock.ts'
import type { SimDisk } from '../sim-disk.ts'
import type { Candidate } from './fact-journal.ts'
import { type DurableState, inOrder, type ModelEntry } from './facts.ts'
import { exchangeText, type FoundQueue, type FoundState, openOnly, readState } from './found-state.ts'
import type { Ledger } from './ledger.ts'
import { Violation } from './trace.ts'

const honestRefusals: readonly string[] = ['E_STORAGE_CORRUPT', 'E_FORMAT_UNSUPPORTED']

interface Difference {
  readonly invariant: string
  readonly text: string
}

export interface Match {
  readonly lsn: number
  readonly state: DurableState
  readonly found: FoundState
}

export class Checker {
  readonly ledger: Ledger
  private readonly storage: LogStoreOptions

  constructor(ledger: Ledger, storage: LogStoreOptions) {
    this.ledger = ledger
    this.storage = storage
  }

  /** Throws a Violation, or returns which of the candidates the disk holds. The disk must be nobody else's. */
  async check(clock: SimClock, disk: SimDisk, candidates: readonly Candidate[], openLsn: number): Promise<Match> {
    const found = await this.read(clock, disk)
    let nearest: { candidate: Candidate; differences: Difference[] } | null = null
    for (const candidate of candidates) {
      const differences = compare(candidate.state, found, this.ledger)
      if (nearest === null || differences.length < nearest.differences.length) nearest = { candidate, differences }
      if (differences.length === 0) break
    }
    const damage = found.failure ?? found.damages[0]
    if (damage !== undefined) throw new Violation('I13', damage.message)
    if (nearest === null) throw new Violation('checker', 'there is no candidate')
    if (nearest.differences.length > 0) throw this.report(nearest.candidate, candidates, nearest.differences)
    if (found.openLsn < openLsn) {
      throw new Violation('I12', `recovery goes on with frame ${found.openLsn}, but ${openLsn - 1} was begun already`)
    }
    return { ...nearest.candidate, found }
  }

  /**
   * Bits have rotted, or files are of another history. The folder may refuse to open, or stop when it comes to that place,
   * or open with all that was in it but messages it names as lost: of one record if it was one bit. Never with less, and
   * never with something else. Says what it did.
   */
  async checkDamaged(
    clock: SimClock,
    disk: SimDisk,
    state: DurableState,
    damage: string,
    recordsMax: number,
  ): Promise<'refused' | 'reported' | 'no matter'> {
    let found: FoundState
    try {
      found = await readState(clock, disk, this.storage, true)
    } catch (error) {
      if (isHonest(error)) return 'refused'
      const text = error instanceof Error ? error.stack : String(error)
      throw new Violation('I13', `after ${damage} the folder ends in ${text}`)
    }
    if (isHonest(found.failure)) return 'refused'
    const left = state.copy()
    const lost = found.damages.length > 0 ? takeMissing(left, found) : []
    if (lost.length !== found.damages.length || new Set(lost.map(({ publication }) => publication)).size > recordsMax) {
      const names = lost.map(({ publication, queue }) => `#${publication.id} of ${queue}`).join(', ')
      throw new Violation('I13', `after ${damage} ${found.damages.length} messages are called lost, and ${names} are`)
    }
    const [difference] = compare(left, found, this.ledger)
    if (difference !== undefined) throw new Violation('I13', `after ${damage} the folder opens, but ${difference.text}`)
    return lost.length > 0 ? 'reported' : 'no matter'
  }

  /** The folder holds something that no broker wrote: it must not open. */
  async checkRefused(clock: SimClock, disk: SimDisk, damage: string): Promise<void> {
    try {
      await openOnly(clock, disk, this.storage)
    } catch (error) {
      if (isHonest(error)) return
      const text = error instanceof Error ? error.stack : String(error)
      throw new Violation('I13', `after ${damage} the folder ends in ${text}`)
    }
    throw new Violation('I13', `after ${damage} the folder opens as if nothing had happened`)
  }

  /** Recovers, is cut off, and recovers again: that must find the same. */
  async checkTwice(clock: SimClock, disk: SimDisk, first: FoundState, cutOff: (disk: SimDisk) => void): Promise<void> {
    await openOnly(clock, disk, this.storage)
    cutOff(disk)
    const second = await this.read(clock, disk)
    const difference = differenceOf(first, second)
    if (difference !== null) throw new Violation('I14', `recovering a second time finds another state: ${difference}`)
  }

  private async read(clock: SimClock, disk: SimDisk): Promise<FoundState> {
    try {
      return await readState(clock, disk, this.storage)
    } catch (error) {
      if (error instanceof Violation) throw error
      throw new Violation('I1', `the folder does not open: ${error instanceof Error ? error.stack : String(error)}`)
    }
  }

  private report(nearest: Candidate, candidates: readonly Candidate[], differences: readonly Difference[]): Violation {
    const first = differences[0] as Difference
    const frames = candidates.map(({ lsn }) => lsn).join(' or ')
    const lines = differences.slice(0, 12).map(({ invariant, text }) => `    ${invariant} ${text}`)
    if (differences.length > lines.length) lines.push(`    and ${differences.length - lines.length} more`)
    const head = `after recovery the state is not the one after frame ${frames}; seen from frame ${nearest.lsn}:`
    return new Violation(first.invariant, [head, ...lines].join('\n'))
  }
}

/** Whether the broker says that it will not open the folder, and why. */
export function isHonest(error: unknown): boolean {
  return error instanceof LeveretError && honestRefusals.includes(error.code)
}

/** Takes out of `state` what is not found, and returns it. */
function takeMissing(state: DurableState, found: FoundState): ModelEntry[] {
  const missing: ModelEntry[] = []
  for (const [name, queue] of state.queues) {
    const there = new Set(found.queues.get(name)?.messages.map((message) => message.fingerprint))
    for (const [position, entry] of queue.entries) {
      if (there.has(entry.publication.fingerprint)) continue
      missing.push(entry)
      queue.entries.delete(position)
    }
  }
  return missing
}

function compare(state: DurableState, found: FoundState, ledger: Ledger): Difference[] {
  const differences: Difference[] = []
  const exchanges = new Map([...state.exchanges].map(([name, exchange]) => [name, exchangeText(exchange)]))
  compareNames('exchange', exchanges, found.exchanges, differences)
  const bindings = new Map([...state.bindings.keys()].map((key) => [key, '']))
  compareNames('binding', bindings, new Map([...found.bindings].map((key) => [key, ''])), differences)
  const queues = new Map([...state.queues].map(([name, { facts }]) => [name, String(facts.autoDelete)]))
  const foundQueues = new Map([...found.queues].map(([name, { autoDelete }]) => [name, String(autoDelete)]))
  compareNames('queue', queues, foundQueues, differences)
  for (const [name, queue] of state.queues) {
    const foundQueue = found.queues.get(name)
    if (foundQueue !== undefined) {
      compareQueue(name, inOrder(queue.entries.values()), foundQueue, found.isClean, ledger, differences)
    }
  }
  return differences
}

function compareNames(
  what: string,
  expected: ReadonlyMap<string, string>,
  found: ReadonlyMap<string, string>,
  differences: Difference[],
): void {
  for (const [name, text] of expected) {
    if (!found.has(name)) differences.push({ invariant: 'topology', text: `${what} ${name} is gone` })
    else if (found.get(name) !== text) {
      differences.push({ invariant: 'topology', text: `${what} ${name} is ${found.get(name)} and was ${text}` })
    }
  }
  for (const name of found.keys()) {
    if (!expected.has(name)) differences.push({ invariant: 'topology', text: `${what} ${name} is there` })
  }
}

function compareQueue(
  name: string,
  expected: readonly ModelEntry[],
  found: FoundQueue,
  isClean: boolean,
  ledger: Ledger,
  differences: Difference[],
): void {
  const { messages } = found
  const isSame =
    expected.length === messages.length &&
    expected.every((entry, at) => entry.publication.fingerprint === messages[at]?.fingerprint)
  if (isSame) {
    expected.forEach((entry, at) => {
      const isRedelivered = messages[at]?.redelivered === true
      if (isRedelivered === entry.handedOut || (isRedelivered && !isClean)) return
      const was = entry.handedOut ? 'was handed out before' : 'was never handed out, and the end was clean'
      differences.push({
        invariant: 'I7',
        text: `queue ${name}: #${entry.publication.id} ${was}; redelivered=${isRedelivered}`,
      })
    })
    return
  }
  const wanted = new Set(expected.map((entry) => entry.publication.fingerprint))
  const there = new Set(messages.map((message) => message.fingerprint))
  const before = differences.length
  for (const { publication } of expected) {
    if (there.has(publication.fingerprint)) continue
    const invariant = publication.outcome === 'confirmed' ? 'I1' : 'I4'
    differences.push({ invariant, text: `queue ${name}: #${publication.id} is lost (${publication.outcome})` })
  }
  for (const { fingerprint } of messages) {
    if (wanted.has(fingerprint)) continue
    const publication = ledger.publications.find((one) => one.fingerprint === fingerprint)
    if (publication === undefined) differences.push({ invariant: 'I3', text: `queue ${name}: a message nobody sent` })
    else differences.push({ invariant: 'I2', text: `queue ${name}: #${publication.id} is there and must not be` })
  }
  if (there.size < messages.length) {
    differences.push({ invariant: 'I3', text: `queue ${name}: a message is there twice` })
  }
  if (differences.length === before) {
    differences.push({ invariant: 'I5', text: `queue ${name}: the messages are not in the order they were sent in` })
  }
}

/** Redelivered flags may only rise: the first recovery ended without saying so. */
function differenceOf(first: FoundState, second: FoundState): string | null {
  if (!sameKeys(first.exchanges, second.exchanges)) return 'the exchanges differ'
  if (!sameKeys(first.queues, second.queues)) return 'the queues differ'
  if (first.bindings.size !== second.bindings.size) return 'the bindings differ'
  for (const [name, queue] of first.queues) {
    const other = second.queues.get(name)?.messages ?? []
    if (other.length !== queue.messages.length) return `queue ${name} has ${queue.messages.length} and ${other.length}`
    for (const [at, message] of queue.messages.entries()) {
      if (message.fingerprint !== other[at]?.fingerprint) return `queue ${name} differs at ${at}`
      if (message.redelivered && !other[at]?.redelivered) return `queue ${name} forgets a delivery at ${at}`
    }
  }
  return null
}

function sameKeys(first: ReadonlyMap<string, unknown>, second: ReadonlyMap<string, unknown>): boolean {
  return first.size === second.size && [...first.keys()].every((key) => second.has(key))
}
