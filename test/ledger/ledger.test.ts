// Order numbers, receipts, acknowledgements and what handlers send, while the processes that take part are killed: one
// broker that serves its folder, three workers, one sender. For every message the acknowledgement, what its handler sent,
// its receipt and its mark of idempotency are there together or not at all, and each key keeps its order.
//
// LEVERET_LEDGER_MESSAGES=10000 LEVERET_KILLS=30 LEVERET_SEED=7 npx vitest run test/ledger/ledger.test.ts
import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Bus, Queue } from '../../src/index.ts'
import { Prng } from '../../src/lib/prng.ts'
import { connectWhenUp } from '../support/connect-when-up.ts'
import { copyCommandLine } from '../support/leveret-process.ts'
import { freePort } from '../support/port.ts'
import { removeFolder, temporaryFolder } from '../support/temporary-folder.ts'
import { type Planned, planOf } from './plan.ts'
import { type Line, Program } from './program.ts'
import { type Entry, LedgerRecord, type Told } from './record.ts'

const messages = Number(process.env['LEVERET_LEDGER_MESSAGES'] ?? 2000)
const kills = Number(process.env['LEVERET_KILLS'] ?? 6)
const seed = Number(process.env['LEVERET_SEED'] ?? Date.now() % 1_000_000)
const keys = 200
const concurrency = 100
const handlerMs = 10
/** Sends whose outcome the sender waits for. */
const window = 300
const settledPollMs = 50
/** How long nothing may be done before the test gives up. */
const stallMs = 30_000

const [brokerName, senderName, workerNames] = ['broker', 'sender', ['worker 1', 'worker 2', 'worker 3']] as const

interface Kill {
  /** So many messages are done by then. */
  readonly afterDone: number
  readonly afterMs: number
  readonly name: string
  /** SIGTERM: it ends in good order. */
  readonly signal: 'SIGKILL' | 'SIGTERM'
}

/** First each kind in turn, then whoever chance hits; each when so much is done, whatever the machine's speed. */
function killsOf(prng: Prng): Kill[] {
  const points = Array.from({ length: kills }, () => prng.below(Math.ceil(messages * 0.95))).sort((a, b) => a - b)
  return points.map((afterDone, at) => {
    const worker = workerNames[prng.below(workerNames.length)] as string
    const chance = prng.next()
    const byChance = chance < 0.5 ? worker : chance < 0.8 ? brokerName : senderName
    const name = [senderName, worker, brokerName][at] ?? byChance
    const isWorker = name === worker
    const signal = at > 2 && isWorker && prng.chance(0.3) ? 'SIGTERM' : 'SIGKILL'
    return { afterDone, afterMs: prng.below(20), name, signal }
  })
}

let record: LedgerRecord
let plan: Planned[]
let programFolder: string
let folder: string
let port: number
const programs = new Map<string, Program>()
const done = new Set<number>()
const known = new Set<number>()
let lastDoneMs = 0

beforeAll(async () => {
  programFolder = temporaryFolder('program')
  const library = pathToFileURL(join(copyCommandLine(programFolder), '../../index.js')).href
  folder = temporaryFolder('ledger')
  port = await freePort()
  plan = planOf(seed, messages, keys)
  record = new LedgerRecord(plan)
  const planFile = join(programFolder, 'plan.json')
  writeFileSync(planFile, JSON.stringify(plan))
  const shared = { library, url: `amqp://127.0.0.1:${port}` }
  const add = (name: string, source: string, args: () => Record<string, unknown>): void => {
    programs.set(name, new Program(name, source, args, hear))
  }
  add(brokerName, 'broker.mjs', () => ({ library, folder, port }))
  for (const name of workerNames) add(name, 'worker.mjs', () => ({ ...shared, concurrency, handlerMs }))
  add(senderName, 'sender.mjs', () => ({ ...shared, plan: planFile, window, first: firstUnknown() }))
})

afterAll(async () => {
  await Promise.all([...programs.values()].map((program) => program.end('SIGKILL')))
  removeFolder(folder)
  removeFolder(programFolder)
})

function program(name: string): Program {
  return programs.get(name) as Program
}

/** The first message that is not known to be stored. */
function firstUnknown(): number {
  let index = 0
  while (known.has(index)) index++
  return index
}

function hear(line: Line, life: number): void {
  const index = line['index'] as number
  if (line.type === 'done') {
    done.add(index)
    lastDoneMs = performance.now()
  } else if (line.type === 'stored') {
    known.add(index)
    const { id, duplicate } = line as unknown as { id: string; duplicate: boolean }
    record.stored.push({ send: `${life}.${String(line['send'])}`, index, id, duplicate })
  } else if (line.type === 'told') {
    record.callbacks.push({ send: `${life}.${String(line['send'])}`, told: toldOf(line) })
  }
}

/** Null: that the connection was lost says nothing about the message. */
function toldOf(line: Line): Told | null {
  const { code, text, result } = line as { code?: string; text?: string; result?: Told }
  if (code === undefined && result !== undefined) return { ...result, word: 'processed' }
  if (code === 'E_NOT_PROCESSED') return deadLettered(text)
  return code === 'E_CONNECTION_LOST' || code === 'E_CLOSED'
    ? null
    : { index: line['index'] as number, word: 'processed', token: `error ${code} ${text}` }
}

