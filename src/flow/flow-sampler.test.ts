// The window slides over what was measured, and begins anew with the queue.
import { describe, expect, it } from 'vitest'
import type { QueueFlow } from '../model/queue-flow.ts'
import { FlowSampler } from './flow-sampler.ts'

const none = { count: 0, samples: 0, seconds: 0, secondsSquared: 0, buckets: [] }

function flow(atSeconds: number, arrivals: number, changes: Partial<QueueFlow> = {}): QueueFlow {
  return {
    atSeconds,
    sinceSeconds: 100,
    arrivals,
    returns: 0,
    gaps: none,
    spans: [],
    wait: none,
    processing: none,
    waitingSeconds: 0,
    workingSeconds: 0,
    waiting: 0,
    working: 0,
    oldestSeconds: null,
    servers: 1,
    isGuessed: false,
    holdingAhead: 0,
    unacknowledging: 0,
    lengthMax: null,
    isKeyed: false,
    ...changes,
  }
}

describe('FlowSampler', () => {
  it('has all since measuring began until a whole window was looked at, and then the window', () => {
    const sampler = new FlowSampler(60)
    sampler.add(flow(1_100, 5_000))
    expect(sampler.window()).toMatchObject({ seconds: 1_000, arrivals: 5_000 })
    for (let second = 1; second < 60; second++) sampler.add(flow(1_100 + second, 5_000 + second))
    expect(sampler.window()).toMatchObject({ seconds: 1_059, arrivals: 5_059 })
    sampler.add(flow(1_160, 5_060))
    expect(sampler.window()).toMatchObject({ seconds: 60, arrivals: 60 })
    for (let second = 61; second < 200; second++) sampler.add(flow(1_100 + second, 5_000 + second))
    expect(sampler.window()?.seconds).toBeGreaterThanOrEqual(60)
    expect(sampler.window()?.seconds).toBeLessThanOrEqual(63)
  })

  it('begins anew with the queue, and has nothing where nothing is measured', () => {
    const sampler = new FlowSampler(10)
    expect(sampler.window()).toBeNull()
    for (let second = 0; second < 30; second++) sampler.add(flow(200 + second, 1_000 + second))
    sampler.add(flow(230, 4, { sinceSeconds: 229 }))
    expect(sampler.window()).toMatchObject({ seconds: 1, arrivals: 4 })
    sampler.add(null)
    expect(sampler.window()).toBeNull()
    sampler.add(flow(240, 8, { sinceSeconds: 239 }))
    expect(sampler.window()).toMatchObject({ seconds: 1, arrivals: 8 })
  })

  it('knows that consumers came or went, as long as the window shows it', () => {
    const sampler = new FlowSampler(10)
    for (let second = 0; second < 20; second++) sampler.add(flow(200 + second, second, { servers: second < 5 ? 1 : 4 }))
    expect(sampler.serversChanged).toBe(false)
    sampler.add(flow(220, 20, { servers: 2 }))
    expect(sampler.serversChanged).toBe(true)
  })
})
