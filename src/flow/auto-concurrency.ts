/**
 * How many handlers at the same time: the fewest that do about as much as any number would.
 *
 *     throughput │        ______________      grow    twice as many, as long as that does more
 *                │      ╱                     shrink  between the last that did less and the first that did not
 *                │    ╱                       hold    there, looking now and then whether it is still so
 *                │  ╱
 *                └──────┴───────────────→ handlers at a time
 *                       here
 *
 * Up to the knee each handler more adds throughput, beyond it only latency. The slope is measured, not guessed: the gradient of
 * Netflix's concurrency-limits (Gradient2Limit: latency now by latency before) with Little's law says the same of throughput,
 * and a limit that is tried answers what a baseline of latencies, which drifts with the queue it makes, cannot: whether the
 * limit or the world has changed. As in TCP Vegas (L. S. Brakmo and L. L. Peterson, 1995) latency is the signal, long before
 * anything fails. From below it doubles as in slow start (V. Jacobson, 1988); what is tried from a knee is additive and
 * what is taken back multiplicative (D.-M. Chiu and R. Jain, Analysis of the Increase and Decrease Algorithms for Congestion
 * Avoidance in Computer Networks, 1989); the additive step is the square root, as in Gradient2Limit. Each trial is a
 * sequential test (A. Wald, 1945): what is clear is decided soon, what is not takes longer, and what stays open changes nothing.
 *
 * It has no clock: times come in, in milliseconds, and never go back. At a limit that is not used nothing is learnt.
 */
import { assert } from '../lib/assert.ts'
import { HandlerLoad, TimeSpread } from './handler-load.ts'

/** What doubling has to bring, as the exponent of 2: 2^0.1 is 7 % more throughput. */
const growElasticity = 0.1
/** The same for a small step from a knee, which has to show more than what a smooth curve gives. */
const probeElasticity = 0.25
/** Fewer handlers may do so much less than the most that was measured, as a difference of logarithms. */
const lossMax = 0.04
/** A change of the throughput at one limit that is none of ours. */
const changeMin = 0.15
/** Standard errors that a difference must have to be taken for one; with many looks at it the more. */
const errorsToDecide = 2.2
const errorsToAlarm = 3.5
/** Between the limit that does less and the one that does not there is nothing more to look for. */
const bracketMax = 1.2
/** A handler takes no more than so many times what it takes with few at a time, whatever that would bring. */
const latencyFactorMax = 8
/** A trial that is still open then is decided by what it looks like. */
const trialEndedMax = 1_500
const trialMsMax = 20_000
/** What a limit is judged by that others are compared with. */
const growErrorMax = 0.18
const vagueErrorMax = 0.07
const baseErrorMax = 0.03
const baseEndedMax = 600
const baseMsMax = 10_000
const watchEndedMin = 50
const watchMsMin = 500
/** Looks at the load, all alike, before something else is tried again; it doubles with each trial that brought nothing. */
const patienceMin = 4
const patienceMax = 32
/** Messages that are there for whoever is done first: as many as are done in this time. */
const aheadMs = 20
const aheadMax = 1_024

export interface ConcurrencyBounds {
  readonly min: number
  readonly max: number
}

/** What a worker says of its concurrency. */
export interface ConcurrencyStats {
  /** Handlers that may run at the same time now. */
  readonly limit: number
  readonly min: number
  readonly max: number
  /** Why it is this limit, for people; the text may change. */
  readonly reason: string
}

/** Why there is room and no handler begins: no message is there, or the worker's own rate lets none begin. */
export type Lack = 'messages' | 'rate'

type Phase = 'grow' | 'shrink' | 'hold'
/** Open: it gets clearer with time. Unclear: it does not. */
type Verdict = 'more' | 'less' | 'open' | 'unclear'

const limitAtFirst = 4

export class AutoConcurrency {
  /** Handlers that may run at the same time. */
  limit: number
  private readonly min: number
  private readonly max: number
  private readonly spread = new TimeSpread()
  private phase: Phase = 'grow'
  /** At the limit that is good as far as is known. */
  private base: HandlerLoad
  /** At another limit; null: none is tried. */
  private trial: HandlerLoad | null = null
  /** At the good limit, later than `base`; null: it is being measured itself. */
  private watch: HandlerLoad | null = null
  /** What fewer handlers are compared with: the most that was measured. */
  private goal: HandlerLoad
  /** The largest limit that is known to do less; 0: none is. */
  private tooFew = 0
  /** The time of a handler, with few of them. */
  private aloneMs = Number.POSITIVE_INFINITY
  /** How well the base has to be known before more are tried. */
  private baseError = growErrorMax
  private patience = patienceMin
  private looks = 0
  private probesUp = true
  /** Fewer are tried because it became slower; if they do less, more may be wanted. */
  private becameSlower = false
  private lack: Lack | null = null
  /** There were too few messages when the load was looked at last. */
  private wasLacking = false
  private running = 0
  private reason: string

