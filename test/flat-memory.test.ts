// A million messages through one process: what is sent and done with leaves nothing behind.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const built = fileURLToPath(new URL('../dist/index.js', import.meta.url))

/** Sends and processes without receipts, and prints the heap in use after 200,000 and after a million. */
const program = `
import { connect } from ${JSON.stringify(built)}
const bus = await connect('memory:')
const queue = await bus.createQueue('jobs')
let processed = 0
let wanted = 0
queue.process(() => void processed++, { concurrency: 100 })
const heaps = []
const burst = async (count) => {
  wanted += count
  for (let sent = 0; sent < count; sent += 1000) {
    await Promise.all(Array.from({ length: 1000 }, (_, at) => queue.send({ at: sent + at })))
    while (wanted - count + sent - processed > 10_000) await new Promise((resolve) => setImmediate(resolve))
  }
  while (processed < wanted) await new Promise((resolve) => setImmediate(resolve))
  // Buffers go with the second look: what held them goes with the first.
  for (let looks = 0; looks < 3; looks++) {
    globalThis.gc()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  heaps.push(process.memoryUsage().heapUsed + process.memoryUsage().external)
}
await burst(200_000)
await burst(800_000)
const { length } = await queue.stats()
await bus.close()
console.log(JSON.stringify({ heaps, processed, length }))
`

function run(): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '-e', program])
    let output = ''
    let errors = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
    child.on('close', (code) => (code === 0 ? resolve(output) : reject(new Error(errors))))
  })
}

it('a million sends without receipts leave no more in memory than two hundred thousand', async () => {
  const { heaps, processed, length } = JSON.parse(await run()) as {
    heaps: [number, number]
    processed: number
    length: number
  }
  expect({ processed, length }).toEqual({ processed: 1_000_000, length: 0 })
  expect((heaps[1] - heaps[0]) / 1_048_576).toBeLessThan(4)
}, 60_000)
