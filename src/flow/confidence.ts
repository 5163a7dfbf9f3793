/**
 * How far a figure of the model is to be trusted. Two things make it wrong: chance, because it comes from so many samples and not
 * more, and the world, because it is not as the formulas suppose. The first is worked out as a margin, the second is looked for.
 *
 * The margin is twice the standard error (95 %), from the variance of what the formulas are fed with, carried through them (the
 * delta method). Of a mean of n values it is c/√n, of a squared coefficient of variation c²√((2 + 2c²)/n), as it is for gamma
 * distributed times.
 *
 * All of it is told to people and written as JSON, so a number is finite, and what is not known is null.
 */
import { expectedWait, type Load } from './queueing.ts'

/** With fewer than so many the formulas say nothing, and what was measured is of little worth. */
export const samplesMin = 50
/** Less than that clocks do not tell, nor the turns of an event loop: it is none. */
const clockSeconds = 1e-6

/** `none`: nothing can be said, and the reasons say why. */
export type Confidence = 'high' | 'medium' | 'low' | 'none'

/** How far a figure is to be trusted. */
export interface Trust {
  /** `high`: within 10 to 20 %. `medium`: within a half. `low`: the order of magnitude, at best. */
  readonly confidence: Confidence
  /** How far off chance alone may put it, as a share of it (95 %); null: that is not known, or has no bound. */
  readonly margin: number | null
  /** Why it is not to be trusted more, in sentences. */
  readonly reasons: readonly string[]
}

export interface Estimate<Value = number> extends Trust {
  /** Null: nothing can be said. */
  readonly value: Value | null
}

/** Something the formulas do not know, and how much trust it leaves. */
export interface Doubt {
  readonly confidence: Confidence
  readonly reason: string
}

/** How many values a load was measured from. */
export interface Samples {
  readonly arrivals: number
  readonly processed: number
}

const ranks: readonly Confidence[] = ['none', 'low', 'medium', 'high']
const marginHigh = 0.2
const marginMedium = 0.5

/** `margin` null: chance plays no part in it, or nobody knows which. */
export function estimate<Value>(value: Value, margin: number | null, doubts: readonly Doubt[]): Estimate<Value> {
  const all = [...doubts, ...marginDoubts(margin)]
  const rank = Math.min(...all.map(({ confidence }) => ranks.indexOf(confidence)), ranks.length - 1)
  const confidence = ranks[rank] as Confidence
  // What leaves more trust than another does not matter.
  const reasons = [...new Set(all.filter((doubt) => doubt.confidence === confidence).map(({ reason }) => reason))]
  if (confidence === 'none') return { value: null, confidence, margin: null, reasons }
  return { value, confidence, margin: margin !== null && Number.isFinite(margin) ? margin : null, reasons }
}

/** What was given, or counted. */
export function certain<Value>(value: Value): Estimate<Value> {
  return estimate(value, 0, [])
}

export function trustIn({ confidence, margin, reasons }: Estimate<unknown>): Trust {
  return { confidence, margin, reasons }
}

/** As far as a clock would tell it. */
export function told(seconds: number): number {
  return seconds < clockSeconds ? 0 : seconds
}

function marginDoubts(margin: number | null): Doubt[] {
  if (margin === null || Number.isNaN(margin) || margin <= marginHigh) return []
  const reason = `so few samples leave ±${shareText(margin)}`
  return [{ confidence: margin <= marginMedium ? 'medium' : 'low', reason }]
}

export function shareText(share: number): string {
  return share > 9.99 ? 'more than 1000 %' : `${Math.round(share * 100)} %`
}

/** Of a mean of n values, the standard error as a share of it. Few tell little of how they vary: exponential is supposed, or more. */
export function meanError(scv: number, count: number): number {
  return Math.sqrt((count < samplesMin ? Math.max(1, scv) : scv) / count)
}

/**
 * Of the expected wait, twice the standard error as a share of it, or of a twentieth of a service if that is more: nobody minds
 * whether it is a millionth or two. Infinite where servers hardly keep up.
 */
export function waitMargin(load: Load, samples: Samples, isRateGiven: boolean): number {
  const wait = told(expectedWait(load))
  if (wait === 0) return 0
  const step = 0.001
  const more = expectedWait({ ...load, arrivalRate: load.arrivalRate * (1 + step) })
  if (more === Number.POSITIVE_INFINITY) return more
  const elasticity = (more / wait - 1) / step
  const { serviceScv } = load
  const arrivalScv = load.arrivalScv + load.batchExcess
  const arrivalError = isRateGiven ? 0 : elasticity * Math.sqrt(arrivalScv / samples.arrivals)
  const serviceError = (elasticity + 1) * Math.sqrt(serviceScv / samples.processed)
  const both = arrivalScv + serviceScv
  const shapeError =
    both === 0 ? 0 : (scvError(arrivalScv, samples.arrivals) + scvError(serviceScv, samples.processed)) / both
  return 2 * Math.hypot(arrivalError, serviceError, shapeError) * Math.min(1, wait / (load.serviceSeconds / 20))
}

/** Of a squared coefficient of variation, the standard error. */
export function scvError(scv: number, count: number): number {
  return scv * Math.sqrt((2 + 2 * scv) / count)
}

/**
 * Of a mean wait that was measured over n messages, the standard error as a share of it: waits that follow one another are
 * alike, the more so the less time is left (W. Whitt, Planning queueing simulations. Management Science 35, 1989).
 */
export function measuredWaitError({ arrivalScv, batchExcess, serviceScv }: Load, rho: number, count: number): number {
  return Math.sqrt(((arrivalScv + batchExcess + serviceScv) * (1 + rho)) / count) / (1 - rho)
}
