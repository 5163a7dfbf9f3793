/** `leveret user`: who may log in. */
import type { Readable } from 'node:stream'
import { hashPassword, type JsonObject } from '../index.ts'
import { LeveretError } from '../model/errors.ts'
import { administer, listed, sayDone } from './administer.ts'
import type { Reporting } from './fail.ts'
import { LineSplitter } from './line-splitter.ts'
import { type Cell, table } from './table.ts'

interface UserCommand extends Reporting {
  readonly action: 'put' | 'delete' | 'list'
  readonly name: string
  readonly tags?: string
  /** False: leave it as it is. */
  readonly password?: boolean
  readonly at: string
}

const passwordBytesMax = 1_024

export async function run(options: UserCommand): Promise<number> {
  const { action, name, at, json } = options
  if (action === 'list') return await list(at, json)
  if (action === 'delete') await administer(at, { type: 'leveret.delete-user', user: name })
  else await put(options)
  sayDone(json, { user: name, done: action })
  return 0
}

async function put({ name, tags = '', password = true, at }: UserCommand): Promise<void> {
  const words = tags
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
  const known = password ? true : (await listed(at, 'users')).some((user) => user['name'] === name)
  const kept = known ? null : ''
  const passwordHash = password ? await hashPassword(await readPassword(process.stdin)) : kept
  await administer(at, { type: 'leveret.put-user', user: name, passwordHash, hashing: 'scrypt', tags: words })
}

/** The first line. Rejects with E_BAD_DATA if there is none. */
async function readPassword(input: Readable): Promise<string> {
  const lines = new LineSplitter(passwordBytesMax)
  for await (const chunk of input) {
    for (const line of lines.push(chunk as Buffer)) return checked(line)
  }
  return checked(lines.end() ?? Buffer.alloc(0))
}

function checked(line: Buffer): string {
  const password = line.toString().replace(/\r$/, '')
  if (password !== '') return password
  throw new LeveretError(
    'E_BAD_DATA',
    'no password came on standard input: echo secret | leveret user put …, or --no-password',
  )
}

async function list(at: string, json: boolean): Promise<number> {
  const users = await listed(at, 'users')
  const permissions = await listed(at, 'permissions')
  const rows = users.map(({ name, tags }) => {
    const own = permissions.filter(({ user }) => user === name).map(({ user: _user, ...permission }) => permission)
    return { name: name as string, tags: tags as readonly string[], permissions: own }
  })
  if (json) for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`)
  else process.stdout.write(table(['user', 'tags', 'permissions'], rows.map(cellsOf)))
  return 0
}

function cellsOf({
  name,
  tags,
  permissions,
}: {
  name: string
  tags: readonly string[]
  permissions: readonly JsonObject[]
}): Cell[] {
  const texts = permissions.map(
    ({ vhost, configure, write, read }) =>
      `${vhost as string}: '${configure as string}' '${write as string}' '${read as string}'`,
  )
  return [name, tags.join(', '), texts.join('; ')]
}
