/** What is to be expected of a queue under a load, from where it is, and how far that is to be trusted. */
import { certain, type Doubt, type Estimate, estimate, told, waitMargin } from './confidence.ts'
import { changeDoubts, nearOne, outlookDoubts, waitDoubts } from './doubts.ts'
import type { MeasuredFigures } from './measured-figures.ts'
import type { QueueState } from './queue-state.ts'
import { drainSeconds, expectedWait, type Load, utilisation } from './queueing.ts'

/** Times in seconds. */
export interface Outlook {
  /** W_q by the formulas: how long a message waits, once things have settled. 'never ends': servers do not keep up. */
  readonly expectedWaitSeconds: Estimate<number | 'never ends'>
  /** How long until what waits now is gone. 'never drains': as many messages come as can be done, or more. */
  readonly drainSeconds: Estimate<number | 'never drains'>
  /** By how much the queue grows if it has more to do than it can, in messages/s; 0: it keeps up. */
  readonly growthRate: Estimate
  /** How long until the queue is as long as it may be. 'never': it has no limit, or does not grow. */
  readonly limitSeconds: Estimate<number | 'never'>
}

/** What is asked about, beside what was measured. */
export interface Prospect {
  readonly load: Load
  readonly state: QueueState
  /** The rate of arrivals is as it was said, and not as it was measured. */
  readonly isRateGiven: boolean
  /** What else there is to be said against the expected wait. */
  readonly waitDoubts: readonly Doubt[]
}

export function outlookOf(figures: MeasuredFigures, prospect: Prospect): Outlook {
  const { load, state, isRateGiven } = prospect
  const expectedWaitSeconds = waitOf(figures, prospect)
  if (state.servers === 0 || state.isPaused) {
    const rate = isRateGiven ? certain(load.arrivalRate) : figures.arrivalRate()
    const rateDoubts = isRateGiven ? [] : figures.rateDoubts()
    return { expectedWaitSeconds, ...unserved(state, load.arrivalRate, rate, rateDoubts) }
  }
  const off = figures.utilisationOff(load, isRateGiven)
  const change = isRateGiven ? [] : changeDoubts(figures.window, figures.load)
  return { expectedWaitSeconds, ...served(load, off, state, outlookDoubts(figures.window, state, change)) }
}

function waitOf(figures: MeasuredFigures, prospect: Prospect): Outlook['expectedWaitSeconds'] {
  const { state, isRateGiven } = prospect
  const load = { ...prospect.load, servers: Math.max(1, prospect.load.servers) }
  const doubts = [...waitDoubts(figures.window, state, figures.load), ...prospect.waitDoubts]
  const seconds = expectedWait(load)
  if (seconds < Number.POSITIVE_INFINITY) {
    return estimate(told(seconds), waitMargin(load, figures.samples, isRateGiven), doubts)
  }
  const near = nearOne(utilisation(load), figures.utilisationOff(load, isRateGiven))
  return estimate('never ends', null, [...doubts, ...near])
}

/** `off`: twice the standard error of ρ. */
function served(
  load: Load,
  off: number,
  state: QueueState,
  doubts: readonly Doubt[],
): Omit<Outlook, 'expectedWaitSeconds'> {
  const rho = utilisation(load)
  const near = nearOne(rho, off)
  const growth = rho > 1 ? Math.max(0, load.arrivalRate - load.servers / load.serviceSeconds) : 0
  const margin = growth > 0 ? off / (rho - 1) : null
  const growthDoubts = growth > 0 ? doubts : [...doubts, ...near]
  return {
    drainSeconds: drainOf(load, off, state, doubts),
    growthRate: estimate(growth, margin, growthDoubts),
    limitSeconds: limitOf(state, growth, margin, growthDoubts),
  }
}

function drainOf(load: Load, off: number, state: QueueState, doubts: readonly Doubt[]): Outlook['drainSeconds'] {
  const rho = utilisation(load)
  const near = nearOne(rho, off)
  const seconds = drainSeconds(state.waiting, load)
  if (seconds === Number.POSITIVE_INFINITY) return estimate('never drains', null, [...doubts, ...near])
  if (state.waiting > 0) return estimate(told(seconds), off / (1 - rho), doubts)
  // Nothing is there. It stays so if nothing comes, or if servers keep up with what does, as far as both are known.
  if (load.arrivalRate === 0) return certain(0)
  return estimate(0, 0, load.serviceSeconds > 0 && state.servers !== null ? near : doubts)
}

/** Nobody takes anything: what comes stays. `rate`: λ, which is what the queue grows by. */
function unserved(
  state: QueueState,
  growth: number,
  rate: Estimate,
  rateDoubts: readonly Doubt[],
): Omit<Outlook, 'expectedWaitSeconds'> {
  const reasons = [state.isPaused ? 'the queue is paused' : 'nobody consumes']
  const isEmpty = state.waiting === 0 && growth === 0
  return {
    drainSeconds: isEmpty ? certain(0) : { value: 'never drains', confidence: 'high', margin: null, reasons },
    growthRate: rate,
    limitSeconds: limitOf(state, growth, rate.margin, rateDoubts),
  }
}

function limitOf(
  { waiting, lengthMax }: QueueState,
  growth: number,
  margin: number | null,
  doubts: readonly Doubt[],
): Outlook['limitSeconds'] {
  if (lengthMax === null) return estimate('never', null, [])
  const seconds = Math.max(0, lengthMax - waiting) / growth
  // No growth, or next to none.
  return growth > 0 && seconds < Number.POSITIVE_INFINITY
    ? estimate(told(seconds), margin, doubts)
    : estimate('never', null, doubts)
}
