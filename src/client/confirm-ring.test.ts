// The ring against a map: confirms in any order, one by one and many at once.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ConfirmRing, type Pending } from './confirm-ring.ts'

function pending(sequence: number): Pending {
  return { id: String(sequence), what: 'it', bytes: 1, unroutable: false, stored() {}, refused() {} }
}

type Step = { readonly push: number } | { readonly take: number } | { readonly upTo: number }

const steps = fc.array(
  fc.oneof<[fc.Arbitrary<Step>, fc.Arbitrary<Step>, fc.Arbitrary<Step>]>(
    fc.record({ push: fc.integer({ min: 1, max: 200 }) }),
    fc.record({ take: fc.integer({ min: 0, max: 600 }) }),
    fc.record({ upTo: fc.integer({ min: 0, max: 600 }) }),
  ),
)

describe('ConfirmRing', () => {
  it('does what a map does', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const ring = new ConfirmRing()
        const map = new Map<number, Pending>()
        let next = 1
        for (const step of list) {
          if ('push' in step) {
            for (let left = step.push; left > 0; left--) {
              const one = pending(next)
              map.set(next, one)
              ring.push(next++, one)
            }
          } else if ('take' in step) {
            expect(ring.take(step.take)).toBe(map.get(step.take) ?? null)
            map.delete(step.take)
          } else {
            const expected = [...map.keys()].filter((sequence) => sequence <= step.upTo)
            const taken: number[] = []
            for (let one = ring.takeUpTo(step.upTo); one !== null; one = ring.takeUpTo(step.upTo)) {
              taken.push(Number(one.id))
            }
            expect(taken).toEqual(expected)
            for (const sequence of expected) map.delete(sequence)
          }
          expect(ring.size).toBe(map.size)
        }
        for (const one of map.values()) expect(ring.takeOldest()).toBe(one)
        expect(ring.takeOldest()).toBeNull()
      }),
    )
  })

  it('finds the oldest with an id that has not come back yet', () => {
    const ring = new ConfirmRing()
    const all = [1, 2, 3].map((sequence) => ({ ...pending(sequence), id: 'same' }))
    for (const [at, one] of all.entries()) ring.push(at + 1, one)
    ring.take(1)
    const second = ring.find('same')
    expect(second).toBe(all[1])
    all[1]!.unroutable = true
    expect(ring.find('same')).toBe(all[2])
    expect(ring.find('other')).toBeNull()
  })
})
