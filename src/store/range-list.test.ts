// Sets of sequences as ranges, against a plain Set.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader } from '../lib/byte-reader.ts'
import { ByteWriter } from '../lib/byte-writer.ts'
import { RangeList, readRanges } from './range-list.ts'

function encoded(list: RangeList): Buffer {
  const writer = new ByteWriter(8)
  list.encode(writer)
  return writer.toBuffer()
}

function members(bytes: Buffer): number[] {
  const reader = new ByteReader(bytes)
  const ranges = readRanges(reader)
  expect(reader.remaining).toBe(0)
  const found: number[] = []
  for (let at = 0; at < ranges.length; at += 2) {
    const start = ranges[at] as number
    const end = ranges[at + 1] as number
    expect(end).toBeGreaterThanOrEqual(start)
    for (let sequence = start; sequence <= end; sequence++) found.push(sequence)
  }
  return found
}

const sequences = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 80 })

describe('a range list', () => {
  test('decodes to what was added, ascending, each once, in whatever order it came and however often', () => {
    fc.assert(
      fc.property(sequences, fc.constantFrom(0, 2 ** 32, 2 ** 48 - 61), (added, offset) => {
        const list = new RangeList()
        for (const sequence of added) list.add(offset + sequence)
        const expected = [...new Set(added)].sort((left, right) => left - right).map((sequence) => offset + sequence)
        expect(members(encoded(list))).toEqual(expected)
        expect(list.isEmpty).toBe(added.length === 0)
      }),
      { numRuns: 500 },
    )
  })

  test('merges ranges that touch, so neighbours cost nothing', () => {
    const list = new RangeList()
    for (const sequence of [5, 6, 1, 2, 4, 3, 10]) list.add(sequence)
    expect(readRanges(new ByteReader(encoded(list)))).toEqual([1, 6, 10, 10])
  })

  test('is as its comment draws it', () => {
    const list = new RangeList()
    for (const sequence of [5, 6, 7, 10]) list.add(sequence)
    expect([...encoded(list)]).toEqual([2, 5, 3, 3, 1])
  })

  test('begins anew when it is cleared', () => {
    const list = new RangeList()
    for (const sequence of [1, 2, 9]) list.add(sequence)
    list.clear()
    expect(list.isEmpty).toBe(true)
    expect(members(encoded(list))).toEqual([])
    list.add(3)
    expect(members(encoded(list))).toEqual([3])
  })

  test('keeps one range for a million acknowledgements in order', () => {
    const list = new RangeList()
    for (let sequence = 1; sequence <= 1_000_000; sequence++) list.add(sequence)
    expect(encoded(list).length).toBeLessThan(8)
  })
})
