// The real binary, killed again and again under load. Publishers and consumers are in this process, and so is the
// ledger: what was confirmed must be acknowledged or still there, in order, and marked if anybody saw it before.
//
// LEVERET_KILLS=200 LEVERET_SEED=7 npx vitest run test/crash/kill-loop.test.ts
import { cpSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { AMQPClient, type AMQPMessage } from '@cloudamqp/amqp-client'
import { type ChannelModel, type ConsumeMessage, connect, type GetMessage } from 'amqplib'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Ledger, messageId } from '../support/ledger.ts'
import { copyCommandLine, LeveretProcess } from '../support/leveret-process.ts'
import { removeFolder, temporaryFolder } from '../support/temporary-folder.ts'

const kills = Number(process.env['LEVERET_KILLS'] ?? 10)
const seed = Number(process.env['LEVERET_SEED'] ?? Date.now() % 1_000_000)
const killsPerRound = 20
const killAfterMs = { min: 50, max: 2000 }
const publisherCount = 4
const window = 100
// Messages published and not yet acknowledged by the slowest queue; more would only make the end longer.
const backlogMax = 4000

const exchange = 'load'
const queues = ['ordered', 'shared', 'moving'] as const
const target = 'moved'

/** Small, seeded and good enough to choose (mulberry32). */
function generator(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Each message's body follows from its id, so any byte that is not its own is noticed. */
function bodyOf(id: number): Buffer {
  const chance = generator(id)()
  const size = chance < 0.9 ? 20 + chance * 200 : chance < 0.985 ? 1000 + (chance - 0.9) * 80_000 : 200_000
  return Buffer.alloc(Math.round(size), `${id}:`)
}

function idOf(body: Buffer): number {
  const id = Number.parseInt(body.toString('latin1', 0, 20), 10)
  if (!body.equals(bodyOf(id)))
    corrupt.push(`what came as ${id} has ${body.length} bytes: ${body.toString('latin1', 0, 40)}`)
  return id
}

const corrupt: string[] = []
let ledger = new Ledger()
let moved = 0
/** Messages that wait in the fullest queue, as far as we know. */
let backlog = 0
let isPublishing = true
let isConsuming = true
let leveret: LeveretProcess
let programFolder: string
/** Of the present run of the broker. */
let ready: Promise<void> = Promise.resolve()
let run = 0
let acksOfThisRun: (readonly [queue: string, id: number])[] = []

async function available(): Promise<void> {
  while (isConsuming) {
    try {
      return await ready
    } catch {
      // Killed before it was ready; the next one is started at once.
      await sleep(1)
    }
  }
}

beforeAll(async () => {
  programFolder = temporaryFolder('program')
  leveret = await LeveretProcess.create({ program: copyCommandLine(programFolder), args: ['--debug'] })
})

afterAll(async () => {
  isPublishing = false
  isConsuming = false
  await leveret?.dispose()
  removeFolder(programFolder)
})

/** Connects again and again until `goesOn` says no; a session ends when its connection does. */
async function sessions(
  goesOn: () => boolean,
  session: (model: ChannelModel, lost: Promise<void>, inRun: number) => Promise<void>,
): Promise<void> {
  while (goesOn()) {
    await available()
    try {
      // Before it connects: a connection that was made meanwhile is never taken for one of a later run.
      const inRun = run
      const model = await connect(leveret.url)
      model.on('error', () => {})
      const lost = new Promise<void>((resolve) => model.on('close', () => resolve()))
      await session(model, lost, inRun)
      await Promise.race([model.close(), lost])
    } catch {
      // It was killed; what that means for each message is the ledger's business. Let its end become known.
      await sleep(1)
    }
  }
}

/** Two kinds: one sends again what it does not know the end of, one never does. */
async function publisher(number: number): Promise<void> {
  const sendsAgain = number % 2 === 1
  let next = 1
  let unknown: number[] = []
  await sessions(
    () => isPublishing,
    async (model, lost) => {
      const channel = await model.createConfirmChannel()
      channel.on('error', () => {})
      const open = new Set<number>()
      let isLost = false
      let wake = (): void => {}
      void lost.then(() => {
        isLost = true
        wake()
      })
      const send = async (id: number): Promise<void> => {
        while (!isLost && open.size >= window) {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
        while (!isLost && isPublishing && backlog > backlogMax) await sleep(10)
        if (isLost) return
        ledger.publish(id)
        open.add(id)
        channel.publish(exchange, '', bodyOf(id), { persistent: true }, (error: Error | null) => {
          if (error === null) {
            ledger.confirm(id)
            open.delete(id)
          }
          wake()
        })
      }
      try {
        for (const id of sendsAgain ? unknown : []) await send(id)
        while (isPublishing && !isLost) await send(messageId(number, next++))
        if (!isLost) await Promise.race([channel.waitForConfirms(), lost])
      } finally {
        unknown = [...open]
      }
    },
  )
}

/** Alone, puts nothing back, acknowledges several at once: it has to see the order of each publisher. */
async function orderedConsumer(): Promise<void> {
  await sessions(
    () => isConsuming,
    async (model, lost, inRun) => {
      const channel = await model.createChannel()
      channel.on('error', () => {})
      const log = ledger.openLog('ordered', true)
      let waiting: number[] = []
      let last: ConsumeMessage | null = null
      const settle = (): void => {
        if (last === null) return
        for (const id of waiting) acked('ordered', id, inRun)
        waiting = []
        channel.ack(last, true)
        last = null
      }
      await channel.prefetch(200)
      const { consumerTag } = await channel.consume('ordered', (message) => {
        if (message === null) return
        const id = idOf(message.content)
        log(id, message.fields.redelivered)
        waiting.push(id)
        last = message
        if (waiting.length >= 10) settle()
      })
      await endOf(lost)
      await Promise.race([channel.cancel(consumerTag), lost])
      settle()
      await Promise.race([channel.close(), lost])
    },
  )
}

/** One of several that share a queue: it puts some back, and keeps some for a while. */
async function sharingConsumer(number: number): Promise<void> {
  const chance = generator(seed + 100 + number)
  await sessions(
    () => isConsuming,
    async (model, lost, inRun) => {
      const channel = await model.createChannel()
      channel.on('error', () => {})
      const log = ledger.openLog('shared', false)
      const kept: { readonly id: number; readonly message: ConsumeMessage }[] = []
      const ack = ({ id, message }: { readonly id: number; readonly message: ConsumeMessage }): void => {
        acked('shared', id, inRun)
        channel.ack(message)
      }
      await channel.prefetch(50)
      const { consumerTag } = await channel.consume('shared', (message) => {
        if (message === null) return
        const id = idOf(message.content)
        log(id, message.fields.redelivered)
        const what = chance()
        if (what < 0.1) channel.nack(message, false, true)
        else if (what < 0.3) kept.push({ id, message })
        else ack({ id, message })
        if (kept.length > 20) ack(kept.shift()!)
      })
      await endOf(lost)
      await Promise.race([channel.cancel(consumerTag), lost])
      await Promise.race([channel.close(), lost])
    },
  )
}

/** Moves messages to another queue, some at a time, each time in one transaction. amqplib has none. */
async function mover(): Promise<void> {
  while (isConsuming) {
    await available()
    try {
      const client = new AMQPClient(leveret.url, undefined, null)
      client.onerror = () => {}
      const connection = await client.connect()
      // It leaves Nagle's algorithm on, which holds each commit back for 40 ms.
      client.socket?.setNoDelay(true)
      const channel = await connection.channel()
      await channel.txSelect()
      await channel.prefetch(500)
      const log = ledger.openLog('moving', true)
      let taken: AMQPMessage[] = []
      await channel.basicConsume('moving', { noAck: false }, (message) => {
        log(idOf(Buffer.from(message.body ?? [])), message.redelivered)
        taken.push(message)
      })
      while (isConsuming && !client.closed) {
        const last = taken.at(-1)
        if (last === undefined) {
          await sleep(2)
          continue
        }
        for (const { body } of taken) {
          const copy = String(idOf(Buffer.from(body ?? [])))
          void channel.basicPublish('', target, copy, { deliveryMode: 2 }).catch(() => {})
        }
        const count = taken.length
        taken = []
        await channel.basicAck(last.deliveryTag, true)
        await channel.txCommit()
        moved += count
      }
      await client.close()
    } catch {
      await sleep(1)
    }
  }
}

/** `inRun`: when its connection was made; what is said on one of an earlier run leads nowhere. */
function acked(queue: string, id: number, inRun: number): void {
  ledger.ack(queue, id)
  if (inRun === run) acksOfThisRun.push([queue, id])
}

/** Keeps an eye on how much waits, so that the end does not take as long as the loop. */
async function watch(): Promise<void> {
  await sessions(
    () => isConsuming,
    async (model, lost) => {
      const channel = await model.createChannel()
      channel.on('error', () => {})
      let isLost = false
      void lost.then(() => {
        isLost = true
      })
      while (isConsuming && !isLost) {
        const counts = await Promise.all(queues.map((queue) => channel.checkQueue(queue)))
        backlog = Math.max(...counts.map(({ messageCount }) => messageCount))
        await Promise.race([lost, sleep(50)])
      }
    },
  )
}

/** Resolves when consumers shall stop, or the connection is gone. */
async function endOf(lost: Promise<void>): Promise<void> {
  let isLost = false
  void lost.then(() => {
    isLost = true
  })
  while (isConsuming && !isLost) await Promise.race([lost, sleep(20)])
}

async function declareAll(): Promise<void> {
  const model = await connect(leveret.url)
  const channel = await model.createChannel()
  await channel.assertExchange(exchange, 'fanout', { durable: true })
  for (const queue of [...queues, target]) await channel.assertQueue(queue, { durable: true })
  for (const queue of queues) await channel.bindQueue(queue, exchange, '')
  await model.close()
}

/** Takes everything out. */
async function drainAll(): Promise<void> {
  const model = await connect(leveret.url)
  const channel = await model.createChannel()
  for (const queue of [...queues, target]) {
    const log = ledger.openLog(queue, queue === 'ordered' || queue === 'moving')
    const { messageCount } = await channel.checkQueue(queue)
    let count = 0
    await new Promise<void>((resolve, reject) => {
      if (messageCount === 0) resolve()
      const take = (message: ConsumeMessage | GetMessage | null): void => {
        if (message === null) return reject(new Error(`${queue} was deleted`))
        const id = queue === target ? Number(message.content.toString()) : idOf(message.content)
        if (queue !== target) log(id, message.fields.redelivered)
        ledger.remain(queue, id)
        if (++count === messageCount) resolve()
      }
      channel.consume(queue, take, { noAck: true }).catch(reject)
    })
    expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 0 })
  }
  await model.close()
}

