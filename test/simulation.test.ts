// Simulated histories: the broker that runs in production, on a simulated clock, disk and network, crashed at any disk
// operation; see src/testing/simulation. This is the share of every test run; `npm run sim` runs as many as one likes.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { featureSeedsMin, usualSeedsMax } from '../src/testing/simulation/level.ts'

interface Summary {
  readonly seeds: number
  readonly seconds: number
  readonly crashes: number
  readonly recoveries: number
  readonly probes: number
  readonly publishes: number
  readonly violations: readonly { readonly seed: number; readonly violation: string }[]
}

const root = fileURLToPath(new URL('../', import.meta.url))

it.each([
  ['histories at the usual level of durability', 1, 45, []],
  ['histories at every level', usualSeedsMax + 1, 18, []],
  ['histories of letters, which expire, go through dead-letter exchanges and have keys', 1, 28, ['--letters']],
  ['histories of letters, some of them hidden, at every level', usualSeedsMax + 1, 28, ['--letters']],
  ['histories with what programs written for RabbitMQ declare', featureSeedsMin, 18, []],
  ['histories of letters in queues with limits, counts, delays and transactions', featureSeedsMin, 18, ['--letters']],
  ['histories of processes that use the typed API, die and come back', 1, 90, ['--api']],
  ['histories of events, calls and families, whose processes die and come back', 1, 40, ['--patterns']],
] as const)('keeps every promise in simulated %s', { timeout: 180_000 }, async (what, first, count, more) => {
  const { seeds, seconds, crashes, recoveries, probes, publishes, violations } = await run(first, count, more)
  console.log(
    `${what}: seeds ${first} to ${first + count - 1} in ${seconds.toFixed(1)} s: ${crashes} crashes, ` +
      `${recoveries} recoveries, ${probes} crashes tried on a copy, ${publishes} publishes, ${violations.length} violations`,
  )
  const lines = violations.map(
    ({ seed, violation }) =>
      `${violation}
  to see it: npm run sim -- --seed ${[seed, '--verbose', ...more].join(' ')}`,
  )
  expect(violations, `\n${lines.join('\n')}\n`).toEqual([])
  expect(seeds).toBe(count)
})

async function run(first: number, seeds: number, more: readonly string[]): Promise<Summary> {
  const range = ['--seed', `${first}`, '--seeds', `${seeds}`, '--workers', '2']
  const parameters = ['scripts/sim.mjs', ...range, '--json', ...more]
  try {
    const { stdout } = await promisify(execFile)(process.execPath, parameters, { cwd: root, maxBuffer: 1e8 })
    return JSON.parse(stdout) as Summary
  } catch (error) {
    // It exits with 1 if there are violations, and says which all the same.
    const { stdout } = error as { stdout?: string }
    if (stdout === undefined || stdout === '') throw error
    return JSON.parse(stdout) as Summary
  }
}
