/**
 * Memory for many small contents of about the same lifetime, cut from one buffer after the other:
 *
 *     | content 1 | content 2 | content 3 |        free        |
 *                                         ^used
 *
 * Nothing is freed one by one: a buffer goes when nothing refers to it any more. Owners whose contents live for different
 * times (two queues) use a slab each, so that a stuck one does not hold what the other is done with. Buffers begin small
 * and double, so ten thousand nearly idle owners cost little.
 */

const bytesMin = 1_024
const bytesMax = 65_536

export class Slab {
  private buffer: Buffer | null = null
  private used = 0
  private nextBytes = bytesMin
  /** Where the bytes of the last `take` begin in the buffer it returned. */
  offset = 0

  /** Room for `bytes`, in the returned buffer from `offset` on. Large contents get a buffer of their own. */
  take(bytes: number): Buffer {
    if (bytes * 4 > this.nextBytes) {
      if (bytes * 4 <= bytesMax) this.nextBytes = bytesMax
      else {
        this.offset = 0
        return Buffer.allocUnsafeSlow(bytes)
      }
    }
    if (this.buffer === null || this.used + bytes > this.buffer.length) {
      this.buffer = Buffer.allocUnsafeSlow(this.nextBytes)
      this.used = 0
      if (this.nextBytes < bytesMax) this.nextBytes *= 2
    }
    this.offset = this.used
    this.used += bytes
    return this.buffer
  }
}
