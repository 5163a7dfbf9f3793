// The real clock. These few tests are the only ones that wait.
import { expect, test } from 'vitest'
import { NodeClock } from './node-clock.ts'

const clock = new NodeClock()

test('a timer is never early, even if it was set late in a long turn', async () => {
  const busyUntilMs = performance.now() + 20
  while (performance.now() < busyUntilMs);
  const startMs = clock.monotonicMs()
  await new Promise<void>((resolve) => clock.setTimer(10, resolve))
  expect(clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(10)
})

test('a timer of more than 24 days does not fire at once', async () => {
  let fired = false
  const cancel = clock.setTimer(2 ** 33, () => {
    fired = true
  })
  await new Promise<void>((resolve) => clock.setTimer(20, resolve))
  cancel()
  expect(fired).toBe(false)
})

test('a cancelled timer stays silent, a deferred callback comes after the turn', async () => {
  const seen: string[] = []
  clock.setTimer(1, () => seen.push('timer'))()
  clock.defer(() => seen.push('deferred'))
  seen.push('turn')
  await new Promise<void>((resolve) => clock.setTimer(20, resolve))
  expect(seen).toEqual(['turn', 'deferred'])
})

test('real time is the time of day', () => {
  expect(Math.abs(clock.realtimeMs() - Date.now())).toBeLessThan(1000)
})
