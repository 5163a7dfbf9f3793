/**
 * Reads basic.publish, which comes with every message:
 *
 *     reserved u16be   exchange shortstr   routing key shortstr   bits u8 (1 = mandatory, 2 = immediate)
 *
 * A publisher mostly sends to where it sent last. So the octets of both names are compared with those of the last publish
 * on the connection, and the same octets give the same strings without decoding them.
 */
import { undecodable } from './methods.ts'
import type { ShortStringCache } from './short-strings.ts'

const mandatoryBit = 1
const immediateBit = 2

export class PublishDecoder {
  exchange = ''
  routingKey = ''
  mandatory = false
  immediate = false
  private readonly strings: ShortStringCache
  /** Both names of the last publish with their lengths, as they stood on the wire. */
  private readonly last: Uint8Array = new Uint8Array(512)
  private lastBytes = 0

  constructor(strings: ShortStringCache) {
    this.strings = strings
  }

  /** Reads the arguments in `buffer[start, end)` into the fields above. */
  decode(buffer: Buffer, start: number, end: number): void {
    const namesStart = start + 2
    const keyAt = namesStart < end ? namesStart + 1 + (buffer[namesStart] as number) : end
    const bitsAt = keyAt < end ? keyAt + 1 + (buffer[keyAt] as number) : end
    if (bitsAt + 1 !== end) throw undecodable(buffer, start, end)
    const bits = buffer[bitsAt] as number
    this.mandatory = (bits & mandatoryBit) !== 0
    this.immediate = (bits & immediateBit) !== 0
    if (!this.isLast(buffer, namesStart, bitsAt)) this.decodeNames(buffer, namesStart, keyAt, bitsAt)
  }

  private isLast(buffer: Buffer, start: number, end: number): boolean {
    if (end - start !== this.lastBytes) return false
    const { last } = this
    // From the end, where names differ.
    for (let from = end - 1, to = end - start - 1; to >= 0; from--, to--) {
      if (buffer[from] !== last[to]) return false
    }
    return true
  }

  private decodeNames(buffer: Buffer, start: number, keyAt: number, end: number): void {
    this.lastBytes = 0
    this.exchange = this.strings.read(buffer, start + 1, keyAt)
    this.routingKey = this.strings.read(buffer, keyAt + 1, end)
    this.lastBytes = end - start
    const { last } = this
    for (let from = start, to = 0; from < end; from++, to++) last[to] = buffer[from] as number
  }
}
