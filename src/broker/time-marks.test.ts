// Ages from marks are held against the times themselves.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TimeMarks } from './time-marks.ts'

describe('TimeMarks', () => {
  it('knows when each came, as long as there are not too many', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat(1_000)), { minLength: 1, maxLength: 200 }), (turns) => {
        const marks = new TimeMarks()
        const cameMs: number[] = []
        let nowMs = 0
        for (const [more, gapMs] of turns) {
          nowMs += gapMs + 1
          marks.add(cameMs.length + 1, nowMs)
          for (let count = 0; count <= more; count++) cameMs.push(nowMs)
        }
        for (const order of [cameMs.keys(), [...cameMs.keys()].reverse()]) {
          for (const at of order) expect(marks.timeOf(at + 1)).toBe(cameMs[at])
        }
        expect(marks.timeOf(0)).toBe(-1)
      }),
    )
  })

  it('knows the age of a hundred thousand to within an eighth, however evenly or unevenly they came', () => {
    for (const gapMs of [
      (): number => 1,
      (at: number): number => 1 + (at % 97) ** 2,
      (at: number): number => 1 + at / 100,
    ]) {
      const marks = new TimeMarks()
      const cameMs: number[] = []
      let nowMs = 1
      for (let at = 0; at < 100_000; at++) {
        nowMs += gapMs(at)
        cameMs.push(nowMs)
        marks.add(at + 1, nowMs)
      }
      nowMs += 1
      for (let at = 0; at < cameMs.length; at += 31) {
        const age = nowMs - (cameMs[at] as number)
        const told = nowMs - marks.timeOf(at + 1)
        expect(told).toBeGreaterThanOrEqual(age)
        // What came since marks were last left out was marked each.
        expect(told - age).toBeLessThanOrEqual(age / 8 + gapMs(at))
      }
    }
  })

  it('knows nothing of what was there before, and nothing once it was cleared', () => {
    const marks = new TimeMarks()
    marks.add(10, 5)
    expect([marks.timeOf(9), marks.timeOf(10), marks.timeOf(1_000)]).toEqual([-1, 5, 5])
    marks.clear()
    expect(marks.timeOf(10)).toBe(-1)
    marks.add(11, 6)
    expect(marks.timeOf(11)).toBe(6)
  })
})
