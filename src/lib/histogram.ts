/**
 * How often a time took how long: a log-linear histogram. Each power of two is cut into 32 equal buckets, so a bucket is found
 * from the bits of the number alone, and is never wider than 1/32 of what it holds:
 *
 *     IEEE 754      0 | exponent, 11 bits | 5 bits | 47 bits      the bucket is the exponent and the 5 bits behind it
 *     1 … 2 s       |1|2|3| … |32|                                each 1/32 s wide
 *     2 … 4 s       | 1 | 2 | 3 | … | 32 |                        each 1/16 s wide
 *
 * What is said of a bucket is its middle: off by at most 1/64 (1.6 %) of the true value. What is shorter than a microsecond or so
 * counts as nothing, what is longer than 194 days as that. Only the range that was seen takes memory.
 */
import { assert } from './assert.ts'

const bucketsPerOctave = 32
const octaveMin = -20
const octaveMax = 24
/** What the bits of 2 ** octaveMin say, less one: that is bucket 1. */
const bitsBelow = (1023 + octaveMin) * bucketsPerOctave - 1
const bucketMax = (octaveMax - octaveMin) * bucketsPerOctave + 1

/** How far a quantile may be from the true value, as a share of it. */
export const histogramErrorMax: number = 1 / (2 * bucketsPerOctave)

/** Buckets in ascending order, each as its number and its count: `[bucket, count, bucket, count, …]`. Empty ones are left out. */
export type Buckets = readonly number[]

const float = new Float64Array(1)
const words = new Uint32Array(float.buffer)
float[0] = 1
/** Which of the two words has the exponent. */
const high = words[1] === 0 ? 0 : 1

/** The bucket of a time in seconds; 0: hardly any time. */
export function bucketOf(seconds: number): number {
  float[0] = seconds
  const bucket = ((words[high] as number) >> 15) - bitsBelow
  if (bucket < 1) return 0
  return bucket > bucketMax ? bucketMax : bucket
}

/** The middle of a bucket, in seconds. */
export function secondsOf(bucket: number): number {
  assert(bucket >= 0 && bucket <= bucketMax, 'there is such a bucket')
  if (bucket === 0) return 0
  const octave = Math.floor((bucket - 1) / bucketsPerOctave)
  const part = (bucket - 1) % bucketsPerOctave
  return 2 ** (octave + octaveMin) * (1 + (part + 0.5) / bucketsPerOctave)
}

export class Histogram {
  /** Counts of the buckets from `first` on. */
  private counts: Float64Array = new Float64Array(0)
  private first = 0

  /** `times` values of `seconds` each. */
  record(seconds: number, times = 1): void {
    this.add(bucketOf(seconds), times)
  }

  merge(buckets: Buckets): void {
    for (let at = 0; at < buckets.length; at += 2) this.add(buckets[at] as number, buckets[at + 1] as number)
  }

  /** What was recorded, as plain numbers. */
  buckets(): number[] {
    const { counts, first } = this
    const found: number[] = []
    for (let at = 0; at < counts.length; at++) {
      const count = counts[at] as number
      if (count > 0) found.push(first + at, count)
    }
    return found
  }

  private add(bucket: number, times: number): void {
    const at = bucket - this.first
    if (at < 0 || at >= this.counts.length) this.makeRoom(bucket)
    const { counts } = this
    const place = bucket - this.first
    counts[place] = (counts[place] as number) + times
  }

  /** Twice as many as there were at least, so that it happens a few times and never again. */
  private makeRoom(bucket: number): void {
    const { counts, first } = this
    const start = counts.length === 0 ? bucket : Math.min(first, bucket)
    const end = Math.max(first + counts.length, bucket + 1)
    const wanted = Math.min(bucketMax + 1, Math.max(16, (end - start) * 2))
    const newFirst = Math.max(0, Math.min(start - ((wanted - (end - start)) >> 1), bucketMax + 1 - wanted))
    const grown = new Float64Array(wanted)
    if (counts.length > 0) grown.set(counts, first - newFirst)
    this.counts = grown
    this.first = newFirst
  }
}

/** What was recorded between two looks at the same histogram. */
export function bucketsBetween(older: Buckets, newer: Buckets): number[] {
  const between: number[] = []
  let at = 0
  for (let place = 0; place < newer.length; place += 2) {
    const bucket = newer[place] as number
    while (at < older.length && (older[at] as number) < bucket) at += 2
    const before = older[at] === bucket ? (older[at + 1] as number) : 0
    const count = (newer[place + 1] as number) - before
    if (count > 0) between.push(bucket, count)
  }
  return between
}

export function countOf(buckets: Buckets): number {
  let count = 0
  for (let at = 1; at < buckets.length; at += 2) count += buckets[at] as number
  return count
}

/**
 * The value that a share of all values does not exceed, in seconds, by nearest rank: the one with the number ⌈share × count⌉ when
 * all stand in order. Null if there are none.
 */
export function quantile(buckets: Buckets, share: number): number | null {
  assert(share >= 0 && share <= 1, 'a share is between 0 and 1')
  const rank = Math.max(1, Math.ceil(share * countOf(buckets)))
  let passed = 0
  for (let at = 0; at < buckets.length; at += 2) {
    passed += buckets[at + 1] as number
    if (passed >= rank) return secondsOf(buckets[at] as number)
  }
  return null
}
