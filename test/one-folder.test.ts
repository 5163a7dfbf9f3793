// Several processes, one folder: one of them has it, the others are told who and where; and whoever comes after a process
// that was killed, gets it.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { NodeProgram } from './support/node-program.ts'
import { removeFolder, temporaryFolder } from './support/temporary-folder.ts'

let parent: string

beforeAll(() => {
  parent = temporaryFolder('one-folder')
})

afterAll(() => removeFolder(parent))

/** Opens the folder, says so or why not, and keeps it until it is killed; serves it if it is asked to. */
const opener = `
  try {
    const bus = await leveret.connect('file:' + args.folder)
    const queue = await bus.createQueue('work')
    const url = args.serves ? (await bus.serve({ amqp: 0 })).url : ''
    if (args.sends) await queue.send({ from: process.pid })
    say({ pid: process.pid, url, ready: (await queue.count()).ready })
    setInterval(() => {}, 1000)
  } catch (error) {
    say({ code: error.code, message: error.message })
  }
`

interface Said {
  readonly pid?: number
  readonly url?: string
  readonly ready?: number
  readonly code?: string
  readonly message?: string
}

function open(folder: string, options: { serves?: boolean; sends?: boolean } = {}): NodeProgram {
  return new NodeProgram(opener, { folder, ...options })
}

it('a second process is told pid and address of the one that has the folder', async () => {
  const folder = join(parent, 'served')
  await using owner = open(folder, { serves: true })
  const { pid, url } = (await owner.next()) as Said
  await using other = open(folder)
  const { code, message } = (await other.next()) as Said
  expect(code).toBe('E_FOLDER_IN_USE')
  expect(message).toContain(`is in use by process ${pid} on `)
  expect(message).toContain(`which serves it at ${url}: connect there`)
})

it('of many that open at the same time one gets the folder', async () => {
  const folder = join(parent, 'race')
  const programs = Array.from({ length: 5 }, () => open(folder))
  const said = (await Promise.all(programs.map((program) => program.next()))) as Said[]
  for (const program of programs) await program.kill()
  const codes = said.map(({ code }) => code ?? 'opened').sort()
  expect(codes).toEqual([...Array.from({ length: 4 }, () => 'E_FOLDER_IN_USE'), 'opened'])
})

it('the folder of a process that was killed opens at once, with what was confirmed', async () => {
  const folder = join(parent, 'killed')
  const first = open(folder, { sends: true })
  expect(await first.next()).toMatchObject({ ready: 1 })
  await first.kill()
  expect(readFileSync(join(folder, 'LOCK'), 'utf8')).toContain('"pid"')
  await using second = open(folder)
  expect(await second.next()).toMatchObject({ ready: 1 })
})

it.runIf(process.platform === 'linux')(
  'a LOCK whose pid another program has got meanwhile is stale; one whose process lives is not',
  async () => {
    const folder = join(parent, 'reused')
    const first = open(folder)
    await first.next()
    await first.kill()
    const left = JSON.parse(readFileSync(join(folder, 'LOCK'), 'utf8')) as Record<string, unknown>
    // As seen from another network namespace, where the kernel's lock says nothing.
    const startTime = readFileSync(`/proc/${process.pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')[19]
    const alive = { ...left, pid: process.pid, startTime, addresses: [] }
    writeFileSync(join(folder, 'LOCK'), JSON.stringify(alive))
    await using refused = open(folder)
    const { code, message } = (await refused.next()) as Said
    expect(code).toBe('E_FOLDER_IN_USE')
    expect(message).toContain(`process ${process.pid} on `)
    expect(message).toContain(`delete ${folder}/LOCK`)
    writeFileSync(join(folder, 'LOCK'), JSON.stringify({ ...alive, startTime: '1' }))
    await using second = open(folder)
    expect(await second.next()).toMatchObject({ ready: 0 })
  },
)
