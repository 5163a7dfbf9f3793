// One process per folder, and a refusal that says who and where.
import { expect, test } from 'vitest'
import { SimLog, simLogDirectory } from '../testing/sim-log.ts'
import { logOptionsDefault } from './log-options.ts'
import { SegmentedLog } from './segmented-log.ts'

const lockPath = `${simLogDirectory}/LOCK`
const sink = { record: () => {}, frameEnd: () => {} }
const events = { durable: () => {}, written: () => {}, stalled: () => {}, resumed: () => {}, failed: () => {} }

function openFromOtherProcess(sim: SimLog): Promise<SegmentedLog> {
  const platform = { ...sim.platform, host: sim.machine.startProcess() }
  return sim.clock.run(SegmentedLog.open(platform, simLogDirectory, logOptionsDefault, sink, events))
}

test('a second opener is told pid, host and where the owner serves', async () => {
  const sim = new SimLog(1)
  const log = await sim.opened()
  await sim.clock.run(log.setAddresses(['amqp://127.0.0.1:5672', 'unix:/data/socket']))
  await expect(openFromOtherProcess(sim)).rejects.toMatchObject({
    code: 'E_FOLDER_IN_USE',
    pid: sim.host.pid,
    host: 'sim',
    addresses: ['amqp://127.0.0.1:5672', 'unix:/data/socket'],
  })
  await expect(openFromOtherProcess(sim)).rejects.toThrow(
    /process \d+ on sim.*amqp:\/\/127\.0\.0\.1:5672.*connect there/,
  )
  await sim.close()
  expect(sim.disk.paths()).not.toContain(lockPath)
  await openFromOtherProcess(sim)
})

test('LOCK says who, since when, in which boot and epoch', async () => {
  const sim = new SimLog(2)
  await sim.opened()
  await sim.close()
  await sim.opened()
  expect(JSON.parse(sim.disk.contents(lockPath).toString())).toEqual({
    pid: sim.host.pid,
    startTime: sim.host.startTime,
    bootId: sim.host.bootId,
    host: 'sim',
    epoch: 2,
    addresses: [],
  })
})

test('the LOCK of a process that died is stale, even if its pid was given away', async () => {
  const sim = new SimLog(3)
  await sim.opened()
  const left = sim.disk.contents(lockPath)
  sim.crash(undefined, true)
  await sim.opened()
  sim.crash(undefined, true)
  // The same pid runs again, but it started at another time.
  sim.disk.setContents(lockPath, Buffer.from(left.toString().replace(/"pid":\d+/, `"pid":${sim.host.pid}`)))
  await sim.opened()
})

test('the LOCK of another boot is stale', async () => {
  const sim = new SimLog(4)
  await sim.opened()
  const owner = JSON.parse(sim.disk.contents(lockPath).toString()) as object
  await sim.close()
  const living = sim.machine.startProcess()
  const text = JSON.stringify({ ...owner, pid: living.pid, startTime: living.startTime, bootId: 'boot-0' })
  sim.disk.setContents(lockPath, Buffer.from(text))
  await sim.opened()
})

test('the LOCK of a living process refuses although the kernel shows no lock', async () => {
  const sim = new SimLog(5)
  await sim.opened()
  const text = sim.disk.contents(lockPath)
  await sim.close()
  sim.disk.setContents(lockPath, text)
  await expect(openFromOtherProcess(sim)).rejects.toMatchObject({ code: 'E_FOLDER_IN_USE', pid: sim.host.pid })
  // The refusal left everything as it was, and the owner itself may come back.
  expect(sim.disk.contents(lockPath)).toEqual(text)
  await sim.opened()
})

test('a LOCK that a crash left in pieces is stale', async () => {
  for (const text of ['', '{"pid":', 'null', '[]', '{"pid":"x"}']) {
    const sim = new SimLog(6)
    sim.disk.setContents(lockPath, Buffer.from(text))
    await sim.opened()
  }
})

test('an opening that fails gives the folder back', async () => {
  const sim = new SimLog(7)
  sim.disk.fault = ({ kind, path }) => (kind === 'create' && path.includes('/log/') ? { code: 'EACCES' } : null)
  await expect(sim.opened()).rejects.toMatchObject({ code: 'E_STORAGE_FAILED' })
  sim.disk.fault = null
  await sim.opened()
})
