// The broker against SQLite: the same operations on both, crashes between them, and after each recovery the same messages
// in the same order. It knows nothing of the simulator's reference, and the simulator nothing of it.
//
// LEVERET_ORACLE_SEEDS=1000 LEVERET_ORACLE_SEED=1 npx vitest run test/oracle; to read one history: LEVERET_ORACLE_SEEDS=1.
import { expect, it } from 'vitest'
import { Disagreement, runHistory } from './history.ts'

const first = Number(process.env['LEVERET_ORACLE_SEED'] ?? 1)
const count = Number(process.env['LEVERET_ORACLE_SEEDS'] ?? 40)

it(`finds what SQLite holds after each recovery, in ${count} histories`, {
  timeout: 10_000 + count * 2_000,
}, async () => {
  const sum = { operations: 0, messages: 0, statements: 0, recoveries: 0, compared: 0, cutFrames: 0 }
  const disagreements: string[] = []
  const print = count === 1 ? (line: string) => console.log(line) : () => {}
  for (let seed = first; seed < first + count; seed++) {
    try {
      const result = await runHistory(seed, print)
      for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += result[name]
    } catch (error) {
      if (!(error instanceof Disagreement)) throw error
      disagreements.push(error.message)
    }
  }
  console.log(`oracle: seeds ${first} to ${first + count - 1}: ${JSON.stringify(sum)}`)
  expect(disagreements, `\n${disagreements.join('\n')}\n`).toEqual([])
})
