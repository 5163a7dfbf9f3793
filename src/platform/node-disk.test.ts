// The real disk in a temporary folder: what the simulated one imitates.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { NodeDisk } from './node-disk.ts'

let folder: string
const disk = new NodeDisk()

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leveret-disk-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('NodeDisk', () => {
  test('reads back what was written at a position, and less only at the end of the file', async () => {
    const file = await disk.open(`${folder}/a`, 'create')
    await file.write(Buffer.from('xxhello'), 2, 7, 3)
    await file.sync()
    expect(await file.size()).toBe(8)
    const target = Buffer.alloc(10, 0x2e)
    expect(await file.read(target, 1, 10, 3)).toBe(5)
    expect(target.toString()).toBe('.hello....')
    expect(await file.read(target, 0, 10, 100)).toBe(0)
    await file.truncate(4)
    expect(await file.size()).toBe(4)
    await file.close()
  })

  test('writes at the position even in a file that is reopened', async () => {
    const created = await disk.open(`${folder}/a`, 'create')
    await created.write(Buffer.from('abc'), 0, 3, 0)
    await created.close()
    const reopened = await disk.open(`${folder}/a`, 'write')
    await reopened.write(Buffer.from('B'), 0, 1, 1)
    const target = Buffer.alloc(3)
    await reopened.read(target, 0, 3, 0)
    expect(target.toString()).toBe('aBc')
    await reopened.close()
  })

  test('refuses to create what is there and to open what is not', async () => {
    await (await disk.open(`${folder}/a`, 'create')).close()
    await expect(disk.open(`${folder}/a`, 'create')).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(disk.open(`${folder}/b`, 'read')).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(disk.open(`${folder}/b`, 'write')).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('gives a file a second name, which stays when the first one goes', async () => {
    const file = await disk.open(`${folder}/a`, 'create')
    await file.write(Buffer.from('abc'), 0, 3, 0)
    await file.close()
    await disk.link(`${folder}/a`, `${folder}/b`)
    await expect(disk.link(`${folder}/a`, `${folder}/b`)).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(disk.link(`${folder}/x`, `${folder}/c`)).rejects.toMatchObject({ code: 'ENOENT' })
    await disk.remove(`${folder}/a`)
    expect(statSync(`${folder}/b`).size).toBe(3)
  })

  test('lists sorted names, renames and removes', async () => {
    await disk.makeDirectory(`${folder}/deep/er`)
    await disk.makeDirectory(`${folder}/deep/er`)
    for (const name of ['b', 'a']) await (await disk.open(`${folder}/deep/er/${name}`, 'create')).close()
    await disk.rename(`${folder}/deep/er/b`, `${folder}/deep/er/c`)
    await disk.syncDirectory(`${folder}/deep/er`)
    expect(await disk.list(`${folder}/deep/er`)).toEqual(['a', 'c'])
    await disk.remove(`${folder}/deep/er/a`)
    expect(await disk.list(`${folder}/deep/er`)).toEqual(['c'])
  })

  test.skipIf(process.platform === 'win32')('makes files and folders that only their owner can read', async () => {
    await disk.makeDirectory(`${folder}/private`)
    await (await disk.open(`${folder}/private/a`, 'create')).close()
    expect(statSync(`${folder}/private`).mode & 0o077).toBe(0)
    expect(statSync(`${folder}/private/a`).mode & 0o077).toBe(0)
  })

  test('locks a folder once per process, by whatever path, until it is released', async () => {
    const lock = await disk.lock(folder)
    expect(lock).not.toBeNull()
    expect(await disk.lock(`${folder}/../${folder.split('/').pop()}`)).toBeNull()
    expect(await new NodeDisk().lock(folder)).toBeNull()
    await lock?.release()
    await lock?.release()
    const again = await disk.lock(folder)
    expect(again).not.toBeNull()
    await again?.release()
  })

  test.skipIf(process.platform !== 'linux')('keeps the lock against another process, without a file', async () => {
    const lock = await disk.lock(folder)
    const script = `
      const { dev, ino } = require('fs').statSync(${JSON.stringify(folder)}, { bigint: true })
      require('net').createServer().on('error', (e) => console.log(e.code)).listen('\\0leveret-' + dev + '-' + ino)`
    const child = spawnSync(process.execPath, ['-e', script], { timeout: 10_000 })
    expect(child.stdout.toString().trim()).toBe('EADDRINUSE')
    expect(await disk.list(folder)).toEqual([])
    await lock?.release()
  })
})
