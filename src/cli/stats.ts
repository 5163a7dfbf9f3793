/** `leveret stats`: how one queue does, in figures, what is to be expected of it, and what if. */
import type {
  Bus,
  Estimate,
  ForecastOptions,
  QueueForecast,
  QueueModel,
  QueueStats,
  Rate,
  TimeStats,
  Trust,
} from '../index.ts'
import { LeveretError } from '../model/errors.ts'
import type { Reporting } from './fail.ts'
import { openTarget, targetOf } from './target.ts'

interface StatsCommand extends Reporting {
  readonly queue: string
  readonly at: string
  readonly workers?: string
  readonly concurrency?: string
  readonly arrival?: string
}

export async function run(options: StatsCommand): Promise<number> {
  const whatIf = whatIfOf(options)
  const bus = await openTarget(targetOf(options.at), () => {})
  try {
    await tell(bus, options, whatIf)
  } finally {
    await bus.close()
  }
  return 0
}

async function tell(bus: Bus, { queue: name, json }: StatsCommand, whatIf: ForecastOptions | null): Promise<void> {
  const queue = await bus.openQueue(name)
  const [stats, model] = [await queue.stats(), await queue.model()]
  const forecast = whatIf === null ? null : await queue.forecast(whatIf)
  if (json) {
    process.stdout.write(`${JSON.stringify({ ...stats, model, forecast })}\n`)
    return
  }
  const lines = [
    ...figures(stats),
    ...expectations(model),
    ...(forecast === null ? [] : ['', ...whatIfLines(forecast)]),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** Null: nothing is asked. */
function whatIfOf({ workers, concurrency, arrival }: StatsCommand): ForecastOptions | null {
  if (workers === undefined && concurrency === undefined && arrival === undefined) return null
  return {
    ...(workers === undefined ? {} : { workers: numberOf('--workers', workers) }),
    ...(concurrency === undefined ? {} : { concurrency: numberOf('--concurrency', concurrency) }),
    ...(arrival === undefined
      ? {}
      : { arrival: arrival.includes('/') ? (arrival as Rate) : numberOf('--arrival', arrival) }),
  }
}

function numberOf(option: string, text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value)) return value
  throw new LeveretError('E_BAD_OPTION', `${option} is '${text}', and has to be a number`)
}

function figures(stats: QueueStats): string[] {
  const { ready, unacked, delayed, length, oldestSeconds, sendRate, receiveRate, processingRate, windowSeconds } = stats
  const oldest = oldestSeconds === null ? '' : `; the oldest is ready for ${time(oldestSeconds)}`
  return [
    line('length', `${length}: ${ready} ready, ${unacked} with consumers, and ${delayed} delayed${oldest}`),
    line(
      'rates',
      `${rate(sendRate)} sent, ${rate(receiveRate)} received, ${rate(processingRate)} processed, over ${time(windowSeconds)}`,
    ),
    line('wait', times(stats.waitSeconds, stats.flowWindowSeconds)),
    line('processing', times(stats.processingSeconds, stats.flowWindowSeconds)),
  ]
}

function expectations(model: QueueModel): string[] {
  const { arrivalRate, serviceRate, servers, utilisation, arrivalScv, serviceScv, littlesLaw, trust } = model
  const { difference } = littlesLaw
  const law = difference === null ? 'L and λW are not known' : `L and λW differ by ${short(difference * 100)} %`
  return [
    line(
      'model',
      `λ ${known(arrivalRate, rate)}, μ ${known(serviceRate, rate)}, c ${known(servers, short)}, ρ ${known(utilisation, short)}, ` +
        `c_a² ${known(arrivalScv, short)}, c_s² ${known(serviceScv, short)}; ${law}`,
    ),
    ...trustLines([
      ['λ', trust.arrivalRate],
      ['μ', trust.serviceRate],
      ['c', trust.servers],
      ['ρ', trust.utilisation],
      ['c_a²', trust.arrivalScv],
      ['c_s²', trust.serviceScv],
      ['L = λW', trust.littlesLaw],
    ]),
    ...outlook(model),
  ]
}

