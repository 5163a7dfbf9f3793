// Checkpoints of a real broker on a simulated disk: when they are made, what they say, and what becomes of a folder whose
// checkpoints were interrupted, refused or damaged.
import { describe, expect, test, vi } from 'vitest'
import { limits } from '../model/limits.ts'
import type { Clock } from '../platform/clock.ts'
import { declareQueue } from '../testing/core-harness.ts'
import type { SimClock } from '../testing/sim-clock.ts'
import type { SimOperation } from '../testing/sim-operation.ts'
import {
  commitMs,
  durableQueue,
  getOf,
  persistent,
  type StoreRun,
  StoreWorld,
  type StoreWorldOptions,
} from '../testing/store-harness.ts'
import { type Checkpoint, decodeCheckpoint } from './checkpoint-file.ts'
import { forEachEntry, IndexPage } from './index-page.ts'

const folder = '/data/ckpt'
const never = 1_000_000_000
const body = 'x'.repeat(200)

/** Checkpoints come when a test says so, by its options or by a second going by. */
function checkpointWorld(options: StoreWorldOptions = {}): StoreWorld {
  return new StoreWorld({ checkpointBytes: never, checkpointMs: 1_000, ...options })
}

/** Bytes of the log that this opening read. */
function bytesRead({ store }: StoreRun): number {
  return (store as unknown as { log: { recovery: { bytes: number } } }).log.recovery.bytes
}

function checkpointsOf({ disk }: StoreWorld): string[] {
  return disk.paths().filter((path) => path.startsWith(folder))
}

/** What the newest one says. */
function newestOf(world: StoreWorld): Checkpoint {
  const checkpoint = decodeCheckpoint(world.disk.contents(checkpointsOf(world).at(-1) as string))
  if (checkpoint === null) throw new Error('the newest checkpoint is damaged')
  return checkpoint
}

/** Sequences of a queue in the newest one, `×n` behind those that were handed out n times. */
function told(world: StoreWorld, queueId: number): string[] {
  const found: string[] = []
  for (const { pages } of newestOf(world).queues.find((queue) => queue.queueId === queueId)?.lanes ?? []) {
    for (const page of pages) {
      const { place, usedBytes } = page
      const path = `/data/idx/${String(place?.file).padStart(10, '0')}.idx`
      const at = (place?.position ?? 0) + 32
      const bytes = page.bytes ?? world.disk.contents(path).subarray(at, at + usedBytes)
      forEachEntry(page, bytes, ({ sequence, deliveryCount }) => {
        found.push(`${sequence}${deliveryCount > 0 ? `×${deliveryCount}` : ''}`)
      })
    }
  }
  return found
}

/** Damages a checkpoint, 0 being the oldest. */
function damage(world: StoreWorld, which: number): void {
  world.disk.flipBit(checkpointsOf(world).at(which) as string, 20, 3)
}

/** Operations of that kind on files of checkpoints go wrong. */
function failing({ disk }: StoreWorld, kinds: readonly SimOperation['kind'][], code: string, under = folder): void {
  disk.fault = ({ kind, path }) => (kinds.includes(kind) && path.startsWith(under) ? { code } : null)
}

function names(...ids: number[]): string[] {
  return ids.map((id) => `${folder}/${String(id).padStart(10, '0')}.ckpt`)
}

function filesOf(world: StoreWorld): Record<string, string> {
  const files = [...world.disk.snapshot()].filter(([path]) => path !== '/data/LOCK')
  return Object.fromEntries(files.map(([path, content]) => [path, content.toString('base64')]))
}

/** The code with which the folder is refused; what it has if it is not. */
async function refusal(world: StoreWorld): Promise<string> {
  try {
    const run = await world.open()
    return `opened with ${(await run.queues()).join(', ')}`
  } catch (error) {
    return (error as { code: string }).code
  }
}

const numbers = (count: number, first = 1): string[] => Array.from({ length: count }, (_, at) => String(first + at))

