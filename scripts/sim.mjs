// Runs simulated histories: `npm run sim -- --seeds 1000 --seed 1 --workers 2`; to read one: `--seed 7 --verbose`.
// Needs a build. Exits with 1 if an invariant was broken; the output names the seeds.
import { fork } from 'node:child_process'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    workers: { type: 'string', default: '1' },
    verbose: { type: 'boolean', default: false },
    // Histories of letters: messages that expire, go through dead-letter exchanges, and have keys.
    letters: { type: 'boolean', default: false },
    // Histories of the typed API: processes that send and work, die and come back.
    api: { type: 'boolean', default: false },
    // Histories of events, calls and families in that API.
    patterns: { type: 'boolean', default: false },
    // For the test of planted bugs: another build, the end at the first violation, and one line of JSON.
    dist: { type: 'string', default: fileURLToPath(new URL('../dist', import.meta.url)) },
    stop: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    // A part of the work, in a process that tells its parent.
    step: { type: 'string', default: '0' },
  },
})

const firstSeed = Number(values.seed)
const seedCount = Number(values.seeds)
// One seed in so many is run twice, to see that a seed is a history.
const repeatEvery = 25
// A history takes a tenth of a second; one that takes this long never ends.
const hangMs = 60_000
// Whoever breaks everything need not see all of it.
const printedMax = 10
const counted = ['crashes', 'recoveries', 'probes', 'damages', 'diskOperations', 'publishes', 'confirms']
if (values.api || values.patterns) counted.push('clientCrashes', 'calls')
/** @type {readonly string[]} */
const kind = ['api', 'patterns', 'letters'].filter((name) => values[name]).map((name) => `--${name}`)

/** @type {unknown} */
let uncaught = null
const keep = (/** @type {unknown} */ error) => {
  uncaught ??= error
}

/** @param {number} seed @param {((line: string) => void) | null} print */
async function runSeed(simulate, seed, print) {
  const takeUncaught = () => {
    const taken = uncaught
    uncaught = null
    return taken
  }
  const result = await simulate(seed, { print, takeUncaught })
  let violation = result.violation?.message ?? null
  if (violation === null && seed % repeatEvery === 0) {
    const again = await simulate(seed, { print: null, takeUncaught })
    if (again.hash !== result.hash) violation = `determinism: the second run is another history, ${again.hash}`
  }
  return { ...result, violation }
}

async function loadSimulate() {
  process.on('unhandledRejection', keep)
  process.on('uncaughtException', keep)
  const load = async (name) => await import(pathToFileURL(`${values.dist}/testing/${name}.js`).href)
  if (values.api) return (await load('histories/api/api-history')).simulateApi
  if (values.patterns) return (await load('histories/patterns/pattern-history')).simulatePatterns
  if (values.letters) return (await load('simulation/letter-simulator')).simulateLetters
  return (await load('simulation/simulator')).simulate
}

/** Every `step`-th seed, told one by one to the parent. */
async function work(step) {
  const simulate = await loadSimulate()
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed += step) {
    process.send?.({ begun: seed })
    const result = await runSeed(simulate, seed, null)
    await new Promise((resolve) => process.send?.({ result }, resolve))
  }
  process.disconnect()
}

async function readOne() {
  const simulate = await loadSimulate()
  const { violation, ...result } = await runSeed(simulate, firstSeed, (line) => console.log(line))
  console.log(result)
  if (violation !== null) {
    console.log(violation)
    process.exitCode = 1
  }
}

const sum = { seeds: 0, ...Object.fromEntries(counted.map((name) => [name, 0])) }
/** @type {{ seed: number, violation: string }[]} */
const violations = []
const children = new Set()
const startedMs = performance.now()

function note(result) {
  sum.seeds++
  for (const name of counted) sum[name] += result[name] ?? 0
  if (result.violation !== null) violated(result.seed, result.violation)
  if (process.stdout.isTTY && !values.json) {
    process.stdout.write(`\r${sum.seeds} seeds, ${sum.crashes} crashes, ${violations.length} violations `)
  }
}

function violated(seed, violation) {
  violations.push({ seed, violation })
  if (!values.json && violations.length <= printedMax) {
    console.log(`\nseed ${seed}: ${violation}`)
    console.log(`  to see it: npm run sim -- ${['--seed', seed, '--verbose', ...kind].join(' ')}`)
  }
  if (values.stop) for (const child of children) child.kill('SIGKILL')
}

/** @param {number} number @param {number} workers */
function startWorker(number, workers) {
  const share = seedCount - number
  const parameters = ['--seed', `${firstSeed + number}`, '--seeds', `${share}`, '--step', `${workers}`, ...kind]
  const child = fork(fileURLToPath(import.meta.url), [...parameters, '--dist', values.dist])
  children.add(child)
  let current = firstSeed + number
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer
  child.on('message', (message) => {
    clearTimeout(timer)
    if (message.begun === undefined) return note(message.result)
    current = message.begun
    timer = setTimeout(() => {
      violated(current, 'liveness: the history does not end')
      child.kill('SIGKILL')
    }, hangMs)
  })
  return new Promise((resolve) => {
    child.on('exit', (code, signal) => {
      clearTimeout(timer)
      children.delete(child)
      if (code !== 0 && signal === null) violated(current, `exception: the worker ended with code ${code}`)
      resolve(undefined)
    })
  })
}

async function runAll() {
  const workers = Math.min(Number(values.workers), seedCount)
  await Promise.all(Array.from({ length: workers }, (_, number) => startWorker(number, workers)))
  const seconds = (performance.now() - startedMs) / 1000
  if (values.json) console.log(JSON.stringify({ ...sum, seconds, violations }))
  else {
    const parts = [`seeds ${firstSeed} to ${firstSeed + seedCount - 1}`, `${seconds.toFixed(1)} s`]
    console.log(
      `\n${parts.join(', ')}: ${Object.entries(sum)
        .map(([name, count]) => `${count} ${name}`)
        .join(', ')}`,
    )
    console.log(`${violations.length} violations${violations.map(({ seed }) => ` ${seed}`).join('')}`)
  }
  // Somebody else may have ended a worker: what it did not run is not proved.
  if (violations.length > 0 || sum.seeds < seedCount) process.exitCode = 1
}

if (Number(values.step) > 0) await work(Number(values.step))
else if (values.verbose) await readOne()
else await runAll()
