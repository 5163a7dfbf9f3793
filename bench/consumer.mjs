// Load process: declares the queue, consumes, and is where the rate is measured.
//
//   in   {"type":"drain","published":n}
//   out  {"type":"ready"}  {"type":"consumed","count":n} every 10 ms  {"type":"window-start"}  {"type":"window-end"}
//        {"type":"result", …}  {"type":"error","message"}
//
// The window opens `warm-up` seconds after the first delivery and lasts `seconds`. Afterwards the harness stops the
// producer and says how many were published: everything must arrive, once, or the figures mean nothing.

import { parseArgs } from 'node:util'
import { failLoad, listen, tell } from './lines.mjs'
import { RawClient } from './raw-client.mjs'

const { values } = parseArgs({
  options: {
    url: { type: 'string', default: 'amqp://guest:guest@127.0.0.1:5672' },
    queue: { type: 'string', default: 'bench' },
    mode: { type: 'string', default: 'durable' },
    size: { type: 'string', default: '16' },
    prefetch: { type: 'string', default: '1000' },
    // Acknowledged at the end of the first chunk that brings the unacknowledged to this many: a tenth of the
    // prefetch, so the broker never waits for us and is not busied with one ack per message either.
    'ack-every': { type: 'string', default: '100' },
    'warm-up': { type: 'string', default: '1' },
    seconds: { type: 'string', default: '3' },
    arguments: { type: 'string', default: '{}' },
  },
})
const durable = values.mode === 'durable'
const bodyBytes = Number(values.size)
const ackEvery = Number(values['ack-every'])
const reportEveryMs = 10
const drainMs = 120_000

const client = await RawClient.connect(values.url, 'leveret-bench-consumer').catch(failLoad)
if (client) run(client).catch(failLoad)

/** @param {RawClient} client */
async function run(client) {
  client.onFailure = failLoad
  let acknowledged = 0
  let reported = 0
  let begun = false
  /** @type {ReturnType<typeof mark> | null} */
  let start = null
  /** @type {ReturnType<typeof mark> | null} */
  let end = null
  let published = -1

  await client.declareQueue(values.queue, { durable, autoDelete: !durable, arguments: JSON.parse(values.arguments) })
  if (durable) await client.prefetch(Number(values.prefetch))

  client.onDeliveries = () => {
    if (!begun) begin()
    if (durable && client.received - acknowledged >= ackEvery) ack()
    if (client.received >= published && published >= 0) finish().catch(failLoad)
  }
  await client.consume(values.queue, { noAck: !durable })

  function begin() {
    begun = true
    setTimeout(() => {
      start = mark()
      tell({ type: 'window-start' })
    }, Number(values['warm-up']) * 1000)
    const lastsMs = (Number(values['warm-up']) + Number(values.seconds)) * 1000
    setTimeout(() => {
      end = mark()
      tell({ type: 'window-end' })
    }, lastsMs)
  }

  function mark() {
    return { received: client.received, at: performance.now(), cpu: process.cpuUsage() }
  }

  function ack() {
    client.ackUpTo(client.lastTag)
    acknowledged = client.received
  }

  const reporter = setInterval(() => {
    if (client.received === reported) return
    reported = client.received
    tell({ type: 'consumed', count: reported })
  }, reportEveryMs)

  let finished = false
  async function finish() {
    if (finished || start === null || end === null) return
    finished = true
    clearInterval(reporter)
    if (durable && client.received > acknowledged) ack()
    await client.cancel()
    // The transient queue deletes itself with its last consumer.
    if (durable) await client.deleteQueue(values.queue)
    await client.close()
    const received = end.received - start.received
    const seconds = (end.at - start.at) / 1000
    const cpu = end.cpu.user + end.cpu.system - start.cpu.user - start.cpu.system
    tell({
      type: 'result',
      rate: received / seconds,
      windowMessages: received,
      windowSeconds: seconds,
      received: client.received,
      missing: published - client.received,
      wrongBytes: client.scanner.bodyBytes - client.received * bodyBytes,
      cpuMicrosecondsPerMessage: cpu / received,
    })
    process.exit(0)
  }

  listen((line) => {
    if (line.type !== 'drain') return
    published = line.published
    if (client.received >= published) finish().catch(failLoad)
    else setTimeout(() => finish().catch(failLoad), drainMs)
  })
  tell({ type: 'ready' })
}