describe('a checkpoint is made', () => {
  test('after so many bytes of log, however short the time', async () => {
    const world = checkpointWorld({ checkpointBytes: 5_000, checkpointMs: never })
    const run = await world.open()
    await run.declare('q')
    let rounds = 0
    for (; checkpointsOf(world).length === 0 && rounds < 100; rounds++) await run.publish('q', body)
    expect(rounds * body.length).toBeGreaterThan(2_500)
    expect(rounds * body.length).toBeLessThan(5_000)
    for (let again = 1; again < rounds; again++) await run.publish('q', body)
    expect(checkpointsOf(world)).toEqual(names(1))
    for (let more = 0; more < 4; more++) await run.publish('q', body)
    expect(checkpointsOf(world)).toEqual(names(1, 2))
  })

  test('no oftener than it is worth: the log grows by four times its size in between', async () => {
    const world = checkpointWorld({ checkpointBytes: 1_000, checkpointMs: never })
    const run = await world.open()
    await run.declare(...Array.from({ length: 100 }, (_, at) => `a queue with a name that takes some room ${at}`), 'q')
    expect(checkpointsOf(world)).toEqual(names(1))
    const { length } = world.disk.contents(names(1)[0] as string)
    expect(length).toBeGreaterThan(5_000)
    let published = 0
    for (; checkpointsOf(world).length === 1 && published < 1_000_000; published += body.length)
      await run.publish('q', body)
    expect(published).toBeGreaterThan(2 * length)
    expect(published).toBeLessThan(4 * length)
  })

  test('after so long if anything was appended, and by an idle broker never again', async () => {
    const world = checkpointWorld({ checkpointMs: 10_000 })
    const run = await world.open()
    await run.declare('q')
    await run.publish('q', 'a')
    await run.settle(9_000)
    expect(checkpointsOf(world)).toEqual([])
    await run.settle(1_500)
    expect(checkpointsOf(world)).toEqual(names(1))
    await run.settle(100_000)
    expect(checkpointsOf(world)).toEqual(names(1))
    await run.publish('q', 'b')
    await run.settle(9_000)
    expect(checkpointsOf(world)).toEqual(names(1))
    await run.settle(1_500)
    expect(checkpointsOf(world)).toEqual(names(1, 2))
  })

  test('by an idle broker at most once, for what the opening had to read', async () => {
    const world = checkpointWorld()
    const first = await world.open()
    await first.declare('q')
    world.kill()
    const second = await world.open()
    await second.settle(1_500)
    expect(checkpointsOf(world)).toEqual(names(1))
    const { operations } = world.disk
    await second.settle(1_000_000)
    expect(checkpointsOf(world)).toEqual(names(1))
    // The log proves its last frame, and that is all.
    expect(world.disk.operations - operations).toBeLessThan(10)
  })

  test('sooner after an opening that had much to read', async () => {
    const world = checkpointWorld({ checkpointBytes: 5_000, checkpointMs: never })
    const first = await world.open()
    await first.declare('q')
    for (let round = 0; round < 14; round++) await first.publish('q', body)
    world.kill()
    const second = await world.open()
    await second.publish('q', body, body, body, body, body, body)
    expect(checkpointsOf(world)).toEqual(names(1))
  })

  test('again and again, and two are kept: the one before the last two goes when the new one stands', async () => {
    const world = checkpointWorld()
    const run = await world.open()
    await run.declare('q')
    const seen: string[][] = []
    const present: number[] = []
    world.disk.fault = ({ kind, path }) => {
      if (kind === 'remove' && path.endsWith('.ckpt')) present.push(checkpointsOf(world).length)
      return null
    }
    for (let round = 0; round < 4; round++) {
      await run.publish('q', 'x')
      await run.settle(1_500)
      seen.push(checkpointsOf(world))
    }
    expect(seen).toEqual([names(1), names(1, 2), names(2, 3), names(3, 4)])
    expect(present).toEqual([3, 3])
  })
})

