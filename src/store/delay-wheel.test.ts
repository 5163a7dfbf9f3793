// The wheel by itself: whatever times come and however time goes on, each entry comes out once, when it is due.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeMessage } from '../testing/core-harness.ts'
import { DelayWheel, HiddenWalk, isDelayedLane, priorityOfLane, type WheelOwner } from './delay-wheel.ts'
import { Entry } from './entry.ts'
import { Lane } from './lane.ts'

const day = 86_400_000

/** Lanes without a log: entries stay objects. */
class Owner implements WheelOwner {
  made = 0

  makeLane(number: number, priority: number): Lane {
    this.made++
    expect([isDelayedLane(number), priorityOfLane(number)]).toEqual([true, priority])
    return new Lane(priority, undefined as never, null, number)
  }

  placeDelayed(): boolean {
    return true
  }
}

function makeEntry(sequence: number, dueAt: number, expiresAt = 0): Entry {
  return new Entry(makeMessage('', 'q', 'x'), sequence, true, 1, 0, expiresAt, 0, dueAt)
}

interface Step {
  /** How far ahead the entries of this step are due. */
  readonly delays: readonly number[]
  /** How far time goes on then. */
  readonly ms: number
  readonly max: number
}

const delay = fc.oneof(
  fc.integer({ min: 1, max: 40 }),
  fc.integer({ min: 1, max: 5_000 }),
  fc.integer({ min: 1, max: 400 * day }),
  // Where slots of several levels begin.
  fc.nat(5).chain((level) => fc.nat(3).map((times) => Math.max(1, 16 * 64 ** level * times))),
)
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    delays: fc.array(delay, { maxLength: 8 }),
    ms: fc.oneof(fc.nat(30), fc.nat(3_000), fc.nat(90 * day)),
    max: fc.integer({ min: 1, max: 20 }),
  }),
  { maxLength: 30 },
)

describe('the delay wheel', () => {
  test('gives each entry once, never early, at most 16 ms late, and those of one moment in their order', () => {
    fc.assert(
      fc.property(steps, fc.nat(2 ** 42), (all, startMs) => {
        const wheel = new DelayWheel(new Owner())
        const waiting = new Map<number, number>()
        let nowMs = startMs
        let sequence = 0
        const out: { sequence: number; dueAt: number }[] = []
        const turn = (max: number): boolean =>
          wheel.advance(nowMs, max, (entry, dueAt) => {
            expect(waiting.get(entry.sequence)).toBe(dueAt)
            expect(dueAt).toBeLessThanOrEqual(nowMs)
            waiting.delete(entry.sequence)
            out.push({ sequence: entry.sequence, dueAt })
          })
        for (const { delays, ms, max } of all) {
          for (const after of delays) {
            wheel.push(makeEntry(++sequence, nowMs + after), nowMs)
            waiting.set(sequence, nowMs + after)
          }
          wheel.settleNewcomers()
          wheel.forEachLane(({ window }) => {
            for (let at = 1; at < window.length; at++) {
              expect((window.get(at) as Entry).sequence).toBeGreaterThan((window.get(at - 1) as Entry).sequence)
            }
          })
          nowMs += ms
          turn(max)
          expect(wheel.count).toBe(waiting.size)
        }
        // Then nothing more comes in, and all that is due is out.
        while (turn(1_000));
        for (const dueAt of waiting.values()) expect(dueAt).toBeGreaterThan(nowMs - 16)
        expect(wheel.nextMs).toBeGreaterThan(nowMs)
        nowMs += 2 ** 43
        while (turn(1_000));
        expect([waiting.size, wheel.count, wheel.nextMs]).toEqual([0, 0, Number.POSITIVE_INFINITY])
        const [last] = out.slice(-1)
        expect(out.length).toBe(last === undefined ? 0 : sequence)
      }),
    )
  })

  test('lets those of one moment out as they came in, whenever that was', () => {
    const wheel = new DelayWheel(new Owner())
    const dueAt = 10 * day
    const order: number[] = []
    let sequence = 0
    for (const nowMs of [0, day, 9 * day, dueAt - 70_000, dueAt - 5_000, dueAt - 17]) {
      while (wheel.advance(nowMs, 10, () => expect.unreachable()));
      wheel.push(makeEntry(++sequence, dueAt), nowMs)
      wheel.push(makeEntry(++sequence, dueAt + 1), nowMs)
      wheel.settleNewcomers()
    }
    while (wheel.advance(dueAt + 32, 5, (entry) => order.push(entry.sequence)));
    expect(order).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
  })

  test('has few slots, however many times there are', () => {
    const owner = new Owner()
    const wheel = new DelayWheel(owner)
    for (let sequence = 1; sequence <= 100_000; sequence++) {
      wheel.push(makeEntry(sequence, 1_700_000_000_000 + sequence * 1_000), 1_700_000_000_000)
    }
    wheel.settleNewcomers()
    expect(owner.made).toBeLessThan(4 * 64)
  })

  test('knows when a message expires that may wait only so long', () => {
    const wheel = new DelayWheel(new Owner())
    wheel.push(makeEntry(1, 5_000, 5_700), 0)
    wheel.push(makeEntry(2, 6_000), 0)
    wheel.settleNewcomers()
    const seen: number[][] = []
    while (wheel.advance(9_000, 10, (entry, dueAt, expiresAt) => seen.push([entry.sequence, dueAt, expiresAt])));
    expect(seen).toEqual([
      [1, 5_000, 5_700],
      [2, 6_000, 0],
    ])
  })
})

