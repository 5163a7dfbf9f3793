// Recovery that begins where somebody says who remembers all that was before: it reads what came after, and doubts the rest.
import { describe, expect, test } from 'vitest'
import { SimLog, simLogDirectory } from '../testing/sim-log.ts'
import { LogError } from './log-error.ts'
import { type LogOptions, logOptionsDefault } from './log-options.ts'
import type { LogStart } from './log-start.ts'
import { SegmentedLog } from './segmented-log.ts'

const logDirectory = `${simLogDirectory}/log`
const small = { segmentBytesMax: 2_300 }

interface Opened {
  readonly sim: SimLog
  readonly log: SegmentedLog | null
  readonly texts: string[]
  readonly lsns: number[]
  readonly error: LogError | null
  /** What was opened or read. */
  readonly touched: string[]
}

/** What another machine makes of these files with that start. */
async function openFrom(
  files: ReadonlyMap<string, Buffer>,
  start: LogStart | null,
  options: Partial<LogOptions> = {},
): Promise<Opened> {
  const sim = new SimLog(7)
  sim.disk.restore(files)
  const texts: string[] = []
  const lsns: number[] = []
  const touched: string[] = []
  sim.disk.fault = ({ kind, path }) => {
    if (kind === 'open' || kind === 'read') touched.push(path.slice(logDirectory.length + 1))
    return null
  }
  const sink = {
    record: (_type: number, _flags: number, buffer: Buffer, payloadStart: number, _headerEnd: number, end: number) => {
      texts.push(buffer.toString('latin1', payloadStart, end))
    },
    frameEnd: (lsn: number) => void lsns.push(lsn),
  }
  const events = { durable() {}, written() {}, stalled() {}, resumed() {}, failed() {} }
  const all = { ...logOptionsDefault, ...small, ...options }
  const opening = SegmentedLog.open(sim.platform, simLogDirectory, all, sink, events, async () => start)
  try {
    const log = await sim.clock.run(opening)
    return { sim, log, texts, lsns, error: null, touched }
  } catch (error) {
    if (!(error instanceof LogError)) throw error
    return { sim, log: null, texts, lsns, error, touched }
  }
}

interface Written {
  readonly sim: SimLog
  readonly log: SegmentedLog
  /** Before the frame with that index, and at the end. */
  readonly starts: LogStart[]
  readonly frames: string[]
}

/** So many frames of 281 bytes in segments of five, and where a recovery could have begun before each. */
async function written(count: number): Promise<Written> {
  const sim = new SimLog(3)
  const log = await sim.opened(small)
  const starts = [log.start]
  const frames: string[] = []
  for (let number = 0; number < count; number++) {
    const text = `frame ${number} ${'x'.repeat(200)}`
    sim.append(text)
    await sim.commit()
    frames.push(text)
    starts.push(log.start)
  }
  return { sim, log, starts, frames }
}

function segmentFiles(files: ReadonlyMap<string, Buffer>): string[] {
  return [...files.keys()].filter((path) => path.startsWith(logDirectory)).sort()
}

function without(files: ReadonlyMap<string, Buffer>, path: string): Map<string, Buffer> {
  const copy = new Map(files)
  copy.delete(path)
  return copy
}

function cut(files: ReadonlyMap<string, Buffer>, path: string, length: number): Map<string, Buffer> {
  return new Map(files).set(path, (files.get(path) as Buffer).subarray(0, length))
}

/** All files but LOCK, which says who was here last. */
function contentOf(files: ReadonlyMap<string, Buffer>): Record<string, string> {
  const kept = [...files].filter(([path]) => path !== `${simLogDirectory}/LOCK`)
  return Object.fromEntries(kept.map(([path, content]) => [path, content.toString('base64')]))
}

function refused(opened: Opened, file: string | null, detail: string): void {
  expect(opened.error?.code).toBe('E_STORAGE_CORRUPT')
  expect(opened.error?.message).toContain(detail)
  if (file !== null) expect(opened.error?.file).toBe(file)
}

