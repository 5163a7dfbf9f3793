// Load process: one durable message in flight. Publisher and consumer are two connections of this one process, so
// that both ends are timed by the same clock. The next message is published when the last one was both delivered and
// confirmed; its ack goes out with the delivery and is not awaited.
//
//   out  {"type":"window-start"}  {"type":"window-end"}  {"type":"result", …}  {"type":"error","message"}

import { parseArgs } from 'node:util'
import { failLoad, listen, tell } from './lines.mjs'
import { Publishes, RawClient } from './raw-client.mjs'
import { percentiles } from './statistics.mjs'

const { values } = parseArgs({
  options: {
    url: { type: 'string', default: 'amqp://guest:guest@127.0.0.1:5672' },
    queue: { type: 'string', default: 'bench' },
    size: { type: 'string', default: '16' },
    'warm-up': { type: 'string', default: '1' },
    seconds: { type: 'string', default: '3' },
    arguments: { type: 'string', default: '{}' },
  },
})

run().catch(failLoad)

async function run() {
  const consumer = await RawClient.connect(values.url, 'leveret-bench-consumer')
  const producer = await RawClient.connect(values.url, 'leveret-bench-producer')
  consumer.onFailure = failLoad
  producer.onFailure = failLoad
  await consumer.declareQueue(values.queue, { durable: true, arguments: JSON.parse(values.arguments) })
  await consumer.prefetch(10)
  await consumer.consume(values.queue, { noAck: false })
  await producer.selectConfirms()
  const publishes = new Publishes({
    routingKey: values.queue,
    bodyBytes: Number(values.size),
    persistent: true,
    frameMax: producer.frameMax,
    countMax: 1,
  })

  /** @type {number[]} */
  const deliverMs = []
  /** @type {number[]} */
  const confirmMs = []
  const warmUpMs = Number(values['warm-up']) * 1000
  const lastsMs = Number(values.seconds) * 1000
  const startedAt = performance.now()
  let measuring = false
  let publishedAt = 0
  let pending = 0

  function publish() {
    pending = 2
    publishedAt = performance.now()
    producer.publish(publishes, 1)
  }

  consumer.onDeliveries = () => {
    if (measuring) deliverMs.push(performance.now() - publishedAt)
    consumer.ackUpTo(consumer.lastTag)
    arrived()
  }
  producer.onConfirms = () => {
    if (measuring) confirmMs.push(performance.now() - publishedAt)
    arrived()
  }

  function arrived() {
    pending -= 1
    if (pending > 0) return
    const elapsedMs = performance.now() - startedAt
    if (elapsedMs >= warmUpMs + lastsMs) return void finish().catch(failLoad)
    if (!measuring && elapsedMs >= warmUpMs) {
      measuring = true
      tell({ type: 'window-start' })
    }
    publish()
  }

  async function finish() {
    tell({ type: 'window-end' })
    const { published, nacked } = producer.ledger
    const missing = published - consumer.received
    await consumer.cancel()
    await consumer.deleteQueue(values.queue)
    await consumer.close()
    await producer.close()
    const windowMessages = deliverMs.length
    tell({
      type: 'result',
      windowMessages,
      deliver: percentiles(deliverMs),
      confirm: percentiles(confirmMs),
      missing,
      nacked,
    })
    process.exit(0)
  }

  if (!process.stdin.isTTY) listen(() => {})
  publish()
}
