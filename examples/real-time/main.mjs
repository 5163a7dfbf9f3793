// Live events at a fixed rate, and commands with priorities and deadlines, through an overload: see README.md.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { connect } from 'leveret'
import { Latencies } from './latencies.mjs'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '2' }, rate: { type: 'string', default: '2000' } },
})
/** Of each phase. */
const phaseMs = Number(values.seconds) * 1000
/** Live events a second. */
const eventRate = Number(values.rate)
const tickMs = 2
/** A tram does so many commands at the same time, each of which takes so long: about 800 a second. */
const concurrency = 8
const commandMs = 10

/** What is sent to the trams. `share` is that of the load. */
const kinds = [
  { name: 'brake', priority: 2, deadline: 200, share: 0.05 },
  { name: 'doors', priority: 1, deadline: 400, share: 0.25 },
  { name: 'advert', priority: 0, deadline: 600, share: 0.7 },
]
const phases = [
  { name: 'calm', commandsPerSecond: 300 },
  { name: 'overload', commandsPerSecond: 1500 },
  { name: 'calm again', commandsPerSecond: 300 },
]

const bus = await connect('memory:')
/** @type {import('leveret').Queue<string, void>} */
const commands = await bus.createQueue('commands', { maxPriority: 2 })
// A prefetch beyond the concurrency would hold messages that a more urgent one could not overtake any more.
commands.process((_command, { signal }) => sleep(commandMs, undefined, { signal }), {
  concurrency,
  prefetch: concurrency,
  onError() {}, // an interrupted one is counted by its sender
})

let positions = new Latencies()
await bus.on('tram.position', ({ data }) => positions.add(performance.now() - /** @type {number} */ (data)))

console.log(
  `${eventRate} positions and some commands a second; the trams can do about ${(concurrency * 1000) / commandMs}\n`,
)
let emitted = 0
for (const phase of phases) {
  console.log(`${phase.name}: ${phase.commandsPerSecond} commands/s`)
  positions = new Latencies()
  const tallies = kinds.map((kind) => ({ ...kind, sent: 0, kept: 0, late: 0, expired: 0, done: new Latencies() }))
  const before = emitted
  await run(phase.commandsPerSecond, tallies)
  // Those that wait end within their deadlines, one way or the other.
  while (tallies.some(({ sent, kept, late, expired }) => kept + late + expired < sent)) await sleep(10)
  report(emitted - before, tallies)
}
await bus.close()

/** @typedef {(typeof kinds)[number] & { sent: number, kept: number, late: number, expired: number, done: Latencies }} Tally */

/** One phase: at each tick all that is due by then, however late the tick is. */
async function run(/** @type {number} */ commandsPerSecond, /** @type {Tally[]} */ tallies) {
  const startedMs = performance.now()
  let events = 0
  for (let passedMs = 0; passedMs < phaseMs; ) {
    await sleep(tickMs)
    passedMs = Math.min(phaseMs, performance.now() - startedMs)
    // The event carries when it was due, not when it was emitted, so that a program that is late sees it.
    for (; events < (passedMs * eventRate) / 1000; events++) {
      void bus.emit('tram.position', startedMs + (events * 1000) / eventRate)
    }
    for (const tally of tallies) {
      while (tally.sent < (passedMs * commandsPerSecond * tally.share) / 1000) send(tally)
    }
  }
  emitted += events
}

function send(/** @type {Tally} */ tally) {
  tally.sent++
  const sentMs = performance.now()
  const { name, priority, deadline } = tally
  void commands.send(name, {
    priority,
    deadline,
    onProcessed(error) {
      if (error === null) {
        const ms = performance.now() - sentMs
        tally.done.add(ms)
        if (ms <= deadline) tally.kept++
        else tally.late++
      } else if (error.code === 'E_EXPIRED') tally.expired++
      else throw error
    },
  })
}

function report(/** @type {number} */ count, /** @type {Tally[]} */ tallies) {
  assert.equal(positions.count, count)
  const [median, p99, max] = positions.figures()
  console.log(`  ${count} positions, all heard: p50 ${median} ms, p99 ${p99} ms, max ${max} ms`)
  const rows = [
    ['', 'sent', 'in time', 'late', 'dropped', 'p50', 'p99', 'max ms'],
    ...tallies.map(({ name, sent, kept, late, expired, done }) => [name, sent, kept, late, expired, ...done.figures()]),
  ]
  for (const row of rows) {
    console.log(row.map((cell, index) => (index === 0 ? `  ${cell}`.padEnd(12) : String(cell).padStart(9))).join(''))
  }
  console.log()
}