describe('a restart after a checkpoint', () => {
  test('reads the log behind the newest alone, and finds everything', async () => {
    const world = checkpointWorld()
    const first = await world.open()
    await first.declare('q', 'r')
    for (let round = 0; round < 50; round++) await first.publish('q', body, body)
    await first.settle(1_500)
    await first.publish('r', 'late')
    world.kill()
    const second = await world.open()
    expect(bytesRead(second)).toBeLessThan(1_000)
    expect(second.broker.report).toMatchObject({ messages: 101, clean: false, notes: [] })
    expect(await second.queues()).toEqual(['q 100', 'r 1'])
    expect(await second.drain('r')).toEqual(['late!'])
    expect(await second.drain('q')).toEqual(Array(100).fill(`${body}!`))
  })

  test('does not even look at what the log said before it', async () => {
    const world = checkpointWorld({ segmentBytesMax: 4_096 })
    const first = await world.open()
    await first.declare('q')
    for (let round = 0; round < 20; round++) await first.publish('q', body, body)
    await first.settle(1_500)
    world.kill()
    const { offset } = newestOf(world).start
    const last = world.segments.at(-1) as string
    for (const path of world.segments.slice(0, -1)) world.disk.setContents(path, Buffer.alloc(10))
    const spoiled = world.disk.contents(last)
    spoiled.fill(0xff, 1_024, offset)
    world.disk.setContents(last, spoiled)
    const second = await world.open()
    expect(second.broker.report).toMatchObject({ messages: 40, notes: [] })
  })

  test('has what consumers held and what came back from them, each in its place and counted as handed out', async () => {
    const world = checkpointWorld()
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', ...numbers(6))
    const { channel } = first
    for (let count = 0; count < 4; count++) channel.give(getOf('q', false))
    await first.settle()
    channel.port.reject(2, false, true)
    channel.port.ack(3, false)
    await first.settle(1_500)
    expect(told(world, 1)).toEqual(['1×1', '2×1', '4×1', '5', '6'])
    world.cutPower()
    const second = await world.open()
    expect(bytesRead(second)).toBeLessThan(500)
    expect(await second.drain('q')).toEqual(['1!', '2!', '4!', '5!', '6!'])
  })

  test('has no transient message, no transient queue, and no exclusive one', async () => {
    const world = checkpointWorld()
    const first = await world.open()
    await first.declare('q')
    first.channel.give(declareQueue('transient'))
    first.channel.give(declareQueue('exclusive', { durable: true, exclusive: true }))
    await first.settle()
    first.channel.post('', 'q', 'transient')
    await first.publish('q', 'kept')
    await first.publish('transient', 'x')
    await first.publish('exclusive', 'x')
    await first.settle(1_500)
    expect(newestOf(world).topology.map((record) => ('name' in record ? record.name : ''))).toEqual(['q'])
    expect([newestOf(world).queues.length, told(world, 1)]).toEqual([1, ['2']])
    world.cutPower()
    const second = await world.open()
    expect(await second.queues()).toEqual(['q 1'])
    expect(await second.drain('q')).toEqual(['kept!'])
  })

  test('has what a message settled before it was in the log, and after it', async () => {
    const world = checkpointWorld()
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', ...numbers(6))
    await first.consume('q')
    first.channel.port.ack(2, true)
    await first.settle(1_500)
    first.channel.port.ack(4, true)
    await first.settle(limits.ackDelayMs + commitMs)
    world.cutPower()
    const second = await world.open()
    expect(await second.drain('q')).toEqual(['5!', '6!'])
  })

  test('has a backlog that is in page files, with what came to it since', async () => {
    const world = checkpointWorld({ windowBytesMax: 20_000, pageBytesMax: 2_048 })
    const first = await world.open()
    await first.declare('q')
    for (let round = 0; round < 40; round++) await first.publish('q', ...numbers(100, 1 + 100 * round))
    await first.settle(1_500)
    expect(newestOf(world).pageFiles.length).toBeGreaterThan(0)
    expect(told(world, 1)).toEqual(numbers(4_000))
    await first.publish('q', ...numbers(10, 4_001))
    const taken: string[] = []
    for (let count = 0; count < 50; count++) first.channel.give(getOf('q', true))
    await first.settle(1_000)
    taken.push(...numbers(50))
    world.cutPower()
    const second = await world.open()
    expect(second.broker.report.messages).toBe(3_960)
    expect(await second.drain('q')).toEqual(numbers(3_960, 51).map((one) => `${one}!`))
    expect(taken).toHaveLength(50)
  })
})

