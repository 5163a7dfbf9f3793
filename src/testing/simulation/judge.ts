/**
 * Who says whether what a crash leaves is right. A judge stands at the broker's port, so that it knows what was promised,
 * and can say at any moment what must then be on the disk.
 */
import { assert } from '../../lib/assert.ts'
import { Prng } from '../../lib/prng.ts'
import type { Driver } from '../../model/channel.ts'
import type { Message } from '../../model/message.ts'
import type { LogStoreOptions } from '../../store/log-store-options.ts'
import type { SimClock } from '../sim-clock.ts'
import type { SimDisk } from '../sim-disk.ts'
import { Checker } from './checker.ts'
import type { Candidate } from './fact-journal.ts'
import { DurableState } from './facts.ts'
import type { OpenedBroker } from './found-state.ts'
import { Ledger } from './ledger.ts'
import { Reference } from './reference.ts'
import type { Trace } from './trace.ts'
import { Witness } from './witness.ts'

/** What must hold of a disk if the crash comes at a certain moment. */
export interface Verdict {
  /** Two moments with the same key allow the same. */
  readonly key: string
  /**
   * Throws a Violation, or returns what must hold of it from then on: what a recovery has shown to anybody must be there
   * after the next one. The disk is of no use afterwards.
   */
  check(clock: SimClock, disk: SimDisk): Promise<Verdict>
}

export interface Judge {
  /** A broker was opened: whoever uses it does so through what is returned. */
  opened(broker: OpenedBroker): Driver
  /** The broker is closed, or about to end. */
  close(): Promise<void>
  verdict(): Verdict
  /** A message for that queue, to be hidden there so long. */
  make(queue: string, bodyBytes: number, delayMs: number): Message
}

/** By the reference: one of a few states, exactly. */
export class ReferenceJudge implements Judge {
  private readonly ledger: Ledger
  private readonly prng = new Prng(1)
  private readonly reference = new Reference()
  private readonly trace: Trace
  private readonly checker: Checker
  private witness: Witness | null = null
  private frames: { readonly openLsn: number; readonly durableLsn: number } = { openLsn: 1, durableLsn: 0 }
  private lives = 0
  private candidates: readonly Candidate[] = [{ lsn: 0, state: new DurableState() }]

  constructor(trace: Trace, storage: LogStoreOptions) {
    this.trace = trace
    this.ledger = new Ledger(trace)
    this.checker = new Checker(this.ledger, storage)
  }

  opened({ broker, store }: OpenedBroker): Driver {
    const { ledger, reference, trace } = this
    ledger.life++
    this.lives++
    this.frames = store
    reference.restart((this.candidates.at(-1) as Candidate).state)
    // Every state that a crash may leave is looked at here: nobody needs to ask the platters at each confirm.
    const always = (): boolean => true
    const watch = { isStored: always, isOnPlatter: always, promised: () => {} }
    const parts = { ledger, reference, trace, frames: store, deliverAfter: 'accept', ...watch } as const
    this.witness = new Witness(broker, parts)
    return this.witness
  }

  async close(): Promise<void> {
    const { witness, frames } = this
    await witness?.close()
    this.witness = null
    this.candidates = this.reference.journal.candidates(frames.durableLsn, frames.openLsn)
    this.frames = { openLsn: frames.openLsn, durableLsn: frames.durableLsn }
  }

  verdict(): Verdict {
    const { checker, frames, reference, witness } = this
    const { openLsn, durableLsn } = frames
    const isOpen = witness !== null
    const candidates = isOpen ? reference.journal.candidates(durableLsn, openLsn) : this.mayHaveBegun()
    const key = `${this.lives} ${isOpen} ${durableLsn} ${openLsn} ${candidates.map(({ lsn }) => lsn).join(' ')}`
    return verdictOf(checker, key, candidates, openLsn)
  }

  make(queue: string, bodyBytes: number, delayMs: number): Message {
    assert(delayMs === 0, 'the reference knows nothing of what is hidden: that is for letters')
    return this.ledger.make(this.prng, 'scene', '', queue, true, bodyBytes).message
  }

  /** While it is opened it may count as a run of which nobody knows what it handed out; or not, until it says so. */
  private mayHaveBegun(): Candidate[] {
    const unclean = this.candidates.map(({ lsn, state }) => {
      const copy = state.copy()
      copy.isClean = false
      return { lsn, state: copy }
    })
    return [...this.candidates, ...unclean]
  }
}

function verdictOf(checker: Checker, key: string, candidates: readonly Candidate[], openLsn: number): Verdict {
  return {
    key,
    async check(clock, disk) {
      const { lsn, state, found } = await checker.check(clock, disk, candidates, openLsn)
      return verdictOf(checker, `${key}, ${lsn} was shown`, [{ lsn, state }], found.openLsn)
    },
  }
}
