// What a log is after something was done to its files: cut, flipped, lost.
import { describe, expect, test } from 'vitest'
import { SimLog, simLogDirectory } from '../testing/sim-log.ts'
import { LogError } from './log-error.ts'

const logDirectory = `${simLogDirectory}/log`

interface Outcome {
  texts: string[]
  error: LogError | null
  sim: SimLog
}

/** What another machine makes of these files. */
async function reopen(snapshot: ReadonlyMap<string, Buffer>, salvage = false): Promise<Outcome> {
  const sim = new SimLog(7)
  sim.disk.restore(snapshot)
  sim.checks = false
  try {
    await sim.opened({ salvage })
    return { texts: sim.records.map((record) => record.text), error: null, sim }
  } catch (error) {
    if (!(error instanceof LogError)) throw error
    return { texts: [], error, sim }
  }
}

/** Six frames of one to three records in two segments, and how the process ended. */
async function smallLog(
  end: 'closed' | 'crashed' | 'idle',
): Promise<{ snapshot: Map<string, Buffer>; frames: string[][] }> {
  const sim = new SimLog(1)
  await sim.opened({ segmentBytesMax: 1500 })
  const frames = [['a 1', 'a 22'], ['b 1'], ['c 1', 'c 22', `c ${'x'.repeat(200)}`], ['d 1'], ['e 1', 'e 2'], ['f 1']]
  for (const frame of frames) {
    for (const text of frame) sim.append(text)
    await sim.commit()
  }
  if (end === 'closed') await sim.close()
  if (end === 'idle') await sim.clock.advance(2000)
  return { snapshot: sim.disk.snapshot(), frames }
}

function logFiles(snapshot: ReadonlyMap<string, Buffer>): string[] {
  return [...snapshot.keys()].filter((path) => path.startsWith(logDirectory)).sort()
}

function changed(snapshot: ReadonlyMap<string, Buffer>, path: string, content: Buffer | null): Map<string, Buffer> {
  const copy = new Map(snapshot)
  if (content === null) copy.delete(path)
  else copy.set(path, content)
  return copy
}

/** Bytes between the two copies of a segment's header and the first frame, which nobody reads. */
function isPadding(file: string, offset: number): boolean {
  return file.startsWith(logDirectory) && offset < 1024 && offset % 512 >= 64
}

describe('a log that was cut', () => {
  test('at any byte of its last segment opens with every whole frame before the cut', async () => {
    const { snapshot, frames } = await smallLog('crashed')
    const all = frames.flat()
    const last = logFiles(snapshot).at(-1)!
    const content = snapshot.get(last)!
    let longest = 0
    for (let length = 0; length <= content.length; length++) {
      const { texts, error } = await reopen(changed(snapshot, last, content.subarray(0, length)))
      expect(error).toBeNull()
      expect(texts).toEqual(all.slice(0, texts.length))
      const boundaries = frames.map((_, index) => frames.slice(0, index + 1).flat().length)
      expect(boundaries).toContain(texts.length)
      expect(texts.length).toBeGreaterThanOrEqual(longest)
      longest = texts.length
    }
    expect(longest).toBe(all.length)
  })

  test('in an earlier segment is refused, at whatever byte', async () => {
    const { snapshot } = await smallLog('crashed')
    const first = logFiles(snapshot)[0]!
    const content = snapshot.get(first)!
    for (let length = 0; length < content.length; length += 7) {
      const { error } = await reopen(changed(snapshot, first, content.subarray(0, length)))
      expect(error).toMatchObject({ code: 'E_STORAGE_CORRUPT', file: first })
    }
  })

  test('keeps the torn bytes in quarantine', async () => {
    const { snapshot } = await smallLog('crashed')
    const last = logFiles(snapshot).at(-1)!
    const content = snapshot.get(last)!
    const { sim } = await reopen(changed(snapshot, last, content.subarray(0, content.length - 1)))
    expect(sim.log?.recovery.tornBytes).toBeGreaterThan(0)
    const kept = sim.disk.paths().find((path) => path.includes('/quarantine/'))!
    expect(kept).toContain('.torn')
    expect(content.includes(sim.disk.contents(kept))).toBe(true)
  })
})