describe('a damaged checkpoint', () => {
  /** Two checkpoints: the older says 'a', the newer 'a' and 'b'; 'c' came after it. Nobody saw any of them. */
  async function twoCheckpoints(options: StoreWorldOptions = {}): Promise<StoreWorld> {
    const world = checkpointWorld(options)
    const run = await world.open()
    await run.declare('q')
    for (const one of ['a', 'b']) {
      await run.publish('q', one)
      await run.settle(1_500)
    }
    expect(checkpointsOf(world)).toEqual(names(1, 2))
    await run.publish('q', 'c')
    await run.close()
    expect(checkpointsOf(world)).toEqual(names(2, 3))
    return world
  }

  test('is passed over for the one before, which is told, and everything counts as redelivered', async () => {
    const world = await twoCheckpoints()
    damage(world, 1)
    const run = await world.open()
    const { notes, clean, messages } = run.broker.report
    expect(notes).toEqual([`${names(3)[0]} is damaged and was not used`])
    expect([clean, messages]).toEqual([false, 3])
    expect(await run.drain('q')).toEqual(['a!', 'b!', 'c!'])
    await run.settle(1_500)
    expect(checkpointsOf(world)).toEqual(names(2, 4))
    world.kill()
    const again = await world.open()
    expect(again.broker.report.notes).toEqual([])
    expect(await again.queues()).toEqual(['q 0'])
  })

  test('that is the older one is told, and nothing else changes', async () => {
    const world = await twoCheckpoints()
    damage(world, 0)
    const run = await world.open()
    expect(run.broker.report).toMatchObject({ clean: true, notes: [`${names(2)[0]} is damaged and was not used`] })
    expect(checkpointsOf(world)).toEqual(names(3))
    expect(await run.drain('q')).toEqual(['a', 'b', 'c'])
  })

  test.each([3, 12, 25, 40])(
    'costs nothing though segments were deleted since the one before (%d rounds)',
    async (rounds) => {
      const world = checkpointWorld({ segmentBytesMax: 4_096, checkpointBytes: 1 })
      const first = await world.open()
      await first.declare('q', 'keep')
      await first.publish('keep', 'early')
      for (let round = 0; round < rounds; round++) {
        await first.publish('q', body, body, body)
        await first.drain('q')
        if (round === rounds - 2) await first.publish('keep', 'late')
      }
      world.kill()
      damage(world, -1)
      const second = await world.open()
      expect(second.broker.report.notes).toHaveLength(1)
      expect(await second.drain('keep')).toEqual(['early!', 'late!'])
      expect((await second.drain('q')).length).toBeLessThanOrEqual(3)
      await second.publish('keep', 'more')
      await second.close()
      const third = await world.open()
      expect(await third.drain('keep')).toEqual(['more'])
    },
  )

  test('is one, too, whose page files are not there', async () => {
    const world = checkpointWorld({ windowBytesMax: 20_000, pageBytesMax: 2_048, pageFileBytesMax: 1_024 })
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', 'a')
    await first.settle(1_500)
    await first.publish('q', ...numbers(3_000))
    await first.close()
    const older = decodeCheckpoint(world.disk.contents(checkpointsOf(world)[0] as string))
    const own = newestOf(world).pageFiles.filter((id) => older?.pageFiles.includes(id) === false)
    expect(own.length).toBeGreaterThan(0)
    const files = world.disk.snapshot()
    files.delete(`/data/idx/${String(own[0]).padStart(10, '0')}.idx`)
    world.disk.restore(files)
    const second = await world.open()
    expect(second.broker.report).toMatchObject({ messages: 3_001, clean: false })
    expect(second.broker.report.notes).toHaveLength(1)
  })

  test('whose page files are not there is not made whole by others with their numbers', async () => {
    const options = { windowBytesMax: 20_000, pageBytesMax: 2_048, pageFileBytesMax: 1_024 }
    const world = checkpointWorld(options)
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', ...numbers(3_000))
    await first.settle(1_500)
    await first.publish('q', ...numbers(3_000))
    await first.close()
    const { pageFiles } = newestOf(world)
    const files = world.disk.snapshot()
    for (const path of files.keys()) if (path.startsWith('/data/idx/')) files.delete(path)
    world.disk.restore(files)
    // Pages go to files while the folder is being opened; then the power goes.
    world.disk.fault = ({ kind, path }) => (kind === 'sync' && path.endsWith('.log.tmp') ? { code: 'EIO' } : null)
    expect(await refusal(world)).toBe('E_STORAGE_FAILED')
    world.disk.fault = null
    const made = world.disk.paths().filter((path) => path.startsWith('/data/idx/'))
    expect(made.length).toBeGreaterThan(0)
    for (const id of pageFiles) expect(made).not.toContain(`/data/idx/${String(id).padStart(10, '0')}.idx`)
  })

  test('with the other one as well costs nothing as long as the whole log is there', async () => {
    const world = await twoCheckpoints()
    damage(world, 0)
    damage(world, 1)
    const run = await world.open()
    expect(run.broker.report).toMatchObject({ messages: 3, clean: false })
    expect(run.broker.report.notes).toHaveLength(2)
    expect(await run.drain('q')).toEqual(['a!', 'b!', 'c!'])
  })

  test('with the other one as well is a reason to refuse when the log before them is gone, and changes nothing', async () => {
    const world = checkpointWorld({ segmentBytesMax: 4_096, checkpointBytes: 1 })
    const first = await world.open()
    await first.declare('q', 'keep')
    for (let round = 0; round < 40; round++) {
      await first.publish('q', body, body)
      await first.drain('q')
    }
    await first.publish('keep', 'kept')
    await first.settle(5_000)
    await first.close()
    expect(world.segments[0]).not.toContain('0000000001')
    damage(world, 0)
    damage(world, 1)
    const before = filesOf(world)
    expect(await refusal(world)).toBe('E_STORAGE_CORRUPT')
    expect(filesOf(world)).toEqual(before)
  })

  test('with the other one as well is a reason to refuse when the log between is gone, though it begins at its beginning', async () => {
    const world = checkpointWorld({ segmentBytesMax: 4_096, checkpointBytes: 1 })
    const first = await world.open()
    // The first segment stays for one of its messages; that the other was settled is said in what goes.
    await first.declare('q', 'keep')
    await first.publish('keep', 'settled', 'kept')
    for (let round = 0; round < 40; round++) {
      await first.publish('q', body, body)
      await first.drain('q')
      if (round === 10) first.channel.give(getOf('keep', true))
      if (round === 12) await first.declare('late')
    }
    await first.settle(5_000)
    await first.close()
    expect(world.segments[0]).toContain('0000000001')
    expect(world.segments.length).toBeLessThan(5)
    damage(world, 0)
    damage(world, 1)
    const before = filesOf(world)
    expect(await refusal(world)).toBe('E_STORAGE_CORRUPT')
    expect(filesOf(world)).toEqual(before)
  })

  test('is gone around by a salvage, which says so', async () => {
    const world = checkpointWorld({ segmentBytesMax: 4_096, checkpointBytes: 1 })
    const first = await world.open()
    await first.declare('q')
    for (let round = 0; round < 40; round++) {
      await first.publish('q', body, body)
      await first.drain('q')
    }
    await first.settle(5_000)
    await first.close()
    damage(world, 0)
    damage(world, 1)
    const second = await world.open({ salvage: true })
    expect(second.broker.report.notes.join('\n')).toContain('is damaged and was not used')
  })
})