describe('a recovery from a start', () => {
  test('gives what came after it and nothing before, wherever it is', async () => {
    const { sim, starts, frames } = await written(14)
    const files = sim.disk.snapshot()
    expect(segmentFiles(files)).toHaveLength(3)
    const whole = await openFrom(files, null)
    expect(whole.texts).toEqual(frames)
    for (const [at, start] of starts.entries()) {
      const { texts, lsns, log, error } = await openFrom(files, start)
      expect([error, texts]).toEqual([null, frames.slice(at)])
      expect(lsns).toEqual(whole.lsns.slice(whole.lsns.length - lsns.length))
      // The last frame is proven by a start behind it alone.
      if (at === frames.length) continue
      // It knows of each segment what reading it would have told.
      const facts = (one: SegmentedLog | null): unknown =>
        one?.segments.map(({ id, bytes, lastCrc, previousId, sealed }) => ({ id, bytes, lastCrc, previousId, sealed }))
      expect(facts(log)).toEqual(facts(whole.log))
      expect([log?.openLsn, log?.openSegment.epoch]).toEqual([whole.log?.openLsn, whole.log?.openSegment.epoch])
    }
  })

  test('goes on so that a later one reads it all the same, from there or from the beginning', async () => {
    const { sim, starts, frames } = await written(10)
    const second = await openFrom(sim.disk.snapshot(), starts[6] as LogStart)
    const log = second.log as SegmentedLog
    const text = `late ${'y'.repeat(200)}`
    const at = log.begin(7, 0, text.length)
    log.buffer.write(text, at, 'latin1')
    log.end(at + 5, at + text.length)
    log.commit()
    await second.sim.clock.advance(100)
    const later = log.start
    const files = second.sim.disk.snapshot()
    expect((await openFrom(files, null)).texts).toEqual([...frames, text])
    expect((await openFrom(files, starts[6] as LogStart)).texts).toEqual([...frames.slice(6), text])
    expect((await openFrom(files, later)).texts).toEqual([])
  })

  test('reads nothing before: not a byte of other segments, nor of its own but the header', async () => {
    const { sim, starts, frames } = await written(11)
    const start = starts[7] as LogStart
    const own = start.segments.at(-1)?.id ?? 0
    expect(start.segments.length).toBeGreaterThan(1)
    expect(start.offset).toBeGreaterThan(1_024)
    const files = new Map(sim.disk.snapshot())
    const before = segmentFiles(files).filter((path) => Number(path.slice(-14, -4)) < own)
    for (const path of before) files.set(path, Buffer.alloc((files.get(path) as Buffer).length, 0xff))
    const ownPath = `${logDirectory}/${String(own).padStart(10, '0')}.log`
    const spoiled = Buffer.from(files.get(ownPath) as Buffer)
    spoiled.fill(0xff, 1_024, start.offset)
    files.set(ownPath, spoiled)
    const { texts, error, log, touched } = await openFrom(files, start)
    expect([error, texts]).toEqual([null, frames.slice(7)])
    for (const path of before) expect(touched).not.toContain(path.slice(logDirectory.length + 1))
    expect(log?.recovery.bytes).toBeLessThan(frames.slice(7).length * 400)
    expect((await openFrom(files, null)).error?.code).toBe('E_STORAGE_CORRUPT')
  })

  test('may be one before the first frame of its segment, even if another took its place since', async () => {
    const sim = new SimLog(3)
    const log = await sim.opened(small)
    const { start } = log
    expect(start.offset).toBe(1_024)
    // Nothing in it was ever proven: the next opening begins one of the same name.
    sim.crash(undefined, true)
    const second = await sim.opened(small)
    expect(second.start.segments.at(-1)?.id).toBe(start.segments.at(-1)?.id)
    expect(second.start.segments.at(-1)?.salt).not.toEqual(start.segments.at(-1)?.salt)
    sim.append('a 1')
    await sim.commit()
    expect((await openFrom(sim.disk.snapshot(), start)).texts).toEqual(['a 1'])
  })

  test('gives no number again that the start knows to be used', async () => {
    const { sim, starts } = await written(3)
    const start = { ...(starts[3] as LogStart), syncedLsn: (starts[3] as LogStart).lsn }
    const { log } = await openFrom(sim.disk.snapshot(), start)
    expect(log?.openLsn).toBeGreaterThan(start.lsn)
  })

  test('writes again what nothing proves, and believes what the start knows to be durable', async () => {
    const { sim, starts, frames } = await written(7)
    const start = starts[5] as LogStart
    const doubtful = await openFrom(sim.disk.snapshot(), start)
    expect([doubtful.texts, doubtful.log?.recovery.reappendedFrames]).toEqual([frames.slice(5), 1])
    const { lsn } = starts[7] as LogStart
    const known = await openFrom(sim.disk.snapshot(), { ...start, syncedLsn: lsn })
    expect([known.texts, known.log?.recovery.reappendedFrames]).toEqual([frames.slice(5), 0])
  })

  test('sets a torn tail behind it aside', async () => {
    const { sim, starts, frames } = await written(7)
    const start = starts[5] as LogStart
    const files = sim.disk.snapshot()
    const last = segmentFiles(files).at(-1) as string
    const { texts, log } = await openFrom(cut(files, last, (files.get(last) as Buffer).length - 1), start)
    expect(texts).toEqual(frames.slice(5, -1))
    expect(log?.recovery.tornBytes).toBeGreaterThan(0)
  })
})

