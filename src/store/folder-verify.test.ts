// Checking a folder: what is found of every kind of damage, what is not called damage, and that nothing is changed.
import { describe, expect, test } from 'vitest'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'
import { type FileVerdict, type VerifyReport, verifyFolder } from './folder-verify.ts'
import { FolderView } from './folder-view.ts'

const pad = 'x'.repeat(300)
const bodies = (count: number, first = 1): string[] => Array.from({ length: count }, (_, at) => `${first + at} ${pad}`)

async function verify(world: SimFolder): Promise<VerifyReport> {
  return await world.clock.run(
    (async () => {
      const view = await FolderView.take(world.disk, '/data')
      const report = await verifyFolder(world.platform, view)
      await view.close()
      return report
    })(),
  )
}

/** 'file: what is wrong [messages]', of all that is. */
function told({ files }: VerifyReport): string[] {
  return files.flatMap(({ file, findings }: FileVerdict) =>
    findings.map(({ kind, detail, messages }) => {
      const named = messages.map(({ queue, sequence, waits }) => `${queue} ${sequence}${waits ? '' : '?'}`)
      return `${file}: ${kind}: ${detail}${named.length > 0 ? ` [${named.join(', ')}]` : ''}`
    }),
  )
}

/** A folder with sealed, cold and open segments, page files and two checkpoints; returns with the broker open. */
async function busyFolder(world: SimFolder): Promise<SimFolderRun> {
  const run = await world.open()
  await run.declare('slow', 'fast')
  for (let round = 0; round < 12; round++) {
    await run.publish('slow', ...bodies(10, 1 + round * 10))
    await run.publish('fast', ...bodies(60))
    await run.take('fast')
    await run.settle(600)
  }
  await run.settle(3_000)
  await run.publish('slow', ...bodies(3, 1_001))
  return run
}

/** Where in the file the text stands. */
function find(world: SimFolder, file: string, text: string): number {
  return world.disk.contents(`/data/${file}`).indexOf(text)
}

