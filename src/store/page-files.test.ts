// Pages beyond the budget go to files and come back; what the disk does wrong loses none and is told.
import { describe, expect, test } from 'vitest'
import { crc32 } from '../lib/crc32.ts'
import { corePlatform } from '../testing/core-harness.ts'
import { entryOf } from '../testing/page-entry.ts'
import { SimClock } from '../testing/sim-clock.ts'
import { SimDisk } from '../testing/sim-disk.ts'
import type { SimFault, SimOperation } from '../testing/sim-operation.ts'
import { IndexPage } from './index-page.ts'
import { Leftovers } from './leftovers.ts'
import { PageFiles, type PageFilesOptions, pageFileName, pageHeaderBytes } from './page-files.ts'

const directory = '/data/idx'
const firstFile = `${directory}/${pageFileName(1)}`

class Fixture {
  readonly clock = new SimClock()
  readonly disk = new SimDisk(this.clock, 1)
  readonly unreadable: string[] = []
  readonly files: PageFiles
  private nextSequence = 1

  constructor(options: Partial<PageFilesOptions> = {}) {
    const platform = { ...corePlatform(this.clock), disk: this.disk }
    const all = { pageBytesMax: 4_096, pageFileBytesMax: 1_048_576, ...options }
    this.files = new PageFiles(platform, directory, all, (detail) => this.unreadable.push(detail))
  }

  /** A page of 1 KiB that came into memory. */
  page(): IndexPage {
    const page = new IndexPage(7)
    for (let at = 0; at < 160; at++) {
      const sequence = this.nextSequence++
      page.add(entryOf({ sequence, offset: 1_024 + sequence * 128 }))
    }
    expect(page.residentBytes).toBe(1_024)
    this.files.arrived(page)
    return page
  }

  pages(count: number): IndexPage[] {
    return Array.from({ length: count }, () => this.page())
  }

  /** What went wrong with operations of that kind from now on; none if `fault` is null. */
  failing(kind: SimOperation['kind'], fault: SimFault | null): void {
    this.disk.fault = fault === null ? null : (operation) => (operation.kind === kind ? fault : null)
  }

  counting(): Map<string, number> {
    const counts = new Map<string, number>()
    this.disk.fault = ({ kind }) => {
      counts.set(kind, (counts.get(kind) ?? 0) + 1)
      return null
    }
    return counts
  }
}

async function open(options: Partial<PageFilesOptions> = {}): Promise<Fixture> {
  const fixture = new Fixture(options)
  await fixture.clock.run(fixture.files.open())
  return fixture
}

function contentOf(page: IndexPage): Buffer {
  return Buffer.from((page.bytes as Buffer).subarray(0, page.usedBytes))
}

const isResident = (page: IndexPage): boolean => page.bytes !== null