/** The reason that the handler gave says who it was. */
function deadLettered(text: string | undefined): Told {
  const match = /message (\d+) by (\S+)/.exec(text ?? '')
  return { index: Number(match?.[1] ?? -1), word: 'dead-lettered', token: match?.[2] ?? String(text) }
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  lastDoneMs = performance.now()
  while (!(await isSo())) {
    if (performance.now() - lastDoneMs > stallMs) throw new Error(`nothing was done for ${stallMs} ms: ${state()}`)
    await sleep(5)
  }
}

function state(): string {
  const errors = [...programs.values()].flatMap((one) => one.errors)
  return `${known.size} known to be stored, ${done.size} done; ${errors.slice(0, 5).join('\n')}`
}

async function killAllInTurn(): Promise<void> {
  for (const { afterDone, afterMs, name, signal } of killsOf(new Prng(seed + 1))) {
    await until(() => done.size >= afterDone)
    await sleep(afterMs)
    const one = program(name)
    await one.end(signal)
    one.start()
  }
}

/** Nothing is left to be done: neither ready nor with a worker nor waiting for its next attempt. */
async function untilEmpty(): Promise<void> {
  await using bus = await connectWhenUp(port)
  const work = await bus.openQueue('work')
  await until(async () => {
    await sleep(settledPollMs)
    const { ready, unacked, delayed } = await work.stats()
    return known.size === messages && ready + unacked + delayed === 0
  })
}

async function readAll(bus: Bus): Promise<void> {
  await takeAll(await bus.openQueue<Entry>('ledger'), (entry) => record.entries.push(entry))
  await takeAll(await bus.openQueue<Planned>('work.dead'), ({ index }, headers, id) => {
    const { token } = deadLettered(String(headers['x-leveret-error']))
    record.deadLetters.push({ index, token, messageId: id, attempts: Number(headers['x-leveret-attempts']) })
  })
  for await (const { id, status, result, error } of bus.receipts({ sender: 'ledger', wait: false })) {
    if (status === 'processed') record.inbox.push({ id, told: { ...(result as Told), word: 'processed' } })
    else record.inbox.push({ id, told: deadLettered(`${status}: ${error?.message}`) })
  }
}

async function takeAll<Data>(
  queue: Queue<Data>,
  take: (data: Data, headers: Readonly<Record<string, unknown>>, id: string) => void,
): Promise<void> {
  let { ready } = await queue.count()
  if (ready === 0) return
  for await (const message of queue.receive({ prefetch: 1000 })) {
    take(message.data, message.headers, String(message.id))
    await message.ack()
    if (--ready === 0) break
  }
}

/** Every mark of idempotency is there, and with it what became of the message. */
async function sendAllAgain(bus: Bus): Promise<void> {
  const work = await bus.createQueue<Planned, Told>('work', { keys: { concurrency: 1 } })
  const sendAgain = async (planned: Planned): Promise<void> => {
    const { index, key } = planned
    const receipt = await work.send(planned, { key, idempotencyKey: `message ${index}`, receipt: true })
    const stored = { send: 'again', index, id: receipt.id, duplicate: receipt.duplicate }
    const told = await receipt.processed({ timeout: '10s' }).then(
      (result): Told => ({ ...result, word: 'processed' }),
      (error: Error) => deadLettered(error.message),
    )
    record.again.push({ stored, told })
  }
  // As many at a time as the sender has under way.
  for (let at = 0; at < plan.length; at += window) await Promise.all(plan.slice(at, at + window).map(sendAgain))
  expect(await work.count()).toMatchObject({ ready: 0 })
}

async function lossless(): Promise<void> {
  for (const one of programs.values()) one.start()
  await killAllInTurn()
  await untilEmpty()
  for (const name of [senderName, ...workerNames]) await program(name).end('SIGTERM')
  // Whatever is there now was there before the end of the broker, too.
  await program(brokerName).end('SIGKILL')
  program(brokerName).start()
  await using bus = await connectWhenUp(port)
  await readAll(bus)
  await sendAllAgain(bus)
}

it(
  `${messages} messages keep their ledger, receipts, marks and order in ${kills} kills of sender, workers and broker`,
  async () => {
    console.log(`LEVERET_SEED=${seed}`)
    try {
      await lossless()
      expect([...programs.values()].flatMap((one) => one.errors)).toEqual([])
      expect(record.violations().slice(0, 20)).toEqual([])
    } catch (error) {
      await Promise.all([...programs.values()].map((one) => one.end('SIGKILL')))
      const kept = fileURLToPath(new URL(`../../build/ledger-${seed}`, import.meta.url))
      cpSync(folder, kept, { recursive: true })
      console.log(`the folder is kept: ${kept}`)
      throw error
    }
    const { entries, deadLetters, stored, callbacks, inbox } = record
    console.log(
      `ledger: ${JSON.stringify({ messages, kills, entries: entries.length, deadLetters: deadLetters.length })}; ` +
        `${stored.length} sends known to be stored, ${callbacks.length} callbacks, ${inbox.length} outcomes in the inbox; ` +
        [...programs.values()].map((one) => `${one.name} lived ${one.lives} times`).join(', '),
    )
  },
  60_000 + messages * 10 + kills * 10_000,
)
