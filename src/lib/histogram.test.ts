// What a histogram says is held against the sorted values themselves.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bucketOf, bucketsBetween, countOf, Histogram, histogramErrorMax, quantile, secondsOf } from './histogram.ts'

const times = fc.array(
  fc.oneof(
    fc.double({ min: 2 ** -20, max: 1, noNaN: true }),
    fc.double({ min: 2 ** -20, max: 2 ** 23, noNaN: true }),
    fc.constant(0.25),
  ),
  { minLength: 1, maxLength: 300 },
)

function histogramOf(values: readonly number[]): Histogram {
  const histogram = new Histogram()
  for (const value of values) histogram.record(value)
  return histogram
}

/** Nearest rank, as textbooks have it. */
function exact(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] as number
}

describe('Histogram', () => {
  it('gives every quantile to within 1/64 of what sorting gives', () => {
    fc.assert(
      fc.property(times, fc.double({ min: 0, max: 1, noNaN: true }), (values, share) => {
        const truth = exact(values, share)
        const told = quantile(histogramOf(values).buckets(), share) as number
        expect(Math.abs(told - truth)).toBeLessThanOrEqual(truth * histogramErrorMax * (1 + 1e-12))
      }),
    )
  })

  it('puts a greater value into no lower bucket, and the middle of a bucket into that bucket', () => {
    fc.assert(
      fc.property(times, (values) => {
        const sorted = values.toSorted((one, other) => one - other).map(bucketOf)
        expect(sorted).toEqual(sorted.toSorted((one, other) => one - other))
        for (const bucket of sorted) expect(bucketOf(secondsOf(bucket))).toBe(bucket)
      }),
    )
  })

  it('says the same of two histograms merged as of one that saw everything', () => {
    fc.assert(
      fc.property(times, times, (some, others) => {
        const merged = histogramOf(some)
        merged.merge(histogramOf(others).buckets())
        expect(merged.buckets()).toEqual(histogramOf([...some, ...others]).buckets())
      }),
    )
  })

  it('gives what came between two looks', () => {
    fc.assert(
      fc.property(times, times, (before, after) => {
        const histogram = histogramOf(before)
        const older = histogram.buckets()
        for (const value of after) histogram.record(value)
        expect(bucketsBetween(older, histogram.buckets())).toEqual(histogramOf(after).buckets())
      }),
    )
  })

  it('counts no time, times beyond its range, and many at once', () => {
    const histogram = new Histogram()
    histogram.record(0, 5)
    histogram.record(1e-9)
    histogram.record(1e12, 2)
    const buckets = histogram.buckets()
    expect(countOf(buckets)).toBe(8)
    expect(quantile(buckets, 0.5)).toBe(0)
    expect(quantile(buckets, 1)).toBeGreaterThan(2 ** 23)
    expect(quantile([], 0.5)).toBeNull()
  })
})
