/**
 * How much memory the messages in all queues take, as it is counted here: content bytes and what the objects around them
 * cost. It is counted, not measured: garbage that is not yet collected must not block anybody.
 *
 * Two bounds. Above `windowBytesMax` queues let go of the messages they have on disk; above `bytesMax` publishers are
 * blocked until consumers have made room (RabbitMQ's memory alarm), which can only happen where nothing can be let go of.
 *
 * Queues share `windowBytesMax` by dynamic thresholds: each may hold as much as is still free. One busy queue gets half,
 * the next half of the rest, and there is always room for one more (Choudhury and Hahne, "Dynamic queue length thresholds
 * for shared-memory packet switches", IEEE/ACM Transactions on Networking 6(2), 1998, with alpha = 1).
 */

/** Message, entry, their places in rings and what the slab wastes; measured at 230–260 bytes on V8 11. */
export const entryOverheadBytes = 256

/** What every queue may hold, however little is free: a few messages that are ready at once. */
const windowBytesMin = 16_384

export class ResidentMemory {
  bytes = 0
  /** Publishers are blocked above this. */
  bytesMax: number
  /** Publishers go on below this. */
  bytesResume: number
  readonly windowBytesMax: number

  constructor(bytesMax: number, windowBytesMax: number = bytesMax) {
    this.bytesMax = bytesMax
    this.bytesResume = Math.floor(bytesMax * 0.9)
    this.windowBytesMax = windowBytesMax
  }

  setLimit(bytesMax: number): void {
    this.bytesMax = bytesMax
    this.bytesResume = Math.floor(bytesMax * 0.9)
  }

  /** How many bytes one queue's window may have now. */
  get windowShare(): number {
    return Math.max(Math.min(windowBytesMin, this.windowBytesMax / 4), this.windowBytesMax - this.bytes)
  }

  /** Whether so much is held that messages with a consumer are better read again if they come back. */
  get isPressed(): boolean {
    return this.bytes > this.windowBytesMax / 2
  }
}