describe('a log with a flipped bit', () => {
  test.each(['closed', 'crashed', 'idle'] as const)('is never silently wrong (%s)', async (end) => {
    const { snapshot, frames } = await smallLog(end)
    const all = frames.flat()
    const counts = { harmless: 0, refused: 0, torn: 0 }
    for (const file of [...logFiles(snapshot), `${simLogDirectory}/FORMAT`]) {
      const content = snapshot.get(file)!
      for (let offset = 0; offset < content.length; offset += isPadding(file, offset) ? 31 : 1) {
        const flipped = Buffer.from(content)
        flipped[offset] = flipped[offset]! ^ (1 << (offset & 7))
        const { texts, error } = await reopen(changed(snapshot, file, flipped))
        if (error !== null) {
          expect(['E_STORAGE_CORRUPT', 'E_FORMAT_UNSUPPORTED']).toContain(error.code)
          if (error.code === 'E_STORAGE_CORRUPT') expect(error.file).toBe(file)
          counts.refused++
        } else if (texts.length === all.length) {
          expect(texts).toEqual(all)
          counts.harmless++
        } else {
          // Only the last frame, which nothing proves; and only where nothing does.
          expect(end).toBe('crashed')
          expect(file).toBe(logFiles(snapshot).at(-1))
          expect(texts).toEqual(frames.slice(0, -1).flat())
          counts.torn++
        }
      }
    }
    expect(counts.refused).toBeGreaterThan(500)
    if (end !== 'crashed') expect(counts.torn).toBe(0)
  })

  test('loses at most the record that was hit when it is salvaged', async () => {
    const { snapshot, frames } = await smallLog('idle')
    const all = frames.flat()
    for (const file of logFiles(snapshot)) {
      const content = snapshot.get(file)!
      for (let offset = 0; offset < content.length; offset += isPadding(file, offset) ? 31 : 1) {
        const flipped = Buffer.from(content)
        flipped[offset] = flipped[offset]! ^ (1 << (offset & 7))
        const files = changed(snapshot, file, flipped)
        const strict = await reopen(files)
        const { texts, error, sim } = await reopen(files, true)
        expect(error).toBeNull()
        if (offset < 1024) {
          expect(texts).toEqual(all)
          continue
        }
        const lost = all.filter((text) => !texts.includes(text))
        expect(lost.length).toBeLessThanOrEqual(1)
        expect(texts).toEqual(all.filter((text) => texts.includes(text)))
        expect(sim.log!.recovery.damages.length > 0).toBe(strict.error !== null)
      }
    }
  })

  test('in one copy of a segment header opens, with a note', async () => {
    const { snapshot, frames } = await smallLog('closed')
    for (const file of logFiles(snapshot)) {
      for (const offset of [20, 512 + 20]) {
        const flipped = Buffer.from(snapshot.get(file)!)
        flipped[offset] = flipped[offset]! ^ 4
        const { texts, sim } = await reopen(changed(snapshot, file, flipped))
        expect(texts).toEqual(frames.flat())
        expect(sim.log?.recovery.notes).toEqual([`${file}: one of the two copies of its header is damaged`])
      }
    }
  })

  test('in both copies of a segment header is refused if the segment was ever synced', async () => {
    const { snapshot } = await smallLog('closed')
    for (const file of logFiles(snapshot)) {
      const flipped = Buffer.from(snapshot.get(file)!)
      for (const offset of [20, 512 + 20]) flipped[offset] = flipped[offset]! ^ 4
      const files = changed(snapshot, file, flipped)
      const { error } = await reopen(files)
      expect(error).toMatchObject({ code: 'E_STORAGE_CORRUPT', file, offset: 0 })
      const salvaged = await reopen(files, true)
      expect(salvaged.error).toBeNull()
      expect(salvaged.sim.log?.recovery.damages).toHaveLength(1)
      expect(salvaged.texts.length).toBeGreaterThan(0)
    }
  })

  test('in both copies of the header of the only segment is refused, even if it has one frame', async () => {
    const sim = new SimLog(11)
    await sim.opened()
    sim.append('a 1')
    await sim.commit()
    const file = logFiles(sim.disk.snapshot())[0]!
    for (const offset of [20, 512 + 20]) sim.disk.flipBit(file, offset, 2)
    const { error } = await reopen(sim.disk.snapshot())
    expect(error).toMatchObject({ code: 'E_STORAGE_CORRUPT', file, offset: 0 })
  })

  test('old frames in the blocks of a segment that was never synced are not a reason to refuse', async () => {
    const { snapshot, frames } = await smallLog('crashed')
    const [first, last] = logFiles(snapshot) as [string, string]
    const stale = Buffer.concat([Buffer.alloc(1024), snapshot.get(first)!.subarray(1024)])
    const next = last.replace(/\d+(?=\.log)/, (id) => String(Number(id) + 2).padStart(10, '0'))
    const { texts, sim } = await reopen(changed(snapshot, next, stale))
    expect(texts).toEqual(frames.flat())
    expect(sim.log?.recovery.quarantined).toHaveLength(1)
  })
})

