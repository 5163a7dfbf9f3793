// What every load process of the job queue benchmark does, whichever system it drives: send and process in one Node
// process, and tell the harness. A system is a `JobQueue`; each file beside this one makes one and calls `runLoad`.
//
//   out  {"type":"started"}  {"type":"result", …}  {"type":"error","message"}

import { parseArgs } from 'node:util'
import { failLoad, tell } from '../lines.mjs'
import { percentiles } from '../statistics.mjs'

/** What is sent: about forty bytes of JSON. @typedef {{ number: number, file: string }} Job */

/**
 * @typedef {object} JobQueue
 * @property {(job: Job) => Promise<unknown>} send  resolves when the system says that the job is stored
 * @property {(handler: (job: Job) => Promise<void>, concurrency: number) => Promise<JobWorker>} work  resolves when it takes jobs
 * @property {() => Promise<unknown>} close
 */

/**
 * @typedef {object} JobWorker
 * @property {(count: number) => Promise<unknown>} acknowledged  called when all `count` handlers have ended; resolves when
 *   the system has taken the last acknowledgement, as durably as it takes any
 * @property {() => Promise<unknown>} close
 */

/** @typedef {{ module: string, url: string, measure: string, durability: string }} OpenOptions */

/** @param {(options: OpenOptions) => Promise<JobQueue>} open */
export function runLoad(open) {
  const { values } = parseArgs({
    options: {
      module: { type: 'string', default: '' },
      url: { type: 'string', default: '' },
      durability: { type: 'string', default: 'fsync' },
      measure: { type: 'string', default: 'throughput' },
      concurrency: { type: 'string', default: '1' },
      window: { type: 'string', default: '1000' },
      backlog: { type: 'string', default: '10000' },
      'warm-up': { type: 'string', default: '0.5' },
      seconds: { type: 'string', default: '2' },
    },
  })
  const settings = {
    concurrency: Number(values.concurrency),
    window: Number(values.window),
    backlog: Number(values.backlog),
  }
  const warmUpMs = Number(values['warm-up']) * 1000
  const lastsMs = Number(values.seconds) * 1000
  const measure = values.measure === 'latency' ? latency : throughput
  run().then(() => process.exit(0), failLoad)

  async function run() {
    const queue = await open(values)
    await measure(queue, warmUpMs, settings)
    tell({ type: 'started' })
    tell({ type: 'result', ...(await measure(queue, lastsMs, settings)) })
    await queue.close()
  }
}

/**
 * Sends for `lastsMs`, then waits for the last acknowledgement. Time and CPU count from the first send to there.
 * @param {JobQueue} queue @param {number} lastsMs
 * @param {{ concurrency: number, window: number, backlog: number }} settings  `window` sends unresolved at most, and
 *   senders stop while `backlog` jobs wait
 */
async function throughput(queue, lastsMs, { concurrency, window, backlog }) {
  let sent = 0
  let handled = 0
  // Numbers of what was sent, minus what was handled: not zero if one was lost and another came twice.
  let difference = 0
  let sending = true
  /** @type {(() => void)[]} */
  const waiting = []
  /** @type {() => void} */
  let allHandled = () => {}

  const worker = await queue.work(async (job) => {
    handled += 1
    difference -= job.number
    if (waiting.length > 0 && sent - handled < backlog) waiting.pop()?.()
    if (!sending && handled >= sent) allHandled()
  }, concurrency)

  async function sender() {
    while (sending) {
      if (sent - handled >= backlog) {
        await new Promise((resolve) => waiting.push(() => resolve(undefined)))
        continue
      }
      const number = sent
      sent += 1
      difference += number
      await queue.send({ number, file: 'images/0001.png' })
    }
  }

  const startedAt = performance.now()
  const cpuBefore = process.cpuUsage()
  setTimeout(() => {
    sending = false
    for (const wake of waiting) wake()
  }, lastsMs)
  await Promise.all(Array.from({ length: window }, sender))
  if (handled < sent) {
    await new Promise((resolve) => {
      allHandled = () => resolve(undefined)
    })
  }
  await worker.acknowledged(sent)
  const seconds = (performance.now() - startedAt) / 1000
  const cpu = process.cpuUsage(cpuBefore)
  await worker.close()
  if (handled !== sent || difference !== 0)
    throw new Error(`sent ${sent} jobs, handled ${handled}, or not the same ones`)
  return { rate: sent / seconds, messages: sent, seconds, cpuMicroseconds: (cpu.user + cpu.system) / sent }
}

/**
 * One job at a time: how long until its send resolves (stored), and until its handler begins (begun).
 * @param {JobQueue} queue @param {number} lastsMs
 */
async function latency(queue, lastsMs) {
  /** @type {number[]} */
  const storedMs = []
  /** @type {number[]} */
  const begunMs = []
  /** @type {() => void} */
  let begun = () => {}
  let begunAt = 0
  const worker = await queue.work(async () => {
    begunAt = performance.now()
    begun()
  }, 1)
  const startedAt = performance.now()
  let number = 0
  for (; performance.now() - startedAt < lastsMs; number += 1) {
    const arrival = new Promise((resolve) => {
      begun = () => resolve(undefined)
    })
    const sentAt = performance.now()
    await queue.send({ number, file: 'images/0001.png' })
    storedMs.push(performance.now() - sentAt)
    await arrival
    begunMs.push(begunAt - sentAt)
  }
  await worker.acknowledged(number)
  await worker.close()
  return { stored: percentiles(storedMs), begun: percentiles(begunMs), messages: number }
}
