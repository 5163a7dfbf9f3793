/** What if: the same queue with other servers, or another load. */
import type { Doubt, Estimate } from './confidence.ts'
import type { FlowWindow } from './flow-window.ts'
import { doubtsOf, expectedWaitOf, measuredLoad, outlookOf, type QueueState, samplesOf } from './model.ts'
import { type Load, utilisation } from './queueing.ts'

export interface WhatIf {
  /** c: how many messages are worked on at once; undefined: as now. */
  readonly servers?: number
  /** λ, in messages/s; undefined: as now. */
  readonly arrivalRate?: number
}

/** Rates in messages/s, times in seconds. */
export interface Forecast {
  /** λ, as it was given or is measured. */
  readonly arrivalRate: number
  /** μ, of one server, as it is measured. */
  readonly serviceRate: number
  /** c, as it was given or is now. */
  readonly servers: number
  /** ρ = λ/(cμ). From 1 on they do not keep up. Null: how long a message takes is not known yet. */
  readonly utilisation: number | null
  /** W_q: how long a message would wait, once things have settled. Infinite if servers do not keep up. */
  readonly expectedWaitSeconds: Estimate
  /** How long what waits now would take to go. */
  readonly drainSeconds: Estimate<number | 'never drains'>
  readonly growthRate: Estimate
  readonly limitSeconds: Estimate<number | 'never'>
  /** The fewest servers that keep up with that rate. Null: how long a message takes is not known yet. */
  readonly serversNeeded: number | null
}

export function forecastOf(window: FlowWindow, state: QueueState, whatIf: WhatIf): Forecast {
  const servers = whatIf.servers ?? state.servers ?? 0
  const now = measuredLoad(window, Math.max(1, servers))
  const load: Load = { ...now, servers, arrivalRate: whatIf.arrivalRate ?? now.arrivalRate }
  const isKnown = load.serviceSeconds > 0
  const samples = samplesOf(window)
  // Of what was said no doubt is left. A pause, and consumers that changed, are not what is asked about.
  const given: QueueState = {
    ...state,
    servers,
    isPaused: false,
    serversChanged: false,
    isGuessed: state.isGuessed && whatIf.servers === undefined,
  }
  const doubts = [...doubtsOf(window, given, now), ...strangerDoubts(whatIf, now)]
  return {
    arrivalRate: load.arrivalRate,
    serviceRate: isKnown ? 1 / load.serviceSeconds : 0,
    servers,
    utilisation: isKnown && servers > 0 ? utilisation(load) : null,
    expectedWaitSeconds: expectedWaitOf({ ...load, servers: Math.max(1, servers) }, samples, doubts),
    ...outlookOf(load, samples, given, doubts),
    serversNeeded: isKnown ? Math.floor(load.arrivalRate * load.serviceSeconds) + 1 : null,
  }
}

/** Another rate of arrivals than the one whose shape was measured may have another shape. */
function strangerDoubts({ arrivalRate }: WhatIf, now: Load): Doubt[] {
  if (arrivalRate === undefined || now.arrivalRate === 0) return []
  const times = arrivalRate / now.arrivalRate
  if (times <= 2 && times >= 0.5) return []
  return [
    {
      confidence: 'medium',
      reason: `${times.toPrecision(2)} times the arrivals that were measured may come in another way`,
    },
  ]
}
