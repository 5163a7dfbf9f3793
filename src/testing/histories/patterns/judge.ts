/**
 * What must hold when all is quiet: the ledger says what was emitted, called and sent, which handlers ran and what callers were
 * told; marks and dead letters say what was committed.
 *
 *     durable   what was promised durable is there: in a mark, or a dead letter
 *     once      in one of them, once
 *     I8        what a run sends and emits is all there, or nothing of it
 *     live      a live listener hears each event, never twice, and none that nobody emitted
 *     call      a caller is told once, and as it was; what is not durable is answered at most once
 *     family    a parent comes behind its children, with what became of them; all of a family is there, or nothing
 */
import type { Party } from '../app-process.ts'
import { mayFail } from './family-check.ts'
import { type Call, type Ear, type Emission, hears, type Job, type Ledger, type Member, type Run } from './ledger.ts'
import { attemptsMax, type PatternPlan, type SubscriberPlan } from './plan.ts'
import type { Mark } from './world.ts'

export interface Remains {
  readonly marks: readonly Mark[]
  /** The jobs of dead letters. */
  readonly dead: readonly string[]
  /** Messages of each queue in which the answers for a parent gathered, by its name. */
  readonly gathered: ReadonlyMap<string, number>
}

/** So long what is sent takes to the disk at most, in a broker that has nothing else to do. */
const storedWithinMs = 150
/** So late a timer may be. */
const latenessMs = 60

export class Judge {
  private readonly plan: PatternPlan
  private readonly ledger: Ledger
  private readonly complain: (invariant: string, text: string) => void
  /** Where among all marks that of a run is. */
  private readonly committed: Map<number, number> = new Map()
  private readonly marks: Map<string, Mark[]> = new Map()
  private readonly dead: Map<string, number> = new Map()

  constructor(plan: PatternPlan, ledger: Ledger, complain: (invariant: string, text: string) => void) {
    this.plan = plan
    this.ledger = ledger
    this.complain = complain
  }

  judge({ marks, dead, gathered }: Remains): void {
    for (const [at, mark] of marks.entries()) {
      if (this.committed.has(mark.run)) this.complain('once', `what run ${mark.run} of ${mark.job} sent is there twice`)
      this.committed.set(mark.run, at)
      this.marks.set(mark.job, [...(this.marks.get(mark.job) ?? []), mark])
    }
    for (const job of dead) this.dead.set(job, (this.dead.get(job) ?? 0) + 1)
    for (const emission of this.ledger.emissions) this.judgeEmission(emission)
    for (const ear of this.ledger.ears) this.judgeEar(ear)
    for (const call of this.ledger.calls.values()) this.judgeCall(call)
    for (const { members, outcome } of this.ledger.families) {
      const isThere = outcome === 'stored' || members.some(({ job }) => this.places(job) > 0)
      for (const member of members) this.judgeMember(member, isThere)
    }
    for (const job of this.ledger.jobs.values()) this.judgeJob(job)
    this.judgeGathered(gathered)
  }

  // Jobs.

  private judgeJob(job: Job): void {
    const marks = this.marks.get(job.key) ?? []
    const dead = this.dead.get(job.key) ?? 0
    if (marks.length + dead > 1) {
      const runs = marks.map(({ run }) => `run ${run}`).join(' and ')
      this.complain('once', `${job.key} is done by ${runs || 'none'}, and dead-lettered ${dead} times`)
    }
    for (const { run } of marks) {
      const { verdict, job: of } = this.ledger.runs[run] as Run
      if (verdict !== 'done' || of !== job) this.complain('I8', `run ${run} of ${job.key} is ${verdict}, and committed`)
    }
    const last = job.runs.some((one) => one.verdict === 'given up' || (isFailed(one) && one.attempt >= attemptsMax))
    const member = this.ledger.members.get(job.key)
    const isExcused = last || this.ledger.calls.has(job.key) || (member !== undefined && mayFail(member))
    if (dead > 0 && !isExcused) this.complain('retry', `${job.key} is a dead letter, and no last attempt failed`)
  }

  private places({ key }: Job): number {
    return (this.marks.get(key)?.length ?? 0) + (this.dead.get(key) ?? 0)
  }

  // Events.

