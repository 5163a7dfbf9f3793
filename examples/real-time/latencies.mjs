// Latencies in ms, kept whole: some ten thousand of them are no matter.

export class Latencies {
  /** @type {number[]} */
  #all = []

  add(/** @type {number} */ ms) {
    this.#all.push(ms)
  }

  get count() {
    return this.#all.length
  }

  /** Median, 99th percentile and the longest, in ms, for people. */
  figures() {
    const sorted = this.#all.toSorted((one, other) => one - other)
    const at = (/** @type {number} */ share) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]
    return [0.5, 0.99, 1].map((share) => at(share)?.toFixed(1) ?? '–')
  }
}
