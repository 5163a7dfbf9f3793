// A worker in a process of its own: node worker.mjs NAME URL

import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'leveret'

const [name, url] = /** @type {[string, string]} */ (/** @type {unknown} */ (process.argv.slice(2)))

const bus = await connect(url)
const jobs = await bus.openQueue('jobs')
const worker = jobs.process(
  async ({ redelivered }) => {
    await sleep(50)
    return { by: name, again: redelivered }
  },
  { concurrency: 2 },
)
await worker.ready()
console.log(`${name} is ready`)

process.once('SIGTERM', () => void bus.close())
