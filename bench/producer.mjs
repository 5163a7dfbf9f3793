// Load process: publishes as fast as the broker takes it.
//
//   in   {"type":"start"}  {"type":"consumed","count":n}  {"type":"stop"}
//   out  {"type":"ready"}  {"type":"result", …}  {"type":"error","message"}
//
// Durable mode keeps `window` publishes unconfirmed. In both modes the messages the consumer has not yet seen are
// bounded by `backlog`: TCP backpressure alone would not do, because most brokers read faster than they deliver, and
// then one would measure how a growing queue slows a broker down, and its memory, not the flow end to end. The bound
// is far above what is on its way in the sockets, so it never starves a broker that keeps up.

import { parseArgs } from 'node:util'
import { failLoad, listen, tell } from './lines.mjs'
import { Publishes, RawClient } from './raw-client.mjs'

const { values } = parseArgs({
  options: {
    url: { type: 'string', default: 'amqp://guest:guest@127.0.0.1:5672' },
    queue: { type: 'string', default: 'bench' },
    mode: { type: 'string', default: 'durable' },
    size: { type: 'string', default: '16' },
    window: { type: 'string', default: '1000' },
    backlog: { type: 'string', default: '100000' },
  },
})
const durable = values.mode === 'durable'
const bodyBytes = Number(values.size)
const window = Number(values.window)
const backlogBytesMax = 128 * 1024 * 1024
const backlog = Math.max(1, Math.min(Number(values.backlog), Math.floor(backlogBytesMax / Math.max(1, bodyBytes))))
// Unconfirmed publishes go out in writes of about this size: large enough that the call costs nothing per message,
// small enough that the broker starts on one while the next is made.
const writeBytes = 128 * 1024

// A broker that confirms in drops would be answered with a write per drop, at a cost per message many times that of the
// message. Waiting until a tenth of the window is free leaves it nine tenths to work on.
const refillCount = Math.max(1, Math.min(Math.floor(window / 10), backlog))

const client = await RawClient.connect(values.url, 'leveret-bench-producer').catch(failLoad)
if (client) run(client).catch(failLoad)

/** @param {RawClient} client */
async function run(client) {
  client.onFailure = failLoad
  if (durable) await client.selectConfirms()
  const publishes = new Publishes({
    routingKey: values.queue,
    bodyBytes,
    persistent: durable,
    frameMax: client.frameMax,
    countMax: window,
  })
  const writeCount = Math.max(1, Math.floor(writeBytes / publishes.messageBytes))
  const { ledger, socket } = client
  let published = 0
  let consumed = 0
  let running = false
  let pumpScheduled = false
  let startedAt = 0
  /** @type {NodeJS.CpuUsage} */
  let cpuAtStart

  client.onConfirms = () => {
    if (running) pump()
    else if (ledger.outstanding === 0) finish().catch(failLoad)
  }
  socket.on('drain', schedulePump)

  function pump() {
    pumpScheduled = false
    if (!running) return
    const room = backlog - (published - consumed)
    if (durable) {
      const count = Math.min(window - ledger.outstanding, room)
      if (count < refillCount) return
      published += count
      client.publish(publishes, count)
      return
    }
    const count = Math.min(writeCount, room)
    if (count <= 0 || socket.writableNeedDrain) return
    published += count
    if (client.publishUnconfirmed(publishes, count)) schedulePump()
  }

  // Not from the drain event itself: it is a microtask while the kernel takes everything at once, and then neither
  // the consumer's counts nor the order to stop would ever be read.
  function schedulePump() {
    if (durable || pumpScheduled) return
    pumpScheduled = true
    setImmediate(pump)
  }

  async function finish() {
    const seconds = (performance.now() - startedAt) / 1000
    const cpu = process.cpuUsage(cpuAtStart)
    client.onConfirms = () => {}
    // Closing the connection in order also sees to it that every publish has been read by the broker.
    await client.close()
    tell({
      type: 'result',
      published,
      confirmed: ledger.confirmed,
      nacked: ledger.nacked,
      blocked: client.blockedCount,
      seconds,
      cpuMicrosecondsPerMessage: (cpu.user + cpu.system) / published,
    })
    process.exit(0)
  }

  listen((line) => {
    if (line.type === 'start') {
      running = true
      startedAt = performance.now()
      cpuAtStart = process.cpuUsage()
      pump()
    } else if (line.type === 'consumed') {
      consumed = line.count
      if (!pumpScheduled) pump()
    } else if (line.type === 'stop') {
      running = false
      if (ledger.outstanding === 0) finish().catch(failLoad)
    }
  })
  tell({ type: 'ready' })
}
