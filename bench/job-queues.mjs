// Leveret as a job queue beside BullMQ on Redis and pg-boss on PostgreSQL: `npm run bench:queues`. Method and meaning of
// the figures: README.md.

import fs from 'node:fs'
import os from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { installPeers, peerVersions } from './job-queues/peers.mjs'
import { postgresVersion, startPostgres } from './job-queues/postgres.mjs'
import { redisVersion, startRedis } from './job-queues/redis.mjs'
import { LoadProcess } from './lines.mjs'
import { cpuSecondsOfTree, systemTicks, watchOthers } from './machine.mjs'
import { jobQueueLatencyTable, jobQueueTable } from './report.mjs'
import { othersShareMax, Session } from './session.mjs'

const usage = `Usage: node bench/job-queues.mjs [options]

    --systems LIST         of leveret,leveret-write,bullmq-always,bullmq-everysec,pg-boss (default: all)
    --concurrency LIST     handlers at a time (default 1,10,100)
    --runs N               rounds per figure; the median is shown (default 3)
    --seconds N            how long a round sends (default 2)       --warm-up N  and before it (default 0.5)
    --window N             sends not yet resolved, at most (default 1000)
    --backlog N            messages sent and not yet handled, at most (default 10000)
    --no-latency           throughput only
    --patience N           seconds, altogether, to wait for a quiet machine and to measure disturbed rounds again (default 0)
    --data-root DIR        where data folders are made (default: the system's temporary folder)
    --json                 one JSON document instead of tables`

