// The file that is worked on: sales, one a line, the same ones for the same size.

import { once } from 'node:events'
import { createWriteStream } from 'node:fs'

const regions = ['africa', 'americas', 'asia', 'europe', 'oceania', 'arctic', 'orbit', 'nowhere']
const linesAtOnce = 10_000

/** Writes at least so many bytes, of which little is in memory at a time; resolves with the number of lines. */
export async function writeSales(/** @type {string} */ path, /** @type {number} */ bytes) {
  const file = createWriteStream(path)
  let written = 0
  let lines = 0
  while (written < bytes) {
    let text = ''
    for (let count = 0; count < linesAtOnce && written + text.length < bytes; count++) text += saleLine(lines++)
    written += text.length
    if (!file.write(text)) await once(file, 'drain')
  }
  file.end()
  await once(file, 'finish')
  return lines
}

/** Multiplication by an odd number scatters consecutive ids, and gives the same again. */
function saleLine(/** @type {number} */ id) {
  const scattered = Math.imul(id + 1, 0x9e3779b1) >>> 0
  return `${id},${regions[scattered >>> 29]},${(scattered >>> 8) % 100_000}\n`
}

/** Adds the lines of a text to what is known of each region. */
export function addSales(/** @type {Totals} */ totals, /** @type {string} */ text) {
  for (const line of text.split('\n')) {
    if (line === '') continue
    const [, region, cents] = /** @type {[string, string, string]} */ (/** @type {unknown} */ (line.split(',')))
    addTo(totals, region, { sales: 1, cents: Number(cents) })
  }
}

export function addTo(
  /** @type {Totals} */ totals,
  /** @type {string} */ region,
  /** @type {Total} */ { sales, cents },
) {
  const total = totals.get(region) ?? { sales: 0, cents: 0 }
  totals.set(region, { sales: total.sales + sales, cents: total.cents + cents })
}

/** @typedef {{ sales: number, cents: number }} Total */
/** @typedef {Map<string, Total>} Totals by region */
