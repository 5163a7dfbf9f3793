// One measurement: sends the load processes at one broker and gathers what they report.

import { LoadProcess } from './lines.mjs'
import { cpuSeconds, watchOthers } from './machine.mjs'

/**
 * @typedef {object} Target
 * @property {string} name
 * @property {string} url
 * @property {number | undefined} pid  for its CPU time and memory; undefined if not on this machine
 * @property {string} arguments  JSON of queue arguments
 *
 * @typedef {object} Settings
 * @property {number} seconds
 * @property {number} warmUp  seconds
 * @property {number} window
 * @property {number} prefetch
 * @property {number} backlog
 */

let queueCount = 0

/** Every run has a queue of its own, so none inherits what another left behind. */
function queueName() {
  queueCount += 1
  return `bench-${process.pid}-${queueCount}`
}

/**
 * Producer → broker → consumer for a fixed window.
 * @param {Target} target @param {'durable' | 'transient'} mode @param {number} size @param {Settings} settings
 */
export async function measureThroughput(target, mode, size, settings) {
  const queue = queueName()
  const { url } = target
  const { seconds, warmUp, window, prefetch, backlog } = settings
  const consumerOptions = { 'warm-up': warmUp, seconds, prefetch, arguments: target.arguments }
  const consumer = new LoadProcess('consumer.mjs', { url, queue, mode, size, ...consumerOptions })
  let producer
  try {
    await consumer.next('ready', 20_000)
    producer = new LoadProcess('producer.mjs', { url, queue, mode, size, window, backlog })
    const sender = producer
    await sender.next('ready', 20_000)

    const windowEnd = consumer.next('window-end', (warmUp + seconds + 30) * 1000)
    consumer.onLine = (line) => {
      if (line.type === 'consumed') sender.send(line)
    }
    const windowStart = consumer.next('window-start', (warmUp + 30) * 1000)
    sender.send({ type: 'start' })
    // The producer speaks only when it fails or is done; a failure must not wait for the consumer's timeout.
    const producerResult = sender.next('result', (warmUp + seconds + 90) * 1000)
    await Promise.race([windowStart, producerResult])
    const cpuAtStart = cpuSeconds(target.pid)
    const othersSince = watchOthers([target.pid, sender.child.pid, consumer.child.pid, process.pid])
    await Promise.race([windowEnd, producerResult])
    const cpu = cpuSeconds(target.pid) - cpuAtStart
    const othersShare = othersSince()
    sender.send({ type: 'stop' })
    const produced = await producerResult
    const result = consumer.next('result', 130_000)
    consumer.send({ type: 'drain', published: produced.published })
    const consumed = await result

    return {
      rate: consumed.rate,
      othersShare,
      brokerMicroseconds: (cpu * 1e6) / consumed.windowMessages,
      producerMicroseconds: produced.cpuMicrosecondsPerMessage,
      consumerMicroseconds: consumed.cpuMicrosecondsPerMessage,
      published: produced.published,
      missing: consumed.missing,
      wrongBytes: consumed.wrongBytes,
      nacked: produced.nacked,
      blocked: produced.blocked,
    }
  } finally {
    producer?.end()
    consumer.end()
  }
}

/** One durable message in flight. @param {Target} target @param {number} size @param {Settings} settings */
export async function measureLatency(target, size, settings) {
  const { url } = target
  const { warmUp, seconds } = settings
  const options = { url, queue: queueName(), size, 'warm-up': warmUp, seconds, arguments: target.arguments }
  const load = new LoadProcess('latency.mjs', options)
  try {
    const ended = load.next('result', (warmUp + seconds + 30) * 1000)
    await Promise.race([load.next('window-start', (warmUp + 30) * 1000), ended])
    const cpuAtStart = cpuSeconds(target.pid)
    const othersSince = watchOthers([target.pid, load.child.pid, process.pid])
    await Promise.race([load.next('window-end', (warmUp + seconds + 30) * 1000), ended])
    const cpu = cpuSeconds(target.pid) - cpuAtStart
    const othersShare = othersSince()
    const { deliver, confirm, windowMessages, missing, nacked } = await ended
    const brokerMicroseconds = (cpu * 1e6) / windowMessages
    return { deliver, confirm, othersShare, messages: windowMessages, brokerMicroseconds, missing, nacked }
  } finally {
    load.end()
  }
}

/**
 * The library in a process of its own, without AMQP.
 * @param {{ module: string, url: string, measure: 'throughput' | 'latency', size: number, concurrency: number }} what
 * @param {Settings} settings
 */
export async function measureInProcess(what, settings) {
  const { warmUp, seconds, window, backlog } = settings
  const load = new LoadProcess('in-process.mjs', { ...what, window, backlog, 'warm-up': warmUp, seconds })
  try {
    return await load.next('result', (warmUp + seconds + 90) * 1000)
  } finally {
    load.end()
  }
}
