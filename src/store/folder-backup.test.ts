// Backups made while a broker works, and folders made from backups: on the simulated disk, and on the real one.
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { removeFolder, temporaryFolder } from '../../test/support/temporary-folder.ts'
import { connect } from '../index.ts'
import { NodePlatform } from '../platform/node-platform.ts'
import type { Platform } from '../platform/platform.ts'
import { SimFolder } from '../testing/sim-folder.ts'
import { backupFolder, type CopyReport, needEmptyFolder, restoreFolder } from './folder-backup.ts'
import { verifyFolder } from './folder-verify.ts'
import { FolderView } from './folder-view.ts'

const pad = 'x'.repeat(300)

async function backup(platform: Platform, from: string, to: string): Promise<CopyReport> {
  const view = await FolderView.take(platform.disk, from)
  try {
    return await backupFolder(platform, view, to)
  } finally {
    await view.close()
  }
}

async function damagesOf(platform: Platform, folder: string): Promise<number> {
  const view = await FolderView.take(platform.disk, folder)
  const { damages } = await verifyFolder(platform, view)
  await view.close()
  return damages
}

async function restore(platform: Platform, from: string, to: string, force: boolean): Promise<void> {
  const view = await FolderView.take(platform.disk, from)
  try {
    await restoreFolder(platform, view, to, force)
  } finally {
    await view.close()
  }
}

describe('a backup', () => {
  test('is made although a cold segment went with its last message, and checkpoints still name it', async () => {
    const world = new SimFolder()
    const run = await world.open()
    await run.declare('slow', 'fast')
    for (let round = 0; round < 12; round++) {
      await run.publish('slow', ...Array.from({ length: 10 }, (_, at) => `${round} ${at} ${pad}`))
      await run.publish('fast', ...Array.from({ length: 60 }, () => pad))
      await run.take('fast')
      await run.settle(600)
    }
    await run.settle(3_000)
    expect(world.files().some((name) => name.startsWith('cold/'))).toBe(true)
    await run.take('slow')
    await run.settle(150)
    await run.publish('fast', 'last')
    await run.settle(100)
    expect(world.files().some((name) => name.startsWith('cold/'))).toBe(false)
    await world.clock.run(backup(world.platform, '/data', '/backup'))
    expect(await world.clock.run(damagesOf(world.platform, '/backup'))).toBe(0)
    world.kill()
    const opened = await world.open('/backup')
    expect(await opened.take('fast')).toEqual(['last'])
    expect(await opened.take('slow')).toEqual([])
  })

  test('has everything that was confirmed before, however much is going on', async () => {
    let linked = 0
    for (let seed = 1; seed <= 6; seed++) {
      const world = new SimFolder(seed)
      const run = await world.open()
      await run.declare('kept', 'passing')
      const posted: string[] = []
      const publish = (): void => {
        if (posted.length >= 1_500) return
        const body = `${posted.length} ${pad}`
        posted.push(body)
        run.post('kept', body)
        for (let count = 0; count < 4; count++) run.post('passing', pad)
        if (posted.length % 20 === 0) run.channel.give({ type: 'queue.purge', queue: 'passing' })
        world.clock.setTimer(2, publish)
      }
      publish()
      for (let number = 1; posted.length < 1_500; number++) {
        await run.settle(seed * 101)
        const confirmed = run.confirmed.filter((body) => body !== pad)
        const target = `/backup${number}`
        const report = await world.clock.run(backup(world.platform, '/data', target))
        linked += report.linked
        expect(await world.clock.run(damagesOf(world.platform, target))).toBe(0)
        // On a disk of its own, so that the first one works on.
        const copy = new SimFolder(seed)
        for (const [path, content] of world.disk.snapshot()) {
          if (path.startsWith(`${target}/`)) copy.disk.setContents(path, content)
        }
        const opened = await copy.open(target)
        const bodies = await opened.take('kept')
        expect(bodies).toEqual(posted.slice(0, bodies.length))
        expect(confirmed).toEqual(posted.slice(0, confirmed.length))
        expect(bodies.length).toBeGreaterThanOrEqual(confirmed.length)
      }
      await run.close()
    }
    expect(linked).toBeGreaterThan(20)
  })

  test('stays what it is while the folder goes on, is compacted, and is opened after a crash', async () => {
    const world = new SimFolder()
    const run = await world.open()
    await run.declare('q')
    for (let round = 0; round < 10; round++) await run.publish('q', ...Array.from({ length: 20 }, () => pad))
    await world.clock.run(backup(world.platform, '/data', '/backup'))
    const before = world.contents('/backup')
    await run.take('q', 150)
    await run.settle(5_000)
    world.kill()
    const again = await world.open()
    await again.publish('q', ...Array.from({ length: 100 }, () => pad))
    await again.close()
    expect(world.contents('/backup')).toEqual(before)
  })

  test('of a folder without a checkpoint has all segments', async () => {
    const world = new SimFolder()
    const run = await world.open('/data', { checkpointBytes: 1e9, checkpointMs: 1e9 })
    await run.declare('q')
    await run.publish('q', ...Array.from({ length: 200 }, (_, at) => `${at} ${pad}`))
    const report = await world.clock.run(backup(world.platform, '/data', '/backup'))
    expect(report.checkpoint).toBe(null)
    expect(world.files('/backup').filter((name) => name.startsWith('ckpt/'))).toEqual([])
    const opened = await world.open('/backup')
    expect(await opened.take('q')).toHaveLength(200)
  })

  test('survives a power cut as soon as it is made, and is no folder before', async () => {
    const world = new SimFolder()
    const run = await world.open()
    await run.declare('q')
    for (let round = 0; round < 5; round++) await run.publish('q', ...Array.from({ length: 40 }, () => pad))
    const made = backup(world.platform, '/data', '/backup')
    while (!world.files('/backup').includes('FORMAT')) {
      await world.clock.step()
      const isMade = world.files('/backup').includes('FORMAT')
      if (!isMade && world.files('/backup').length > 1) {
        const names = world.files('/backup')
        expect(names).not.toContain('FORMAT')
      }
    }
    await world.clock.run(made)
    world.disk.crash()
    world.clock.clear()
    const after = new SimFolder()
    for (const [path, content] of world.disk.snapshot()) after.disk.setContents(path, content)
    expect(await after.clock.run(damagesOf(after.platform, '/backup'))).toBe(0)
    const opened = await after.open('/backup')
    expect(await opened.take('q')).toHaveLength(200)
  })

  test('is copied where links are not possible', async () => {
    const world = new SimFolder()
    const run = await world.open()
    await run.declare('q')
    for (let round = 0; round < 5; round++) await run.publish('q', ...Array.from({ length: 40 }, () => pad))
    world.disk.fault = ({ kind }) => (kind === 'link' ? { code: 'EXDEV' } : null)
    const report = await world.clock.run(backup(world.platform, '/data', '/backup'))
    expect(report.linked).toBe(0)
    expect(report.copiedBytes).toBe(report.bytes)
    expect(await world.clock.run(damagesOf(world.platform, '/backup'))).toBe(0)
  })

  test('is refused for a target that is not empty, and says what to do when the disk is full', async () => {
    const world = new SimFolder()
    await (await world.open()).close()
    world.disk.setContents('/other/x', Buffer.from('x'))
    await expect(world.clock.run(needEmptyFolder(world.disk, '/other'))).rejects.toMatchObject({ code: 'E_NOT_EMPTY' })
    await world.clock.run(needEmptyFolder(world.disk, '/nothing'))
    world.disk.fault = ({ kind, path }) => (kind === 'write' && path.startsWith('/full') ? { code: 'ENOSPC' } : null)
    const made = world.clock.run(backup(world.platform, '/data', '/full'))
    await expect(made).rejects.toMatchObject({
      code: 'E_STORAGE_FAILED',
      message: expect.stringContaining('/full is incomplete') as string,
    })
  })
})

