// A clock tower: schedules for events and queues, made twice and run once, and made up for after a stop: see README.md.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { connect } from 'leveret'
import { chime, schedule, strokes } from './tower.mjs'

const run = promisify(execFile)
const folder = mkdtempSync(path.join(os.tmpdir(), 'leveret-schedule-'))
const url = `file:${folder}`
try {
  await everySoOften()
  await madeTwiceRunOnce()
  await madeUpForAfterAStop()
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function everySoOften() {
  console.log('Every so often, to whoever listens')
  const bus = await connect(url)
  let heard = 0
  await bus.on(chime, ({ data }) => {
    heard++
    console.log(`  ${data}`)
  })
  const chimes = await bus.schedule('chimes', { every: 250 }, chime, 'ding')
  await until(() => heard === 3)
  await chimes.remove()

  const nightly = await bus.schedule('nightly', '30 2 * * *', chime, 'goodnight', { timezone: 'Europe/Berlin' })
  const inBerlin = nightly.nextAt?.toLocaleString('en-GB', {
    timeZone: 'Europe/Berlin',
    dateStyle: 'full',
    timeStyle: 'short',
  })
  console.log(`  and next at night in Berlin: ${inBerlin}`)
  await nightly.remove()
  await bus.close()
}

async function madeTwiceRunOnce() {
  console.log('Each second, made by two processes')
  const bus = await connect(url)
  const { queue } = await schedule(bus)
  const served = await bus.serve({ amqp: 0 })
  const { stdout } = await run(process.execPath, [fileURLToPath(new URL('keeper.mjs', import.meta.url)), served.url])
  process.stdout.write(stdout)

  /** @type {number[]} */
  const dueMs = []
  queue.process((message) => {
    // Null for what somebody sent by hand.
    const due = message.schedule?.dueAt ?? new Date(Number.NaN)
    dueMs.push(due.getTime())
    console.log(`  ${message.data.bell}, due at :${String(due.getUTCSeconds()).padStart(2, '0')}`)
  })
  await until(() => dueMs.length >= 3)
  assert.equal(new Set(dueMs).size, dueMs.length)
  console.log('  no second came twice')
  await bus.close()
}

async function madeUpForAfterAStop() {
  console.log('Stopped for three seconds')
  await sleep(3000)
  const bus = await connect(url)
  const queue = await bus.openQueue(strokes)
  while ((await queue.stats()).ready === 0) await sleep(5)
  const [ring] = await bus.schedules()
  assert.ok(ring)
  await ring.pause()
  console.log(`  one stroke makes up for what was missed: ${ring.missed} had none of their own`)

  const { ready } = await queue.stats()
  await sleep(1100)
  await ring.run()
  assert.equal((await queue.stats()).ready, ready + 1)
  console.log(`  the bell is held for a second, and rung once by hand: '${ring.name}' has run ${ring.runs} times`)
  await bus.close()
}

async function until(/** @type {() => boolean} */ isSo) {
  while (!isSo()) await sleep(5)
}
