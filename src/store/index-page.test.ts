// Pages of an index: what was added comes out again, in few bytes, and what is told of the rest stays true.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { entryOf } from '../testing/page-entry.ts'
import { forEachEntry, IndexPage, PageCursor, type PageEntry } from './index-page.ts'

function entriesOf(page: IndexPage): PageEntry[] {
  const entries: PageEntry[] = []
  forEachEntry(page, page.bytes as Buffer, (entry) => entries.push({ ...entry }))
  return entries
}

/** Segment ids and how many entries refer to each, runs of the same one as one. */
function runsOf(entries: readonly PageEntry[]): number[] {
  const runs: number[] = []
  for (const { segmentId } of entries) {
    if (runs.length > 0 && runs.at(-2) === segmentId) runs[runs.length - 1] = (runs.at(-1) as number) + 1
    else runs.push(segmentId, 1)
  }
  return runs
}

function sum(entries: readonly PageEntry[], value: (entry: PageEntry) => number): number {
  return entries.reduce((total, entry) => total + value(entry), 0)
}

interface Step {
  readonly gap: number
  readonly segmentId: number
  /** Null: where the record before ended. */
  readonly offset: number | null
  readonly recordBytes: number
  readonly bodyBytes: number
  readonly deliveryCount: number
  readonly isTransient: boolean
  readonly expiresAt: number
  readonly keyHash: number
}

const u32 = fc.oneof(fc.nat(300), fc.nat(70_000), fc.integer({ min: 0, max: 2 ** 32 - 1 }))

const step: fc.Arbitrary<Step> = fc.record({
  gap: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 2 ** 40 })),
  segmentId: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 3 }), u32),
  offset: fc.option(u32),
  recordBytes: fc.oneof(fc.constant(100), u32),
  bodyBytes: fc.oneof(fc.constant(64), u32),
  deliveryCount: fc.oneof(fc.constant(0), u32),
  isTransient: fc.boolean(),
  expiresAt: fc.constantFrom(0, 0, 1, 1_800_000_000_000, 2 ** 52),
  keyHash: fc.constantFrom(0, 0, 1, 4_294_967_295),
})

/** Ascending entries, often next to each other. */
const ascending = fc.array(step, { minLength: 1, maxLength: 120 }).map((steps) => {
  let sequence = 0
  let end = 0
  return steps.map(({ gap, offset, ...rest }) => {
    sequence += gap
    const entry = { ...rest, sequence, offset: offset ?? end }
    end = entry.offset + entry.recordBytes
    return entry
  })
})

