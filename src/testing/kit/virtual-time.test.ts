// Time that goes by when somebody asks for it.
import { expect, it } from 'vitest'
import { sleep, VirtualTime } from './virtual-time.ts'

const startMs = Date.UTC(2030, 5, 1)

function newTime(): VirtualTime {
  return new VirtualTime(startMs)
}

it('lets happen by itself what needs no time, and nothing else', async () => {
  const time = newTime()
  let late = false
  void sleep(time.clock, 1).then(() => {
    late = true
  })
  await sleep(time.clock, 0)
  await new Promise<void>((resolve) => time.clock.defer(resolve))
  expect(late).toBe(false)
  expect(time.clock.monotonicMs()).toBe(0)
})

it('lets everything happen at its moment when time goes by, and shows it on the wall clock', async () => {
  const time = newTime()
  const seen: [string, number][] = []
  const note = (name: string) => (): unknown => seen.push([name, time.clock.realtimeMs() - startMs])
  void sleep(time.clock, 2_000).then(note('b'))
  void sleep(time.clock, 1_000)
    .then(note('a'))
    .then(() => sleep(time.clock, 500))
    .then(note('a, half a second later'))
  void sleep(time.clock, 3_001).then(note('c'))
  await time.advance(3_000, 'advance')
  expect(seen).toEqual([
    ['a', 1_000],
    ['a, half a second later', 1_500],
    ['b', 2_000],
  ])
  expect(time.clock.realtimeMs()).toBe(startMs + 3_000)
})

it('stops at each moment that somebody asked for, so that he can ask for something there', async () => {
  const time = newTime()
  const near = time.advance(1_000, 'near').then(async () => {
    expect(time.clock.monotonicMs()).toBe(1_000)
    await sleep(time.clock, 500)
    expect(time.clock.monotonicMs()).toBe(1_500)
  })
  await time.advance(60_000, 'far')
  await near
  expect(time.clock.monotonicMs()).toBe(60_000)
})

it('lets just so much time go by as a promise needs', async () => {
  const time = newTime()
  void sleep(time.clock, 90_000)
  const needed = sleep(time.clock, 60_000).then(() => 'done')
  expect(await time.run(needed, 'run')).toBe('done')
  expect(time.clock.monotonicMs()).toBe(60_000)
  expect(await time.run(Promise.resolve('at once'), 'run')).toBe('at once')
  await expect(time.run(Promise.reject(new Error('its own')), 'run')).rejects.toThrow('its own')
  expect(time.clock.monotonicMs()).toBe(60_000)
})

it('can be asked by what somebody waits for', async () => {
  const time = newTime()
  const inner = async (): Promise<string> => {
    await time.run(sleep(time.clock, 5), 'inner')
    await time.advance(10, 'inner')
    return 'both'
  }
  expect(await time.run(inner(), 'outer')).toBe('both')
  expect(time.clock.monotonicMs()).toBe(15)
})

it('says so when nothing is left that could settle a promise', async () => {
  const time = newTime()
  const stuck = time.run(new Promise(() => {}), 'test.run')
  await expect(stuck).rejects.toMatchObject({
    code: 'E_WOULD_DEADLOCK',
    message: expect.stringContaining('test.run: '),
  })
})

it('waits for what is under way outside of it before it says so', async () => {
  const time = newTime()
  const outside = new Promise((resolve) => setTimeout(resolve, 1))
  const loaded = time.during(outside).then(() => sleep(time.clock, 5))
  await time.run(loaded, 'run')
  expect(time.clock.monotonicMs()).toBe(5)
})

it('gives up on what goes round for ever without time going by', async () => {
  const time = newTime()
  const round = (): void => time.clock.defer(round)
  round()
  await expect(time.advance(0, 'test.settle')).rejects.toMatchObject({ code: 'E_TIMEOUT' })
  time.end()
})

it('gives up on a promise for which things happen for ever, but lets any time go by', async () => {
  const time = newTime()
  let ticks = 0
  const tick = (): void => {
    ticks++
    time.clock.setTimer(1_000, tick)
  }
  tick()
  await time.advance(300_000_000, 'test.advance')
  expect(ticks).toBe(300_001)
  await expect(time.run(new Promise(() => {}), 'test.run')).rejects.toMatchObject({ code: 'E_TIMEOUT' })
})

it('tells who asked for time what a callback threw', async () => {
  const time = newTime()
  time.clock.setTimer(1, () => {
    throw new Error('thrown in a timer')
  })
  await expect(time.advance(1, 'advance')).rejects.toThrow('thrown in a timer')
  await time.advance(1, 'advance')
})

it('tells everybody who waits when it ends', async () => {
  const time = newTime()
  const waiting = time.run(sleep(time.clock, 1), 'test.run')
  time.end()
  await expect(waiting).rejects.toMatchObject({ code: 'E_CLOSED' })
  await expect(time.advance(1, 'test.advance')).rejects.toMatchObject({ code: 'E_CLOSED' })
  expect(time.clock.pendingEvents).toBe(0)
})