describe('whoever walks through all that is hidden', () => {
  test('sees each that was there and has not come out, however they move from slot to slot meanwhile', () => {
    fc.assert(
      fc.property(steps, fc.infiniteStream(fc.integer({ min: 1, max: 5 })), (all, sizes) => {
        const wheel = new DelayWheel(new Owner())
        let nowMs = 1_000_000
        let sequence = 0
        const add = (delays: readonly number[]): number[] =>
          delays.map((ms) => {
            wheel.push(makeEntry(++sequence, nowMs + ms), nowMs)
            return sequence
          })
        const wanted = new Set(all.flatMap(({ delays }) => add(delays)))
        wheel.settleNewcomers()
        const walk = new HiddenWalk()
        let at = 0
        for (;;) {
          const found = wheel.next(walk, sizes.next().value as number)
          if (found.length === 0) break
          for (const entry of found) wanted.delete(entry.sequence)
          const { delays = [], ms = 0, max = 1 } = all[at++] ?? {}
          add(delays)
          wheel.settleNewcomers()
          nowMs += ms
          wheel.advance(nowMs, max, (entry) => wanted.delete(entry.sequence))
          wheel.settleNewcomers()
        }
        expect([...wanted]).toEqual([])
      }),
    )
  })
})

test('whoever walks through comes once more to a slot into which others were spread behind him', () => {
  const wheel = new DelayWheel(new Owner())
  const boundary = 64 * 64 * 16 * 1_000
  wheel.push(makeEntry(1, boundary + 20), boundary + 10)
  wheel.settleNewcomers()
  // The wall clock is set back: what comes now belongs to the minute that begins then, which is spread over the same slots.
  for (const sequence of [2, 3]) wheel.push(makeEntry(sequence, boundary + 30), boundary - 2_000)
  wheel.settleNewcomers()
  const walk = new HiddenWalk()
  const next = (): number[] => wheel.next(walk, 1).map(({ sequence }) => sequence)
  expect([next(), next()]).toEqual([[1], [2]])
  wheel.advance(boundary, 99, () => expect.unreachable())
  expect([next(), next(), next(), next()]).toEqual([[1], [2], [3], []])
})

test('an entry is taken out from among the others, wherever it is by now, once', () => {
  fc.assert(
    fc.property(fc.array(delay, { minLength: 1, maxLength: 40 }), fc.nat(), fc.nat(70_000), (delays, which, ms) => {
      const wheel = new DelayWheel(new Owner())
      const entries = delays.map((one, at) => makeEntry(at + 1, 1_000_000 + one))
      for (const entry of entries) wheel.push(entry, 1_000_000)
      if (which % 3 > 0) wheel.settleNewcomers()
      const out: number[] = []
      if (which % 3 > 1) wheel.advance(1_000_000 + ms, 99, (entry) => out.push(entry.sequence))
      const entry = entries[which % entries.length] as Entry
      const isThere = !out.includes(entry.sequence)
      expect(wheel.withdraw(entry)?.entry.sequence).toBe(isThere ? entry.sequence : undefined)
      expect(wheel.withdraw(entry)).toBeNull()
      wheel.settleNewcomers()
      for (let left = 0; left < 60; left++) {
        wheel.advance(1_000_000 + 5_000 * day, 99, (one) => out.push(one.sequence))
      }
      expect(out.filter((sequence) => sequence !== entry.sequence)).toHaveLength(delays.length - 1)
      expect([out.includes(entry.sequence), wheel.count]).toEqual([!isThere, 0])
    }),
  )
})
