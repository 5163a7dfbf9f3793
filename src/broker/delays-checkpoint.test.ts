// A checkpoint that is made while a message that is due is still being read: it must go on calling it hidden.
import { expect, test } from 'vitest'
import { LogStore } from '../store/log-store.ts'
import { CoreChannel, CoreSession, hostLogin } from '../testing/core-harness.ts'
import { SimFolder, SimFolderRun, smallFolderOptions } from '../testing/sim-folder.ts'
import { Broker } from './broker.ts'

test('what was acknowledged stays away after a crash, and what was due is the last of its queue', async () => {
  const folder = new SimFolder()
  const quiet = { windowBytesMax: 1, pageBytesMax: 1_000_000, checkpointBytes: 1_000_000_000 }
  const first = await folder.open('/data', quiet)
  await first.declare('q')
  for (const body of ['a', 'b', 'c', 'd']) first.post('q', body)
  first.post('q', 'hidden', { 'x-leveret-delay': 1_000_000 })
  for (const body of ['e', 'f']) first.post('q', body)
  await first.settle(200)
  await first.close()

  // Recovery leaves entries in pages, and none as objects: what a checkpoint puts before the pages stands alone there.
  const options = { ...smallFolderOptions, ...quiet, checkpointBytes: 1, checkpointMs: 600, checkpointSoonMs: 0 }
  const store = new LogStore(folder.platform, '/data', options)
  const parameters = { memoryBytesMax: 1_000_000_000, deliverAfter: 'accept' } as const
  const broker = await folder.clock.run(Broker.open(folder.platform, store, parameters))
  const session = new CoreSession({ settle() {} })
  session.port = await folder.clock.run(broker.openSession(hostLogin, session))
  const run = new SimFolderRun(folder.clock, broker, new CoreChannel({ settle() {} }, session.port), store.bodies)

  // As the queue does when it is due; then its message is read, which may take as long as the disk likes.
  const [index] = [...store.indexes]
  let taken = 0
  while (taken === 0 && index !== undefined) index.takeDue(index.nextDueMs, 10, () => taken++)
  const checkpoints = (): string =>
    folder
      .files()
      .filter((name) => name.endsWith('.ckpt'))
      .join()
  const before = checkpoints()
  await run.declare('other')
  while (checkpoints() === before) await folder.clock.step()
  expect(await run.take('q', 2)).toEqual(['a', 'b'])
  // Acknowledgements wait a tenth of a second for company.
  await run.settle(130)
  folder.kill(true)

  const last = await folder.open('/data', quiet)
  expect(await last.take('q')).toEqual(['c', 'd', 'e', 'f'])
  await last.settle(1_100_000)
  expect(await last.take('q')).toEqual(['hidden'])
})
