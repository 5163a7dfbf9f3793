// Fills a small disk and empties it again, many times: `node scripts/fill-cycles.mjs --cycles 20`. Needs a build, and root on
// Linux for the tmpfs it mounts. Publishers must be blocked before the disk is full, consumers must go on, and every
// message that was confirmed must come out once; then the folder must become small again.

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startLeveret } from '../bench/leveret.mjs'
import { Publishes, RawClient } from '../bench/raw-client.mjs'

const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '20' },
    mebibytes: { type: 'string', default: '384' },
    size: { type: 'string', default: '4096' },
  },
})
const cycles = Number(values.cycles)
const bodyBytes = Number(values.size)
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'leveret-fill-'))
execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${values.mebibytes}m`, 'tmpfs', folder])
let failures = 0
/** Publishes whose outcome nobody was told: some were in a socket when it was closed, and come in later or never. */
let unsure = 0
try {
  const broker = await startLeveret({ folder: path.join(folder, 'data') })
  try {
    for (let cycle = 1; cycle <= cycles; cycle++) {
      const { confirmed, outstanding } = await fill(broker.url)
      const { received, seconds } = await empty(broker.url, confirmed)
      const used = usedMebibytes()
      unsure += outstanding
      const isRight = confirmed > 0 && received >= confirmed && received <= confirmed + unsure
      unsure = Math.max(0, unsure - (received - confirmed))
      if (!isRight) failures++
      console.log(
        `cycle ${cycle}: ${confirmed} confirmed until blocked, ${received} received in ${seconds.toFixed(1)} s, ${used} MiB used${isRight ? '' : '  WRONG'}`,
      )
    }
  } finally {
    await broker.stop()
  }
} finally {
  execFileSync('umount', [folder])
  fs.rmSync(folder, { recursive: true, force: true })
}
console.log(`${cycles} cycles, ${failures} failed`)
process.exit(failures === 0 ? 0 : 1)

/** Publishes until the broker says that it takes no more, or nothing is confirmed for a while. @param {string} url */
async function fill(url) {
  const client = await RawClient.connect(url, 'leveret-fill')
  await client.declareQueue('fill', { durable: true, autoDelete: false, arguments: {} })
  await client.selectConfirms()
  const window = 200
  const publishes = new Publishes({
    routingKey: 'fill',
    bodyBytes,
    persistent: true,
    frameMax: client.frameMax,
    countMax: window,
  })
  const before = client.blockedCount
  const pump = () => {
    const room = window - client.ledger.outstanding
    if (client.blockedCount === before && room >= window / 10) client.publish(publishes, room)
  }
  client.onConfirms = pump
  pump()
  while (client.blockedCount === before) await sleep(20)
  // What is on its way is stored or not; what is stored is confirmed.
  for (let last = -1; last !== client.ledger.outstanding; await sleep(500)) last = client.ledger.outstanding
  const { confirmed, outstanding } = client.ledger
  // Their outcome is unknown: they may have got in just before it was said that there is no room.
  client.onFailure = () => {}
  client.socket.destroy()
  return { confirmed, outstanding }
}

/** @param {string} url @param {number} wanted */
async function empty(url, wanted) {
  const client = await RawClient.connect(url, 'leveret-empty')
  await client.prefetch(500)
  const startedAt = performance.now()
  let acknowledged = 0
  let lastAt = performance.now()
  client.onDeliveries = () => {
    lastAt = performance.now()
    if (client.received - acknowledged < 100 && client.received < wanted) return
    client.ackUpTo(client.lastTag)
    acknowledged = client.received
  }
  await client.consume('fill', { noAck: false })
  while (performance.now() - lastAt < 3_000 || client.received < wanted) {
    await sleep(50)
    if (performance.now() - lastAt > 30_000) break
  }
  if (client.received > acknowledged) client.ackUpTo(client.lastTag)
  const seconds = (lastAt - startedAt) / 1000
  // Room comes back when two checkpoints have gone by, but for the reserve.
  for (let tries = 0; tries < 150 && usedMebibytes() > Number(values.mebibytes) * 0.6; tries++) await sleep(1_000)
  const { received } = client
  await client.close()
  // The broker looks once a second.
  await sleep(2_000)
  return { received, seconds }
}

function usedMebibytes() {
  const { blocks, bavail, bsize } = fs.statfsSync(folder)
  return Math.round(((blocks - bavail) * bsize) / 1_048_576)
}
