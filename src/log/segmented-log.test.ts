// What the log promises while nothing crashes: order, batching, rolls, retirement, failures of the disk.
import { describe, expect, test } from 'vitest'
import { SimLog, simLogDirectory } from '../testing/sim-log.ts'

const logDirectory = `${simLogDirectory}/log`

function segmentFiles(sim: SimLog): string[] {
  return sim.disk
    .paths()
    .filter((path) => path.startsWith(logDirectory))
    .map((path) => path.slice(logDirectory.length + 1))
}

/** Another machine that finds these files. */
function copyOf(snapshot: ReadonlyMap<string, Buffer>): SimLog {
  const copy = new SimLog(98)
  copy.disk.restore(snapshot)
  copy.checks = false
  return copy
}

describe('SegmentedLog', () => {
  test('gives back after closing what was appended, in order, with its address', async () => {
    const sim = new SimLog(1)
    await sim.opened()
    expect(sim.records).toEqual([])
    const addresses = [sim.append('h one'), sim.append('header two'), sim.append('h ')]
    await sim.commit()
    addresses.push(sim.append('h three'))
    await sim.close()
    const log = await sim.opened()
    expect(sim.records.map((record) => record.text)).toEqual(['h one', 'header two', 'h ', 'h three'])
    expect(sim.records.map(({ segmentId, offset }) => ({ segmentId, offset }))).toEqual(addresses)
    expect(log.recovery).toMatchObject({ reappendedFrames: 0, tornBytes: 0, quarantined: [], damages: [], notes: [] })
    // Two batches and the SYNCED frame that is known to be durable.
    expect(sim.frames).toHaveLength(3)
  })

  test('one batch is in flight, the next one gathers meanwhile, and durable() follows the sync', async () => {
    const sim = new SimLog(2)
    const log = await sim.opened()
    const first = log.openLsn
    sim.append('a 1')
    log.commit()
    expect(log.busy).toBe(true)
    sim.append('a 2')
    sim.append('a 3')
    log.commit()
    expect(log.openLsn).toBe(first + 1)
    expect(log.openRecords).toBe(2)
    expect(log.unsyncedBytes).toBeGreaterThan(0)
    expect(log.durableLsn).toBe(first - 1)
    await sim.clock.advance(100)
    expect(sim.events).toEqual([`durable ${first}`, `durable ${first + 1}`])
    expect(log.busy).toBe(false)
    expect(log.unsyncedBytes).toBe(0)
  })

  test('a commit without records does nothing', async () => {
    const sim = new SimLog(3)
    const log = await sim.opened()
    const before = sim.disk.operations
    log.commit()
    expect(log.busy).toBe(false)
    expect(sim.disk.operations).toBe(before)
  })

  test('a SYNCED frame proves the last batch after a second of silence, once', async () => {
    const sim = new SimLog(4)
    const log = await sim.opened()
    sim.append('a 1')
    await sim.commit()
    const { openLsn } = log
    await sim.clock.advance(900)
    expect(log.openLsn).toBe(openLsn)
    await sim.clock.advance(200)
    expect(log.openLsn).toBe(openLsn + 1)
    await sim.clock.advance(60_000)
    expect(log.openLsn).toBe(openLsn + 1)
    sim.crash()
    await sim.opened()
    expect(sim.log?.recovery.reappendedFrames).toBe(0)
    expect(sim.records.map((record) => record.text)).toEqual(['a 1'])
  })

  test('a full segment is followed by another, and a frame is never divided', async () => {
    const sim = new SimLog(5)
    const log = await sim.opened({ segmentBytesMax: 4096 })
    for (let index = 0; index < 12; index++) {
      sim.append(`r${index} ${'x'.repeat(index === 5 ? 20_000 : 1000)}`)
      await sim.commit()
    }
    expect(log.segments.length).toBeGreaterThan(3)
    expect(new Set(log.segments.map((segment) => segment.salt.toString('hex'))).size).toBe(log.segments.length)
    // The last two: where the log ends, and where it goes on.
    expect(log.segments.slice(0, -2).every((segment) => segment.sealed)).toBe(true)
    await sim.close()
    await sim.opened({ segmentBytesMax: 4096 })
    expect(sim.records).toHaveLength(12)
  })

  test('an arena that grew for a huge batch shrinks again', async () => {
    const sim = new SimLog(6)
    const log = await sim.opened()
    sim.append(`h ${'x'.repeat(9 * 1024 * 1024)}`)
    expect(log.buffer.length).toBe(16 * 1024 * 1024)
    await sim.commit()
    sim.append('h 1')
    await sim.commit()
    expect(log.buffer.length).toBe(1024 * 1024)
    await sim.close()
    await sim.opened()
    expect(sim.records).toHaveLength(2)
  })

  test('opening again and again without appending leaves one segment', async () => {
    const sim = new SimLog(7)
    for (let round = 0; round < 5; round++) {
      await sim.opened()
      if (round % 2 === 0) sim.crash()
      else await sim.close()
    }
    expect(segmentFiles(sim)).toEqual(['0000000001.log'])
  })

  test('what is appended after closing is refused', async () => {
    const sim = new SimLog(8)
    const log = await sim.opened()
    await sim.close()
    expect(() => log.begin(1, 0, 10)).toThrow(expect.objectContaining({ code: 'E_STORAGE_FAILED' }))
    await log.close()
  })
})

