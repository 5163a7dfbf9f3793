/**
 * How far a figure of the model is to be trusted. Two things make it wrong: chance, because it comes from so many samples and not
 * more, and the world, because it is not as the formulas suppose. The first is worked out as a margin, the second is looked for.
 *
 * The margin is twice the standard error (95 %), from the variance of what the formulas are fed with, carried through them (the
 * delta method). Of a mean of n values it is c/√n, of a squared coefficient of variation c²√((2 + 2c²)/n), as it is for gamma
 * distributed times.
 */
import { expectedWait, type Load } from './queueing.ts'

/** `none`: nothing can be said, and the reasons say why. */
export type Confidence = 'high' | 'medium' | 'low' | 'none'

export interface Estimate<Value = number> {
  /** Null: nothing can be said. */
  readonly value: Value | null
  /** `high`: within 10 to 20 %. `medium`: within a half. `low`: the order of magnitude, at best. */
  readonly confidence: Confidence
  /** How far off chance alone may put it, as a share of it (95 %); null: that is not known. */
  readonly margin: number | null
  /** Why it is not to be trusted more, in sentences. */
  readonly reasons: readonly string[]
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

export function estimate<Value>(value: Value, margin: number | null, doubts: readonly Doubt[]): Estimate<Value> {
  const all = [...doubts, ...marginDoubts(margin)]
  const rank = Math.min(...all.map(({ confidence }) => ranks.indexOf(confidence)), ranks.length - 1)
  const confidence = ranks[rank] as Confidence
  // What leaves more trust than another does not matter.
  const reasons = all.filter((doubt) => doubt.confidence === confidence).map(({ reason }) => reason)
  return { value: confidence === 'none' ? null : value, confidence, margin, reasons }
}

function marginDoubts(margin: number | null): Doubt[] {
  if (margin === null || margin <= marginHigh) return []
  const reason = `so few samples leave ±${shareText(margin)}`
  return [{ confidence: margin <= marginMedium ? 'medium' : 'low', reason }]
}

export function shareText(share: number): string {
  return share > 9.99 ? 'more than 1000 %' : `${Math.round(share * 100)} %`
}

/** Of λ/(cμ), as a share of it; also of what is proportional to that. */
export function loadError({ arrivalScv, batchExcess, serviceScv }: Load, { arrivals, processed }: Samples): number {
  return Math.sqrt((arrivalScv + batchExcess) / arrivals + serviceScv / processed)
}

/**
 * Of the expected wait, twice the standard error as a share of it, or of a twentieth of a service if that is more: nobody minds
 * whether it is a millionth or two. Infinite where servers hardly keep up.
 */
export function waitMargin(load: Load, samples: Samples): number {
  const wait = expectedWait(load)
  if (wait === 0) return 0
  const step = 0.001
  const more = expectedWait({ ...load, arrivalRate: load.arrivalRate * (1 + step) })
  if (more === Number.POSITIVE_INFINITY) return more
  const elasticity = (more / wait - 1) / step
  const { serviceScv } = load
  const arrivalScv = load.arrivalScv + load.batchExcess
  const arrivalError = elasticity * Math.sqrt(arrivalScv / samples.arrivals)
  const serviceError = (elasticity + 1) * Math.sqrt(serviceScv / samples.processed)
  const both = arrivalScv + serviceScv
  const shapeError =
    both === 0 ? 0 : (scvError(arrivalScv, samples.arrivals) + scvError(serviceScv, samples.processed)) / both
  return 2 * Math.hypot(arrivalError, serviceError, shapeError) * Math.min(1, wait / (load.serviceSeconds / 20))
}

function scvError(scv: number, count: number): number {
  return scv * Math.sqrt((2 + 2 * scv) / count)
}

/**
 * Of a mean wait that was measured over n messages, the standard error as a share of it: waits that follow one another are
 * alike, the more so the less time is left (W. Whitt, Planning queueing simulations. Management Science 35, 1989).
 */
export function measuredWaitError({ arrivalScv, batchExcess, serviceScv }: Load, rho: number, count: number): number {
  return Math.sqrt(((arrivalScv + batchExcess + serviceScv) * (1 + rho)) / count) / (1 - rho)
}