describe('a folder in which all is well', () => {
  test('is said to be, in use or not, and is not changed', async () => {
    const world = new SimFolder()
    const run = await busyFolder(world)
    expect(world.files().some((name) => name.startsWith('cold/'))).toBe(true)
    expect(world.files().some((name) => name.startsWith('idx/'))).toBe(true)
    const inUse = await verify(world)
    expect(told(inUse)).toEqual([])
    expect(inUse).toMatchObject({ damages: 0, messages: 123, messagesLost: 0 })
    await run.close()
    const before = world.contents()
    const closed = await verify(world)
    expect(told(closed)).toEqual([])
    expect(closed.messages).toBe(123)
    expect(closed.files.map(({ file }) => file).toSorted()).toEqual(world.files().toSorted())
    expect(world.contents()).toEqual(before)
  })

  test('is said to be at any moment while a broker works', async () => {
    let checks = 0
    for (let seed = 1; seed <= 16; seed++) {
      const world = new SimFolder(seed)
      const run = await world.open()
      await run.declare('q', 'stuck')
      let posted = 0
      const publish = (): void => {
        if (posted >= 3_000) return
        for (let count = 0; count < 5; count++) run.post(count === 0 ? 'stuck' : 'q', `${posted++} ${pad}`)
        if (posted % 50 === 0) run.channel.give({ type: 'queue.purge', queue: 'q' })
        world.clock.setTimer(3, publish)
      }
      publish()
      while (posted < 3_000) {
        expect(told(await verify(world)).filter((text) => text.includes(': damage: '))).toEqual([])
        checks++
        await run.settle(1 + ((seed * 7) % 29))
      }
    }
    expect(checks).toBeGreaterThan(60)
  })

  test('is well when a cold segment went with the last message in it, though checkpoints still name it', async () => {
    const world = new SimFolder()
    const run = await busyFolder(world)
    await run.settle(3_000)
    const cold = world.files().filter((name) => name.startsWith('cold/'))
    expect(cold.length).toBeGreaterThan(0)
    await run.take('slow')
    await run.settle(150)
    await run.publish('fast', 'x')
    await run.settle(100)
    world.kill()
    expect(world.files().filter((name) => cold.includes(name))).toEqual([])
    expect(told(await verify(world)).filter((text) => text.includes(': damage: '))).toEqual([])
    expect((await world.open()).broker.report).toMatchObject({ messages: 1 })
  })

  test('is well after a crash, whose torn tail is told', async () => {
    const world = new SimFolder()
    const run = await world.open('/data', { checkpointMs: 1e9, checkpointBytes: 1e9 })
    await run.declare('q')
    await run.publish('q', ...bodies(5))
    run.post('q', `lost ${pad}`)
    world.disk.fault = ({ kind, path }) =>
      kind === 'write' && path.includes('/log/') ? { code: 'EIO', bytesWritten: 100 } : null
    await run.settle()
    world.disk.fault = null
    world.kill()
    const report = await verify(world)
    expect(told(report)).toEqual([expect.stringMatching(/^log\/0000000001.log: torn: the last write was not finished/)])
    expect(report).toMatchObject({ damages: 0, messages: 5 })
    expect(report.files.find(({ status }) => status === 'torn')?.findings[0]?.bytes).toBe(100)
  })

  test('is well after a power cut that took what was not synced yet, which is told', async () => {
    const world = new SimFolder()
    const run = await world.open('/data', { durability: 'write', checkpointMs: 1e9, checkpointBytes: 1e9 })
    await run.declare('q')
    await run.publish('q', ...bodies(3))
    await run.settle(1_100)
    for (const body of bodies(5).slice(3)) await run.publish('q', body)
    world.cutPower((_path, sector) => (sector % 2 === 0 ? 'lost' : 'kept'))
    const report = await verify(world)
    expect(told(report)).toEqual([expect.stringMatching(/: torn: what was written last was not synced/)])
    expect(report.damages).toBe(0)
  })
})

