// The commands on a folder's files, on the real disk: what they print and which status they end with.
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { runLeveret } from '../../test/support/run-leveret.ts'
import { removeFolder, temporaryFolder } from '../../test/support/temporary-folder.ts'
import { connect } from '../index.ts'
import { fail } from './fail.ts'
import { Progress, sizeText } from './progress.ts'

let parent: string

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const commands = {
  verify: () => import('./verify.ts'),
  inspect: () => import('./inspect.ts'),
  backup: () => import('./backup.ts'),
  restore: () => import('./restore.ts'),
  compact: () => import('./compact.ts'),
  salvage: () => import('./salvage.ts'),
} as const

/** As main.ts runs it. */
async function run(command: keyof typeof commands, options: object): Promise<Outcome> {
  const written = { stdout: '', stderr: '' }
  const spies = (['stdout', 'stderr'] as const).map((stream) =>
    vi.spyOn(process[stream], 'write').mockImplementation((text) => {
      written[stream] += String(text)
      return true
    }),
  )
  try {
    const all = { json: false, debug: false, ...options }
    const module = (await commands[command]()) as { run(options: object): Promise<number> }
    const code = await module.run(all).catch((error: unknown) => fail(error, all))
    return { code, ...written }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

function at(name: string): string {
  return join(parent, name)
}

function copyOf(name: string): string {
  cpSync(at('data'), at(name), { recursive: true })
  return at(name)
}

function flip(path: string, offset: number): void {
  const content = readFileSync(path)
  content[offset] = (content[offset] as number) ^ 4
  writeFileSync(path, content)
}

/** Where the body of that message is in the first segment. */
function bodyAt(folder: string, body: string): number {
  return readFileSync(join(folder, 'log/0000000001.log')).indexOf(body)
}

beforeAll(async () => {
  parent = temporaryFolder('folder')
  const bus = await connect(`file:${at('data')}`)
  const queue = await bus.createQueue('work')
  for (let number = 1; number <= 30; number++) await queue.send({ number })
  await bus.close()
})

afterAll(() => removeFolder(parent))

describe('a message that cannot be read', () => {
  it('is told to the program that has the folder open, and the others are delivered', async () => {
    const folder = copyOf('unreadable')
    const offset = bodyAt(folder, '{"number":7}')
    flip(join(folder, 'log/0000000001.log'), offset)
    const errors: Error[] = []
    const bus = await connect(`file:${folder}`, { onError: (error) => errors.push(error) })
    const numbers: number[] = []
    for await (const message of (await bus.openQueue<{ number: number }>('work')).receive()) {
      numbers.push(message.data.number)
      await message.ack()
      if (message.data.number === 30) break
    }
    await bus.close()
    expect(numbers).toEqual(Array.from({ length: 30 }, (_, index) => index + 1).filter((number) => number !== 7))
    expect(errors).toEqual([expect.objectContaining({ code: 'E_STORAGE_CORRUPT' })])
    expect(errors[0]?.message).toMatch(/log\/0000000001\.log at \d+: message 7 of queue 'work' cannot be read: /)
  })

  it('is told on standard error by a command, which goes on', async () => {
    const folder = copyOf('unreadable-too')
    flip(join(folder, 'log/0000000001.log'), bodyAt(folder, '{"number":7}'))
    const { code, stdout, stderr } = await runLeveret(['receive', 'work', '--from', folder])
    expect({ code, lines: stdout.split('\n').length - 1 }).toEqual({ code: 0, lines: 29 })
    expect(stderr).toMatch(/^leveret: E_STORAGE_CORRUPT: .*message 7 of queue 'work' cannot be read: .*\n$/)
  })
})

describe('verify', () => {
  it('says of each file that it is well, with status 0', async () => {
    const { code, stdout, stderr } = await run('verify', { folder: at('data') })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^ok {7}FORMAT +\d+ B\nok {7}log\/0000000001\.log +[\d.]+ KiB\n/)
    expect(stdout).toMatch(/30 messages in queues: all well\n$/)
    const json = await run('verify', { folder: `file:${at('data')}/`, json: true })
    expect(JSON.parse(json.stdout)).toMatchObject({ directory: at('data'), damages: 0, messages: 30 })
  })

  it('names what is damaged, with status 1', async () => {
    const folder = copyOf('damaged')
    flip(join(folder, 'log/0000000001.log'), bodyAt(folder, '{"number":7}'))
    const { code, stdout, stderr } = await run('verify', { folder })
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    expect(stdout).toContain('DAMAGED  log/0000000001.log')
    expect(stdout).toContain('message 7 of work waits there and cannot be read')
    expect(stdout).toContain('30 messages in queues, 1 of them cannot be read: 1 place damaged\n')
    expect(stdout).toMatch(/next: .* leveret salvage .*damaged\n$/)
  })

  it('ends with status 2 where nothing can be said', async () => {
    const { code, stdout, stderr } = await run('verify', { folder: at('nothing') })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toBe(`leveret: E_NO_FOLDER: there is no folder ${at('nothing')}\n`)
  })
})

describe('inspect', () => {
  it('shows a folder', async () => {
    const { code, stdout } = await run('inspect', { folder: at('data'), limit: '100' })
    expect(code).toBe(0)
    expect(stdout).toMatch(/format 1\.0, [0-9a-f-]{36}\nnot in use\n/)
    expect(stdout).toMatch(/\nqueue +ready +bytes +delayed +oldest +written\nwork +30 /)
    expect(stdout).toMatch(/\nsegment +bytes +opening +from frame +live +of\nlog\/0000000001\.log /)
    const json = await run('inspect', { folder: at('data'), limit: '100', json: true })
    expect(JSON.parse(json.stdout)).toMatchObject({ queues: [{ name: 'work', ready: 30 }] })
  })

  it('shows a queue, so many messages', async () => {
    const { stdout } = await run('inspect', { folder: at('data'), queue: 'work', limit: '2' })
    expect(stdout).toMatch(
      /^#1 {2}log\/0000000001\.log at \d+ {2}\d+ bytes, application\/json, .*\n {4}\{"number":1\}\n#2 /,
    )
    expect(stdout).toMatch(/\n… and 28 more \(--limit 0 shows all\)\n$/)
    const { code, stderr } = await run('inspect', { folder: at('data'), queue: 'wrok', limit: '2' })
    expect(code).toBe(2)
    expect(stderr).toContain("E_BAD_OPTION: there is no queue 'wrok'")
  })

  it('shows a file, by its name in the folder or any other', async () => {
    for (const file of ['log/0000000001.log', join(at('data'), 'log/0000000001.log')]) {
      const { code, stdout } = await run('inspect', { folder: at('data'), file, limit: '0' })
      expect(code).toBe(0)
      expect(stdout).toMatch(/^ {9}0 {2}header \(1024 B\) segment 1, /)
      expect(stdout).toMatch(/PUBLISH \(\d+ B\) to work #30, 13 bytes: \{"number":30\}\n/)
    }
    const { code, stderr } = await run('inspect', { folder: at('data'), file: 'log/0000000009.log', limit: '0' })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^leveret: E_STORAGE_FAILED: log\/0000000009\.log cannot be read/)
  })
})

describe('backup and restore', () => {
  it('make a folder that is the same', async () => {
    const made = await run('backup', { folder: at('data'), target: at('backup') })
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(made.stdout).toMatch(/backed up to .*backup: \d+ files, .* copied, \d+ files? linked\)\n$/)
    const again = await run('backup', { folder: at('data'), target: at('backup') })
    expect(again).toMatchObject({ code: 1, stdout: '' })
    expect(again.stderr).toContain('E_NOT_EMPTY: ')
    const restored = await run('restore', { backup: at('backup'), folder: at('restored'), force: false })
    expect(restored).toMatchObject({ code: 0, stderr: '' })
    expect(restored.stdout).toMatch(/restored to .*restored: \d+ files, .*, 30 messages in queues\n$/)
    const bus = await connect(`file:${at('restored')}`)
    expect((await (await bus.openQueue('work')).count()).ready).toBe(30)
    await bus.close()
  })

  it('refuse what is damaged unless forced', async () => {
    const backup = copyOf('damaged-backup')
    flip(join(backup, 'log/0000000001.log'), bodyAt(backup, '{"number":7}'))
    const refused = await run('restore', { backup, folder: at('forced'), force: false })
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toMatch(
      /^leveret: E_STORAGE_CORRUPT: the backup .* is damaged in 1 place \(log\/0000000001\.log: /,
    )
    const forced = await run('restore', { backup, folder: at('forced'), force: true })
    expect(forced.code).toBe(0)
    expect(forced.stdout).toContain('1 place damaged. next: leveret salvage')
  })
})

describe('compact', () => {
  it('refuses a folder that is in use, and one that is not there, which it does not make', async () => {
    const bus = await connect(`file:${at('data')}`)
    const { code, stdout, stderr } = await run('compact', { folder: at('data') })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain('E_FOLDER_IN_USE: ')
    await bus.close()
    expect((await run('compact', { folder: at('none') })).stderr).toContain('E_NO_FOLDER: ')
    expect(readdirSync(parent)).not.toContain('none')
  })
})

describe('salvage', () => {
  it('has nothing to do where nothing is damaged', async () => {
    const { code, stdout } = await run('salvage', { folder: at('data'), yes: false })
    expect(code).toBe(0)
    expect(stdout).toMatch(/: all well\nnothing is damaged: there is nothing to salvage\n$/)
  })

  it('shows what is damaged, changes nothing without --yes, and tells what it left out with it', async () => {
    const folder = copyOf('salvaged')
    // Without its checkpoints the log is read from the beginning, and the damage is in the way.
    for (const name of readdirSync(join(folder, 'ckpt'))) writeFileSync(join(folder, 'ckpt', name), 'x')
    flip(join(folder, 'log/0000000001.log'), bodyAt(folder, '{"number":7}'))
    await expect(connect(`file:${folder}`)).rejects.toMatchObject({ code: 'E_STORAGE_CORRUPT' })
    const asked = await run('salvage', { folder, yes: false })
    expect(asked.code).toBe(1)
    expect(asked.stdout).toContain('DAMAGED  log/0000000001.log')
    expect(asked.stderr).toMatch(
      /^leveret: E_NEEDS_YES: \d places damaged.*; nothing was changed\. Copy the folder, then: leveret salvage .* --yes\n$/,
    )
    await expect(connect(`file:${folder}`)).rejects.toMatchObject({ code: 'E_STORAGE_CORRUPT' })
    const { code, stdout } = await run('salvage', { folder, yes: true })
    expect(code).toBe(0)
    expect(stdout).toContain('it can be opened, with 29 messages in its queues')
    expect(stdout).toMatch(/left out: .*0000000001\.log at \d+ \(\d+ bytes\): record 0 of the frame/)
    expect(stdout).toMatch(/set aside: .*quarantine\/0000000001\.log\.[0-9a-f]+\.\d+\.damaged/)
    const bus = await connect(`file:${folder}`)
    expect((await (await bus.openQueue('work')).count()).ready).toBe(29)
    await bus.close()
  })
})

describe('salvage of what it cannot repair', () => {
  it('refuses if much is only in checkpoints and none can be read, and changes nothing', async () => {
    const folder = copyOf('lost')
    for (const name of readdirSync(join(folder, 'ckpt'))) writeFileSync(join(folder, 'ckpt', name), 'x')
    writeFileSync(join(folder, 'cold/0000000001.cold'), 'what only a checkpoint names')
    const { code, stderr } = await run('salvage', { folder, yes: true })
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /E_STORAGE_CORRUPT: salvage cannot go around this damage .*: restore a backup\. No checkpoint/,
    )
    expect(readdirSync(join(folder, 'cold'))).toEqual(['0000000001.cold'])
  })

  it('writes FORMAT anew if it is damaged, and keeps what it was', async () => {
    const folder = copyOf('formatless')
    flip(join(folder, 'FORMAT'), 10)
    const { code, stdout } = await run('salvage', { folder, yes: true })
    expect(code).toBe(0)
    expect(stdout).toContain(`set aside: ${folder}/quarantine/FORMAT.1\n`)
    expect(readFileSync(join(folder, 'FORMAT'))).toEqual(readFileSync(join(at('data'), 'FORMAT')))
    expect(stdout).toMatch(/FORMAT: its text does not match its checksum; it was written anew\n/)
    expect(await run('verify', { folder })).toMatchObject({ code: 0 })
  })
})

describe('progress', () => {
  it('is shown to people only, not too often, and leaves no line', () => {
    const lines: string[] = []
    const spy = vi.spyOn(process.stderr, 'write').mockImplementation((text) => lines.push(String(text)) > 0)
    const quiet = new Progress('verifying x', null, false)
    quiet.add(5_000)
    quiet.end()
    expect(lines).toEqual([])
    const shown = new Progress('verifying x', 10_000, true)
    for (let count = 0; count < 100; count++) shown.add(50)
    shown.end()
    spy.mockRestore()
    expect(lines[0]).toBe('\r\u001b[Kverifying x: 50 B of 9.8 KiB')
    expect(lines.length).toBeLessThan(10)
    expect(lines.at(-1)).toBe('\r\u001b[K')
  })

  it('writes sizes as people read them', () => {
    expect([0, 1023, 1024, 1536, 67_108_864, 5e12].map(sizeText)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.5 KiB',
      '64 MiB',
      '4.5 TiB',
    ])
  })
})
