// How far the model's expected wait is from what is waited in queues that are simulated event by event, load by load, as the
// table of docs/mathematics.md: `npm run bench:model`, or after a build `node bench/model.mjs [--seed 1]`.
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { seed: { type: 'string', default: '1' } } })
const load = async (/** @type {string} */ path) => await import(new URL(`../dist/${path}.js`, import.meta.url).href)
const { runShape, strangeShapes, supposedShapes } = await load('testing/queueing/load-shapes')
const { waitAllenCunneen } = await load('flow/queueing')
const { measuredLoad } = await load('flow/measured-load')

const rows = [...supposedShapes, null, ...strangeShapes]
process.stdout.write('| load | ρ | waited | expected | off | Allen–Cunneen alone | confidence | because |\n')
process.stdout.write('| --- | --: | --: | --: | --: | --: | --- | --- |\n')
/** @type {number[]} */
const errors = []
for (const shape of rows) {
  if (shape === null) process.stdout.write('| _not as supposed_ | | | | | | | |\n')
  else process.stdout.write(`| ${line(shape).join(' | ')} |\n`)
}
const within = errors.filter((error) => Math.abs(error) <= 0.1).length
const worst = Math.max(...errors.map(Math.abs))
process.stdout.write(
  `\nAs supposed: ${within} of ${errors.length} loads within 10 %, the worst ${percent(worst)} off.\n`,
)

/** @param {any} shape */
function line(shape) {
  const { truth, model, error, window } = runShape(shape, Number(values.seed))
  const { value, confidence, reasons } = model.expectedWaitSeconds
  const plain = waitAllenCunneen(measuredLoad({ ...window, levels: [] }, shape.servers)) / truth.waitSeconds - 1
  if (supposedShapes.includes(shape)) errors.push(error)
  const isNumber = typeof value === 'number'
  const expected = isNumber ? time(value) : (value ?? 'nothing')
  const off = [isNumber ? signed(error) : '', isNumber ? signed(plain) : '']
  return [shape.name, shape.load, time(truth.waitSeconds), expected, ...off, confidence, reasons.join('; ')]
}

/** @param {number} seconds */
function time(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(1)} s`
  return `${(seconds * 1000).toFixed(1)} ms`
}

/** @param {number} share */
function signed(share) {
  return `${share < 0 ? '−' : '+'}${percent(Math.abs(share))}`
}

/** @param {number} share */
function percent(share) {
  return `${(share * 100).toFixed(1)} %`
}
