// Durable subscribers, calls and families, while the processes that take part are killed: one broker that serves its folder, three
// workers, one caller. What was promised durable leaves one mark, what was not promised leaves at most one, and no call that is not
// durable is begun twice.
//
// LEVERET_PATTERN_ACTIONS=5000 LEVERET_KILLS=60 LEVERET_SEED=7 npx vitest run test/pattern-ledger
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Prng } from '../../src/lib/prng.ts'
import { type Line, Program } from '../ledger/program.ts'
import { connectWhenUp } from '../support/connect-when-up.ts'
import { copyCommandLine } from '../support/leveret-process.ts'
import { freePort } from '../support/port.ts'
import { removeFolder, temporaryFolder } from '../support/temporary-folder.ts'

const count = Number(process.env['LEVERET_PATTERN_ACTIONS'] ?? 160)
const kills = Number(process.env['LEVERET_KILLS'] ?? 4)
const seed = Number(process.env['LEVERET_SEED'] ?? Date.now() % 1_000_000)
const subscribers = ['one', 'two']
const workerNames = ['worker 1', 'worker 2', 'worker 3']
/** So near to a kill what was asked for may not have reached the disk, or the broker that is gone. */
const onItsWayMs = 500
const stallMs = 30_000

interface Mark {
  readonly job: string
  readonly token: string
  /** Of a parent: the jobs of its children. */
  readonly result?: readonly string[]
}

const begun = new Map<string, number>()
const told = new Map<string, { readonly code: string; readonly token: string | undefined }>()
const runs = new Map<string, number>()
/** When the broker, or the caller, was killed. */
const cuts: number[] = []
const wrong: string[] = []
const programs = new Map<string, Program>()
let folder: string
let programFolder: string
let port: number
let next = 0
let ready = 0
let isOver = false

beforeAll(async () => {
  programFolder = temporaryFolder('program')
  folder = temporaryFolder('patterns')
  port = await freePort()
  const library = pathToFileURL(join(copyCommandLine(programFolder), '../../index.js')).href
  const shared = { library, url: `amqp://127.0.0.1:${port}` }
  const add = (name: string, source: string, args: () => Record<string, unknown>): void => {
    programs.set(name, new Program(name, source, args, hear))
  }
  add('broker', 'broker.mjs', () => ({ library, folder, port }))
  for (const name of workerNames) {
    add(name, '../pattern-ledger/worker.mjs', () => ({ ...shared, subscribers, handlerMs: 10 }))
  }
  add('caller', '../pattern-ledger/caller.mjs', () => ({ ...shared, first: next, count, pauseMs: 5 }))
})

afterAll(async () => {
  await Promise.all([...programs.values()].filter(({ lives }) => lives > 0).map((one) => one.end('SIGKILL')))
  removeFolder(folder)
  removeFolder(programFolder)
})

function hear(line: Line): void {
  const { type, job } = line as { type: string; job: string }
  if (type === 'ready') ready++
  else if (type === 'end') isOver = true
  else if (type === 'begun') {
    next = (line['index'] as number) + 1
    begun.set(job, performance.now())
  } else if (type === 'run') runs.set(job, (runs.get(job) ?? 0) + 1)
  else if (type === 'told') {
    if (told.has(job)) wrong.push(`${job} was told twice`)
    told.set(job, { code: line['code'] as string, token: line['token'] as string | undefined })
  }
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const startedMs = performance.now()
  while (!(await isSo())) {
    if (performance.now() - startedMs > stallMs) {
      const errors = [...programs.values()].flatMap((one) => one.errors)
      throw new Error(
        `${what}: nothing for ${stallMs} ms; ${begun.size} begun, ${told.size} told; ${errors.join('\n')}`,
      )
    }
    await sleep(10)
  }
}

async function killInTurn(): Promise<void> {
  const prng = new Prng(seed)
  const points = Array.from({ length: kills }, () => prng.below(Math.ceil(count * 0.95))).sort((a, b) => a - b)
  for (const [at, point] of points.entries()) {
    const worker = workerNames[prng.below(workerNames.length)] as string
    const byChance = [worker, worker, 'broker', 'caller'][prng.below(4)] as string
    const name = ['broker', worker, 'caller'][at] ?? byChance
    const afterMs = prng.below(20)
    await until(`kill ${at}`, () => next >= point || isOver)
    await sleep(afterMs)
    const one = programs.get(name) as Program
    if (name !== worker) cuts.push(performance.now())
    await one.end('SIGKILL')
    one.start()
  }
}