  constructor({ min, max }: ConcurrencyBounds, nowMs: number) {
    assert(min >= 1, 'one handler at least may run')
    assert(max >= min, 'the bounds are in order')
    this.min = min
    this.max = max
    this.limit = Math.min(max, Math.max(min, limitAtFirst))
    this.base = new HandlerLoad(this.limit, 0, this.spread, nowMs, 0)
    this.goal = this.base
    this.reason = `starts with ${this.limit}`
  }

  /** So many handlers run now; `lack`: why there are no more although there is room, null if there is none or they begin. */
  pass(nowMs: number, running: number, lack: Lack | null): void {
    this.running = running
    this.lack = lack
    this.load.pass(nowMs, running, lack !== null)
  }

  /**
   * A handler has ended that took so long, in ms; done: it neither failed nor wants another attempt. `running` are left.
   * True: the load was looked at, so limit and prefetch may have changed.
   */
  end(nowMs: number, running: number, tookMs: number, isDone: boolean): boolean {
    this.pass(nowMs, running, null)
    this.spread.add(tookMs)
    if (!this.load.end(tookMs, isDone)) return false
    this.judge(nowMs)
    return true
  }

  /**
   * Messages to hold: those that run, and so many that nobody waits for the next one. More would be kept from others. In
   * powers of two, so that it changes seldom.
   */
  get prefetch(): number {
    const ahead = Math.max(this.limit, this.base.throughput * aheadMs)
    return this.limit + Math.min(aheadMax, 2 ** Math.ceil(Math.log2(ahead)))
  }

  get stats(): ConcurrencyStats {
    const { limit, min, max } = this
    return { limit, min, max, reason: this.reasonNow() }
  }

  private reasonNow(): string {
    if (this.lack === null || !(this.wasLacking || this.load.isLacking)) return this.reason
    return this.lack === 'messages'
      ? `waiting for messages: keeps ${this.limit}`
      : `held by its rate: keeps ${this.limit}`
  }

  private get load(): HandlerLoad {
    return this.trial ?? this.watch ?? this.base
  }

  /** A few handlers more have ended. */
  private judge(nowMs: number): void {
    this.wasLacking = this.load.isLacking
    if (this.wasLacking) return this.judgeLacking(nowMs)
    const { trial } = this
    if (trial !== null) this.judgeTrial(trial, nowMs)
    else if (this.phase === 'hold') this.look(nowMs)
    else if (this.phase === 'grow') this.judgeBaseToGrow(nowMs)
    else this.judgeBaseToShrink(nowMs)
  }

  /** What a limit does that is not used says nothing, and it is no time to try others. */
  private judgeLacking(nowMs: number): void {
    const { trial, base } = this
    if (trial !== null) {
      if (this.phase === 'hold') this.probeFailed()
      this.phase = 'hold'
      this.backToBase(nowMs, `too few messages to judge ${trial.limit}: keeps ${base.limit}`)
    } else if (this.watch !== null) this.watch = this.measure(base.limit, 0, nowMs)
    else {
      this.base = this.measure(base.limit, 0, nowMs)
      this.goal = this.base
    }
  }

  // Trials.

  private tryLimit(limit: number, nowMs: number, reason: string): void {
    const skip = Math.max(limit, this.limit)
    this.limit = limit
    this.watch = null
    this.trial = this.measure(limit, skip, nowMs)
    this.reason = reason
  }

