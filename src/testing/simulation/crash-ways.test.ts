// What a power cut may leave: all of it where there is little, a selection that says what it is where there is much.
import { describe, expect, it } from 'vitest'
import { SimClock } from '../sim-clock.ts'
import { SimDisk } from '../sim-disk.ts'
import { crashWays, noneAndAll } from './crash-ways.ts'

const letters = (way: readonly string[]): string => way.map((fate) => fate[0]).join('')

describe('the ways of a crash', () => {
  it('are every subset of a few things, and each of them torn', () => {
    expect(crashWays(2).map(letters)).toEqual(['ll', 'kl', 'lk', 'kk', 'tk', 'kt'])
    expect(crashWays(0)).toEqual([[]])
  })

  it('are for many things none, all, each alone, each missing, each prefix and each torn', () => {
    const ways = crashWays(8).map(letters)
    for (const way of ['llllllll', 'kkkkkkkk', 'lllkllll', 'kkklkkkk', 'kkklllll', 'kkktkkkk'])
      expect(ways).toContain(way)
    expect(ways).toHaveLength(2 + 3 * 8 + 8)
  })
})

describe('a disk whose crash is told what to leave', () => {
  async function written(): Promise<SimDisk> {
    const clock = new SimClock()
    const disk = new SimDisk(clock, 1, { latencyMsMax: 0 })
    const file = await clock.run(disk.open('/f', 'create'))
    await clock.run(file.write(Buffer.alloc(512, 'a'), 0, 512, 0))
    await clock.run(file.sync())
    await clock.run(disk.syncDirectory('/'))
    await clock.run(file.write(Buffer.alloc(1024, 'b'), 0, 1024, 512))
    await clock.run(disk.open('/g', 'create'))
    return disk
  }

  it('lists names, lengths and sectors, in that order', async () => {
    const disk = await written()
    expect(disk.unsynced.map(({ kind }) => kind)).toEqual(['name', 'length', 'sector', 'sector'])
  })

  it.each([
    ['none', noneAndAll(4)[0], ['/f'], 512, ''],
    ['all', noneAndAll(4)[1], ['/f', '/g'], 1536, 'bb'],
    ['the length alone', ['lost', 'kept', 'lost', 'lost'], ['/f'], 1536, '\0\0'],
    ['the second sector, torn', ['kept', 'kept', 'lost', 'torn'], ['/f', '/g'], 1536, '\0b'],
  ] as const)('keeps %s', async (_name, way, paths, length, firsts) => {
    const disk = await written()
    disk.crashTo(way ?? [])
    expect(disk.paths()).toEqual(paths)
    const content = disk.contents('/f')
    expect(content.length).toBe(length)
    expect([512, 1024].map((at) => content.toString('latin1', at, at + 1)).join('')).toBe(firsts)
    if (firsts === '\0b') expect(content.toString('latin1', 1024 + 255, 1024 + 257)).toBe('b\0')
  })
})
