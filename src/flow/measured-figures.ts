/**
 * What was measured of a queue in queueing theory's terms, each figure with how far it is to be trusted. From too few samples they
 * are told and not trusted; from none they are not known, which is null and not 0.
 */
import {
  type Doubt,
  type Estimate,
  estimate,
  meanError,
  type Samples,
  scvError,
  type Trust,
  told,
  trustIn,
} from './confidence.ts'
import {
  arrivalDoubts,
  burstDoubts,
  countDoubts,
  fewDoubts,
  nobodyConsumes,
  serviceDoubts,
  windowText,
} from './doubts.ts'
import type { FlowWindow } from './flow-window.ts'
import type { QueueState } from './queue-state.ts'
import { type Load, utilisation } from './queueing.ts'

/** What sums of doubles may be off, as a share. */
const roundingMax = 1e-9

/** Little's law, L = λW: two ways to one number. */
export interface LittlesLaw {
  /** L, measured: how many were in the queue, waiting or worked on, on average over time. Null: nothing was measured yet. */
  readonly length: number | null
  /** λW, from the rate of arrivals and how long messages were in the queue. Null: no message was begun and settled. */
  readonly expected: number | null
  /**
   * |L − λW| as a share of the greater. Near 0 in a window that begins and ends alike; more if the queue grew, shrank or lost some.
   * Null: one of them is not known.
   */
  readonly difference: number | null
}

export class MeasuredFigures {
  readonly window: FlowWindow
  /** What is not known is 0 in it. */
  readonly load: Load
  private readonly state: QueueState

  /** `load`: what was measured in the window. */
  constructor(window: FlowWindow, state: QueueState, load: Load) {
    this.window = window
    this.state = state
    this.load = load
  }

  get samples(): Samples {
    const { arrivals, processing } = this.window
    return { arrivals, processed: processing.samples }
  }

  /** λ. */
  arrivalRate(): Estimate {
    const { load } = this
    const margin = load.arrivalRate === 0 ? null : (2 * this.arrivalError()) / load.arrivalRate
    return estimate(load.arrivalRate, margin, this.rateDoubts())
  }

  /** μ. */
  serviceRate(): Estimate {
    const { serviceSeconds } = this.load
    return estimate(serviceSeconds === 0 ? 0 : 1 / serviceSeconds, 2 * this.serviceError(), this.timeDoubts())
  }

  /** c. */
  servers(): Estimate {
    return estimate(this.state.servers ?? 0, 0, countDoubts(this.state))
  }

  /** ρ under that load. `isRateGiven`: its rate of arrivals is as it was said, not as it was measured. */
  utilisation(load: Load, isRateGiven: boolean): Estimate {
    const doubts = [...this.workDoubts(isRateGiven), ...countDoubts(this.state)]
    if (this.state.servers === 0) doubts.push(nobodyConsumes)
    const least = { ...load, servers: Math.max(1, load.servers) }
    return estimate(utilisation(least), this.workMargin(least, isRateGiven), doubts)
  }

  /** The fewest servers that keep up with that load. */
  serversNeeded(load: Load, isRateGiven: boolean): Estimate {
    const one = { ...load, servers: 1 }
    return estimate(Math.floor(utilisation(one)) + 1, this.workMargin(one, isRateGiven), this.workDoubts(isRateGiven))
  }

  /** c_a², of batches too. */
  arrivalScv(): Estimate {
    const { window, load } = this
    const { count, mean } = window.gaps
    const scv = load.arrivalScv + load.batchExcess
    const doubts = [...this.rateDoubts(), ...burstDoubts(window, load)]
    if (window.seconds > 0 && count < 2) {
      doubts.push({ confidence: 'none', reason: 'how arrivals vary is seen from three of them on' })
    } else if (window.seconds > 0 && scv === 0 && told(mean) === 0) {
      doubts.push({ confidence: 'none', reason: 'all came at one time' })
    }
    return estimate(scv, scvMargin(scv, count), doubts)
  }