describe('the last checkpoint', () => {
  test('is made by a clean close, and then nothing is redelivered that nobody saw', async () => {
    const world = checkpointWorld({ checkpointMs: never })
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', ...numbers(5))
    for (let count = 0; count < 3; count++) first.channel.give(getOf('q', false))
    await first.settle()
    first.channel.port.reject(1, false, true)
    await first.settle()
    first.channel.give(getOf('q', false))
    await first.settle()
    await first.close()
    expect(newestOf(world).isFinal).toBe(true)
    expect(told(world, 1)).toEqual(['1×2', '2×1', '3×1', '4', '5'])
    const second = await world.open()
    expect(second.broker.report).toMatchObject({ messages: 5, clean: true, notes: [] })
    expect(bytesRead(second)).toBeLessThan(500)
    await second.close()
    const third = await world.open()
    expect(await third.drain('q')).toEqual(['1!', '2!', '3!', '4', '5'])
  })

  test('is believed by the next opening alone', async () => {
    const world = checkpointWorld({ checkpointMs: never })
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', 'a', 'b')
    await first.close()
    const second = await world.open()
    expect(await second.consume('q')).toEqual(['a', 'b'])
    world.kill()
    const third = await world.open()
    expect(third.broker.report.clean).toBe(false)
    expect(await third.drain('q')).toEqual(['a!', 'b!'])
  })

  test('waits for one that is being made', async () => {
    const world = checkpointWorld()
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', 'a')
    const { operations } = world.disk
    while (world.disk.operations === operations && (await world.clock.step()));
    await first.close()
    expect(newestOf(world).isFinal).toBe(true)
    const second = await world.open()
    expect(second.broker.report).toMatchObject({ clean: true, messages: 1 })
  })

  test('that finds no room is replaced by a word in the log, which says as much', async () => {
    const world = checkpointWorld({ checkpointMs: never })
    const first = await world.open()
    await first.declare('q')
    await first.publish('q', 'a', 'b')
    first.channel.give(getOf('q', false))
    await first.settle()
    failing(world, ['write'], 'ENOSPC')
    await first.close()
    expect(checkpointsOf(world)).toEqual([])
    world.disk.fault = null
    const second = await world.open()
    expect(second.broker.report).toMatchObject({ messages: 2, clean: true })
    expect(await second.drain('q')).toEqual(['a!', 'b'])
  })
})

