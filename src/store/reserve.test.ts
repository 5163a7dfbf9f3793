// The file that is there to be deleted: when it is made, that it takes real room, and that it comes and goes in order.
import { describe, expect, test } from 'vitest'
import { SimFolder } from '../testing/sim-folder.ts'
import { Reserve } from './reserve.ts'

const path = '/data/reserve.bin'

async function open(): Promise<{ folder: SimFolder; reserve: Reserve; files: () => string[] }> {
  const folder = new SimFolder()
  await folder.clock.run(folder.disk.makeDirectory('/data'))
  return { folder, reserve: new Reserve(folder.platform, path, 3_000_000), files: () => folder.files() }
}

describe('the reserve', () => {
  test('takes real room on the disk, and gives it back', async () => {
    const { folder, reserve, files } = await open()
    reserve.make()
    reserve.make()
    await folder.clock.advance(1_000)
    expect(files()).toEqual(['reserve.bin'])
    const content = folder.disk.durableContents(path)
    expect(content.length).toBe(3_000_000)
    // Nothing that a file system makes small.
    expect(new Set(content.subarray(0, 4_096)).size).toBeGreaterThan(200)
    await folder.clock.run(reserve.release())
    expect(files()).toEqual([])
    reserve.make()
    await folder.clock.advance(1_000)
    expect(files()).toEqual(['reserve.bin'])
  })

  test('is finished if a life before it was not, and left alone if it was', async () => {
    const { folder, reserve } = await open()
    reserve.make()
    await folder.clock.advance(1)
    folder.kill()
    const size = (): number => folder.disk.contents(path).length
    expect(size()).toBeLessThan(3_000_000)
    const next = new Reserve(folder.platform, path, 3_000_000)
    next.make()
    await folder.clock.advance(1_000)
    expect(size()).toBe(3_000_000)
    const { operations } = folder.disk
    new Reserve(folder.platform, path, 3_000_000).make()
    await folder.clock.advance(1_000)
    expect(folder.disk.operations - operations).toBeLessThan(6)
  })

  test('that cannot be made leaves nothing behind, and that is all', async () => {
    const { folder, reserve, files } = await open()
    folder.disk.fault = ({ kind }) => (kind === 'write' ? { code: 'ENOSPC', bytesWritten: 500 } : null)
    reserve.make()
    await folder.clock.advance(1_000)
    expect(files()).toEqual([])
  })

  test('that is given back while it is made is not finished first', async () => {
    const { folder, reserve, files } = await open()
    reserve.make()
    await folder.clock.advance(1)
    const { operations } = folder.disk
    await folder.clock.run(reserve.release())
    expect(files()).toEqual([])
    expect(folder.disk.operations - operations).toBeLessThan(6)
  })
})
