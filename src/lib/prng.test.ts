// The seeded generator: fixed numbers, for a seed must mean the same history for ever.
import { expect, test } from 'vitest'
import { Prng } from './prng.ts'

test('a seed fixes the numbers', () => {
  const numbers = (seed: number): number[] => {
    const prng = new Prng(seed)
    return [prng.nextU32(), prng.nextU32(), prng.nextU32()]
  }
  expect(numbers(1)).toEqual(numbers(1))
  expect(numbers(1)).not.toEqual(numbers(2))
  expect(numbers(2 ** 32)).not.toEqual(numbers(0))
  expect(numbers(1)).toMatchInlineSnapshot(`
    [
      2308299391,
      1950625580,
      354034397,
    ]
  `)
})

test('numbers are spread evenly enough', () => {
  const prng = new Prng(7)
  const counts = new Array<number>(10).fill(0)
  for (let draw = 0; draw < 100_000; draw++) counts[prng.below(10)]!++
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500)
  const bytes = Buffer.alloc(1000)
  prng.fill(bytes)
  expect(new Set(bytes).size).toBeGreaterThan(200)
})
