// No failure of the public API leaves a rejection that nobody handles, which would end the program of whoever uses it. The paths
// are gone down in a process of their own (program.mjs), where Node tells of each such rejection.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { atTheEnd } from '../support/leftovers.ts'

interface Path {
  readonly path: string
  readonly outcome: unknown
  readonly unhandled: readonly string[]
}

const refusals = { code: ['E_NOT_PROCESSED'], asExpected: ['as expected'], both: ['as expected', 'as expected'] }

/** What comes out of each path, so that it is known that it was gone down. */
const expected: Readonly<Record<string, unknown>> = {
  'the connection is cut while everything is under way': refusals.both,
  'the broker closes while everything is under way': refusals.both,
  'the bus closes while everything is under way': refusals.asExpected,
  'nobody listens': ['E_CONNECT_FAILED'],
  'whoever listens is no broker, or says nothing': ['E_CONNECT_FAILED', 'E_CONNECT_FAILED'],
  'the address, the password or an option is wrong': [
    'E_BAD_URL',
    'E_BAD_OPTION',
    'ACCESS_REFUSED',
    'NOT_ALLOWED',
    'E_REFUSED',
    'E_BAD_OPTION',
    'NOT_FOUND',
  ],
  'the folder is in use, or is none': ['E_FOLDER_IN_USE', true],
  'the disk is full, and the power goes': ['as expected', 'E_CONNECTION_LOST'],
  'the disk is full, and the bus closes': refusals.asExpected,
  'the power goes while everything is under way': ['as expected', 'as expected', true],
  'a client dies': refusals.both,
  'sends fail, and acknowledgements get lost': refusals.asExpected,
  'a handler throws, whatever it throws': ['E_NOT_PROCESSED', 14],
  'whoever hears errors throws': refusals.code,
  'a callback throws, at once or later': [true, ['at once', 'later']],
  'a schema refuses, throws or rejects, on either side': ['E_BAD_DATA', 'E_NOT_PROCESSED'],
  'a result is no data': refusals.code,
  'a handler fails after its lease, its deadline or its worker': ['E_NOT_PROCESSED', 'E_EXPIRED'],
  'what a handler sends cannot be sent': Array.from({ length: 4 }, () => 'E_NOT_PROCESSED'),
  'a queue is deleted under whoever uses it': ['E_CLOSED', 'E_UNROUTABLE', 'NOT_FOUND'],
  'an inbox belongs to somebody else': ['E_REFUSED', 'E_REFUSED'],
  'the dead-letter queue cannot be made': ['E_REFUSED', 1],
  'a send is given up by its signal': refusals.asExpected,
  'a receipt is forgotten, or waited for too shortly': ['E_TIMEOUT', 'E_TIMEOUT', 'E_CLOSED', 'E_CLOSED'],
  'an iterator is left while it waits': ['(true)', '(true)'],
  'the connection is cut while listeners, calls and families are open': refusals.both,
  'the bus closes while listeners, calls and families are open, and an answerer never ends': refusals.asExpected,
  'the power goes, or a client dies, while listeners, calls and families are open': refusals.asExpected,
  'a listener throws or rejects, whatever it throws': [1, 15],
  'the schema of an event refuses, throws or rejects': [['E_BAD_DATA'], ['E_BAD_DATA']],
  'a durable subscriber fails for good, and is forgotten while it listens': [1, 'E_CLOSED', '(undefined)'],
  'a callback of a call throws': [[1, 'E_CALL_FAILED'], 2],
  'a call is given up before, while and after it is answered': [
    '(quick)',
    'changed my mind',
    'E_CANCELLED',
    'E_TIMEOUT',
  ],
  'children cannot be sent, or fail': ['E_NOT_PROCESSED', 'NOT_FOUND', 'E_BAD_DATA', 'E_BAD_OPTION', 'given up'],
}

const found = new Map<string, Path>()
const waiting = new Map<string, (path: Path) => void>()
let ended: Promise<void>
let errors = ''
let end: () => void = () => {}

beforeAll(() => {
  const program = fileURLToPath(new URL('program.mjs', import.meta.url))
  const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'pipe'] })
  end = atTheEnd(() => child.kill('SIGKILL'))
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString()
  })
  createInterface({ input: child.stdout }).on('line', (line) => {
    const path = JSON.parse(line) as Path
    found.set(path.path, path)
    waiting.get(path.path)?.(path)
  })
  ended = new Promise((resolve) => child.on('close', () => resolve()))
})

afterAll(async () => {
  await ended
  end()
})

/** What came out of that path; rejects if the program has ended without it. */
async function outcomeOf(path: string): Promise<Path> {
  const known = found.get(path)
  if (known !== undefined) return known
  const told = new Promise<Path>((resolve) => waiting.set(path, resolve))
  return Promise.race([
    told,
    ended.then(() => {
      throw new Error(`the program ended before this: ${errors}`)
    }),
  ])
}

it.each(Object.entries(expected))('leaves nothing unhandled when %s', async (path, outcome) => {
  expect(await outcomeOf(path)).toEqual({ path, outcome, unhandled: [] })
})

it('would notice what is left unhandled', async () => {
  const { unhandled } = await outcomeOf('the program makes a mistake')
  expect(unhandled).toHaveLength(1)
  expect(unhandled[0]).toContain('nobody handles this')
})

it('goes down all the paths that there are', async () => {
  await ended
  expect([...found.keys()].sort()).toEqual([...Object.keys(expected), 'the program makes a mistake'].sort())
})
