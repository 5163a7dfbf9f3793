// The heap against a sorted array.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Heap } from './heap.ts'

test('a heap gives the least first, whatever was pushed and popped before', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(50)), { maxLength: 300 }), (steps) => {
      const heap = new Heap<number>((left, right) => left < right)
      const sorted: number[] = []
      for (const step of steps) {
        if (step === null) expect(heap.pop()).toBe(sorted.shift())
        else {
          heap.push(step)
          sorted.push(step)
          sorted.sort((left, right) => left - right)
        }
        expect(heap.length).toBe(sorted.length)
        expect(heap.peek()).toBe(sorted[0])
        expect([...heap.values()].sort((left, right) => left - right)).toEqual(sorted)
      }
    }),
  )
})

test('a cleared heap is empty', () => {
  const heap = new Heap<number>((left, right) => left < right)
  heap.push(1)
  heap.clear()
  expect([heap.length, heap.peek(), heap.pop()]).toEqual([0, undefined, undefined])
})
