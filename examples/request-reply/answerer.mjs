// Answers in a process of its own: node answerer.mjs NAME URL. Prints what happens to it.

import { setTimeout as sleep } from 'node:timers/promises'
import { callError, connect } from 'leveret'
import { factor, ponder, reserve } from './contracts.mjs'

const [name, url] = /** @type {[string, string]} */ (/** @type {unknown} */ (process.argv.slice(2)))
const bus = await connect(url)

await bus.answer(factor, ({ n }) => ({ factors: factorsOf(n), by: name }), { concurrency: 1 })

await bus.answer(reserve, ({ title, copies }) => {
  if (copies > 3) throw callError(reserve, 'soldOut', { left: 3 })
  return `${copies} × ${title}`
})

await bus.answer(ponder, async ({ ms }, { signal }) => {
  console.log(`${name} ponders`)
  try {
    await sleep(ms, undefined, { signal })
  } catch {
    console.log(`${name} stops: ${signal.reason.code}`)
  }
  return `42, says ${name}`
})

console.log(`${name} answers`)
process.once('SIGTERM', () => void bus.close())

function factorsOf(/** @type {number} */ n) {
  const factors = []
  for (let by = 2; by * by <= n; by++) {
    while (n % by === 0) {
      factors.push(by)
      n /= by
    }
  }
  return n > 1 ? [...factors, n] : factors
}
