// FORMAT: which versions may open this folder.
import { expect, test } from 'vitest'
import { crc32 } from '../lib/crc32.ts'
import { SimLog, simLogDirectory } from '../testing/sim-log.ts'

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
