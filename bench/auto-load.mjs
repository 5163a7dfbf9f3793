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
  await queue.sendMany(Array.from({ length: 60_000 }, (_, at) => at))
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
  const startMs = performance.now()
  await sleep(Number(values['warm-up']) * 1_000)
  const [warmMs, warm, before] = [performance.now(), worker.stats(), { begun, tookMs }]
  await sleep(Number(values.seconds) * 1_000)
  const [endMs, end] = [performance.now(), worker.stats()]
  tell({
    type: 'result',
    rate: ((end.processed - warm.processed) * 1_000) / (endMs - warmMs),
    fromStart: (end.processed * 1_000) / (endMs - startMs),
    handlerMs: (tookMs - before.tookMs) / (begun - before.begun),
    concurrency: end.concurrency,
  })
  await bus.close({ timeout: 1_000 })
}
