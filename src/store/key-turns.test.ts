// Order per key: who goes, who waits for whom, and that nobody waits for ever.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../model/limits.ts'
import { makeMessage } from '../testing/core-harness.ts'
import { Entry } from './entry.ts'
import { KeyTurns } from './key-turns.ts'

function entryOf(sequence: number, keyHash: number, hasMessage = true): Entry {
  return new Entry(hasMessage ? makeMessage('', 'q', 'x') : null, sequence, true, 1, 0, 0, keyHash)
}

function take(turns: KeyTurns): Entry | undefined {
  const entry = turns.peek()
  if (entry !== undefined) turns.take()
  return entry
}

function sequences(turns: KeyTurns): number[] {
  const taken: number[] = []
  for (let entry = take(turns); entry !== undefined; entry = take(turns)) taken.push(entry.sequence)
  return taken
}

describe('keys that take turns', () => {
  test('have one message out each, and the next when that is settled', () => {
    const turns = new KeyTurns(1)
    const entries = [1, 1, 2, 1, 3].map((key, at) => entryOf(at + 1, key))
    for (const entry of entries) turns.add(entry)
    expect(sequences(turns)).toEqual([1, 3, 5])
    turns.settled(entries[0] as Entry)
    expect(sequences(turns)).toEqual([2])
    expect(turns.count).toBe(1)
  })

  test('are served round robin, however many messages one of them has', () => {
    const turns = new KeyTurns(2)
    for (let sequence = 1; sequence <= 6; sequence++) turns.add(entryOf(sequence, 1))
    turns.add(entryOf(7, 2))
    turns.add(entryOf(8, 2))
    expect(sequences(turns)).toEqual([1, 7, 2, 8])
  })

  test('let messages without a key pass at once', () => {
    const turns = new KeyTurns(1)
    for (let sequence = 1; sequence <= 3; sequence++) turns.add(entryOf(sequence, 0))
    expect(sequences(turns)).toEqual([1, 2, 3])
  })

  test('get a message back in front of those that came later', () => {
    const turns = new KeyTurns(1)
    const first = entryOf(1, 5)
    turns.add(first)
    turns.add(entryOf(2, 5))
    expect(take(turns)).toBe(first)
    expect(take(turns)).toBeUndefined()
    turns.putBack(first)
    expect(sequences(turns)).toEqual([1])
  })

  test('are passed over while their message is being read, if another has its own', () => {
    const turns = new KeyTurns(1)
    turns.add(entryOf(1, 1, false))
    turns.add(entryOf(2, 2))
    expect(take(turns)?.sequence).toBe(2)
    expect(turns.peek()?.sequence).toBe(1)
  })

  test('lose what is dropped, and go on with the next', () => {
    const turns = new KeyTurns(1)
    const lost = entryOf(1, 1)
    turns.add(lost)
    turns.add(entryOf(2, 1))
    turns.drop(lost)
    expect(turns.count).toBe(1)
    expect(sequences(turns)).toEqual([2])
  })

  test('have to wait by the clock where a rate is given, and others go meanwhile', () => {
    const turns = new KeyTurns(9, { count: 2, periodMs: 1_000 })
    turns.advance(0)
    for (let sequence = 1; sequence <= 5; sequence++) turns.add(entryOf(sequence, 1))
    turns.add(entryOf(6, 2))
    turns.add(entryOf(7, 0))
    turns.add(entryOf(8, 0))
    expect(sequences(turns)).toEqual([1, 6, 7, 2, 8])
    expect([turns.nextMs, turns.hasTurns]).toEqual([500, false])
    turns.advance(499)
    expect(sequences(turns)).toEqual([])
    turns.advance(500)
    expect(sequences(turns)).toEqual([3])
    expect(turns.nextMs).toBe(1_000)
    turns.advance(10_000)
    expect(sequences(turns)).toEqual([4, 5])
  })

  test('are remembered with a rate until their time has passed, and no longer', () => {
    const turns = new KeyTurns(9, { count: 2, periodMs: 1_000 })
    const known = turns as unknown as { keys: Map<number, unknown> }
    turns.advance(0)
    for (const key of [1, 1, 2]) {
      const entry = entryOf(1, key)
      turns.add(entry)
      expect(take(turns)).toBe(entry)
      turns.settled(entry)
    }
    expect(known.keys.size).toBe(2)
    turns.add(entryOf(4, 1))
    expect(sequences(turns)).toEqual([])
    turns.clear()
    turns.advance(499)
    expect(known.keys.size).toBe(2)
    turns.advance(500)
    expect(known.keys.size).toBe(1)
    turns.advance(1_000)
    expect([known.keys.size, turns.nextMs]).toEqual([0, Number.POSITIVE_INFINITY])
  })

  test('are forgotten, those first whose time ends first, when there are more than may be remembered', () => {
    const turns = new KeyTurns(1, { count: 1, periodMs: 86_400_000 })
    const known = turns as unknown as { keys: Map<number, unknown> }
    for (let key = 1; key <= limits.keyRatesMax + 2; key++) {
      turns.advance(key)
      const entry = entryOf(key, key)
      turns.add(entry)
      turns.take()
      turns.settled(entry)
    }
    expect([known.keys.size, known.keys.has(2), known.keys.has(3)]).toEqual([limits.keyRatesMax, false, true])
  })

  test('keep order and bound whatever is done, and are forgotten when nothing of them is left', () => {
    const step = fc.record({
      what: fc.constantFrom('add', 'add', 'take', 'settle', 'back'),
      key: fc.integer({ min: 1, max: 4 }),
      at: fc.nat(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 3 }), (steps, concurrency) => {
        const turns = new KeyTurns(concurrency)
        const out: Entry[] = []
        const waiting = new Map<number, number[]>()
        let sequence = 0
        for (const { what, key, at } of steps) {
          if (what === 'add') {
            turns.add(entryOf(++sequence, key))
            waiting.set(key, [...(waiting.get(key) ?? []), sequence])
          } else if (what === 'take') {
            const entry = take(turns)
            const free = [...waiting].filter(
              ([hash, ones]) => ones.length > 0 && out.filter((one) => one.keyHash === hash).length < concurrency,
            )
            expect(entry === undefined).toBe(free.length === 0)
            if (entry === undefined) continue
            // The oldest of its key.
            expect(waiting.get(entry.keyHash)?.shift()).toBe(entry.sequence)
            out.push(entry)
          } else if (out.length > 0) {
            const [entry] = out.splice(at % out.length, 1) as [Entry]
            if (what === 'settle') turns.settled(entry)
            else {
              turns.putBack(entry)
              waiting.set(
                entry.keyHash,
                [...(waiting.get(entry.keyHash) ?? []), entry.sequence].sort((one, two) => one - two),
              )
            }
          }
        }
        for (const entry of out) turns.settled(entry)
        for (let entry = take(turns); entry !== undefined; entry = take(turns)) turns.settled(entry)
        expect(turns.count).toBe(0)
        expect((turns as unknown as { keys: Map<number, unknown> }).keys.size).toBe(0)
      }),
    )
  })
})
