/**
 * Reads basic.deliver, which comes with every message:
 *
 *     consumer tag shortstr   delivery tag u64be   redelivered u8   exchange shortstr   routing key shortstr
 */
import { BrokerError } from '../model/errors.ts'
import type { ShortStringCache } from './short-strings.ts'

export class DeliveryDecoder {
  consumerTag = ''
  deliveryTag = 0
  redelivered = false
  exchange = ''
  routingKey = ''
  private readonly strings: ShortStringCache

  constructor(strings: ShortStringCache) {
    this.strings = strings
  }

  /** Reads the arguments in `buffer[start, end)` into the fields above. */
  decode(buffer: Buffer, start: number, end: number): void {
    const tagAt = start < end ? start + 1 + (buffer[start] as number) : end
    const exchangeAt = tagAt + 9
    const keyAt = exchangeAt < end ? exchangeAt + 1 + (buffer[exchangeAt] as number) : end
    const keyEnd = keyAt < end ? keyAt + 1 + (buffer[keyAt] as number) : -1
    if (keyEnd !== end) throw new BrokerError('SYNTAX_ERROR', 'the arguments of basic.deliver cannot be decoded')
    const { strings } = this
    this.consumerTag = strings.read(buffer, start + 1, tagAt)
    this.deliveryTag = buffer.readUInt32BE(tagAt) * 4294967296 + buffer.readUInt32BE(tagAt + 4)
    this.redelivered = (buffer[tagAt + 8] as number) !== 0
    this.exchange = strings.read(buffer, exchangeAt + 1, keyAt)
    this.routingKey = strings.read(buffer, keyAt + 1, end)
  }
}
