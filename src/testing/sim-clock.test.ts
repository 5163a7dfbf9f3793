// Virtual time: one thing after the other, promises between.
import { expect, test } from 'vitest'
import { SimClock } from './sim-clock.ts'

test('things happen at their time, and those of one moment in the order they were asked for', async () => {
  const clock = new SimClock()
  const seen: string[] = []
  clock.setTimer(20, () => seen.push(`late ${clock.monotonicMs()}`))
  clock.setTimer(10, () => seen.push(`first ${clock.monotonicMs()}`))
  clock.setTimer(10, () => seen.push('second'))
  clock.defer(() => seen.push('deferred'))
  clock.setTimer(5, () => seen.push('never'))()
  await clock.advance(10)
  expect(seen).toEqual(['deferred', 'first 10', 'second'])
  expect(clock.pendingEvents).toBe(1)
  await clock.runUntilIdle()
  expect(seen.at(-1)).toBe('late 20')
})

test('every promise that follows from a step settles before the next step', async () => {
  const clock = new SimClock()
  const seen: string[] = []
  const deep = async (): Promise<void> => {
    for (let hop = 0; hop < 100; hop++) await Promise.resolve()
    seen.push('settled')
  }
  clock.setTimer(1, () => void deep())
  clock.setTimer(1, () => seen.push('next'))
  await clock.runUntilIdle()
  expect(seen).toEqual(['settled', 'next'])
})

test('run() returns the result, rethrows, and says when nothing can settle the promise', async () => {
  const clock = new SimClock()
  const later = (action: () => void): Promise<void> =>
    new Promise((resolve, reject) => {
      clock.setTimer(5, () => {
        try {
          action()
          resolve()
        } catch (error) {
          reject(error as Error)
        }
      })
    })
  await clock.run(later(() => {}))
  const failing = later(() => {
    throw new Error('no')
  })
  await expect(clock.run(failing)).rejects.toThrow('no')
  await expect(clock.run(new Promise(() => {}))).rejects.toThrow('nothing is left')
})

test('the wall clock may jump, the monotonic one may not', async () => {
  const clock = new SimClock()
  const realtimeMs = clock.realtimeMs()
  clock.jumpRealtime(-3_600_000)
  expect(clock.realtimeMs()).toBe(realtimeMs - 3_600_000)
  expect(clock.monotonicMs()).toBe(0)
  clock.pause(30_000)
  expect(clock.monotonicMs()).toBe(30_000)
})
