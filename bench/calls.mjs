// Calls answered per second, with 1 and with 64 in flight: in one process, and over AMQP with caller and answerer on connections of
// their own to a broker in this process. `node bench/calls.mjs [--seconds 2] [--rounds 3]`; needs a build.
import { parseArgs } from 'node:util'
import { connect } from '../dist/index.js'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '2' }, rounds: { type: 'string', default: '3' } },
})
const lastsMs = Number(values.seconds) * 1000

const results = new Map()
for (let round = 0; round < Number(values.rounds); round++) {
  for (const inFlight of [1, 64]) {
    await embedded(inFlight)
    await overAmqp(inFlight)
  }
}
console.log('calls/s                       median')
for (const [name, rates] of results) {
  const median = rates.toSorted((one, other) => one - other)[Math.floor(rates.length / 2)]
  console.log(`${name.padEnd(26)} ${median.toFixed(0).padStart(8)}`)
}

async function embedded(inFlight) {
  const bus = await connect('memory:')
  await bus.answer('double', answer, { concurrency: 64 })
  keep(`memory:, ${inFlight} in flight`, await rate(bus, inFlight))
  await bus.close()
}

async function overAmqp(inFlight) {
  const broker = await connect('memory:')
  const { url } = await broker.serve({ amqp: 0 })
  const [answerer, caller] = [await connect(url), await connect(url)]
  await answerer.answer('double', answer, { concurrency: 64 })
  keep(`amqp:, ${inFlight} in flight`, await rate(caller, inFlight))
  for (const bus of [caller, answerer, broker]) await bus.close()
}

function answer({ value }) {
  return value * 2
}

async function rate(bus, inFlight) {
  const endsMs = performance.now() + lastsMs
  const startedMs = performance.now()
  let answered = 0
  const caller = async () => {
    for (let value = 0; performance.now() < endsMs; value++) {
      if ((await bus.call('double', { value })) !== value * 2) throw new Error('a wrong answer')
      answered++
    }
  }
  await Promise.all(Array.from({ length: inFlight }, caller))
  return answered / ((performance.now() - startedMs) / 1000)
}

function keep(name, perSecond) {
  if (!results.has(name)) results.set(name, [])
  results.get(name).push(perSecond)
}