  /** Null: nobody can know. */
  private isStored({ run, outcome }: Emission): boolean | null {
    if (run !== null) return this.committed.has(run.number) && run.verdict === 'done'
    return outcome === 'stored' ? true : null
  }

  private judgeEmission(emission: Emission): void {
    const { uid, name, number } = emission
    const isStored = this.isStored(emission)
    for (const { plan, since } of this.ledger.subscribers) {
      const key = `${uid}>${plan.name}`
      const job = this.ledger.jobs.get(key)
      const isHeard =
        plan.way === 'iterate' ? isDone(job) : (this.marks.get(key)?.length ?? 0) + (this.dead.get(key) ?? 0) > 0
      const isMeant = hears(plan.pattern, name)
      if (job !== undefined && !isMeant)
        this.complain('live', `${plan.name} listens to ${plan.pattern}, and heard ${name}`)
      if (isStored === true && isMeant && since !== null && number >= since && !isHeard)
        this.complain('durable', `${uid} was stored, and ${plan.name} has never done it`)
      if (isStored === false && isHeard && !this.mayBeUndone(plan, job))
        this.complain('I8', `${uid} was emitted by a run that was not committed, and ${plan.name} heard it`)
      if (plan.way === 'iterate' && this.isLast(emission.party) && (job?.runs.length ?? 0) > 1)
        this.complain('once', `${uid} came to the loop of ${plan.name} ${job?.runs.length} times`)
    }
  }

  /** A loop may see what a power cut takes back. */
  private mayBeUndone({ way }: SubscriberPlan, job: Job | undefined): boolean {
    const runs = job?.runs ?? []
    return way === 'iterate' && runs.every(({ party }) => this.ledger.powerCuts.has(party.life))
  }

  private judgeEar({ party, pattern, isOnce, since, endMs, heard }: Ear): void {
    for (const uid of heard.keys()) {
      const emission = this.ledger.emissionsByUid.get(uid)
      if (emission === undefined) return this.complain('live', `${party.name} heard ${uid}, which nobody has emitted`)
      // What a power cut takes back may have been heard before.
      if (this.isStored(emission) === false && !this.ledger.powerCuts.has(party.life))
        this.complain('live', `${party.name} heard ${uid}, whose run was not committed`)
    }
    if (isOnce) {
      if (heard.size > 1) this.complain('live', `${party.name} was to hear once, and heard ${[...heard.keys()].join()}`)
      return
    }
    for (const { uid, name, number, storedMs, run } of this.ledger.emissions) {
      if (run !== null || since === null || number < since || storedMs + storedWithinMs > endMs) continue
      if (hears(pattern, name) && !heard.has(uid) && storedMs < endMs)
        this.complain('live', `${party.name} listened to ${pattern} and did not hear ${uid}, ${name}`)
    }
  }

  // Calls.

  private judgeCall(call: Call): void {
    const { uid, plan, job, words, party, sentMs, inboxRuns } = call
    const [word] = words
    if (word === undefined) return this.complain('call', `${uid} was never told anything`)
    const { code, run: number, atMs, isPartyDead } = word
    const run = number === null ? undefined : this.ledger.runs[number]
    const wrong = (why: string): void => this.complain('call', `${uid} was told ${code}, and ${why}`)
    if (code === 'result') {
      if (run?.job !== job || run.verdict !== 'done') wrong('no run of it ended so')
      else if (!this.committed.has(run.number)) wrong(`run ${run.number} was not committed`)
    } else if (code === 'E_CALL_FAILED') {
      if (run?.job !== job || run.verdict !== 'failed') wrong('no run of it ended so')
      if (plan.isDurable && (this.dead.get(uid) ?? 0) === 0) wrong('there is no dead letter')
    } else if (code === 'E_TIMEOUT') {
      if (plan.timeoutMs === null && (plan.isDurable || atMs < sentMs + 29_000))
        wrong(`that was at ${atMs - sentMs} ms`)
      // One that failed, and could not be tried again in time, has timed out already.
      else if (!job.runs.some(isFailed) && atMs < sentMs + (plan.timeoutMs ?? 0) - 2)
        wrong(`had ${(plan.timeoutMs ?? 0) - atMs + sentMs} ms left`)
    } else if (code === 'E_OUTCOME_UNKNOWN') {
      if (plan.isDurable || this.isLast(party)) wrong('nobody has died')
    } else if (!expectedCodes.includes(code)) wrong('nobody expects that')
    else if (code !== 'aborted' && code !== 'E_REFUSED' && !isPartyDead && this.isLast(party))
      wrong('its process is alive')
    const { timeoutMs, abortMs } = plan
    const limitMs = Math.min(timeoutMs ?? (plan.isDurable ? Infinity : 30_000), abortMs ?? Infinity)
    if (atMs > sentMs + limitMs + latenessMs && !isPartyDead)
      wrong(`${Math.round(atMs - sentMs - limitMs)} ms too late`)
    this.judgeDurableCall(call, code)
    if (inboxRuns.some((one) => !this.committed.has(one))) wrong('its inbox has what was not committed')
    const isKept = plan.isNamed && code !== 'result' && (this.marks.get(uid)?.length ?? 0) > 0
    if (isKept && code === 'E_CONNECTION_LOST' && inboxRuns.length === 0) wrong('its inbox has nothing')
  }

