// The disk that forgets: the simulator must be able to lose what a real disk may lose, and nothing else.
import { describe, expect, test } from 'vitest'
import type { DiskFile } from '../platform/disk.ts'
import { SimClock } from './sim-clock.ts'
import { SimDisk } from './sim-disk.ts'

class Bench {
  readonly clock = new SimClock()
  readonly disk: SimDisk

  constructor(seed: number, spaceBytesMax?: number) {
    this.disk = new SimDisk(this.clock, seed, spaceBytesMax === undefined ? {} : { spaceBytesMax })
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.clock.run(promise)
  }

  async create(path: string): Promise<DiskFile> {
    await this.run(this.disk.makeDirectory('/d'))
    return this.run(this.disk.open(path, 'create'))
  }

  write(file: DiskFile, text: string, position = 0): Promise<void> {
    return this.run(file.write(Buffer.from(text), 0, text.length, position))
  }
}

/** All that a crash made of the file over many seeds; null where the file is gone. */
async function outcomes(prepare: (bench: Bench) => Promise<unknown>, path = '/d/a'): Promise<Set<string | null>> {
  const seen = new Set<string | null>()
  for (let seed = 0; seed < 60; seed++) {
    const bench = new Bench(seed)
    await prepare(bench)
    bench.disk.crash()
    seen.add(bench.disk.paths().includes(path) ? bench.disk.contents(path).toString('latin1') : null)
  }
  return seen
}

