/**
 * The first 8 octets of a connection:
 *
 *     'A' 'M' 'Q' 'P'  0 0 9 1     AMQP 0-9-1
 *     'A' 'M' 'Q' 'P'  1 1 0 9     AMQP 0-9 as it announces itself; RabbitMQ takes it for the same, so do we
 *
 * To anything else the answer is the header we understand, and the end: clients test for just that.
 */

const headerBytes = 8

export class ProtocolHeader {
  static readonly answer: Buffer = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1])
  private static readonly accepted: readonly Buffer[] = [
    ProtocolHeader.answer,
    Buffer.from([0x41, 0x4d, 0x51, 0x50, 1, 1, 0, 9]),
  ]
  private readonly octets: Buffer = Buffer.alloc(headerBytes)
  private length = 0

  /** Returns where in the chunk the frames begin; its end, if there are none yet or never will be. */
  push(chunk: Buffer): number {
    const bytes = chunk.copy(this.octets, this.length)
    this.length += bytes
    return this.isComplete ? bytes : chunk.length
  }

  get isWrong(): boolean {
    return this.length === headerBytes && !this.isComplete
  }

  get isComplete(): boolean {
    return this.length === headerBytes && ProtocolHeader.accepted.some((header) => header.equals(this.octets))
  }
}