describe('a disk that fails a checkpoint', () => {
  test.each(['create', 'write', 'rename'] as const)(
    'by finding no room (%s) leaves everything as it was, and the next one is made when there is room',
    async (kind) => {
      const world = checkpointWorld({ segmentBytesMax: 4_096 })
      const run = await world.open()
      await run.declare('q')
      await run.publish('q', 'a')
      await run.settle(1_500)
      const before = world.disk.contents(names(1)[0] as string)
      failing(world, [kind], 'ENOSPC')
      for (let round = 0; round < 5; round++) {
        await run.publish('q', body)
        await run.settle(1_500)
      }
      expect(checkpointsOf(world).filter((path) => path.endsWith('.ckpt'))).toEqual(names(1))
      expect(world.disk.contents(names(1)[0] as string)).toEqual(before)
      expect([run.failures, run.session.lines]).toEqual([[], []])
      world.disk.fault = null
      await run.publish('q', 'z')
      await run.settle(1_500)
      expect(checkpointsOf(world).filter((path) => path.endsWith('.ckpt'))).toHaveLength(2)
      world.cutPower()
      const again = await world.open()
      expect(again.broker.report.notes).toEqual([])
      expect(await again.drain('q')).toEqual(['a!', ...Array(5).fill(`${body}!`), 'z!'])
      expect(checkpointsOf(world).some((path) => path.endsWith('.tmp'))).toBe(false)
    },
  )

  test('by finding no room is asked again though nothing else happens', async () => {
    const world = checkpointWorld()
    const run = await world.open()
    await run.declare('q')
    await run.publish('q', 'a')
    failing(world, ['write'], 'ENOSPC')
    await run.settle(2_500)
    world.disk.fault = null
    await run.settle(10_000)
    expect(checkpointsOf(world).filter((path) => path.endsWith('.ckpt'))).toHaveLength(1)
  })

  test('by finding no room for pages leaves them in memory, and the queue whole', async () => {
    const world = checkpointWorld({ windowBytesMax: 20_000 })
    const run = await world.open()
    await run.declare('q')
    failing(world, ['write'], 'ENOSPC', '/data/idx')
    for (let round = 0; round < 30; round++) await run.publish('q', ...numbers(500, 1 + 500 * round))
    await run.settle(3_000)
    expect(checkpointsOf(world)).toEqual([])
    expect(run.failures).toEqual([])
    expect(await run.drain('q')).toEqual(numbers(15_000))
  })

  test.each(['sync', 'syncDirectory'] as const)(
    'by failing to make it durable (%s) has failed: nothing is confirmed any more, and nothing is lost',
    async (kind) => {
      const world = checkpointWorld()
      const run = await world.open()
      await run.declare('q')
      await run.ask({ type: 'confirm.select' })
      await run.publish('q', 'a')
      run.channel.takeLines()
      failing(world, [kind], 'EIO')
      await run.settle(1_500)
      expect(run.failures).toEqual(['E_STORAGE_FAILED'])
      expect(run.session.lines).toHaveLength(1)
      expect(run.session.lines[0]).toContain('the storage failed')
      await run.publish('q', 'b')
      expect(run.channel.takeLines().filter((line) => line.includes('confirm'))).toEqual([])
      world.cutPower()
      const again = await world.open()
      expect((await again.drain('q'))[0]).toEqual('a!')
    },
  )

  test('by failing to sync pages it has failed as well', async () => {
    const world = checkpointWorld({ windowBytesMax: 20_000, checkpointMs: 2_000 })
    const run = await world.open()
    await run.declare('q')
    for (let round = 0; round < 30; round++) await run.publish('q', ...numbers(500, 1 + 500 * round))
    failing(world, ['sync'], 'EIO', '/data/idx')
    await run.settle(1_500)
    expect(run.failures).toEqual(['E_STORAGE_FAILED'])
    expect(checkpointsOf(world)).toEqual([])
    world.cutPower()
    const again = await world.open()
    expect(again.broker.report.messages).toBe(15_000)
  })

  test('by failing to sync the name of one leaves what it names: it may be there, and the folder opens', async () => {
    const world = checkpointWorld({ windowBytesMax: 20_000, pageBytesMax: 2_048, pageFileBytesMax: 1_024 })
    const run = await world.open()
    await run.declare('q')
    for (let round = 0; round < 30; round++) await run.publish('q', ...numbers(500, 1 + 500 * round))
    world.disk.fault = ({ kind, path }) => {
      if (!path.startsWith(folder)) return null
      // Nobody but the checkpoint needs its pages any more.
      if (kind === 'rename') run.channel.give({ type: 'queue.purge', queue: 'q' })
      return kind === 'syncDirectory' ? { code: 'EIO' } : null
    }
    await run.settle(1_500)
    expect(run.failures).toEqual(['E_STORAGE_FAILED'])
    await run.close().catch(() => {})
    world.disk.fault = null
    const { pageFiles } = newestOf(world)
    expect(pageFiles.length).toBeGreaterThan(0)
    for (const id of pageFiles) expect(world.disk.paths()).toContain(`/data/idx/${String(id).padStart(10, '0')}.idx`)
    expect(await refusal(world)).toMatch(/^opened with q/)
  })

  test('by taking no writes at all holds one up until it takes them again', async () => {
    const world = checkpointWorld()
    const run = await world.open()
    await run.declare('q')
    await run.publish('q', 'a')
    await run.settle(500)
    world.disk.fault = ({ kind, path }) =>
      kind === 'write' && path.startsWith('/data/log/') ? { code: 'ENOSPC' } : null
    await run.publish('q', 'b')
    await run.settle(5_000)
    expect(checkpointsOf(world).filter((path) => path.endsWith('.ckpt'))).toEqual([])
    world.disk.fault = null
    await run.settle(3_000)
    expect(checkpointsOf(world).filter((path) => path.endsWith('.ckpt'))).not.toEqual([])
    world.cutPower()
    const again = await world.open()
    expect(await again.drain('q')).toEqual(['a!', 'b!'])
  })
})