describe('SimDisk', () => {
  test('reads what was written, with the errors of a real disk', async () => {
    const bench = new Bench(1)
    const file = await bench.create('/d/a')
    await bench.write(file, 'hello', 3)
    const target = Buffer.alloc(10)
    expect(await bench.run(file.read(target, 1, 10, 4))).toBe(4)
    expect(target.toString('latin1', 1, 5)).toBe('ello')
    expect(await bench.run(file.size())).toBe(8)
    await expect(bench.run(bench.disk.open('/d/a', 'create'))).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(bench.run(bench.disk.open('/d/b', 'read'))).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(bench.run(bench.disk.open('/x/b', 'create'))).rejects.toMatchObject({ code: 'ENOENT' })
    expect(await bench.run(bench.disk.list('/d'))).toEqual(['a'])
    await bench.run(bench.disk.rename('/d/a', '/d/c'))
    expect(await bench.run(bench.disk.list('/d'))).toEqual(['c'])
    await bench.run(bench.disk.remove('/d/c'))
    expect(await bench.run(bench.disk.list('/d'))).toEqual([])
  })

  test('gives a file a second name, durable when its directory is synced', async () => {
    const bench = new Bench(1)
    const file = await bench.create('/d/a')
    await bench.write(file, 'hello')
    await bench.run(file.sync())
    await bench.run(bench.disk.link('/d/a', '/d/b'))
    await expect(bench.run(bench.disk.link('/d/a', '/d/b'))).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(bench.run(bench.disk.link('/d/x', '/d/c'))).rejects.toMatchObject({ code: 'ENOENT' })
    await bench.run(bench.disk.syncDirectory('/d'))
    await bench.run(bench.disk.remove('/d/a'))
    await bench.run(bench.disk.syncDirectory('/d'))
    bench.disk.crash()
    expect(bench.disk.paths()).toEqual(['/d/b'])
    expect(bench.disk.contents('/d/b').toString()).toBe('hello')
  })

  test('keeps what was synced, file and name, through any crash', async () => {
    const seen = await outcomes(async (bench) => {
      const file = await bench.create('/d/a')
      await bench.write(file, 'synced')
      await bench.run(file.sync())
      await bench.run(bench.disk.syncDirectory('/d'))
    })
    expect([...seen]).toEqual(['synced'])
  })

  test('may lose, keep, tear or garble what was not, but never the synced bytes beside it', async () => {
    const seen = await outcomes(async (bench) => {
      const file = await bench.create('/d/a')
      await bench.write(file, 'synced')
      await bench.run(file.sync())
      await bench.run(bench.disk.syncDirectory('/d'))
      await bench.write(file, ' unsynced', 6)
    })
    const texts = [...seen].map(String)
    expect(texts.every((text) => text.startsWith('synced'))).toBe(true)
    expect(texts).toContain('synced')
    expect(texts).toContain('synced unsynced')
    expect(texts).toContain(`synced${'\0'.repeat(9)}`)
    expect(texts.length).toBeGreaterThan(5)
  })

  test('loses sectors in any subset, not from the end', async () => {
    const seen = await outcomes(async (bench) => {
      const file = await bench.create('/d/a')
      await bench.run(bench.disk.syncDirectory('/d'))
      await bench.write(file, 'a'.repeat(512) + 'b'.repeat(512))
    })
    const texts = [...seen].map(String)
    expect(texts.some((text) => text.includes('b') && !text.includes('a'))).toBe(true)
  })

  test('may forget a name that its directory did not sync', async () => {
    const created = await outcomes(async (bench) => {
      const file = await bench.create('/d/a')
      await bench.write(file, 'x')
      await bench.run(file.sync())
    })
    expect(created).toEqual(new Set(['x', null]))
    const removed = await outcomes(async (bench) => {
      const file = await bench.create('/d/a')
      await bench.run(file.sync())
      await bench.run(bench.disk.syncDirectory('/d'))
      await bench.run(bench.disk.remove('/d/a'))
    })
    expect(removed).toEqual(new Set(['', null]))
  })

  test('renames wholly or not at all', async () => {
    const states = new Set<string>()
    for (let seed = 0; seed < 40; seed++) {
      const bench = new Bench(seed)
      for (const name of ['a', 'b']) {
        const file = await bench.create(`/d/${name}`)
        await bench.write(file, name)
        await bench.run(file.sync())
      }
      await bench.run(bench.disk.syncDirectory('/d'))
      await bench.run(bench.disk.rename('/d/a', '/d/b'))
      bench.disk.crash()
      states.add(
        bench.disk
          .paths()
          .map((path) => `${path}=${bench.disk.contents(path).toString()}`)
          .join(' '),
      )
    }
    expect([...states].sort()).toEqual(['/d/a=a /d/b=b', '/d/b=a'])
  })

  test('after a crash no handle works, no promise settles, and the lock is free', async () => {
    const bench = new Bench(1)
    const file = await bench.create('/d/a')
    const lock = await bench.run(bench.disk.lock('/d'))
    expect(lock).not.toBeNull()
    expect(await bench.run(bench.disk.lock('/d/'))).toBeNull()
    let isSettled = false
    const settle = (): void => {
      isSettled = true
    }
    file.write(Buffer.from('x'), 0, 1, 0).then(settle, settle)
    bench.disk.crash()
    file.sync().then(settle, settle)
    await bench.clock.runUntilIdle()
    expect(isSettled).toBe(false)
    expect(await bench.run(bench.disk.lock('/d'))).not.toBeNull()
    await lock?.release()
    expect(await bench.run(bench.disk.lock('/d'))).toBeNull()
  })

  test('a process that dies leaves the page cache as it is', async () => {
    const bench = new Bench(1)
    await bench.write(await bench.create('/d/a'), 'unsynced')
    bench.disk.crash(undefined, true)
    expect(bench.disk.contents('/d/a').toString()).toBe('unsynced')
  })

  test('runs out of space at a byte', async () => {
    const bench = new Bench(1, 10)
    const file = await bench.create('/d/a')
    await expect(bench.write(file, 'x'.repeat(15))).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(bench.disk.contents('/d/a').length).toBe(10)
    await bench.write(file, 'overwritten'.slice(0, 10))
  })

  test.each([
    ['clean', 'new'],
    ['reverted', 'old'],
  ] as const)('a failed sync shows what its model says, and a second one proves nothing (%s)', async (model, shown) => {
    const bench = new Bench(1)
    const file = await bench.create('/d/a')
    await bench.write(file, 'old')
    await bench.run(file.sync())
    await bench.run(bench.disk.syncDirectory('/d'))
    await bench.write(file, 'new')
    bench.disk.fault = ({ kind }) => (kind === 'sync' ? { code: 'EIO', model } : null)
    await expect(bench.run(file.sync())).rejects.toMatchObject({ code: 'EIO' })
    bench.disk.fault = null
    expect(bench.disk.contents('/d/a').toString()).toBe(shown)
    await bench.run(file.sync())
    bench.disk.crash()
    expect(bench.disk.contents('/d/a').toString()).toBe('old')
  })

  test('carries out nothing from the operation on at which it is told to stop', async () => {
    const bench = new Bench(1)
    const file = await bench.create('/d/a')
    await bench.write(file, 'one')
    bench.disk.stopAt = bench.disk.operations + 1
    await bench.write(file, 'two')
    await expect(bench.write(file, 'six')).rejects.toThrow('nothing is left')
    expect(bench.disk.contents('/d/a').toString()).toBe('two')
  })
})
