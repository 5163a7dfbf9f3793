// A broker, two workers, three processes; one worker is killed while it works: see README.md.

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

const jobCount = 40
const folder = mkdtempSync(path.join(os.tmpdir(), 'leveret-distributed-'))
/** @type {import('node:child_process').ChildProcess[]} */
const children = []
try {
  await main()
} finally {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}

async function main() {
  const bus = await connect(`file:${folder}`)
  /** @type {import('leveret').Queue<number, { by: string, again: boolean }>} */
  const jobs = await bus.createQueue('jobs')
  const served = await bus.serve({ amqp: 0 })
  console.log(`the broker serves ${served.url}`)

  const [ada, bob] = await Promise.all([startWorker('ada', served.url), startWorker('bob', served.url)])

  let done = 0
  const receipts = await Promise.all(
    Array.from({ length: jobCount }, (_, job) => jobs.send(job, { receipt: true, onProcessed: () => void done++ })),
  )
  console.log(`${receipts.length} jobs are on disk`)

  while (done < jobCount / 4) await sleep(5)
  ada.kill('SIGKILL')
  await once(ada, 'exit')
  console.log(`ada was killed in the middle of her work, when ${done} jobs were done`)

  const results = await Promise.all(receipts.map((receipt) => receipt.processed({ timeout: '30s' })))
  const by = (/** @type {string} */ name) => results.filter((result) => result.by === name).length
  console.log(`all ${results.length} receipts came: ada did ${by('ada')} jobs, bob ${by('bob')}`)
  console.log(`${results.filter(({ again }) => again).length} of bob's were with ada before`)

  const { length } = await jobs.stats()
  assert.equal(results.length, jobCount)
  assert.equal(length, 0)
  console.log('the queue is empty, nothing was lost')

  bob.kill('SIGTERM')
  await once(bob, 'exit')
  await bus.close()
}

/** Resolves when it consumes. */
async function startWorker(/** @type {string} */ name, /** @type {string} */ url) {
  const program = fileURLToPath(new URL('worker.mjs', import.meta.url))
  const child = spawn(process.execPath, [program, name, url], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const lines = createInterface({ input: child.stdout })
  const [line] = await once(lines, 'line')
  console.log(line)
  return child
}
