// Throughput at one limit, and how sure it is.
import { describe, expect, it } from 'vitest'
import { Prng } from '../lib/prng.ts'
import { HandlerLoad, TimeSpread } from './handler-load.ts'

/** Handlers that all begin and end together, as those do that take exactly the same time. */
function inStep(limit: number, rounds: number, tookMs: number): HandlerLoad {
  const load = new HandlerLoad(limit, 0, new TimeSpread(), 0, limit)
  for (let round = 1; round <= rounds; round++) {
    load.pass(round * tookMs, limit, false)
    for (let at = 0; at < limit; at++) load.end(tookMs, true)
  }
  return load
}

describe('the load of handlers', () => {
  it('tells the throughput of those that begin and end together, wherever its window ends', () => {
    expect(inStep(8, 4, 20).throughput).toBeCloseTo(0.4)
    const load = inStep(8, 4, 20)
    for (let at = 0; at < 5; at++) load.end(20, true)
    expect(load.throughput).toBeCloseTo(0.4)
  })

  it('lets messages that are done pay for attempts that failed', () => {
    const load = new HandlerLoad(1, 0, new TimeSpread(), 0, 1)
    for (let ms = 10; ms <= 400; ms += 10) {
      load.pass(ms, 1, false)
      load.end(10, ms % 20 === 0)
    }
    expect(load.timePerDoneMs).toBe(20)
    expect(load.throughput).toBeCloseTo(0.05)
  })

  it('does not count what began under another limit', () => {
    const load = new HandlerLoad(2, 2, new TimeSpread(), 0, 2)
    load.pass(100, 2, false)
    load.end(100, true)
    load.end(100, true)
    expect([load.ended, load.elapsedMs]).toEqual([0, 0])
    load.pass(110, 2, false)
    load.end(10, true)
    expect([load.ended, load.elapsedMs, load.timePerDoneMs]).toEqual([1, 10, 10])
  })

  it('knows when there was nothing to do', () => {
    const load = new HandlerLoad(2, 0, new TimeSpread(), 0, 2)
    load.pass(80, 2, true)
    load.pass(100, 2, false)
    expect(load.isLacking).toBe(true)
    load.pass(1_000, 2, false)
    expect(load.isLacking).toBe(false)
  })

  it('trusts its mean as far as blocks agree, and few times never', () => {
    const errorOf = (times: number): number => {
      const prng = new Prng(1)
      const load = new HandlerLoad(4, 0, new TimeSpread(), 0, 4)
      for (let at = 0; at < times; at++) load.end(-10 * Math.log(1 - prng.next()), true)
      return load.error
    }
    expect(inStep(1, 8, 10).error).toBeGreaterThan(0.2)
    expect(inStep(1, 400, 10).error).toBeLessThan(0.02)
    // The mean of n exponential times has the relative error 1/√n.
    expect(errorOf(100)).toBeGreaterThan(0.07)
    expect(errorOf(100)).toBeLessThan(0.14)
    expect(errorOf(10_000)).toBeGreaterThan(0.008)
    expect(errorOf(10_000)).toBeLessThan(0.013)
  })

  it('merges with what was measured later as if it were one', () => {
    const [first, second] = [inStep(4, 10, 10), inStep(4, 30, 20)]
    first.merge(second)
    expect([first.ended, first.elapsedMs, first.timePerDoneMs]).toEqual([160, 700, 17.5])
    expect(first.error).toBeGreaterThan(second.error)
  })

  it('remembers times that are rare and long', () => {
    const spread = new TimeSpread()
    for (let at = 0; at < 200; at++) spread.add(at % 50 === 0 ? 1_000 : 10)
    expect(spread.variance).toBeGreaterThan(15)
    expect(new TimeSpread().variance).toBe(1)
  })
})
