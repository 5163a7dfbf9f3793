// One of several processes that are the same durable subscriber: node tug.mjs URL. Prints a line when it listens, and one for each ship.

import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'leveret'
import { arrived } from './contracts.mjs'

const bus = await connect(/** @type {string} */ (process.argv[2]))
await bus.on(
  arrived,
  async ({ data }) => {
    await sleep(20)
    console.log(data.ship)
  },
  { durable: 'tugs', prefetch: 1 },
)
console.log('ready')

process.once('SIGTERM', () => void bus.close())
