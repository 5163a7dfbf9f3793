// The log on a real disk: what the simulator cannot vouch for.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { NodePlatform } from '../platform/node-platform.ts'
import { logOptionsDefault } from './log-options.ts'
import { SegmentedLog } from './segmented-log.ts'

test('what was durable on a real disk is there when it is opened again; a second opener is refused', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'leveret-log-'))
  try {
    const platform = new NodePlatform()
    let count = 0
    const sink = { record: () => count++, frameEnd: () => {} }
    const options = { ...logOptionsDefault, segmentBytesMax: 64 * 1024 }
    let notify: (() => void) | null = null
    const events = {
      durable: () => notify?.(),
      written: () => {},
      stalled: (error: Error) => expect.unreachable(error.message),
      resumed: () => {},
      failed: (error: Error) => expect.unreachable(error.message),
    }
    const log = await SegmentedLog.open(platform, folder, options, sink, events)
    for (let batch = 0; batch < 50; batch++) {
      for (let index = 0; index < 100; index++) {
        const at = log.begin(1, 0, 100)
        log.buffer.fill(index, at, at + 100)
        log.end(at, at + 100)
      }
      await new Promise<void>((resolve) => {
        notify = resolve
        log.commit()
      })
    }
    await expect(SegmentedLog.open(platform, folder, options, sink, events)).rejects.toMatchObject({
      code: 'E_FOLDER_IN_USE',
      pid: process.pid,
    })
    await log.close()
    expect(readdirSync(folder).sort()).toEqual(['FORMAT', 'log', 'quarantine'])
    expect(count).toBe(0)
    const again = await SegmentedLog.open(platform, folder, options, sink, events)
    expect(count).toBe(5000)
    expect(again.segments.length).toBeGreaterThan(5)
    await again.close()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
