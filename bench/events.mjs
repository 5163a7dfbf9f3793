// What an event costs in one process: Node's EventEmitter beside a bus of Leveret, with 1 and with 10 listeners, in turn and in one
// run. `node bench/events.mjs [--events 300000] [--rounds 5] [--url memory:]`; needs a build.
import { EventEmitter } from 'node:events'
import { parseArgs } from 'node:util'
import { connect } from '../dist/index.js'

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '300000' },
    rounds: { type: 'string', default: '5' },
    url: { type: 'string', default: 'memory:' },
  },
})
const events = Number(values.events)
const data = { file: 'a.png', width: 640, height: 480 }

const results = new Map()
for (let round = 0; round < Number(values.rounds); round++) {
  for (const listeners of [1, 10]) {
    keep(`EventEmitter, ${listeners}`, emitterRound(listeners))
    keep(`Leveret ${values.url}, ${listeners}`, await busRound(listeners))
  }
}
console.log('ns per event                 median   least')
for (const [name, times] of results) {
  const sorted = times.toSorted((one, other) => one - other)
  const [least, median] = [sorted[0], sorted[Math.floor(sorted.length / 2)]]
  console.log(`${name.padEnd(26)} ${median.toFixed(0).padStart(8)}${least.toFixed(0).padStart(8)}`)
}

function keep(name, nanoseconds) {
  if (!results.has(name)) results.set(name, [])
  results.get(name).push(nanoseconds)
}

function emitterRound(listeners) {
  const emitter = new EventEmitter()
  let heard = 0
  for (let count = 0; count < listeners; count++)
    emitter.on('image.resized', (event) => (heard += event.width > 0 ? 1 : 0))
  const startedNs = process.hrtime.bigint()
  for (let count = 0; count < events; count++) emitter.emit('image.resized', data)
  return took(startedNs, heard, listeners)
}

async function busRound(listeners) {
  const bus = await connect(values.url)
  let heard = 0
  for (let count = 0; count < listeners; count++) {
    await bus.on('image.resized', (event) => (heard += event.data.width > 0 ? 1 : 0))
  }
  const startedNs = process.hrtime.bigint()
  let pending = []
  for (let count = 0; count < events; count++) {
    pending.push(bus.emit('image.resized', data))
    if (pending.length === 1000) {
      await Promise.all(pending)
      pending = []
    }
  }
  await Promise.all(pending)
  while (heard < events * listeners) await new Promise((resolve) => setImmediate(resolve))
  const nanoseconds = took(startedNs, heard, listeners)
  await bus.close()
  return nanoseconds
}

function took(startedNs, heard, listeners) {
  if (heard !== events * listeners) throw new Error(`${heard} heard, ${events * listeners} emitted`)
  return Number(process.hrtime.bigint() - startedNs) / events
}
