// FORMAT: which versions may open this folder.
import { expect, test } from 'vitest'
import { crc32 } from '../lib/crc32.ts'
import { SimLog, simLogDirectory } from '../testing/sim-log.ts'
import { type Format, type FormatOptions, openFormat } from './format-file.ts'

const path = `${simLogDirectory}/FORMAT`

async function closedLog(seed: number): Promise<SimLog> {
  const sim = new SimLog(seed)
  await sim.opened()
  sim.append('a 1')
  await sim.close()
  return sim
}

function withCrc(lines: string): Buffer {
  const bytes = Buffer.from(lines)
  return Buffer.from(`${lines}crc ${crc32(bytes, 0, bytes.length, 0).toString(16).padStart(8, '0')}\n`)
}

function edited(sim: SimLog, from: string | RegExp, to: string): Buffer {
  const text = sim.disk.contents(path).toString()
  return withCrc(text.slice(0, text.indexOf('crc ')).replace(from, to))
}

test('a new folder gets one, in lines a person can read, and keeps it', async () => {
  const sim = await closedLog(1)
  const text = sim.disk.contents(path).toString()
  expect(text).toMatch(
    /^leveret\nformat 1\.0\ncompat 0\nro_compat 0\nincompat 0\nuuid [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\ncrc [0-9a-f]{8}\n$/,
  )
  expect(edited(sim, '', '').toString()).toBe(text)
  await sim.opened()
  expect(sim.disk.contents(path).toString()).toBe(text)
})

test.each([
  ['incompat 0', 'incompat 4', 'incompat bits 4'],
  ['ro_compat 0', 'ro_compat 1', 'ro_compat bits 1'],
  ['format 1.0', 'format 2.3', 'format 2.3'],
])('what a newer version wrote is refused by name (%s → %s)', async (from, to, told) => {
  const sim = await closedLog(2)
  sim.disk.setContents(path, edited(sim, from, to))
  await expect(sim.opened()).rejects.toMatchObject({ code: 'E_FORMAT_UNSUPPORTED', file: path })
  await expect(sim.opened()).rejects.toThrow(told)
})

test('the version that is needed is named, if FORMAT says it', async () => {
  const sim = await closedLog(8)
  sim.disk.setContents(path, edited(sim, 'incompat 0', 'incompat 80000005\nneeds 2.1.0'))
  await expect(sim.opened()).rejects.toThrow(/incompat bits 80000004 are unknown\. Use Leveret 2\.1\.0, or newer\.$/)
})

test('bits that only matter to whoever writes do not keep others from reading', async () => {
  const sim = await closedLog(9)
  sim.disk.setContents(path, edited(sim, 'ro_compat 0', 'ro_compat 4'))
  const open = (options: FormatOptions): Promise<Format> =>
    sim.clock.run(openFormat(sim.platform, simLogDirectory, true, options))
  await expect(open({})).rejects.toMatchObject({ code: 'E_FORMAT_UNSUPPORTED', detail: 'ro_compat bits 4 are unknown' })
  expect(await open({ readsOnly: true })).toMatchObject({ isNew: false })
})

test('bits and lines that an older version may ignore are ignored', async () => {
  const sim = await closedLog(3)
  sim.disk.setContents(path, edited(sim, 'compat 0', 'compat ff\nflavour sweet'))
  await sim.opened()
})

test('segments without FORMAT, or with one that was changed, are refused', async () => {
  const sim = await closedLog(4)
  const text = sim.disk.contents(path)
  sim.disk.setContents(path, Buffer.from(text.toString().replace('incompat 0', 'incompat 1')))
  await expect(sim.opened()).rejects.toMatchObject({ code: 'E_STORAGE_CORRUPT', file: path })
  const snapshot = sim.disk.snapshot()
  snapshot.delete(path)
  sim.disk.restore(snapshot)
  await expect(sim.opened()).rejects.toMatchObject({ code: 'E_STORAGE_CORRUPT', file: path })
})

test('salvage writes one that is damaged or missing anew, as the folder needs it, and keeps the damaged text', async () => {
  for (let offset = 1; offset < 107; offset += 3) {
    const sim = await closedLog(5)
    const text = sim.disk.contents(path)
    const isMissing = offset === text.length
    if (isMissing) {
      const snapshot = sim.disk.snapshot()
      snapshot.delete(path)
      sim.disk.restore(snapshot)
    } else sim.disk.flipBit(path, offset, 6)
    const damaged = isMissing ? null : sim.disk.contents(path)
    await expect(sim.opened()).rejects.toMatchObject({ code: 'E_STORAGE_CORRUPT', file: path })
    const log = await sim.opened({ salvage: true })
    expect(log.recovery.notes).toEqual([expect.stringMatching(/FORMAT: .*; it was written anew$/)])
    await sim.close()
    const written = sim.disk.contents(path).toString()
    // The name of the folder stays where it is known: a text is one bit away.
    if (!isMissing) expect(written).toBe(text.toString())
    else expect(written).toMatch(/^leveret\nformat 1\.0\ncompat 0\nro_compat 0\nincompat 0\nuuid [0-9a-f-]{36}\ncrc /)
    const kept = sim.disk.paths().filter((name) => name.includes('quarantine/FORMAT'))
    expect(kept.map((name) => sim.disk.contents(name))).toEqual(damaged === null ? [] : [damaged])
    expect((await sim.opened()).recovery.notes).toEqual([])
  }
})

test('salvage keeps the name where more than one bit is wrong elsewhere', async () => {
  const sim = await closedLog(7)
  const text = sim.disk.contents(path).toString()
  sim.disk.setContents(path, Buffer.from(text.replace('leveret', 'ABCDEFG').replace('incompat 0', 'incompat ?')))
  await sim.opened({ salvage: true })
  expect(sim.disk.contents(path).toString()).toBe(text)
})

test('salvage does not take a damaged one for its own that seems to be of a later version', async () => {
  const sim = await closedLog(6)
  const text = sim.disk.contents(path).toString()
  for (const [from, to] of [
    ['incompat 0', 'incompat 86'],
    ['ro_compat 0', 'ro_compat 7'],
    ['format 1.0', 'format 4.0'],
  ] as const) {
    sim.disk.setContents(path, Buffer.from(text.replace(from, to)))
    await expect(sim.opened({ salvage: true })).rejects.toMatchObject({ code: 'E_FORMAT_UNSUPPORTED', file: path })
    expect(sim.disk.contents(path).toString()).toBe(text.replace(from, to))
  }
})