describe('damage is found', () => {
  async function closedFolder(): Promise<SimFolder> {
    const world = new SimFolder()
    const run = await busyFolder(world)
    await run.close()
    return world
  }

  test('in a record of a segment, with the message that waits', async () => {
    const world = await closedFolder()
    const file = world
      .files()
      .findLast((name) => name.startsWith('log/') && find(world, name, `1002 ${pad}`) > 0) as string
    world.disk.flipBit(`/data/${file}`, find(world, file, `1002 ${pad}`) + 20, 1)
    const report = await verify(world)
    expect(told(report)).toEqual([
      `${file}: damage: record 1 of the frame does not match its checksum and address [slow 122]`,
    ])
    expect(report).toMatchObject({ damages: 1, messagesLost: 1 })
  })

  test('in a record of a cold segment, and in one that nobody needs any more', async () => {
    const world = await closedFolder()
    const cold = world.files().find((name) => name.startsWith('cold/') && find(world, name, `7 ${pad}`) > 0) as string
    world.disk.flipBit(`/data/${cold}`, find(world, cold, `7 ${pad}`), 1)
    expect(told(await verify(world))).toEqual([
      `${cold}: damage: the record does not match its checksum and address [slow 7]`,
    ])
  })

  test('in both kinds of headers', async () => {
    const world = await closedFolder()
    const cold = world.files().find((name) => name.startsWith('cold/')) as string
    const segment = world.files().find((name) => name.startsWith('log/')) as string
    world.disk.flipBit(`/data/${cold}`, 17, 1)
    world.disk.flipBit(`/data/${segment}`, 530, 1)
    expect(told(await verify(world))).toEqual([
      `${segment}: damage: this copy of its header is damaged; the other one is used`,
      `${cold}: damage: this copy of its header is damaged; the checkpoint says the same`,
    ])
  })

  test('in FORMAT, checkpoints and pages, and the rest is checked all the same', async () => {
    const world = await closedFolder()
    world.disk.flipBit('/data/FORMAT', 12, 0)
    const older = world.files().find((name) => name.startsWith('ckpt/')) as string
    world.disk.flipBit(`/data/${older}`, 30, 0)
    const page = world.files().findLast((name) => name.startsWith('idx/')) as string
    world.disk.flipBit(`/data/${page}`, 40, 0)
    const report = await verify(world)
    expect(told(report)).toEqual([
      'FORMAT: damage: its text does not match its checksum',
      `${older}: damage: the checkpoint is not whole; the one before it is used`,
      expect.stringMatching(/^idx\/\d+\.idx: damage: the page of queue number 1 .* does not match its checksum$/),
    ])
    expect(report.damages).toBe(3)
  })

  test('in whatever byte of the log and of cold segments is flipped', async () => {
    const world = await closedFolder()
    let tried = 0
    for (const name of world.files().filter((one) => /^(log|cold)\//.test(one))) {
      const { length } = world.disk.contents(`/data/${name}`)
      for (let offset = 1_024; offset < length; offset += 1 + Math.floor(length / 12)) {
        world.disk.flipBit(`/data/${name}`, offset, tried % 8)
        const report = await verify(world)
        const verdict = report.files.find(({ file }) => file === name)
        expect(verdict?.status, `${name} at ${offset}`).not.toBe('ok')
        world.disk.flipBit(`/data/${name}`, offset, tried % 8)
        tried++
      }
    }
    expect(tried).toBeGreaterThan(20)
    expect(told(await verify(world))).toEqual([])
  })

  test('in files that are missing or cut short', async () => {
    const world = await closedFolder()
    const cold = world.files().find((name) => name.startsWith('cold/')) as string
    await world.clock.run(world.disk.remove(`/data/${cold}`))
    const report = await verify(world)
    expect(report.files.find(({ file }) => file === cold)).toMatchObject({ status: 'missing', bytes: null })
    expect(report.messagesLost).toBeGreaterThan(0)

    const other = await closedFolder()
    const [first] = other.files().filter((name) => name.startsWith('log/')) as [string]
    const content = other.disk.contents(`/data/${first}`)
    other.disk.setContents(`/data/${first}`, content.subarray(0, content.length - 10))
    const cut = await verify(other)
    expect(cut.files.find(({ file }) => file === first)?.status).toBe('damaged')
  })

  test('at the end of the last segment, if a checkpoint proves what was there', async () => {
    const world = await closedFolder()
    const last = world.files().findLast((name) => name.startsWith('log/')) as string
    const content = world.disk.contents(`/data/${last}`)
    // Everything but the header: a crash would not have left that of what the final checkpoint knows.
    world.disk.setContents(`/data/${last}`, content.subarray(0, 1_050))
    const report = await verify(world)
    expect(report.damages).toBeGreaterThan(0)
    expect(told(report).some((text) => text.includes(': torn: '))).toBe(false)
  })
})

describe('what is not a folder', () => {
  test('is refused with E_NO_FOLDER', async () => {
    const world = new SimFolder()
    await expect(verify(world)).rejects.toMatchObject({ code: 'E_NO_FOLDER' })
    world.disk.setContents('/data/notes.txt', Buffer.from('x'))
    await expect(verify(world)).rejects.toMatchObject({ code: 'E_NO_FOLDER' })
  })

  test('and one of a later version with E_FORMAT_UNSUPPORTED', async () => {
    const world = new SimFolder()
    await (await world.open()).close()
    const { writeFormat } = await import('../log/format-file.ts')
    await world.clock.run(writeFormat(world.platform, '/data', 'u', 0x80))
    await expect(verify(world)).rejects.toMatchObject({ code: 'E_FORMAT_UNSUPPORTED' })
  })
})
