// A large file on its way through two queues, in flat memory: see README.md.
//
//   sales.csv ──chunks──→ parse ──batches──→ sums of each region ──→ aggregate ──one at a time per region──→ totals

import assert from 'node:assert/strict'
import { createReadStream, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { connect, LeveretError } from 'leveret'
import { addSales, addTo, writeSales } from './sales.mjs'

const { values } = parseArgs({ options: { mebibytes: { type: 'string', default: '200' } } })
const fileBytes = Number(values.mebibytes) * 1_048_576
const chunkBytes = 65_536
/** Chunks that wait in the queue at most; the reader waits when there are as many. */
const chunksMax = 100
/** Chunks that are on their way to the disk at the same time, so that one sync stores many. */
const sendsMax = 32

const folder = mkdtempSync(path.join(os.tmpdir(), 'leveret-pipeline-'))
try {
  await main(path.join(folder, 'sales.csv'))
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function main(/** @type {string} */ file) {
  console.log(`${await writeSales(file, fileBytes)} sales in ${values.mebibytes} MiB`)
  const memory = watchMemory()
  const startedMs = performance.now()

  const bus = await connect(`file:${path.join(folder, 'data')}`, { onError: (error) => console.error(error) })
  const parse = await bus.createQueue('parse', { maxLength: chunksMax, overflow: 'reject' })
  const aggregate = await bus.createQueue('aggregate', { keys: { concurrency: 1 } })

  parse.processBatch(
    (messages, context) => {
      /** @type {import('./sales.mjs').Totals} */
      const sums = new Map()
      for (const { data } of messages) addSales(sums, /** @type {string} */ (data))
      // Stored with the acknowledgements of the chunks: no chunk is counted twice, and none is left out.
      for (const [region, sum] of sums) context.send(aggregate, { region, ...sum }, { key: region })
    },
    { size: 10, wait: '20ms' },
  )

  /** @type {import('./sales.mjs').Totals} */
  const totals = new Map()
  aggregate.process(
    ({ data }) => {
      const { region, ...sum } = /** @type {import('./sales.mjs').Total & { region: string }} */ (data)
      addTo(totals, region, sum)
    },
    { concurrency: 8 },
  )

  let waits = 0
  /** @type {Set<Promise<void>>} */
  const onTheirWay = new Set()
  for await (const chunk of wholeLines(file)) {
    const sent = sendWhenThereIsRoom(chunk).then(() => void onTheirWay.delete(sent))
    onTheirWay.add(sent)
    if (onTheirWay.size >= sendsMax) await Promise.race(onTheirWay)
  }
  await Promise.all(onTheirWay)
  // In this order: what leaves the first queue is in the second at the same moment.
  await isEmpty(parse)
  await isEmpty(aggregate)

  await bus.close()

  const seconds = (performance.now() - startedMs) / 1000
  const { beforeMiB, peakMiB } = memory.end()
  console.log(
    `through both queues in ${seconds.toFixed(1)} s, ${(Number(values.mebibytes) / seconds).toFixed(0)} MiB/s`,
  )
  console.log(`the reader waited for room ${waits} times`)
  console.log(`memory: ${beforeMiB} MiB before, ${peakMiB} MiB at most`)
  assert.deepEqual(sorted(totals), sorted(await inOnePass(file)))
  for (const [region, { sales, cents }] of sorted(totals)) console.log(`${region}: ${sales} sales, ${cents} cents`)
  console.log('the totals are those of a single pass over the file')

  /** The order of chunks does not matter here; where it does, send one after the other. */
  async function sendWhenThereIsRoom(/** @type {string} */ chunk) {
    while (!(await isTaken(parse, chunk))) {
      waits++
      await sleep(5)
    }
  }
}

/** False: the queue is full. */
async function isTaken(/** @type {import('leveret').Queue} */ queue, /** @type {string} */ chunk) {
  try {
    await queue.send(chunk, { contentType: 'text/csv' })
    return true
  } catch (error) {
    if (error instanceof LeveretError && error.code === 'E_REFUSED') return false
    throw error
  }
}

async function isEmpty(/** @type {import('leveret').Queue} */ queue) {
  while ((await queue.stats()).length > 0) await sleep(10)
}

/** Pieces of the file that end with a line. */
async function* wholeLines(/** @type {string} */ file) {
  let rest = ''
  for await (const piece of createReadStream(file, { encoding: 'utf8', highWaterMark: chunkBytes })) {
    const text = rest + piece
    const end = text.lastIndexOf('\n') + 1
    rest = text.slice(end)
    if (end > 0) yield text.slice(0, end)
  }
  if (rest !== '') yield rest
}

/** The same without queues, to compare with. */
async function inOnePass(/** @type {string} */ file) {
  /** @type {import('./sales.mjs').Totals} */
  const totals = new Map()
  for await (const line of createInterface({ input: createReadStream(file) })) addSales(totals, line)
  return totals
}

function sorted(/** @type {import('./sales.mjs').Totals} */ totals) {
  return [...totals].sort(([one], [other]) => (one < other ? -1 : 1))
}

function watchMemory() {
  const mebibytes = () => Math.round(process.memoryUsage.rss() / 1_048_576)
  const beforeMiB = mebibytes()
  let peakMiB = beforeMiB
  const timer = setInterval(() => {
    peakMiB = Math.max(peakMiB, mebibytes())
  }, 50)
  return {
    end() {
      clearInterval(timer)
      return { beforeMiB, peakMiB: Math.max(peakMiB, mebibytes()) }
    },
  }
}
