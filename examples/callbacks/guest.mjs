// A guest in a process of its own: node guest.mjs order|ask URL

import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'leveret'
import { orders } from './kitchen.mjs'

const [what, url] = /** @type {[string, string]} */ (/** @type {unknown} */ (process.argv.slice(2)))
const sender = 'table-7'
const bus = await connect(url)

if (what === 'order') {
  const kitchen = await bus.openQueue(orders)
  await kitchen.send({ dish: 'lasagne', minutes: 12 }, { sender, onProcessed: () => console.log('never printed') })
  console.log('ordered')
  await sleep(60_000)
}

// What the callback would have been told. Without `wait: false` the loop would go on with what comes later.
for await (const { queue, status, result, error } of bus.receipts({ sender, wait: false })) {
  const { plates } = /** @type {{ plates: number }} */ (result ?? { plates: 0 })
  console.log(`  table 7 is back and hears of its ${queue}: ${status}: ${error?.message ?? `${plates} plate`}`)
}
await bus.close()
