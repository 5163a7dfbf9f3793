/**
 * Reads numbers, strings and bytes from a range of a buffer. Reading past the end throws `ByteReaderError`; the owner of
 * the format turns it into an error of its own.
 */

export class ByteReaderError extends Error {
  override readonly name: string = 'ByteReaderError'
}

export class ByteReader {
  readonly buffer: Buffer
  at: number
  readonly end: number

  constructor(buffer: Buffer, start = 0, end: number = buffer.length) {
    this.buffer = buffer
    this.at = start
    this.end = end
  }

  get remaining(): number {
    return this.end - this.at
  }

  need(bytes: number): void {
    if (bytes > this.end - this.at) {
      throw new ByteReaderError(`${bytes} bytes wanted at offset ${this.at}, ${this.end - this.at} left`)
    }
  }

  u8(): number {
    this.need(1)
    return this.buffer[this.at++] as number
  }

  u16be(): number {
    this.need(2)
    const value = this.buffer.readUInt16BE(this.at)
    this.at += 2
    return value
  }

  u32be(): number {
    this.need(4)
    const value = this.buffer.readUInt32BE(this.at)
    this.at += 4
    return value
  }

  /** An unsigned 64-bit number; above 2^53 - 1 it loses low bits, so the caller checks what it may be. */
  u64be(): number {
    this.need(8)
    const value = this.buffer.readUInt32BE(this.at) * 4294967296 + this.buffer.readUInt32BE(this.at + 4)
    this.at += 8
    return value
  }

  u32le(): number {
    this.need(4)
    const value = this.buffer.readUInt32LE(this.at)
    this.at += 4
    return value
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (let octet = 0; octet < 8; octet++) {
      const byte = this.u8()
      value += (byte & 127) * scale
      if (byte < 128) return value
      scale *= 128
    }
    throw new ByteReaderError(`a varint of more than 8 octets at offset ${this.at}`)
  }

  bytes(length: number): Buffer {
    this.need(length)
    const value = this.buffer.subarray(this.at, this.at + length)
    this.at += length
    return value
  }

  text(): string {
    const length = this.varint()
    this.need(length)
    const value = this.buffer.toString('utf8', this.at, this.at + length)
    this.at += length
    return value
  }

  utf8(length: number): string {
    this.need(length)
    const value = this.buffer.toString('utf8', this.at, this.at + length)
    this.at += length
    return value
  }
}
