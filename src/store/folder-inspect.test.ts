// What is shown of a folder, a queue and each kind of file.
import { describe, expect, test } from 'vitest'
import { SimFolder } from '../testing/sim-folder.ts'
import { type DumpLine, dumpFile } from './folder-dump.ts'
import { type FolderSummary, messagesOf, summarizeFolder, type WaitingMessage } from './folder-inspect.ts'
import { FolderState } from './folder-state.ts'
import { FolderView } from './folder-view.ts'

const pad = 'x'.repeat(300)

async function folder(): Promise<SimFolder> {
  const world = new SimFolder()
  const run = await world.open()
  await run.declare('slow', 'fast')
  for (let round = 0; round < 12; round++) {
    await run.publish('slow', ...Array.from({ length: 10 }, (_, at) => `${round * 10 + at + 1} ${pad}`))
    await run.publish('fast', ...Array.from({ length: 60 }, () => pad))
    await run.take('fast')
    await run.settle(600)
  }
  await run.settle(3_000)
  await run.close()
  return world
}

async function withState<Result>(world: SimFolder, use: (state: FolderState) => Promise<Result>): Promise<Result> {
  return await world.clock.run(
    (async () => {
      const view = await FolderView.take(world.disk, '/data')
      const state = await FolderState.load(world.platform, view)
      const result = await use(state)
      await state.close()
      await view.close()
      return result
    })(),
  )
}

async function gathered<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = []
  for await (const item of items) all.push(item)
  return all
}

function summary(world: SimFolder): Promise<FolderSummary> {
  return withState(world, (state) => summarizeFolder(world.platform, state))
}

function messages(world: SimFolder, name: string, limit: number): Promise<WaitingMessage[]> {
  return withState(world, async (state) => {
    const queue = state.queues.find((one) => one.name === name)
    return queue === undefined ? [] : await gathered(messagesOf(state, queue, limit))
  })
}

function dump(world: SimFolder, name: string): Promise<DumpLine[]> {
  return withState(world, async (state) => {
    const file = await world.disk.open(`/data/${name}`, 'read')
    const lines = await gathered(dumpFile(file, name.split('/')[1] as string, (id) => state.nameOf(id)))
    await file.close()
    return lines
  })
}

function kinds(lines: readonly DumpLine[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { kind } of lines) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

describe('a folder', () => {
  test('shows its format, files and queues', async () => {
    const world = await folder()
    const found = await summary(world)
    expect(found).toMatchObject({ directory: '/data', format: '1.0', owner: null, clean: true, damages: 0 })
    expect(found.uuid).toMatch(/^[0-9a-f-]{36}$/)
    expect(found.queues.map(({ name, ready }) => `${name} ${ready}`)).toEqual(['fast 0', 'slow 120'])
    expect(found.queues[1]).toMatchObject({ oldestSequence: 1, readyBytes: expect.any(Number) as number })
    const shown = [...found.segments, ...found.coldSegments, ...found.checkpoints, ...found.pageFiles]
    expect(shown.map(({ file }) => file).toSorted()).toEqual(world.files().filter((name) => name !== 'FORMAT'))
    const live = [...found.segments, ...found.coldSegments].reduce((sum, segment) => sum + segment.live, 0)
    expect(live).toBe(120)
    expect(found.checkpoints[0]).toMatchObject({ isUsed: true, isFinal: true, isWhole: true })
  })

  test('shows who has it, and that it did not end in order', async () => {
    const world = new SimFolder()
    const run = await world.open()
    await world.clock.run(run.broker.announce(['amqp://127.0.0.1:5672']))
    await run.declare('q')
    await run.publish('q', 'a')
    const found = await summary(world)
    expect(found.owner).toMatchObject({ isRunning: true, addresses: ['amqp://127.0.0.1:5672'] })
    expect(found.clean).toBe(false)
    expect(found.queues).toMatchObject([{ name: 'q', ready: 1, oldestMs: expect.any(Number) as number }])
    world.kill()
    expect((await summary(world)).owner?.isRunning).toBe(false)
  })
})

describe('a queue', () => {
  test('shows what is hidden behind the rest, as it is due, and counts it apart', async () => {
    const world = new SimFolder()
    const run = await world.open()
    await run.declare('q')
    const startMs = world.clock.realtimeMs()
    run.post('q', 'later', { 'x-leveret-delay': 90_000 })
    run.post('q', 'soon', { 'x-leveret-delay': 60_000 })
    run.post('q', 'now')
    await run.settle(2_000)
    await run.close()
    expect((await summary(world)).queues).toMatchObject([{ name: 'q', ready: 1, delayed: 2, oldestSequence: 3 }])
    const all = await messages(world, 'q', 10)
    expect(all.map(({ preview, deliveries }) => [preview, deliveries])).toEqual([
      ['now', 0],
      ['soon', 0],
      ['later', 0],
    ])
    const [now, soon] = all
    expect(now?.hiddenUntilMs).toBeNull()
    expect(soon?.hiddenUntilMs).toBeGreaterThanOrEqual(startMs + 60_000)
  })

  test('shows its messages in order, and which of them cannot be read', async () => {
    const world = await folder()
    const all = await messages(world, 'slow', 1_000)
    expect(all.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 120 }, (_, at) => at + 1))
    expect(all.map(({ preview }) => Number(preview.split(' ')[0]))).toEqual(all.map(({ sequence }) => sequence))
    expect(all.some(({ file }) => file.startsWith('cold/'))).toBe(true)
    const [seventh] = all.slice(6)
    if (seventh === undefined) throw new Error('there are more than seven')
    expect(seventh).toMatchObject({ bytes: 302, exchange: '', routingKey: 'slow', fault: null })
    world.disk.flipBit(`/data/${seventh.file}`, seventh.offset + 30, 2)
    const damaged = await messages(world, 'slow', 10)
    expect(damaged).toHaveLength(10)
    expect(damaged.filter(({ fault }) => fault !== null).map(({ sequence }) => sequence)).toEqual([7])
  })
})

