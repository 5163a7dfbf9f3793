/** What a queue's figures say of a time: means and variability between two looks at sums that only ever grow. */
import { bucketsBetween } from '../lib/histogram.ts'
import { type SpanLevel, spanLevelsBetween } from '../lib/span-counts.ts'
import type { FlowTimes, QueueFlow } from '../model/queue-flow.ts'
import { type Moments, momentsOf, sumsBetween } from './moments.ts'

export interface WindowTimes extends Moments {
  /** How many of them were looked at. */
  readonly samples: number
  /** See lib/histogram.ts. */
  readonly buckets: readonly number[]
}

export interface FlowWindow {
  /** How long it was. */
  readonly seconds: number
  readonly arrivals: number
  /** Arrivals of messages that had been there before. */
  readonly returns: number
  /** Times between arrivals. */
  readonly gaps: Moments
  /** Arrivals per span of time. */
  readonly levels: readonly SpanLevel[]
  readonly wait: WindowTimes
  readonly processing: WindowTimes
  /** How many waited, on average over time: L_q. */
  readonly waitingMean: number
  /** How many were worked on, on average over time. */
  readonly workingMean: number
}

const nothing: FlowTimes = { count: 0, samples: 0, seconds: 0, secondsSquared: 0, buckets: [] }
const noTimes: WindowTimes = { ...momentsOf(nothing), samples: 0, buckets: [] }

/** In which nothing happened. */
export const emptyWindow: FlowWindow = {
  seconds: 0,
  arrivals: 0,
  returns: 0,
  gaps: noTimes,
  levels: [],
  wait: noTimes,
  processing: noTimes,
  waitingMean: 0,
  workingMean: 0,
}

/** `older` null: since measuring began. */
export function flowBetween(older: QueueFlow | null, newer: QueueFlow): FlowWindow {
  const seconds = newer.atSeconds - (older?.atSeconds ?? newer.sinceSeconds)
  const perSecond = (sum: number): number => (seconds > 0 ? sum / seconds : 0)
  return {
    seconds,
    arrivals: newer.arrivals - (older?.arrivals ?? 0),
    returns: newer.returns - (older?.returns ?? 0),
    gaps: momentsOf(sumsBetween(older?.gaps ?? nothing, newer.gaps)),
    levels: spanLevelsBetween(older?.spans ?? [], newer.spans),
    wait: timesBetween(older?.wait ?? nothing, newer.wait),
    processing: timesBetween(older?.processing ?? nothing, newer.processing),
    waitingMean: perSecond(newer.waitingSeconds - (older?.waitingSeconds ?? 0)),
    workingMean: perSecond(newer.workingSeconds - (older?.workingSeconds ?? 0)),
  }
}

function timesBetween(older: FlowTimes, newer: FlowTimes): WindowTimes {
  const buckets = bucketsBetween(older.buckets, newer.buckets)
  return { ...momentsOf(sumsBetween(older, newer)), samples: newer.samples - older.samples, buckets }
}
