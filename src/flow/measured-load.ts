/** What was measured in a window, as the formulas take it. */
import { type Burstiness, burstiness } from './arrivals.ts'
import { told } from './confidence.ts'
import type { FlowWindow } from './flow-window.ts'
import { type Load, utilisation } from './queueing.ts'

/** What is not known is 0 in it: see `MeasuredFigures` for what is. `servers`: at least one. */
export function measuredLoad(window: FlowWindow, servers: number): Load {
  const { seconds, arrivals, returns, processing } = window
  const arrivalRate = seconds > 0 ? (arrivals + returns) / seconds : 0
  const serviceSeconds = told(processing.mean)
  const serviceScv = serviceSeconds === 0 ? 0 : processing.scv
  const load = { arrivalRate, serviceSeconds, servers, serviceScv, arrivalScv: 1, batchExcess: 0 }
  const { scv, batchExcess } = shapeOf(window, load)
  return { ...load, arrivalScv: scv, batchExcess }
}

/** How arrivals are spread, as the wait feels it. */
export function shapeOf(window: FlowWindow, load: Load): Burstiness {
  return burstiness(window, memorySeconds(load, window.gaps.scv))
}

/** What the queue remembers: how long what happened at one time can be felt, in seconds. */
function memorySeconds(load: Load, gapScv: number): number {
  const { serviceSeconds, servers, serviceScv } = load
  const left = Math.max(0.02, 1 - utilisation(load))
  return (Math.max(1, gapScv + serviceScv) * serviceSeconds) / (servers * left * left)
}