describe('retirement', () => {
  async function filled(seed: number): Promise<SimLog> {
    const sim = new SimLog(seed)
    const log = await sim.opened({ segmentBytesMax: 4096 })
    for (let index = 0; index < 20; index++) {
      sim.append(`r${index} ${'x'.repeat(1000)}`)
      await sim.commit()
    }
    expect(log.segments.length).toBeGreaterThan(4)
    return sim
  }

  test('deletes the files once the frame that says so is durable, and not before', async () => {
    const sim = await filled(20)
    const log = sim.log!
    const before = segmentFiles(sim)
    const victims = log.segments.slice(0, 2)
    log.retire(victims)
    expect(segmentFiles(sim)).toEqual(before)
    expect(log.openRecords).toBe(1)
    log.commit()
    expect(segmentFiles(sim)).toEqual(before)
    await sim.clock.advance(100)
    expect(segmentFiles(sim)).toEqual(before.slice(2))
    expect(log.segments).not.toContain(victims[0])
    sim.forget(`r6 ${'x'.repeat(1000)}`)
    sim.crash()
    await sim.opened()
    expect(segmentFiles(sim)).not.toContain(before[0])
    expect(segmentFiles(sim)).not.toContain(before[1])
  })

  test('of a segment does not bring back what its predecessor held beyond its end', async () => {
    const sim = new SimLog(25)
    const small = { segmentBytesMax: 1500 }
    await sim.opened(small)
    sim.append('a 1')
    await sim.commit()
    sim.append('a 2')
    await sim.commit()
    // Nothing proves the second frame, so it moves to a segment of its own.
    sim.crash(undefined, true)
    const log = await sim.opened(small)
    expect(log.recovery.reappendedFrames).toBe(1)
    for (let index = 0; index < 3; index++) {
      sim.append(`b ${'x'.repeat(600)}`)
      await sim.commit()
    }
    log.retire([log.segments[1]!])
    log.commit()
    await sim.clock.advance(100)
    const copy = copyOf(sim.disk.snapshot())
    await copy.opened()
    expect(copy.records.map((record) => record.text.slice(0, 3))).toEqual(['a 1', 'b x', 'b x'])
  })

  test('of a segment waits until a predecessor with a failed write in it could be cut', async () => {
    const sim = new SimLog(26)
    const log = await sim.opened({ segmentBytesMax: 1500 })
    sim.append('a 1')
    await sim.commit()
    sim.append('a 2')
    // All of the frame is written before the error comes, and cutting it off fails, too.
    sim.disk.fault = ({ kind, bytes }) => {
      if (kind === 'truncate') return { code: 'EIO' }
      return kind === 'write' ? { code: 'EIO', bytesWritten: bytes } : null
    }
    log.commit()
    await sim.clock.advance(100)
    sim.disk.fault = ({ kind }) => (kind === 'truncate' ? { code: 'EIO' } : null)
    await sim.clock.advance(2000)
    for (let index = 0; index < 3; index++) {
      sim.append(`b ${'x'.repeat(600)}`)
      await sim.commit()
    }
    const files = segmentFiles(sim)
    log.retire([log.segments[1]!])
    log.commit()
    await sim.clock.advance(100)
    // The file stays; the next opening cuts the predecessor and finishes the deletion.
    expect(segmentFiles(sim)).toContain(files[1])
    for (let round = 0; round < 2; round++) {
      const copy = copyOf(sim.disk.snapshot())
      const again = await copy.opened()
      expect(again.recovery.removed).toEqual([files[1]])
      copy.crash()
      await copy.opened()
      expect(copy.records.map((record) => record.text.slice(0, 3))).toEqual(['a 1', 'b x', 'b x'])
    }
  })

  test('a segment in the middle may go, and those around it still open', async () => {
    const sim = await filled(21)
    const log = sim.log!
    log.retire([log.segments[1]!, log.segments[3]!])
    log.commit()
    await sim.clock.advance(100)
    await sim.close()
    const again = copyOf(sim.disk.snapshot())
    await again.opened()
    expect(again.log?.recovery.damages).toEqual([])
    expect(again.records).toHaveLength(14)
  })

  test.each(['whole', 'damaged', 'empty'])('a deletion that a crash interrupted is finished (%s)', async (how) => {
    const sim = await filled(22)
    const log = sim.log!
    const before = sim.disk.snapshot()
    log.retire([log.segments[0]!, log.segments[2]!])
    sim.append('r99 proof')
    log.commit()
    await sim.clock.advance(3000)
    const files = segmentFiles(sim)
    // The deleted files are there again, as after a crash before the directory was synced.
    const snapshot = sim.disk.snapshot()
    const leftovers: string[] = []
    for (const [path, contents] of before) {
      if (snapshot.has(path) || !path.startsWith(logDirectory)) continue
      leftovers.push(path)
      snapshot.set(path, how === 'empty' ? Buffer.alloc(0) : contents)
    }
    expect(leftovers).toHaveLength(2)
    const copy = copyOf(snapshot)
    if (how === 'damaged') copy.disk.flipBit(leftovers[1]!, 1500, 3)
    const reopened = await copy.opened()
    expect(reopened.recovery.removed.map((name) => `${logDirectory}/${name}`)).toEqual(leftovers)
    expect(segmentFiles(copy)).toEqual(expect.arrayContaining(files))
    expect(segmentFiles(copy)).toHaveLength(files.length + 1)
    expect(copy.records.slice(-12)[0]?.text.slice(0, 3)).toBe('r9 ')
  })

  test('a live segment is not given up, nor one that others moved out of', async () => {
    const sim = await filled(23)
    const log = sim.log!
    log.segments[0]!.live = 1
    expect(() => log.retire([log.segments[0]!])).toThrow('without references')
    expect(() => log.retire([log.openSegment])).toThrow('without references')
  })

  test.each([0, 1, 2])('a segment that is missing is noticed (%d)', async (index) => {
    const sim = await filled(24)
    const log = sim.log!
    log.retire(log.segments.slice(0, 1))
    log.commit()
    await sim.clock.advance(3000)
    const name = segmentFiles(sim)[index]
    const snapshot = sim.disk.snapshot()
    snapshot.delete(`${logDirectory}/${name}`)
    const copy = copyOf(snapshot)
    await expect(copy.opened()).rejects.toMatchObject({ code: 'E_STORAGE_CORRUPT', file: `${logDirectory}/${name}` })
  })
})

