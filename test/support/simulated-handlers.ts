// Handlers of many kinds in virtual time, closed loop: as one ends the next begins, if there is a message.
import { AutoConcurrency, type ConcurrencyStats } from '../../src/flow/auto-concurrency.ts'
import { Heap } from '../../src/lib/heap.ts'
import { Prng } from '../../src/lib/prng.ts'

/** What handlers work with. */
export interface Resource {
  /** When a handler ends that begins now, and whether it succeeds. */
  begin(nowMs: number): { readonly atMs: number; readonly isDone: boolean }
  end?(): void
}

export type Kind = (prng: Prng) => Resource
type Time = (prng: Prng) => number

export function exactly(ms: number): Time {
  return () => ms
}

export function exponential(meanMs: number): Time {
  return (prng) => -meanMs * Math.log(1 - prng.next())
}

export function logNormal(meanMs: number, sigma: number): Time {
  return (prng) => {
    const normal = Math.sqrt(-2 * Math.log(1 - prng.next())) * Math.cos(2 * Math.PI * prng.next())
    return meanMs * Math.exp(sigma * normal - (sigma * sigma) / 2)
  }
}

/** So many are served at a time, first come first served: a processor (1), or a pool of connections. */
export function served(servers: number, time: Time): Kind {
  return (prng) => {
    const freeMs = Array.from({ length: servers }, () => 0)
    return {
      begin(nowMs) {
        const at = freeMs.indexOf(Math.min(...freeMs))
        const endMs = Math.max(nowMs, freeMs[at] as number) + time(prng)
        freeMs[at] = endMs
        return { atMs: endMs, isDone: true }
      },
    }
  }
}

/** Nothing is shared: each takes its time. */
export function waiting(time: Time): Kind {
  return (prng) => ({ begin: (nowMs) => ({ atMs: nowMs + time(prng), isDone: true }) })
}

/** So many answers in a second, whoever asks how often. */
export function limited(perSecond: number, time: Time): Kind {
  return (prng) => {
    let nextMs = 0
    return {
      begin(nowMs) {
        const startMs = Math.max(nowMs, nextMs)
        nextMs = startMs + 1_000 / perSecond
        return { atMs: startMs + time(prng), isDone: true }
      },
    }
  }
}

/** The same, and whoever asks for more is refused. */
export function refusing(perSecond: number, time: Time): Kind {
  return (prng) => {
    let [tokens, lastMs] = [5, 0]
    return {
      begin(nowMs) {
        tokens = Math.min(5, tokens + ((nowMs - lastMs) * perSecond) / 1_000)
        lastMs = nowMs
        const isDone = tokens >= 1
        if (isDone) tokens--
        return { atMs: nowMs + time(prng) / (isDone ? 1 : 3), isDone }
      },
    }
  }
}

/** Contention and coherence (N. J. Gunther's Universal Scalability Law): each more makes all of them slower. */
export function contended(ms: number, contention: number, coherence: number, noise: Time): Kind {
  return (prng) => {
    let running = 0
    return {
      begin(nowMs) {
        running++
        const factor = 1 + contention * (running - 1) + coherence * running * (running - 1)
        return { atMs: nowMs + ms * factor * noise(prng), isDone: true }
      },
      end: () => void running--,
    }
  }
}

export interface Run {
  readonly kind: Kind
  readonly forMs: number
  readonly seed: number
  /** Handlers at a time; null: it is found. */
  readonly fixed?: number
  readonly max?: number
  /** Messages that come in a second; without it there are always some. */
  readonly arrivalRate?: number
  /** Another kind from the middle on. */
  readonly later?: Kind
}

export interface Outcome {
  /** Messages done in a second, in the second half of the time. */
  readonly rate: number
  /** Of the limit over the second half of the time, weighed by time. */
  readonly meanLimit: number
  readonly deviation: number
  /** How often the limit changed in that half. */
  readonly changes: number
  readonly stats: ConcurrencyStats
  readonly reasons: readonly string[]
}

export function simulate({ kind, forMs, seed, fixed, max = 64, arrivalRate = 0, later }: Run): Outcome {
  const prng = new Prng(seed)
  const auto = new AutoConcurrency({ min: 1, max }, 0)
  const heap = new Heap<{ atMs: number; sinceMs: number; isDone: boolean; of: Resource }>((a, b) => a.atMs < b.atMs)
  const limits = [{ atMs: 0, limit: auto.limit }]
  const reasons = [auto.stats.reason]
  let resource = kind(prng)
  let [nowMs, running, done] = [0, 0, 0]
  let backlog = arrivalRate === 0 ? Number.POSITIVE_INFINITY : 0
  const interval = exponential(1_000 / arrivalRate)
  let arrivalMs = arrivalRate === 0 ? Number.POSITIVE_INFINITY : interval(prng)
  let next: Kind | undefined = later

  const fill = (): void => {
    while (running < (fixed ?? auto.limit) && backlog > 0) {
      backlog--
      running++
      heap.push({ ...resource.begin(nowMs), sinceMs: nowMs, of: resource })
      auto.pass(nowMs, running, null)
    }
    auto.pass(nowMs, running, running < auto.limit ? 'messages' : null)
  }
  fill()
  while (nowMs < forMs) {
    if (next !== undefined && nowMs >= forMs / 2) {
      resource = next(prng)
      next = undefined
    }
    const first = heap.peek()
    if (first === undefined || arrivalMs < first.atMs) {
      nowMs = arrivalMs
      arrivalMs = nowMs + interval(prng)
      backlog++
    } else {
      heap.pop()
      nowMs = first.atMs
      running--
      first.of.end?.()
      if (first.isDone && nowMs > forMs / 2) done++
      auto.end(nowMs, running, nowMs - first.sinceMs, first.isDone)
      if (auto.limit !== limits.at(-1)?.limit) {
        limits.push({ atMs: nowMs, limit: auto.limit })
        reasons.push(auto.stats.reason)
      }
    }
    fill()
  }
  let [sum, squares] = [0, 0]
  for (const [at, { atMs, limit }] of limits.entries()) {
    const ms = Math.max(0, (limits[at + 1]?.atMs ?? forMs) - Math.max(atMs, forMs / 2))
    sum += ms * limit
    squares += ms * limit * limit
  }
  const halfMs = forMs / 2
  const meanLimit = sum / halfMs
  return {
    rate: (done / halfMs) * 1_000,
    meanLimit,
    deviation: Math.sqrt(Math.max(0, squares / halfMs - meanLimit ** 2)),
    changes: limits.filter(({ atMs }) => atMs > halfMs).length,
    stats: auto.stats,
    reasons,
  }
}
