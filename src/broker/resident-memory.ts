/**
 * How much memory the messages in all queues take, as the broker counts it: content bytes and what the objects around
 * them cost. Above the limit publishers are blocked until consumers have made room (RabbitMQ's memory alarm). It is
 * counted, not measured: garbage that is not yet collected must not block anybody.
 */

/** Message, entry, their places in rings and what the slab wastes; measured at 230–260 bytes on V8 11. */
export const entryOverheadBytes = 256

export class ResidentMemory {
  bytes = 0
  readonly bytesMax: number
  /** Publishers go on below this. */
  readonly bytesResume: number

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
    this.bytesResume = Math.floor(bytesMax * 0.9)
  }
}