const { values } = parseArgs({
  options: {
    systems: { type: 'string', default: 'leveret,leveret-write,bullmq-always,bullmq-everysec,pg-boss' },
    concurrency: { type: 'string', default: '1,10,100' },
    runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    'warm-up': { type: 'string', default: '0.5' },
    window: { type: 'string', default: '1000' },
    backlog: { type: 'string', default: '10000' },
    latency: { type: 'boolean', default: true },
    patience: { type: 'string', default: '0' },
    'data-root': { type: 'string', default: os.tmpdir() },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
  allowNegative: true,
})

/** @typedef {import('./job-queues/server.mjs').StartedServer} StartedServer */

/**
 * @typedef {object} System
 * @property {string} name
 * @property {string} file  its load process
 * @property {string} node  runs it
 * @property {string} module  what the load process imports, or resolves from
 * @property {Record<string, string>} [options]
 * @property {(folder: string) => Promise<StartedServer>} [start]  its server; without one it gets the folder
 */

const libraryModule = fileURLToPath(new URL('../dist/index.js', import.meta.url))
const resultMs = 600_000
let patienceMs = Number(values.patience) * 1000
const runs = Number(values.runs)
const concurrencies = values.concurrency.split(',').map(Number)
const loadOptions = {
  seconds: Number(values.seconds),
  'warm-up': Number(values['warm-up']),
  window: Number(values.window),
  backlog: Number(values.backlog),
}

const session = new Session({ json: values.json, dataRoot: values['data-root'] })

if (values.help) process.stdout.write(`${usage}\n`)
else await session.run(main)

async function main() {
  if (!fs.existsSync(libraryModule)) throw new Error(`${libraryModule} is missing: run npm run build`)
  const numbers = [...concurrencies, ...Object.values(loadOptions), runs, patienceMs]
  if (numbers.some((number) => !(number >= 0))) throw new Error('a number was expected; see --help')
  const systems = selectedSystems()
  const loadBefore = os.loadavg()[0] ?? Number.NaN
  const machine = session.describeMachine()
  const versions = {
    ...peerVersions,
    redis: redisVersion(),
    postgres: postgresVersion(),
    loadBefore,
  }
  session.say(`load average before ${loadBefore.toFixed(2)}`)
  const { bullmq, ioredis, redis, postgres } = versions
  session.say(
    `BullMQ ${bullmq} (ioredis ${ioredis}) on Redis ${redis} · pg-boss ${versions['pg-boss']} on PostgreSQL ${postgres}`,
  )
  const stealBefore = systemTicks()
  const throughput = []
  for (const concurrency of concurrencies) {
    const rounds = await session.interleaved(runs, systems, (system) =>
      measureUndisturbed(system, { measure: 'throughput', concurrency }),
    )
    throughput.push({ concurrency, rounds })
    session.say(jobQueueTable(concurrency, systems, rounds))
  }
  /** @type {Record<string, any>[]} */
  const latency = values.latency
    ? await session.interleaved(runs, systems, (system) =>
        measureUndisturbed(system, { measure: 'latency', concurrency: 1 }),
      )
    : []
  if (values.latency) session.say(jobQueueLatencyTable(systems, latency))

  const stolenShare = session.tellOthers(stealBefore)
  if (values.json) {
    const settings = { ...loadOptions, runs, concurrencies }
    const units = 'messages/s, µs per message, ms'
    const results = {
      machine,
      versions,
      settings,
      units,
      throughput,
      latency,
      stolenShare,
      othersShares: session.othersShares,
    }
    process.stdout.write(`${JSON.stringify(results, null, 2)}\n`)
  }
}

/** @returns {System[]} */
function selectedSystems() {
  const peers = installPeers()
  const leveret = { file: 'job-queues/leveret.mjs', node: process.execPath, module: libraryModule }
  const bullmq = { file: 'job-queues/bullmq.mjs', node: process.execPath, module: peers.module }
  /** @type {System[]} */
  const systems = [
    { name: 'leveret', ...leveret, options: { durability: 'fsync' } },
    { name: 'leveret-write', ...leveret, options: { durability: 'write' } },
    { name: 'bullmq-always', ...bullmq, start: (folder) => startRedis({ folder, appendfsync: 'always' }) },
    { name: 'bullmq-everysec', ...bullmq, start: (folder) => startRedis({ folder, appendfsync: 'everysec' }) },
    {
      name: 'pg-boss',
      file: 'job-queues/pg-boss.mjs',
      node: peers.pgBossNode,
      module: peers.module,
      start: (folder) => startPostgres({ folder }),
    },
  ]
  return values.systems.split(',').map((name) => {
    const system = systems.find((one) => one.name === name)
    if (!system) throw new Error(`--systems does not know ${name}`)
    return system
  })
}

/**
 * Measures again, as long as patience lasts, what others disturbed; which of the results is kept does not depend on what
 * was measured.
 * @param {System} system @param {{ measure: string, concurrency: number }} options
 */
async function measureUndisturbed(system, options) {
  while (true) {
    await untilQuiet()
    const measuredAt = performance.now()
    const result = await measureOnce(system, options)
    if (!(result.othersShare > othersShareMax) || patienceMs <= 0) return result
    patienceMs -= performance.now() - measuredAt
  }
}

/** Waits for two quiet seconds, as long as patience lasts. */
async function untilQuiet() {
  const startedAt = performance.now()
  for (let quietSeconds = 0; quietSeconds < 2 && performance.now() - startedAt < patienceMs; ) {
    const others = watchOthers([process.pid], cpuSecondsOfTree)
    await sleep(1000)
    quietSeconds = others() > othersShareMax ? 0 : quietSeconds + 1
  }
  if (patienceMs > 0) patienceMs -= performance.now() - startedAt
}

/**
 * A process, a data folder and a server of its own for every round, so that none finds what another left.
 * @param {System} system @param {{ measure: string, concurrency: number }} options
 */
async function measureOnce({ file, node, module, options = {}, start }, { measure, concurrency }) {
  const folder = session.dataFolder()
  const server = await start?.(folder)
  if (server) session.atEnd(server.stop)
  const url = server?.url ?? `file:${folder}`
  const load = new LoadProcess(file, { module, url, measure, concurrency, ...loadOptions, ...options }, node)
  session.atEnd(() => load.end())
  await load.next('started', resultMs)
  const serverBefore = cpuSecondsOfTree(server?.pid)
  const others = watchOthers([process.pid], cpuSecondsOfTree)
  const { type: _, ...result } = await load.next('result', resultMs)
  const serverSeconds = cpuSecondsOfTree(server?.pid) - serverBefore
  const othersShare = others()
  await session.cleanUp()
  return { ...result, serverMicroseconds: (serverSeconds * 1e6) / result.messages, othersShare }
}
