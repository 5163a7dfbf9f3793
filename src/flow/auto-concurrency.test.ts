// The controller against handlers of many kinds, in virtual time and with seeded noise.
import { describe, expect, it } from 'vitest'
import {
  contended,
  exactly,
  exponential,
  type Kind,
  limited,
  logNormal,
  refusing,
  served,
  simulate,
  waiting,
} from '../../test/support/simulated-handlers.ts'
import { AutoConcurrency } from './auto-concurrency.ts'

interface Case {
  readonly name: string
  readonly kind: Kind
  readonly forMs: number
  /** Limits that are right, whatever the noise says. */
  readonly from: number
  readonly to: number
}

const cases: readonly Case[] = [
  { name: 'that keep the processor busy', kind: served(1, exactly(5)), forMs: 10_000, from: 1, to: 2 },
  { name: 'that keep it busy for unequal times', kind: served(1, exponential(5)), forMs: 20_000, from: 1, to: 6 },
  { name: 'that wait', kind: waiting(exactly(20)), forMs: 10_000, from: 63, to: 64 },
  { name: 'that wait for unequal times', kind: waiting(exponential(20)), forMs: 20_000, from: 56, to: 64 },
  { name: 'with a pool of 16', kind: served(16, exactly(20)), forMs: 10_000, from: 15, to: 18 },
  { name: 'with a pool of 16 and noise', kind: served(16, exponential(20)), forMs: 40_000, from: 14, to: 26 },
  { name: 'with a pool of 5 and noise', kind: served(5, exponential(100)), forMs: 120_000, from: 4, to: 16 },
  { name: 'at 50 a second', kind: limited(50, exactly(20)), forMs: 30_000, from: 1, to: 2 },
  { name: 'at 50 a second, from far away', kind: limited(50, exactly(100)), forMs: 30_000, from: 5, to: 8 },
  { name: 'at 200 a second, with noise', kind: limited(200, logNormal(100, 0.5)), forMs: 40_000, from: 18, to: 34 },
  { name: 'that are refused beyond 50 a second', kind: refusing(50, exactly(20)), forMs: 30_000, from: 1, to: 6 },
  {
    name: 'that disturb each other',
    kind: contended(20, 0.02, 0.01, logNormal(1, 0.3)),
    forMs: 30_000,
    from: 6,
    to: 13,
  },
]

const seeds = [1, 2, 3]

describe('the concurrency found for handlers', () => {
  it.each(cases)(
    '$name does at least 90 % of what the best fixed one does, and stays calm',
    ({ kind, forMs, from, to }) => {
      const fixed = [1, 2, 4, 8, 16, 32, 64].map((one) => simulate({ kind, forMs, seed: 99, fixed: one }).rate)
      const best = Math.max(...fixed)
      for (const seed of seeds) {
        const outcome = simulate({ kind, forMs, seed })
        expect(outcome.rate / best, `seed ${seed}`).toBeGreaterThan(0.9)
        expect(outcome.meanLimit, `seed ${seed}`).toBeGreaterThanOrEqual(from)
        expect(outcome.meanLimit, `seed ${seed}`).toBeLessThanOrEqual(to)
        expect(outcome.changes, `seed ${seed}`).toBeLessThanOrEqual(10)
        expect(outcome.deviation, `seed ${seed}`).toBeLessThan(Math.max(1.5, 0.45 * outcome.meanLimit))
      }
    },
  )
})