describe('a log whose sectors were lost', () => {
  test('is opened whole or refused, except for the end of the last segment', async () => {
    const { snapshot, frames } = await smallLog('crashed')
    for (const file of logFiles(snapshot)) {
      const content = snapshot.get(file)!
      for (let sector = 0; sector * 512 < content.length; sector++) {
        const damaged = Buffer.from(content)
        damaged.subarray(sector * 512, (sector + 1) * 512).fill(0)
        const { texts, error } = await reopen(changed(snapshot, file, damaged))
        if (error !== null) {
          expect(error).toMatchObject({ code: 'E_STORAGE_CORRUPT', file })
          continue
        }
        // Losing all sectors to the end is the same as never having written them: no reader can tell.
        const isEnd = file === logFiles(snapshot).at(-1) && (sector + 1) * 512 >= content.length
        expect(texts).toEqual(frames.flat().slice(0, texts.length))
        if (!isEnd) expect(texts).toHaveLength(frames.flat().length)
      }
    }
  })
})

describe('recovery', () => {
  test('does not take an old copy of the log inside a message for a later frame', async () => {
    const sim = new SimLog(3)
    await sim.opened()
    sim.append('a 1')
    await sim.commit()
    sim.append('a 2')
    await sim.commit()
    const file = logFiles(sim.disk.snapshot())[0]!
    const copy = sim.disk.contents(file)
    sim.append(`b ${copy.toString('latin1')}`)
    await sim.commit()
    const snapshot = sim.disk.snapshot()
    const torn = Buffer.from(snapshot.get(file)!)
    torn[copy.length + 8] = torn[copy.length + 8]! ^ 1
    const { texts, error } = await reopen(changed(snapshot, file, torn))
    expect(error).toBeNull()
    expect(texts).toEqual(['a 1', 'a 2'])
  })

  test('does not take a frame of another history for its own, even with the right number, salt and place', async () => {
    const histories: Buffer[] = []
    let path = ''
    for (const second of ['b 1', 'b 2']) {
      const sim = new SimLog(8)
      await sim.opened()
      for (const text of ['a 1', second, 'c 1', 'd 1']) {
        sim.append(text)
        await sim.commit()
      }
      path = logFiles(sim.disk.snapshot())[0]!
      histories.push(sim.disk.contents(path))
    }
    const [one, other] = histories as [Buffer, Buffer]
    expect(one.length).toBe(other.length)
    const frameBytes = 48 + 24 + 3
    const third = 1024 + 2 * frameBytes
    const mixed = Buffer.concat([
      one.subarray(0, third),
      other.subarray(third, third + frameBytes),
      one.subarray(third + frameBytes),
    ])
    const sim = new SimLog(8)
    await sim.opened()
    const files = sim.disk.snapshot()
    files.set(path, mixed)
    files.delete(`${simLogDirectory}/LOCK`)
    const { error } = await reopen(files)
    expect(error).toMatchObject({ code: 'E_STORAGE_CORRUPT', offset: third })
  })

  test('does not take a segment of another history for its own', async () => {
    const snapshots: Map<string, Buffer>[] = []
    for (const last of ['b 1', 'b 2']) {
      const sim = new SimLog(9)
      await sim.opened({ segmentBytesMax: 1170 })
      for (const text of ['a 1', last, 'c 1', 'd 1']) {
        sim.append(text)
        await sim.commit()
      }
      await sim.close()
      snapshots.push(sim.disk.snapshot())
    }
    const [one, other] = snapshots as [Map<string, Buffer>, Map<string, Buffer>]
    const first = logFiles(one)[0]!
    expect(logFiles(one).length).toBeGreaterThan(1)
    const { error } = await reopen(changed(one, first, other.get(first)!))
    expect(error).toMatchObject({ code: 'E_STORAGE_CORRUPT', file: first })
  })

  test('reads frames larger than its window', async () => {
    const sim = new SimLog(4)
    await sim.opened()
    const texts: string[] = []
    for (const size of [10, 5_000_000, 100, 9_000_000, 3_000_000, 3_000_000, 10]) {
      texts.push(`h ${String(texts.length).repeat(size)}`)
      sim.append(texts.at(-1)!)
      await sim.commit()
    }
    sim.crash()
    await sim.opened()
    expect(sim.records.map((record) => record.text.length)).toEqual(texts.map((text) => text.length))
  })

  test('sets temporary files aside', async () => {
    const { snapshot, frames } = await smallLog('closed')
    const path = `${logDirectory}/0000000009.log.tmp`
    const { texts, sim } = await reopen(changed(snapshot, path, Buffer.from('half')))
    expect(texts).toEqual(frames.flat())
    expect(sim.log?.recovery.quarantined).toEqual(['0000000009.log.tmp.1'])
    expect(sim.disk.paths()).not.toContain(path)
  })

  test('writes frames again that were only in the page cache, before it shows them', async () => {
    const sim = new SimLog(5)
    const log = await sim.opened()
    sim.append('a 1')
    await sim.commit()
    sim.append('a 2')
    sim.disk.fault = ({ kind }) => (kind === 'sync' ? { code: 'EIO', model: 'clean' } : null)
    log.commit()
    await sim.clock.advance(10)
    sim.crash(undefined, true)
    const again = await sim.opened()
    expect(sim.records.map((record) => record.text)).toEqual(['a 1', 'a 2'])
    expect(again.recovery.reappendedFrames).toBe(1)
    sim.crash(() => 'lost')
    await sim.opened()
    expect(sim.records.map((record) => record.text)).toEqual(['a 1', 'a 2'])
  })

  test('refuses a critical record of the log that it does not know, and skips others', async () => {
    for (const [flags, code] of [
      [0x80, 'E_FORMAT_UNSUPPORTED'],
      [0, null],
    ] as const) {
      const sim = new SimLog(6)
      const log = await sim.opened()
      const at = log.begin(245, flags, 4)
      log.end(at, at + 4)
      await sim.close()
      sim.checks = false
      const result = await sim.opened().catch((error: unknown) => error)
      if (code === null) expect(result).not.toBeInstanceOf(Error)
      else expect(result).toMatchObject({ code })
    }
  })

  test('counts what it read', async () => {
    const { snapshot } = await smallLog('closed')
    const { sim } = await reopen(snapshot)
    expect(sim.log?.recovery).toMatchObject({ segments: 2, frames: 7, records: 11 })
    expect(sim.log?.recovery.bytes).toBeGreaterThan(500)
  })
})