describe('a recovery from a start refuses, and changes nothing', () => {
  /** A start in the middle of the last segment, with two frames behind it. */
  async function atTheEnd(): Promise<{ files: Map<string, Buffer>; last: string; start: LogStart; later: LogStart }> {
    const { sim, starts } = await written(8)
    const files = new Map(sim.disk.snapshot())
    const last = segmentFiles(files).at(-1) as string
    const [start, later] = [starts[6] as LogStart, starts[8] as LogStart]
    expect(last).toContain(String(start.segments.at(-1)?.id))
    expect(later.segments.length).toBe(start.segments.length)
    expect(start.offset).toBeGreaterThan(1_024)
    return { files, last, start, later }
  }

  async function refuses(
    files: Map<string, Buffer>,
    start: LogStart | null,
    file: string,
    detail: string,
  ): Promise<void> {
    const opened = await openFrom(files, start)
    refused(opened, file, detail)
    expect(contentOf(opened.sim.disk.snapshot())).toEqual(contentOf(files))
  }

  test('a segment that is shorter than it was', async () => {
    const { files, last, start } = await atTheEnd()
    for (const length of [start.offset - 1, start.offset - 100, 1_024]) {
      await refuses(cut(files, last, length), start, last, `it was ${start.offset} bytes long at the last checkpoint`)
    }
    const { error } = await openFrom(cut(files, last, start.offset), start)
    expect(error).toBeNull()
  })

  test('a segment whose header is lost', async () => {
    const { files, last, start } = await atTheEnd()
    const content = Buffer.from(files.get(last) as Buffer)
    content.fill(0, 0, 1_024)
    await refuses(new Map(files).set(last, content), start, last, 'is damaged at byte 0')
  })

  test('a segment that is not there, be it the one where it begins or one before', async () => {
    const { files, start } = await atTheEnd()
    for (const path of segmentFiles(files)) await refuses(without(files, path), start, path, 'the file is missing')
  })

  test('a frame behind it that is damaged and known to be durable', async () => {
    const { files, last, start, later } = await atTheEnd()
    const content = Buffer.from(files.get(last) as Buffer)
    const at = content.length - 10
    content[at] = (content[at] as number) ^ 1
    const damaged = new Map(files).set(last, content)
    await refuses(damaged, { ...start, syncedLsn: later.lsn }, last, 'is damaged at byte')
    expect((await openFrom(damaged, start)).error).toBeNull()
  })

  test('a frame behind it that is gone and known to be durable, wherever its file was cut', async () => {
    const { files, last, start, later } = await atTheEnd()
    const known = { ...start, syncedLsn: later.lsn }
    const lengths = [start.offset + 1, later.offset - 1, start.offset, start.offset + (later.offset - start.offset) / 2]
    for (const length of lengths) {
      const opened = await openFrom(cut(files, last, length), known)
      expect(opened.error?.code, `cut to ${length} bytes of ${later.offset}`).toBe('E_STORAGE_CORRUPT')
    }
  })

  test('but goes around it when it salvages, and says what is lost', async () => {
    const { files, last, start } = await atTheEnd()
    const { log, error } = await openFrom(cut(files, last, start.offset - 1), start, { salvage: true })
    expect(error).toBeNull()
    expect(log?.recovery.damages.map(({ file, detail }) => [file, detail])).toEqual([
      [last, `it was ${start.offset} bytes long at the last checkpoint`],
    ])
  })
})

