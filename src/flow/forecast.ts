/** What if: the same queue with other servers, or another load. */
import { certain, type Doubt, type Trust, trustIn } from './confidence.ts'
import type { FlowWindow } from './flow-window.ts'
import { MeasuredFigures } from './measured-figures.ts'
import { measuredLoad } from './measured-load.ts'
import { type Outlook, outlookOf } from './outlook.ts'
import type { QueueState } from './queue-state.ts'
import type { Load } from './queueing.ts'

export interface WhatIf {
  /** c: how many messages are worked on at once; undefined: as now. */
  readonly servers?: number
  /** λ, in messages/s; undefined: as now. */
  readonly arrivalRate?: number
}

/** How far each is to be trusted. `none`: it is null. */
export interface ForecastTrust {
  readonly arrivalRate: Trust
  readonly serviceRate: Trust
  readonly servers: Trust
  readonly utilisation: Trust
  readonly serversNeeded: Trust
}

/** Rates in messages/s, times in seconds. Null is what is not known; all numbers are finite. */
export interface Forecast extends Outlook {
  /** λ, as it was given or is measured. */
  readonly arrivalRate: number | null
  /** μ, of one server, as it is measured. */
  readonly serviceRate: number | null
  /** c, as it was given or is now. */
  readonly servers: number | null
  /** ρ = λ/(cμ). From 1 on they do not keep up. */
  readonly utilisation: number | null
  /** The fewest servers that keep up with that rate. */
  readonly serversNeeded: number | null
  readonly trust: ForecastTrust
}

export function forecastOf(window: FlowWindow, state: QueueState, whatIf: WhatIf): Forecast {
  const isRateGiven = whatIf.arrivalRate !== undefined
  // Of what was said no doubt is left. A pause, and consumers that changed, are not what is asked about.
  const given: QueueState = {
    ...state,
    servers: whatIf.servers ?? state.servers,
    isPaused: false,
    serversChanged: false,
    isGuessed: state.isGuessed && whatIf.servers === undefined,
  }
  const servers = given.servers ?? 1
  const now = measuredLoad(window, Math.max(1, servers))
  const figures = new MeasuredFigures(window, given, now)
  const load: Load = { ...now, servers, arrivalRate: whatIf.arrivalRate ?? now.arrivalRate }
  const arrivalRate = isRateGiven ? certain(load.arrivalRate) : figures.arrivalRate()
  const [serviceRate, count] = [figures.serviceRate(), figures.servers()]
  const [rho, needed] = [figures.utilisation(load, isRateGiven), figures.serversNeeded(load, isRateGiven)]
  return {
    arrivalRate: arrivalRate.value,
    serviceRate: serviceRate.value,
    servers: count.value,
    utilisation: rho.value,
    serversNeeded: needed.value,
    trust: {
      arrivalRate: trustIn(arrivalRate),
      serviceRate: trustIn(serviceRate),
      servers: trustIn(count),
      utilisation: trustIn(rho),
      serversNeeded: trustIn(needed),
    },
    ...outlookOf(figures, { load, state: given, isRateGiven, waitDoubts: strangerDoubts(whatIf, now) }),
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
