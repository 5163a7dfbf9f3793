// Moments from sums are held against those of the values, and against a running mean.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { momentsOf, sumsBetween, type TimeSums } from './moments.ts'

const times = fc.array(fc.double({ min: 1e-6, max: 1e4, noNaN: true }), { minLength: 2, maxLength: 200 })

function sumsOf(values: readonly number[]): TimeSums {
  const seconds = values.reduce((sum, value) => sum + value, 0)
  return { count: values.length, seconds, secondsSquared: values.reduce((sum, value) => sum + value * value, 0) }
}

/** B. P. Welford, Note on a method for calculating corrected sums of squares and products. Technometrics 4 (1962). */
function welford(values: readonly number[]): { mean: number; scv: number } {
  let mean = 0
  let squares = 0
  for (const [at, value] of values.entries()) {
    const off = value - mean
    mean += off / (at + 1)
    squares += off * (value - mean)
  }
  return { mean, scv: squares / (values.length - 1) / (mean * mean) }
}

describe('moments from sums', () => {
  it('are those of the values, as Welford works them out', () => {
    fc.assert(
      fc.property(times, (values) => {
        const { mean, scv } = momentsOf(sumsOf(values))
        const truth = welford(values)
        expect(Math.abs(mean - truth.mean)).toBeLessThanOrEqual(truth.mean * 1e-12)
        expect(Math.abs(scv - truth.scv)).toBeLessThanOrEqual(1e-9 * (1 + truth.scv))
      }),
    )
  })

  it('of what came between two looks are those of just that', () => {
    fc.assert(
      fc.property(times, times, (before, after) => {
        const { count, mean, scv } = momentsOf(sumsBetween(sumsOf(before), sumsOf([...before, ...after])))
        const truth = welford(after)
        expect(count).toBe(after.length)
        // What went before is as large as it likes: what is left is as exact as doubles of that size are.
        const scale = Math.max(...before, ...after)
        expect(Math.abs(mean - truth.mean)).toBeLessThanOrEqual(scale * 1e-9)
        expect(Math.abs(scv - truth.scv) * truth.mean ** 2).toBeLessThanOrEqual(scale ** 2 * 1e-8)
      }),
    )
  })

  it('are nothing where there is nothing, and without variance for one value or for no time', () => {
    expect(momentsOf(sumsOf([]))).toEqual({ count: 0, mean: 0, scv: 0 })
    expect(momentsOf(sumsOf([3]))).toEqual({ count: 1, mean: 3, scv: 0 })
    expect(momentsOf(sumsOf([0, 0]))).toEqual({ count: 2, mean: 0, scv: 0 })
  })
})
