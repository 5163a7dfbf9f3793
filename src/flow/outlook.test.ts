// Rules that hold for whatever was measured: all is said in finite numbers, words or null, and nothing contradicts itself.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { steadyState } from '../testing/queueing/steady-state.ts'
import type { FlowWindow } from './flow-window.ts'
import { type Forecast, forecastOf, type WhatIf } from './forecast.ts'
import { type Model, modelOf } from './model.ts'
import type { QueueState } from './queue-state.ts'

const count = fc.oneof(fc.constant(0), fc.constant(1), fc.nat({ max: 200 }), fc.nat({ max: 1_000_000 }))
const seconds = fc.oneof(
  fc.constant(0),
  fc.constant(1e-9),
  fc.constant(0.1),
  fc.double({ min: 0, max: 1e6, noNaN: true }),
  fc.double({ min: 0, max: 1, noNaN: true }),
)
const scv = fc.oneof(fc.constant(0), fc.constant(1), fc.double({ min: 0, max: 1e6, noNaN: true }))

const times = fc
  .record({ count, share: fc.double({ min: 0.01, max: 1, noNaN: true }), mean: seconds, scv })
  .map((drawn) => {
    const samples = Math.ceil(drawn.count * drawn.share)
    const isKnown = drawn.count > 0
    return {
      count: drawn.count,
      samples,
      mean: isKnown ? drawn.mean : 0,
      scv: drawn.count > 1 && drawn.mean > 0 ? drawn.scv : 0,
      buckets: [],
    }
  })

const level = fc
  .record({
    spanSeconds: fc.constantFrom(0.001, 0.064, 4),
    spans: fc.integer({ min: 1, max: 60_000 }),
    counts: fc.array(count),
  })
  .map(({ spanSeconds, spans, counts }) => {
    const counted = counts.reduce((sum, one) => sum + one, 0)
    return { spanSeconds, spans, counted, squares: counts.reduce((sum, one) => sum + one * one, 0) }
  })

const anyWindow: fc.Arbitrary<FlowWindow> = fc
  .record({
    seconds: fc.oneof(fc.constant(0), fc.constant(60), fc.double({ min: 0.001, max: 60, noNaN: true })),
    arrivals: count,
    returns: fc.oneof(fc.constant(0), count),
    gaps: times,
    levels: fc.array(level, { maxLength: 3 }),
    wait: times,
    processing: times,
    waitingMean: seconds,
    workingMean: seconds,
  })
  // In no time nothing happens.
  .map((window) =>
    window.seconds > 0 ? window : { ...window, arrivals: 0, returns: 0, waitingMean: 0, workingMean: 0 },
  )

const anyState: fc.Arbitrary<QueueState> = fc.record({
  servers: fc.oneof(fc.constant(null), fc.nat({ max: 3 }), fc.nat({ max: 300 })),
  isGuessed: fc.boolean(),
  serversChanged: fc.boolean(),
  isPaused: fc.boolean(),
  isKeyed: fc.boolean(),
  isSplit: fc.boolean(),
  waiting: count,
  lengthMax: fc.oneof(fc.constant(null), count),
})

const anyWhatIf: fc.Arbitrary<WhatIf> = fc.record(
  {
    servers: fc.nat({ max: 300 }),
    arrivalRate: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e9, noNaN: true })),
  },
  { requiredKeys: [] },
)

function forAll(rule: (told: Model | Forecast) => void): void {
  const both = (window: FlowWindow, state: QueueState, whatIf: WhatIf): void => {
    rule(modelOf(window, state))
    rule(forecastOf(window, state, whatIf))
  }
  fc.assert(fc.property(anyWindow, anyState, anyWhatIf, both), { numRuns: 2_000 })
}

function estimatesOf(told: Model | Forecast) {
  const { expectedWaitSeconds, drainSeconds, growthRate, limitSeconds } = told
  return [expectedWaitSeconds, drainSeconds, growthRate, limitSeconds]
}

