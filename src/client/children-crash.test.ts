// Families on a disk that loses its power, with workers that die with it: a parent comes when all its children are done, with all
// their results, and is done with once.
import { expect, test } from 'vitest'
import { Prng } from '../lib/prng.ts'
import { createTestBroker, type TestBroker } from '../testing/kit/test-broker.ts'
import type { Bus } from './bus.ts'
import { child } from './children.ts'
import type { Queue } from './queue.ts'

const seeds = Number(process.env['LEVERET_FAMILY_SEEDS'] ?? '40')
const families = 6

interface Life {
  readonly bus: Bus
  readonly album: Queue<number, number[]>
  readonly resize: Queue<number, number>
}

/** What was seen, over all lives. */
interface Seen {
  readonly stored: Set<number>
  /** How often the handler of a child, or of a parent, returned; that it did says nothing of its commit. */
  readonly children: Map<number, number>
  readonly parents: Map<number, number>
  readonly wrong: string[]
}

async function begin(test: TestBroker, prng: Prng, seen: Seen): Promise<Life> {
  const bus = await test.connect({ onError() {} })
  const retry = { attempts: 100, min: '10ms', max: '50ms' } as const
  const album = await bus.createQueue<number, number[]>('album', { retry })
  const resize = await bus.createQueue<number, number>('resize', { retry })
  resize.process(
    ({ data }) => {
      if (prng.chance(0.2)) throw new Error('not yet')
      seen.children.set(data, (seen.children.get(data) ?? 0) + 1)
      return data * 2
    },
    { concurrency: 2, onError() {} },
  )
  album.process(
    ({ data }, { children }) => {
      const results = children.map(({ result }) => result as number)
      const wanted = Array.from({ length: 1 + (data % 4) }, (_, at) => (data * 10 + at) * 2)
      if (JSON.stringify(results) !== JSON.stringify(wanted)) seen.wrong.push(`family ${data} has ${String(results)}`)
      seen.parents.set(data, (seen.parents.get(data) ?? 0) + 1)
      return results
    },
    { onError() {} },
  )
  return { bus, album, resize }
}

async function play(seed: number): Promise<Seen> {
  const prng = new Prng(seed)
  const seen: Seen = { stored: new Set(), children: new Map(), parents: new Map(), wrong: [] }
  await using test = await createTestBroker({ seed })
  let life = await begin(test, prng, seen)
  for (let family = 0; family < families; family++) {
    const { album, resize } = life
    const children = Array.from({ length: 1 + (family % 4) }, (_, at) => child(resize, family * 10 + at))
    album.send(family, { children }).then(
      () => seen.stored.add(family),
      () => {},
    )
    await test.advance(prng.below(40))
    if (!prng.chance(0.6)) continue
    await test.crash()
    await test.restart()
    life = await begin(test, prng, seen)
  }
  await test.advance('30s')
  // What is done is gone, its answers too.
  const left = (await life.bus.stats()).filter(({ name, length }) => length > 0 || name.startsWith('leveret.gather.'))
  // Queues of families that were never stored, and were made when the power went, are forgotten in time.
  for (const { name, length } of left) if (length > 0) seen.wrong.push(`queue ${name} has ${length} messages`)
  return seen
}

test(`in ${seeds} histories each family that was stored is done as a whole`, { timeout: 120_000 }, async () => {
  let done = 0
  for (let seed = 1; seed <= seeds; seed++) {
    const { stored, parents, wrong } = await play(seed)
    expect(wrong, `seed ${seed}`).toEqual([])
    for (const family of stored) expect(parents.get(family) ?? 0, `family ${family} of seed ${seed}`).toBeGreaterThan(0)
    done += stored.size
  }
  // It is not that the power always goes before anything is stored.
  expect(done).toBeGreaterThan(seeds * 3)
})

test('whoever waits for a family to be stored is told that the connection is lost', async () => {
  await using broker = await createTestBroker()
  const bus = await broker.connect({ onError() {} })
  const album = await bus.createQueue<number, number[]>('album')
  const resize = await bus.createQueue<number, number>('resize')
  broker.faults.syncDelay('1s')
  const sent = album.send(1, { children: [child(resize, 2)] })
  const outcome = sent.catch(({ code }: { code: string }) => code)
  // The queue of the parent is made, and the family itself is on its way to the disk.
  await broker.advance('1500ms')
  await broker.faults.crashClient(bus)
  broker.faults.end()
  expect(await broker.run(outcome)).toBe('E_CONNECTION_LOST')
})
