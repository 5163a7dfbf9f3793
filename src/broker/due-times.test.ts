// Which times passed: all of them where they can be counted, the last ones in any case, and soon.
import { describe, expect, test } from 'vitest'
import { loadCronEngine } from '../cron-engine.ts'
import { CronDueTimes, type DueTimes, EveryTimes } from './due-times.ts'

const at = Date.parse

async function cron(expression: string, timezone = 'UTC'): Promise<DueTimes> {
  return new CronDueTimes((await loadCronEngine()).compile(expression, timezone))
}

describe('a time between two runs', () => {
  const times = new EveryTimes(1_000, 300)

  test('counts from the start, wherever the clock is', () => {
    expect([0, 999, 1_000, 1_299.9, 1_300].map((ms) => times.nextAfter(ms))).toEqual([100, 1_000, 1_300, 1_300, 1_600])
  })

  test('tells the last ones that passed, and how many there were', () => {
    expect(times.passed(1_300, 1_300, 3)).toEqual({ dues: [1_300], count: 1 })
    expect(times.passed(1_300, 2_199, 3)).toEqual({ dues: [1_300, 1_600, 1_900], count: 3 })
    expect(times.passed(1_300, 1_300 + 300 * 1_000_000, 2).count).toBe(1_000_001)
    expect(times.passed(1_300, 1_300 + 300 * 1_000_000, 2).dues).toEqual([300_001_000, 300_001_300])
  })
})

describe('a cron expression', () => {
  test('tells the last ones that passed, and how many there were', async () => {
    const times = await cron('0 3 * * *')
    const first = at('2026-01-01T03:00Z')
    expect(times.passed(first, at('2026-01-10T12:00Z'), 1_000)).toMatchObject({ count: 10 })
    expect(times.passed(first, at('2026-01-02T12:00Z'), 1)).toEqual({ dues: [at('2026-01-02T03:00Z')], count: 2 })
    expect(times.passed(first, first, 1)).toEqual({ dues: [first], count: 1 })
  })

  test('finds the last one of years in a moment, however many there were', async () => {
    const times = await cron('* * * * * *')
    const { dues, count } = times.passed(at('2020-01-01T00:00Z'), at('2026-01-01T00:00Z'), 1)
    expect(dues).toEqual([at('2026-01-01T00:00Z')])
    expect(count).toBeGreaterThan(2)
  })

  test('gives no more than was asked for, the last of them, also where they come closer together', async () => {
    const dense = await cron('* * 12-23 * * *')
    const untilMs = at('2026-01-01T12:30:10Z')
    const { dues } = dense.passed(at('2025-12-01T12:00Z'), untilMs, 100)
    expect(dues.length).toBeGreaterThan(0)
    expect(dues.length).toBeLessThanOrEqual(100)
    expect(dues.at(-1)).toBe(untilMs)
    expect(dues).toEqual([...dues].sort((one, other) => one - other))
  })

  test('finds the last one before a long silence', async () => {
    const times = await cron('* * 3 * * *')
    expect(times.passed(at('2026-01-01T03:00Z'), at('2026-06-01T23:00Z'), 1).dues).toEqual([at('2026-06-01T03:59:59Z')])
  })
})
