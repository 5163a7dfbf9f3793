// Folders on network file systems: refused unless somebody says that it is all right, and told in any case.
import { expect, test } from 'vitest'
import { SimLog } from '../testing/sim-log.ts'

test.each([
  [0x6969, 'NFS'],
  [0xfe534d42, 'SMB2'],
  [0xff534d42, 'CIFS'],
])('a folder on a network file system (%i) is refused before anything is written, by name', async (type, name) => {
  const sim = new SimLog(1)
  sim.disk.fileSystem = type
  await expect(sim.opened()).rejects.toMatchObject({ code: 'E_NETWORK_FOLDER', detail: name })
  expect(sim.disk.paths()).toEqual([])
  const log = await sim.opened({ networkFolder: true })
  expect(log.recovery.notes).toEqual([expect.stringContaining(`is on ${name}, a network file system`)])
})

test.each([
  [0x01021997, '9p'],
  [0x65735546, 'FUSE'],
])('one of which nobody knows what is behind it (%i) opens, and that is told', async (type, name) => {
  const sim = new SimLog(2)
  sim.disk.fileSystem = type
  const log = await sim.opened()
  expect(log.recovery.notes).toEqual([expect.stringContaining(`is on ${name}: make sure`)])
})

test('one on a disk of this machine opens without a word', async () => {
  const sim = new SimLog(3)
  sim.disk.fileSystem = 0xef53
  expect((await sim.opened()).recovery.notes).toEqual([])
})
