// A view of a folder: what it shows stays as it was, and nothing that is done to it happens.
import { describe, expect, test } from 'vitest'
import { consume } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'
import { verifyFolder } from './folder-verify.ts'
import { FolderView } from './folder-view.ts'

async function small(): Promise<{ world: SimFolder; view: FolderView }> {
  const world = new SimFolder()
  const run = await world.open('/data', { checkpointBytes: 1e9, checkpointMs: 1e9 })
  await run.declare('q')
  await run.publish('q', 'a', 'b')
  return { world, view: await world.clock.run(FolderView.take(world.disk, '/data')) }
}

const large = '.'.repeat(4_001)

/** A large body is stored, taken and acknowledged. Returns the last delivery tag. */
async function comeAndGo(run: SimFolderRun, acked: number): Promise<number> {
  let tag = acked
  run.postLarge('q', large)
  for (let ms = 0; ms < 40; ms++) {
    await run.settle(1)
    for (const _ of run.channel.takeBodies()) {
      run.channel.port.ack(++tag, false)
      run.post('r', 'small')
    }
  }
  return tag
}

async function read(world: SimFolder, view: FolderView, name: string): Promise<Buffer> {
  const file = await view.open(`/data/${name}`, 'read')
  const content = Buffer.alloc((await file.size()) + 10)
  const bytes = await world.clock.run(file.read(content, 0, content.length, 0))
  expect(file.readNow(Buffer.alloc(content.length), 0, content.length, 0)).toBe(bytes)
  return content.subarray(0, bytes)
}

describe('a view of a folder', () => {
  test('shows a file as it was when the view was taken, also when it has grown or gone', async () => {
    const { world, view } = await small()
    const name = 'log/0000000001.log'
    const before = world.disk.contents(`/data/${name}`)
    const file = await world.clock.run(world.disk.open(`/data/${name}`, 'write'))
    await world.clock.run(file.write(Buffer.from('more'), 0, 4, before.length))
    expect(await read(world, view, name)).toEqual(before)
    await world.clock.run(world.disk.remove(`/data/${name}`))
    expect(await read(world, view, name)).toEqual(before)
    expect(view.files.map((one) => one.name)).toEqual(['FORMAT', name])
    await world.clock.run(view.close())
  })

  test('takes every change for itself alone', async () => {
    const { world, view } = await small()
    const before = world.contents()
    const fork = view.fork()
    const made = await fork.open('/data/log/0000000002.log.tmp', 'create')
    await made.write(Buffer.from('hello'), 0, 5, 3)
    await made.sync()
    await made.close()
    await fork.rename('/data/log/0000000002.log.tmp', '/data/log/0000000002.log')
    await fork.link('/data/log/0000000002.log', '/data/log/0000000003.log')
    expect(await fork.list('/data/log')).toEqual(['0000000001.log', '0000000002.log', '0000000003.log'])
    expect((await read(world, fork, 'log/0000000003.log')).toString()).toBe('\0\0\0hello')
    const cut = await fork.open('/data/log/0000000001.log', 'write')
    await cut.truncate(10)
    expect(await read(world, fork, 'log/0000000001.log')).toHaveLength(10)
    await expect(cut.write(Buffer.from('x'), 0, 1, 0)).rejects.toMatchObject({ code: 'EROFS' })
    await fork.remove('/data/FORMAT')
    await expect(fork.open('/data/FORMAT', 'read')).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(fork.remove('/data/FORMAT')).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(fork.open('/data/log/0000000001.log', 'create')).rejects.toMatchObject({ code: 'EEXIST' })
    expect(await view.list('/data/log')).toEqual(['0000000001.log'])
    expect(await read(world, view, 'log/0000000001.log')).not.toHaveLength(10)
    expect(world.contents()).toEqual(before)
    expect(world.files().sort()).toEqual(['FORMAT', 'LOCK', 'log/0000000001.log'])
  })

  test('gives up on a folder that does not hold still', async () => {
    const { world } = await small()
    let isRemoved = false
    world.disk.fault = ({ kind, path }) => {
      isRemoved ||= kind === 'open' && path.endsWith('.log')
      return kind === 'open' && path.endsWith('.log') ? { code: 'ENOENT' } : null
    }
    const taken = world.clock.run(FolderView.take(world.disk, '/data'))
    await expect(taken).rejects.toMatchObject({ code: 'E_FOLDER_CHANGING' })
    expect(isRemoved).toBe(true)
  })

  test('has the body of each message that it has, however fast bodies come and go meanwhile', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const world = new SimFolder(seed)
      const run = await world.open('/data', { checkpointBytes: 1e9, checkpointMs: 1e9 })
      await run.declare('q', 'r')
      for (let at = 0; at < 60; at++) {
        run.postLarge('r', large)
        await run.settle(10)
      }
      await run.settle(500)
      run.channel.give(consume('q'))
      let isTaken = false
      const taking = FolderView.take(world.disk, '/data').finally(() => {
        isTaken = true
      })
      for (let acked = 0; !isTaken; ) acked = await comeAndGo(run, acked)
      const view = await taking
      await run.close()
      const { files } = await world.clock.run(verifyFolder(world.platform, view))
      expect(files.filter(({ status }) => status === 'missing').map(({ file }) => file)).toEqual([])
      await world.clock.run(view.close())
    }
  })
})
