/**
 * What the reference has written down: each fact that must survive, with the number of the frame it is in. From it follows what
 * a crash may leave, which is everything up to one of the frames that are not durable for sure.
 */
import { DurableState, type Fact } from './facts.ts'

interface DatedFact {
  readonly lsn: number
  readonly fact: Fact
}

/** What the disk may hold after a crash: everything up to frame `lsn`. */
export interface Candidate {
  readonly lsn: number
  readonly state: DurableState
}

export class FactJournal {
  /** The frame that is being filled: where facts go that become true now. */
  lsn = 0
  private base = new DurableState()
  private facts: DatedFact[] = []

  /** `state` is what the broker begins with. From now on only a new close is a clean one. */
  restart(state: DurableState): void {
    this.base = state.copy()
    this.base.isClean = false
    this.facts = []
  }

  record(fact: Fact): void {
    this.facts.push({ lsn: this.lsn, fact })
  }

  /** The states that recovery may find, the one with the least first. */
  candidates(durableLsn: number, openLsn: number): Candidate[] {
    this.fold(durableLsn)
    const found: Candidate[] = [{ lsn: durableLsn, state: this.base }]
    let state = this.base
    for (let at = 0; at < this.facts.length; ) {
      const { lsn } = this.facts[at] as DatedFact
      if (lsn >= openLsn) break
      state = state.copy()
      for (; at < this.facts.length && this.facts[at]?.lsn === lsn; at++)
        state.apply((this.facts[at] as DatedFact).fact)
      found.push({ lsn, state })
    }
    return found
  }

  hasFactsAfter(lsn: number): boolean {
    return (this.facts.at(-1)?.lsn ?? 0) > lsn
  }

  private fold(durableLsn: number): void {
    let count = 0
    for (const { lsn, fact } of this.facts) {
      if (lsn > durableLsn) break
      this.base.apply(fact)
      count++
    }
    this.facts.splice(0, count)
  }
}
