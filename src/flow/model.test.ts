// The model is held against queues that were simulated event by event, which know none of its formulas.
import { describe, expect, it } from 'vitest'
import { type LoadShape, runShape, strangeShapes, supposedShapes } from '../testing/queueing/load-shapes.ts'
import { steadyState } from '../testing/queueing/steady-state.ts'
import { type FlowWindow, flowBetween } from './flow-window.ts'
import { forecastOf } from './forecast.ts'
import { modelOf } from './model.ts'

const nameOf = ({ name, load }: LoadShape): string => `${name} at ρ = ${load}`

/** As it is with nothing but what is said. */
function windowOf(changes: Partial<FlowWindow>): FlowWindow {
  const nothing = { count: 0, mean: 0, scv: 0 }
  const none = { ...nothing, samples: 0, buckets: [] }
  const empty = { arrivals: 0, returns: 0, gaps: nothing, levels: [], wait: none, processing: none }
  return { seconds: 10, ...empty, waitingMean: 0, workingMean: 0, ...changes }
}

/** So many came and were worked on for 100 ms each in ten seconds. */
function evenWindow(arrivals: number, processed: number): FlowWindow {
  return windowOf({
    arrivals,
    gaps: { count: arrivals - 1, mean: 10 / arrivals, scv: 1 },
    processing: { count: processed, samples: processed, mean: 0.1, scv: 1, buckets: [] },
  })
}

describe('the expected wait', () => {
  it.each(supposedShapes.map((shape) => [nameOf(shape), shape] as const))(
    'is within 10 %% of what is waited in %s',
    (_name, shape) => {
      const { error, model } = runShape(shape, 11, 0.5)
      expect(Math.abs(error)).toBeLessThan(0.1)
      expect(['high', 'medium']).toContain(model.expectedWaitSeconds.confidence)
      expect(model.littlesLaw.difference).toBeLessThan(0.01)
    },
  )

  it.each(strangeShapes.map((shape) => [nameOf(shape), shape] as const))(
    'is no more wrong than it says in %s',
    (_name, shape) => {
      const { error, model, truth } = runShape(shape, 11)
      const { value, confidence, reasons } = model.expectedWaitSeconds
      if (confidence === 'high' && value !== 'never ends') expect(Math.abs(error)).toBeLessThan(0.2)
      if (confidence === 'medium') expect(Math.abs(error)).toBeLessThan(0.5)
      if (confidence !== 'high') expect(reasons.length).toBeGreaterThan(0)
      expect(confidence === 'none').toBe(value === null)
      if (shape.load > 1) expect([value, confidence, truth.waitSeconds > 1]).toEqual(['never ends', 'high', true])
    },
  )

  it('is as far from the truth as its margin says, in 19 of 20 windows or so', () => {
    const shape = { ...(supposedShapes[0] as LoadShape), load: 0.6, messages: 3_000 }
    // ρ/(1 − ρ) services of 20 ms.
    const truth = 1.5 * 0.02
    let within = 0
    for (let seed = 0; seed < 200; seed++) {
      const { value, margin } = runShape(shape, seed).model.expectedWaitSeconds
      if (Math.abs((value as number) / truth - 1) <= (margin as number)) within++
    }
    expect(within).toBeGreaterThan(180)
    expect(within).toBeLessThan(200)
  })

  it('is not said where too little has happened, with the reason', () => {
    const { expectedWaitSeconds, arrivalRate } = modelOf(evenWindow(20, 18), steadyState)
    expect(arrivalRate).toBe(2)
    expect(expectedWaitSeconds).toEqual({
      value: null,
      confidence: 'none',
      margin: null,
      reasons: ['too few samples: 20 arrivals and 18 settlements in 10.0 s, at least 50 of each are wanted'],
    })
  })

  it.each([
    [{ servers: 0 }, 'none', 'nobody consumes'],
    [{ isPaused: true }, 'none', 'the queue is paused'],
    [{ servers: null }, 'none', 'do not say how many'],
    [{ isGuessed: true }, 'low', 'taken from their prefetch'],
    [{ serversChanged: true }, 'low', 'came or went'],
    [{ isKeyed: true }, 'low', 'one key'],
    [{ isSplit: true }, 'medium', 'handed ahead'],
  ] as const)('is trusted less where the queue is %j', (change, confidence, reason) => {
    const { expectedWaitSeconds } = modelOf(evenWindow(50_000, 50_000), { ...steadyState, servers: 600, ...change })
    expect(expectedWaitSeconds.confidence).toBe(confidence)
    expect(expectedWaitSeconds.reasons.join()).toContain(reason)
  })
})