  private judgeTrial(trial: HandlerLoad, nowMs: number): void {
    const { base, phase } = this
    if (trial.limit < base.limit) {
      const verdict = this.compare(trial, this.goal, -lossMax)
      const seems = verdict === 'unclear' && this.gain(trial, this.goal, -lossMax) > 0
      if (verdict === 'more' || seems) this.acceptFewer(trial, nowMs)
      else if (verdict !== 'open') this.refuseFewer(trial, nowMs)
      return
    }
    const elasticity = phase === 'hold' ? probeElasticity : growElasticity
    const margin = elasticity * Math.log(trial.limit / base.limit)
    const verdict = this.compare(trial, base, margin)
    const isVague = base.error > vagueErrorMax && base.ended < baseEndedMax && base.elapsedMs < baseMsMax
    if (verdict === 'unclear' && isVague) {
      // What it is compared with has to be known better.
      this.baseError = vagueErrorMax
      return this.backToBase(nowMs, this.reason)
    }
    if (verdict === 'more' || (verdict === 'unclear' && this.gain(trial, base, margin) > 0))
      this.acceptMore(trial, nowMs)
    else if (verdict !== 'open') this.refuseMore(trial, nowMs)
  }

  /** Whether it does more than the other and a margin, in logarithms. */
  private compare(load: HandlerLoad, other: HandlerLoad, margin: number): Verdict {
    if (load.ended < load.limit || load.elapsedMs === 0) return 'open'
    const gain = this.gain(load, other, margin)
    const error = Math.hypot(load.error, other.error)
    if (gain > errorsToDecide * error) return 'more'
    if (gain < -errorsToDecide * error) return 'less'
    // The other one is not measured meanwhile, so there is nothing more to be learnt.
    const isKnown = load.error < other.error / 2 || load.ended >= trialEndedMax || load.elapsedMs >= trialMsMax
    return isKnown ? 'unclear' : 'open'
  }

  private gain(load: HandlerLoad, other: HandlerLoad, margin: number): number {
    return Math.log(load.throughput / other.throughput) - margin
  }

  private acceptMore(trial: HandlerLoad, nowMs: number): void {
    const { base } = this
    this.tooFew = base.limit
    this.takeBase(trial)
    this.phase = 'grow'
    this.reason = `more throughput with more: ${base.limit} → ${trial.limit}`
    this.judgeBaseToGrow(nowMs)
  }

  private refuseMore(trial: HandlerLoad, nowMs: number): void {
    const isProbe = this.phase === 'hold'
    const { limit } = this.base
    this.backToBase(nowMs, `no more throughput with more than ${limit}`)
    if (isProbe) {
      this.probeFailed()
      this.reason = this.whyThis()
    } else this.startShrinking(trial.throughput > this.base.throughput ? trial : this.base)
  }

  private acceptFewer(trial: HandlerLoad, nowMs: number): void {
    const { base } = this
    const why = this.becameSlower ? 'handlers became slower' : 'as much throughput with fewer'
    this.takeBase(trial)
    this.phase = 'shrink'
    this.becameSlower = false
    this.aloneMs = Math.min(this.aloneMs, trial.timePerDoneMs)
    this.reason = `${why}: ${base.limit} → ${trial.limit}`
    this.judgeBaseToShrink(nowMs)
  }

  private refuseFewer(trial: HandlerLoad, nowMs: number): void {
    const { base } = this
    const isProbe = this.phase === 'hold'
    this.tooFew = trial.limit
    // Fewer take as long each: so long a handler takes now, whatever it was before.
    if (Math.abs(Math.log(trial.timePerDoneMs / base.timePerDoneMs)) < 0.2) this.aloneMs = trial.timePerDoneMs
    this.backToBase(nowMs, `less throughput with ${trial.limit} than with ${base.limit}`)
    if (!isProbe) return this.judgeBaseToShrink(nowMs)
    this.probeFailed()
    this.reason = this.whyThis()
  }

  private takeBase(load: HandlerLoad): void {
    this.base = load
    this.trial = null
    this.watch = null
    this.patience = patienceMin
    this.looks = 0
    this.baseError = growErrorMax
  }

  private backToBase(nowMs: number, reason: string): void {
    const { base } = this
    const skip = Math.max(base.limit, this.limit)
    this.limit = base.limit
    this.trial = null
    this.reason = reason
    if (this.phase === 'hold') this.watch = this.measure(base.limit, skip, nowMs)
    else base.resume(skip, nowMs, this.running)
  }

  // Growing.

  private judgeBaseToGrow(nowMs: number): void {
    const { base } = this
    if (base.throughput === 0) return
    if (base.error > this.baseError && base.ended < baseEndedMax && base.elapsedMs < baseMsMax) return
    this.aloneMs = Math.min(this.aloneMs, base.timePerDoneMs)
    if (base.limit >= this.max || this.isSlow) return this.startShrinking(base)
    const limit = Math.min(this.max, base.limit * 2)
    this.tryLimit(limit, nowMs, `trying whether ${limit} do more than ${base.limit}`)
  }

