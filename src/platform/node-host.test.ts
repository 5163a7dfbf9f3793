// This process, as the folder lock will describe it.
import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { NodeHost } from './node-host.ts'

const host = new NodeHost()

test('this process is running', () => {
  expect(host.isRunning(host.pid, host.startTime)).toBe(true)
  expect(host.isRunning(host.pid, '')).toBe(true)
  expect(host.residentBytes()).toBeGreaterThan(1024 * 1024)
})

test.skipIf(process.platform !== 'linux')('a pid that was given to another process does not count', () => {
  expect(host.bootId).toMatch(/^[0-9a-f-]{36}$/)
  expect(host.startTime).toMatch(/^\d+$/)
  expect(host.isRunning(host.pid, '1')).toBe(false)
})

test('a process that ended is not running, and nonsense never is', () => {
  const child = spawnSync(process.execPath, ['-e', '0'])
  expect(host.isRunning(child.pid, '')).toBe(false)
  for (const pid of [0, -1, Number.NaN, 1.5]) expect(host.isRunning(pid, '')).toBe(false)
})