describe("Little's law", () => {
  it('has two ways to the length of the queue, which part where it grew', () => {
    const window = windowOf({
      arrivals: 100,
      wait: { count: 100, samples: 100, mean: 0.3, scv: 1, buckets: [] },
      processing: { count: 100, samples: 100, mean: 0.1, scv: 1, buckets: [] },
      waitingMean: 3,
      workingMean: 1,
    })
    expect(modelOf(window, steadyState).littlesLaw).toEqual({ length: 4, expected: 4, difference: 0 })
    expect(modelOf({ ...window, waitingMean: 7 }, steadyState).littlesLaw).toEqual({
      length: 8,
      expected: 4,
      difference: 0.5,
    })
    expect(modelOf(windowOf({}), steadyState).littlesLaw).toEqual({ length: 0, expected: null, difference: null })
  })
})

describe('where things go', () => {
  it('drains in backlog / (cμ − λ), or never does', () => {
    const window = evenWindow(5_000, 5_000)
    expect(modelOf(window, { ...steadyState, servers: 60, waiting: 1_000 }).drainSeconds.value).toBeCloseTo(10, 6)
    const slow = modelOf(window, { ...steadyState, servers: 40, waiting: 1_000, lengthMax: 2_000 })
    expect(slow.drainSeconds).toMatchObject({ value: 'never drains', confidence: 'high' })
    expect(slow.growthRate.value).toBeCloseTo(100, 6)
    expect(slow.limitSeconds.value).toBeCloseTo(10, 6)
    expect(slow.expectedWaitSeconds).toMatchObject({ value: 'never ends', confidence: 'high' })
  })

  it('does not know on which side of 1 the load is when it is that near', () => {
    const { drainSeconds, expectedWaitSeconds } = modelOf(evenWindow(500, 500), {
      ...steadyState,
      servers: 5,
      waiting: 10,
    })
    expect(drainSeconds).toMatchObject({ value: 'never drains', confidence: 'low' })
    expect(expectedWaitSeconds.reasons.join()).toContain('cannot be told yet')
  })

  it('never drains where nobody consumes, and the length limit is reached by what comes', () => {
    const state = { ...steadyState, servers: 0, waiting: 500, lengthMax: 1_000 }
    const { drainSeconds, growthRate, limitSeconds } = modelOf(evenWindow(1_000, 0), state)
    expect(drainSeconds).toMatchObject({ value: 'never drains', confidence: 'high', reasons: ['nobody consumes'] })
    expect(growthRate.value).toBe(100)
    expect(limitSeconds.value).toBe(5)
    expect(modelOf(evenWindow(1_000, 0), { ...state, lengthMax: null }).limitSeconds.value).toBe('never')
  })

  it('never drains where more comes than can be done, also if nothing waits yet', () => {
    const window = evenWindow(5_000, 5_000)
    const slow = modelOf(window, { ...steadyState, servers: 40 })
    expect(slow.drainSeconds).toMatchObject({ value: 'never drains', confidence: 'high' })
    expect(slow.growthRate.value).toBeCloseTo(100, 6)
    const forecast = forecastOf(window, { ...steadyState, servers: 60 }, { servers: 1, arrivalRate: 800 })
    expect(forecast.drainSeconds.value).toBe('never drains')
    expect(forecast.growthRate.value).toBeCloseTo(790, 6)
    expect(modelOf(window, { ...steadyState, servers: 60 }).drainSeconds).toMatchObject({
      value: 0,
      confidence: 'high',
    })
    for (const nobody of [{ servers: 0 }, { isPaused: true }]) {
      expect(modelOf(window, { ...steadyState, ...nobody }).drainSeconds).toMatchObject({ value: 'never drains' })
      expect(modelOf(windowOf({}), { ...steadyState, ...nobody }).drainSeconds).toMatchObject({ value: 0 })
    }
    expect(forecastOf(window, { ...steadyState, servers: 0 }, { arrivalRate: 0 }).drainSeconds.value).toBe(0)
  })

  it('does not say that nothing stays in an empty queue of whose workers too little is known', () => {
    const unknown = { value: null, confidence: 'none' }
    expect(modelOf(evenWindow(5_000, 0), steadyState).drainSeconds).toMatchObject(unknown)
    expect(modelOf(evenWindow(5_000, 5_000), { ...steadyState, servers: null }).drainSeconds).toMatchObject(unknown)
    expect(forecastOf(windowOf({}), steadyState, { arrivalRate: 1_000 }).drainSeconds).toMatchObject(unknown)
    expect(modelOf(evenWindow(500, 500), { ...steadyState, servers: 5 }).drainSeconds.confidence).toBe('low')
  })

  it('does not grow and has nothing to drain where nothing came, as far as that can be told', () => {
    const model = modelOf(windowOf({}), { ...steadyState, servers: 0 })
    expect([model.utilisation, model.drainSeconds.value]).toEqual([null, 0])
    expect(model.growthRate).toMatchObject({ value: 0, confidence: 'low', reasons: ['nothing came in 10.0 s'] })
  })
})

