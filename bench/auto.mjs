// What `concurrency: 'auto'` loses against the best fixed number, for handlers of several kinds: `npm run bench:auto`.

import fs from 'node:fs'
import os from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { LoadProcess } from './lines.mjs'
import { systemTicks, watchOthers } from './machine.mjs'
import { autoTable } from './report.mjs'
import { Session } from './session.mjs'

const usage = `Usage: node bench/auto.mjs [options]

    --kinds LIST           of compute,threads,pool,wait,limited (default: all)
    --concurrency LIST     fixed numbers to compare with (default 1,2,4,8,16,32,64)
    --runs N               rounds per figure; the median is shown (default 3)
    --warm-up N            seconds before the rate is counted (default 4)      --seconds N  and while it is (default 4)
    --json                 one JSON document instead of tables`

const { values } = parseArgs({
  options: {
    kinds: { type: 'string', default: 'compute,threads,pool,wait,limited' },
    concurrency: { type: 'string', default: '1,2,4,8,16,32,64' },
    runs: { type: 'string', default: '3' },
    'warm-up': { type: 'string', default: '4' },
    seconds: { type: 'string', default: '4' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

/** @type {Record<string, string>} */
const titles = {
  compute: 'compute 1–2 ms in the process',
  threads: 'compute the same in threads, one for each core',
  pool: 'wait 10 ms for one of 16 places',
  wait: 'wait 20 ms, with room for all',
  limited: 'are answered 50 times a second, after 100 ms',
}
const module = fileURLToPath(new URL('../dist/index.js', import.meta.url))
const session = new Session({ json: values.json, dataRoot: os.tmpdir() })

if (values.help) process.stdout.write(`${usage}\n`)
else await session.run(main)

async function main() {
  if (!fs.existsSync(module)) throw new Error(`${module} is missing: run npm run build`)
  const machine = session.describeMachine()
  session.say(`load average before ${os.loadavg()[0]?.toFixed(2)}`)
  const ticks = systemTicks()
  const targets = [...values.concurrency.split(','), 'auto'].map((name) => ({ name }))
  const results = []
  for (const kind of values.kinds.split(',')) {
    const rounds = await session.interleaved(Number(values.runs), targets, ({ name }) => measure(kind, name))
    results.push({ kind, rounds })
    session.say(autoTable(`handlers that ${titles[kind] ?? kind}`, targets, rounds))
  }
  const stolenShare = session.tellOthers(ticks)
  const { othersShares } = session
  if (values.json) process.stdout.write(`${JSON.stringify({ machine, results, stolenShare, othersShares })}\n`)
}

/** @param {string} kind @param {string} concurrency */
async function measure(kind, concurrency) {
  const options = { module, kind, concurrency, 'warm-up': values['warm-up'], seconds: values.seconds }
  const load = new LoadProcess('auto-load.mjs', options)
  const othersSince = watchOthers([load.child.pid, process.pid])
  try {
    const result = await load.next('result', 120_000)
    return { ...result, othersShare: othersSince() }
  } finally {
    load.end()
  }
}
