// The waiting entries of a queue as pages, against a plain array: with so little memory that most of them are in files.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assert } from '../lib/assert.ts'
import { Deque } from '../lib/deque.ts'
import type { Residence } from '../model/message.ts'
import { corePlatform } from '../testing/core-harness.ts'
import { SimClock } from '../testing/sim-clock.ts'
import { SimDisk } from '../testing/sim-disk.ts'
import { Backlog, type SegmentDirectory } from './backlog.ts'
import type { Entry } from './entry.ts'
import { IndexPage, type PageEntry } from './index-page.ts'
import { PageFiles } from './page-files.ts'
import { mergeRanges } from './range-list.ts'

/** A backlog over a simulated disk, and segments that count what lives in them. */
class Fixture implements SegmentDirectory {
  readonly clock = new SimClock()
  readonly disk = new SimDisk(this.clock, 1)
  readonly segments = new Map<number, Residence>()
  readonly unreadable: string[] = []
  readonly files: PageFiles
  readonly backlog: Backlog
  reads = 0

  constructor(pageBytesMax: number) {
    const options = { pageBytesMax, pageFileBytesMax: 2_000 }
    const platform = { ...corePlatform(this.clock), disk: this.disk }
    this.files = new PageFiles(platform, '/data/idx', options, (detail) => this.unreadable.push(detail))
    this.backlog = new Backlog(7, 0, this.files, this)
    this.disk.fault = ({ kind }) => {
      if (kind === 'read') this.reads++
      return null
    }
  }

  segment(id: number): Residence {
    const segment = this.segments.get(id)
    assert(segment !== undefined && segment.live > 0, 'a segment that is asked for has live entries')
    return segment
  }

  add(entry: PageEntry): void {
    const { segmentId } = entry
    const segment = this.segments.get(segmentId) ?? { id: segmentId, live: 0, references: 0 }
    segment.live++
    this.segments.set(segmentId, segment)
    this.backlog.add(entry)
  }

  /** Takes entries; what is taken lives no more. */
  take(max: number, suspectBelow = 0): PageEntry[] {
    const target = new Deque<Entry>()
    const taken = this.backlog.take(target, max, suspectBelow)
    expect(target.length).toBe(taken)
    const entries: PageEntry[] = []
    for (let entry = target.shift(); entry !== undefined; entry = target.shift()) {
      const segment = entry.segment as Residence
      expect(segment).toBe(this.segments.get(segment.id))
      expect([entry.message, entry.isReady, entry.isLoading]).toEqual([null, true, false])
      segment.live--
      const { sequence, offset, recordBytes, bodyBytes, deliveryCount, expiresAt, keyHash } = entry
      const facts = {
        sequence,
        segmentId: segment.id,
        offset,
        recordBytes,
        bodyBytes,
        deliveryCount,
        expiresAt,
        keyHash,
      }
      entries.push({ ...facts, isTransient: !entry.logged })
    }
    return entries
  }

  get live(): number {
    let live = 0
    for (const segment of this.segments.values()) live += segment.live
    return live
  }
}

async function open(pageBytesMax: number): Promise<Fixture> {
  const fixture = new Fixture(pageBytesMax)
  await fixture.clock.run(fixture.files.open())
  return fixture
}

/** Entries with ascending sequences whose kinds come from a number each. */
class Source {
  private sequence = 0
  private end = 1_024

  next(kind: number): PageEntry {
    this.sequence += kind % 5 === 0 ? 1 + (kind % 7) : 1
    const recordBytes = 60 + (kind % 3) * 700
    const entry = {
      sequence: this.sequence,
      segmentId: 1 + Math.floor(this.end / 20_000),
      offset: this.end,
      recordBytes,
      bodyBytes: recordBytes - 50 - (kind % 2),
      deliveryCount: kind % 11 === 0 ? kind % 4 : 0,
      isTransient: kind % 4 === 1,
      expiresAt: kind % 9 === 2 ? 1_800_000_000_000 + kind : 0,
      keyHash: kind % 4 === 1 ? 4_000_000_000 + kind : 0,
    }
    this.end += recordBytes + (kind % 6 === 0 ? 33 : 0)
    return entry
  }

