// Every crash of some short workloads, with every choice of what had reached the disk; see
// src/testing/simulation/exhaustion.ts. The second crash, during the recovery, takes minutes: `npm run proof` has it.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../', import.meta.url))

// The ones that leave the fewest states: together they take some seconds.
const workloads = [
  'publish',
  'acknowledge',
  'transaction',
  'segments',
  'checkpoint',
  'pages',
  'compaction',
  'dead-letters',
  'delays',
]

it('keeps every promise whenever the power goes in a short workload', { timeout: 240_000 }, async () => {
  const { violations, states, crashPoints, seconds } = await run(
    '--once',
    ...workloads.flatMap((name) => ['--workload', name]),
  )
  console.log(`exhaustion: ${crashPoints} crash points, ${states} states in ${seconds.toFixed(1)} s`)
  expect(violations).toEqual([])
  // Fewer would mean that the workloads no longer do what they are for.
  expect(states).toBeGreaterThan(3_000)
})

interface Summary {
  readonly crashPoints: number
  readonly states: number
  readonly seconds: number
  readonly violations: readonly string[]
}

async function run(...more: readonly string[]): Promise<Summary> {
  const parameters = [join(root, 'scripts/exhaust.mjs'), '--json', ...more]
  try {
    const { stdout } = await promisify(execFile)(process.execPath, parameters, { cwd: root })
    return JSON.parse(stdout) as Summary
  } catch (error) {
    // It exits with 1 if there are violations, and says which all the same.
    const { stdout } = error as { stdout?: string }
    if (stdout === undefined || stdout === '') throw error
    return JSON.parse(stdout) as Summary
  }
}
