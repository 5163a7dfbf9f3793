/** What a Leveret measured of a queue, checked: it comes from another process, maybe of another version. */

import { countOf, flagOf, type JsonValues, objectOf } from '../../lib/json-values.ts'
import type { FlowTimes, QueueFlow } from '../../model/queue-flow.ts'

export function readFlow(value: unknown): QueueFlow {
  const flow = objectOf(value, 'flow')
  return {
    atSeconds: numberOf(flow, 'atSeconds'),
    sinceSeconds: numberOf(flow, 'sinceSeconds'),
    arrivals: countOf(flow, 'arrivals'),
    returns: countOf(flow, 'returns'),
    gaps: sumsOf(objectOf(flow['gaps'], 'gaps')),
    spans: numbersOf(flow, 'spans', 3),
    wait: timesOf(flow, 'wait'),
    processing: timesOf(flow, 'processing'),
    waitingSeconds: numberOf(flow, 'waitingSeconds'),
    workingSeconds: numberOf(flow, 'workingSeconds'),
    waiting: countOf(flow, 'waiting'),
    working: countOf(flow, 'working'),
    oldestSeconds: numberOrNull(flow, 'oldestSeconds'),
    servers: numberOrNull(flow, 'servers'),
    isGuessed: flagOf(flow, 'isGuessed'),
    holdingAhead: countOf(flow, 'holdingAhead'),
    unacknowledging: countOf(flow, 'unacknowledging'),
    lengthMax: numberOrNull(flow, 'lengthMax'),
    isKeyed: flagOf(flow, 'isKeyed'),
  }
}

function timesOf(flow: JsonValues, key: string): FlowTimes {
  const times = objectOf(flow[key], key)
  return { ...sumsOf(times), samples: countOf(times, 'samples'), buckets: numbersOf(times, 'buckets', 2) }
}

function sumsOf(sums: JsonValues): QueueFlow['gaps'] {
  const [seconds, secondsSquared] = [numberOf(sums, 'seconds'), numberOf(sums, 'secondsSquared')]
  return { count: countOf(sums, 'count'), seconds, secondsSquared }
}

/** None is negative. */
function numberOf(object: JsonValues, key: string): number {
  const value = object[key]
  if (typeof value === 'number' && value >= 0) return value
  throw new Error(`${key} is no number`)
}

function numberOrNull(object: JsonValues, key: string): number | null {
  return object[key] === null ? null : numberOf(object, key)
}

/** So many belong together. */
function numbersOf(object: JsonValues, key: string, group: number): number[] {
  const value = object[key]
  const isList = Array.isArray(value) && value.length % group === 0
  if (isList && value.every((one) => typeof one === 'number' && one >= 0)) return value as number[]
  throw new Error(`${key} is no list of numbers`)
}