/** A clock on which every look takes two milliseconds: whoever rests when time has passed rests at every chance. */
class SlowClock implements Clock {
  /** How often somebody gave way to others. */
  yields = 0
  onYield: () => void = () => {}
  isSlow = false
  private readonly clock: SimClock

  constructor(clock: SimClock) {
    this.clock = clock
  }

  monotonicMs(): number {
    if (this.isSlow) this.clock.pause(2)
    return this.clock.monotonicMs()
  }

  realtimeMs(): number {
    return this.clock.realtimeMs()
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    return this.clock.setTimer(delayMs, callback)
  }

  defer(callback: () => void): void {
    this.yields++
    this.clock.defer(() => {
      this.onYield()
      callback()
    })
  }
}

describe('while a checkpoint is made', () => {
  /** Four queues with a hundred messages each, of which two were handed out, and a clock that makes it take long. */
  async function fourQueues(
    options: StoreWorldOptions = {},
  ): Promise<{ world: StoreWorld; run: StoreRun; slow: SlowClock }> {
    let slow: SlowClock | null = null
    const seen = (clock: SimClock): Clock => {
      slow = new SlowClock(clock)
      return slow
    }
    const world = checkpointWorld({
      windowBytesMax: 20_000,
      pageBytesMax: 1_024,
      pageFileBytesMax: 1_024,
      seen,
      ...options,
    })
    const run = await world.open()
    await run.declare('a', 'b', 'c', 'd')
    for (const queue of ['a', 'b', 'c', 'd']) {
      for (let round = 0; round < 4; round++) await run.publish(queue, ...numbers(50, 1 + 50 * round))
      for (let count = 0; count < 2; count++) run.channel.give(getOf(queue, false))
    }
    await run.settle()
    return { world, run, slow: slow as unknown as SlowClock }
  }

  /** Until the checkpoint has begun: its file is there. */
  async function begun(world: StoreWorld): Promise<void> {
    const { length } = checkpointsOf(world)
    while (checkpointsOf(world).length === length && (await world.clock.step()));
  }

  const all = numbers(200)
  const actions: Record<string, { act: (run: StoreRun) => void; expected: Record<string, string[]> }> = {
    'a queue that is deleted is gone': {
      act: (run) => run.delete('b'),
      expected: { a: all, c: all, d: all },
    },
    'a queue that is deleted and declared again has what it got since': {
      act: (run) => {
        run.delete('d')
        run.channel.give(durableQueue('d'))
        run.channel.post('', 'd', 'new', persistent)
      },
      expected: { a: all, b: all, c: all, d: ['new'] },
    },
    'a queue that is declared is there, with its messages': {
      act: (run) => {
        run.channel.give(durableQueue('new'))
        run.channel.post('', 'new', 'first', persistent)
      },
      expected: { a: all, b: all, c: all, d: all, new: ['first'] },
    },
    'a queue that is declared, filled and deleted leaves nothing': {
      act: (run) => {
        run.channel.give(durableQueue('short'))
        run.channel.post('', 'short', 'lived', persistent)
        run.delete('short')
      },
      expected: { a: all, b: all, c: all, d: all },
    },
    'what is published is there once': {
      act: (run) => {
        for (const queue of ['a', 'b', 'c', 'd']) run.channel.post('', queue, '201', persistent)
      },
      expected: Object.fromEntries(['a', 'b', 'c', 'd'].map((queue) => [queue, numbers(201)])),
    },
    'what is settled is gone, whoever held it': {
      act: (run) => {
        // The first of each queue was handed out with tags 1, 3, 5 and 7.
        for (const tag of [1, 3, 5, 7]) run.channel.port.ack(tag, false)
      },
      expected: Object.fromEntries(['a', 'b', 'c', 'd'].map((queue) => [queue, numbers(199, 2)])),
    },
    'what is purged is gone, and what consumers hold stays': {
      act: (run) => run.channel.give({ type: 'queue.purge', queue: 'c' }),
      expected: { a: all, b: all, c: ['1', '2'], d: all },
    },
    'what comes back from a consumer is in its place': {
      act: (run) => {
        for (const tag of [2, 4, 6, 8]) run.channel.port.reject(tag, false, true)
      },
      expected: { a: all, b: all, c: all, d: all },
    },
    'what is taken for good is gone': {
      act: (run) => {
        for (let count = 0; count < 60; count++) run.channel.give(getOf('d', true))
      },
      expected: { a: all, b: all, c: all, d: [...numbers(2), ...numbers(138, 63)] },
    },
  }

  test.each(Object.entries(actions))('%s, whenever it happens', async (_name, { act, expected }) => {
    const outcomes = new Set<number>()
    for (let steps = 0; steps < 36; steps += 2) {
      const { world, run, slow } = await fourQueues({ seed: steps + 1 })
      await begun(world)
      slow.isSlow = true
      for (let step = 0; step < steps; step++) await world.clock.step()
      slow.isSlow = false
      outcomes.add(checkpointsOf(world).filter((path) => path.endsWith('.ckpt')).length)
      act(run)
      await run.settle(limits.ackDelayMs + commitMs)
      world.kill()
      const again = await world.open()
      const { notes, messages } = again.broker.report
      const counts = Object.entries(expected).map(([queue, bodies]) => `${queue} ${bodies.length}`)
      expect([notes, await again.queues()], `after ${steps} steps`).toEqual([[], counts])
      expect(messages, `after ${steps} steps`).toBe(Object.values(expected).flat().length)
      for (const [queue, bodies] of Object.entries(expected)) {
        expect(await again.drain(queue), `${queue} after ${steps} steps`).toEqual(bodies.map((one) => `${one}!`))
      }
    }
    // It happened before the checkpoint stood, and after.
    expect(outcomes).toEqual(new Set([0, 1]))
  })

  test('no slice of it takes more than eight thousand entries, and others have their turn in between', async () => {
    let slow: SlowClock | null = null
    const seen = (clock: SimClock): Clock => {
      slow = new SlowClock(clock)
      return slow
    }
    const world = checkpointWorld({ windowBytesMax: never, checkpointMs: 10_000, seen })
    const run = await world.open()
    await run.declare('q')
    for (let round = 0; round < 20; round++) {
      for (let count = 0; count < 10_000; count++) run.channel.post('', 'q', 'x', persistent)
      await run.settle()
    }
    const clock = slow as unknown as SlowClock
    let before = 0
    let most = 0
    const add = vi.spyOn(IndexPage.prototype, 'add')
    clock.onYield = () => {
      const { length } = add.mock.calls
      most = Math.max(most, length - before)
      before = length
    }
    const { yields } = clock
    await begun(world)
    clock.isSlow = true
    while (checkpointsOf(world).some((path) => path.endsWith('.tmp')) && (await world.clock.step()));
    clock.isSlow = false
    const added = add.mock.calls.length
    clock.onYield()
    add.mockRestore()
    expect(added).toBe(200_000)
    expect(most).toBeLessThanOrEqual(8_192)
    expect(clock.yields - yields).toBeGreaterThanOrEqual(Math.floor(200_000 / 8_192))
    expect(told(world, 1)).toEqual(numbers(200_000))
    world.kill()
    const again = await world.open()
    expect(again.broker.report.messages).toBe(200_000)
  })

  test('the power may go at any operation, and every message is there', async () => {
    const expected = numbers(580, 21).map((one) => `${one}!`)
    let isOver = false
    const found = new Set<number>()
    for (let operation = 0; !isOver && operation < 500; operation++) {
      const options = { windowBytesMax: 10_000, pageBytesMax: 2_048, pageFileBytesMax: 2_048 }
      const world = checkpointWorld({ ...options, segmentBytesMax: 16_384, seed: operation + 1 })
      const run = await world.open()
      await run.declare('q', 'gone', 'stays')
      await run.publish('gone', ...numbers(300))
      for (let round = 0; round < 6; round++) {
        await run.publish('q', ...numbers(100, 1 + 100 * round))
        if (round % 2 === 0) await run.settle(1_500)
      }
      for (let count = 0; count < 21; count++) run.channel.give(getOf('q', count < 20))
      run.delete('gone')
      await run.settle(200)
      const { operations } = world.disk
      world.disk.stopAt = operations + operation
      await run.settle(2_500)
      isOver = world.disk.operations < operations + operation
      world.cutPower()
      for (let opening = 0; opening < 2; opening++) {
        const again = await world.open()
        expect(again.broker.report.notes, `stopped at ${operation}`).toEqual([])
        expect(await again.queues(), `stopped at ${operation}`).toEqual(['q 580', 'stays 0'])
        found.add(newestOf(world).id)
        if (opening === 1) expect(await again.drain('q'), `stopped at ${operation}`).toEqual(expected)
        world.cutPower()
      }
    }
    expect(found.size).toBeGreaterThan(1)
  })
})
