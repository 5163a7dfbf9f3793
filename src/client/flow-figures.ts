/** What was measured of a queue, as users read it: how long messages wait and are worked on, the model, and what if. */
import type { Confidence, Estimate, Trust } from '../flow/confidence.ts'
import type { FlowSampler } from '../flow/flow-sampler.ts'
import { emptyWindow, type FlowWindow, flowBetween, type WindowTimes } from '../flow/flow-window.ts'
import { type Forecast, forecastOf, type WhatIf } from '../flow/forecast.ts'
import { type Model, modelOf } from '../flow/model.ts'
import type { QueueState } from '../flow/queue-state.ts'
import { quantile } from '../lib/histogram.ts'
import type { QueueInfo } from '../model/command.ts'
import { LeveretError } from '../model/errors.ts'
import { parseRate } from '../model/rate.ts'
import { checkInteger, checkOptionNames, shown } from './names.ts'
import type { Rate } from './rate.ts'

export type { Confidence, Estimate, Trust }

/** How long something took, in seconds. Percentiles are within 1.6 % of the true ones, whatever they are. */
export interface TimeStats {
  /** Of how many messages. Where they are more than a thousand or so in a second, some stand for all. */
  readonly count: number
  readonly mean: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

export interface FlowStats {
  /** How long the first ready message has been ready, in seconds; null: none is, or it was there before the broker was started. */
  readonly oldestSeconds: number | null
  /**
   * From when a message was ready until a consumer began with it, of those that somebody began with in the window for the first time.
   * Null: nobody did.
   */
  readonly waitSeconds: TimeStats | null
  /** From then until it was settled. Null: none was. */
  readonly processingSeconds: TimeStats | null
  /** How long that window is, in seconds: 60 in the long run. */
  readonly flowWindowSeconds: number
}

/** A queue as queueing theory sees it: what was measured in the last minute, and what is to be expected. */
export interface QueueModel extends Model {
  readonly name: string
}

export interface ForecastOptions {
  /** Workers, in all processes together; times `concurrency` at most a million. Default: as many as there are. */
  readonly workers?: number
  /** Messages each works on at once. Default: as many as those that are there, on average; 1 if there are none. */
  readonly concurrency?: number
  /** Messages that come, per second, or as text: '500/s', '20/m'. Default: as many as in the last minute. */
  readonly arrival?: number | Rate
}

export interface QueueForecast extends Forecast {
  readonly name: string
}

/** Erlang's recursion goes from server to server, and holds everything else meanwhile. */
const serversMax = 1_000_000
/** More than that no machine takes. */
const arrivalMax = 1_000_000_000

/** One queue, as it is and as it was looked at. `sampler` null: it was not looked at before. */
export class FlowFigures {
  private readonly queue: QueueInfo
  private readonly sampler: FlowSampler | null

  constructor(queue: QueueInfo, sampler: FlowSampler | null) {
    this.queue = queue
    this.sampler = sampler
  }

  stats(): FlowStats {
    const { wait, processing, seconds } = this.window()
    return {
      oldestSeconds: this.queue.flow?.oldestSeconds ?? null,
      waitSeconds: timeStats(wait),
      processingSeconds: timeStats(processing),
      flowWindowSeconds: seconds,
    }
  }

  model(): QueueModel {
    return { name: this.queue.name, ...modelOf(this.window(), this.state()) }
  }

  /** Throws E_BAD_OPTION. */
  forecast(options: ForecastOptions): QueueForecast {
    const { name, consumers } = this.queue
    checkOptionNames(`queue '${name}': forecast`, options, ['workers', 'concurrency', 'arrival'])
    const now = this.state()
    const state = { ...now, isSplit: this.isSplitAmong(options.workers ?? consumers) }
    const perWorker = consumers > 0 && state.servers !== null ? state.servers / consumers : 1
    return { name, ...forecastOf(this.window(), state, whatIf(name, options, consumers, perWorker)) }
  }

  private window(): FlowWindow {
    const { flow } = this.queue
    return this.sampler?.window() ?? (flow === null ? emptyWindow : flowBetween(null, flow))
  }

  private isSplitAmong(workers: number): boolean {
    return workers > 1 && (this.queue.flow?.holdingAhead ?? 0) > 0
  }

  private state(): QueueState {
    const { flow, consumers, paused, ready } = this.queue
    const isKnown = flow !== null && flow.unacknowledging === 0
    return {
      servers: consumers === 0 ? 0 : isKnown ? flow.servers : null,
      isGuessed: flow?.isGuessed ?? false,
      serversChanged: this.sampler?.serversChanged ?? false,
      isPaused: paused,
      isKeyed: flow?.isKeyed ?? false,
      isSplit: this.isSplitAmong(consumers),
      waiting: flow?.waiting ?? ready,
      lengthMax: flow?.lengthMax ?? null,
    }
  }
}

function timeStats({ count, mean, buckets }: WindowTimes): TimeStats | null {
  if (count === 0) return null
  const at = (share: number): number => quantile(buckets, share) ?? 0
  return { count, mean, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) }
}

function whatIf(name: string, options: ForecastOptions, consumers: number, perWorker: number): WhatIf {
  const where = `queue '${name}': forecast`
  const { workers, concurrency, arrival } = options
  if (workers !== undefined) checkInteger(where, 'workers', workers, 0, serversMax)
  if (concurrency !== undefined) checkInteger(where, 'concurrency', concurrency, 1, serversMax)
  const isAsNow = workers === undefined && concurrency === undefined
  const servers = Math.round((workers ?? consumers) * (concurrency ?? perWorker))
  if (!isAsNow) checkInteger(where, 'workers times concurrency', servers, 0, serversMax)
  return {
    ...(isAsNow ? {} : { servers }),
    ...(arrival === undefined ? {} : { arrivalRate: perSecond(where, arrival) }),
  }
}

function perSecond(where: string, arrival: number | Rate): number {
  const limit = typeof arrival === 'string' ? parseRate(arrival) : null
  if (limit !== null) return (limit.count / limit.periodMs) * 1000
  if (typeof arrival === 'number' && arrival >= 0 && arrival <= arrivalMax) return arrival
  const text = `${where}: arrival is ${shown(arrival)}: write messages per second, up to ${arrivalMax}, such as 500, or '500/s', '20/m'`
  throw new LeveretError('E_BAD_OPTION', text)
}