describe('a failed write', () => {
  test.each(['ENOSPC', 'EIO'])('stalls, keeps everything and resumes in a new segment (%s)', async (code) => {
    const sim = new SimLog(30)
    const log = await sim.opened()
    sim.append('a 1')
    await sim.commit()
    sim.disk.fault = ({ kind }) => (kind === 'write' ? { code, bytesWritten: 70 } : null)
    const stale = sim.append('a 2')
    log.commit()
    const staleOpen = sim.append('a 3')
    await sim.clock.advance(500)
    expect(sim.events.at(-1)).toBe(`stalled ${code}`)
    expect(log.busy).toBe(true)
    sim.append('a 4')
    await sim.clock.advance(5000)
    expect(sim.events.filter((event) => event.startsWith('stalled'))).toHaveLength(1)
    expect(log.durableLsn).toBe(log.openLsn - 2)
    sim.disk.fault = null
    await sim.clock.advance(5000)
    expect(sim.events[2]).toBe('resumed')
    expect(log.busy).toBe(false)
    // Both old addresses still lead to the records.
    const home = log.homeSegment(stale.segmentId, stale.offset)
    expect(home?.id).toBe(stale.segmentId + 1)
    const places = [stale, staleOpen].map((address) => log.homeOffset(address.segmentId, address.offset))
    sim.crash()
    const again = await sim.opened()
    expect(sim.records.map((record) => record.text)).toEqual(['a 1', 'a 2', 'a 3', 'a 4'])
    expect([sim.records[1]?.offset, sim.records[2]?.offset]).toEqual(places)
    expect(again.homeSegment(stale.segmentId, stale.offset)?.id).toBe(sim.records[1]?.segmentId)
    expect(again.homeOffset(staleOpen.segmentId, staleOpen.offset)).toBe(sim.records[2]?.offset)
  })

  test('while the next segment is planned already, the frame goes between', async () => {
    const sim = new SimLog(31)
    const log = await sim.opened({ segmentBytesMax: 3000 })
    sim.append(`a ${'x'.repeat(1000)}`)
    await sim.commit()
    sim.disk.fault = ({ kind }) => (kind === 'write' ? { code: 'EIO', bytesWritten: 300 } : null)
    const first = log.openSegment.id
    const stale = sim.append(`b ${'x'.repeat(1000)}`)
    log.commit()
    const planned = sim.append('c planned')
    expect(planned.segmentId).toBe(first + 2)
    await sim.clock.advance(1500)
    sim.disk.fault = null
    await sim.clock.advance(5000)
    expect(log.segments.map((segment) => segment.id)).toEqual([first, first + 1, first + 2])
    expect(log.homeSegment(stale.segmentId, stale.offset)?.id).toBe(first + 1)
    expect(log.homeSegment(planned.segmentId, planned.offset)?.id).toBe(first + 2)
    expect(log.homeOffset(planned.segmentId, planned.offset)).toBe(planned.offset)
    sim.crash()
    await sim.opened()
    expect(sim.records.map((record) => record.segmentId)).toEqual([first, first + 1, first + 2])
  })

  test('a moved record keeps the segment it is counted on and the one it lies in', async () => {
    const sim = new SimLog(32)
    const log = await sim.opened({ segmentBytesMax: 1500 })
    sim.append('a 1')
    const from = log.openSegment
    from.live++
    sim.disk.fault = ({ kind }) => (kind === 'write' ? { code: 'EIO' } : null)
    log.commit()
    await sim.clock.advance(100)
    sim.disk.fault = null
    await sim.clock.advance(2000)
    for (let index = 0; index < 5; index++) {
      sim.append(`b ${'x'.repeat(1000)}`)
      await sim.commit()
    }
    const home = log.segments.find((segment) => segment.movedFrom === from)!
    expect([from.sealed, home.sealed, home.live]).toEqual([true, true, 0])
    expect([from.isRetirable, home.isRetirable]).toEqual([false, false])
    from.live--
    expect([from.isRetirable, home.isRetirable]).toEqual([true, true])
  })

  test('a segment that cannot be made is tried again until it can', async () => {
    const sim = new SimLog(33)
    const log = await sim.opened({ segmentBytesMax: 1500 })
    sim.append(`a ${'x'.repeat(600)}`)
    await sim.commit()
    let faults = 0
    sim.disk.fault = ({ kind }) => {
      if (kind === 'create' && faults++ === 0) return { code: 'ENOSPC' }
      if (kind === 'write' && faults++ < 4) return { code: 'ENOSPC', bytesWritten: 512 }
      return null
    }
    sim.append('b 1')
    await sim.commit()
    sim.append('b 2')
    await sim.commit()
    await sim.clock.advance(10_000)
    expect(sim.events.filter((event) => !event.startsWith('durable'))).toEqual(['stalled ENOSPC', 'resumed'])
    expect(log.durableLsn).toBeGreaterThan(0)
    sim.crash()
    await sim.opened()
    expect(sim.records).toHaveLength(3)
  })

  test('closing tries once more, and says so if the outcome is unknown', async () => {
    const sim = new SimLog(34)
    const log = await sim.opened()
    sim.disk.fault = ({ kind }) => (kind === 'write' ? { code: 'ENOSPC' } : null)
    sim.append('a 1')
    log.commit()
    await sim.clock.advance(10)
    const writes: number[] = []
    sim.disk.fault = ({ kind, index }) => {
      if (kind !== 'write') return null
      writes.push(index)
      return { code: 'ENOSPC' }
    }
    await expect(sim.close()).rejects.toMatchObject({ code: 'E_STORAGE_FAILED' })
    expect(writes).toHaveLength(1)
    sim.disk.fault = null
    await sim.opened()
  })

  test('closing succeeds if that one try does', async () => {
    const sim = new SimLog(35)
    const log = await sim.opened()
    sim.disk.fault = ({ kind }) => (kind === 'write' ? { code: 'ENOSPC' } : null)
    sim.append('a 1')
    log.commit()
    sim.append('a 2')
    await sim.clock.advance(10)
    sim.disk.fault = null
    await sim.close()
    await sim.opened()
    expect(sim.records).toHaveLength(2)
  })
})

