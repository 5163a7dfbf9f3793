// A log that does not wait for its syncs: what is promised when, and what a crash leaves of it.
import { expect, test } from 'vitest'
import { SimClock } from '../testing/sim-clock.ts'
import { SimLog, simLogDirectory } from '../testing/sim-log.ts'
import { BackgroundSync } from './background-sync.ts'
import { frameBytes, frameLsn, frameSyncedLsn, hasFrameMagic } from './frame.ts'
import { framesStart } from './segment.ts'

const logDirectory = `${simLogDirectory}/log`
const first = `${logDirectory}/0000000001.log`
const later = { defersSync: true, syncDelayMs: 1000, syncDelayBytesMax: 8192 } as const

/** Counts what was asked of the disk from now on. */
function countSyncs(sim: SimLog): { syncs: number } {
  const count = { syncs: 0 }
  sim.disk.fault = ({ kind }) => {
    if (kind === 'sync') count.syncs++
    return null
  }
  return count
}

/** Appends a frame and waits until it is written. */
async function write(sim: SimLog, text: string): Promise<void> {
  sim.append(text)
  sim.log!.commit()
  await sim.clock.advance(5)
}

/** The frames of a segment as the headers tell them: number, what it calls synced, where it stands. */
function framesOf(content: Buffer): { lsn: number; syncedLsn: number; offset: number }[] {
  const frames = []
  for (let at = framesStart; at + 48 <= content.length && hasFrameMagic(content, at); at += frameBytes(content, at)) {
    frames.push({ lsn: frameLsn(content, at), syncedLsn: frameSyncedLsn(content, at), offset: at })
  }
  return frames
}

function textsOf(sim: SimLog): string[] {
  return sim.records.map((record) => record.text)
}

test('a batch has landed when it is written, and one sync makes many durable a second after the first', async () => {
  const sim = new SimLog(1)
  const log = await sim.opened(later)
  const lsn = log.openLsn
  const count = countSyncs(sim)
  for (const text of ['a 1', 'a 2', 'a 3']) await write(sim, text)
  expect(sim.events).toEqual([`written ${lsn}`, `written ${lsn + 1}`, `written ${lsn + 2}`])
  expect([log.writtenLsn, log.durableLsn, log.busy]).toEqual([lsn + 2, lsn - 1, false])
  await sim.clock.advance(980)
  expect(count.syncs).toBe(0)
  await sim.clock.advance(20)
  expect(count.syncs).toBe(1)
  expect(sim.events.at(-1)).toBe(`durable ${lsn + 2}`)
  expect(log.durableLsn).toBe(lsn + 2)
})

test('what was written while a sync was under way is synced a second after it was written', async () => {
  const sim = new SimLog(2, { latencyMsMax: 400 })
  const log = await sim.opened(later)
  sim.append('a 1')
  log.commit()
  while (sim.events.length < 1) await sim.clock.step()
  const count = countSyncs(sim)
  while (count.syncs < 1) await sim.clock.step()
  sim.append('a 2')
  log.commit()
  while (!sim.events.includes(`written ${log.openLsn - 1}`)) await sim.clock.step()
  const writtenMs = sim.clock.monotonicMs()
  while (count.syncs < 2) await sim.clock.step()
  expect(sim.clock.monotonicMs() - writtenMs).toBeLessThanOrEqual(1000)
})

test('a frame says what is synced, never what is only written', async () => {
  const sim = new SimLog(3)
  const log = await sim.opened(later)
  const lsn = log.openLsn
  for (const text of ['a 1', 'a 2', 'a 3']) await write(sim, text)
  await sim.clock.advance(1000)
  await write(sim, 'a 4')
  const found = framesOf(sim.disk.contents(first)).map((frame) => [frame.lsn, frame.syncedLsn])
  expect(found).toEqual([
    [lsn, lsn - 1],
    [lsn + 1, lsn - 1],
    [lsn + 2, lsn - 1],
    [lsn + 3, lsn + 2],
  ])
})

test('half of the bytes that may wait begin a sync at once, and at the limit a frame waits for its own', async () => {
  const sim = new SimLog(4, { latencyMsMax: 0 })
  const log = await sim.opened(later)
  const count = countSyncs(sim)
  await write(sim, `a ${'x'.repeat(3000)}`)
  expect(count.syncs).toBe(0)
  await write(sim, `a ${'x'.repeat(2000)}`)
  expect(count.syncs).toBe(1)
  await sim.clock.advance(10)
  expect(log.durableLsn).toBe(log.writtenLsn)
  await write(sim, `a ${'x'.repeat(9000)}`)
  expect(count.syncs).toBe(2)
  expect(log.durableLsn).toBe(log.openLsn - 1)
})

test('of a frame that is synced at once those who need it written hear before the sync', async () => {
  const sim = new SimLog(5)
  const log = await sim.opened(later)
  await write(sim, `a ${'x'.repeat(9000)}`)
  const lsn = log.openLsn - 1
  expect(sim.events).toEqual([`written ${lsn}`, `durable ${lsn}`])
})

