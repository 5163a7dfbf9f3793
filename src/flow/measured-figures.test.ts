// Each measured figure says how far it is to be trusted, and is null where nothing was measured.
import { describe, expect, it } from 'vitest'
import { type LoadShape, runShape, supposedShapes } from '../testing/queueing/load-shapes.ts'
import { steadyState } from '../testing/queueing/steady-state.ts'
import { emptyWindow, type FlowWindow } from './flow-window.ts'
import { forecastOf } from './forecast.ts'
import { type Model, modelOf } from './model.ts'

/** So many came and were worked on for 100 ms each in ten seconds, both as exponential times are spread. */
function windowWith(arrivals: number, processed: number): FlowWindow {
  const gaps = { count: Math.max(0, arrivals - 1), mean: arrivals > 1 ? 10 / arrivals : 0, scv: arrivals > 2 ? 1 : 0 }
  const times = { count: processed, samples: processed, mean: processed > 0 ? 0.1 : 0, scv: processed > 1 ? 1 : 0 }
  const all = { ...times, buckets: [] }
  return { ...emptyWindow, seconds: 10, arrivals, gaps, wait: all, processing: all, waitingMean: 1, workingMean: 1 }
}

function confidences({ trust }: Model): Record<string, string> {
  return Object.fromEntries(Object.entries(trust).map(([name, { confidence }]) => [name, confidence]))
}