describe('a failed sync', () => {
  test.each(['clean', 'reverted'] as const)('is the end: nothing is durable after it (%s)', async (model) => {
    const sim = new SimLog(40)
    const log = await sim.opened()
    sim.append('a 1')
    await sim.commit()
    sim.append('a 2')
    sim.disk.fault = ({ kind }) => (kind === 'sync' ? { code: 'EIO', model } : null)
    log.commit()
    sim.append('a 3')
    await sim.clock.advance(50)
    sim.disk.fault = null
    const { durableLsn } = log
    await sim.clock.advance(60_000)
    expect(log.durableLsn).toBe(durableLsn)
    expect(sim.events.filter((event) => event.startsWith('failed'))).toEqual(['failed E_STORAGE_FAILED'])
    expect(() => log.begin(1, 0, 1)).toThrow(expect.objectContaining({ code: 'E_STORAGE_FAILED' }))
    await expect(sim.close()).rejects.toMatchObject({ code: 'E_STORAGE_FAILED' })
    // Opened in the same boot, the page cache may show what the disk does not have; once shown, it stays.
    await sim.opened()
    const shown = sim.records.map((record) => record.text)
    sim.crash()
    await sim.opened()
    expect(sim.records.map((record) => record.text)).toEqual(shown)
  })

  test('of a new segment is survived, too, with all that opening it again has shown', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const sim = new SimLog(4100 + seed)
      const log = await sim.opened({ segmentBytesMax: 1500 })
      sim.append(`a ${'x'.repeat(600)}`)
      await sim.commit()
      const kind = seed % 2 === 0 ? 'sync' : 'syncDirectory'
      sim.disk.fault = (operation) => (operation.kind === kind ? { code: 'EIO', model: 'clean' } : null)
      sim.append('a 2')
      log.commit()
      await sim.clock.advance(50)
      expect(sim.events).toContain('failed E_STORAGE_FAILED')
      sim.crash(undefined, true)
      await sim.opened()
      sim.append('a 3')
      await sim.commit()
      sim.crash()
      await sim.opened()
      sim.crash()
      await sim.opened()
    }
  })
})
