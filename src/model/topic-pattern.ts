/**
 * One topic pattern, matched word by word in time that depends on nothing but its length: bit i of the state says that the first
 * i words of the pattern (those that are no `#`) have been matched.
 *
 *     next = (state & fits(word)) << 1  |  state & loops        fits: the bits whose next word of the pattern is the word, or *
 *                                                               loops: the bits behind which a `#` stands
 */

const wordBits = 32

export class TopicPattern {
  private readonly size: number
  /** By word; others fit where a `*` is. */
  private readonly fits: Map<string, Int32Array> = new Map()
  private readonly star: Int32Array
  private readonly loops: Int32Array
  private readonly state: Int32Array
  /** Of the words that are no `#`. */
  private readonly length: number

  constructor(words: readonly string[]) {
    const plain = words.filter((word) => word !== '#')
    this.length = plain.length
    this.size = Math.floor(plain.length / wordBits) + 1
    this.state = new Int32Array(this.size)
    this.star = new Int32Array(this.size)
    this.loops = new Int32Array(this.size)
    let at = 0
    for (const word of words) {
      if (word === '#') setBit(this.loops, at)
      else if (word === '*') setBit(this.star, at++)
      else setBit(this.fitsOf(word), at++)
    }
    for (const fits of this.fits.values()) addBits(fits, this.star)
  }

  matches(key: readonly string[]): boolean {
    const { state, loops, size } = this
    state.fill(0)
    state[0] = 1
    for (const word of key) {
      const fits = this.fits.get(word) ?? this.star
      let carry = 0
      for (let part = 0; part < size; part++) {
        const from = state[part] as number
        const stepped = from & (fits[part] as number)
        state[part] = (stepped << 1) | carry | (from & (loops[part] as number))
        carry = stepped >>> (wordBits - 1)
      }
    }
    return ((state[Math.floor(this.length / wordBits)] as number) & (1 << (this.length % wordBits))) !== 0
  }

  private fitsOf(word: string): Int32Array {
    let fits = this.fits.get(word)
    if (fits === undefined) {
      fits = new Int32Array(this.size)
      this.fits.set(word, fits)
    }
    return fits
  }
}

function setBit(bits: Int32Array, at: number): void {
  const part = Math.floor(at / wordBits)
  bits[part] = (bits[part] as number) | (1 << (at % wordBits))
}

function addBits(bits: Int32Array, more: Int32Array): void {
  for (let part = 0; part < bits.length; part++) bits[part] = (bits[part] as number) | (more[part] as number)
}
