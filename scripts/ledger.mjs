// The ledger at full length: `npm run ledger -- --messages 10000 --kills 30 --seed 7`. Sender, workers and broker are killed
// while they work, and what is left has to tell one story: see test/ledger/ledger.test.ts. Needs a build.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const text = { type: 'string' }
const { values } = parseArgs({
  options: {
    messages: { ...text, default: '10000' },
    kills: { ...text, default: '30' },
    seed: { ...text, default: String(Date.now() % 1_000_000) },
  },
})
for (const [name, value] of Object.entries(values)) {
  if (/^\d+$/.test(value)) continue
  console.error(`ledger: --${name} ${value} is not a number`)
  process.exit(2)
}
const { messages, kills, seed } = values
const env = { ...process.env, LEVERET_LEDGER_MESSAGES: messages, LEVERET_KILLS: kills, LEVERET_SEED: seed }
const root = fileURLToPath(new URL('..', import.meta.url))
const child = spawn('npx', ['vitest', 'run', 'test/ledger/ledger.test.ts'], { cwd: root, env, stdio: 'inherit' })
child.on('close', (code) => process.exit(code ?? 1))