  /** c_s². */
  serviceScv(): Estimate {
    const { count, samples } = this.window.processing
    const { serviceScv } = this.load
    const doubts = this.timeDoubts()
    if (count === 1) doubts.push({ confidence: 'none', reason: 'how times vary is seen from two of them on' })
    return estimate(serviceScv, scvMargin(serviceScv, samples), doubts)
  }

  littlesLaw(): LittlesLaw {
    const { arrivals, seconds, wait, processing, waitingMean, workingMean } = this.window
    if (seconds === 0) return { length: null, expected: null, difference: null }
    const length = waitingMean + workingMean
    if (!this.isStayKnown) return { length, expected: null, difference: null }
    const expected = (arrivals / seconds) * (wait.mean + processing.mean)
    const greater = Math.max(length, expected)
    const difference = greater === 0 ? 0 : Math.abs(length - expected) / greater
    return { length, expected, difference: difference < roundingMax ? 0 : difference }
  }

  /**
   * Of both sides of it. A message that was there when the window began, or is when it ends, counts on one side and not, or only in
   * part, on the other: about L of them at either end.
   */
  littlesLawTrust(): Trust {
    const { window } = this
    const { arrivals, waitingMean, workingMean } = window
    const length = waitingMean + workingMean
    return trustIn(estimate(length, arrivals === 0 ? null : (2 * length) / arrivals, this.stayDoubts()))
  }

  /** Of ρ under that load, twice the standard error. */
  utilisationOff(load: Load, isRateGiven: boolean): number {
    const ofArrivals = isRateGiven ? 0 : (this.arrivalError() * load.serviceSeconds) / load.servers
    return 2 * Math.hypot(ofArrivals, utilisation(load) * this.serviceError())
  }

  private workMargin(load: Load, isRateGiven: boolean): number | null {
    const rho = utilisation(load)
    return rho === 0 ? null : this.utilisationOff(load, isRateGiven) / rho
  }

  private workDoubts(isRateGiven: boolean): Doubt[] {
    return [...(isRateGiven ? [] : this.rateDoubts()), ...serviceDoubts(this.window)]
  }

  rateDoubts(): Doubt[] {
    return arrivalDoubts(this.window, this.load)
  }

  private timeDoubts(): Doubt[] {
    const doubts = serviceDoubts(this.window)
    if (this.window.processing.count > 0 && this.load.serviceSeconds === 0) {
      doubts.push({ confidence: 'none', reason: 'messages take less time than a clock tells' })
    }
    return doubts
  }

  private stayDoubts(): Doubt[] {
    const { window } = this
    const { arrivals, seconds, wait, processing } = window
    if (seconds === 0 || arrivals === 0) return this.rateDoubts()
    if (this.isStayKnown) return fewDoubts(Math.min(wait.samples, processing.samples), 'messages', window)
    return [{ confidence: 'none', reason: `no message was begun and settled in ${windowText(window)}` }]
  }

  /** Whether W is: how long messages are in the queue. */
  private get isStayKnown(): boolean {
    const { wait, processing } = this.window
    return wait.count > 0 && processing.count > 0
  }

  /** Of λ, the standard error. If nothing came it is three in that time at most, with 95 % (Hanley and Lippman-Hand, JAMA 1983). */
  private arrivalError(): number {
    const { window, load } = this
    const { seconds } = window
    if (seconds === 0) return 0
    const count = window.arrivals + window.returns
    return count === 0 ? 1.5 / seconds : load.arrivalRate * meanError(load.arrivalScv + load.batchExcess, count)
  }

  /** Of 1/μ, the standard error as a share of it. */
  private serviceError(): number {
    const { samples } = this.window.processing
    return samples === 0 ? 0 : meanError(this.load.serviceScv, samples)
  }
}

/** Of a squared coefficient of variation, twice the standard error as a share of it. */
function scvMargin(scv: number, count: number): number {
  return scv === 0 || count === 0 ? 0 : (2 * scvError(scv, count)) / scv
}