describe('segments that a start knows', () => {
  test('may be gone if they were given up after it', async () => {
    const { sim, log, starts, frames } = await written(12)
    const start = starts[11] as LogStart
    const dead = log.segments.filter(({ sealed }) => sealed).slice(0, 2)
    log.retire(dead)
    log.commit()
    await sim.clock.advance(100)
    const files = sim.disk.snapshot()
    for (const { path } of dead) expect(files.has(path)).toBe(false)
    const opened = await openFrom(files, start)
    expect([opened.error, opened.texts]).toEqual([null, frames.slice(11)])
  })

  test('and others that it does not know any more are removed', async () => {
    const { sim, log, starts } = await written(12)
    const files = new Map(sim.disk.snapshot())
    const dead = log.segments.filter(({ sealed }) => sealed).slice(0, 1)
    log.retire(dead)
    const { start } = log
    expect(start.segments.length).toBe((starts[12] as LogStart).segments.length - 1)
    const opened = await openFrom(files, start)
    expect([opened.error, opened.texts]).toEqual([null, []])
    expect(opened.log?.recovery.removed).toEqual([dead[0]?.path.slice(logDirectory.length + 1)])
    expect(opened.sim.disk.paths()).not.toContain(dead[0]?.path)
  })
})

describe('a folder that needs a start', () => {
  const path = `${simLogDirectory}/FORMAT`

  test('says so with a bit that versions which know of none refuse, once', async () => {
    const { sim, log } = await written(2)
    const before = sim.disk.contents(path).toString()
    expect(before).toContain('\nincompat 0\n')
    await sim.clock.run(log.needStart())
    const after = sim.disk.contents(path).toString()
    expect(after.replace(/crc .*/, '')).toBe(
      before.replace(/crc .*/, '').replace('incompat 0', 'incompat 1\nneeds 0.1.0'),
    )
    expect(sim.disk.durableContents(path).toString()).toBe(after)
    const { operations } = sim.disk
    await sim.clock.run(log.needStart())
    expect(sim.disk.operations).toBe(operations)
    await sim.close()
    const again = await sim.opened(small)
    await sim.clock.run(again.needStart())
    expect(sim.disk.contents(path).toString()).toBe(after)
  })

  test('is one or is none, whenever the power goes while it says so', async () => {
    for (let operation = 0, isOver = false; !isOver; operation++) {
      const { sim, log, frames } = await written(3)
      const { operations } = sim.disk
      sim.disk.stopAt = operations + operation
      log.needStart().catch(() => {})
      await sim.clock.advance(1_000)
      isOver = sim.disk.operations < operations + operation
      sim.crash()
      await sim.opened(small)
      expect(sim.records.map((record) => record.text)).toEqual(frames)
    }
  })

  test('is refused without one when its first segment is not the first there was, and opened with one', async () => {
    const { sim, log, starts } = await written(12)
    await sim.clock.run(log.needStart())
    log.retire(log.segments.filter(({ sealed }) => sealed).slice(0, 1))
    log.commit()
    await sim.clock.advance(100)
    const files = sim.disk.snapshot()
    const opened = await openFrom(files, null)
    refused(opened, segmentFiles(files)[0] as string, 'is in checkpoints, and none can be read')
    expect(contentOf(opened.sim.disk.snapshot())).toEqual(contentOf(files))
    expect((await openFrom(files, starts[11] as LogStart)).error).toBeNull()
    const salvaged = await openFrom(files, null, { salvage: true })
    expect([salvaged.error, salvaged.log?.recovery.damages.length]).toEqual([null, 1])
  })

  test('is refused without one when segments in its middle were given up, whose records nobody has any more', async () => {
    const { sim, log } = await written(18)
    await sim.clock.run(log.needStart())
    log.retire(log.segments.filter(({ sealed }) => sealed).slice(1, 3))
    log.commit()
    await sim.clock.advance(100)
    const { error } = await openFrom(sim.disk.snapshot(), null)
    expect(error?.code).toBe('E_STORAGE_CORRUPT')
  })

  test('is opened without one as long as everything is there', async () => {
    const { sim, log, frames } = await written(6)
    await sim.clock.run(log.needStart())
    const { texts, error } = await openFrom(sim.disk.snapshot(), null)
    expect([error, texts]).toEqual([null, frames])
  })
})
