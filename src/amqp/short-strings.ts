/**
 * AMQP short strings (length u8, UTF-8): read once, and remembered where the same few come again and again.
 *
 * Two strings with the same content are not the same object to V8: comparing them compares bytes and looking one up
 * hashes it afresh. A name that comes from the cache is the very string that came before, so both cost next to nothing.
 */
import { isUtf8 } from 'node:buffer'
import { type ByteReader, ByteReaderError } from '../lib/byte-reader.ts'
import { BrokerError } from '../model/errors.ts'

// A slot is overwritten by the next string that falls into it, so the cache never grows: 1024 × 64 bytes, per server.
const slotCount = 1024
const slotBytes = 64

export class ShortStringCache {
  private readonly bytes: Buffer = Buffer.alloc(slotCount * slotBytes)
  private readonly strings: string[] = new Array<string>(slotCount).fill('')
  private readonly lengths: Uint8Array = new Uint8Array(slotCount)

  /** The string in `buffer[start, end)`. Throws FRAME_ERROR if it is not UTF-8. */
  read(buffer: Buffer, start: number, end: number): string {
    const length = end - start
    if (length === 0) return ''
    if (length > slotBytes) return decodeShortString(buffer, start, end)
    const slot = slotOf(buffer, start, end)
    if (this.holds(slot, buffer, start, length)) return this.strings[slot] as string
    const value = decodeShortString(buffer, start, end)
    buffer.copy(this.bytes, slot * slotBytes, start, end)
    this.strings[slot] = value
    this.lengths[slot] = length
    return value
  }

  private holds(slot: number, buffer: Buffer, start: number, length: number): boolean {
    if (this.lengths[slot] !== length) return false
    const { bytes } = this
    const from = slot * slotBytes
    for (let at = 0; at < length; at++) {
      if (bytes[from + at] !== buffer[start + at]) return false
    }
    return true
  }
}

function slotOf(buffer: Buffer, start: number, end: number): number {
  let hash = 0
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + (buffer[at] as number)) | 0
  return (hash ^ (hash >>> 15)) & (slotCount - 1)
}

/** The string in `buffer[start, end)`. Throws FRAME_ERROR, with RabbitMQ's text, if it is not UTF-8. */
export function decodeShortString(buffer: Buffer, start: number, end: number): string {
  let high = 0
  for (let at = start; at < end; at++) high |= buffer[at] as number
  if (high < 128) return buffer.toString('latin1', start, end)
  if (!isUtf8(buffer.subarray(start, end))) throw new BrokerError('FRAME_ERROR', 'Malformed UTF-8 in shortstr')
  return buffer.toString('utf8', start, end)
}

/** Reads a short string with its length before it. */
export function readShortString(reader: ByteReader): string {
  const end = reader.at + 1 + reader.u8()
  if (end > reader.end) throw new ByteReaderError(`a short string ends at ${end}, beyond ${reader.end}`)
  const value = decodeShortString(reader.buffer, reader.at, end)
  reader.at = end
  return value
}