describe('an index page', () => {
  test('gives back what was added, in order, and knows first, last and sums', () => {
    fc.assert(
      fc.property(ascending, (entries) => {
        const page = new IndexPage(7)
        for (const entry of entries) page.add(entry)
        expect(entriesOf(page)).toEqual(entries)
        expect([page.count, page.passed, page.queueId]).toEqual([entries.length, 0, 7])
        expect([page.firstSequence, page.lastSequence]).toEqual([entries[0]?.sequence, entries.at(-1)?.sequence])
        expect(page.bodyBytes).toBe(sum(entries, (entry) => entry.bodyBytes))
        expect(page.transientCount).toBe(sum(entries, (entry) => Number(entry.isTransient)))
        expect(page.segments).toEqual(runsOf(entries))
        expect(page.residentBytes).toBe(page.bytes?.length)
        expect(page.usedBytes).toBeLessThanOrEqual(page.residentBytes)
      }),
      { numRuns: 300 },
    )
  })

  test('tells of what is left when entries are taken from the front, also between additions', () => {
    fc.assert(
      fc.property(ascending, fc.array(fc.boolean(), { maxLength: 240 }), (entries, takes) => {
        const page = new IndexPage(7)
        const cursor = new PageCursor()
        const waiting: PageEntry[] = []
        const pending = [...entries]
        for (const isTake of [...takes, ...entries.map(() => false)]) {
          if (isTake && waiting.length > 0) {
            cursor.next(page.bytes as Buffer)
            page.pass(cursor.entry)
            expect({ ...cursor.entry }).toEqual(waiting.shift())
          } else {
            const entry = pending.shift()
            if (entry === undefined) continue
            page.add(entry)
            waiting.push(entry)
          }
          expect(page.bodyBytes).toBe(sum(waiting, (entry) => entry.bodyBytes))
          expect(page.transientCount).toBe(sum(waiting, (entry) => Number(entry.isTransient)))
          expect(page.segments.slice(page.segmentsAt)).toEqual(runsOf(waiting))
          expect(page.count - page.passed).toBe(waiting.length)
        }
        expect(cursor.passed).toBe(page.passed)
        expect(entriesOf(page)).toEqual(waiting)
      }),
      { numRuns: 200 },
    )
  })

  test('takes one byte for each entry of a steady stream, also where the log begins another segment', () => {
    const page = new IndexPage(7)
    const entry = {
      segmentId: 5,
      recordBytes: 300,
      bodyBytes: 200,
      deliveryCount: 0,
      isTransient: false,
      expiresAt: 0,
      keyHash: 0,
    }
    for (let at = 0; at < 1_000; at++) page.add({ ...entry, sequence: 2 ** 40 + at, offset: 2 ** 31 + at * 300 })
    const first = page.usedBytes - 999
    expect(first).toBeLessThan(20)
    page.add({ ...entry, sequence: 2 ** 40 + 1_000, segmentId: 7, offset: 1_024 })
    page.add({ ...entry, sequence: 2 ** 40 + 1_001, segmentId: 7, offset: 1_324 })
    expect(page.usedBytes).toBe(first + 999 + 4 + 1)
  })

  test('has the bytes that its comment draws', () => {
    const page = new IndexPage(7)
    page.add(entryOf({ sequence: 3, offset: 1_024 }))
    page.add(entryOf({ sequence: 4, offset: 1_124 }))
    page.add(
      entryOf({ sequence: 6, segmentId: 2, offset: 1_224, recordBytes: 101, deliveryCount: 300, isTransient: true }),
    )
    expect(page.bytes?.toString('hex', 0, page.usedBytes)).toBe(
      '00' + // differs from zeros in all
        '03' + // sequence
        '01' + // segment
        '8008' + // offset
        '64' + // record bytes
        '40' + // body bytes
        '0f' + // NEXT, SAME_SEGMENT, ADJACENT, SAME_SIZE
        '30' + // DELIVERED, TRANSIENT
        '02' + // distance from 4
        '02' + // segment
        'c809' + // offset: the segment is another
        '65' +
        '40' +
        'ac02', // delivery count
    )
  })

  test('is full at 8000 entries, or at 16,000 bytes, with a buffer that is not larger than it must be', () => {
    const steady = new IndexPage(7)
    let at = 0
    for (; !steady.isFull; at++) steady.add(entryOf({ sequence: at + 1, offset: 1_024 + at * 100 }))
    expect(at).toBe(8_000)
    const jumpy = new IndexPage(7)
    const far = { offset: 2 ** 40, recordBytes: 2 ** 31, deliveryCount: 2 ** 31, isTransient: true, expiresAt: 2 ** 52 }
    for (at = 0; !jumpy.isFull; at++) {
      jumpy.add(entryOf({ ...far, sequence: 2 ** 52 + at * 2, segmentId: at + 1, bodyBytes: 2 ** 31 + at }))
    }
    expect(jumpy.usedBytes).toBeGreaterThanOrEqual(16_000)
    expect(jumpy.residentBytes).toBe(16_384)
    expect(at).toBeGreaterThan(16_000 / 48)
  })

  test('begins small and doubles', () => {
    const page = new IndexPage(7)
    const sizes = new Set<number>()
    for (let at = 0; !page.isFull; at++) {
      page.add(entryOf({ sequence: at * 3 + 1, offset: at * 150, bodyBytes: at % 128 }))
      sizes.add(page.residentBytes)
    }
    expect([...sizes]).toEqual([256, 512, 1_024, 2_048, 4_096, 8_192, 16_384])
    page.bytes = null
    expect(page.residentBytes).toBe(0)
  })

  test('can be read once more with the same cursor', () => {
    const page = new IndexPage(7)
    page.add(entryOf({ sequence: 3, offset: 1_024, deliveryCount: 2, isTransient: true }))
    page.add(entryOf({ sequence: 4, offset: 1_124 }))
    const cursor = new PageCursor()
    const { entry } = cursor
    for (let round = 0; round < 2; round++) {
      cursor.next(page.bytes as Buffer)
      expect([entry.sequence, entry.offset, entry.deliveryCount, entry.isTransient]).toEqual([3, 1_024, 2, true])
      cursor.next(page.bytes as Buffer)
      expect([entry.sequence, entry.offset, entry.deliveryCount, entry.isTransient]).toEqual([4, 1_124, 0, false])
      cursor.reset()
    }
  })
})
