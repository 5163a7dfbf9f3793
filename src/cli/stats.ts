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
    // JSON has no infinity: what has no end is told in a word.
    const told = JSON.stringify({ ...stats, model, forecast }, (_key, value: unknown) =>
      value === Number.POSITIVE_INFINITY ? 'without end' : value,
    )
    process.stdout.write(`${told}\n`)
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
  const { arrivalRate, serviceRate, servers, utilisation, arrivalScv, serviceScv, littlesLaw } = model
  const difference = littlesLaw.difference * 100
  return [
    line(
      'model',
      `λ ${rate(arrivalRate)}, μ ${rate(serviceRate)}, c ${servers ?? '?'}, ρ ${utilisation === null ? '?' : short(utilisation)}, ` +
        `c_a² ${short(arrivalScv)}, c_s² ${short(serviceScv)}; L and λW differ by ${short(difference)} %`,
    ),
    ...outlook(model),
  ]
}

function whatIfLines(forecast: QueueForecast): string[] {
  const { arrivalRate, servers, utilisation, serversNeeded } = forecast
  const needed = serversNeeded === null ? '' : `; ${serversNeeded} at once would keep up`
  const busy = utilisation === null ? '' : `, ρ ${short(utilisation)}`
  return [line('what if', `λ ${rate(arrivalRate)}, ${servers} at once${busy}${needed}`), ...outlook(forecast)]
}

function outlook({
  expectedWaitSeconds,
  drainSeconds,
  growthRate,
  limitSeconds,
}: QueueForecast | QueueModel): string[] {
  const lines = [line('expected', `waits ${estimated(expectedWaitSeconds, time)}`)]
  const drains = drainSeconds.value === 'never drains' ? '' : 'drains in '
  lines.push(
    line('', `${drains}${estimated(drainSeconds, (value) => (typeof value === 'number' ? time(value) : value))}`),
  )
  if (growthRate.value !== null && growthRate.value > 0) lines.push(line('', `grows by ${estimated(growthRate, rate)}`))
  if (typeof limitSeconds.value === 'number')
    lines.push(line('', `is full in ${estimated({ ...limitSeconds, value: limitSeconds.value }, time)}`))
  return lines
}

function estimated<Value>(
  { value, confidence, margin, reasons }: Estimate<Value>,
  text: (value: Value) => string,
): string {
  const why = reasons.length === 0 ? '' : `: ${reasons.join('; ')}`
  if (value === null) return `nobody knows how long${why}`
  const chance = margin === null || margin === 0 || margin > 9.99 ? '' : ` ±${Math.round(margin * 100)} %`
  return `${text(value)}${chance} (confidence ${confidence}${why})`
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
  if (seconds === Number.POSITIVE_INFINITY) return 'for ever'
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
