// Levels of durability: what a broker over a folder has said when the process ends, or the power goes.
import { describe, expect, test } from 'vitest'
import type { Durability } from '../model/durability.ts'
import { SimFolder, type SimFolderRun } from '../testing/sim-folder.ts'

/** Everything is in one segment: none is sealed, which would be a sync. */
const wide = { segmentBytesMax: 10_000_000, windowBytesMax: 10_000_000, checkpointMs: 1_000_000 }

async function opened(
  durability: Durability,
  seed: number,
): Promise<{ folder: SimFolder; run: SimFolderRun; syncs: () => number }> {
  const folder = new SimFolder(seed)
  const run = await folder.open('/data', { ...wide, durability })
  await run.declare('q')
  await run.settle(3_000)
  let count = 0
  folder.disk.fault = ({ kind }) => {
    if (kind === 'sync') count++
    return null
  }
  return { folder, run, syncs: () => count }
}

/** What is there after the machine, or the process alone, went down: nothing that was not synced is on the platter. */
async function left(folder: SimFolder, crash: 'power' | 'process'): Promise<string[]> {
  folder.disk.fault = null
  if (crash === 'process') folder.kill()
  else folder.cutPower(() => 'lost')
  return (await folder.open('/data', wide)).take('q')
}

test('with fsync a confirm says that the message survives a power cut', async () => {
  const { folder, run, syncs } = await opened('fsync', 1)
  await run.publish('q', 'a')
  expect(run.confirmed).toEqual(['a'])
  expect(syncs()).toBe(1)
  expect(await left(folder, 'power')).toEqual(['a'])
})

test('with write a confirm comes before the sync, and says that the message survives the process', async () => {
  const { folder, run, syncs } = await opened('write', 2)
  await run.publish('q', 'a')
  expect(run.confirmed).toEqual(['a'])
  expect(syncs()).toBe(0)
  expect(await left(folder, 'process')).toEqual(['a'])
})

test('with write a confirm waits for the write', async () => {
  const { folder, run } = await opened('write', 3)
  folder.disk.stopAt = folder.disk.operations
  await run.publish('q', 'a')
  expect(run.confirmed).toEqual([])
})

test('with none a confirm waits for nothing', async () => {
  const { folder, run } = await opened('none', 4)
  folder.disk.stopAt = folder.disk.operations
  run.post('q', 'a')
  await run.settle(0)
  expect(run.confirmed).toEqual(['a'])
  expect(await left(folder, 'process')).toEqual([])
})

describe.each(['write', 'none'] as const)('with %s', (durability) => {
  test('a power cut takes no more than what a second or 64 MiB has brought, always the newest', async () => {
    const { folder, run, syncs } = await opened(durability, 5)
    await run.publish('q', 'a', 'b')
    await run.settle(1_100)
    expect(syncs()).toBe(1)
    await run.publish('q', 'c')
    await run.publish('q', 'd')
    expect(run.confirmed).toEqual(['a', 'b', 'c', 'd'])
    expect(await left(folder, 'power')).toEqual(['a', 'b'])
  })

  test('an idle broker syncs nothing', async () => {
    const { run, syncs } = await opened(durability, 6)
    await run.settle(60_000)
    expect(syncs()).toBe(0)
  })

  test('nothing is confirmed after a background sync has failed', async () => {
    const { folder, run } = await opened(durability, 7)
    const failures: string[] = []
    run.broker.onFailure((error) => failures.push(error.code))
    folder.disk.fault = ({ kind }) => (kind === 'sync' ? { code: 'EIO' } : null)
    await run.publish('q', 'a')
    await run.settle(1_100)
    expect(failures).toEqual(['E_STORAGE_FAILED'])
    expect(run.confirmed).toEqual(['a'])
    await expect(run.close()).rejects.toMatchObject({ code: 'E_STORAGE_FAILED' })
  })

  test('nothing is confirmed while the disk takes no writes', async () => {
    const { folder, run } = await opened(durability, 8)
    folder.disk.fault = ({ kind }) => (kind === 'write' ? { code: 'ENOSPC' } : null)
    await run.publish('q', 'a')
    await run.publish('q', 'b')
    expect(run.confirmed).not.toContain('b')
    folder.disk.fault = null
    await run.settle(3_000)
    expect(run.confirmed).toEqual(['a', 'b'])
  })

  test('a checkpoint and a close wait for the disk, and for no timer', async () => {
    const { folder, run } = await opened(durability, 9)
    await run.publish('q', 'a')
    const startMs = folder.clock.monotonicMs()
    await run.close()
    expect(folder.clock.monotonicMs() - startMs).toBeLessThan(500)
    expect(await left(folder, 'power')).toEqual(['a'])
  })

  test('what was compacted, checkpointed and given up survives a power cut', async () => {
    for (let seed = 20; seed < 40; seed++) {
      const folder = new SimFolder(seed)
      const run = await folder.open('/data', { durability })
      await run.declare('q')
      const bodies = Array.from({ length: 40 }, (_, at) => `${at} ${'x'.repeat(2_000)}`)
      for (let at = 0; at < bodies.length; at += 4) await run.publish('q', ...bodies.slice(at, at + 4))
      expect(await run.take('q', 30)).toEqual(bodies.slice(0, 30))
      await run.settle(seed * 100)
      folder.cutPower()
      const rest = await (await folder.open('/data', { durability })).take('q')
      // The last settlements may be lost with what was not synced, and no message.
      expect(bodies.slice(-rest.length)).toEqual(rest)
      expect(rest.length).toBeGreaterThanOrEqual(10)
    }
  })
})
