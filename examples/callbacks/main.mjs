// A kitchen that tells its guests, by callbacks, and one guest who was gone when the dish was ready: see README.md.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect } from 'leveret'
import { minuteMs, orders, price } from './kitchen.mjs'

const folder = mkdtempSync(path.join(os.tmpdir(), 'leveret-callbacks-'))
/** @type {import('node:child_process').ChildProcess[]} */
const children = []
const bus = await connect(`file:${folder}`, { onError: () => {} })
try {
  const kitchen = await bus.createQueue(orders, { retry: { attempts: 1 } })
  await openKitchen(kitchen)
  await askPrices()
  await orderAndBeTold(kitchen)
  await orderAndBeKilled(kitchen)
} finally {
  for (const child of children) child.kill('SIGKILL')
  await bus.close()
  rmSync(folder, { recursive: true, force: true })
}

/** @typedef {import('leveret').Queue<{ dish: string, minutes: number }, { plates: number }>} Kitchen */

async function openKitchen(/** @type {Kitchen} */ kitchen) {
  kitchen.process(
    async ({ data: { dish, minutes } }, context) => {
      for (let minute = 1; minute <= minutes; minute++) {
        await sleep(minuteMs)
        if (dish === 'soufflé' && minute === 2) return context.deadLetter('it collapsed')
        context.progress(minute / minutes)
      }
      return { plates: 1 }
    },
    { concurrency: 4 },
  )
  await bus.answer(price, ({ dish }) => {
    if (dish === 'whale') throw new Error('we do not cook those')
    return dish.length * 2
  })
}

/** A call with a callback: as Node's, once, the error first. */
async function askPrices() {
  console.log('Questions')
  for (const dish of ['risotto', 'whale']) {
    await /** @type {Promise<void>} */ (
      new Promise((told) => {
        bus.call(price, { dish }, { timeout: '5s' }, (error, euros) => {
          console.log(error === null ? `  ${dish} is ${euros} €` : `  ${error.message}`)
          told()
        })
      })
    )
  }
}

/** Sends with callbacks: what a sender hears on the way, and how it ends. */
async function orderAndBeTold(/** @type {Kitchen} */ kitchen) {
  console.log('Orders')
  let ended = 0
  for (const order of [
    { dish: 'risotto', minutes: 4 },
    { dish: 'soufflé', minutes: 3 },
  ]) {
    const { dish } = order
    const { id } = await kitchen.send(order, {
      onDelivered: () => console.log(`  ${dish}: the cook has begun`),
      onProgress: (share) => console.log(`  ${dish}: ${bar(share)}`),
      onProcessed(error, result) {
        console.log(error === null ? `  ${dish}: ${result?.plates} plate` : `  ${dish}: ${error.message}`)
        ended++
      },
    })
    console.log(`  ${dish}: the order is on disk, as ${id.slice(0, 8)}…`)
  }
  while (ended < 2) await sleep(5)
}

/** A guest in a process of its own who is killed before the dish is ready, and told when it comes back. */
async function orderAndBeKilled(/** @type {Kitchen} */ kitchen) {
  console.log('A guest who was gone')
  const { url } = await bus.serve({ amqp: 0 })
  const guest = start('order', url)
  await once(/** @type {NonNullable<typeof guest.stdout>} */ (guest.stdout), 'data')
  guest.kill('SIGKILL')
  await once(guest, 'exit')
  console.log('  table 7 has ordered, and was killed before anything was cooked')

  while ((await kitchen.stats()).length > 0) await sleep(10)
  console.log('  the kitchen is done, and keeps the answer')

  const again = start('ask', url)
  let said = ''
  again.stdout?.on('data', (text) => {
    said += text
  })
  await once(again, 'close')
  process.stdout.write(said)
  assert.match(said, /processed: 1 plate/)
}

function start(/** @type {'order' | 'ask'} */ what, /** @type {string} */ url) {
  const program = fileURLToPath(new URL('guest.mjs', import.meta.url))
  const child = spawn(process.execPath, [program, what, url], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  return child
}

function bar(/** @type {number} */ share) {
  return '█'.repeat(Math.round(share * 12)).padEnd(12, '░')
}
