// Durations and pauses between attempts.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Duration, durationMs } from './duration.ts'
import { pauseMs, retryOf } from './retry.ts'

describe('durationMs', () => {
  it.each<[Duration, number]>([
    [0, 0],
    [1_500, 1_500],
    ['500ms', 500],
    ['5s', 5_000],
    ['1.5s', 1_500],
    ['10m', 600_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
  ])('reads %s as %d', (text, ms) => expect(durationMs(text, 'x')).toBe(ms))

  it.each(['5', 's', '', '5 s', '-5s', '5w', '1e3s', -1, Number.NaN, Number.POSITIVE_INFINITY])(
    'refuses %s',
    (value) => {
      expect(() => durationMs(value as Duration, 'retry.min')).toThrow(/^E_BAD_OPTION: retry.min is/)
    },
  )
})

describe('retry', () => {
  it('tries three times, a second and then two apart, if nothing else is said', () => {
    const retry = retryOf('queue', {})
    expect(retry.attempts).toBe(3)
    expect([1, 2, 3].map((attempt) => pauseMs(retry, attempt, 0))).toEqual([1_000, 2_000, 4_000])
  })

  it('doubles up to its longest pause, or keeps the first', () => {
    const exponential = retryOf('queue', { min: '1s', max: '5s', jitter: false })
    expect([1, 2, 3, 4, 500].map((attempt) => pauseMs(exponential, attempt, 0.9))).toEqual([
      1_000, 2_000, 4_000, 5_000, 5_000,
    ])
    const fixed = retryOf('queue', { backoff: 'fixed', min: '7s', jitter: false })
    expect([1, 2, 9].map((attempt) => pauseMs(fixed, attempt, 0.9))).toEqual([7_000, 7_000, 7_000])
  })

  it('takes off at most half by chance', () => {
    const attempts = fc.integer({ min: 1, max: 1_000 })
    const chances = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(attempts, chances, (attempt, chance) => {
        const full = pauseMs(retryOf('queue', { jitter: false }), attempt, chance)
        const pause = pauseMs(retryOf('queue', {}), attempt, chance)
        return pause <= full && pause > full / 2 - 1e-6
      }),
    )
  })

  it('allows a first pause that is longer than the usual longest', () => {
    expect(pauseMs(retryOf('queue', { min: '1h' }), 5, 0)).toBe(3_600_000)
  })

  it('checks what it is told', () => {
    expect(() => retryOf('queue', { attempts: 0 })).toThrow('retry.attempts is 0')
    expect(() => retryOf('queue', { attempts: 1.5 })).toThrow('retry.attempts is 1.5')
    expect(() => retryOf('queue', { backoff: 'linear' as never })).toThrow("retry.backoff is 'linear'")
    expect(() => retryOf('queue', { min: '5s', max: '1s' })).toThrow('swap them')
    expect(() => retryOf('queue', { times: 3 } as never)).toThrow("there is no option 'times'")
  })
})
