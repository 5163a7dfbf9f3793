/** Appends numbers, strings and bytes to a buffer that grows; big-endian (AMQP) and little-endian (our files). */

export class ByteWriter {
  buffer: Buffer
  length = 0

  constructor(capacity = 256) {
    this.buffer = Buffer.allocUnsafeSlow(capacity)
  }

  /** Makes room for `bytes` more. */
  reserve(bytes: number): void {
    if (this.length + bytes <= this.buffer.length) return
    let capacity = this.buffer.length * 2
    while (capacity < this.length + bytes) capacity *= 2
    const grown = Buffer.allocUnsafeSlow(capacity)
    this.buffer.copy(grown, 0, 0, this.length)
    this.buffer = grown
  }

  u8(value: number): void {
    this.reserve(1)
    this.buffer[this.length++] = value
  }

  u16be(value: number): void {
    this.reserve(2)
    this.length = this.buffer.writeUInt16BE(value, this.length)
  }

  u32be(value: number): void {
    this.reserve(4)
    this.length = this.buffer.writeUInt32BE(value, this.length)
  }

  u64be(value: number): void {
    this.reserve(8)
    this.length = this.buffer.writeUInt32BE(Math.floor(value / 4294967296), this.length)
    this.length = this.buffer.writeUInt32BE(value % 4294967296, this.length)
  }

  u32le(value: number): void {
    this.reserve(4)
    this.length = this.buffer.writeUInt32LE(value, this.length)
  }

  /** Seven bits an octet, lowest first, the high bit set on all but the last; up to 2^53 - 1. */
  varint(value: number): void {
    this.reserve(8)
    let rest = value
    while (rest >= 128) {
      this.buffer[this.length++] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    this.buffer[this.length++] = rest
  }

  bytes(source: Buffer): void {
    this.reserve(source.length)
    source.copy(this.buffer, this.length)
    this.length += source.length
  }

  /** UTF-8 behind its length as a varint. */
  text(value: string): void {
    const size = Buffer.byteLength(value)
    this.varint(size)
    this.reserve(size)
    this.length += this.buffer.write(value, this.length, size, 'utf8')
  }

  /** A copy of what was written. */
  toBuffer(): Buffer {
    return Buffer.from(this.buffer.subarray(0, this.length))
  }
}
