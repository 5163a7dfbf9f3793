// Tries every crash of some short workloads, and every second crash during the recovery: `npm run exhaust`; see
// src/testing/simulation/exhaustion.ts. Needs a build. Exits with 1 if a promise was broken; the output says by which crash.
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    // Only these.
    workload: { type: 'string', multiple: true },
    // No second crashes: seconds instead of minutes.
    once: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    // For tests: another build, the end at the first violation, and one line of JSON.
    dist: { type: 'string', default: fileURLToPath(new URL('../dist', import.meta.url)) },
    stop: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})

/** @type {unknown} */
let uncaught = null
const keep = (/** @type {unknown} */ error) => {
  uncaught ??= error
}
process.on('unhandledRejection', keep)
process.on('uncaughtException', keep)
const takeUncaught = () => {
  const taken = uncaught
  uncaught = null
  return taken
}

const { exhaust, workloadNames } = await import(pathToFileURL(`${values.dist}/testing/simulation/exhaustion.js`).href)
const sum = { workloads: 0, diskOperations: 0, crashPoints: 0, states: 0, recoveryStates: 0 }
/** @type {string[]} */
const violations = []
const startedMs = performance.now()
const print = values.verbose ? (/** @type {string} */ line) => console.log(line) : null
for (const name of values.workload ?? workloadNames()) {
  const { workload, violation, ...counts } = await exhaust(name, { once: values.once, print, takeUncaught })
  sum.workloads++
  for (const [key, count] of Object.entries(counts)) sum[key] += count
  if (violation !== null) violations.push(violation)
  if (!values.json) console.log(`${workload}: ${describe(counts)}${violation === null ? '' : `\n${violation}`}`)
  if (violation !== null && values.stop) break
}
const seconds = (performance.now() - startedMs) / 1000
if (values.json) console.log(JSON.stringify({ ...sum, seconds, violations }))
else console.log(`${describe(sum)}, ${violations.length} violations in ${seconds.toFixed(1)} s`)
// A workload that was given up half-way may have left timers.
process.exit(violations.length > 0 ? 1 : 0)

function describe({ diskOperations, crashPoints, states, recoveryStates }) {
  return (
    `${diskOperations} disk operations, ${crashPoints} crash points, ${states} states ` +
    `(${recoveryStates} of them after a second crash)`
  )
}
