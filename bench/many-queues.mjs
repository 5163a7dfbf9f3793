// What many durable queues and idle connections cost: `node bench/many-queues.mjs --queues 10000 --connections 1000`; needs a build.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startLeveret } from './leveret.mjs'
import { cpuSeconds, residentMiB } from './machine.mjs'
import { RawClient } from './raw-client.mjs'

const { values } = parseArgs({
  options: {
    queues: { type: 'string', default: '10000' },
    connections: { type: 'string', default: '1000' },
    declarers: { type: 'string', default: '16' },
  },
})
const queues = Number(values.queues)
const connections = Number(values.connections)
const declarers = Number(values.declarers)
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'leveret-queues-'))
let broker = await startLeveret({ folder })
try {
  await measure()
} finally {
  await broker.stop()
  fs.rmSync(folder, { recursive: true, force: true })
}
process.exit(0)

async function measure() {
  show('idle', `${mebibytes(broker.pid)} MiB`)
  const startedAt = performance.now()
  await Promise.all(
    Array.from({ length: declarers }, async (_, first) => {
      const client = await RawClient.connect(broker.url)
      for (let number = first; number < queues; number += declarers) {
        await client.declareQueue(`queue-${number}`, { durable: true, autoDelete: false, arguments: {} })
      }
      await client.close()
    }),
  )
  show(
    `${queues} durable queues declared`,
    `${((performance.now() - startedAt) / 1000).toFixed(1)} s by ${declarers} clients`,
  )
  await sleep(1_000)
  show('with them', `${mebibytes(broker.pid)} MiB`)
  process.kill(broker.pid, 'SIGKILL')
  await sleep(300)
  broker = await startLeveret({ folder })
  show('after SIGKILL: listening', `${Math.round(broker.readyMs)} ms after spawn, ${mebibytes(broker.pid)} MiB`)
  await broker.stop()
  broker = await startLeveret({ folder })
  show('after a clean end: listening', `${Math.round(broker.readyMs)} ms after spawn`)
  /** @type {RawClient[]} */
  const clients = []
  for (let number = 0; number < connections; number++) clients.push(await RawClient.connect(broker.url))
  await sleep(1_000)
  show(`and ${connections} connections`, `${mebibytes(broker.pid)} MiB`)
  const before = cpuSeconds(broker.pid)
  await sleep(10_000)
  show('CPU while nothing happens', `${(((cpuSeconds(broker.pid) - before) / 10) * 100).toFixed(1)} % of a core`)
  await Promise.all(clients.map((client) => client.close()))
}

/** @param {string} name @param {string} value */
function show(name, value) {
  console.log(`${name.padEnd(34)} ${value}`)
}

/** @param {number} pid */
function mebibytes(pid) {
  return Math.round(residentMiB(pid).now)
}