describe('a controller of concurrency', () => {
  it('takes handlers back when what they work with has become smaller', () => {
    for (const seed of seeds) {
      const kind = served(16, exponential(20))
      const { rate, stats, reasons } = simulate({ kind, later: served(4, exponential(20)), forMs: 160_000, seed })
      expect(rate, `seed ${seed}`).toBeGreaterThan(180)
      expect(stats.limit, `seed ${seed}`).toBeLessThan(13)
      expect(reasons.some((reason) => reason.includes('16'))).toBe(true)
    }
  })

  it('finds more when it has become larger', () => {
    for (const seed of seeds) {
      const kind = served(4, exponential(20))
      const { rate } = simulate({ kind, later: served(16, exponential(20)), forMs: 120_000, seed })
      expect(rate, `seed ${seed}`).toBeGreaterThan(640)
    }
  })

  it('keeps the throughput when each handler takes four times as long', () => {
    for (const seed of seeds) {
      const kind = served(8, logNormal(20, 0.3))
      const { rate } = simulate({ kind, later: served(8, logNormal(80, 0.3)), forMs: 80_000, seed })
      expect(rate, `seed ${seed}`).toBeGreaterThan(90)
    }
  })

  it('grows from a single handler when each takes much longer than before', () => {
    // Two of 100 ms do twice as much; two that share a processor did not.
    for (const seed of seeds) {
      const { stats } = simulate({ kind: served(1, exactly(5)), later: waiting(exactly(100)), forMs: 120_000, seed })
      expect(stats.limit, `seed ${seed}`).toBeGreaterThan(32)
    }
  })

  it('does not grow without a backlog, for a limit that is not used says nothing', () => {
    for (const seed of seeds) {
      const { stats, rate } = simulate({ kind: waiting(exponential(20)), arrivalRate: 100, forMs: 60_000, seed })
      expect(rate).toBeGreaterThan(95)
      expect(stats.limit).toBe(4)
      expect(stats.reason).toMatch(/^(waiting for|too few) messages.*: keeps 4$/)
    }
  })

  it('stays within its bounds', () => {
    expect(simulate({ kind: waiting(exactly(20)), max: 6, forMs: 5_000, seed: 1 }).stats.limit).toBe(6)
    const auto = new AutoConcurrency({ min: 8, max: 8 }, 0)
    for (let nowMs = 0; nowMs < 10_000; nowMs++) auto.end(nowMs, 8, 5, true)
    expect(auto.limit).toBe(8)
    expect(new AutoConcurrency({ min: 10, max: 20 }, 0).limit).toBe(10)
    expect(new AutoConcurrency({ min: 1, max: 2 }, 0).limit).toBe(2)
  })

  it('says why in words', () => {
    const reasonsOf = (kind: Kind, later?: Kind): readonly string[] =>
      simulate({ kind, forMs: 30_000, seed: 1, ...(later === undefined ? {} : { later }) }).reasons
    expect(reasonsOf(waiting(exactly(20)))[0]).toBe('starts with 4')
    expect(simulate({ kind: waiting(exactly(20)), forMs: 1_000, seed: 1 }).stats).toEqual({
      limit: 64,
      min: 1,
      max: 64,
      reason: 'more throughput with more, up to the maximum of 64',
    })
    const pool = reasonsOf(served(16, exactly(20)))
    expect(pool).toContain('no more throughput with more than 16')
    expect(pool.at(-1)).toBe('no more throughput with more than 16, less with fewer')
  })

  it('says that a rate holds the handlers, not their number', () => {
    const auto = new AutoConcurrency({ min: 1, max: 64 }, 0)
    for (let nowMs = 0; nowMs < 2_000; nowMs += 100) {
      auto.pass(nowMs, 1, null)
      auto.end(nowMs + 10, 0, 10, true)
      auto.pass(nowMs + 10, 0, 'rate')
    }
    expect(auto.stats).toMatchObject({ limit: 4, reason: 'held by its rate: keeps 4' })
  })

  it('asks for as many messages as are done in 20 ms, and at least for one that waits for each that runs', () => {
    const auto = new AutoConcurrency({ min: 4, max: 4 }, 0)
    expect(auto.prefetch).toBe(8)
    // Four at a time that take 1 ms each: 4 in a millisecond, 80 in twenty.
    auto.pass(0, 4, null)
    for (let nowMs = 1; nowMs <= 100; nowMs++) for (let at = 0; at < 4; at++) auto.end(nowMs, 4, 1, true)
    expect(auto.prefetch).toBe(4 + 128)
  })

  it('learns nothing from handlers that take no time', () => {
    const auto = new AutoConcurrency({ min: 1, max: 64 }, 0)
    for (let round = 0; round < 10_000; round++) auto.end(0, 0, 0, true)
    expect(auto.limit).toBe(4)
  })
})
