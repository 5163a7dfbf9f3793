// Who tests the tester: bugs planted in a copy of the build, each of which the simulator must find.
//
// Normally a bug meets only the seed that once found it and some after it. `PLANTED_SEEDS=1000 npx vitest run
// --config vitest.planted.config.ts` begins at seed 1, 5001 or 10000001, and prints which seed finds what: that is how the seeds below were
// found.
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { featureSeedsMin, usualSeedsMax } from '../../src/testing/simulation/level.ts'
import { apiBugs } from './api-bugs.ts'
import { brokerBugs } from './broker-bugs.ts'
import { type Bug, type Patch, placesOf } from './bug.ts'
import { patternBugs } from './pattern-bugs.ts'
import { storageBugs } from './storage-bugs.ts'

/** Bugs that trying every crash of a short workload finds, without any seed, and that workload. There are more. */
const foundByExhaustion: Readonly<Record<string, string>> = {
  'fdatasync is skipped': 'publish',
  'settlements that ride with publishes are lost': 'acknowledge',
  'the directory is not synced after a segment was created': 'segments',
  'pages are not synced before a checkpoint names them': 'pages',
  'a segment goes although a checkpoint knows its messages there': 'compaction',
  'a dead letter is published in one frame and settled in the next': 'dead-letters',
  'a checkpoint forgets what is hidden': 'delays',
  'what is due is published anew in one frame and settled in the next': 'delays',
  'a purge leaves what is hidden': 'delays',
}

const bugs: readonly Bug[] = [...storageBugs, ...brokerBugs]

const root = fileURLToPath(new URL('../../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'leveret-planted-'))
const seedsToSearch = Number(process.env['PLANTED_SEEDS'] ?? '0')
// The search ends at the first that finds the bug, so these are only for the day after a change.
const neighbours = 150
const atOnce = 2

// There are as many copies of the build as bugs.
afterAll(() => rmSync(folder, { recursive: true, force: true }), 60_000)

describe('the simulator', () => {
  const limit = makeLimit(atOnce)

  const inApi = apiBugs.map((bug): Bug => ({ ...bug, api: true }))
  const inPatterns = patternBugs.map((bug): Bug => ({ ...bug, patterns: true }))

  it.concurrent.each([...bugs, ...inApi, ...inPatterns])('finds out when $name', { timeout: 1_800_000 }, (bug) =>
    limit(async () => {
      const dist = plant(bug, 'seeds')
      const isSearch = seedsToSearch > 0
      const start = [featureSeedsMin, usualSeedsMax + 1].find((seed) => bug.seed >= seed) ?? 1
      const kind = (['api', 'patterns', 'letters'] as const).filter((one) => bug[one] === true).map((one) => `--${one}`)
      const found = await search(dist, isSearch ? start : bug.seed, isSearch ? seedsToSearch : neighbours, kind)
      const [first] = found.violations
      if (isSearch)
        console.log(`${bug.name}: seed ${first?.seed ?? '-'}, ${first?.violation.slice(0, 200) ?? 'NOT FOUND'}`)
      expect(found.violations.length, `${bug.name}: not found by ${found.seeds} seeds`).toBeGreaterThan(0)
    }),
  )
})

describe('trying every crash of a short workload', () => {
  const limit = makeLimit(atOnce)
  const named = seedsToSearch > 0 ? bugs : bugs.filter(({ name }) => name in foundByExhaustion)

  it('has the workloads for bugs that exist', () => {
    expect(named.length).toBeGreaterThanOrEqual(Object.keys(foundByExhaustion).length)
  })

  it.concurrent.each(named)('finds out, without a seed, when $name', { timeout: 600_000 }, (bug) =>
    limit(async () => {
      const { violations } = await exhaust(plant(bug, 'crashes'), foundByExhaustion[bug.name])
      if (seedsToSearch > 0) console.log(`${bug.name}: ${violations[0]?.slice(0, 200) ?? 'not found by exhaustion'}`)
      else expect(violations.length).toBe(1)
    }),
  )
})

/** Runs at most so many at once: each takes a processor. */
function makeLimit(atOnce: number): (run: () => Promise<void>) => Promise<void> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (run) => {
    if (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve))
    running++
    try {
      await run()
    } finally {
      running--
      waiting.shift()?.()
    }
  }
}

interface Found {
  readonly seeds: number
  readonly violations: readonly { readonly seed: number; readonly violation: string }[]
}

/** A build with the bug in it. */
function plant(bug: Bug, purpose: string): string {
  const dist = join(folder, `${purpose}-${bug.name.replaceAll(/\W+/g, '-')}`)
  const original = process.env['PLANTED_DIST'] ?? join(root, 'dist')
  cpSync(original, dist, { recursive: true, filter: (path) => !/\.(map|d\.ts)$/.test(path) })
  for (const patch of bug.patches) apply(dist, patch)
  return dist
}

function apply(dist: string, patch: Patch): void {
  const path = join(dist, patch.file)
  const source = readFileSync(path, 'utf8')
  const pattern = placesOf(patch)
  expect(source.match(pattern)?.length ?? 0, `${patch.file} has once: ${patch.from}`).toBe(1)
  writeFileSync(
    path,
    source.replace(pattern, () => patch.to),
  )
}

/** Runs seeds of the build in `dist` until one of them finds something. */
async function search(dist: string, seed: number, seeds: number, kind: readonly string[]): Promise<Found> {
  const range = ['--seed', `${seed}`, '--seeds', `${seeds}`]
  return (await run('scripts/sim.mjs', dist, [...range, ...kind])) as Found
}

/** Tries the crashes of one workload, or of all, until one of them finds something. */
async function exhaust(dist: string, workload: string | undefined): Promise<{ violations: readonly string[] }> {
  const parameters = workload === undefined ? [] : ['--workload', workload]
  return (await run('scripts/exhaust.mjs', dist, ['--once', ...parameters])) as { violations: readonly string[] }
}

async function run(script: string, dist: string, more: readonly string[]): Promise<unknown> {
  const parameters = [join(root, script), '--dist', dist, '--stop', '--json', ...more]
  try {
    const { stdout } = await promisify(execFile)(process.execPath, parameters, { cwd: root, maxBuffer: 1e8 })
    return JSON.parse(stdout)
  } catch (error) {
    return JSON.parse((error as { stdout: string }).stdout)
  }
}