  private judgeDurableCall({ uid, plan, job, party, sentMs, words }: Call, code: string): void {
    const mayGo = plan.timeoutMs !== null || plan.abortMs !== null
    if (!plan.isDurable || mayGo || this.places(job) > 0) return
    if (!['E_REFUSED', 'E_CONNECTION_LOST', 'E_CLOSED'].includes(code)) {
      return this.complain('durable', `${uid} is durable and was told ${code}, and is nowhere`)
    }
    // What reached the broker is there, unless the power went right behind it.
    const [word] = words
    const life = this.plan.lives[party.life]
    if (life?.diskFull != null) return
    const storedMs = sentMs + storedWithinMs + 4 * (life?.syncDelayMs ?? 0)
    const wasThere = (word?.atMs ?? 0) > storedMs || (job.runs.length > 0 && !this.ledger.powerCuts.has(party.life))
    if (wasThere && code !== 'E_REFUSED')
      this.complain(
        'durable',
        `${uid} is durable and was sent ${Math.round((word?.atMs ?? 0) - sentMs)} ms ago, and is nowhere`,
      )
  }

  // Families.

  private judgeMember({ uid, job, plan, children }: Member, isThere: boolean): void {
    if (isThere && this.places(job) === 0) this.complain('family', `${uid} is missing: others of its family are there`)
    if (children.length === 0) return
    const failed = children.filter((one) => (this.dead.get(one.uid) ?? 0) > 0)
    const [mark] = this.marks.get(uid) ?? []
    if (failed.length > 0 && plan.childFailure === 'fail' && (mark !== undefined || job.runs.length > 0))
      this.complain('family', `${uid} was processed, and ${failed[0]?.uid} had failed`)
    if (mark === undefined) return
    const at = this.committed.get(mark.run) ?? -1
    for (const one of children) {
      const [below] = this.marks.get(one.uid) ?? []
      if (below !== undefined && (this.committed.get(below.run) ?? Infinity) > at)
        this.complain('family', `${uid} was done before its child ${one.uid}`)
    }
  }

  /** Answers that nobody needs any more are gone, where nobody died before he could say so. */
  private judgeGathered(gathered: ReadonlyMap<string, number>): void {
    const parents = [...this.ledger.members.values()].filter(({ children }) => children.length > 0)
    const isKept = ({ uid, job }: Member): boolean =>
      (this.dead.get(uid) ?? 0) > 0 || job.runs.some(({ party }) => !this.isLast(party))
    const kept = parents.filter(isKept).length
    const full = [...gathered.values()].filter((count) => count > 0).length
    if (full > kept) this.complain('family', `${full} parents are remembered, and only ${kept} may be`)
  }

  /** Its life is the one in which nothing goes wrong. */
  private isLast({ life }: Party): boolean {
    return life === this.plan.lives.length
  }
}

const expectedCodes: readonly string[] = ['aborted', 'E_REFUSED', 'E_CONNECTION_LOST', 'E_CLOSED']

function isFailed({ verdict }: Run): boolean {
  return verdict === 'failed'
}

function isDone(job: Job | undefined): boolean {
  return job?.runs.some(({ verdict }) => verdict === 'done') === true
}
