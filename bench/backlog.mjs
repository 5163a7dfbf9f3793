// A backlog far beyond memory: published with nobody consuming, the broker killed with SIGKILL, started again, drained.
// `node bench/backlog.mjs --messages 10000000 --size 1024`; needs a build.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startLeveret } from './leveret.mjs'
import { residentMiB } from './machine.mjs'
import { Publishes, RawClient } from './raw-client.mjs'

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '1000000' },
    size: { type: 'string', default: '100' },
    window: { type: 'string', default: '1000' },
    prefetch: { type: 'string', default: '1000' },
    'data-root': { type: 'string', default: os.tmpdir() },
    // Stops publishing after so long and goes on with what there is.
    'publish-minutes': { type: 'string', default: '1000' },
    // Acknowledges all but every so-manieth message, and shows what the folder shrinks to; 0 acknowledges all.
    'keep-every': { type: 'string', default: '0' },
    json: { type: 'boolean', default: false },
  },
})
const wanted = Number(values.messages)
const bodyBytes = Number(values.size)
const keepEvery = Number(values['keep-every'])
const folder = fs.mkdtempSync(path.join(values['data-root'], 'leveret-backlog-'))
/** @type {[string, string][]} */
const rows = []
/** @param {string} name @param {string} value */
function show(name, value) {
  rows.push([name, value])
  if (!values.json) process.stdout.write(`${name.padEnd(34)} ${value}\n`)
}

try {
  await measure()
} finally {
  fs.rmSync(folder, { recursive: true, force: true })
}
if (values.json) process.stdout.write(`${JSON.stringify(Object.fromEntries(rows))}\n`)
process.exit(0)

async function measure() {
  let broker = await startLeveret({ folder })
  const published = await publish(broker)
  await sleep(1_500)
  show('folder', `${mebibytes(folderBytes(folder))} MiB`)
  const indexBytes = folderBytes(path.join(folder, 'idx')) + folderBytes(path.join(folder, 'ckpt'))
  show('index on disk', `${(indexBytes / published).toFixed(2)} bytes per message`)
  process.kill(broker.pid, 'SIGKILL')
  await sleep(500)

  broker = await startLeveret({ folder })
  show('after SIGKILL: listening', `${Math.round(broker.readyMs)} ms after spawn`)
  const peak = watchPeak(broker.pid)
  await drain(broker, published)
  show('peak RSS while draining', `${peak.stop()} MiB`)
  // Segments are given up when two checkpoints have gone by.
  if (keepEvery > 0) await settle(broker, published)
  await broker.stop()
  show('folder at the end', `${mebibytes(folderBytes(folder))} MiB`)
}

/** @param {import('./rabbitmq.mjs').StartedBroker} broker */
async function publish(broker) {
  const client = await RawClient.connect(broker.url, 'leveret-bench-backlog')
  await client.declareQueue('backlog', { durable: true, autoDelete: false, arguments: {} })
  await client.selectConfirms()
  const window = Number(values.window)
  const publishes = new Publishes({
    routingKey: 'backlog',
    bodyBytes,
    persistent: true,
    frameMax: client.frameMax,
    countMax: window,
  })
  const peak = watchPeak(broker.pid)
  const startedAt = performance.now()
  const untilMs = startedAt + Number(values['publish-minutes']) * 60_000
  let sent = 0
  await new Promise((resolve, reject) => {
    client.onFailure = reject
    const pump = () => {
      const isOver = performance.now() > untilMs
      const room = Math.min(window - client.ledger.outstanding, wanted - sent)
      if (!isOver && room > 0 && (room >= window / 10 || room === wanted - sent)) {
        sent += room
        client.publish(publishes, room)
      }
      if ((sent === wanted || isOver) && client.ledger.outstanding === 0) resolve(null)
    }
    client.onConfirms = pump
    pump()
  })
  const seconds = (performance.now() - startedAt) / 1000
  show('published', `${sent} × ${bodyBytes} B, ${thousands(sent / seconds)} msg/s`)
  show('peak RSS while publishing', `${peak.stop()} MiB`)
  await client.close()
  return sent
}

/** @param {import('./rabbitmq.mjs').StartedBroker} broker @param {number} published */
async function drain(broker, published) {
  const client = await RawClient.connect(broker.url, 'leveret-bench-backlog')
  await client.prefetch(keepEvery > 0 ? 0 : Number(values.prefetch))
  const startedAt = performance.now()
  let firstMs = 0
  let acknowledged = 0
  await new Promise((resolve, reject) => {
    client.onFailure = reject
    client.onDeliveries = () => {
      if (firstMs === 0) firstMs = performance.now() - startedAt
      if (keepEvery > 0) {
        client.ackBut(acknowledged + 1, client.lastTag, keepEvery)
        acknowledged = client.lastTag
      } else if (client.received - acknowledged >= 100 || client.received === published) {
        client.ackUpTo(client.lastTag)
        acknowledged = client.received
      }
      if (client.received >= published) resolve(null)
    }
    client.consume('backlog', { noAck: false }).catch(reject)
  })
  const seconds = (performance.now() - startedAt) / 1000
  show(
    'first delivery',
    `${Math.round(firstMs)} ms after basic.consume, ${Math.round(broker.readyMs + firstMs)} ms in all`,
  )
  show('drained', `${thousands(published / seconds)} msg/s`)
  await client.close()
}

/** Little happens, for as long as two checkpoints take. @param {import('./rabbitmq.mjs').StartedBroker} broker @param {number} published */
async function settle(broker, published) {
  const kept = Math.floor(published / keepEvery)
  const client = await RawClient.connect(broker.url, 'leveret-bench-backlog')
  for (let minute = 0; minute < 4; minute++) {
    await client.declareQueue(`other-${minute}`, { durable: true, autoDelete: false, arguments: {} })
    await sleep(61_000)
  }
  await client.close()
  show('kept', `${kept} messages, one of ${keepEvery}; folder ${mebibytes(folderBytes(folder))} MiB`)
}

/** @param {number} pid */
function watchPeak(pid) {
  let peak = 0
  const timer = setInterval(() => {
    try {
      peak = Math.max(peak, residentMiB(pid).now)
    } catch {}
  }, 100)
  return {
    stop() {
      clearInterval(timer)
      return Math.round(peak)
    },
  }
}

/** @param {string} directory @returns {number} */
function folderBytes(directory) {
  let bytes = 0
  for (const entry of fs.readdirSync(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue
    try {
      bytes += fs.statSync(path.join(entry.parentPath, entry.name)).size
    } catch {}
  }
  return bytes
}

/** @param {number} bytes */
function mebibytes(bytes) {
  return Math.round(bytes / 1_048_576)
}

/** @param {number} rate */
function thousands(rate) {
  return `${Math.round(rate / 1_000)} k`
}