test('whoever waits for a frame to be durable does not wait for the second to pass', async () => {
  const sim = new SimLog(6)
  const log = await sim.opened(later)
  await write(sim, 'a 1')
  log.hurry(log.openLsn - 1)
  await sim.clock.advance(5)
  expect(log.durableLsn).toBe(log.openLsn - 1)
  // A frame that is yet to be written.
  sim.append('a 2')
  log.hurry(log.openLsn)
  await write(sim, 'a 3')
  expect(log.durableLsn).toBe(log.openLsn - 1)
})

test('the end of the process loses nothing that was written, and what is not proven is written again', async () => {
  const sim = new SimLog(7)
  await sim.opened(later)
  for (const text of ['a 1', 'a 2', 'a 3']) await write(sim, text)
  sim.crash(undefined, true)
  const log = await sim.opened(later)
  expect(textsOf(sim)).toEqual(['a 1', 'a 2', 'a 3'])
  expect(log.recovery.reappendedFrames).toBe(3)
  // Now it is durable, whatever happens next.
  sim.crash(() => 'lost')
  await sim.opened(later)
  expect(textsOf(sim)).toEqual(['a 1', 'a 2', 'a 3'])
})

test('a power cut may lose a frame and leave those behind it: they all go, and are set aside', async () => {
  const sim = new SimLog(8)
  await sim.opened(later)
  const big = 'x'.repeat(600)
  await write(sim, `a 1${big}`)
  await sim.clock.advance(1000)
  for (const text of ['b 2', 'c 3', 'd 4']) await write(sim, `${text}${big}`)
  const [, , lost] = framesOf(sim.disk.contents(first))
  const sector = Math.floor(((lost?.offset ?? 0) + 300) / 512)
  sim.crash((path, at) => (path === first && at === sector ? 'lost' : 'kept'))
  const log = await sim.opened(later)
  expect(textsOf(sim).map((text) => text.slice(0, 3))).toEqual(['a 1', 'b 2'])
  expect(log.recovery.tornBytes).toBeGreaterThan(1200)
  expect(log.recovery.quarantined).toHaveLength(1)
  expect(log.recovery.notes).toEqual([
    expect.stringMatching(/0000000001\.log: from byte \d+ on what was not synced yet is lost$/),
  ])
})

test('of a frame that a later one calls synced, damage is damage', async () => {
  const sim = new SimLog(9)
  await sim.opened(later)
  await write(sim, 'a 1')
  await write(sim, 'a 2')
  await sim.clock.advance(1000)
  await write(sim, 'a 3')
  await write(sim, 'a 4')
  const [, damaged] = framesOf(sim.disk.contents(first))
  sim.disk.flipBit(first, (damaged?.offset ?? 0) + 60, 3)
  sim.crash(undefined, true)
  await expect(sim.opened(later)).rejects.toMatchObject({ code: 'E_STORAGE_CORRUPT', file: first })
})

test('where every batch is synced, a valid frame behind a bad one still means damage', async () => {
  const sim = new SimLog(10)
  await sim.opened()
  sim.append('a 1')
  await sim.commit()
  sim.append('a 2')
  await sim.commit()
  const [bad] = framesOf(sim.disk.contents(first))
  sim.disk.flipBit(first, (bad?.offset ?? 0) + 60, 3)
  sim.crash()
  await expect(sim.opened(later)).rejects.toMatchObject({ code: 'E_STORAGE_CORRUPT' })
})

test('numbers of frames that a power cut took without a trace are not used again', async () => {
  const sim = new SimLog(11)
  const log = await sim.opened(later)
  for (const text of ['a 1', 'a 2', 'a 3']) await write(sim, text)
  const { openLsn } = log
  sim.disk.setContents(first, sim.disk.durableContents(first))
  sim.crash()
  expect((await sim.opened(later)).openLsn).toBeGreaterThan(openLsn)
  expect(textsOf(sim)).toEqual([])
})

test('a sync that fails in the background is the end, and is not tried again', async () => {
  const sim = new SimLog(12)
  const log = await sim.opened(later)
  let syncs = 0
  sim.disk.fault = ({ kind }) => {
    if (kind !== 'sync') return null
    syncs++
    return { code: 'EIO' }
  }
  await write(sim, 'a 1')
  const lsn = log.openLsn - 1
  await sim.clock.advance(1100)
  expect(sim.events).toEqual([`written ${lsn}`, 'failed E_STORAGE_FAILED'])
  expect(() => sim.append('a 2')).toThrow(expect.objectContaining({ code: 'E_STORAGE_FAILED' }))
  await sim.clock.advance(10_000)
  expect(syncs).toBe(1)
  expect(log.durableLsn).toBe(lsn - 1)
  await expect(sim.close()).rejects.toMatchObject({ code: 'E_STORAGE_FAILED' })
})

