/**
 * A queue's figures as queueing theory sees them: from what was measured in a window, what is to be expected, and how far each is
 * to be trusted. What is measured and what is worked out are kept apart, so that the one can be held against the other.
 */
import { type Samples, type Trust, trustIn } from './confidence.ts'
import { contradictions } from './doubts.ts'
import type { FlowWindow } from './flow-window.ts'
import { type LittlesLaw, MeasuredFigures } from './measured-figures.ts'
import { measuredLoad } from './measured-load.ts'
import { type Outlook, outlookOf } from './outlook.ts'
import type { QueueState } from './queue-state.ts'

/** How far each of what was measured is to be trusted. `none`: it is null. */
export interface ModelTrust {
  readonly arrivalRate: Trust
  readonly serviceRate: Trust
  readonly servers: Trust
  readonly utilisation: Trust
  readonly arrivalScv: Trust
  readonly serviceScv: Trust
  readonly littlesLaw: Trust
}

/** Rates in messages/s, times in seconds. Null is what is not known; all numbers are finite. */
export interface Model extends Outlook {
  /** How long the window was. */
  readonly windowSeconds: number
  readonly samples: Samples
  /** λ: messages that became ready, those that came back among them. Null: nothing was measured yet. */
  readonly arrivalRate: number | null
  /** μ, of one server: how many messages it could do. Null: none was settled, or faster than a clock tells. */
  readonly serviceRate: number | null
  /** c: how many messages are worked on at once. */
  readonly servers: number | null
  /** ρ = λ/(cμ), the share of their time for which servers have work; from 1 on they do not keep up. */
  readonly utilisation: number | null
  /** c_a²: squared coefficient of variation of the times between arrivals; of their dispersion, if they come in waves. */
  readonly arrivalScv: number | null
  /** c_s²: squared coefficient of variation of processing times. */
  readonly serviceScv: number | null
  readonly littlesLaw: LittlesLaw
  readonly trust: ModelTrust
  /** Counted in the window, and nothing made of it. */
  readonly measured: {
    /** W_q: mean wait until a consumer began, of messages that began in the window; null: there were none. */
    readonly waitSeconds: number | null
    /** 1/μ; null: none was settled. */
    readonly processingSeconds: number | null
    /** L_q: how many waited, on average over time; null: nothing was measured yet. */
    readonly waiting: number | null
    /** How many were worked on, on average over time; null: nothing was measured yet. */
    readonly working: number | null
  }
}

export function modelOf(window: FlowWindow, state: QueueState): Model {
  const load = measuredLoad(window, Math.max(1, state.servers ?? 1))
  const figures = new MeasuredFigures(window, state, load)
  const { seconds, wait, processing, waitingMean, workingMean } = window
  const [arrivalRate, serviceRate, servers] = [figures.arrivalRate(), figures.serviceRate(), figures.servers()]
  const [rho, arrivalScv, serviceScv] = [figures.utilisation(load, false), figures.arrivalScv(), figures.serviceScv()]
  return {
    windowSeconds: seconds,
    samples: figures.samples,
    arrivalRate: arrivalRate.value,
    serviceRate: serviceRate.value,
    servers: servers.value,
    utilisation: rho.value,
    arrivalScv: arrivalScv.value,
    serviceScv: serviceScv.value,
    littlesLaw: figures.littlesLaw(),
    trust: {
      arrivalRate: trustIn(arrivalRate),
      serviceRate: trustIn(serviceRate),
      servers: trustIn(servers),
      utilisation: trustIn(rho),
      arrivalScv: trustIn(arrivalScv),
      serviceScv: trustIn(serviceScv),
      littlesLaw: figures.littlesLawTrust(),
    },
    measured: {
      waitSeconds: wait.count === 0 ? null : wait.mean,
      processingSeconds: processing.count === 0 ? null : processing.mean,
      waiting: seconds === 0 ? null : waitingMean,
      working: seconds === 0 ? null : workingMean,
    },
    ...outlookOf(figures, { load, state, isRateGiven: false, waitDoubts: contradictions(window, load) }),
  }
}
