// What takes longer than a test run may: `npm run proof [minutes]` (30 by default). First every crash of short workloads is
// tried. Then simulated histories of the broker and of the typed API, histories compared with SQLite, bent AMQP, SIGKILLs of the
// real binary, of senders and of workers, a load that must stay within its memory, a mixed load during which it must stay as it is and (as root on Linux) a
// small disk that is filled and emptied take turns until the time is over; each turn begins where the last one ended, and its
// counts are added to docs/proof.md. Needs a build. Exits with 1 at the first violation, which is kept in the page too.
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const page = `${root}docs/proof.md`
const seedsPerTurn = 1000
const oracleSeedsPerTurn = 500
const letterSeedsPerTurn = 500
const apiSeedsPerTurn = 1000
const patternSeedsPerTurn = 1000
const killsPerTurn = 20
const ledgerMessagesPerTurn = 10_000
const ledgerKillsPerTurn = 30
const framesPerTurn = 500_000
const fillsPerTurn = 2
/** No fewer are judged. */
const soakMinutesPerTurn = 5
// Below come the seeds of `npm test`; they must not be counted twice.
const seedFirst = 1_000_000

const minutes = Number(process.argv[2] ?? 30)
if (!(minutes > 0)) {
  console.error(`proof: '${process.argv[2]}' is not a number of minutes: npm run proof 30`)
  process.exit(2)
}

const counts = readCounts()
const endMs = performance.now() + minutes * 60_000
await exhaust()
while (performance.now() < endMs) {
  await simulate()
  if (performance.now() < endMs) await compareWithSqlite()
  if (performance.now() < endMs) await simulateLetters()
  if (performance.now() < endMs) await simulateApi()
  if (performance.now() < endMs) await simulatePatterns()
  if (performance.now() < endMs) await fuzz()
  if (performance.now() < endMs) await kill()
  if (performance.now() < endMs) await keepLedger()
  if (performance.now() < endMs && process.platform === 'linux' && process.getuid?.() === 0) await fill()
  if (performance.now() < endMs && process.platform === 'linux') await stayWithinBounds()
  if (performance.now() < endMs && process.platform === 'linux') await soak()
}
console.log(`proof: ${counts.seeds} seeds and ${counts.kills} kills in all, ${counts.violations.length} violations`)

/** Every crash of short workloads: the same each time, so it is done once, and its count is not added up. */
async function exhaust() {
  const { code, output } = await run('node', ['scripts/exhaust.mjs', '--json'])
  const found = JSON.parse(output.trim().split('\n').at(-1) ?? '{}')
  counts.crashPoints = found.crashPoints ?? 0
  counts.states = found.states ?? 0
  for (const violation of found.violations ?? []) counts.violations.push(violation)
  finishTurn(code, `trying every crash ended with status ${code}`)
}

async function simulate() {
  const found = await runSeeds(counts.nextSeed, seedsPerTurn, [])
  counts.seeds += found.seeds ?? 0
  counts.nextSeed += seedsPerTurn
  finishTurn(found.code, `the simulator ended with status ${found.code}`)
}

/** Histories of messages that expire, are rejected, and have keys. */
async function simulateLetters() {
  const found = await runSeeds(counts.nextLetterSeed, letterSeedsPerTurn, ['--letters'])
  counts.letterSeeds += found.seeds ?? 0
  counts.nextLetterSeed += letterSeedsPerTurn
  finishTurn(found.code, `the simulator of letters ended with status ${found.code}`)
}

/** Histories of processes that use the typed API. */
async function simulateApi() {
  const found = await runSeeds(counts.nextApiSeed, apiSeedsPerTurn, ['--api'])
  counts.apiSeeds += found.seeds ?? 0
  counts.nextApiSeed += apiSeedsPerTurn
  finishTurn(found.code, `the simulator of the typed API ended with status ${found.code}`)
}

/** Histories of events, calls and families in it. */
async function simulatePatterns() {
  const found = await runSeeds(counts.nextPatternSeed, patternSeedsPerTurn, ['--patterns'])
  counts.patternSeeds += found.seeds ?? 0
  counts.nextPatternSeed += patternSeedsPerTurn
  finishTurn(found.code, `the simulator of events, calls and families ended with status ${found.code}`)
}

async function runSeeds(first, seeds, more) {
  const range = ['--seed', `${first}`, '--seeds', `${seeds}`, '--workers', '2']
  const { code, output } = await run('node', ['scripts/sim.mjs', ...range, '--json', ...more])
  const found = JSON.parse(output.trim().split('\n').at(-1) ?? '{}')
  for (const name of ['crashes', 'recoveries', 'probes', 'damages', 'publishes', 'confirms', 'clientCrashes', 'calls'])
    counts[name] += found[name] ?? 0
  for (const { seed, violation } of found.violations ?? []) {
    counts.violations.push(`seed ${[seed, ...more].join(' ')}: ${violation}`)
  }
  return { code, seeds: found.seeds }
}

