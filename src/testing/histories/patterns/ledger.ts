/**
 * What the users of a history know: what they emitted, called and sent, which handlers ran, and what they were told. Nothing in
 * it comes from the broker, so what the judge finds at the end can be compared with it.
 *
 *     job    something that handlers are to do once: an event for one durable subscriber, a call, a member of a family
 *     run    one call of a handler with a job
 *     mark   what a run leaves in a queue with its commit
 */
import type { Party } from '../app-process.ts'
import { type CallPlan, type DeedPlan, deedOf, type MemberPlan, type SubscriberPlan } from './plan.ts'

export interface Job {
  readonly key: string
  readonly deed: DeedPlan
  readonly runs: Run[]
}

export interface Run {
  readonly number: number
  readonly job: Job
  readonly party: Party
  readonly attempt: number
  /** Null: it runs, or never ended. `lost`: its process died. */
  verdict: 'done' | 'failed' | 'given up' | 'lost' | null
  /** With its commit. */
  emission: Emission | null
}

export interface Emission {
  readonly number: number
  readonly uid: string
  readonly name: string
  readonly party: Party
  /** Null: no handler emitted it. Whether it was stored is otherwise a matter of that run's commit. */
  readonly run: Run | null
  outcome: 'open' | 'stored' | 'rejected'
  storedMs: number
}

/** What a durable subscriber was promised: every event from that number on; null: nothing yet. */
export interface Promised {
  readonly plan: SubscriberPlan
  since: number | null
}

/** One live listener. */
export interface Ear {
  readonly party: Party
  readonly pattern: string
  readonly isOnce: boolean
  /** It hears the emissions from that number on. */
  since: number | null
  /** When it ends, or its process does. */
  endMs: number
  readonly heard: Map<string, number>
}

/** What a caller was told. */
export interface CallWord {
  /** `result`, or the code of the error. */
  readonly code: string
  /** Whose answer it is. */
  readonly run: number | null
  readonly atMs: number
  readonly isPartyDead: boolean
}

export interface Call {
  readonly uid: string
  readonly plan: CallPlan
  readonly job: Job
  readonly party: Party
  readonly sentMs: number
  readonly words: CallWord[]
  /** From the inbox of its sender. */
  readonly inboxRuns: number[]
}

export interface Member {
  readonly uid: string
  readonly plan: MemberPlan
  readonly job: Job
  readonly children: readonly Member[]
}

export interface Family {
  readonly root: Member
  readonly members: readonly Member[]
  outcome: 'open' | 'stored' | 'rejected'
}

export class Ledger {
  readonly jobs: Map<string, Job> = new Map()
  readonly runs: Run[] = []
  readonly emissions: Emission[] = []
  readonly emissionsByUid: Map<string, Emission> = new Map()
  readonly subscribers: readonly Promised[]
  readonly ears: Ear[] = []
  readonly calls: Map<string, Call> = new Map()
  readonly families: Family[] = []
  readonly members: Map<string, Member> = new Map()
  /** What handlers asked somebody else, and was answered. */
  readonly confirmed: Set<string> = new Set()
  /** Lives that ended by a power cut. */
  readonly powerCuts: Set<number> = new Set()
  private readonly seed: number

  constructor(seed: number, subscribers: readonly SubscriberPlan[]) {
    this.seed = seed
    this.subscribers = subscribers.map((plan) => ({ plan, since: null }))
  }

  emission(name: string, party: Party, run: Run | null): Emission {
    const number = this.emissions.length
    // What was emitted because of an event says so, and causes nothing more.
    const uid = run === null ? `e${number}` : `e${number}-by-${run.number}`
    const emission: Emission = { number, uid, name, party, run, outcome: 'open', storedMs: Number.POSITIVE_INFINITY }
    this.emissions.push(emission)
    this.emissionsByUid.set(uid, emission)
    return emission
  }

  jobOfEvent(uid: string, subscriber: SubscriberPlan): Job {
    return this.job(`${uid}>${subscriber.name}`, !uid.includes('-by-'))
  }

  call(plan: CallPlan, party: Party, sentMs: number): Call {
    const uid = `c${this.calls.size}`
    const call: Call = { uid, plan, job: this.job(uid, true), party, sentMs, words: [], inboxRuns: [] }
    this.calls.set(uid, call)
    return call
  }

  family(plan: MemberPlan): Family {
    const members: Member[] = []
    const number = this.families.length
    const member = (one: MemberPlan): Member => {
      const uid = `f${number}.${members.length}`
      const children: Member[] = []
      const made: Member = { uid, plan: one, job: this.job(uid, true), children }
      members.push(made)
      this.members.set(uid, made)
      for (const below of one.children) children.push(member(below))
      return made
    }
    const family: Family = { root: member(plan), members, outcome: 'open' }
    this.families.push(family)
    return family
  }

  begin(job: Job, party: Party, attempt: number): Run {
    const run: Run = { number: this.runs.length, job, party, attempt, verdict: null, emission: null }
    this.runs.push(run)
    job.runs.push(run)
    return run
  }

  end(run: Run, verdict: NonNullable<Run['verdict']>): void {
    run.verdict = run.party.isDead ? 'lost' : verdict
  }

  private job(key: string, mayEmit: boolean): Job {
    let job = this.jobs.get(key)
    if (job === undefined) {
      job = { key, deed: deedOf(this.seed, key, mayEmit), runs: [] }
      this.jobs.set(key, job)
    }
    return job
  }
}

/** Whether a pattern of words has that name: written down once more, so that it can be compared. */
export function hears(pattern: string, name: string): boolean {
  const matches = (left: readonly string[], words: readonly string[]): boolean => {
    const [first, ...others] = left
    if (first === undefined) return words.length === 0
    if (first === '#') return matches(others, words) || (words.length > 0 && matches(left, words.slice(1)))
    return words.length > 0 && (first === '*' || first === words[0]) && matches(others, words.slice(1))
  }
  return matches(pattern.split('.'), name.split('.'))
}
