// The bounds of the broker's memory, all at once: a million keys, a thousand deep queues, some with priorities, some whose
// messages expire into a dead-letter exchange, bodies of 12 MiB, and a consumer that has stopped reading; killed in the middle, while messages
// expire, and recovered. Resident memory is watched and must stay below --mebibytes, and every message must be where it
// belongs, once. `node scripts/bounds.mjs`; needs a build.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import amqp from 'amqplib'
import { startLeveret } from '../bench/leveret.mjs'
import { residentMiB } from '../bench/machine.mjs'

const { values } = parseArgs({
  options: {
    keys: { type: 'string', default: '1000000' },
    queues: { type: 'string', default: '1000' },
    each: { type: 'string', default: '1000' },
    bodies: { type: 'string', default: '100' },
    mebibytes: { type: 'string', default: '384' },
  },
})
const keys = Number(values.keys)
const queues = Number(values.queues)
const each = Number(values.each)
const bodies = Number(values.bodies)
const limitMiB = Number(values.mebibytes)
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'leveret-bounds-'))
const medium = Buffer.alloc(4_096, 'y')
const bodyBytes = 12 * 1_048_576
const ttlMs = 5_000
let peakMiB = 0
let confirmed = 0
let stuckCount = 0
let largeCount = 0
/** @type {string[]} */
const wrong = []

let broker = await startLeveret({ folder })
const watch = setInterval(() => {
  const { now } = residentMiB(broker.pid)
  if (now > peakMiB) peakMiB = now
}, 50)
try {
  await declare()
  await half(0)
  process.kill(broker.pid, 'SIGKILL')
  await sleep(300)
  broker = await startLeveret({ folder })
  console.log(`killed with ${confirmed} confirmed; listening again ${Math.round(broker.readyMs)} ms after spawn`)
  await half(1)
  await check()
} finally {
  clearInterval(watch)
  await broker.stop()
  fs.rmSync(folder, { recursive: true, force: true })
}
console.log(`peak RSS ${Math.round(peakMiB)} MiB of ${limitMiB}`)
if (peakMiB > limitMiB) wrong.push(`memory went up to ${Math.round(peakMiB)} MiB`)
for (const text of wrong) console.log(`WRONG: ${text}`)
process.exit(wrong.length === 0 ? 0 : 1)

async function declare() {
  const connection = await amqp.connect(broker.url)
  const channel = await connection.createChannel()
  await channel.assertQueue('keyed', { durable: true, arguments: { 'x-leveret-keyed': true } })
  for (const queue of ['stuck', 'large', 'large-stuck']) await channel.assertQueue(queue, { durable: true })
  await channel.assertQueue('dead', { durable: true })
  for (let at = 0; at < queues; at++) {
    await channel.assertQueue(`deep-${at}`, { durable: true, arguments: { ...argumentsOf(at) } })
  }
  await connection.close()
}

/** Every seventh loses its messages after a while. @param {number} at */
function expires(at) {
  return at % 7 === 3
}

