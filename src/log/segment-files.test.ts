// Files of segments open for reading: few of them, and none is closed under a read.
import { describe, expect, test } from 'vitest'
import { SimClock } from '../testing/sim-clock.ts'
import { SimDisk } from '../testing/sim-disk.ts'
import { Segment } from './segment.ts'
import { SegmentFiles } from './segment-files.ts'

const filesMax = 32

function makeSegment(id: number): Segment {
  return new Segment('/log', {
    major: 1,
    minor: 0,
    flags: 0,
    id,
    previousId: 0,
    epoch: 1,
    firstLsn: 1,
    salt: Buffer.alloc(8),
    previousBytes: 0,
    previousCrc: 0,
    keyId: 0,
    checksum: 1,
  })
}

/** Segments that contain their own path, and a count of the files open. */
class Fixture {
  readonly clock = new SimClock()
  readonly disk = new SimDisk(this.clock, 1)
  readonly files = new SegmentFiles(this.disk)
  readonly segments: Segment[]
  opened: string[] = []
  open = 0
  private readonly buffer = Buffer.alloc(64)

  constructor(count: number) {
    this.segments = Array.from({ length: count }, (_, at) => makeSegment(at + 1))
    for (const { path } of this.segments) this.disk.setContents(path, Buffer.from(path))
    this.disk.fault = ({ kind, path }) => {
      if (kind === 'open') {
        this.open++
        this.opened.push(path)
      }
      if (kind === 'close') this.open--
      return null
    }
  }

  segment(at: number): Segment {
    return this.segments[at] as Segment
  }

  async start(segment: Segment): Promise<string> {
    const buffer = Buffer.alloc(64)
    const read = await this.files.read(segment, buffer, 0, 64, 0)
    return buffer.toString('latin1', 0, read)
  }

  async read(segment: Segment): Promise<string> {
    const read = await this.clock.run(this.files.read(segment, this.buffer, 0, 64, 0))
    return this.buffer.toString('latin1', 0, read)
  }
}

describe('the files of segments', () => {
  test('are opened once, however often they are read, also at the same time', async () => {
    const fixture = new Fixture(1)
    const segment = fixture.segment(0)
    const both = Promise.all([fixture.start(segment), fixture.start(segment)])
    expect(await fixture.clock.run(both)).toEqual([segment.path, segment.path])
    expect(await fixture.read(segment)).toBe(segment.path)
    expect(fixture.opened).toEqual([segment.path])
  })

  test('give the bytes asked for, fewer at the end of the file', async () => {
    const { clock, files, segments } = new Fixture(1)
    const buffer = Buffer.alloc(8)
    expect(await clock.run(files.read(segments[0] as Segment, buffer, 2, 6, 1))).toBe(4)
    expect(buffer.toString('latin1')).toBe('\0\0log/\0\0')
    expect(await clock.run(files.read(segments[0] as Segment, buffer, 0, 8, 16))).toBe(3)
  })

  test('are no more than 32 at a time: the one used longest ago is closed', async () => {
    const fixture = new Fixture(100)
    for (let at = 0; at < 100; at++) {
      const segment = fixture.segment(at)
      expect(await fixture.read(segment)).toBe(segment.path)
      await fixture.read(fixture.segment(0))
      expect(fixture.open).toBeLessThanOrEqual(filesMax)
    }
    expect(fixture.open).toBe(filesMax)
    expect(fixture.opened).toHaveLength(100)
  })

  test('are opened again after they were closed', async () => {
    const fixture = new Fixture(filesMax + 1)
    for (const segment of fixture.segments) await fixture.read(segment)
    expect(await fixture.read(fixture.segment(0))).toBe(fixture.segment(0).path)
    expect(fixture.opened.filter((path) => path === fixture.segment(0).path)).toHaveLength(2)
    expect(fixture.open).toBe(filesMax)
  })

  test('are not closed under a read, and come down to 32 when reads of more of them have ended', async () => {
    const fixture = new Fixture(3 * filesMax)
    const reads = Promise.all(fixture.segments.map((segment) => fixture.start(segment)))
    expect(await fixture.clock.run(reads)).toEqual(fixture.segments.map(({ path }) => path))
    await fixture.clock.runUntilIdle()
    expect(fixture.open).toBe(filesMax)
  })

  test('that are forgotten while they are read, are read to the end and closed then', async () => {
    const fixture = new Fixture(1)
    const segment = fixture.segment(0)
    const read = fixture.start(segment)
    fixture.files.forget(segment)
    const again = fixture.start(segment)
    expect(await fixture.clock.run(Promise.all([read, again]))).toEqual([segment.path, segment.path])
    await fixture.clock.runUntilIdle()
    expect(fixture.opened).toHaveLength(2)
    expect(fixture.open).toBe(1)
    fixture.files.forget(segment)
    fixture.files.forget(segment)
    await fixture.clock.runUntilIdle()
    expect(fixture.open).toBe(0)
  })

  test('that cannot be opened or read, are opened anew next time', async () => {
    const fixture = new Fixture(1)
    const segment = fixture.segment(0)
    const { fault } = fixture.disk
    await fixture.read(segment)
    fixture.disk.fault = ({ kind }) => (kind === 'read' ? { code: 'EIO' } : null)
    await expect(fixture.read(segment)).rejects.toThrow('EIO')
    fixture.disk.fault = ({ kind }) => (kind === 'open' ? { code: 'EMFILE' } : null)
    await expect(fixture.read(segment)).rejects.toThrow('EMFILE')
    fixture.disk.fault = fault
    expect(await fixture.read(segment)).toBe(segment.path)
    expect(fixture.opened).toHaveLength(2)
    await expect(fixture.read(makeSegment(9))).rejects.toThrow('ENOENT')
  })

  test('are all closed at the end, those being read when that is done', async () => {
    const fixture = new Fixture(3)
    await fixture.read(fixture.segment(0))
    const read = fixture.start(fixture.segment(1))
    await fixture.clock.run(fixture.files.close())
    expect(await fixture.clock.run(read)).toBe(fixture.segment(1).path)
    await fixture.clock.runUntilIdle()
    expect(fixture.open).toBe(0)
  })
})