describe('a forecast', () => {
  it('says what is waited with other servers, and with another rate', () => {
    // Measured with one server at 0.8, true of two servers at the same load, which is another simulation.
    const [mm1, mm2] = ['M/M/1', 'M/M/2'].map((name) =>
      runShape(supposedShapes.find((shape) => shape.name === name && shape.load === 0.8) as LoadShape, 5, 0.5),
    )
    if (mm1 === undefined || mm2 === undefined) throw new Error('there are both')
    const forecast = forecastOf(mm1.window, steadyState, { servers: 2, arrivalRate: 80 })
    expect(forecast.utilisation).toBeCloseTo(0.8, 1)
    const error = (forecast.expectedWaitSeconds.value as number) / mm2.truth.waitSeconds - 1
    expect(Math.abs(error)).toBeLessThan(0.1)
    expect(forecast.serversNeeded).toBe(2)
  })

  it('is trusted less the further it goes from what was measured', () => {
    const window = evenWindow(5_000, 5_000)
    const near = forecastOf(window, { ...steadyState, servers: 60 }, { servers: 80 })
    const far = forecastOf(window, { ...steadyState, servers: 60 }, { servers: 700, arrivalRate: 5_000 })
    expect(near.expectedWaitSeconds.reasons.join()).not.toContain('times the arrivals')
    expect(far.expectedWaitSeconds.reasons.join()).toContain('10 times the arrivals')
    expect(far.expectedWaitSeconds.confidence).not.toBe('high')
  })

  it('knows what becomes of a backlog with nobody, and with enough', () => {
    const state = { ...steadyState, servers: 60, waiting: 1_000, isPaused: true, serversChanged: true }
    expect(forecastOf(evenWindow(5_000, 5_000), state, { servers: 0 })).toMatchObject({
      utilisation: null,
      expectedWaitSeconds: { value: null, reasons: ['nobody consumes'] },
      drainSeconds: { value: 'never drains' },
    })
    expect(forecastOf(evenWindow(5_000, 5_000), state, { servers: 100 }).drainSeconds.value).toBeCloseTo(2, 6)
    expect(forecastOf(windowOf({}), steadyState, {})).toMatchObject({ utilisation: null, serversNeeded: null })
  })
})

describe('a window', () => {
  it('is what happened between two looks, and everything before the second if there was no first', () => {
    const { window } = runShape(supposedShapes[0] as LoadShape, 1, 0.01)
    expect(window.wait.count).toBeGreaterThanOrEqual(1_500)
    const sums = { count: 4, samples: 4, seconds: 2, secondsSquared: 1.5, buckets: [600, 4] }
    const older = {
      atSeconds: 10,
      sinceSeconds: 5,
      arrivals: 4,
      returns: 0,
      gaps: sums,
      spans: [],
      wait: sums,
      processing: sums,
      waitingSeconds: 3,
      workingSeconds: 1,
      waiting: 0,
      working: 0,
      oldestSeconds: null,
      servers: 1,
      isGuessed: false,
      holdingAhead: 0,
      unacknowledging: 0,
      lengthMax: null,
      isKeyed: false,
    }
    const later = { count: 6, samples: 5, seconds: 6, secondsSquared: 9.5, buckets: [600, 4, 700, 2] }
    const newer = { ...older, atSeconds: 20, arrivals: 7, returns: 1, gaps: later, wait: later, waitingSeconds: 13 }
    expect(flowBetween(older, newer)).toMatchObject({
      seconds: 10,
      arrivals: 3,
      returns: 1,
      waitingMean: 1,
      workingMean: 0,
      wait: { count: 2, samples: 1, mean: 2, scv: 0, buckets: [700, 2] },
    })
    expect(flowBetween(null, newer)).toMatchObject({ seconds: 15, arrivals: 7, wait: { count: 6, mean: 1 } })
  })
})
