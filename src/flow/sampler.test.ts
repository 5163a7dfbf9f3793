// Rates are exact where they can be worked out by hand.
import { describe, expect, it } from 'vitest'
import { type QueueCounters, zeroCounters } from '../model/command.ts'
import { Sampler } from './sampler.ts'

function counters(changes: Partial<QueueCounters>): QueueCounters {
  return { ...zeroCounters, ...changes }
}

describe('Sampler', () => {
  it('divides what came by the time it took', () => {
    const sampler = new Sampler(10_000, 0, zeroCounters)
    sampler.add(
      2_000,
      counters({ published: 10, publishedBytes: 400, delivered: 6, deliveredBytes: 60, redelivered: 2 }),
    )
    expect(sampler.rates()).toEqual({
      sendRate: 5,
      sendBytesRate: 200,
      receiveRate: 3,
      receiveBytesRate: 30,
      redeliveryRate: 1,
      processingRate: 0,
      processingBytesRate: 0,
      windowSeconds: 2,
    })
  })

  it('counts settlements as processing', () => {
    const sampler = new Sampler(10_000, 1_000, counters({ settled: 100, settledBytes: 1_000 }))
    sampler.add(1_500, counters({ settled: 150, settledBytes: 2_000 }))
    expect(sampler.rates()).toMatchObject({ processingRate: 100, processingBytesRate: 2_000 })
  })

  it('forgets what is older than the window', () => {
    const sampler = new Sampler(3_000, 0, zeroCounters)
    for (let second = 1; second <= 5; second++) sampler.add(second * 1_000, counters({ published: 1_000 }))
    expect(sampler.rates()).toMatchObject({ sendRate: 0, windowSeconds: 3 })
  })

  it('keeps the whole window when samples come late', () => {
    const sampler = new Sampler(3_000, 0, zeroCounters)
    sampler.add(2_000, counters({ published: 20 }))
    sampler.add(4_000, counters({ published: 40 }))
    expect(sampler.rates()).toMatchObject({ sendRate: 10, windowSeconds: 4 })
  })

  it('holds as many samples as fit into the window, and no more', () => {
    const sampler = new Sampler(10_000, 0, zeroCounters)
    for (let at = 1; at <= 10_000; at++) sampler.add(at * 1_000, counters({ published: at }))
    expect(sampler.rates()).toMatchObject({ sendRate: 1, windowSeconds: 10 })
  })

  it('gives zero before any time has passed, and takes the newer of two samples at one time', () => {
    const sampler = new Sampler(10_000, 5, zeroCounters)
    sampler.add(5, counters({ published: 7 }))
    expect(sampler.rates()).toMatchObject({ sendRate: 0, windowSeconds: 0 })
    sampler.add(1_005, counters({ published: 8 }))
    sampler.add(1_005, counters({ published: 10 }))
    expect(sampler.rates().sendRate).toBe(10)
  })

  it('begins anew when the counters do', () => {
    const sampler = new Sampler(10_000, 0, zeroCounters)
    sampler.add(1_000, counters({ published: 500 }))
    sampler.add(2_000, counters({ published: 3 }))
    sampler.add(3_000, counters({ published: 5 }))
    expect(sampler.rates()).toMatchObject({ sendRate: 2, windowSeconds: 1 })
  })

  it('is not moved by counters that the broker goes on changing', () => {
    const live = counters({ published: 1 })
    const sampler = new Sampler(10_000, 0, zeroCounters)
    sampler.add(1_000, live)
    live.published = 1_000
    expect(sampler.rates().sendRate).toBe(1)
  })
})
