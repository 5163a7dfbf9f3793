// What the tools make of bodies in files: verify, backup, inspect.
import { expect, test } from 'vitest'
import { SimFolder } from '../testing/sim-folder.ts'
import { backupFolder } from './folder-backup.ts'
import { type DumpLine, dumpFile } from './folder-dump.ts'
import { messagesOf, summarizeFolder } from './folder-inspect.ts'
import { FolderState } from './folder-state.ts'
import { type VerifyReport, verifyFolder } from './folder-verify.ts'
import { FolderView } from './folder-view.ts'

const file = 'body/0000000001.body'

async function folder(): Promise<SimFolder> {
  const world = new SimFolder()
  const run = await world.open()
  await run.declare('q')
  for (const name of ['a', 'b']) run.postLarge('q', name.repeat(5_000))
  await run.settle(1_000)
  expect(run.confirmed).toHaveLength(2)
  return world
}

async function viewed<Result>(world: SimFolder, use: (view: FolderView) => Promise<Result>): Promise<Result> {
  const run = async (): Promise<Result> => {
    const view = await FolderView.take(world.disk, '/data')
    try {
      return await use(view)
    } finally {
      await view.close()
    }
  }
  return await world.clock.run(run())
}

function verify(world: SimFolder): Promise<VerifyReport> {
  return viewed(world, (view) => verifyFolder(world.platform, view))
}

test('verify reads every byte of a body, and says which message is damaged with it', async () => {
  const world = await folder()
  expect(await verify(world)).toMatchObject({ damages: 0, messages: 2, messagesLost: 0 })
  for (const offset of [20, 60, 1_051, 5_060]) {
    world.disk.flipBit(`/data/${file}`, offset, 5)
    const report = await verify(world)
    const verdict = report.files.find((one) => one.file === file)
    expect(report, `byte ${offset}`).toMatchObject({ damages: 1, messagesLost: 1 })
    expect(verdict?.status).toBe('damaged')
    expect(verdict?.findings.flatMap(({ messages }) => messages)).toMatchObject([
      { queue: 'q', sequence: 1, waits: true },
    ])
    world.disk.flipBit(`/data/${file}`, offset, 5)
  }
  await world.clock.run(world.disk.remove(`/data/${file}`))
  const report = await verify(world)
  expect(report).toMatchObject({ damages: 1, messagesLost: 1 })
  expect(report.files.find((one) => one.file === file)?.status).toBe('missing')
})

test('a backup of a folder in use has the bodies, and opens', async () => {
  const world = await folder()
  const { linked } = await viewed(world, (view) => backupFolder(world.platform, view, '/copy'))
  expect(linked).toBeGreaterThanOrEqual(2)
  expect(world.files('/copy').filter((name) => name.startsWith('body/'))).toHaveLength(2)
  world.kill()
  const copy = await world.open('/copy')
  expect(await copy.take('q')).toEqual(['a'.repeat(5_000), 'b'.repeat(5_000)])
})

test('inspect shows which file a message has its body in, and what is in that file', async () => {
  const world = await folder()
  const [previews, lines] = await viewed(world, async (view) => {
    const state = await FolderState.load(world.platform, view)
    const shown: string[] = []
    for await (const { bytes, preview } of messagesOf(state, state.queues[0] as never, 10))
      shown.push(`${bytes} ${preview}`)
    const dumped: DumpLine[] = []
    for await (const line of dumpFile(await view.open(`/data/${file}`, 'read'), '0000000001.body', () => ''))
      dumped.push(line)
    const summary = await summarizeFolder(world.platform, state)
    await state.close()
    expect(summary.bodies).toEqual({ files: 2, bytes: 2 * (48 + 5_000 + 5 * 4), unused: 0 })
    return [shown, dumped] as const
  })
  expect(previews).toEqual(['5000 in body/0000000001.body', '5000 in body/0000000002.body'])
  expect(lines.map(({ kind, offset, text }) => `${kind} ${offset} ${text}`).slice(0, 3)).toEqual([
    'header 0 body 1 of 5000 bytes in 5 chunks',
    'chunk 48 chunk 1 of 5',
    'chunk 1052 chunk 2 of 5',
  ])
})

test('inspect shows records and checkpoints that refer to bodies', async () => {
  const world = await folder()
  for (const [under, kind, text] of [
    ['log', 'REFERRING', 'to q #1, 5000 bytes: in body/0000000001.body'],
    ['ckpt', 'body', 'q #1 has body 1'],
  ] as const) {
    const name = world.files().findLast((one) => one.startsWith(`${under}/`)) as string
    const texts = await viewed(world, async (view) => {
      const found: string[] = []
      const opened = await view.open(`/data/${name}`, 'read')
      for await (const line of dumpFile(opened, name.slice(under.length + 1), () => 'q')) {
        if (line.kind === kind) found.push(line.text)
      }
      return found
    })
    expect(texts[0], under).toBe(text)
  }
})