async function compareWithSqlite() {
  const environment = { LEVERET_ORACLE_SEED: `${counts.nextOracleSeed}`, LEVERET_ORACLE_SEEDS: `${oracleSeedsPerTurn}` }
  const { code, output } = await run('npx', ['vitest', 'run', 'test/oracle'], environment)
  const sum = JSON.parse(/oracle: .*?(\{.*\})/.exec(output)?.[1] ?? '{}')
  if (code === 0) {
    counts.nextOracleSeed += oracleSeedsPerTurn
    counts.oracleSeeds += oracleSeedsPerTurn
    counts.oracleOperations += sum.operations ?? 0
    counts.oracleRecoveries += sum.recoveries ?? 0
  }
  const found = output.split('\n').find((line) => /^seed \d+: /.test(line))
  finishTurn(code, `SQLite holds something else: ${found ?? 'see the output of the test'}`)
}

/** Bent AMQP: a case is one seed, so the next turn goes on behind the last case of this one. */
async function fuzz() {
  const range = ['--frames', `${framesPerTurn}`, '--seed', `${counts.nextFuzzSeed}`]
  const { code, output } = await run('node', ['scripts/fuzz.mjs', ...range, '--json'])
  const found = JSON.parse(output.trim().split('\n').at(-1) || '{}')
  counts.fuzzFrames += found.frames ?? 0
  counts.fuzzConnections += found.connections ?? 0
  counts.nextFuzzSeed += found.cases ?? 0
  counts.fuzzLongestMs = Math.max(counts.fuzzLongestMs, Math.ceil(found.longestMs ?? 0))
  for (const { seed, kept, violation } of found.failures ?? []) {
    counts.violations.push(`npm run fuzz -- --seed ${seed} --keep ${kept.join(',')}: ${violation.split('\n', 1)[0]}`)
  }
  if (found.isStalled) counts.violations.push(`fuzz case ${found.longestSeed}: a turn of ${found.longestMs} ms`)
  finishTurn(code, `the fuzzer ended with status ${code}`)
}

async function kill() {
  const environment = { LEVERET_KILLS: `${killsPerTurn}` }
  const { code, output } = await run('npx', ['vitest', 'run', 'test/crash/kill-loop.test.ts'], environment)
  const confirmed = /(\d+) confirmed/.exec(output)
  if (code === 0) counts.kills += killsPerTurn
  if (code === 0 && confirmed !== null) counts.killConfirms += Number(confirmed[1])
  finishTurn(
    code,
    `the kill loop failed: ${output.split('\n').find((line) => line.includes('Error')) ?? 'see its output'}`,
  )
}

/** Sender, workers and broker are killed; ledger, receipts, marks and order are compared. */
async function keepLedger() {
  const range = ['--messages', `${ledgerMessagesPerTurn}`, '--kills', `${ledgerKillsPerTurn}`]
  const { code, output } = await run('node', ['scripts/ledger.mjs', ...range])
  if (code === 0) {
    counts.ledgerMessages += ledgerMessagesPerTurn
    counts.ledgerKills += ledgerKillsPerTurn
  }
  const seed = /LEVERET_SEED=(\d+)/.exec(output)?.[1]
  finishTurn(code, `npm run ledger -- --seed ${seed}: ledger, receipts, marks and order tell different stories`)
}

async function fill() {
  const { code, output } = await run('node', ['scripts/fill-cycles.mjs', '--cycles', `${fillsPerTurn}`])
  if (code === 0) counts.fills += fillsPerTurn
  finishTurn(
    code,
    `the fill cycles failed: ${output.split('\n').find((line) => line.includes('WRONG')) ?? 'see there'}`,
  )
}

async function stayWithinBounds() {
  const { code, output } = await run('node', ['scripts/bounds.mjs'])
  const peak = /peak RSS (\d+) MiB/.exec(output)
  if (code === 0) counts.bounds++
  if (peak !== null) counts.peakMiB = Math.max(counts.peakMiB, Number(peak[1]))
  finishTurn(
    code,
    `the bounds were not kept: ${output.split('\n').find((line) => line.includes('WRONG')) ?? 'see there'}`,
  )
}

async function soak() {
  const { code, output } = await run('node', ['scripts/soak.mjs', '--minutes', `${soakMinutesPerTurn}`, '--json'])
  const found = JSON.parse(output.trim().split('\n').at(-1) || '{}')
  if (code === 0) {
    counts.soakMinutes += soakMinutesPerTurn
    counts.soakConfirms += found.confirmed
  }
  finishTurn(code, `it did not stay as it was: ${found.wrong?.[0] ?? 'see the output of the soak'}`)
}

function finishTurn(code, text) {
  if (code !== 0 && counts.violations.length === 0) counts.violations.push(text)
  writeCounts()
  if (code === 0) return
  console.error(`proof: ${counts.violations.at(-1)}`)
  process.exit(1)
}