describe('page files', () => {
  test('keep pages in memory as long as there is room', async () => {
    const fixture = await open()
    const pages = fixture.pages(4)
    await fixture.clock.runUntilIdle()
    expect(pages.every(isResident)).toBe(true)
    expect(fixture.files.bytes).toBe(4_096)
    expect(fixture.disk.paths()).toEqual([])
  })

  test('take the pages that came first when there is no more room, with one write, and give them back', async () => {
    const fixture = await open()
    const { files, clock, disk } = fixture
    const counts = fixture.counting()
    const pages = fixture.pages(9)
    const contents = pages.map(contentOf)
    await clock.runUntilIdle()
    expect(counts.get('write')).toBe(1)
    expect(disk.paths()).toEqual([firstFile])
    expect(files.bytes).toBeLessThanOrEqual(4_096)
    expect(pages.slice(0, 5).some(isResident)).toBe(false)
    expect(pages.map((page) => files.need(page)?.subarray(0, page.usedBytes))).toEqual(contents)
    expect(fixture.unreadable).toEqual([])
  })

  test('write each page once: what is in its file already goes at once', async () => {
    const fixture = await open()
    const { files, clock, disk } = fixture
    const pages = fixture.pages(6)
    await clock.runUntilIdle()
    const counts = fixture.counting()
    const size = disk.contents(firstFile).length
    for (let round = 0; round < 5; round++) {
      for (const page of pages) expect(files.need(page)).not.toBeNull()
      await clock.runUntilIdle()
    }
    expect(disk.contents(firstFile).length - size).toBeLessThan(4_096)
    expect(counts.get('write') ?? 0).toBeLessThanOrEqual(1)
    expect(files.bytes).toBeLessThanOrEqual(4_096)
  })

  test('give a page that was used lately another turn', async () => {
    const fixture = await open()
    const used = fixture.page()
    used.isTouched = true
    const others = fixture.pages(4)
    await fixture.clock.runUntilIdle()
    expect(isResident(used)).toBe(true)
    expect(used.isTouched).toBe(false)
    expect(others.some(isResident)).toBe(false)
    const more = fixture.pages(5)
    await fixture.clock.runUntilIdle()
    expect(isResident(used)).toBe(false)
    expect(more.length).toBe(5)
  })

  test('keep a page that was used while it was being written', async () => {
    const fixture = await open()
    const pages = fixture.pages(5)
    expect(pages[0]?.isMoving).toBe(true)
    ;(pages[0] as IndexPage).isTouched = true
    await fixture.clock.runUntilIdle()
    expect(pages.map(isResident)).toEqual([true, false, false, false, false])
    expect(pages[0]?.place).not.toBeNull()
  })

  test('add nothing more to a page once it is being written', async () => {
    const fixture = await open()
    const pages = fixture.pages(4)
    expect(pages.some((page) => page.isClosed)).toBe(false)
    fixture.page()
    expect(pages.every((page) => page.isClosed)).toBe(true)
  })

  test('count the memory of a page that grows', async () => {
    const fixture = await open()
    const page = fixture.page()
    fixture.files.resized(1_024)
    expect(fixture.files.bytes).toBe(2_048)
    fixture.files.resized(-1_024)
    fixture.files.discard(page)
    expect(fixture.files.bytes).toBe(0)
  })

  test('have the bytes that their comment draws', async () => {
    const fixture = await open({ pageBytesMax: 1_024 })
    const pages = fixture.pages(2)
    const contents = pages.map(contentOf)
    await fixture.clock.runUntilIdle()
    const file = fixture.disk.contents(firstFile)
    let at = 0
    for (const [which, content] of contents.entries()) {
      const { crc, firstSequence, count, place } = pages[which] as IndexPage
      expect(place).toEqual({ file: 1, position: at })
      expect(file.toString('latin1', at, at + 4)).toBe('LVI1')
      expect(file.readUInt32LE(at + 4)).toBe(7)
      expect(file.readUInt32LE(at + 8)).toBe(content.length)
      expect(file.readUInt32LE(at + 12)).toBe(crc)
      expect(crc).toBe(crc32(content, 0, content.length, 0))
      expect(file.readDoubleLE(at + 16)).toBe(firstSequence)
      expect(file.readUInt32LE(at + 24)).toBe(count)
      expect(file.readUInt32LE(at + 28)).toBe(0)
      expect(file.subarray(at + pageHeaderBytes, at + pageHeaderBytes + content.length)).toEqual(content)
      at += pageHeaderBytes + content.length
    }
    expect(file.length).toBe(at)
  })

  test('read a page before it is needed, once, without holding anything up', async () => {
    const fixture = await open()
    const { files, clock } = fixture
    const page = fixture.page()
    const content = contentOf(page)
    const others = fixture.pages(4)
    await clock.runUntilIdle()
    for (const other of others) files.discard(other)
    expect(isResident(page)).toBe(false)
    const counts = fixture.counting()
    files.prefetch(page)
    files.prefetch(page)
    expect(isResident(page)).toBe(false)
    await clock.runUntilIdle()
    files.prefetch(page)
    expect(files.need(page)).toEqual(content)
    expect(counts.get('read')).toBe(1)
    expect(files.bytes).toBe(page.residentBytes)
  })

  test('count a page once that is needed while it is being read ahead', async () => {
    const fixture = await open()
    const { files, clock } = fixture
    const page = fixture.page()
    const content = contentOf(page)
    const others = fixture.pages(4)
    await clock.runUntilIdle()
    for (const other of others) files.discard(other)
    files.prefetch(page)
    expect(files.need(page)).toEqual(content)
    await clock.runUntilIdle()
    expect(files.bytes).toBe(page.residentBytes)
    files.prefetch(page)
    files.discard(page)
    await clock.runUntilIdle()
    expect([files.bytes, page.bytes]).toEqual([0, null])
  })

  test('forget a page that is discarded while it is being read ahead', async () => {
    const fixture = await open()
    const { files, clock } = fixture
    const pages = fixture.pages(5)
    await clock.runUntilIdle()
    for (const page of pages) files.prefetch(page)
    for (const page of pages) files.discard(page)
    await clock.runUntilIdle()
    expect(files.bytes).toBe(0)
    expect(fixture.unreadable).toEqual([])
  })

  test('keep pages in memory while the disk takes none, and try again a second later, in another file', async () => {
    const fixture = await open()
    const { files, clock, disk } = fixture
    fixture.failing('write', { code: 'ENOSPC', bytesWritten: 100 })
    const pages = fixture.pages(6)
    const contents = pages.map(contentOf)
    await clock.runUntilIdle()
    expect(pages.every(isResident)).toBe(true)
    expect(pages.some((page) => page.isMoving || page.place !== null)).toBe(false)
    expect(files.bytes).toBe(6 * 1_024)
    fixture.failing('write', null)
    pages.push(fixture.page())
    contents.push(contentOf(pages.at(-1) as IndexPage))
    await clock.runUntilIdle()
    expect(pages.every(isResident)).toBe(true)
    await clock.advance(1_000)
    pages.push(fixture.page())
    contents.push(contentOf(pages.at(-1) as IndexPage))
    await clock.runUntilIdle()
    expect(files.bytes).toBeLessThanOrEqual(4_096)
    expect(pages[0]?.place?.file).toBe(2)
    expect(disk.paths()).toContain(`${directory}/${pageFileName(2)}`)
    expect(pages.map((page) => files.need(page)?.subarray(0, page.usedBytes))).toEqual(contents)
    expect(fixture.unreadable).toEqual([])
  })

  test('keep pages in memory while no file can be made', async () => {
    const fixture = await open()
    fixture.failing('create', { code: 'EMFILE' })
    const pages = fixture.pages(6)
    await fixture.clock.runUntilIdle()
    expect(pages.every(isResident)).toBe(true)
    fixture.failing('create', null)
    await fixture.clock.advance(1_000)
    fixture.page()
    await fixture.clock.runUntilIdle()
    expect(pages.some(isResident)).toBe(false)
  })

  test('leave no file behind for each write that failed', async () => {
    const fixture = await open()
    fixture.failing('write', { code: 'ENOSPC' })
    const pages = fixture.pages(5)
    for (let second = 0; second < 10; second++) {
      pages.push(fixture.page())
      await fixture.clock.advance(1_000)
    }
    fixture.failing('write', null)
    pages.push(fixture.page())
    await fixture.clock.runUntilIdle()
    expect(pages.some(isResident)).toBe(false)
    expect(fixture.disk.paths()).toHaveLength(1)
  })

  test('say so when a bit of a page has turned over, whether it is needed or read ahead', async () => {
    const fixture = await open()
    const { files, clock, disk } = fixture
    const [first, second, third] = fixture.pages(6) as [IndexPage, IndexPage, IndexPage]
    await clock.runUntilIdle()
    for (const page of [first, second]) disk.flipBit(firstFile, (page.place?.position ?? 0) + pageHeaderBytes + 50, 3)
    expect(files.need(first)).toBeNull()
    expect(fixture.unreadable).toEqual([`${firstFile}: the page at 0 does not match its checksum`])
    files.prefetch(second)
    await clock.runUntilIdle()
    expect(isResident(second)).toBe(false)
    expect(files.need(second)).toBeNull()
    expect(fixture.unreadable.at(-1)).toContain(`the page at ${second.place?.position} does not match`)
    expect(files.need(third)).not.toBeNull()
  })

  test('say so when a page cannot be read, or its file ends before it', async () => {
    const fixture = await open()
    const { files, clock, disk } = fixture
    const [page] = fixture.pages(5) as [IndexPage]
    await clock.runUntilIdle()
    fixture.failing('read', { code: 'EIO' })
    files.prefetch(page)
    await clock.runUntilIdle()
    expect(fixture.unreadable).toEqual([])
    expect(files.need(page)).toBeNull()
    expect(fixture.unreadable).toHaveLength(1)
    expect(fixture.unreadable[0]).toContain(`${firstFile}: Error: EIO`)
    disk.fault = null
    const file = await clock.run(disk.open(firstFile, 'write'))
    await clock.run(file.truncate(100))
    expect(files.need(page)).toBeNull()
    expect(fixture.unreadable).toHaveLength(2)
  })

  test('remove a file when it is full and no page in it lives, not before', async () => {
    const fixture = await open({ pageFileBytesMax: 1_000 })
    const { files, clock, disk } = fixture
    const pages = fixture.pages(5)
    await clock.runUntilIdle()
    fixture.pages(5)
    await clock.runUntilIdle()
    const inFirst = pages.filter((page) => page.place?.file === 1)
    expect(inFirst.length).toBeGreaterThan(1)
    const last = inFirst.pop() as IndexPage
    for (const page of inFirst) files.discard(page)
    await clock.runUntilIdle()
    expect(disk.paths()).toContain(firstFile)
    expect(files.need(last)).not.toBeNull()
    files.discard(last)
    await clock.runUntilIdle()
    expect(disk.paths()).not.toContain(firstFile)
    expect(disk.paths().length).toBeGreaterThan(0)
  })

  test('keep the file that is being filled although nothing in it lives any more', async () => {
    const fixture = await open()
    const { files, clock, disk } = fixture
    for (const page of fixture.pages(5)) {
      await clock.runUntilIdle()
      files.discard(page)
    }
    expect(disk.paths()).toEqual([firstFile])
    fixture.pages(5)
    await clock.runUntilIdle()
    expect(disk.paths()).toEqual([firstFile])
  })

  test('remove the file at once if all its pages were discarded while they were being written', async () => {
    const fixture = await open({ pageFileBytesMax: 1_000 })
    const { files, clock, disk } = fixture
    const counts = fixture.counting()
    const pages = fixture.pages(5)
    while (counts.get('write') === undefined) await clock.step()
    for (const page of pages) files.discard(page)
    await clock.runUntilIdle()
    expect(files.bytes).toBe(0)
    expect(disk.paths()).toEqual([])
  })

  test('write the others if a page is discarded in the same turn in which it was chosen', async () => {
    const fixture = await open()
    const { files, clock } = fixture
    const pages = fixture.pages(5)
    expect(pages[1]?.isMoving).toBe(true)
    files.discard(pages[1] as IndexPage)
    const contents = pages.map((page) => (page.isDead ? null : contentOf(page)))
    pages.push(...fixture.pages(4))
    await clock.runUntilIdle()
    const [first, , third] = pages as [IndexPage, IndexPage, IndexPage]
    expect([first, third].some(isResident)).toBe(false)
    for (const page of [first, third]) expect(files.need(page)).toEqual(contents[pages.indexOf(page)])
    expect(fixture.unreadable).toEqual([])
  })

  test('remember no page that nobody needs any more', async () => {
    const fixture = await open()
    const { files } = fixture
    for (let round = 0; round < 1_000; round++) files.discard(fixture.page())
    const { resident } = files as unknown as { resident: { length: number } }
    expect(resident.length).toBeLessThan(100)
  })

  test('remove what earlier openings left, when they are told to, and number new files above it', async () => {
    const fixture = new Fixture()
    const { files, clock, disk } = fixture
    for (const id of [3, 8]) disk.setContents(`${directory}/${pageFileName(id)}`, Buffer.from('old'))
    await clock.run(files.open())
    const pages = fixture.pages(5)
    await clock.runUntilIdle()
    expect(pages[0]?.place?.file).toBe(9)
    expect(disk.paths()).toHaveLength(3)
    await clock.run(files.removeLeftovers(new Leftovers(disk, null, '')))
    expect(disk.paths()).toEqual([`${directory}/${pageFileName(9)}`])
    expect(files.need(pages[0] as IndexPage)).not.toBeNull()
  })

  test('end the write under way when they are closed, and begin no other', async () => {
    const fixture = await open()
    const { files, clock, disk } = fixture
    const pages = fixture.pages(5)
    await clock.run(files.close())
    expect(pages.some(isResident)).toBe(false)
    expect(disk.contents(firstFile).length).toBeGreaterThan(5 * pageHeaderBytes)
    const more = fixture.pages(6)
    await clock.runUntilIdle()
    expect(more.every(isResident)).toBe(true)
  })

  test('are durable after a sync, also what was written while the one before was under way', async () => {
    for (const moment of ['sync', 'syncDirectory']) {
      for (const pageFileBytesMax of [5_000, 1_048_576]) {
        const fixture = await open({ pageFileBytesMax })
        const { files, clock, disk } = fixture
        fixture.pages(5)
        await clock.runUntilIdle()
        let isOver = false
        disk.fault = ({ kind }) => {
          if (kind === moment && !isOver) {
            isOver = true
            fixture.pages(10)
          }
          return null
        }
        for (let round = 0; round < 2; round++) {
          await clock.run(files.sync())
          await clock.runUntilIdle()
        }
        expect(isOver).toBe(true)
        for (const path of disk.paths()) {
          expect(disk.durableContents(path).length, `${path} with a ${moment}`).toBe(disk.contents(path).length)
        }
      }
    }
  })

  test('can be told to keep pages for a checkpoint: as they were when it looked, whatever becomes of them', async () => {
    const fixture = await open({ pageFileBytesMax: 1_000 })
    const { files, clock, disk } = fixture
    const pages = fixture.pages(3)
    const contents = pages.map(contentOf)
    for (const page of pages) page.isClosed = true
    const frozen = pages.map((page) => page.freeze(false))
    files.hold()
    const stored = files.store(pages, frozen)
    files.discard(pages[1] as IndexPage)
    await clock.run(stored)
    expect(pages.map(isResident)).toEqual([true, false, true])
    for (const [at, { place, crc, usedBytes }] of frozen.entries()) {
      expect([place, crc]).toEqual([pages[at]?.place, pages[at]?.crc])
      const start = (place?.position ?? 0) + pageHeaderBytes
      expect(disk.contents(firstFile).subarray(start, start + usedBytes)).toEqual(contents[at])
    }
    for (const at of [0, 2]) files.discard(pages[at] as IndexPage)
    files.name([1])
    files.release()
    await clock.runUntilIdle()
    expect(disk.paths()).toEqual([firstFile])
    files.unname([1])
    await clock.runUntilIdle()
    expect(disk.paths()).toEqual([])
  })

  test('leave a page that is being filled to the checkpoint itself, which has it as it was', async () => {
    const fixture = await open()
    const page = fixture.page()
    const content = contentOf(page)
    const frozen = page.freeze(true)
    page.add(entryOf({ sequence: 1_000_000, segmentId: 9, offset: 1_024 }))
    await fixture.clock.run(fixture.files.store([page], [frozen]))
    expect([page.place, frozen.place, fixture.disk.paths()]).toEqual([null, null, []])
    expect([contentOf(frozen), frozen.count]).toEqual([content, 160])
  })

  test('of an earlier opening are read if a checkpoint names them, and stay as long as it or a page needs them', async () => {
    const earlier = await open({ pageFileBytesMax: 1_000 })
    const page = earlier.page()
    const content = contentOf(page)
    page.isClosed = true
    await earlier.clock.run(earlier.files.store([page], [page]))
    const frozen = page.freeze(false)
    frozen.bytes = null
    const fixture = new Fixture()
    const { files, clock, disk } = fixture
    disk.restore(earlier.disk.snapshot())
    disk.setContents(`${directory}/${pageFileName(4)}`, Buffer.from('left over'))
    await clock.run(files.open())
    expect([files.has(1), files.has(2)]).toEqual([true, false])
    await clock.run(files.adopt([1]))
    files.name([1])
    files.recovered(frozen)
    await clock.run(files.removeLeftovers(new Leftovers(disk, null, '')))
    expect(disk.paths()).toEqual([firstFile])
    expect(files.need(frozen)).toEqual(content)
    files.unname([1])
    await clock.runUntilIdle()
    expect(disk.paths()).toEqual([firstFile])
    files.discard(frozen)
    await clock.runUntilIdle()
    expect([disk.paths(), fixture.unreadable]).toEqual([[], []])
  })
})
