// The real engine: what it makes of the days on which clocks are set, which nobody wants to learn in production.
import { describe, expect, test } from 'vitest'
import { loadCronEngine } from './cron-engine.ts'

async function nextTimes(expression: string, timezone: string, from: string, count: number): Promise<string[]> {
  const times = (await loadCronEngine()).compile(expression, timezone)
  const found: string[] = []
  for (let ms = times.nextAfter(Date.parse(from)); ms !== null && found.length < count; ms = times.nextAfter(ms)) {
    found.push(new Date(ms).toISOString().replace(':00.000Z', 'Z'))
  }
  return found
}

describe('where the clock is set forward', () => {
  test.each([
    // At 02:00 it is 03:00.
    ['Europe/Berlin', '2026-03-28T12:00Z', ['2026-03-29T01:00Z', '2026-03-30T00:30Z']],
    ['America/New_York', '2026-03-07T12:00Z', ['2026-03-08T07:00Z', '2026-03-09T06:30Z']],
  ])(
    'a run at half past two in %s comes when that hour would have begun, and not never',
    async (zone, from, expected) => {
      expect(await nextTimes('30 2 * * *', zone, from, 2)).toEqual(expected)
    },
  )

  test('what runs every half hour goes on every half hour', async () => {
    const expected = ['2026-03-29T00:00Z', '2026-03-29T00:30Z', '2026-03-29T01:00Z', '2026-03-29T01:30Z']
    expect(await nextTimes('*/30 * * * *', 'Europe/Berlin', '2026-03-28T23:30Z', 4)).toEqual(expected)
  })
})

describe('where the clock is set back', () => {
  test.each([
    // At 03:00 it is 02:00; at 02:00 it is 01:00.
    ['30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', ['2026-10-25T00:30Z', '2026-10-26T01:30Z']],
    ['30 1 * * *', 'America/New_York', '2026-10-31T12:00Z', ['2026-11-01T05:30Z', '2026-11-02T06:30Z']],
  ])('%s in %s, which that day has twice, comes once', async (expression, zone, from, expected) => {
    expect(await nextTimes(expression, zone, from, 2)).toEqual(expected)
  })

  test('what runs every half hour comes in both hours', async () => {
    const expected = ['2026-10-25T00:00Z', '2026-10-25T00:30Z', '2026-10-25T01:00Z', '2026-10-25T01:30Z']
    expect(await nextTimes('*/30 * * * *', 'Europe/Berlin', '2026-10-24T23:30Z', 4)).toEqual(expected)
  })
})

test('where clocks are never set, three in the morning is the same time all the year', async () => {
  const times = await nextTimes('0 3 * * *', 'Asia/Shanghai', '2026-01-01T00:00Z', 365)
  expect(times).toHaveLength(365)
  expect(times.every((time) => time.endsWith('T19:00Z'))).toBe(true)
})

test.each([
  ['0 3 * * MON-FRI', '2026-01-02T03:00Z', '2026-01-05T03:00Z'],
  ['0 0 29 2 *', '2028-02-29T00:00Z', '2032-02-29T00:00Z'],
  ['0 0 L * *', '2026-01-31T00:00Z', '2026-02-28T00:00Z'],
  ['@monthly', '2026-02-01T00:00Z', '2026-03-01T00:00Z'],
  ['15 10 * * * *', '2026-01-01T12:10:15.000Z', '2026-01-01T13:10:15.000Z'],
])('%s comes at %s, then at %s', async (expression, ...expected) => {
  expect(await nextTimes(expression, 'UTC', '2026-01-01T12:00Z', 2)).toEqual(expected)
})

test('the next time is always later than the one before, to the millisecond', async () => {
  const times = (await loadCronEngine()).compile('* * * * * *', 'UTC')
  expect(times.nextAfter(1_000)).toBe(2_000)
  expect(times.nextAfter(1_999.5)).toBe(2_000)
})

test('a date that does not exist never comes', async () => {
  expect(await nextTimes('0 0 30 2 *', 'UTC', '2026-01-01T00:00Z', 1)).toEqual([])
})

test.each([
  ['61 * * * *', 'UTC', 'Invalid value for minute: 61'],
  ['* * *', 'UTC', 'five'],
  ['* * * * * * *', 'UTC', 'parts'],
  ['2026-01-01T00:00:00', 'UTC', 'five fields'],
  ['', 'UTC', 'five'],
  ['0 3 * * *', 'Mars/Phobos', "'Mars/Phobos' is no time zone"],
  ['0 3 * * *', '', "'' is no time zone"],
])('%j in %j is refused with the reason', async (expression, timezone, reason) => {
  const engine = await loadCronEngine()
  expect(() => engine.compile(expression, timezone)).toThrow(reason)
})
