/**
 * The method frames that stand before content, ready to be copied before each message:
 *
 *     1   channel u16be   size u32be   class, method   arguments   0xCE
 *
 * A consumer gets message after message from one exchange with one routing key, and a publisher sends them so; only the
 * delivery tag and a bit differ. Each head keeps its frame and patches it.
 */
import { ByteWriter } from '../lib/byte-writer.ts'
import { frameEnd, frameMethod } from './frame-reader.ts'
import { writeU64 } from './frame-writer.ts'
import { type Arguments, encodeMethod, type MethodName } from './methods.ts'

/** A whole method frame in a buffer of its own. */
export function methodFrame<Name extends MethodName>(channel: number, name: Name, args: Arguments<Name>): Buffer {
  const writer = new ByteWriter(128)
  writer.u8(frameMethod)
  writer.u16be(channel)
  writer.u32be(0)
  encodeMethod(writer, name, args)
  writer.buffer.writeUInt32BE(writer.length - 7, 3)
  writer.u8(frameEnd)
  return writer.toBuffer()
}

/** basic.deliver for one consumer: consumer tag shortstr, delivery tag u64be, redelivered bit, exchange, routing key. */
export class DeliveryHead {
  readonly consumerTag: string
  private readonly channel: number
  private readonly tagAt: number
  private exchange = ''
  private routingKey = ''
  private frame: Buffer

  constructor(channel: number, consumerTag: string) {
    this.channel = channel
    this.consumerTag = consumerTag
    this.tagAt = 7 + 4 + 1 + Buffer.byteLength(consumerTag)
    this.frame = this.encode()
  }

  /** The frame; valid until the next call. */
  of(deliveryTag: number, redelivered: boolean, exchange: string, routingKey: string): Buffer {
    if (routingKey !== this.routingKey || exchange !== this.exchange) {
      this.exchange = exchange
      this.routingKey = routingKey
      this.frame = this.encode()
    }
    const { frame, tagAt } = this
    writeU64(frame, tagAt, deliveryTag)
    frame[tagAt + 8] = redelivered ? 1 : 0
    return frame
  }

  private encode(): Buffer {
    const { channel, consumerTag, exchange, routingKey } = this
    const args = { consumerTag, deliveryTag: 0, redelivered: false, exchange, routingKey }
    return methodFrame(channel, 'basic.deliver', args)
  }
}

/** basic.publish on one channel: reserved u16be, exchange, routing key, bits (1 = mandatory). */
export class PublishHead {
  private readonly channel: number
  private exchange = ''
  private routingKey = ''
  private frame: Buffer

  constructor(channel: number) {
    this.channel = channel
    this.frame = this.encode()
  }

  /** The frame; valid until the next call. */
  of(exchange: string, routingKey: string, mandatory: boolean): Buffer {
    if (routingKey !== this.routingKey || exchange !== this.exchange) {
      this.exchange = exchange
      this.routingKey = routingKey
      this.frame = this.encode()
    }
    const { frame } = this
    frame[frame.length - 2] = mandatory ? 1 : 0
    return frame
  }

  private encode(): Buffer {
    const { channel, exchange, routingKey } = this
    return methodFrame(channel, 'basic.publish', { exchange, routingKey, mandatory: false, immediate: false })
  }
}
