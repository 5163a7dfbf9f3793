// Salvage of indexes: whatever page of a queue is damaged, its messages are found again where they lie.
import { expect, test } from 'vitest'
import { consume } from '../testing/core-harness.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'
import { verifyFolder } from './folder-verify.ts'
import { FolderView } from './folder-view.ts'

const pad = 'x'.repeat(300)

/** A closed folder whose queue 'slow' has a hundred messages or so, in cold and other segments, with pages in files. */
async function closedFolder(): Promise<SimFolder> {
  const world = new SimFolder()
  const run = await world.open()
  await run.declare('slow', 'fast')
  for (let round = 0; round < 12; round++) {
    await run.publish('slow', ...Array.from({ length: 10 }, (_, at) => `${round * 10 + at} ${pad}`))
    await run.publish('fast', ...Array.from({ length: 60 }, () => pad))
    await run.take('fast')
    await run.settle(600)
  }
  await run.settle(3_000)
  await run.take('slow', 5)
  await run.close()
  return world
}

const left = Array.from({ length: 115 }, (_, at) => `${at + 5} ${pad}`)

function copyOf(world: SimFolder): SimFolder {
  const copy = new SimFolder()
  copy.disk.restore(world.disk.snapshot())
  return copy
}

async function damagesOf(world: SimFolder): Promise<number> {
  const verify = async (): Promise<number> => {
    const view = await FolderView.take(world.disk, '/data')
    const { damages } = await verifyFolder(world.platform, view)
    await view.close()
    return damages
  }
  return await world.clock.run(verify())
}

async function salvage(world: SimFolder): Promise<SimFolderRun> {
  const run = await world.open('/data', { salvage: true })
  await run.close()
  return run
}

test('every message of a damaged page is there after a salvage, in its order, and the folder is whole', async () => {
  const folder = await closedFolder()
  const pages = folder.files().filter((name) => name.startsWith('idx/'))
  expect(folder.files().some((name) => name.startsWith('cold/'))).toBe(true)
  expect(pages.length).toBeGreaterThan(3)
  let rescued = 0
  for (const name of pages) {
    const world = copyOf(folder)
    world.disk.flipBit(`/data/${name}`, world.disk.contents(`/data/${name}`).length - 5, 3)
    expect(await damagesOf(world)).toBe(1)
    const { broker } = await salvage(world)
    const told = / at \d+: the page of queue number 1 with (\d+) messages is damaged; \1 were found in their segments$/
    expect(broker.report.notes).toEqual([expect.stringMatching(told)])
    rescued++
    expect(await damagesOf(world)).toBe(0)
    const run = await world.open()
    expect(await run.take('slow')).toEqual(left)
  }
  expect(rescued).toBe(pages.length)
})

test('all pages may be damaged at once', async () => {
  const world = await closedFolder()
  for (const name of world.files().filter((one) => one.startsWith('idx/'))) {
    const { length } = world.disk.contents(`/data/${name}`)
    for (let offset = 0; offset < length; offset += 50) world.disk.flipBit(`/data/${name}`, offset, 0)
  }
  await salvage(world)
  const run = await world.open()
  expect(await run.take('slow')).toEqual(left)
})

test('a message whose record is damaged as well is the only one that is lost', async () => {
  const world = await closedFolder()
  for (const name of world.files()) {
    const content = world.disk.contents(`/data/${name}`)
    if (name.startsWith('idx/')) world.disk.flipBit(`/data/${name}`, content.length - 5, 3)
    const offset = content.indexOf(`50 ${pad}`)
    if (offset !== -1) world.disk.flipBit(`/data/${name}`, offset, 1)
  }
  await salvage(world)
  const { channel } = await world.open()
  channel.give(consume('slow', { noAck: true }))
  await world.clock.advance(1_000)
  expect(channel.takeBodies()).toEqual(left.filter((body) => !body.startsWith('50 ')))
})

test.each(['cold', 'log'])(
  'of a segment that is missing the messages are lost, which is told, and no other (%s)',
  async (kind) => {
    const world = await closedFolder()
    const name = world.files().find((one) => one.startsWith(`${kind}/`)) as string
    const content = world.disk.contents(`/data/${name}`)
    await world.clock.run(world.disk.remove(`/data/${name}`))
    await expect(world.open()).rejects.toMatchObject({ code: 'E_STORAGE_CORRUPT' })
    const { broker } = await salvage(world)
    // The segment after one of the log names it as long as that is there.
    expect(await damagesOf(world)).toBe(kind === 'cold' ? 0 : 1)
    const run = await world.open()
    const bodies = await run.take('slow')
    const gone = left.filter((body) => !bodies.includes(body))
    expect(bodies).toEqual(left.filter((body) => !gone.includes(body)))
    // Of what is in the log some was copied to cold segments since.
    expect(gone.every((body) => content.includes(body))).toBe(true)
    expect(gone.length).toBeGreaterThan(0)
    const told = `/data/${name}: the file is missing, and with it ${gone.length} messages of queue number 1`
    expect(broker.report.notes).toContain(told)
  },
)
