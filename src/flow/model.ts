/**
 * A queue's figures as queueing theory sees them: from what was measured in a window, what is to be expected, and how far that is
 * to be trusted. What is measured and what is worked out are kept apart, so that the one can be held against the other.
 */
import { burstiness } from './arrivals.ts'
import {
  type Doubt,
  type Estimate,
  estimate,
  loadError,
  measuredWaitError,
  type Samples,
  shareText,
  waitMargin,
} from './confidence.ts'
import type { FlowWindow } from './flow-window.ts'
import { drainSeconds, expectedWait, type Load, utilisation } from './queueing.ts'

/** With fewer than so many the model says nothing. */
export const samplesMin = 50

/** What is known of a queue beside its flow. */
export interface QueueState {
  /** How many messages all consumers together work on at once; null: nobody knows. */
  readonly servers: number | null
  /** That number is taken from prefetches. */
  readonly isGuessed: boolean
  /** It was not the same throughout the window. */
  readonly serversChanged: boolean
  readonly isPaused: boolean
  readonly isKeyed: boolean
  /** There is more than one line: what is handed ahead to one of several consumers waits for that one. */
  readonly isSplit: boolean
  /** Messages that wait now. */
  readonly waiting: number
  /** Messages that it may hold; null: any number. */
  readonly lengthMax: number | null
}

/** Little's law, L = λW: two ways to one number. */
export interface LittlesLaw {
  /** L, measured: how many were in the queue, waiting or worked on, on average over time. */
  readonly length: number
  /** λW, from the rate of arrivals and how long messages were in the queue. */
  readonly expected: number
  /** |L − λW| as a share of the greater. Near 0 in a window that begins and ends alike; more if the queue grew, shrank or lost some. */
  readonly difference: number
}

/** Rates in messages/s, times in seconds. */
export interface Model {
  /** How long the window was. */
  readonly windowSeconds: number
  readonly samples: Samples
  /** λ: messages that became ready, those that came back among them. */
  readonly arrivalRate: number
  /** μ, of one server: how many messages it could do; 0: not known yet. */
  readonly serviceRate: number
  /** c: how many messages are worked on at once; null: not known. */
  readonly servers: number | null
  /** ρ = λ/(cμ), the share of their time for which servers have work; from 1 on they do not keep up. Null: not known. */
  readonly utilisation: number | null
  /** c_a²: squared coefficient of variation of the times between arrivals; of their dispersion, if they come in waves. */
  readonly arrivalScv: number
  /** c_s²: squared coefficient of variation of processing times. */
  readonly serviceScv: number
  readonly measured: {
    /** W_q: mean wait until a consumer began, of messages that began in the window; null: there were none. */
    readonly waitSeconds: number | null
    /** 1/μ; null: none was settled. */
    readonly processingSeconds: number | null
    /** L_q: how many waited, on average over time. */
    readonly waiting: number
    /** How many were worked on, on average over time. */
    readonly working: number
  }
  readonly littlesLaw: LittlesLaw
  /** W_q by the formulas, if all goes on like that. Infinite if servers do not keep up. */
  readonly expectedWaitSeconds: Estimate
  /** How long until what waits now is gone, if all goes on like that. */
  readonly drainSeconds: Estimate<number | 'never drains'>
  /** By how much the queue grows if it has more to do than it can, in messages/s; 0: it keeps up. */
  readonly growthRate: Estimate
  /** How long until the queue is as long as it may be; null as a value: it has no limit, or does not grow. */
  readonly limitSeconds: Estimate<number | 'never'>
}

export function modelOf(window: FlowWindow, state: QueueState): Model {
  const load = measuredLoad(window, state.servers ?? 1)
  const doubts = doubtsOf(window, state, load)
  const samples = samplesOf(window)
  const servers = state.servers === 0 ? null : state.servers
  const { wait, processing } = window
  return {
    windowSeconds: window.seconds,
    samples,
    arrivalRate: load.arrivalRate,
    serviceRate: load.serviceSeconds === 0 ? 0 : 1 / load.serviceSeconds,
    servers: state.servers,
    utilisation: servers === null || processing.count === 0 ? null : utilisation({ ...load, servers }),
    arrivalScv: load.arrivalScv + load.batchExcess,
    serviceScv: load.serviceScv,
    measured: {
      waitSeconds: wait.count === 0 ? null : wait.mean,
      processingSeconds: processing.count === 0 ? null : processing.mean,
      waiting: window.waitingMean,
      working: window.workingMean,
    },
    littlesLaw: littlesLaw(window),
    expectedWaitSeconds: expectedWaitOf(load, samples, [...doubts, ...contradictions(window, load)]),
    ...outlookOf(load, samples, state, doubts),
  }
}

