// Load process: one worker in this process, on memory:, whose handlers are of one kind.
//
//   out  {"type":"result", …}  {"type":"error","message"}

import { pbkdf2Sync } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { failLoad, tell } from './lines.mjs'

const { values } = parseArgs({
  options: {
    module: { type: 'string', default: 'dist/index.js' },
    kind: { type: 'string', default: 'pool' },
    concurrency: { type: 'string', default: 'auto' },
    'warm-up': { type: 'string', default: '4' },
    seconds: { type: 'string', default: '4' },
  },
})

/** Computes for a millisecond or two, the same each time. */
function compute() {
  pbkdf2Sync('password', 'salt', 2_000, 32, 'sha256')
}

/**
 * What counts as time. Who computes waits for nothing but the processor: what others take of that meanwhile is left out, and on
 * a machine of its own this is the time that goes by.
 */
function elapsedMs() {
  if (values.kind !== 'compute') return performance.now()
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

/** So many at a time, and each takes so long. @param {number} places @param {number} ms */
function pool(places, ms) {
  let busy = 0
  /** @type {(() => void)[]} */
  const waiting = []
  return async () => {
    if (busy < places) busy += 1
    else await new Promise((resolve) => waiting.push(() => resolve(undefined)))
    await sleep(ms)
    const next = waiting.shift()
    if (next) next()
    else busy -= 1
  }
}

/** Answers so often in a second, after so long. @param {number} perSecond @param {number} ms */
function limited(perSecond, ms) {
  let nextMs = 0
  return async () => {
    const nowMs = performance.now()
    const startMs = Math.max(nowMs, nextMs)
    nextMs = startMs + 1_000 / perSecond
    await sleep(startMs - nowMs + ms)
  }
}

/** @type {Record<string, () => unknown>} */
const kinds = {
  compute: async () => compute(),
  pool: pool(16, 10),
  wait: () => sleep(20),
  limited: limited(50, 100),
}

run().then(() => process.exit(0), failLoad)

async function run() {
  const { connect } = await import(pathToFileURL(values.module).href)
  const bus = await connect('memory:')
  const queue = await bus.createQueue('bench')
  // More than any kind is done with in its time: without a backlog there is nothing to be found.
  for (let batch = 0; batch < 20; batch += 1) await queue.sendMany(Array.from({ length: 10_000 }, (_, at) => at))
  const concurrency = values.concurrency === 'auto' ? 'auto' : Number(values.concurrency)
  let begun = 0
  let tookMs = 0
  const handler = kinds[values.kind]
  const worker =
    values.kind === 'threads'
      ? queue.process(new URL('./auto-handler.mjs', import.meta.url), { concurrency })
      : queue.process(
          async () => {
            const beganMs = performance.now()
            await handler?.()
            tookMs += performance.now() - beganMs
            begun += 1
          },
          { concurrency },
        )
  await worker.ready()
  const startMs = elapsedMs()
  await sleep(Number(values['warm-up']) * 1_000)
  const [warmMs, warm, before] = [elapsedMs(), worker.stats(), { begun, tookMs }]
  await sleep(Number(values.seconds) * 1_000)
  const [endMs, end] = [elapsedMs(), worker.stats()]
  if ((await queue.count()).ready === 0) throw new Error(`${values.kind}: the backlog came to its end`)
  tell({
    type: 'result',
    rate: ((end.processed - warm.processed) * 1_000) / (endMs - warmMs),
    fromStart: (end.processed * 1_000) / (endMs - startMs),
    handlerMs: (tookMs - before.tookMs) / (begun - before.begun),
    concurrency: end.concurrency,
  })
  await bus.close({ timeout: 1_000 })
}