function run(command, parameters, environment = {}) {
  return new Promise((resolve) => {
    const options = {
      cwd: root,
      env: { ...process.env, NO_COLOR: '1', ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    }
    const child = spawn(command, parameters, options)
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    child.on('close', (code) => resolve({ code, output }))
  })
}

/** The page carries its own state, in a comment. */
function readCounts() {
  const fresh = {
    nextSeed: seedFirst,
    nextLetterSeed: seedFirst,
    seeds: 0,
    nextApiSeed: seedFirst,
    nextPatternSeed: seedFirst,
    letterSeeds: 0,
    apiSeeds: 0,
    patternSeeds: 0,
    clientCrashes: 0,
    calls: 0,
    crashes: 0,
    recoveries: 0,
    probes: 0,
    damages: 0,
    crashPoints: 0,
    states: 0,
    publishes: 0,
    confirms: 0,
    nextOracleSeed: seedFirst,
    oracleSeeds: 0,
    oracleOperations: 0,
    oracleRecoveries: 0,
    nextFuzzSeed: seedFirst,
    fuzzFrames: 0,
    fuzzConnections: 0,
    fuzzLongestMs: 0,
    kills: 0,
    killConfirms: 0,
    ledgerMessages: 0,
    ledgerKills: 0,
    fills: 0,
    bounds: 0,
    peakMiB: 0,
    soakMinutes: 0,
    soakConfirms: 0,
    violations: [],
  }
  try {
    const state = /<!-- counts (.*) -->/.exec(readFileSync(page, 'utf8'))
    return state === null ? fresh : { ...fresh, ...JSON.parse(state[1]) }
  } catch {
    return fresh
  }
}

function writeCounts() {
  const number = (value) => value.toLocaleString('en-US')
  const lines = [
    '# Proof',
    '',
    'What has been run with `npm run proof`, added up. It goes on where it stopped; a violation stays here until its cause is',
    'fixed and its seed is a test.',
    '',
    '| what | count |',
    '| --- | --- |',
    `| simulated histories (seeds) | ${number(counts.seeds)} |`,
    `| simulated histories of expiring, rejected and keyed messages (seeds) | ${number(counts.letterSeeds)} |`,
    `| simulated histories of events, calls and families (seeds) | ${number(counts.patternSeeds)} |`,
    `| simulated histories of the typed API (seeds), calls of handlers in them | ${number(counts.apiSeeds)}, ${number(counts.calls)} |`,
    `| processes that died in those | ${number(counts.clientCrashes)} |`,
    `| simulated crashes | ${number(counts.crashes)} |`,
    `| recoveries checked | ${number(counts.recoveries)} |`,
    `| states examined on a copy of the disk | ${number(counts.probes)} |`,
    `| states left by every crash (and second crash) of short workloads | ${number(counts.states)} |`,
    `| bits and sectors damaged on purpose | ${number(counts.damages)} |`,
    `| simulated publishes, confirmed | ${number(counts.publishes)}, ${number(counts.confirms)} |`,
    `| histories compared with SQLite, and recoveries in them | ${number(counts.oracleSeeds)}, ${number(counts.oracleRecoveries)} |`,
    `| operations done by both | ${number(counts.oracleOperations)} |`,
    `| bent AMQP frames, connections they came on | ${number(counts.fuzzFrames)}, ${number(counts.fuzzConnections)} |`,
    `| longest turn of the server and the broker meanwhile | ${counts.fuzzLongestMs} ms |`,
    `| SIGKILLs of the real binary under load | ${number(counts.kills)} |`,
    `| messages confirmed while being killed | ${number(counts.killConfirms)} |`,
    `| messages whose ledger, receipts, marks and order agree, and kills | ${number(counts.ledgerMessages)}, ${number(counts.ledgerKills)} |`,
    `| times a small disk was filled and emptied | ${number(counts.fills)} |`,
    `| a million keys in 384 MiB, with a kill | ${number(counts.bounds)}, at most ${counts.peakMiB} MiB |`,
    `| minutes of mixed load, messages confirmed in them | ${number(counts.soakMinutes)}, ${number(counts.soakConfirms)} |`,
    `| violations | ${counts.violations.length} |`,
    '',
    ...counts.violations.map((violation) => `- ${violation}`),
    ...(counts.violations.length > 0 ? [''] : []),
    'Every history checks the invariants listed in `src/testing/simulation/trace.ts`: nothing confirmed is lost, nothing settled',
    'comes back, nothing is invented, order and atomicity hold, no number is used twice, recovering twice is recovering once, and',
    'messages that expire or are rejected are in one place, at their time.',
    '',
    `<!-- counts ${JSON.stringify(counts)} -->`,
    '',
  ]
  writeFileSync(page, lines.join('\n'))
}