describe('a restore', () => {
  async function backedUp(): Promise<SimFolder> {
    const world = new SimFolder()
    const run = await world.open()
    await run.declare('q')
    for (let round = 0; round < 5; round++) {
      await run.publish('q', ...Array.from({ length: 40 }, (_, at) => `${round * 40 + at} ${pad}`))
    }
    await world.clock.run(backup(world.platform, '/data', '/backup'))
    return world
  }

  test('makes a folder of its own, and the backup stays as it is', async () => {
    const world = await backedUp()
    const before = world.contents('/backup')
    await world.clock.run(restore(world.platform, '/backup', '/new', false))
    const run = await world.open('/new')
    expect(await run.take('q')).toHaveLength(200)
    await run.close()
    expect(world.contents('/backup')).toEqual(before)
  })

  test('refuses a damaged backup unless it is forced to', async () => {
    const world = await backedUp()
    const [segment] = world.files('/backup').filter((name) => name.startsWith('log/')) as [string]
    world.disk.flipBit(`/backup/${segment}`, 2_000, 3)
    const refused = world.clock.run(restore(world.platform, '/backup', '/new', false))
    await expect(refused).rejects.toMatchObject({ code: 'E_STORAGE_CORRUPT' })
    expect(world.files('/new')).toEqual([])
    await world.clock.run(restore(world.platform, '/backup', '/new', true))
    const run = await world.open('/new', { salvage: true })
    expect((await run.take('q', 1)).length).toBe(1)
  })
})

describe('on the real disk', () => {
  let folder: string

  beforeAll(() => {
    folder = temporaryFolder('backup')
  })

  afterAll(() => removeFolder(folder))

  test('a folder that is in use is backed up, linked where it can be, and restored', async () => {
    const platform = new NodePlatform()
    const bus = await connect(`file:${folder}/data`)
    const queue = await bus.createQueue('work')
    const body = 'y'.repeat(1_000_000)
    for (let number = 0; number < 80; number++) await queue.send({ number, body })
    const ongoing = Promise.all(Array.from({ length: 20 }, (_, number) => queue.send({ number: 80 + number, body })))
    const report = await backup(platform, `${folder}/data`, `${folder}/backup`)
    await ongoing
    await bus.close()
    expect(report.linked).toBeGreaterThan(0)
    const linked = readdirSync(join(folder, 'backup/log')).filter(
      (name) =>
        existsSync(join(folder, 'data/log', name)) &&
        statSync(join(folder, 'data/log', name)).ino === statSync(join(folder, 'backup/log', name)).ino,
    )
    expect(linked).toHaveLength(report.linked)
    expect(await damagesOf(platform, `${folder}/backup`)).toBe(0)
    await restore(platform, `${folder}/backup`, `${folder}/restored`, false)
    const opened = await connect(`file:${folder}/restored`)
    expect((await (await opened.openQueue('work')).count()).ready).toBeGreaterThanOrEqual(80)
    await opened.close()
    writeFileSync(join(folder, 'a file'), '')
    await expect(needEmptyFolder(platform.disk, `${folder}/a file`)).rejects.toMatchObject({ code: 'E_NOT_EMPTY' })
    await expect(backup(platform, `${folder}/a file`, `${folder}/b`)).rejects.toMatchObject({ code: 'E_NO_FOLDER' })
  })
})