/** What was measured, as the formulas take it. */
export function measuredLoad(window: FlowWindow, servers: number): Load {
  const { seconds, arrivals, returns, processing } = window
  const arrivalRate = seconds > 0 ? (arrivals + returns) / seconds : 0
  const { mean: serviceSeconds, scv: serviceScv } = processing
  const load = { arrivalRate, serviceSeconds, servers, serviceScv, arrivalScv: 1, batchExcess: 0 }
  const { scv, batchExcess } = burstiness(window, memorySeconds(load, window.gaps.scv))
  return { ...load, arrivalScv: scv, batchExcess }
}

/** What the queue remembers: how long what happened at one time can be felt, in seconds. */
function memorySeconds(load: Load, gapScv: number): number {
  const { serviceSeconds, servers, serviceScv } = load
  const left = Math.max(0.02, 1 - utilisation(load))
  return (Math.max(1, gapScv + serviceScv) * serviceSeconds) / (servers * left * left)
}

export function samplesOf({ arrivals, processing }: FlowWindow): Samples {
  return { arrivals, processed: processing.samples }
}

export function expectedWaitOf(load: Load, samples: Samples, doubts: readonly Doubt[]): Estimate {
  const rho = utilisation(load)
  const off = 2 * rho * loadError(load, samples)
  if (rho < 1) return estimate(expectedWait(load), waitMargin(load, samples), doubts)
  return estimate(Number.POSITIVE_INFINITY, null, [...doubts, ...nearOne(rho, off)])
}

/** Where things go with that load, from where they are. */
export function outlookOf(
  load: Load,
  samples: Samples,
  state: QueueState,
  doubts: readonly Doubt[],
): Pick<Model, 'drainSeconds' | 'growthRate' | 'limitSeconds'> {
  const isServed = load.servers > 0 && !state.isPaused
  if (!isServed) return unserved(load, samples, state)
  const rho = utilisation(load)
  const off = 2 * rho * loadError(load, samples)
  const { waiting, lengthMax } = state
  const drain = drainSeconds(waiting, load)
  const growth = rho > 1 ? load.arrivalRate - load.servers / load.serviceSeconds : 0
  const margin = rho === 1 ? Number.POSITIVE_INFINITY : off / Math.abs(1 - rho)
  const near = nearOne(rho, off)
  const grows = growth > 0 && lengthMax !== null
  return {
    drainSeconds: drain === 0 ? drained(load, samples, state, doubts, near) : drainOf(drain, margin, doubts, near),
    growthRate: estimate(growth, growth === 0 ? null : margin, [...doubts, ...(growth === 0 ? near : [])]),
    limitSeconds: grows
      ? estimate(Math.max(0, lengthMax - waiting) / growth, margin, doubts)
      : estimate('never', null, lengthMax === null ? [] : [...doubts, ...near]),
  }
}

function drainOf(
  seconds: number,
  margin: number,
  doubts: readonly Doubt[],
  near: readonly Doubt[],
): Model['drainSeconds'] {
  if (seconds === Number.POSITIVE_INFINITY) return estimate('never drains', null, [...doubts, ...near])
  return estimate(seconds, margin, doubts)
}

/** Nothing is there. It stays so if nothing comes, or if servers keep up with what does, as far as both are known. */
function drained(
  { arrivalRate }: Load,
  { processed }: Samples,
  { servers }: QueueState,
  doubts: readonly Doubt[],
  near: readonly Doubt[],
): Model['drainSeconds'] {
  if (arrivalRate === 0) return estimate(0, null, [])
  return estimate(0, null, processed > 0 && servers !== null ? near : doubts)
}

/** Nobody takes anything: what comes stays. */
function unserved(
  load: Load,
  samples: Samples,
  { waiting, lengthMax, isPaused }: QueueState,
): Pick<Model, 'drainSeconds' | 'growthRate' | 'limitSeconds'> {
  const growth = load.arrivalRate
  const margin = samples.arrivals === 0 ? null : 2 * Math.sqrt(load.arrivalScv / samples.arrivals)
  const grows = growth > 0 && lengthMax !== null
  const doubts: Doubt[] = []
  if (samples.arrivals === 0) doubts.push({ confidence: 'none', reason: 'nothing came in the window' })
  return {
    drainSeconds:
      waiting === 0 && growth === 0
        ? estimate(0, null, [])
        : { ...estimate('never drains', null, []), reasons: [isPaused ? 'the queue is paused' : 'nobody consumes'] },
    growthRate: estimate(growth, margin, doubts),
    limitSeconds: grows
      ? estimate(Math.max(0, lengthMax - waiting) / growth, margin, doubts)
      : estimate('never', null, lengthMax === null ? [] : doubts),
  }
}

/** So near to 1 that chance alone decides on which side of it ρ is. */
function nearOne(rho: number, off: number): Doubt[] {
  if (Math.abs(rho - 1) > off) return []
  return [{ confidence: 'low', reason: `ρ is 1 ± ${shareText(off)}: whether servers keep up cannot be told yet` }]
}