  many(count: number): PageEntry[] {
    return Array.from({ length: count }, (_, at) => this.next(at * 7919))
  }
}

function bodies(entries: readonly PageEntry[]): number {
  return entries.reduce((total, { bodyBytes }) => total + bodyBytes, 0)
}

type Step = readonly ['add' | 'take' | 'time', number] | readonly ['clear']

const steps = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.tuple(fc.constant('add' as const), fc.integer({ min: 1, max: 120 })) },
    { weight: 4, arbitrary: fc.tuple(fc.constant('take' as const), fc.integer({ min: 1, max: 150 })) },
    { weight: 4, arbitrary: fc.tuple(fc.constant('time' as const), fc.integer({ min: 1, max: 8 })) },
    { weight: 1, arbitrary: fc.constant(['clear'] as const) },
  ),
  { maxLength: 40 },
)

async function run(fixture: Fixture, history: readonly Step[]): Promise<void> {
  const { backlog, clock, files } = fixture
  const source = new Source()
  let model: PageEntry[] = []
  for (const [what, count] of history) {
    if (what === 'add') {
      for (let left = count; left > 0; left--) {
        const entry = source.next(left * count)
        fixture.add(entry)
        model.push(entry)
      }
    } else if (what === 'take') expect(fixture.take(count)).toEqual(model.splice(0, count))
    else if (what === 'time') for (let left = count; left > 0; left--) await clock.step()
    else {
      backlog.clear()
      model = []
    }
    expect([backlog.count, backlog.bodyBytes]).toEqual([model.length, bodies(model)])
    expect(fixture.live).toBe(model.length)
  }
  await clock.runUntilIdle()
  expect(fixture.take(Number.POSITIVE_INFINITY)).toEqual(model)
  expect([backlog.count, backlog.bodyBytes, fixture.live, files.bytes]).toEqual([0, 0, 0, 0])
  expect(fixture.unreadable).toEqual([])
}

