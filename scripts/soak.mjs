// Does it stay as it is? The real binary under a mixed load: publishers with confirms, bodies of 16 bytes to 256 KiB, queues
// with priorities, keys and times, consumers that acknowledge, put back and reject to a dead-letter exchange, transactions,
// queues that come and go, connections that open and close. A backlog grows for half of each wave and is drained in the
// other half. `node scripts/soak.mjs --minutes 10`; needs a build, and Linux.
//
// Each second it looks at the broker's memory, descriptors and folder. Memory and descriptors must be flat: the straight line
// through the last two thirds must rise by no more than --slope MiB and --descriptors a minute. A run of less than five
// minutes is not judged by that, for it is shorter than a heap takes to find its size. Nothing that was confirmed may be
// lost, and nothing that was acknowledged may come again. How long the broker lets others wait is the round trip of a tiny
// request on a connection of its own, asked from a thread of its own.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { AMQPClient } from '@cloudamqp/amqp-client'
import amqp from 'amqplib'
import { startLeveret } from '../bench/leveret.mjs'
import { residentMiB } from '../bench/machine.mjs'
import { percentiles } from '../bench/statistics.mjs'

const judgedMinutes = 5
const waveMs = 40_000
/** So long nothing may move at the end before what is still missing counts as lost. */
const patienceMs = 30_000
const queues = {
  plain: {},
  priority: { 'x-max-priority': 5 },
  keyed: { 'x-leveret-keyed': true },
  expiring: { 'x-message-ttl': 3_000 },
}
const deadLetters = { 'x-dead-letter-exchange': 'graveyard' }

async function main() {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '10' },
      rate: { type: 'string', default: '2000' },
      slope: { type: 'string', default: '3' },
      descriptors: { type: 'string', default: '2' },
      json: { type: 'boolean', default: false },
    },
  })
  const minutes = Number(values.minutes)
  if (!(minutes > 0)) {
    console.error(`soak: '${values.minutes}' is not a number of minutes: node scripts/soak.mjs --minutes 10`)
    process.exit(2)
  }
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'leveret-soak-'))
  const broker = await startLeveret({ folder })
  const load = new Load(broker.url, Number(values.rate))
  const watch = new Watch(broker.pid, folder)
  const delays = startProbe(broker.url)
  try {
    await load.run(minutes * 60_000)
    watch.end()
    const delay = await delays()
    await load.settle()
    const result = { minutes, ...watch.summary(), delay, ...load.summary(), folderMiBAtEnd: mebibytes(folder) }
    const wrong = [...load.wrong]
    const isJudged = minutes >= judgedMinutes
    if (isJudged && result.residentSlope > Number(values.slope)) {
      wrong.push(`memory grows by ${result.residentSlope.toFixed(2)} MiB a minute, more than ${values.slope}`)
    }
    if (isJudged && result.descriptorSlope > Number(values.descriptors)) {
      wrong.push(`descriptors grow by ${result.descriptorSlope.toFixed(2)} a minute, more than ${values.descriptors}`)
    }
    if (values.json) console.log(JSON.stringify({ ...result, isJudged, wrong }))
    else print(result, isJudged)
    for (const text of wrong) console.error(`WRONG: ${text}`)
    process.exitCode = wrong.length === 0 ? 0 : 1
  } finally {
    await broker.stop()
    fs.rmSync(folder, { recursive: true, force: true })
  }
  process.exit()
}

function print(result, isJudged) {
  const { resident, descriptors, delay, folderMiB, backlog } = result
  const number = (value) => value.toLocaleString('en-US')
  console.log(
    `${result.minutes} min, ${number(result.confirmed)} messages confirmed, ${number(result.acknowledged)} acknowledged`,
  )
  console.log(
    `resident memory ${resident.min} to ${resident.max} MiB, ${result.residentSlope.toFixed(2)} MiB/min over the last two thirds` +
      (isJudged ? '' : ' (too short to be judged)'),
  )
  console.log(`descriptors ${descriptors.min} to ${descriptors.max}, ${result.descriptorSlope.toFixed(2)}/min`)
  console.log(
    `a tiny request took p50 ${delay.p50.toFixed(2)}, p99 ${delay.p99.toFixed(1)}, at most ${delay.max.toFixed(0)} ms (${number(delay.count)} asked)`,
  )
  console.log(
    `folder at most ${folderMiB.max} MiB, ${result.folderMiBAtEnd} at the end; ${result.segments} segments written`,
  )
  console.log(
    `backlog at most ${number(backlog)}; ${Object.entries(result.counts)
      .map(([name, count]) => `${number(count)} ${name}`)
      .join(', ')}`,
  )
  console.log(
    `${result.lost} lost, ${result.duplicates} twice, ${result.invented} that were rolled back, ${result.disordered} out of order`,
  )
}