function whatIfLines(forecast: QueueForecast): string[] {
  const { arrivalRate, servers, utilisation, serversNeeded, trust } = forecast
  const needed = serversNeeded === null ? '' : `; ${serversNeeded} at once would keep up`
  const busy = utilisation === null ? '' : `, ρ ${short(utilisation)}`
  return [
    line('what if', `λ ${known(arrivalRate, rate)}, ${known(servers, short)} at once${busy}${needed}`),
    ...trustLines([
      ['λ', trust.arrivalRate],
      ['c', trust.servers],
      ['ρ', trust.utilisation],
    ]),
    ...outlook(forecast),
  ]
}

function known(value: number | null, text: (value: number) => string): string {
  return value === null ? '?' : text(value)
}

/** Figures of which the same is to be said in one line. */
function trustLines(figures: readonly (readonly [string, Trust])[]): string[] {
  const namesBySaying = new Map<string, string[]>()
  for (const [name, { confidence, margin, reasons }] of figures) {
    const isTold = reasons.length > 0
    const saying = `${confidence}${isTold ? `: ${reasons.join('; ')}` : ''}`
    const names = namesBySaying.get(saying) ?? []
    names.push(isTold ? name : `${name}${chance(margin)}`)
    namesBySaying.set(saying, names)
  }
  return [...namesBySaying].map(([saying, names]) => line('', `${names.join(', ')} (confidence ${saying})`))
}

function outlook(model: QueueForecast | QueueModel): string[] {
  const { expectedWaitSeconds, drainSeconds, growthRate, limitSeconds } = model
  const waits = expectedWaitSeconds.value === 'never ends' ? 'the wait' : 'waits'
  const lines = [
    line('expected', `${waits} ${estimated(expectedWaitSeconds, orWord)}`),
    line(
      '',
      estimated(
        drainSeconds,
        (value) => (typeof value === 'number' ? `drains in ${time(value)}` : value),
        'drains nobody knows when',
      ),
    ),
  ]
  if (growthRate.value !== null && growthRate.value > 0) lines.push(line('', `grows by ${estimated(growthRate, rate)}`))
  if (typeof limitSeconds.value === 'number') lines.push(line('', `is full in ${estimated(limitSeconds, orWord)}`))
  return lines
}

function orWord(value: number | string): string {
  return typeof value === 'number' ? time(value) : value
}

function estimated<Value>(
  { value, confidence, margin, reasons }: Estimate<Value>,
  text: (value: Value) => string,
  unknown = 'nobody knows how long',
): string {
  const why = reasons.length === 0 ? '' : `: ${reasons.join('; ')}`
  if (value === null) return `${unknown}${why}`
  return `${text(value)}${chance(margin)} (confidence ${confidence}${why})`
}

/** What chance may do, if that is anything, and has a bound. */
function chance(margin: number | null): string {
  return margin === null || margin < 0.005 || margin > 9.99 ? '' : ` ±${Math.round(margin * 100)} %`
}

function times(stats: TimeStats | null, windowSeconds: number): string {
  if (stats === null) return 'nothing yet'
  const { count, mean, p50, p95, p99, max } = stats
  const shares = `p50 ${time(p50)}, p95 ${time(p95)}, p99 ${time(p99)}, max ${time(max)}`
  return `mean ${time(mean)}, ${shares}, of ${count} messages in ${time(windowSeconds)}`
}

function line(title: string, text: string): string {
  return `${title.padEnd(11)} ${text}`.trimEnd()
}

function rate(perSecond: number): string {
  return `${short(perSecond)}/s`
}

function time(seconds: number): string {
  if (seconds === 0) return '0 s'
  if (seconds < 0.001) return `${short(seconds * 1_000_000)} µs`
  if (seconds < 1) return `${short(seconds * 1_000)} ms`
  if (seconds < 600) return `${short(seconds)} s`
  return seconds < 36_000 ? `${short(seconds / 60)} min` : `${short(seconds / 3_600)} h`
}

/** Three digits, as far as they say something. */
function short(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)))
}