describe('whatever was measured, a model and a forecast', () => {
  it('are the same behind JSON: no number is infinite, or none', () => {
    forAll((told) => expect(JSON.parse(JSON.stringify(told))).toEqual(told))
  })

  it('say null where there is no confidence, and there only, and why there is not more of it', () => {
    forAll((told) => {
      const values = told as unknown as Readonly<Record<string, unknown>>
      for (const [name, trust] of Object.entries(told.trust)) {
        if (name !== 'littlesLaw') expect(values[name] === null, name).toBe(trust.confidence === 'none')
      }
      for (const { value, confidence, margin } of estimatesOf(told)) {
        expect(value === null).toBe(confidence === 'none')
        if (value === null) expect(margin).toBeNull()
      }
      for (const { confidence, reasons } of [...Object.values(told.trust), ...estimatesOf(told)]) {
        if (confidence !== 'high') expect(reasons.length).toBeGreaterThan(0)
        expect(reasons.join()).not.toMatch(/NaN|Infinity/)
      }
    })
  })

  it('say that a queue drains, or that it grows, and not both', () => {
    forAll(({ drainSeconds, growthRate, utilisation, expectedWaitSeconds }) => {
      if (typeof drainSeconds.value === 'number' && growthRate.value !== null) expect(growthRate.value).toBe(0)
      if (utilisation === null || utilisation < 1) return
      expect(drainSeconds.value).toSatisfy((value: unknown) => value === null || value === 'never drains')
      expect(expectedWaitSeconds.value).toSatisfy((value: unknown) => value === null || value === 'never ends')
    })
  })

  it('tell no time that is shorter than a clock tells', () => {
    forAll((told) => {
      for (const { value } of [told.expectedWaitSeconds, told.drainSeconds, told.limitSeconds]) {
        if (typeof value === 'number' && value !== 0) expect(value).toBeGreaterThanOrEqual(1e-6)
      }
    })
  })
})

describe('the outlook', () => {
  const times = { count: 5_000, samples: 5_000, mean: 0.01, scv: 0, buckets: [] }
  const clockwork: FlowWindow = {
    seconds: 60,
    arrivals: 5_000,
    returns: 0,
    gaps: { count: 4_999, mean: 0.012, scv: 0 },
    levels: [],
    wait: { ...times, mean: 0 },
    processing: times,
    waitingMean: 0,
    workingMean: 0.8,
  }

  it('of clockwork is no wait, and not one of 10^-200 seconds', () => {
    const nearly = { ...clockwork, gaps: { ...clockwork.gaps, scv: 1e-6 } }
    for (const window of [clockwork, nearly]) {
      expect(modelOf(window, steadyState).expectedWaitSeconds).toMatchObject({ value: 0, margin: 0 })
    }
  })

  it('has no margin where chance has no bound, next to full load', () => {
    const processing = { ...times, mean: 60 / 5_000 / 1.0001, scv: 1 }
    const { expectedWaitSeconds } = modelOf({ ...clockwork, processing }, steadyState)
    expect(expectedWaitSeconds).toMatchObject({ confidence: 'low', margin: null })
    expect(expectedWaitSeconds.reasons.join()).toContain('more than 1000 %')
  })

  it('of a backlog to which nothing comes any more is when it is gone', () => {
    const window = { ...clockwork, arrivals: 0, gaps: { count: 0, mean: 0, scv: 0 } }
    const { drainSeconds, expectedWaitSeconds } = modelOf(window, { ...steadyState, waiting: 1_000 })
    expect(drainSeconds).toMatchObject({ value: 10, confidence: 'high' })
    // Up to three in a minute may come and were not seen, beside a hundred in a second that can be done.
    expect(drainSeconds.margin).toBeCloseTo(3 / 60 / 100, 9)
    expect(expectedWaitSeconds).toMatchObject({ value: null, confidence: 'none', margin: null })
    const forecast = forecastOf(window, { ...steadyState, waiting: 1_000 }, { servers: 4, arrivalRate: 0 })
    expect(forecast.drainSeconds).toEqual({ value: 2.5, confidence: 'high', margin: 0, reasons: [] })
  })

  it('of a rate that was given does not depend on what came', () => {
    const window = { ...clockwork, arrivals: 0, gaps: { count: 0, mean: 0, scv: 0 } }
    const { growthRate, limitSeconds } = forecastOf(
      window,
      { ...steadyState, lengthMax: 500 },
      { servers: 0, arrivalRate: 50 },
    )
    expect([growthRate.value, growthRate.confidence]).toEqual([50, 'high'])
    expect([limitSeconds.value, limitSeconds.confidence]).toEqual([10, 'high'])
  })
})
