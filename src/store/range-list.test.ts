// Sets of sequences as ranges, against a plain Set.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader } from '../lib/byte-reader.ts'
import { ByteWriter } from '../lib/byte-writer.ts'
import { invertRanges, mergeRanges, RangeList, readRanges } from './range-list.ts'

function encoded(list: RangeList): Buffer {
  const writer = new ByteWriter(8)
  list.encode(writer)
  return writer.toBuffer()
}

function members(bytes: Buffer): number[] {
  const reader = new ByteReader(bytes)
  const ranges = readRanges(reader)
  expect(reader.remaining).toBe(0)
  return membersOf(ranges)
}

function membersOf(ranges: readonly number[]): number[] {
  const found: number[] = []
  for (let at = 0; at < ranges.length; at += 2) {
    const start = ranges[at] as number
    const end = ranges[at + 1] as number
    expect(end).toBeGreaterThanOrEqual(start)
    for (let sequence = start; sequence <= end; sequence++) found.push(sequence)
  }
  return found
}

function ascending(numbers: readonly number[]): number[] {
  return [...new Set(numbers)].sort((left, right) => left - right)
}

/** Whether each range begins at least two behind the end of the one before. */
function areApart(ranges: readonly number[]): boolean {
  for (let at = 2; at < ranges.length; at += 2) {
    if ((ranges[at] as number) <= (ranges[at - 1] as number) + 1) return false
  }
  return true
}

const sequences = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 80 })

/** Ranges as start, end, start, end …, in any order and overlapping. */
const someRanges = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.nat(8)), { maxLength: 20 })
  .map((pairs) => pairs.flatMap(([start, more]) => [start, start + more]))

describe('a range list', () => {
  test('decodes to what was added, ascending, each once, in whatever order it came and however often', () => {
    fc.assert(
      fc.property(sequences, fc.constantFrom(0, 2 ** 32, 2 ** 48 - 61), (added, offset) => {
        const list = new RangeList()
        for (const sequence of added) list.add(offset + sequence)
        const expected = ascending(added).map((sequence) => offset + sequence)
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

  test('takes whole ranges as if their sequences came one by one', () => {
    fc.assert(
      fc.property(someRanges, fc.array(fc.boolean(), { maxLength: 20 }), (ranges, isWhole) => {
        const list = new RangeList()
        const single = new RangeList()
        for (let at = 0; at < ranges.length; at += 2) {
          const [start, end] = ranges.slice(at, at + 2) as [number, number]
          for (let sequence = start; sequence <= end; sequence++) {
            single.add(sequence)
            if (isWhole[at / 2] !== true) list.add(sequence)
          }
          if (isWhole[at / 2] === true) list.addRange(start, end)
        }
        expect(list.sorted()).toEqual(single.sorted())
        expect(members(encoded(list))).toEqual(ascending(membersOf(ranges)))
        expect(list.isEmpty).toBe(ranges.length === 0)
      }),
    )
  })

  test('extends its last range by one that follows it', () => {
    const list = new RangeList()
    list.addRange(1, 10)
    list.addRange(11, 20)
    list.add(21)
    list.addRange(30, 2 ** 50)
    expect(list.sorted()).toEqual([1, 21, 30, 2 ** 50])
    expect([...encoded(list)].slice(0, 3)).toEqual([2, 1, 21])
  })
})

describe('ranges', () => {
  test('when merged have the same members, ascend and do not touch', () => {
    fc.assert(
      fc.property(someRanges, (ranges) => {
        const before = [...ranges]
        const merged = mergeRanges(ranges)
        expect(membersOf(merged)).toEqual(ascending(membersOf(ranges)))
        expect(areApart(merged)).toBe(true)
        expect(mergeRanges(merged)).toEqual(merged)
        expect(ranges).toEqual(before)
      }),
    )
  })

  test('when merged keep the end of a range that contains a later one', () => {
    expect(mergeRanges([5, 6, 1, 9, 10, 10, 12, 12])).toEqual([1, 10, 12, 12])
    expect(mergeRanges([])).toEqual([])
  })

  test('when inverted leave what they lacked, up to the end', () => {
    fc.assert(
      fc.property(someRanges, fc.nat(20), (ranges, more) => {
        const merged = mergeRanges(ranges)
        const end = (merged.at(-1) ?? 0) + more
        const has = new Set(membersOf(merged))
        const lacks = Array.from({ length: end }, (_, at) => at + 1).filter((number) => !has.has(number))
        const inverse = invertRanges(merged, end)
        expect(membersOf(inverse)).toEqual(lacks)
        expect(areApart(inverse)).toBe(true)
        expect(membersOf(invertRanges(inverse, end))).toEqual(membersOf(merged))
      }),
    )
  })

  test('when inverted are never more than one more, however far the end is', () => {
    expect(invertRanges([], 0)).toEqual([])
    expect(invertRanges([], 2 ** 50)).toEqual([1, 2 ** 50])
    expect(invertRanges([1, 4], 4)).toEqual([])
    expect(invertRanges([2, 4, 6, 6], 10)).toEqual([1, 1, 5, 5, 7, 10])
    expect(invertRanges([2, 4, 5, 6], 6)).toEqual([1, 1])
  })
})
