// The bounds of the broker's memory, all at once: a million keys, a thousand deep queues, some with priorities, some whose
// messages expire, and a consumer that has stopped reading; killed in the middle and recovered. Resident memory is watched
// and must stay below --mebibytes. `node scripts/bounds.mjs`; needs a build.

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
    mebibytes: { type: 'string', default: '384' },
  },
})
const keys = Number(values.keys)
const queues = Number(values.queues)
const each = Number(values.each)
const limitMiB = Number(values.mebibytes)
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'leveret-bounds-'))
const body = Buffer.alloc(100, 'x')
const large = Buffer.alloc(4_096, 'y')
let peakMiB = 0
let confirmed = 0
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
  await channel.assertQueue('stuck', { durable: true })
  for (let at = 0; at < queues; at++) {
    await channel.assertQueue(`deep-${at}`, { durable: true, arguments: { ...argumentsOf(at) } })
  }
  await connection.close()
}

/** Every third has priorities, every seventh loses its messages after a while. @param {number} at */
function argumentsOf(at) {
  if (at % 7 === 3) return { 'x-message-ttl': 20_000 }
  return at % 3 === 0 ? { 'x-max-priority': 4 } : {}
}

/** @param {number} which 0 or 1 */
async function half(which) {
  const stuck = await amqp.connect(broker.url)
  const reader = await stuck.createChannel()
  await reader.consume('stuck', () => {})
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
    if (number < keys) await publish('keyed', body, { headers: { 'x-leveret-key': `key-${number}` } })
    if (number < queues * each) await publish(`deep-${number % queues}`, body, { priority: number % 5 })
    if (number % 20 === 0) await publish('stuck', large, {})
  }
  while (unconfirmed > 0) await sleep(5)
  await connection.close()
  stuck.connection.stream.destroy()
}

/** Everything that does not expire is there, and comes out; of the keyed queue with order per key. */
async function check() {
  const connection = await amqp.connect(broker.url)
  const channel = await connection.createChannel()
  let found = 0
  for (let at = 0; at < queues; at++) {
    const { messageCount } = await channel.checkQueue(`deep-${at}`)
    if (at % 7 !== 3 && messageCount !== each) wrong.push(`deep-${at} has ${messageCount} of ${each}`)
    found += messageCount
  }
  const { messageCount: keyed } = await channel.checkQueue('keyed')
  if (keyed !== keys) wrong.push(`keyed has ${keyed} of ${keys}`)
  console.log(`${confirmed} confirmed; ${found} in deep queues, ${keyed} in the keyed one`)
  await sleep(25_000)
  const { messageCount: expired } = await channel.checkQueue('deep-3')
  if (expired !== 0) wrong.push(`deep-3 still has ${expired} messages that have expired`)
  await channel.prefetch(2_000)
  const startedAt = performance.now()
  let received = 0
  await new Promise((resolve) => {
    void channel.consume('keyed', (message) => {
      if (message === null) return
      channel.ack(message)
      if (++received === keyed) resolve(null)
    })
  })
  console.log(`keyed drained: ${Math.round(received / ((performance.now() - startedAt) / 1000) / 1000)} k msg/s`)
  await connection.close()
}
