// Counts per span are held against counting each span by itself.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { SpanCounts, spanLevelsBetween } from './span-counts.ts'

const gapsMs = fc.array(fc.oneof(fc.constant(0), fc.nat(3), fc.nat(2_000)), { minLength: 1, maxLength: 200 })

it('counts what happens in each span of each length, as counting them one by one does', () => {
  fc.assert(
    fc.property(gapsMs, (gaps) => {
      const counts = new SpanCounts(1_000)
      const times: number[] = []
      let nowMs = 1_000
      for (const gap of gaps) {
        nowMs += gap
        times.push(nowMs - 1_000)
        counts.add(nowMs, 1)
      }
      for (const { spanSeconds, spans, counted, squares } of spanLevelsBetween([], counts.sums())) {
        const perSpan = new Map<number, number>()
        for (const time of times) {
          const span = Math.floor(time / (spanSeconds * 1000))
          if (span < spans) perSpan.set(span, (perSpan.get(span) ?? 0) + 1)
        }
        // All are over that could be known to be; of the longer ones that is known later.
        const over = Math.floor((times.at(-1) as number) / (spanSeconds * 1000))
        expect(spans).toBeLessThanOrEqual(over)
        if (spanSeconds === 0.001) expect(spans).toBe(over)
        expect(counted).toBe([...perSpan.values()].reduce((sum, count) => sum + count, 0))
        expect(squares).toBe([...perSpan.values()].reduce((sum, count) => sum + count * count, 0))
      }
    }),
  )
})

it('knows of a quiet time as of empty spans', () => {
  const counts = new SpanCounts(0)
  counts.add(0, 10)
  counts.add(64, 10)
  expect(spanLevelsBetween([], counts.sums())[0]).toEqual({ spanSeconds: 0.001, spans: 64, counted: 10, squares: 100 })
})

it('gives what came between two looks', () => {
  const counts = new SpanCounts(0)
  for (let atMs = 0; atMs < 100; atMs++) counts.add(atMs, 1)
  const older = counts.sums()
  for (let atMs = 100; atMs < 200; atMs++) counts.add(atMs, 3)
  expect(spanLevelsBetween(older, counts.sums())[1]).toEqual({
    spanSeconds: 0.002,
    spans: 50,
    counted: 296,
    squares: 1768,
  })
})
