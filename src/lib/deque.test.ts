// The ring against a plain array, whatever is done to either.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Deque } from './deque.ts'

interface Pair {
  deque: Deque<number>
  array: number[]
  next: number
}

const actions: Readonly<Record<string, (pair: Pair, argument: number) => void>> = {
  push: (pair) => {
    pair.deque.push(pair.next)
    pair.array.push(pair.next++)
  },
  unshift: (pair) => {
    pair.deque.unshift(pair.next)
    pair.array.unshift(pair.next++)
  },
  shift: (pair) => expect(pair.deque.shift()).toBe(pair.array.shift()),
  pop: (pair) => expect(pair.deque.pop()).toBe(pair.array.pop()),
  set: (pair, argument) => {
    if (pair.array.length === 0) return
    const at = argument % pair.array.length
    pair.deque.set(at, pair.next)
    pair.array[at] = pair.next++
  },
  clear: (pair, argument) => {
    if (argument % 8 !== 0) return
    pair.deque.clear()
    pair.array = []
  },
}

test('a deque does what an array does', () => {
  const action = fc.tuple(fc.constantFrom(...Object.keys(actions), 'push', 'push'), fc.nat(63))
  fc.assert(
    fc.property(fc.constantFrom(1, 2, 4, 16), fc.array(action, { maxLength: 200 }), (capacity, steps) => {
      const pair: Pair = { deque: new Deque<number>(capacity), array: [], next: 1 }
      for (const [name, argument] of steps) {
        actions[name]?.(pair, argument)
        const { deque, array } = pair
        expect(deque.length).toBe(array.length)
        expect(deque.peek()).toBe(array[0])
        expect(deque.peekLast()).toBe(array.at(-1))
      }
      const { deque, array } = pair
      expect(Array.from({ length: deque.length + 2 }, (_, at) => deque.get(at - 1))).toEqual(
        Array.from({ length: array.length + 2 }, (_, at) => array[at - 1]),
      )
    }),
  )
})

test('a deque keeps nothing alive that was taken out of it', () => {
  const deque = new Deque<object>(4)
  for (let at = 0; at < 3; at++) deque.push({})
  deque.shift()
  deque.pop()
  const { items } = deque as unknown as { items: (object | undefined)[] }
  expect(items.filter((item) => item !== undefined)).toHaveLength(1)
})

test('a deque refuses a capacity that is no power of two, and to replace what is not there', () => {
  expect(() => new Deque(3)).toThrow('power of two')
  expect(() => new Deque<number>().set(0, 1)).toThrow('replaced')
})

test('lets go of a large ring when it is empty, and works on', () => {
  const deque = new Deque<number>()
  for (let round = 0; round < 3; round++) {
    for (let item = 0; item < 200_000; item++) deque.push(item)
    for (let item = 0; item < 200_000; item++) if (deque.shift() !== item) expect.unreachable()
    expect(deque.length).toBe(0)
    expect((deque as unknown as { items: unknown[] }).items.length).toBe(16)
  }
})
