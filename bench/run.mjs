// The benchmark: `npm run bench -- --help`. Method and meaning of the figures: README.md.

import fs from 'node:fs'
import os from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startLeveret } from './leveret.mjs'
import { residentMiB, systemTicks } from './machine.mjs'
import { measureInProcess, measureLatency, measureThroughput } from './measure.mjs'
import { startRabbitmq } from './rabbitmq.mjs'
import { inProcessTable, latencyTable, throughputTable } from './report.mjs'
import { Session } from './session.mjs'

const usage = `Usage: node bench/run.mjs [options]

  What to measure
    --only LIST            of durable,transient,latency,in-process (default: all)
    --sizes LIST           body bytes (default 16,1024)
    --seconds N            measured window (default 3)      --warm-up N   before it (default 1)
    --runs N               per figure; the median is shown (default 3)
    --window N             unconfirmed publishes, or sends in flight in process (default 1000)
    --prefetch N           durable consumer (default 1000)
    --backlog N            messages the producer may be ahead of the consumer (default 100000)
    --concurrency N        handlers in process (default 100)

  Our side (default: start dist/cli/main.js serve)
    --url amqp://...       measure this running broker instead; --pid N for its CPU and memory
    --broker-args "..."    more arguments for leveret serve
    --arguments JSON       queue arguments
    --data-root DIR        where data folders are made (default: the system's temporary folder)

  The peer, measured in turn with ours
    --peer amqp://...      a running broker; --peer-pid N for its CPU and memory
    --with-rabbitmq        start Debian's RabbitMQ as the peer
    --peer-arguments JSON  queue arguments, e.g. '{"x-queue-version":2}'
    --peer-only            leave our side out

    --json                 one JSON document instead of tables`

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'durable,transient,latency,in-process' },
    sizes: { type: 'string', default: '16,1024' },
    seconds: { type: 'string', default: '3' },
    'warm-up': { type: 'string', default: '1' },
    runs: { type: 'string', default: '3' },
    window: { type: 'string', default: '1000' },
    prefetch: { type: 'string', default: '1000' },
    backlog: { type: 'string', default: '100000' },
    concurrency: { type: 'string', default: '100' },
    url: { type: 'string' },
    pid: { type: 'string' },
    'broker-args': { type: 'string', default: '' },
    arguments: { type: 'string', default: '{}' },
    'data-root': { type: 'string', default: os.tmpdir() },
    peer: { type: 'string' },
    'peer-pid': { type: 'string' },
    'with-rabbitmq': { type: 'boolean', default: false },
    'peer-arguments': { type: 'string', default: '{}' },
    'peer-only': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

/** @typedef {import('./measure.mjs').Target} Target */
/** @typedef {import('./measure.mjs').Settings} Settings */

/** @type {Settings} */
const settings = {
  seconds: Number(values.seconds),
  warmUp: Number(values['warm-up']),
  window: Number(values.window),
  prefetch: Number(values.prefetch),
  backlog: Number(values.backlog),
}
const runs = Number(values.runs)
const sizes = values.sizes.split(',').map(Number)
const kinds = values.only.split(',')
/** @type {('durable' | 'transient')[]} */
const modes = ['durable', 'transient']
const libraryModule = fileURLToPath(new URL('../dist/index.js', import.meta.url))

const session = new Session({ json: values.json, dataRoot: values['data-root'] })

if (values.help) process.stdout.write(`${usage}\n`)
else await session.run(main)

