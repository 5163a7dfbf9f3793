// Flips bits in folders and looks what verify, a strict opening and a salvage make of each: `node scripts/bit-flips.mjs
// --flips 20000 --seed 1`. Needs a build. Exits with 1 if a flip was silent, or salvage lost more than the record with the
// bit in it; the output names the seed, and `--seed that --flips 100` shows it again. The judgement is that of
// src/testing/bit-flips/flip-trial.ts.
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    flips: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
})
const { flipBits } = await import(new URL('../dist/testing/bit-flips/bit-flips.js', import.meta.url).href)
const flips = Number(values.flips)
const startedMs = performance.now()
let shownMs = startedMs
let found = 0

/** @param {{ problems: readonly string[] }} trial @param {number} done */
function onTrial({ problems }, done) {
  found += problems.length
  const nowMs = performance.now()
  if (values.json || nowMs - shownMs < 10_000) return
  shownMs = nowMs
  const perSecond = done / ((nowMs - startedMs) / 1000)
  console.log(`${done} of ${flips} flips, ${found} problems, ${Math.round((flips - done) / perSecond)} s left`)
}

const { types, folders, problems } = await flipBits({ flips, seed: Number(values.seed), flipsPerFolder: 100, onTrial })
const seconds = (performance.now() - startedMs) / 1000

if (values.json) console.log(JSON.stringify({ flips, folders, seconds, types, problems }))
else {
  const columns = [
    ['flips', ({ flips: count }) => count],
    ['refused', ({ strict }) => strict.refused],
    ['reported', ({ strict }) => strict.reported],
    ['harmless', ({ strict }) => strict.harmless],
    ['silent', ({ strict }) => strict.silent],
    ['salvaged whole', ({ salvage }) => salvage.whole],
    ['lost more', ({ salvage }) => salvage.more],
    // Known limits: the broker stopped at a damaged page of an index, and said so; a frame of which nothing proves that it
    // was ever finished; salvage cannot help, and said so.
    ['stopped', ({ strict }) => strict.stopped],
    ['unprovable', ({ strict }) => strict.unprovable],
    ['beyond salvage', ({ salvage }) => salvage.refused],
  ]
  const sums = columns.map(() => 0)
  const rows = Object.entries(types).map(([type, counts]) => {
    const numbers = columns.map(([, numberOf]) => numberOf(counts))
    for (const [at, number] of numbers.entries()) sums[at] += number
    return [type, ...numbers]
  })
  const table = [['', ...columns.map(([name]) => name)], ...rows, ['all', ...sums]]
  const widths = table[0].map((_, at) => Math.max(...table.map((row) => String(row[at]).length)))
  const line = (/** @type {(string | number)[]} */ row) =>
    row.map((cell, at) => (at === 0 ? String(cell).padEnd(widths[0]) : String(cell).padStart(widths[at]))).join('  ')
  console.log(table.map(line).join('\n'))
  for (const problem of problems) console.log(`WRONG: ${problem}`)
  console.log(`${flips} flips in ${folders} folders, ${seconds.toFixed(0)} s, ${problems.length} problems`)
}
process.exit(problems.length === 0 ? 0 : 1)