/** Samples of the broker's process and folder, one a second. */
class Watch {
  constructor(pid, folder) {
    this.pid = pid
    this.folder = folder
    this.samples = []
    this.startedAt = performance.now()
    this.timer = setInterval(() => this.look(), 1_000)
  }

  look() {
    // Whoever talks to a broker that has ended notices.
    if (!fs.existsSync(`/proc/${this.pid}/fd`)) return
    const minute = (performance.now() - this.startedAt) / 60_000
    const descriptors = fs.readdirSync(`/proc/${this.pid}/fd`).length
    this.samples.push({ minute, resident: residentMiB(this.pid).now, descriptors, folderMiB: mebibytes(this.folder) })
  }

  end() {
    clearInterval(this.timer)
  }

  summary() {
    const { samples } = this
    const later = samples.slice(Math.floor(samples.length / 3))
    const range = (name, from = samples) => ({
      min: Math.round(Math.min(...from.map((sample) => sample[name]))),
      max: Math.round(Math.max(...from.map((sample) => sample[name]))),
    })
    return {
      resident: range('resident'),
      residentSlope: slope(later, 'resident'),
      descriptors: range('descriptors'),
      descriptorSlope: slope(later, 'descriptors'),
      folderMiB: range('folderMiB'),
      segments: lastSegment(this.folder),
    }
  }
}

/** By how much it rises in a minute: the straight line with the least squares. */
function slope(samples, name) {
  const mean = (of) => samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length
  const meanMinute = mean(({ minute }) => minute)
  const meanValue = mean((sample) => sample[name])
  const covariance = mean((sample) => (sample.minute - meanMinute) * (sample[name] - meanValue))
  return covariance / mean(({ minute }) => (minute - meanMinute) ** 2)
}

function mebibytes(folder) {
  let bytes = 0
  for (const name of fs.readdirSync(folder, { recursive: true })) {
    // Files go while we look.
    bytes += fs.statSync(path.join(folder, name), { throwIfNoEntry: false })?.size ?? 0
  }
  return Math.round(bytes / 2 ** 20)
}

function lastSegment(folder) {
  return Math.max(0, ...fs.readdirSync(path.join(folder, 'log')).map((name) => Number.parseInt(name, 10)))
}

/** Asks in a thread of its own, so that what keeps us busy does not count. Returns what ends it and tells the delays. */
function startProbe(url) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { url } })
  return async () => {
    const answer = new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    worker.postMessage('end')
    return await answer
  }
}

async function probe({ url }) {
  const connection = await amqp.connect(url)
  const channel = await connection.createChannel()
  await channel.assertQueue('probe', { durable: false })
  const times = []
  let isOver = false
  parentPort.once('message', () => {
    isOver = true
  })
  while (!isOver) {
    const startedAt = performance.now()
    await channel.checkQueue('probe')
    times.push(performance.now() - startedAt)
    await sleep(20)
  }
  await connection.close()
  parentPort.postMessage({ ...percentiles(times), max: Math.max(...times), count: times.length })
}

class Load {
  confirmed = 0
  acknowledged = 0
  duplicates = 0
  invented = 0
  disordered = 0
  backlog = 0
  counts = {
    'put back': 0,
    rejected: 0,
    expired: 0,
    transactions: 0,
    'rolled back': 0,
    'queues deleted': 0,
    connections: 0,
  }
  wrong = []