test('a segment is begun when everything before it is synced', async () => {
  const sim = new SimLog(13)
  const log = await sim.opened({ ...later, segmentBytesMax: 4096 })
  const unsynced: string[] = []
  sim.disk.fault = ({ kind, path }) => {
    if (kind !== 'create' || !path.startsWith(logDirectory)) return null
    for (const other of sim.disk.paths().filter((one) => one.startsWith(logDirectory))) {
      if (!sim.disk.durableContents(other).equals(sim.disk.contents(other))) unsynced.push(other)
    }
    return null
  }
  for (let index = 0; index < 12; index++) await write(sim, `a ${index} ${'x'.repeat(1000)}`)
  expect(log.segments.length).toBeGreaterThan(2)
  expect(unsynced).toEqual([])
  sim.crash(() => 'lost')
  await sim.opened(later)
})

test('files of segments that are given up go when the frame that says so is synced', async () => {
  const sim = new SimLog(14)
  const log = await sim.opened({ ...later, segmentBytesMax: 4096 })
  for (let index = 0; index < 8; index++) await write(sim, `r ${index} ${'x'.repeat(1000)}`)
  const victims = log.segments.filter((segment) => segment.isRetirable)
  expect(victims).not.toHaveLength(0)
  const lsn = log.openLsn
  log.retire(victims)
  let durableLsn = 0
  sim.disk.fault = ({ kind }) => {
    if (kind === 'remove') durableLsn = log.durableLsn
    return null
  }
  await write(sim, 'z 1')
  expect(durableLsn).toBe(lsn)
})

test('a recovery is told to begin where the log is synced, not where it is written', async () => {
  const sim = new SimLog(15)
  const log = await sim.opened(later)
  await write(sim, 'a 1')
  await sim.clock.advance(1000)
  const synced = log.start
  await write(sim, 'a 2')
  expect(log.start).toEqual(synced)
  expect(synced.offset).toBe(framesOf(sim.disk.contents(first))[1]?.offset)
})

test('tells of every record whether it is durable', async () => {
  const sim = new SimLog(16)
  const log = await sim.opened(later)
  const one = sim.append('a 1')
  log.commit()
  const two = sim.append('a 2')
  const durable = (): boolean[] => [one, two].map(({ segmentId, offset }) => log.isDurable(segmentId, offset))
  await sim.clock.advance(5)
  expect(durable()).toEqual([false, false])
  log.hurry(log.openLsn - 2)
  await sim.clock.advance(1000)
  expect(durable()).toEqual([true, true])
})

test('closing syncs what was written', async () => {
  const sim = new SimLog(17)
  await sim.opened(later)
  await write(sim, 'a 1')
  await sim.close()
  sim.crash(() => 'lost')
  const log = await sim.opened(later)
  expect(textsOf(sim)).toEqual(['a 1'])
  expect(log.recovery.reappendedFrames).toBe(0)
})

test('a log that is left alone proves its last batch, once', async () => {
  const sim = new SimLog(18)
  const log = await sim.opened(later)
  await write(sim, 'a 1')
  const { openLsn } = log
  await sim.clock.advance(4000)
  expect(log.openLsn).toBe(openLsn + 1)
  await sim.clock.advance(60_000)
  expect(log.openLsn).toBe(openLsn + 1)
  expect(sim.clock.pendingEvents).toBe(0)
  sim.crash()
  expect((await sim.opened(later)).recovery.reappendedFrames).toBe(0)
})

test('a write that fails moves to a segment that begins when what was written before is synced', async () => {
  const sim = new SimLog(19)
  const log = await sim.opened(later)
  await write(sim, 'a 1')
  sim.disk.fault = ({ kind }) => (kind === 'write' ? { code: 'ENOSPC', bytesWritten: 30 } : null)
  await write(sim, 'a 2')
  sim.disk.fault = null
  await sim.clock.advance(8000)
  expect(sim.events).toContain('resumed')
  expect(log.durableLsn).toBe(log.openLsn - 1)
  sim.crash(() => 'lost')
  await sim.opened(later)
  expect(textsOf(sim)).toEqual(['a 1', 'a 2'])
})

test('the log waits for a sync that is under way before it begins its own, and none begins beside that', async () => {
  const clock = new SimClock()
  const ends: (() => void)[] = []
  const log = {
    syncTail: () => new Promise<void>((resolve) => void ends.push(resolve)),
    caughtUp() {},
    syncFailed() {},
  }
  const background = new BackgroundSync(clock, later, log, { lsn: 1, bytes: 100, crc: 0 })
  background.add({ lsn: 2, bytes: 200, crc: 0 }, 100)
  background.hurry(2)
  expect(ends).toHaveLength(1)
  let isHeld = false
  const held = background.hold().then(() => {
    isHeld = true
  })
  await clock.advance(5_000)
  expect(isHeld).toBe(false)
  ends[0]?.()
  await held
  background.hurry(3)
  background.add({ lsn: 3, bytes: 300, crc: 0 }, 100)
  await clock.advance(5_000)
  expect(ends).toHaveLength(1)
  background.release({ lsn: 4, bytes: 400, crc: 0 })
  await clock.advance(5_000)
  expect(ends).toHaveLength(1)
  expect(background.synced.lsn).toBe(4)
})