describe('a measured figure', () => {
  it('is trusted, within what chance leaves, where there was much to measure', () => {
    const { model, truth } = runShape(
      supposedShapes.find(({ name, load }) => name === 'M/M/1' && load === 0.7) as LoadShape,
      3,
    )
    expect(new Set(Object.values(confidences(model)))).toEqual(new Set(['high']))
    for (const [value, margin, exact] of [
      [model.serviceRate, model.trust.serviceRate.margin, 50],
      [model.arrivalRate, model.trust.arrivalRate.margin, 35],
      [model.utilisation, model.trust.utilisation.margin, 0.7],
      [model.serviceScv, model.trust.serviceScv.margin, 1],
      [model.arrivalScv, model.trust.arrivalScv.margin, 1],
    ] as const) {
      // Twice the margin: one of twenty is beyond it.
      expect(Math.abs((value ?? 0) / exact - 1)).toBeLessThan(2 * (margin ?? 0))
      expect(margin).toBeLessThan(0.05)
    }
    expect(truth.waitSeconds).toBeGreaterThan(0)
  })

  it('is as far from the truth as its margin says, in 19 of 20 windows or so', () => {
    const shape = { ...(supposedShapes[0] as LoadShape), load: 0.6, messages: 1_000 }
    const within = { arrivalRate: 0, serviceRate: 0, utilisation: 0, serviceScv: 0 }
    const truth = { arrivalRate: 30, serviceRate: 50, utilisation: 0.6, serviceScv: 1 }
    const names = Object.keys(within) as (keyof typeof within)[]
    for (let seed = 0; seed < 200; seed++) {
      const { model } = runShape(shape, seed)
      for (const name of names) {
        if (Math.abs((model[name] as number) / truth[name] - 1) <= (model.trust[name].margin as number)) within[name]++
      }
    }
    for (const name of names) expect(within[name], name).toBeGreaterThan(175)
  })

  it('is null where nothing was measured, and says why', () => {
    const model = modelOf(emptyWindow, steadyState)
    const { arrivalRate, serviceRate, utilisation, arrivalScv, serviceScv, littlesLaw, measured } = model
    const figures = [arrivalRate, serviceRate, utilisation, arrivalScv, serviceScv]
    expect(figures).toEqual([null, null, null, null, null])
    expect(littlesLaw).toEqual({ length: null, expected: null, difference: null })
    expect(measured).toEqual({ waitSeconds: null, processingSeconds: null, waiting: null, working: null })
    for (const [name, { confidence, margin, reasons }] of Object.entries(model.trust)) {
      if (name === 'servers') continue
      expect([name, confidence, margin]).toEqual([name, 'none', null])
      expect(reasons).toEqual(['nothing was measured yet'])
    }
    const forecast = forecastOf(emptyWindow, { ...steadyState, servers: null }, {})
    expect(forecast).toMatchObject({ arrivalRate: null, serviceRate: null, servers: null, serversNeeded: null })
    expect(forecast.trust.servers.reasons.join()).toContain('do not say how many')
  })

  it('is told and not trusted where there were too few samples, and says so', () => {
    const model = modelOf(windowWith(20, 18), steadyState)
    expect(model).toMatchObject({ arrivalRate: 2, serviceRate: 10, utilisation: 0.2, arrivalScv: 1, serviceScv: 1 })
    expect(confidences(model)).toEqual({
      arrivalRate: 'low',
      serviceRate: 'low',
      servers: 'high',
      utilisation: 'low',
      arrivalScv: 'low',
      serviceScv: 'low',
      littlesLaw: 'low',
    })
    expect(model.trust.arrivalRate.reasons).toEqual(['too few samples: 20 arrivals in 10.0 s, at least 50 are wanted'])
    expect(model.trust.serviceRate.reasons).toEqual([
      'too few samples: 18 settlements in 10.0 s, at least 50 are wanted',
    ])
    expect(model.trust.littlesLaw.reasons.join()).toContain('too few samples: 18 messages')
  })

  it('of how times vary is null for as long as there is but one of them, or all are too short for a clock', () => {
    expect(modelOf(windowWith(2, 1), steadyState)).toMatchObject({
      arrivalScv: null,
      serviceScv: null,
      serviceRate: 10,
    })
    const quick = { count: 100, samples: 100, mean: 1e-9, scv: 0, buckets: [] }
    const { serviceRate, serviceScv, utilisation, trust } = modelOf(
      { ...windowWith(100, 100), processing: quick },
      steadyState,
    )
    expect([serviceRate, serviceScv, utilisation]).toEqual([null, null, 0])
    expect(trust.serviceRate.reasons).toEqual(['messages take less time than a clock tells'])
    const atOnce = { ...windowWith(100, 100), gaps: { count: 99, mean: 0, scv: 0 } }
    expect(modelOf(atOnce, steadyState).arrivalScv).toBeNull()
  })

  it('of arrivals is 0 where none came in a time, and that is not taken for certain', () => {
    const { arrivalRate, utilisation, trust } = modelOf(windowWith(0, 100), steadyState)
    expect([arrivalRate, utilisation]).toEqual([0, 0])
    expect(trust.arrivalRate).toEqual({ confidence: 'low', margin: null, reasons: ['nothing came in 10.0 s'] })
  })

  it('is doubted where the number of workers is guessed, or was not the same', () => {
    const window = windowWith(5_000, 5_000)
    for (const change of [{ isGuessed: true }, { serversChanged: true }]) {
      const { trust } = modelOf(window, { ...steadyState, ...change })
      expect([trust.servers.confidence, trust.utilisation.confidence]).toEqual(['low', 'low'])
      expect(trust.arrivalRate.confidence).toBe('high')
    }
    expect(modelOf(window, { ...steadyState, servers: null })).toMatchObject({ servers: null, utilisation: null })
    const nobody = modelOf(window, { ...steadyState, servers: 0 })
    expect([nobody.servers, nobody.utilisation, nobody.trust.utilisation.reasons]).toEqual([
      0,
      null,
      ['nobody consumes'],
    ])
  })

  it('that was given is certain', () => {
    const { trust } = forecastOf(windowWith(5_000, 5_000), steadyState, { servers: 3, arrivalRate: 7 })
    const certain = { confidence: 'high', margin: 0, reasons: [] }
    expect([trust.arrivalRate, trust.servers]).toEqual([certain, certain])
    expect(trust.utilisation.margin).toBeCloseTo(2 / Math.sqrt(5_000), 6)
  })
})

describe("Little's law", () => {
  it('is not to be trusted where much of what was there had come before, or stays', () => {
    const { littlesLaw, trust } = modelOf({ ...windowWith(100, 100), waitingMean: 500 }, steadyState)
    expect(littlesLaw.difference).toBeGreaterThan(0.9)
    expect(trust.littlesLaw.confidence).toBe('low')
    const drained = modelOf({ ...windowWith(0, 100), waitingMean: 500 }, steadyState)
    expect(drained.trust.littlesLaw).toMatchObject({ confidence: 'low', reasons: ['nothing came in 10.0 s'] })
  })

  it('is not known where no message was begun and settled', () => {
    const { littlesLaw, trust } = modelOf(windowWith(100, 0), steadyState)
    expect(littlesLaw).toEqual({ length: 2, expected: null, difference: null })
    expect(trust.littlesLaw.reasons).toEqual(['no message was begun and settled in 10.0 s'])
  })
})
