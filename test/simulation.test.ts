// Simulated histories: the broker that runs in production, on a simulated clock, disk and network, crashed at any disk
// operation; see src/testing/simulation. This is the share of every test run; `npm run sim` runs as many as one likes.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { usualSeedsMax } from '../src/testing/simulation/level.ts'

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
const histories = [
  { level: 'the usual level of durability', first: 1, count: 500 },
  { level: 'every level', first: usualSeedsMax + 1, count: 100 },
]

it.each(histories)(
  'keeps every promise in $count simulated histories at $level',
  { timeout: 180_000 },
  async (some) => {
    const { first, count } = some
    const { seeds, seconds, crashes, recoveries, probes, publishes, violations } = await run(first, count)
    console.log(
      `simulation: seeds ${first} to ${first + count - 1} in ${seconds.toFixed(1)} s: ${crashes} crashes, ` +
        `${recoveries} recoveries, ${probes} crashes tried on a copy, ${publishes} publishes, ${violations.length} violations`,
    )
    const lines = violations.map(
      ({ seed, violation }) => `${violation}\n  to see it: npm run sim -- --seed ${seed} --verbose`,
    )
    expect(violations, `\n${lines.join('\n')}\n`).toEqual([])
    expect(seeds).toBe(count)
  },
)

async function run(seed: number, seeds: number): Promise<Summary> {
  const parameters = ['scripts/sim.mjs', '--seed', `${seed}`, '--seeds', `${seeds}`, '--workers', '2', '--json']
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