describe('a file', () => {
  test('is shown record by record: a segment', async () => {
    const world = await folder()
    const name = world.files().find((one) => one.startsWith('log/')) as string
    const lines = await dump(world, name)
    expect(lines[0]).toMatchObject({
      kind: 'header',
      offset: 0,
      text: expect.stringMatching(/^segment \d+, format 1.0/) as string,
    })
    expect(kinds(lines)['frame']).toBeGreaterThan(0)
    expect(kinds(lines)['DAMAGED']).toBeUndefined()
    const publish = lines.find(({ kind }) => kind === 'PUBLISH')
    expect(publish?.text).toMatch(/^to (slow|fast) #\d+, \d+ bytes: /)
    const frame = lines.find(({ kind }) => kind === 'frame') as DumpLine
    world.disk.flipBit(`/data/${name}`, (frame.offset ?? 0) + 60, 2)
    const damaged = await dump(world, name)
    expect(damaged.filter(({ kind }) => kind === 'DAMAGED')).toMatchObject([
      {
        offset: frame.offset,
        bytes: frame.bytes,
        text: expect.stringContaining('the next valid frame is at') as string,
      },
    ])
    expect(kinds(damaged)['frame']).toBe((kinds(lines)['frame'] as number) - 1)
  })

  test('a cold segment, a page file and a checkpoint', async () => {
    const world = await folder()
    const named = (under: string): string => world.files().findLast((one) => one.startsWith(`${under}/`)) as string
    const cold = await dump(world, named('cold'))
    expect(cold[0]).toMatchObject({ kind: 'header', text: expect.stringMatching(/^cold segment \d+/) as string })
    expect(cold[1]).toMatchObject({
      kind: 'PUBLISH',
      text: expect.stringMatching(/^to slow #\d+, 3\d\d bytes: \d/) as string,
    })
    const pages = await dump(world, named('idx'))
    expect(pages[0]).toMatchObject({
      kind: 'page',
      offset: 0,
      text: expect.stringMatching(/^(slow|fast), \d+ entr(y|ies)$/) as string,
    })
    expect(pages[1]).toMatchObject({
      kind: 'entry',
      text: expect.stringMatching(/^#\d+ at \d+ of (cold )?segment \d+/) as string,
    })
    const checkpoint = await dump(world, named('ckpt'))
    expect(kinds(checkpoint)).toMatchObject({ header: 1, TOPOLOGY: 2, queue: 2 })
    for (const under of ['cold', 'idx', 'ckpt']) {
      const { length } = world.disk.contents(`/data/${named(under)}`)
      world.disk.flipBit(`/data/${named(under)}`, length - 1, 0)
      expect(kinds(await dump(world, named(under)))['DAMAGED'], under).toBe(1)
    }
  })

  test('with the notes in it: in a segment and in a checkpoint', async () => {
    const world = new SimFolder()
    const run = await world.open()
    await run.declare('q')
    run.post('q', 'a', { 'x-leveret-idempotency-key': 'k' })
    await run.settle()
    await run.close()
    for (const under of ['log', 'ckpt']) {
      const name = world.files().findLast((one) => one.startsWith(`${under}/`)) as string
      const lines = (await dump(world, name)).filter(({ kind }) => kind === 'NOTE')
      expect(
        lines.map(({ text }) => text),
        under,
      ).toEqual([expect.stringMatching(/^idempotency: '1 k' is '' until \d+ ms$/)])
    }
  })

  test('is refused if its name says nothing', async () => {
    const world = await folder()
    await expect(dump(world, 'log/FORMAT')).rejects.toMatchObject({
      code: 'ENOENT',
    })
    const file = await world.clock.run(world.disk.open('/data/FORMAT', 'read'))
    expect(() => dumpFile(file, 'FORMAT', String)).toThrow('E_BAD_OPTION')
  })
})