async function main() {
  const unknown = kinds.filter((kind) => !['durable', 'transient', 'latency', 'in-process'].includes(kind))
  if (unknown.length > 0) throw new Error(`--only does not know ${unknown.join(', ')}`)
  const numbers = [...sizes, ...Object.values(settings), runs]
  if (numbers.some((number) => !(number >= 0))) throw new Error('a number was expected; see --help')

  const machine = session.describeMachine()
  const stealBefore = systemTicks()
  /** @type {Record<string, unknown>} */
  const results = { machine, settings: { ...settings, runs, sizes }, units: 'messages/s, µs, ms, MiB' }

  if (kinds.some((kind) => kind !== 'in-process')) results.brokers = await measureBrokers(results)
  if (kinds.includes('in-process') && !values['peer-only'] && values.url === undefined) {
    if (fs.existsSync(libraryModule)) await measureLibrary(results)
    else session.note(`in-process figures left out: ${libraryModule} is missing`)
  }

  results.stolenShare = session.tellOthers(stealBefore)
  results.othersShares = session.othersShares
  if (values.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`)
}

/** @param {Record<string, unknown>} results */
async function measureBrokers(results) {
  const targets = await startTargets()
  const brokers = targets.map((target) => ({ ...target, residentIdle: residentMiB(target.pid).now }))

  for (const mode of modes) {
    if (!kinds.includes(mode)) continue
    const table = []
    for (const size of sizes) {
      const rounds = await session.interleaved(runs, targets, (target) =>
        measureThroughput(target, mode, size, settings),
      )
      for (const round of rounds) for (const [name, run] of Object.entries(round)) complain(name, mode, size, run)
      table.push({ size, rounds })
    }
    results[mode] = table
    session.say(throughputTable(mode, targets, table, settings))
  }
  if (kinds.includes('latency')) {
    const size = sizes[0] ?? 16
    const rounds = await session.interleaved(runs, targets, (target) => measureLatency(target, size, settings))
    results.latency = { size, rounds }
    for (const round of rounds) for (const [name, run] of Object.entries(round)) complain(name, 'latency', size, run)
    session.say(latencyTable(targets, size, rounds))
  }

  session.say('')
  const used = brokers.map((broker) => ({ ...broker, residentAfter: residentMiB(broker.pid) }))
  for (const { name, readyMs, residentIdle, residentAfter } of used) {
    const ready = readyMs === undefined ? '' : `ready ${Math.round(readyMs)} ms after spawn; `
    const { now, peak } = residentAfter
    const memory = Number.isNaN(now)
      ? 'memory unknown without its pid'
      : `resident ${residentIdle.toFixed(0)} MiB idle, ${now.toFixed(0)} after load, ${peak.toFixed(0)} at most`
    session.say(`${name}: ${ready}${memory}`)
  }
  return used
}

/** @returns {Promise<(Target & { readyMs?: number })[]>} ours first */
async function startTargets() {
  /** @type {(Target & { readyMs?: number })[]} */
  const targets = []
  if (!values['peer-only']) {
    const own = { name: 'leveret', arguments: values.arguments }
    if (values.url !== undefined) {
      targets.push({ ...own, name: 'url', url: values.url, pid: numberOr(values.pid) })
    } else {
      const args = values['broker-args'].split(' ').filter((arg) => arg !== '')
      const broker = await startLeveret({ folder: session.dataFolder(), args })
      session.atEnd(broker.stop)
      targets.push({ ...own, ...broker })
    }
  }
  const peer = { name: 'peer', arguments: values['peer-arguments'] }
  if (values['with-rabbitmq']) {
    session.note('starting RabbitMQ, which takes some seconds …')
    const broker = await startRabbitmq({ folder: session.dataFolder() })
    session.atEnd(broker.stop)
    targets.push({ ...peer, ...broker, name: 'rabbitmq' })
  } else if (values.peer !== undefined) {
    targets.push({ ...peer, url: values.peer, pid: numberOr(values['peer-pid']) })
  }
  if (targets.length === 0) throw new Error('nothing to measure: --peer-only needs --peer or --with-rabbitmq')
  // A broker just started still has its start-up's garbage and timers; idle means a second later.
  await new Promise((resolve) => setTimeout(resolve, 1000))
  return targets
}

/** @param {Record<string, unknown>} results */
async function measureLibrary(results) {
  const rows = []
  for (const engine of ['memory:', 'file:']) {
    for (const size of sizes) {
      const rounds = []
      for (let round = 0; round < runs; round += 1) {
        const common = { module: libraryModule, size, concurrency: Number(values.concurrency) }
        const url = () => (engine === 'file:' ? `file:${session.dataFolder()}` : engine)
        const throughput = await measureInProcess({ ...common, url: url(), measure: 'throughput' }, settings)
        if (throughput.missing !== 0)
          session.note(`in process, ${engine} ${size} B: ${throughput.missing} messages missing`)
        const latency = await measureInProcess({ ...common, url: url(), measure: 'latency' }, settings)
        rounds.push({ throughput, latency })
      }
      rows.push({ engine, size, rounds })
    }
  }
  results.inProcess = rows
  session.say(inProcessTable(rows, { ...settings, concurrency: Number(values.concurrency) }))
}

/**
 * A figure got by losing messages is none.
 * @param {string} name @param {string} mode @param {number} size @param {any} run
 */
function complain(name, mode, size, run) {
  const what = `${name}, ${mode}, ${size} B:`
  if (run.missing !== 0) session.note(`${what} ${run.missing} messages missing (negative: too many)`)
  if (run.wrongBytes) session.note(`${what} bodies differ from what was sent by ${run.wrongBytes} bytes`)
  if (run.nacked > 0) session.note(`${what} ${run.nacked} publishes were refused (nack)`)
  if (run.blocked > 0) session.note(`${what} the broker blocked the publisher ${run.blocked} times (alarm)`)
}

/** @param {string | undefined} text */
function numberOr(text) {
  return text === undefined ? undefined : Number(text)
}