/** Kills it so often under load, lets it end in good order, takes everything out and compares. */
async function round(count: number, chance: () => number): Promise<void> {
  ledger = new Ledger()
  ledger.movesBetween('moving', target)
  isPublishing = true
  isConsuming = true
  moved = 0
  const publishers = Array.from({ length: publisherCount }, (_, number) => publisher(number + 1))
  const consumers = [orderedConsumer(), sharingConsumer(1), sharingConsumer(2), sharingConsumer(3), mover(), watch()]
  const confirmedAtKill: number[] = []

  for (let kill = 1; kill <= count; kill++) {
    await sleep(killAfterMs.min + chance() * (killAfterMs.max - killAfterMs.min))
    await leveret.kill()
    confirmedAtKill.push(ledger.confirmed.size)
    acksOfThisRun = []
    run++
    ready = leveret.launch().ready
    // Every second time the next kill may come before it is ready: while it recovers.
    if (kill % 2 === 0 || kill === count) await ready
  }

  isPublishing = false
  await Promise.all(publishers)
  isConsuming = false
  await Promise.all(consumers)
  expect(await leveret.stop(), leveret.stderr).toEqual({ code: 0, signal: null })
  for (const [queue, id] of acksOfThisRun) ledger.settle(queue, id)
  ready = leveret.start()
  await ready
  await drainAll()

  console.log(
    `${count} kills; ${ledger.sent.size} messages sent, ${ledger.confirmed.size} confirmed, ${ledger.deliveries} ` +
      `deliveries, ${moved} moved in transactions; confirmed at each kill: ${confirmedAtKill.join(' ')}`,
  )
  expect(corrupt).toEqual([])
  expect(ledger.violations(['ordered', 'shared']).slice(0, 20)).toEqual([])
  expect(ledger.confirmed.size).toBeGreaterThan(0)
  expect(moved).toBeGreaterThan(0)
}

it(
  `loses nothing in ${kills} kills`,
  async () => {
    console.log(`LEVERET_SEED=${seed}`)
    const chance = generator(seed)
    await leveret.start()
    await declareAll()
    // In rounds on the same folder, for what is moved is kept until the end of a round.
    try {
      for (let done = 0; done < kills; done += killsPerRound) await round(Math.min(killsPerRound, kills - done), chance)
    } catch (error) {
      await leveret.kill()
      const kept = fileURLToPath(new URL(`../../build/kill-loop-${seed}`, import.meta.url))
      cpSync(leveret.folder, kept, { recursive: true })
      console.log(`the folder is kept: ${kept}`)
      throw error
    }
  },
  60_000 + kills * 10_000,
)
