/** What the formulas suppose and is not so, and what too little is known of. */
import type { Burstiness } from './arrivals.ts'
import { type Doubt, measuredWaitError, samplesMin, shareText } from './confidence.ts'
import type { FlowWindow } from './flow-window.ts'
import { shapeOf } from './measured-load.ts'
import type { QueueState } from './queue-state.ts'
import { expectedWait, type Load, utilisation } from './queueing.ts'

export const nobodyConsumes: Doubt = { confidence: 'none', reason: 'nobody consumes' }
const unmeasured: Doubt = { confidence: 'none', reason: 'nothing was measured yet' }

/** Of the expected wait, for which it matters how arrivals and times are spread. */
export function waitDoubts(window: FlowWindow, state: QueueState, load: Load): Doubt[] {
  return [...sampleDoubts(window), ...serverDoubts(state), ...shapeDoubts(window, load), ...flowDoubts(window, state)]
}

/** Of where things go, for which it matters how many come, and how many can be done. `changeDoubts`: of what comes. */
export function outlookDoubts(window: FlowWindow, state: QueueState, changeDoubts: readonly Doubt[]): Doubt[] {
  const few = settlementDoubts(window).map(({ reason }): Doubt => ({ confidence: 'none', reason }))
  return [...changeDoubts, ...few, ...serverDoubts(state), ...longWorkDoubts(window), ...flowDoubts(window, state)]
}

/** Of λ. */
export function arrivalDoubts(window: FlowWindow, load: Load): Doubt[] {
  const count = window.arrivals + window.returns
  if (window.seconds === 0) return [unmeasured]
  if (count === 0) return [{ confidence: 'low', reason: `nothing came in ${windowText(window)}` }]
  return [...changeDoubts(window, load), ...fewDoubts(count, 'arrivals', window)]
}

/** Of λ, as far as it is no matter of chance: that shows in the margin of what comes of it. */
export function changeDoubts(window: FlowWindow, load: Load): Doubt[] {
  if (window.seconds === 0) return [unmeasured]
  return driftDoubts(shapeOf(window, load))
}

/** Of μ. */
export function serviceDoubts(window: FlowWindow): Doubt[] {
  return [...settlementDoubts(window), ...longWorkDoubts(window)]
}

function settlementDoubts(window: FlowWindow): Doubt[] {
  const { count, samples } = window.processing
  if (window.seconds === 0) return [unmeasured]
  if (count === 0) return [{ confidence: 'none', reason: `nothing was settled in ${windowText(window)}` }]
  return fewDoubts(samples, 'settlements', window)
}

/** Too few to be worth much. */
export function fewDoubts(count: number, what: string, window: FlowWindow): Doubt[] {
  if (count >= samplesMin) return []
  const reason = `too few samples: ${count} ${what} in ${windowText(window)}, at least ${samplesMin} are wanted`
  return [{ confidence: 'low', reason }]
}

function sampleDoubts(window: FlowWindow): Doubt[] {
  const { arrivals, processing } = window
  if (arrivals >= samplesMin && processing.samples >= samplesMin) return []
  const text = `${arrivals} arrivals and ${processing.samples} settlements in ${windowText(window)}`
  return [{ confidence: 'none', reason: `too few samples: ${text}, at least ${samplesMin} of each are wanted` }]
}

export function windowText({ seconds }: FlowWindow): string {
  return `${seconds.toPrecision(3)} s`
}

/** Of c. */
export function countDoubts({ servers, isGuessed, serversChanged }: QueueState): Doubt[] {
  const doubts: Doubt[] = []
  if (servers === null) {
    doubts.push({ confidence: 'none', reason: 'consumers do not say how many messages they work on at once' })
  }
  if (isGuessed) {
    const reason = 'how many messages consumers work on at once is taken from their prefetch'
    doubts.push({ confidence: 'low', reason })
  }
  if (serversChanged) doubts.push({ confidence: 'low', reason: 'consumers came or went in the window' })
  return doubts
}

/** Of what they do. */
function serverDoubts(state: QueueState): Doubt[] {
  const { servers, isSplit, isPaused } = state
  if (isPaused) return [{ confidence: 'none', reason: 'the queue is paused' }]
  if (servers === 0) return [nobodyConsumes]
  const doubts = countDoubts(state)
  if (isSplit) {
    const reason = 'what is handed ahead to one consumer waits for it while another may have nothing to do'
    doubts.push({ confidence: 'medium', reason })
  }
  return doubts
}

/** How arrivals depend on one another. */
export function burstDoubts(window: FlowWindow, load: Load): Doubt[] {
  const shape = shapeOf(window, load)
  const { isCorrelated, batchExcess, isDrifting } = shape
  if (isDrifting) return driftDoubts(shape)
  if (!isCorrelated) return []
  if (batchExcess > 0.5 * (load.arrivalScv + batchExcess)) {
    return [{ confidence: 'medium', reason: 'messages come in batches' }]
  }
  return [{ confidence: 'low', reason: 'arrivals come in bursts that depend on one another' }]
}

function driftDoubts({ isDrifting }: Burstiness): Doubt[] {
  if (!isDrifting) return []
  const reason = 'the rate of arrivals changes, or bursts last longer than the queue remembers'
  return [{ confidence: 'low', reason }]
}

function longWorkDoubts({ processing }: FlowWindow): Doubt[] {
  if (processing.scv <= 20) return []
  const reason = 'few messages take most of the time: the window may have had too few of them'
  return [{ confidence: 'low', reason }]
}

/** How the times are spread. What theory has two moments for it knows only so well. */
function shapeDoubts(window: FlowWindow, load: Load): Doubt[] {
  const doubts = [...burstDoubts(window, load), ...longWorkDoubts(window)]
  if (!shapeOf(window, load).isCorrelated && (load.arrivalScv > 1.5 || load.arrivalScv < 0.2)) {
    const reason = 'arrivals are far from Poisson, for which two moments say only so much'
    doubts.push({ confidence: 'medium', reason })
  }
  if (load.servers > 1 && load.serviceScv > 4) {
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

/** So near to 1 that chance alone decides on which side of it ρ is. */
export function nearOne(rho: number, off: number): Doubt[] {
  if (!(Math.abs(rho - 1) <= off)) return []
  return [{ confidence: 'low', reason: `ρ is 1 ± ${shareText(off)}: whether servers keep up cannot be told yet` }]
}

/** What was really waited tells more than any supposition. */
export function contradictions({ wait }: FlowWindow, load: Load): Doubt[] {
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