describe('a backlog', () => {
  test('gives back what was added, first come first, whatever part of it is in files', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.constantFrom(0, 300, 1_500, 1_000_000), async (history, pageBytesMax) => {
        await run(await open(pageBytesMax), history)
      }),
      { numRuns: 150 },
    )
  })

  test('keeps no more in memory than it may, and no file that is full and read', async () => {
    const fixture = await open(1_000)
    const { backlog, clock, disk, files } = fixture
    const entries = new Source().many(5_000)
    for (const [at, entry] of entries.entries()) {
      fixture.add(entry)
      if (at % 50 === 0) await clock.step()
    }
    await clock.runUntilIdle()
    expect(files.bytes).toBeLessThanOrEqual(1_000)
    expect(disk.paths().length).toBeGreaterThan(5)
    for (let at = 0; at < 5_000; at += 64) {
      expect(fixture.take(64)).toEqual(entries.slice(at, at + 64))
      await clock.runUntilIdle()
    }
    expect(backlog.count).toBe(0)
    expect(disk.paths().length).toBeLessThanOrEqual(1)
  })

  test('reads a page ahead when the one before is half taken', async () => {
    const fixture = await open(60_000)
    const source = new Source()
    // Until most of it was written, so that there is room for what is read.
    for (let at = 0; at < 15_000 || fixture.files.bytes > 20_000; at++) {
      fixture.add(source.next(at))
      if (at % 500 === 0) await fixture.clock.runUntilIdle()
    }
    const pages: IndexPage[] = []
    fixture.backlog.forEachPage((page) => pages.push(page))
    const [first, second] = pages as [IndexPage, IndexPage]
    expect([first.bytes, second.bytes]).toEqual([null, null])
    fixture.take(Math.floor(first.count / 2))
    await fixture.clock.runUntilIdle()
    expect(second.bytes).toBeNull()
    fixture.take(1)
    expect([second.isMoving, second.bytes]).toEqual([true, null])
    await fixture.clock.runUntilIdle()
    expect(second.isMoving).toBe(false)
    expect(second.bytes).not.toBeNull()
  })

  test('that is cleared lets go of every segment without reading a page', async () => {
    const fixture = await open(1_000)
    const { backlog, clock } = fixture
    for (const [at, entry] of new Source().many(3_000).entries()) {
      fixture.add(entry)
      if (at % 50 === 0) await clock.runUntilIdle()
    }
    fixture.take(100)
    expect(fixture.segments.size).toBeGreaterThan(10)
    expect(fixture.live).toBe(2_900)
    const { reads } = fixture
    backlog.clear()
    expect([...fixture.segments.values()].filter(({ live }) => live !== 0)).toEqual([])
    expect([backlog.count, backlog.bodyBytes, fixture.files.bytes]).toEqual([0, 0, 0])
    await clock.runUntilIdle()
    expect(fixture.reads).toBe(reads)
    expect(fixture.disk.paths().length).toBeLessThanOrEqual(1)
    const next = new Source().next(1)
    fixture.add(next)
    expect(fixture.take(2)).toEqual([next])
  })

  test('that is discarded leaves the counts of segments alone, and counts what lives when it is told to', async () => {
    const fixture = await open(1_000)
    const { backlog, segments } = fixture
    const fill = (): void => {
      for (const entry of new Source().many(400)) fixture.add(entry)
    }
    fill()
    await fixture.clock.runUntilIdle()
    backlog.discard()
    expect([backlog.count, backlog.bodyBytes, fixture.live]).toEqual([0, 0, 400])
    segments.clear()
    fill()
    fixture.take(70)
    const expected = [...segments.values()].map(({ id, live }) => [id, live])
    // The segment must be found although it counts nothing yet.
    for (const segment of segments.values()) segment.live = 1
    backlog.countLive()
    expect([...segments.values()].map(({ id, live }) => [id, live - 1])).toEqual(expected)
  })

  test('says of what an earlier life may have handed out that it was, unless it knows better', async () => {
    const fixture = await open(100_000)
    const plain = {
      segmentId: 1,
      offset: 1_024,
      recordBytes: 100,
      bodyBytes: 64,
      isTransient: false,
      expiresAt: 0,
      keyHash: 0,
    }
    for (const [at, deliveryCount] of [0, 3, 0, 0].entries()) {
      fixture.add({ ...plain, sequence: at + 1, deliveryCount })
    }
    expect(fixture.take(4, 4).map(({ deliveryCount }) => deliveryCount)).toEqual([1, 3, 1, 0])
  })

  test('takes whole pages behind what it has, also such as were taken from', async () => {
    const fixture = await open(100_000)
    const { backlog, files, segments } = fixture
    const entries = new Source().many(20)
    for (const entry of entries.slice(0, 5)) fixture.add(entry)
    const page = new IndexPage(7)
    for (const entry of entries.slice(5, 15)) page.add(entry)
    for (const entry of entries.slice(5, 8)) page.pass(entry)
    page.isClosed = true
    files.arrived(page)
    backlog.addPage(page)
    const first = segments.get(1) as Residence
    first.live += 7
    for (const entry of entries.slice(15)) fixture.add(entry)
    const left = [...entries.slice(0, 5), ...entries.slice(8)]
    expect([backlog.count, backlog.bodyBytes]).toEqual([17, bodies(left)])
    expect([fixture.take(6), fixture.take(100)].flat()).toEqual(left)
    expect(first.live).toBe(0)
  })

  test('gives what it has up to a page that cannot be read', async () => {
    const fixture = await open(1_000)
    const { backlog, clock, disk } = fixture
    const entries = new Source().many(500)
    for (const [at, entry] of entries.entries()) {
      fixture.add(entry)
      if (at % 50 === 0) await clock.runUntilIdle()
    }
    const pages: IndexPage[] = []
    backlog.forEachPage((page) => pages.push(page))
    const [first, second] = pages as [IndexPage, IndexPage]
    expect(second.bytes).toBeNull()
    const file = `/data/idx/${String(second.place?.file).padStart(10, '0')}.idx`
    disk.flipBit(file, (second.place?.position as number) + 40, 0)
    expect(fixture.take(1_000)).toEqual(entries.slice(0, first.count))
    expect(fixture.take(1_000)).toEqual([])
    expect(fixture.unreadable).toHaveLength(2)
    expect(backlog.count).toBe(500 - first.count)
  })

  test('is sifted: what is gone, or does not survive, is left out, what was seen counts as handed out', async () => {
    const ranges = fc
      .array(fc.tuple(fc.integer({ min: 1, max: 700 }), fc.oneof(fc.nat(5), fc.nat(300))), { maxLength: 8 })
      .map((pairs) => mergeRanges(pairs.flatMap(([start, more]) => [start, start + more])))
    const sizes = fc.array(fc.integer({ min: 1, max: 100 }), { maxLength: 10 })
    await fc.assert(
      fc.asyncProperty(
        sizes,
        ranges,
        ranges,
        fc.boolean(),
        fc.boolean(),
        async (counts, gone, seen, isSpilt, isOpening) => {
          const fixture = await open(isSpilt ? 300 : 100_000)
          const { backlog, clock, files } = fixture
          const source = new Source()
          const entries: PageEntry[] = []
          for (const count of counts) {
            for (let left = count; left > 0; left--) {
              const entry = source.next(left * count)
              entries.push(entry)
              fixture.add(entry)
            }
            await clock.runUntilIdle()
          }
          const has = (list: readonly number[], sequence: number): boolean =>
            list.some((start, at) => at % 2 === 0 && start <= sequence && sequence <= (list[at + 1] as number))
          const expected = entries
            .filter(({ sequence, isTransient }) => !has(gone, sequence) && !(isTransient && isOpening))
            .map((entry) =>
              has(seen, entry.sequence) && entry.deliveryCount === 0 ? { ...entry, deliveryCount: 1 } : entry,
            )
          backlog.sift(gone, seen, isOpening)
          expect([backlog.count, backlog.bodyBytes]).toEqual([expected.length, bodies(expected)])
          for (const segment of fixture.segments.values()) segment.live = 1
          backlog.countLive()
          for (const segment of fixture.segments.values()) segment.live--
          expect(fixture.live).toBe(expected.length)
          await clock.runUntilIdle()
          const next = source.next(1)
          fixture.add(next)
          expect(fixture.take(1_000)).toEqual([...expected, next])
          expect(files.bytes).toBe(0)
          expect(fixture.unreadable).toEqual([])
        },
      ),
      { numRuns: 150 },
    )
  })

  test('reads no page in sifting that is gone as a whole or stays as it is', async () => {
    const fixture = await open(1_000)
    const { backlog, clock } = fixture
    const entries = new Source().many(2_000)
    for (const [at, entry] of entries.entries()) {
      fixture.add({ ...entry, isTransient: false, expiresAt: 0, keyHash: 0 })
      if (at % 50 === 0) await clock.runUntilIdle()
    }
    const pages: IndexPage[] = []
    backlog.forEachPage((page) => pages.push(page))
    const [first, second, third] = pages as [IndexPage, IndexPage, IndexPage]
    const { reads } = fixture
    backlog.sift([1, second.lastSequence], [third.firstSequence + 1, third.firstSequence + 1], true)
    expect(fixture.reads - reads).toBeLessThanOrEqual(1)
    expect(backlog.count).toBe(2_000 - first.count - second.count)
    expect([first.isDead, second.isDead, third.isDead, pages[3]?.isDead]).toEqual([true, true, true, false])
  })
})