  constructor(url, rate) {
    this.url = url
    this.rate = rate
    this.nextId = 1
    /** Published and not acknowledged yet; true once it was confirmed. */
    this.open = new Map()
    this.rolledBack = new Set()
    this.lastOfKey = new Map()
    this.isOver = false
    this.isDraining = false
    this.lastMoveMs = performance.now()
  }

  async run(ms) {
    const connection = await this.connect()
    const channel = await connection.createChannel()
    await channel.assertExchange('graveyard', 'fanout', { durable: true })
    await channel.assertQueue('dead', { durable: true })
    await channel.bindQueue('dead', 'graveyard', '')
    for (const [name, table] of Object.entries(queues)) {
      await channel.assertQueue(name, { durable: true, arguments: { ...table, ...deadLetters } })
    }
    await channel.assertQueue('vanishing', { durable: true, arguments: { 'x-message-ttl': 500 } })
    await connection.close()
    this.parts = [
      this.publish(Object.keys(queues)),
      this.publish(Object.keys(queues).filter((name) => name !== 'keyed')),
      this.transact(),
      this.comeAndGo(),
      this.consume(['dead'], () => true),
      ...[1, 2, 3].map(() => this.consume(Object.keys(queues), () => this.isDraining)),
    ]
    for (const part of this.parts) part.catch((error) => this.fail(error))
    const endMs = performance.now() + ms
    for (let waves = 0; performance.now() < endMs && this.wrong.length === 0; waves++) {
      this.isDraining = waves % 2 === 1
      await sleep(Math.min(waveMs / 2, endMs - performance.now()))
      this.backlog = Math.max(this.backlog, this.open.size)
    }
    this.isPublishing = false
  }

  /** Lets everything come out, and sees what does not. */
  async settle() {
    this.isDraining = true
    this.lastMoveMs = performance.now()
    while (this.open.size > 0 && performance.now() - this.lastMoveMs < patienceMs) await sleep(50)
    this.isOver = true
    await Promise.allSettled(this.parts)
    this.lost = [...this.open.values()].filter((isConfirmed) => isConfirmed).length
    if (this.lost > 0) this.wrong.push(`${this.lost} messages were confirmed and are lost`)
    if (this.duplicates > 0) this.wrong.push(`${this.duplicates} messages came again after they were acknowledged`)
    if (this.invented > 0) this.wrong.push(`${this.invented} messages came that were rolled back`)
    if (this.disordered > 0) this.wrong.push(`${this.disordered} messages came before others of their key`)
  }

  summary() {
    const { confirmed, acknowledged, lost, duplicates, invented, disordered, backlog, counts } = this
    return { confirmed, acknowledged, lost, duplicates, invented, disordered, backlog, counts }
  }

  isPublishing = true

  fail(error) {
    this.wrong.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
  }

  async connect() {
    this.counts.connections++
    const connection = await amqp.connect(this.url)
    connection.on('error', (error) => this.fail(error))
    return connection
  }

  /** So many messages a second with confirms; the connection is another one every ten seconds. */
  async publish(names) {
    while (this.isPublishing) {
      const connection = await this.connect()
      const channel = await connection.createConfirmChannel()
      const endMs = performance.now() + 10_000
      while (this.isPublishing && performance.now() < endMs) {
        const dueMs = performance.now() + 20
        for (let left = (this.rate / 2) * 0.02; left > 0; left--) this.publishOne(channel, names)
        if (dueMs > performance.now()) await sleep(dueMs - performance.now())
        // The broker sets the pace if it is slower than the rate.
        await channel.waitForConfirms()
      }
      await connection.close()
    }
  }

  publishOne(channel, names) {
    const id = this.nextId++
    if (id % 50 === 0) channel.sendToQueue('vanishing', bodyOf(id), { persistent: true })
    const name = names[id % names.length]
    const options = { persistent: true, priority: id % 7, headers: { 'x-leveret-key': `key-${id % 97}` } }
    this.open.set(id, false)
    channel.sendToQueue(name, bodyOf(id), options, (error) => {
      if (error !== null) return this.fail(error)
      this.confirmed++
      // It may have been acknowledged before.
      if (this.open.has(id)) this.open.set(id, true)
    })
  }

