// Events in a harbour: as with EventEmitter, then kept over a restart, then shared by two processes: see README.md.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect } from 'leveret'
import { arrived, left } from './contracts.mjs'

const folder = mkdtempSync(path.join(os.tmpdir(), 'leveret-events-'))
const url = `file:${folder}`
/** @type {import('node:child_process').ChildProcess[]} */
const children = []
try {
  await asWithEventEmitter()
  await keptWhileNobodyListens()
  await sharedByTwoProcesses()
} finally {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}

async function asWithEventEmitter() {
  console.log('Live listeners')
  const bus = await connect(url)
  let seen = 0
  await bus.on('ship.*', () => void seen++)
  await bus.once(arrived, ({ data }) => console.log(`  the band plays for the first one, the ${data.ship}`))
  /** @type {import('leveret').EventHandler<{ ship: string, from: string }>} */
  const crane = ({ data }) => console.log(`  the crane unloads the ${data.ship} from ${data.from}`)
  await bus.on(arrived, crane)

  await bus.emit(arrived, { ship: 'Beagle', from: 'Plymouth' })
  await bus.emit(arrived, { ship: 'Fram', from: 'Oslo' })
  await bus.emit(left, { ship: 'Beagle' })
  await until(() => seen === 3)
  await bus.off(arrived, crane)
  await bus.emit(arrived, { ship: 'Vega', from: 'Karlskrona' })
  await bus.emit(left, { ship: 'Fram' })

  await until(() => seen === 5)
  console.log(`  the lighthouse saw ships come and go ${seen} times; nobody unloaded the Vega, for the crane was off`)
  await bus.close()
}

async function keptWhileNobodyListens() {
  console.log('A durable subscriber, and a restart')
  let bus = await connect(url)
  await bus.on(arrived, () => {}, { durable: 'customs' })
  await bus.close() // from here on its events are kept

  bus = await connect(url)
  await bus.emit(arrived, { ship: 'Endurance', from: 'Buenos Aires' })
  await bus.emit(arrived, { ship: 'Gauss', from: 'Kiel' })
  await bus.close()
  console.log('  two ships came in the night; then everything was shut down')

  bus = await connect(url)
  let inspected = 0
  await bus.on(
    arrived,
    ({ data }, { attempt }) => {
      if (data.ship === 'Gauss' && attempt === 1) throw new Error('the Gauss is locked, try again')
      console.log(`  customs inspect the ${data.ship}, attempt ${attempt}`)
      inspected++
    },
    { durable: 'customs', retry: { min: 50 }, onError: (error) => console.log(`  ${String(error)}`) },
  )
  await until(() => inspected === 2)
  await bus.close()
}

async function sharedByTwoProcesses() {
  console.log('One subscriber, two processes')
  const bus = await connect(url)
  const served = await bus.serve({ amqp: 0 })
  /** @type {string[]} which tug, for each ship */
  const towed = []
  const tugs = ['Hercules', 'Samson']
  await Promise.all(tugs.map((name) => startTug(served.url, () => towed.push(name))))
  console.log(`  ${tugs.join(' and ')} are ready`)

  for (let ship = 1; ship <= 12; ship++) await bus.emit(arrived, { ship: `barge ${ship}`, from: 'upriver' })
  await until(() => towed.length >= 12)
  for (const tug of tugs) console.log(`  ${tug} towed ${towed.filter((name) => name === tug).length} barges`)
  assert.equal(towed.length, 12)

  for (const child of children) child.kill('SIGTERM')
  await Promise.all(children.map((child) => once(child, 'exit')))
  await bus.close()
  console.log('  each of the 12 was towed once')
}

/** Resolves when it listens; calls `towed` for each ship. */
async function startTug(/** @type {string} */ to, /** @type {() => void} */ towed) {
  const program = fileURLToPath(new URL('tug.mjs', import.meta.url))
  const child = spawn(process.execPath, [program, to], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const lines = createInterface({ input: child.stdout })
  await once(lines, 'line')
  lines.on('line', towed)
}

async function until(/** @type {() => boolean} */ isSo) {
  while (!isSo()) await sleep(5)
}