/** What the formulas suppose and is not so. */
export function doubtsOf(window: FlowWindow, state: QueueState, load: Load): Doubt[] {
  return [...sampleDoubts(window), ...serverDoubts(state), ...shapeDoubts(window, load), ...flowDoubts(window, state)]
}

function sampleDoubts({ arrivals, processing, seconds }: FlowWindow): Doubt[] {
  const text = `${arrivals} arrivals and ${processing.samples} settlements in ${seconds.toPrecision(3)} s`
  if (arrivals >= samplesMin && processing.samples >= samplesMin) return []
  return [{ confidence: 'none', reason: `too few samples: ${text}, at least ${samplesMin} of each are wanted` }]
}

function serverDoubts({ servers, isGuessed, isSplit, serversChanged, isPaused }: QueueState): Doubt[] {
  const doubts: Doubt[] = []
  if (isPaused) doubts.push({ confidence: 'none', reason: 'the queue is paused' })
  else if (servers === 0) doubts.push({ confidence: 'none', reason: 'nobody consumes' })
  else if (servers === null) {
    doubts.push({ confidence: 'none', reason: 'consumers do not say how many messages they work on at once' })
  }
  if (isGuessed) {
    const reason = 'how many messages consumers work on at once is taken from their prefetch'
    doubts.push({ confidence: 'low', reason })
  }
  if (isSplit) {
    const reason = 'what is handed ahead to one consumer waits for it while another may have nothing to do'
    doubts.push({ confidence: 'medium', reason })
  }
  if (serversChanged) doubts.push({ confidence: 'low', reason: 'consumers came or went in the window' })
  return doubts
}

/** How the times are spread. What theory has two moments for it knows only so well. */
function shapeDoubts(window: FlowWindow, load: Load): Doubt[] {
  const doubts: Doubt[] = []
  const { isCorrelated, isDrifting, batchExcess } = burstiness(window, memorySeconds(load, window.gaps.scv))
  if (isDrifting) {
    doubts.push({
      confidence: 'low',
      reason: 'the rate of arrivals changes, or bursts last longer than the queue remembers',
    })
  } else if (isCorrelated && batchExcess > 0.5 * (load.arrivalScv + batchExcess)) {
    doubts.push({ confidence: 'medium', reason: 'messages come in batches' })
  } else if (isCorrelated) {
    doubts.push({ confidence: 'low', reason: 'arrivals come in bursts that depend on one another' })
  } else if (load.arrivalScv > 1.5 || load.arrivalScv < 0.2) {
    const reason = 'arrivals are far from Poisson, for which two moments say only so much'
    doubts.push({ confidence: 'medium', reason })
  }
  if (load.serviceScv > 20) {
    doubts.push({
      confidence: 'low',
      reason: 'few messages take most of the time: the window may have had too few of them',
    })
  } else if (load.servers > 1 && load.serviceScv > 4) {
    doubts.push({ confidence: 'medium', reason: 'processing times vary so much that two moments say only so much' })
  }
  return doubts
}

function flowDoubts({ arrivals, returns }: FlowWindow, { isKeyed }: QueueState): Doubt[] {
  const doubts: Doubt[] = []
  if (returns > arrivals * 0.02)
    doubts.push({ confidence: 'medium', reason: 'messages come back and are worked on again' })
  if (isKeyed) doubts.push({ confidence: 'low', reason: 'messages of one key wait for one another' })
  return doubts
}

/** What was really waited tells more than any supposition. */
function contradictions({ wait }: FlowWindow, load: Load): Doubt[] {
  const rho = utilisation(load)
  if (rho >= 1 || wait.samples < samplesMin) return []
  const expected = expectedWait(load)
  const off = Math.abs(wait.mean - expected)
  const allowed = expected * (0.25 + 3 * measuredWaitError(load, rho, wait.samples))
  // What is short beside the service itself is not worth a doubt: it is the resolution of clocks and turns.
  if (off <= allowed || off < load.serviceSeconds / 50) return []
  const reason = `messages waited ${secondsText(wait.mean)} in truth, and not ${secondsText(expected)}: something is at work that the formulas do not know`
  return [{ confidence: 'low', reason }]
}

function secondsText(seconds: number): string {
  return seconds < 1 ? `${(seconds * 1000).toPrecision(3)} ms` : `${seconds.toPrecision(3)} s`
}

function littlesLaw({ arrivals, seconds, wait, processing, waitingMean, workingMean }: FlowWindow): LittlesLaw {
  const length = waitingMean + workingMean
  const expected = seconds > 0 ? (arrivals / seconds) * (wait.mean + processing.mean) : 0
  const greater = Math.max(length, expected)
  return { length, expected, difference: greater === 0 ? 0 : Math.abs(length - expected) / greater }
}
