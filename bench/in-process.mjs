// Load process: the library embedded, without AMQP. Sender and worker live in this one process, as they do for a user
// of `memory:` or `file:`; the figures therefore hold the library's own cost and the handler's call, nothing else.
//
//   out  {"type":"result", …}  {"type":"error","message"}

import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { failLoad, tell } from './lines.mjs'
import { residentMiB } from './machine.mjs'
import { percentiles } from './statistics.mjs'

const { values } = parseArgs({
  options: {
    module: { type: 'string', default: 'dist/index.js' },
    url: { type: 'string', default: 'memory:' },
    size: { type: 'string', default: '16' },
    window: { type: 'string', default: '1000' },
    concurrency: { type: 'string', default: '100' },
    backlog: { type: 'string', default: '100000' },
    'warm-up': { type: 'string', default: '1' },
    seconds: { type: 'string', default: '3' },
    measure: { type: 'string', default: 'throughput' },
  },
})
const window = Number(values.window)
const backlog = Number(values.backlog)
const warmUpMs = Number(values['warm-up']) * 1000
const lastsMs = Number(values.seconds) * 1000
// Text, because it is what `send` takes without a schema and what goes through the default serializer.
const data = 'x'.repeat(Number(values.size))

run().then(() => process.exit(0), failLoad)

async function run() {
  const { connect } = await import(pathToFileURL(values.module).href)
  const bus = await connect(values.url)
  const queue = await bus.createQueue('bench')
  if (values.measure === 'latency') await latency(queue)
  else await throughput(queue)
  await bus.close()
}

/** `window` sends in flight, none while `backlog` messages wait; messages counted in the handler. @param {any} queue */
async function throughput(queue) {
  let sent = 0
  let processed = 0
  let running = true
  // A send that is done at once resolves in a microtask, and a thousand loops of such sends would never let the
  // event loop turn: no timer, no disk. So no more than a window of sends begins between two turns.
  let sentThisTurn = 0
  /** @type {Promise<void> | null} */
  let turn = null
  /** Senders that wait for the handler, each for one place. @type {(() => void)[]} */
  const waiting = []

  function nextTurn() {
    turn ??= new Promise((resolve) =>
      setImmediate(() => {
        turn = null
        sentThisTurn = 0
        resolve()
      }),
    )
    return turn
  }

  async function sender() {
    while (running) {
      if (sent - processed >= backlog) await new Promise((resolve) => waiting.push(() => resolve(undefined)))
      else if (sentThisTurn >= window) await nextTurn()
      else {
        sentThisTurn += 1
        sent += 1
        await queue.send(data)
      }
    }
  }

  const worker = queue.process(
    () => {
      processed += 1
      // Not all that wait: all but one of them would find the place taken.
      if (waiting.length > 0 && sent - processed < backlog) waiting.pop()?.()
    },
    { concurrency: Number(values.concurrency) },
  )
  const senders = Array.from({ length: window }, sender)
  // A failing send must end the run now, not after the window.
  const failed = Promise.all(senders)
  const mark = () => ({ processed, at: performance.now(), cpu: process.cpuUsage() })
  const wait = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms))

  await Promise.race([wait(warmUpMs), failed])
  const start = mark()
  await Promise.race([wait(lastsMs), failed])
  const end = mark()
  running = false
  for (const wake of waiting) wake()
  await failed
  for (let waitedMs = 0; processed < sent && waitedMs < 60_000; waitedMs += 10) await wait(10)

  const messages = end.processed - start.processed
  const cpu = end.cpu.user + end.cpu.system - start.cpu.user - start.cpu.system
  tell({
    type: 'result',
    rate: messages / ((end.at - start.at) / 1000),
    cpuMicrosecondsPerMessage: cpu / messages,
    missing: sent - processed,
    residentMiB: residentMiB(process.pid).now,
  })
  await worker.close()
}

/**
 * One message in flight: how long until `send` resolves (stored), and until the handler is called.
 * @param {any} queue
 */
async function latency(queue) {
  /** @type {number[]} */
  const storedMs = []
  /** @type {number[]} */
  const handledMs = []
  /** @type {() => void} */
  let handled = () => {}
  let handledAt = 0
  const worker = queue.process(
    () => {
      handledAt = performance.now()
      handled()
    },
    { concurrency: 1 },
  )
  const startedAt = performance.now()
  for (let count = 0; ; count += 1) {
    const arrival = new Promise((resolve) => {
      handled = () => resolve(undefined)
    })
    const sentAt = performance.now()
    await queue.send(data)
    const storedAt = performance.now()
    await arrival
    if (sentAt - startedAt >= warmUpMs) {
      storedMs.push(storedAt - sentAt)
      handledMs.push(handledAt - sentAt)
    }
    if (sentAt - startedAt >= warmUpMs + lastsMs) break
    // As above: in memory the whole round may be microtasks.
    if (count % 64 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  tell({ type: 'result', stored: percentiles(storedMs), handled: percentiles(handledMs), messages: storedMs.length })
  await worker.close()
}