  /** Five messages in each transaction, and every fourth of those is rolled back. */
  async transact() {
    const client = new AMQPClient(this.url)
    const connection = await client.connect()
    const channel = await connection.channel()
    await channel.txSelect()
    while (this.isPublishing) {
      const ids = Array.from({ length: 5 }, () => this.nextId++)
      const isKept = ++this.counts.transactions % 4 !== 0
      for (const id of ids) {
        if (isKept) this.open.set(id, false)
        else this.rolledBack.add(id)
        await channel.basicPublish('', 'plain', bodyOf(id), { deliveryMode: 2 })
      }
      if (isKept) await channel.txCommit()
      else await channel.txRollback()
      if (isKept) this.confirmed += ids.length
      else this.counts['rolled back']++
      for (const id of ids) if (this.open.has(id)) this.open.set(id, true)
      await sleep(50)
    }
    await connection.close()
  }

  /** Connections and queues that live for a moment. */
  async comeAndGo() {
    while (this.isPublishing) {
      const connection = await this.connect()
      const channel = await connection.createConfirmChannel()
      const { queue } = await channel.assertQueue('', { durable: this.counts.connections % 2 === 0 })
      for (let left = 20; left > 0; left--) channel.sendToQueue(queue, bodyOf(left), { persistent: true })
      await channel.waitForConfirms()
      for (let left = 5; left > 0; left--) {
        const message = await channel.get(queue)
        if (message !== false) channel.ack(message)
      }
      await channel.deleteQueue(queue)
      this.counts['queues deleted']++
      await connection.close()
      await sleep(500)
    }
  }

  /** Consumes on a new connection whenever it is time to; what it has in hand when it leaves comes again. */
  async consume(names, isTime) {
    while (!this.isOver) {
      if (!isTime()) {
        await sleep(50)
        continue
      }
      const connection = await this.connect()
      const channel = await connection.createChannel()
      await channel.prefetch(100)
      const tags = []
      for (const name of names) {
        const { consumerTag } = await channel.consume(name, (message) => {
          if (message !== null) this.received(channel, name, message)
        })
        tags.push(consumerTag)
      }
      while (isTime() && !this.isOver) await sleep(50)
      for (const tag of tags) await channel.cancel(tag)
      // amqplib lets the end of the connection overtake acknowledgements of a channel, but not the channel's own end.
      await channel.close()
      await connection.close()
    }
  }

  received(channel, name, message) {
    this.lastMoveMs = performance.now()
    const id = Number(message.content.toString('latin1', 0, 16))
    if (!message.content.equals(bodyOf(id))) return this.fail(new Error(`the body of ${id} is another`))
    if (this.rolledBack.has(id)) this.invented++
    else if (!this.open.has(id)) this.duplicates++
    if (name === 'keyed') {
      const key = message.properties.headers['x-leveret-key']
      if (id < (this.lastOfKey.get(key) ?? 0)) this.disordered++
      this.lastOfKey.set(key, id)
    }
    const chance = name === 'dead' ? 1 : Math.random()
    if (chance < 0.06) {
      this.counts['put back']++
      channel.nack(message, false, true)
    } else if (chance < 0.08) {
      this.counts.rejected++
      channel.reject(message, false)
    } else {
      if (name === 'dead' && message.properties.headers['x-first-death-reason'] === 'expired') this.counts.expired++
      this.open.delete(id)
      this.acknowledged++
      channel.ack(message)
    }
  }
}

/** Follows from its number alone, so that a wrong byte is noticed: 16 bytes, or some hundred, thousand, or 256 KiB. */
function bodyOf(id) {
  const name = String(id).padStart(16, '0')
  const chance = (id * 7_919) % 1_000
  if (chance < 50) return Buffer.from(name)
  if (chance < 700) return Buffer.alloc(16 + (id % 500), name)
  if (chance < 960) return Buffer.alloc(16 + (id % 12_000), name)
  return Buffer.alloc(chance < 996 ? 16 + (id % 60_000) : 262_144, name)
}

if (isMainThread) await main()
else await probe(workerData)