/** Of the others every third has priorities. @param {number} at */
function argumentsOf(at) {
  if (expires(at)) {
    return { 'x-message-ttl': ttlMs, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' }
  }
  return at % 3 === 0 ? { 'x-max-priority': 4 } : {}
}

/** @param {number} which 0 or 1 */
async function half(which) {
  const stuck = await amqp.connect(broker.url)
  const reader = await stuck.createChannel()
  await reader.consume('stuck', () => {})
  const largeReader = await stuck.createChannel()
  await largeReader.consume('large-stuck', () => {})
  // From now on it reads nothing, and takes whatever the system's buffers hold.
  stuck.connection.stream.pause()

  const connection = await amqp.connect(broker.url)
  const channel = await connection.createConfirmChannel()
  let unconfirmed = 0
  /** @param {string} queue @param {Buffer} content @param {object} options */
  const publish = async (queue, content, options) => {
    unconfirmed++
    const goesOn = channel.sendToQueue(queue, content, { persistent: true, ...options }, (error) => {
      unconfirmed--
      if (error === null) confirmed++
    })
    if (!goesOn || unconfirmed > 2_000) {
      await new Promise((resolve) => setImmediate(resolve))
      while (unconfirmed > 2_000) await sleep(1)
    }
  }
  const steps = Math.ceil(Math.max(keys, queues * each) / 2)
  for (let step = 0; step < steps; step++) {
    const number = which * steps + step
    if (number < keys) await publish('keyed', bodyOf(number), { headers: { 'x-leveret-key': `key-${number}` } })
    if (number < queues * each) await publish(`deep-${number % queues}`, bodyOf(number), { priority: number % 5 })
    if (number % 20 === 0) {
      stuckCount++
      await publish('stuck', medium, {})
    }
    if (step % Math.ceil((steps * 2) / bodies) === 0) {
      for (const queue of ['large', 'large-stuck']) await publish(queue, largeBodyOf(largeCount), {})
      largeCount++
    }
  }
  while (unconfirmed > 0) await sleep(5)
  await connection.close()
  stuck.connection.stream.destroy()
}

/** A hundred bytes that begin with the number. @param {number} number */
function bodyOf(number) {
  const body = Buffer.alloc(100, 'x')
  body.writeUInt32BE(number)
  return body
}

/** As long as a body that goes to a file, and all of it tells the number. @param {number} number */
function largeBodyOf(number) {
  const body = Buffer.alloc(bodyBytes, String(number))
  body.writeUInt32BE(number)
  return body
}

/** Everything is where it belongs and comes out once: of the keyed queue with order per key, of the others by count. */
async function check() {
  const connection = await amqp.connect(broker.url)
  const channel = await connection.createChannel()
  await sleep(ttlMs + 5_000)
  let deep = 0
  for (let at = 0; at < queues; at++) {
    const { messageCount } = await channel.checkQueue(`deep-${at}`)
    const expected = expires(at) ? 0 : each
    if (messageCount !== expected) wrong.push(`deep-${at} has ${messageCount}, not ${expected}`)
    deep += messageCount
  }
  const stuck = await channel.checkQueue('stuck')
  if (stuck.messageCount !== stuckCount) wrong.push(`stuck has ${stuck.messageCount} of ${stuckCount}`)
  const largeStuck = await channel.checkQueue('large-stuck')
  if (largeStuck.messageCount !== largeCount) wrong.push(`large-stuck has ${largeStuck.messageCount} of ${largeCount}`)
  console.log(`${confirmed} confirmed; ${deep} in deep queues, ${stuck.messageCount} in the stuck one`)
  await channel.prefetch(2)
  for (const queue of ['large', 'large-stuck']) {
    await drain(channel, queue, largeCount, ({ content }) => content.equals(largeBodyOf(content.readUInt32BE())))
  }
  await channel.prefetch(2_000)
  await drain(channel, 'keyed', keys)
  let dying = 0
  for (let at = 0; at < queues; at++) if (expires(at)) dying += each
  await drain(channel, 'dead', dying, (message) => {
    const [death] = message.properties.headers['x-death']
    return death.count === 1 && death.reason === 'expired' && expires(message.content.readUInt32BE() % queues)
  })
  await connection.close()
}

/**
 * Takes everything out of a queue and says what is missing, comes twice or is not as it should be.
 * @param {amqp.Channel} channel @param {string} queue @param {number} count
 * @param {(message: amqp.ConsumeMessage) => boolean} [isRight]
 */
async function drain(channel, queue, count, isRight = () => true) {
  const { messageCount } = await channel.checkQueue(queue)
  if (messageCount !== count) wrong.push(`${queue} has ${messageCount} of ${count}`)
  const seen = new Set()
  let received = 0
  const startedAt = performance.now()
  await new Promise((resolve) => {
    if (messageCount === 0) resolve(null)
    else {
      void channel.consume(queue, (message) => {
        if (message === null) return
        channel.ack(message)
        seen.add(message.content.readUInt32BE())
        if (!isRight(message) && wrong.length < 20) wrong.push(`${queue} gave ${JSON.stringify(message.properties)}`)
        if (++received === messageCount) resolve(null)
      })
    }
  })
  const perSecond = received / ((performance.now() - startedAt) / 1_000)
  if (seen.size !== received) wrong.push(`${queue} gave ${received - seen.size} twice`)
  console.log(`${queue}: all ${received} drained, ${Math.round(perSecond / 1_000)} k msg/s`)
}