  // Shrinking.

  private startShrinking(goal: HandlerLoad): void {
    this.phase = 'shrink'
    this.goal = goal
  }

  private judgeBaseToShrink(nowMs: number): void {
    const { base } = this
    const limit = this.fewer()
    if (limit === null) return this.shrunk(nowMs)
    if (base.error > baseErrorMax && base.ended < baseEndedMax && base.elapsedMs < baseMsMax) return
    if (this.goal.limit === base.limit || base.throughput > this.goal.throughput) this.goal = base
    this.tryLimit(limit, nowMs, `trying whether ${limit} do as much as ${base.limit}`)
  }

  /** The next limit to try; null: what is between is not worth it. */
  private fewer(): number | null {
    const { tooFew, min } = this
    const { limit } = this.base
    if (limit <= min || limit - tooFew <= 1 || limit / tooFew <= bracketMax) return null
    const between = tooFew === 0 ? limit * (this.becameSlower ? 0.7 : 0.5) : Math.sqrt(limit * tooFew)
    return Math.max(min, tooFew + 1, Math.min(limit - 1, Math.round(between)))
  }

  private shrunk(nowMs: number): void {
    if (this.becameSlower) {
      this.becameSlower = false
      this.phase = 'grow'
      // There are no fewer to compare with.
      if (this.base.limit <= this.min) this.aloneMs = this.base.timePerDoneMs
      return this.judgeBaseToGrow(nowMs)
    }
    this.phase = 'hold'
    this.watch = this.measure(this.base.limit, 0, nowMs)
    this.reason = this.whyThis()
  }

  private whyThis(): string {
    const { max, tooFew } = this
    const { limit } = this.base
    if (this.isSlow && limit < max)
      return `handlers take ${latencyFactorMax} times as long as with few: no more than ${limit}`
    if (limit >= max && tooFew > 0) return `more throughput with more, up to the maximum of ${max}`
    return `no more throughput with more than ${limit}${tooFew > 0 ? ', less with fewer' : ''}`
  }

  /** Whatever more would bring, they would take too long. */
  private get isSlow(): boolean {
    return this.base.timePerDoneMs > latencyFactorMax * this.aloneMs
  }

  // Holding.

  private look(nowMs: number): void {
    const { base, watch } = this
    if (watch === null || watch.ended < watchEndedMin || watch.elapsedMs < watchMsMin) return
    const change = Math.log(watch.throughput / base.throughput)
    const error = Math.hypot(watch.error, base.error)
    if (Math.abs(change) > Math.max(changeMin, errorsToAlarm * error)) return this.changed(change < 0, nowMs)
    if (base.ended < baseEndedMax) base.merge(watch)
    this.watch = this.measure(base.limit, 0, nowMs)
    if (++this.looks >= this.patience) this.probe(nowMs)
  }

  /** At the same limit it is another throughput: whatever was known is known no longer. */
  private changed(isSlower: boolean, nowMs: number): void {
    const { limit } = this
    // It changed in the midst of what was measured, so that is no measure of what it is now.
    this.takeBase(this.measure(limit, limit, nowMs))
    this.tooFew = 0
    this.becameSlower = isSlower
    this.reason = `handlers became ${isSlower ? 'slower' : 'faster'}: looking for another limit than ${limit}`
    if (isSlower) this.startShrinking(this.base)
    else this.phase = 'grow'
  }

  /** Tries a little more, or a little less, in turn. */
  private probe(nowMs: number): void {
    this.looks = 0
    const { limit } = this.base
    const { min, max, probesUp } = this
    this.probesUp = !probesUp
    const step = Math.max(1, Math.round(Math.sqrt(limit)))
    if (probesUp && limit < max && !this.isSlow) {
      const more = Math.min(max, limit + step)
      return this.tryLimit(more, nowMs, `trying whether ${more} do more than ${limit}`)
    }
    if (probesUp || limit === min) return
    this.goal = this.base
    const fewer = Math.max(min, Math.min(limit - 1, Math.round(limit * 0.8)))
    this.tryLimit(fewer, nowMs, `trying whether ${fewer} do as much as ${limit}`)
  }

  private probeFailed(): void {
    this.patience = Math.min(patienceMax, this.patience * 2)
  }

  private measure(limit: number, skip: number, nowMs: number): HandlerLoad {
    return new HandlerLoad(limit, skip, this.spread, nowMs, this.running)
  }
}
