/** Random times of a given mean and shape, from a seeded generator: what drives the queues that the model is tested against. */
import { assert } from '../../lib/assert.ts'
import type { Prng } from '../../lib/prng.ts'

/** The next time, in seconds. */
export type Times = () => number

/** M: exponential, c² = 1. */
export function exponential(prng: Prng, mean: number): Times {
  return () => -mean * Math.log(1 - prng.next())
}

/** D: always the same, c² = 0. */
export function constant(mean: number): Times {
  return () => mean
}

/** E_k: the sum of k exponentials, c² = 1/k. */
export function erlang(prng: Prng, mean: number, k: number): Times {
  const phase = exponential(prng, mean / k)
  return () => {
    let sum = 0
    for (let n = 0; n < k; n++) sum += phase()
    return sum
  }
}

/** H_2 with balanced means: mostly short, now and then long; c² = scv > 1. */
export function hyperexponential(prng: Prng, mean: number, scv: number): Times {
  assert(scv > 1, 'it is more variable than an exponential')
  const share = (1 + Math.sqrt((scv - 1) / (scv + 1))) / 2
  const often = exponential(prng, mean / (2 * share))
  const seldom = exponential(prng, mean / (2 * (1 - share)))
  return () => (prng.chance(share) ? often() : seldom())
}

/** Log-normal, as the times of people and of remote services often are. */
export function logNormal(prng: Prng, mean: number, scv: number): Times {
  const variance = Math.log(1 + scv)
  const middle = Math.log(mean) - variance / 2
  return () => {
    // Box and Muller 1958.
    const radius = Math.sqrt(-2 * Math.log(1 - prng.next()))
    return Math.exp(middle + Math.sqrt(variance) * radius * Math.cos(2 * Math.PI * prng.next()))
  }
}

/** Uniform from 0 to twice the mean, c² = 1/3. */
export function uniform(prng: Prng, mean: number): Times {
  return () => 2 * mean * prng.next()
}

/** Poisson arrivals at a rate that changes between two for exponential times: bursts. One after the other is correlated. */
export function switched(prng: Prng, rates: readonly [number, number], stays: readonly [number, number]): Times {
  let phase = 0
  let left = exponential(prng, stays[0])()
  return () => {
    let gap = 0
    for (;;) {
      const rate = rates[phase] as number
      const next = rate === 0 ? Number.POSITIVE_INFINITY : exponential(prng, 1 / rate)()
      if (next <= left) {
        left -= next
        return gap + next
      }
      gap += left
      phase = 1 - phase
      left = exponential(prng, stays[phase] as number)()
    }
  }
}

/** Batches that come as the times say, of `size` at once. */
export function batches(between: Times, size: number): Times {
  let left = 0
  return () => {
    if (left-- > 0) return 0
    left = size - 1
    return between()
  }
}

/** The rate changes once, after so many: times come from one and then from the other. */
export function changing(first: Times, then: Times, after: number): Times {
  let count = 0
  return () => (count++ < after ? first() : then())
}