async function untilDone(): Promise<void> {
  await until('the end of the caller', () => isOver)
  await using bus = await connectWhenUp(port)
  const queues = ['ask', 'leaf', 'parent', ...subscribers.map((name) => `leveret.subscriber.${name}`)]
  const work = await Promise.all(queues.map((name) => bus.openQueue(name)))
  await until('the end of the work', async () => {
    const stats = await Promise.all(work.map((queue) => queue.stats()))
    return stats.every(({ ready, unacked, delayed }) => ready + unacked + delayed === 0)
  })
}

/** What is there now was there before the end of the broker, too. */
async function readMarks(): Promise<{ marks: Map<string, Mark[]>; inbox: Set<string> }> {
  const broker = programs.get('broker') as Program
  await broker.end('SIGKILL')
  broker.start()
  await using bus = await connectWhenUp(port)
  const marks = new Map<string, Mark[]>()
  const queue = await bus.openQueue<Mark>('marks')
  let { ready: left } = await queue.count()
  for await (const message of queue.receive({ prefetch: 1_000 })) {
    const { data } = message
    marks.set(data.job, [...(marks.get(data.job) ?? []), data])
    await message.ack()
    if (--left === 0) break
  }
  const inbox = new Set<string>()
  for await (const { result } of bus.receipts({ sender: 'caller', wait: false })) {
    if (result !== undefined) inbox.add((result as Mark).token)
  }
  return { marks, inbox }
}

it(
  `${count} events, calls and families are neither missing nor doubled in ${kills} kills`,
  async () => {
    console.log(`LEVERET_SEED=${seed}`)
    for (const name of ['broker', ...workerNames]) programs.get(name)?.start()
    // From here on the subscribers are there, and what is emitted is theirs.
    await until('the start of the workers', () => ready >= 4)
    programs.get('caller')?.start()
    await killInTurn()
    await untilDone()
    for (const name of ['caller', ...workerNames]) await programs.get(name)?.end('SIGTERM')
    const { marks, inbox } = await readMarks()
    for (const [job, found] of marks) if (found.length > 1) wrong.push(`${job} was done ${found.length} times`)
    for (const [job, begunMs] of begun) {
      const [kind] = job.split('-')
      const word = told.get(job)
      const isThere = (name: string): boolean => marks.has(name)
      const isSafe = cuts.every((cutMs) => Math.abs(cutMs - begunMs) > onItsWayMs)
      if (kind === 'call' && (runs.get(job) ?? 0) > 1) wrong.push(`${job} was begun ${runs.get(job)} times`)
      if (kind === 'event' && word?.code === 'done') {
        for (const name of subscribers) if (!isThere(`${job}>${name}`)) wrong.push(`${name} has missed ${job}`)
      }
      if (kind === 'durable') {
        if ((isSafe || word?.code === 'done') && !isThere(job)) wrong.push(`${job} was lost; told ${word?.code}`)
        const token = marks.get(job)?.[0]?.token ?? ''
        if (isThere(job) && word?.code !== 'done' && !inbox.has(token)) wrong.push(`nobody was told of ${job}`)
      }
      if (word?.code === 'done' && (kind === 'call' || kind === 'durable') && marks.get(job)?.[0]?.token !== word.token)
        wrong.push(`${job} was told ${word.token}, which is not what was committed`)
      if (kind === 'family') {
        const members = [0, 1, 2].map((at) => `${job}.${at}`)
        const there = [job, ...members].filter(isThere).length
        if (there !== 4 && (there > 0 || word?.code === 'done')) wrong.push(`of the family ${job} ${there} are there`)
        const children = marks.get(job)?.[0]?.result
        if (children !== undefined && children.join() !== members.join()) wrong.push(`${job} has ${children.join()}`)
      }
    }
    expect([...programs.values()].flatMap((one) => one.errors)).toEqual([])
    expect(wrong.slice(0, 20)).toEqual([])
    const safely = [...told.values()].filter(({ code }) => code === 'done').length
    expect(safely).toBeGreaterThan(count / 2)
    console.log(
      `patterns: ${begun.size} begun, ${safely} told that they are done, ${marks.size} marks, ${inbox.size} late`,
    )
  },
  60_000 + count * 20 + kills * 10_000,
)
