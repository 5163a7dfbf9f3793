/**
 * A set of sequences as ranges. Adding in ascending order, which is what consumers do, extends the last range and
 * allocates nothing.
 *
 * Encoded: count, then per range the gap from the end of the one before and the length, all varints, ascending:
 *
 *     {5, 6, 7, 10}  →  2 ranges: gap 5 length 3, gap 2 length 1
 */
import type { ByteReader } from '../lib/byte-reader.ts'
import type { ByteWriter } from '../lib/byte-writer.ts'

export class RangeList {
  /** The range being extended; start 0 = none. Sequences begin at 1. */
  private start = 0
  private end = 0
  /** Finished ranges as start, end, start, end … in the order they came. */
  private readonly closed: number[] = []

  get isEmpty(): boolean {
    return this.start === 0
  }

  add(sequence: number): void {
    if (sequence === this.end + 1 && this.start !== 0) {
      this.end = sequence
      return
    }
    if (this.start !== 0) this.closed.push(this.start, this.end)
    this.start = sequence
    this.end = sequence
  }

  /** As adding each of `start` to `end`. */
  addRange(start: number, end: number): void {
    if (start === this.end + 1 && this.start !== 0) {
      this.end = end
      return
    }
    if (this.start !== 0) this.closed.push(this.start, this.end)
    this.start = start
    this.end = end
  }

  clear(): void {
    this.start = 0
    this.end = 0
    this.closed.length = 0
  }

  encode(writer: ByteWriter): void {
    if (this.start === 0) {
      writer.varint(0)
      return
    }
    if (this.closed.length === 0) {
      writer.varint(1)
      writer.varint(this.start)
      writer.varint(this.end - this.start + 1)
      return
    }
    const ranges = this.sorted()
    writer.varint(ranges.length / 2)
    let last = 0
    for (let at = 0; at < ranges.length; at += 2) {
      const start = ranges[at] as number
      const end = ranges[at + 1] as number
      writer.varint(start - last)
      writer.varint(end - start + 1)
      last = end
    }
  }

  /** As start, end, start, end …, ascending and merged where they touch. */
  sorted(): number[] {
    return this.start === 0 ? [] : mergeRanges([...this.closed, this.start, this.end])
  }
}

/** Sorts ranges given as start, end, start, end … and merges those that touch. */
export function mergeRanges(ranges: readonly number[]): number[] {
  const pairs: [number, number][] = []
  for (let at = 0; at < ranges.length; at += 2) pairs.push([ranges[at] as number, ranges[at + 1] as number])
  pairs.sort((left, right) => left[0] - right[0])
  const merged: number[] = []
  for (const [start, end] of pairs) {
    const last = merged.at(-1)
    if (last !== undefined && start <= last + 1) merged[merged.length - 1] = Math.max(last, end)
    else merged.push(start, end)
  }
  return merged
}

/** What ascending `ranges` leave out of the numbers from 1 to `end`. */
export function invertRanges(ranges: readonly number[], end: number): number[] {
  const inverse: number[] = []
  let next = 1
  for (let at = 0; at < ranges.length; at += 2) {
    const start = ranges[at] as number
    if (start > next && next <= end) inverse.push(next, Math.min(start - 1, end))
    next = Math.max(next, (ranges[at + 1] as number) + 1)
  }
  if (next <= end) inverse.push(next, end)
  return inverse
}

/** Reads ranges that `encode` wrote as start, end, start, end …, ascending. */
export function readRanges(reader: ByteReader): number[] {
  const ranges: number[] = []
  let last = 0
  for (let count = reader.varint(); count > 0; count--) {
    const start = last + reader.varint()
    const end = start + reader.varint() - 1
    ranges.push(start, end)
    last = end
  }
  return ranges
}
