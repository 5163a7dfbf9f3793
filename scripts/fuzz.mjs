// Speaks bent AMQP to a broker in memory: `npm run fuzz -- --frames 2000000 --seed 1`. A case that fails is shown with the
// command that repeats it: `npm run fuzz -- --seed 7 --keep 0,1,5`, the smallest part of it that still fails. Needs a build.
// Exits with 1 at a failure, and if anything held the event loop longer than --stall ms (50). See src/testing/fuzz.
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    frames: { type: 'string', default: '200000' },
    seed: { type: 'string', default: '1' },
    stall: { type: 'string', default: '50' },
    failures: { type: 'string', default: '1' },
    // Of the one case with that seed only these steps; `all` for all of them.
    keep: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const load = async (/** @type {string} */ path) => await import(new URL(`../dist/${path}.js`, import.meta.url).href)
const { fuzz } = await load('testing/fuzz/fuzzer')
const { makeCase } = await load('testing/fuzz/fuzz-case')
const { runCase } = await load('testing/fuzz/fuzz-run')
const { describeCase, keepSteps } = await load('testing/fuzz/shrink')

/** @type {unknown} */
let uncaught = null
const keep = (/** @type {unknown} */ error) => {
  uncaught ??= error
}
process.on('unhandledRejection', keep)
process.on('uncaughtException', keep)
const host = {
  // Processor time: what else the machine does is not the broker's fault.
  clock: {
    monotonicMs() {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1000
    },
  },
  takeUncaught() {
    const taken = uncaught
    uncaught = null
    return taken
  },
}

const seed = Number(values.seed)
if (values.keep !== undefined) await repeat(values.keep)
else await search()

async function repeat(/** @type {string} */ kept) {
  const whole = makeCase(seed)
  const plan = kept === 'all' ? whole : keepSteps(whole, kept.split(','))
  console.log(describeCase(plan))
  const { violation, ...result } = await runCase(plan, host)
  console.log(result)
  console.log(violation ?? 'all is as it should be')
  if (violation !== null) process.exitCode = 1
}

async function search() {
  const startedMs = performance.now()
  let shownMs = startedMs
  let frames = 0
  const onCase = (/** @type {{ frames: number }} */ result) => {
    frames += result.frames
    const nowMs = performance.now()
    if (values.json || nowMs - shownMs < 10_000) return
    shownMs = nowMs
    console.log(`${frames} frames, ${Math.round(frames / ((nowMs - startedMs) / 1000))} a second`)
  }
  const failuresMax = Number(values.failures)
  const report = await fuzz({ seed, frames: Number(values.frames), failuresMax, onCase }, host)
  const seconds = (performance.now() - startedMs) / 1000
  const codes = Object.fromEntries([...report.codes].sort(([left], [right]) => left - right))
  const isStalled = report.longestMs > Number(values.stall)
  if (values.json) console.log(JSON.stringify({ ...report, codes, seconds, isStalled }))
  else {
    for (const { seed: failed, violation, kept } of report.failures) {
      console.log(`seed ${failed}: ${violation}`)
      console.log(`  to see it: npm run fuzz -- --seed ${failed} --keep ${kept.join(',') || 'none'}`)
    }
    const { cases, connections, longestMs, longestSeed } = report
    console.log(`${report.frames} frames on ${connections} connections in ${cases} cases, ${seconds.toFixed(0)} s`)
    console.log(`codes: ${JSON.stringify(codes)}`)
    console.log(`longest turn: ${longestMs.toFixed(1)} ms, in case ${longestSeed}${isStalled ? ': TOO LONG' : ''}`)
    console.log(`${report.failures.length} failures`)
  }
  if (report.failures.length > 0 || isStalled) process.exitCode = 1
}
