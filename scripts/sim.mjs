// Runs simulated histories: `npm run sim -- --seeds 1000 --seed 1 --workers 2`, or one of them to read: `--seed 7 --verbose`.
import { fork } from 'node:child_process'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    workers: { type: 'string', default: '1' },
    verbose: { type: 'boolean', default: false },
    dist: { type: 'string', default: fileURLToPath(new URL('../dist', import.meta.url)) },
  },
})

const { simulate } = await import(pathToFileURL(`${values.dist}/testing/simulation/simulator.js`).href)
let uncaught = null
process.on('unhandledRejection', (error) => {
  uncaught ??= error
})
const first = Number(values.seed)
const started = Date.now()
for (let seed = first; seed < first + Number(values.seeds); seed++) {
  const print = values.verbose ? (line) => console.log(line) : null
  const result = await simulate(seed, {
    print,
    takeUncaught: () => {
      const taken = uncaught
      uncaught = null
      return taken
    },
  })
  if (result.violation) console.log(`seed ${seed} ${result.transport}: ${result.violation.message}`)
  if (values.verbose) console.log(result)
}
console.log(`${Date.now() - started} ms`)
