// Messages there and back: frame-writer and content-heads against frame-reader, publish-decoder and content-assembler.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader } from '../lib/byte-reader.ts'
import type { BrokerError } from '../model/errors.ts'
import { Message } from '../model/message.ts'
import { emptyProperties, encodeProperties } from '../model/properties.ts'
import { AllocationMeter } from '../testing/fuzz/allocation-meter.ts'
import { ContentAssembler } from './content-assembler.ts'
import { DeliveryHead, methodFrame, PublishHead } from './content-heads.ts'
import { FrameReader, type FrameSink } from './frame-reader.ts'
import { BufferPool, FrameWriter } from './frame-writer.ts'
import { basicPublish, decodeMethod, type Method } from './methods.ts'
import { PublishDecoder } from './publish-decoder.ts'
import { decodeShortString, readShortString, ShortStringCache } from './short-strings.ts'

/** The bytes of all writes, copied as a network would take them. */
class Output {
  readonly pool: BufferPool = new BufferPool()
  readonly pendingBytes: number
  readonly writes: Buffer[] = []

  constructor(pendingBytes = 0) {
    this.pendingBytes = pendingBytes
  }

  write(buffer: Buffer, length: number): void {
    this.writes.push(Buffer.from(buffer.subarray(0, length)))
    this.pool.give(buffer.fill(0xee))
  }

  get bytes(): Buffer {
    return Buffer.concat(this.writes)
  }
}

class Receiver implements FrameSink {
  readonly messages: Message[] = []
  readonly methods: Method[] = []
  readonly publish: PublishDecoder = new PublishDecoder(new ShortStringCache())
  readonly assembler: ContentAssembler

  constructor(bodyBytesMax: number) {
    this.assembler = new ContentAssembler(bodyBytesMax)
  }

  method(_channel: number, buffer: Buffer, start: number, end: number): void {
    if (this.assembler.isOpen) throw this.assembler.interrupted()
    if (buffer.readUInt32BE(start) === basicPublish) {
      this.publish.decode(buffer, start + 4, end)
      this.assembler.begin(this.publish.exchange, this.publish.routingKey)
      return
    }
    const method = decodeMethod(buffer, start, end)
    this.methods.push(method)
    if (method.name === 'basic.deliver') this.assembler.begin(method.args.exchange, method.args.routingKey)
  }

  header(_channel: number, buffer: Buffer, start: number, end: number): void {
    this.take(this.assembler.header(buffer, start, end))
  }

  body(_channel: number, buffer: Buffer, start: number, end: number, last: boolean): void {
    this.take(this.assembler.body(buffer, start, end, last))
  }

  heartbeat(): void {}

  private take(message: Message | null): void {
    if (message !== null) this.messages.push(message)
  }
}

function shown(message: Message): unknown {
  const { exchange, routingKey, persistent } = message
  return [exchange, routingKey, persistent, message.propertyBytes.toString('hex'), message.body.toString('hex')]
}

const name = fc.string({ unit: 'grapheme', maxLength: 30 })
const anyMessage = fc
  .record({
    exchange: name,
    routingKey: name,
    deliveryMode: fc.constantFrom(1, 2),
    messageId: name,
    body: fc.uint8Array({ maxLength: 400 }),
  })
  .map(({ exchange, routingKey, deliveryMode, messageId, body }) =>
    Message.of(exchange, routingKey, encodeProperties({ deliveryMode, messageId }), Buffer.from(body)),
  )

function pushInPieces(reader: FrameReader, bytes: Buffer, sizes: readonly number[]): void {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] as number
    reader.push(bytes.subarray(at, at + size))
    at += size
  }
}

test('published messages arrive as they were, however frames and chunks are cut', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(
      fc.array(anyMessage, { maxLength: 12 }),
      sizes,
      fc.constantFrom(64, 100, 4096),
      (messages, cuts, max) => {
        const output = new Output()
        const writer = new FrameWriter(output.pool, output, max)
        const head = new PublishHead(5)
        for (const message of messages) {
          writer.content(5, head.of(message.exchange, message.routingKey, message.persistent), message)
        }
        writer.flush()
        const receiver = new Receiver(1000)
        pushInPieces(new FrameReader(receiver, 4096), output.bytes, cuts)
        expect(receiver.messages.map(shown)).toEqual(messages.map(shown))
      },
    ),
    { numRuns: 300 },
  )
})

test('deliveries arrive with tag and flag', () => {
  const delivery = fc.record({ tag: fc.maxSafeNat(), redelivered: fc.boolean(), message: anyMessage })
  fc.assert(
    fc.property(fc.array(delivery, { maxLength: 12 }), name, (deliveries, consumerTag) => {
      const output = new Output()
      const writer = new FrameWriter(output.pool, output, 4096)
      const head = new DeliveryHead(9, consumerTag)
      for (const { tag, redelivered, message } of deliveries) {
        writer.content(9, head.of(tag, redelivered, message.exchange, message.routingKey), message)
      }
      writer.flush()
      const receiver = new Receiver(1000)
      new FrameReader(receiver, 4096).push(output.bytes)
      expect(receiver.messages.map(shown)).toEqual(deliveries.map(({ message }) => shown(message)))
      expect(receiver.methods).toEqual(
        deliveries.map(({ tag, redelivered, message: { exchange, routingKey } }) => ({
          name: 'basic.deliver',
          args: { consumerTag, deliveryTag: tag, redelivered, exchange, routingKey },
        })),
      )
    }),
  )
})

describe('the output', () => {
  const message = (bytes: number): Message => Message.of('', 'q', emptyProperties, Buffer.alloc(bytes, 7))
  const receive = (bytes: Buffer): Receiver => {
    const receiver = new Receiver(1e9)
    new FrameReader(receiver, 131_072).push(bytes)
    return receiver
  }

  test('many small messages are one write', () => {
    const output = new Output()
    const writer = new FrameWriter(output.pool, output, 131_072)
    for (let count = 0; count < 500; count++) writer.content(1, new PublishHead(1).of('', 'q', false), message(16))
    writer.flush()
    writer.flush()
    expect(output.writes).toHaveLength(1)
    expect(receive(output.bytes).messages).toHaveLength(500)
  })

  test('more than a buffer is several writes, and a large body many frames', () => {
    const output = new Output()
    const writer = new FrameWriter(output.pool, output, 4096)
    for (const bytes of [65_536, 65_400, 1_000_000, 0, 4088, 4089]) {
      writer.content(1, new PublishHead(1).of('', 'q', false), message(bytes))
      writer.heartbeat()
      writer.settlement(1, 0x003c0050, 2 ** 40 + 1, 1)
    }
    writer.flush()
    const receiver = receive(output.bytes)
    expect(receiver.messages.map((one) => one.bodyBytes)).toEqual([65_536, 65_400, 1_000_000, 0, 4088, 4089])
    expect(receiver.messages.every((one) => one.body.every((octet) => octet === 7))).toBe(true)
    const ack = { name: 'basic.ack', args: { deliveryTag: 2 ** 40 + 1, multiple: true } }
    expect(receiver.methods).toEqual(new Array(6).fill(ack))
  })

  test('a large method crosses buffers', () => {
    const output = new Output()
    const writer = new FrameWriter(output.pool, output, 131_072)
    const response = Buffer.alloc(100_000, 1)
    writer.method(0, 'connection.secure-ok', { response })
    writer.flush()
    expect(receive(output.bytes).methods).toEqual([{ name: 'connection.secure-ok', args: { response } }])
  })

  test('what waits for a slow reader is held in buffers of its size', () => {
    const lengths: number[] = []
    const output = {
      pool: new BufferPool(),
      pendingBytes: 1,
      write: (buffer: Buffer) => void lengths.push(buffer.length),
    }
    const writer = new FrameWriter(output.pool, output, 131_072)
    for (const bytes of [100, 10_000, 50_000]) {
      writer.content(1, new PublishHead(1).of('', 'q', false), message(bytes))
      writer.flush()
    }
    expect(lengths.map((length) => length < 12_000)).toEqual([true, true, false])
    expect(writer.buffer.length).toBe(0)
  })
})

describe('where a message lives', () => {
  const publish = (body: Buffer, frameBytesMax = 4096): Buffer => {
    const output = new Output()
    const writer = new FrameWriter(output.pool, output, frameBytesMax)
    writer.content(1, new PublishHead(1).of('x', 'k', false), Message.of('x', 'k', emptyProperties, body))
    writer.flush()
    return output.bytes
  }

  test('in the chunk, if it came whole', () => {
    const chunk = Buffer.concat([publish(Buffer.from('one')), publish(Buffer.from('two'))])
    const receiver = new Receiver(100)
    new FrameReader(receiver, 4096).push(chunk)
    expect(receiver.messages.map((message) => message.source === chunk && !message.owned)).toEqual([true, true])
    expect(receiver.messages[1]?.exchange).toBe(receiver.messages[0]?.exchange)
  })

  test('in a buffer of exactly its size, if it came in pieces', () => {
    const bytes = publish(Buffer.alloc(300, 1), 108)
    for (let cut = 1; cut < bytes.length; cut++) {
      const receiver = new Receiver(1000)
      const reader = new FrameReader(receiver, 4096)
      reader.push(bytes.subarray(0, cut))
      reader.push(bytes.subarray(cut))
      const [message] = receiver.messages
      expect(message?.owned).toBe(true)
      expect(message?.source.length).toBe(302)
      expect(message?.body.equals(Buffer.alloc(300, 1))).toBe(true)
    }
  })

  test('a body of 3 MiB is collected whole', () => {
    const body = Buffer.alloc(3 * 1024 * 1024)
    for (let at = 0; at < body.length; at += 4) body.writeUInt32BE(at, at)
    const receiver = new Receiver(1e7)
    pushInPieces(new FrameReader(receiver, 131_072), publish(body, 131_072), [65_536])
    expect(receiver.messages[0]?.body.equals(body)).toBe(true)
    expect(receiver.messages[0]?.source.length).toBe(body.length + 2)
  })

  // Announcing costs 8 octets, on each of thousands of channels.
  test('a buffer has four times what has come of a body, or 4 KiB, however much was announced', () => {
    const body = Buffer.alloc(10 * 1024 * 1024, 7)
    const bytes = publish(body, 8_192)
    const receiver = new Receiver(16_777_216)
    const reader = new FrameReader(receiver, 131_072)
    const meter = new AllocationMeter()
    meter.start()
    try {
      for (let at = 0; at < bytes.length; at += 5_000) {
        reader.push(bytes.subarray(at, at + 5_000))
        expect(meter.largestBytes).toBeLessThanOrEqual(Math.max(4_096 + 2, 4 * (at + 5_000)))
      }
    } finally {
      meter.stop()
    }
    expect(receiver.messages[0]?.body.equals(body)).toBe(true)
    expect(receiver.messages[0]?.source.length).toBe(body.length + 2)
  })

  test('frames of two channels may come between each other', () => {
    const one = publish(Buffer.from('one'))
    const receiver = new Receiver(100)
    const other = new Receiver(100)
    const both: FrameSink = {
      method: (channel, ...rest) => (channel === 1 ? receiver : other).method(channel, ...rest),
      header: (channel, ...rest) => (channel === 1 ? receiver : other).header(channel, ...rest),
      body: (channel, ...rest) => (channel === 1 ? receiver : other).body(channel, ...rest),
      heartbeat: () => {},
    }
    const two = Buffer.from(publish(Buffer.from('two')))
    // Method, header and body frame of one publish; the second's get channel 2.
    const cuts = [0, 7 + one.readUInt32BE(3) + 1]
    cuts.push((cuts[1] as number) + 8 + one.readUInt32BE((cuts[1] as number) + 3), one.length)
    const mixed: Buffer[] = []
    for (let piece = 0; piece < 3; piece++) {
      two[(cuts[piece] as number) + 2] = 2
      mixed.push(one.subarray(cuts[piece], cuts[piece + 1]), two.subarray(cuts[piece], cuts[piece + 1]))
    }
    new FrameReader(both, 4096).push(Buffer.concat(mixed))
    expect(receiver.messages.map((message) => message.body.toString())).toEqual(['one'])
    expect(other.messages.map((message) => message.body.toString())).toEqual(['two'])
  })
})

describe('content that is wrong', () => {
  const begun = (bodyBytesMax = 1000): ContentAssembler => {
    const assembler = new ContentAssembler(bodyBytesMax)
    assembler.begin('', 'q')
    return assembler
  }
  const header = (size: number | bigint, classId = 60, weight = 0, properties = '0000'): Buffer => {
    const bytes = Buffer.concat([Buffer.alloc(12), Buffer.from(properties, 'hex')])
    bytes.writeUInt16BE(classId, 0)
    bytes.writeUInt16BE(weight, 2)
    bytes.writeBigUInt64BE(BigInt(size), 4)
    return bytes
  }
  const give = (assembler: ContentAssembler, bytes: Buffer): Message | null => assembler.header(bytes, 0, bytes.length)
  const messageOf = (run: () => unknown): string => {
    try {
      run()
      return 'none'
    } catch (error) {
      return (error as BrokerError).message
    }
  }

  test('too large: read to its end, then refused; the next one is good', () => {
    const assembler = begun(10)
    give(assembler, header(12))
    expect(assembler.body(Buffer.alloc(8), 0, 8, true)).toBeNull()
    expect(assembler.body(Buffer.alloc(8), 0, 4, false)).toBeNull()
    expect(messageOf(() => assembler.body(Buffer.alloc(0), 0, 0, true))).toBe(
      'PRECONDITION_FAILED - message size 12 is larger than configured max size 10',
    )
    expect(assembler.isOpen).toBe(false)
    assembler.begin('', 'q')
    give(assembler, header(10))
    expect(assembler.body(Buffer.alloc(10), 0, 10, true)?.bodyBytes).toBe(10)
  })

  test.each([512 * 1024 * 1024 + 1, 2n ** 32n, 2n ** 64n - 1n])('announced with %s bytes', (size) => {
    expect(messageOf(() => give(begun(), header(size)))).toContain('FRAME_ERROR - content size')
  })

  test('an announced size alone takes no memory', () => {
    const assembler = begun(512 * 1024 * 1024)
    const before = process.memoryUsage().arrayBuffers
    give(assembler, header(512 * 1024 * 1024))
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024)
  })

  test('more body than announced', () => {
    for (const max of [4, 1000]) {
      const assembler = begun(max)
      give(assembler, header(5))
      assembler.body(Buffer.alloc(4), 0, 4, true)
      expect(messageOf(() => assembler.body(Buffer.alloc(2), 0, 2, true))).toBe(
        'FRAME_ERROR - content body frame exceeds remaining content size',
      )
    }
  })

  test('frames out of turn have RabbitMQ’s texts', () => {
    const idle = new ContentAssembler(10)
    const noMethod = 'UNEXPECTED_FRAME - expected method frame, got non method frame instead'
    const noHeader = 'UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead'
    expect(messageOf(() => give(idle, header(1)))).toBe(noMethod)
    expect(messageOf(() => idle.body(Buffer.alloc(1), 0, 1, true))).toBe(noMethod)
    expect(messageOf(() => begun().body(Buffer.alloc(1), 0, 1, true))).toBe(noHeader)
    expect(messageOf(() => give(begun(), header(1, 60, 1)))).toBe(noHeader)
    expect(messageOf(() => give(begun(), header(1, 50)))).toBe(
      'UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead',
    )
    const open = begun()
    give(open, header(1))
    expect(messageOf(() => give(open, header(1)))).toBe(
      'UNEXPECTED_FRAME - expected content body, got non content body frame instead',
    )
    expect(begun().interrupted().message).toBe(noHeader)
  })

  test('property bytes that are not what their flags say', () => {
    for (const properties of ['', '00', '8000', '800005', '0001', '2000000000ff', '000000']) {
      expect(
        messageOf(() => give(begun(), header(0, 60, 0, properties))),
        properties,
      ).toContain('SYNTAX_ERROR')
    }
  })

  test('a body frame without octets is let pass while octets are missing', () => {
    const assembler = begun()
    give(assembler, header(2))
    expect(assembler.body(Buffer.alloc(0), 0, 0, true)).toBeNull()
    expect(assembler.body(Buffer.from('ab'), 0, 2, true)?.body.toString()).toBe('ab')
  })
})

describe('names', () => {
  test('publishes decode as the table says, and the same octets give the same string', () => {
    const decoder = new PublishDecoder(new ShortStringCache())
    const publish = fc.record({ exchange: name, routingKey: name, mandatory: fc.boolean(), immediate: fc.boolean() })
    fc.assert(
      fc.property(fc.array(publish, { minLength: 1 }), (publishes) => {
        for (const args of publishes) {
          const bytes = methodFrame(1, 'basic.publish', args)
          decoder.decode(bytes, 11, bytes.length - 1)
          const { exchange, routingKey, mandatory, immediate } = decoder
          expect({ exchange, routingKey, mandatory, immediate }).toEqual(args)
        }
      }),
    )
  })

  test('a publish cut anywhere is a FRAME_ERROR', () => {
    const args = { exchange: 'exchange', routingKey: 'key', mandatory: true, immediate: false }
    const bytes = methodFrame(1, 'basic.publish', args)
    for (let end = 11; end < bytes.length - 1; end++) {
      const decoder = new PublishDecoder(new ShortStringCache())
      expect(() => decoder.decode(bytes, 11, end), `${end}`).toThrow('FRAME_ERROR - cannot decode <<')
    }
  })

  test('the cache gives what was read, also where strings share a slot', () => {
    const cache = new ShortStringCache()
    const text = fc.string({ unit: 'grapheme', maxLength: 80 })
    fc.assert(
      fc.property(fc.array(text, { maxLength: 50 }), (texts) => {
        for (const value of [...texts, ...texts]) {
          const bytes = Buffer.from(`.${value}`)
          expect(cache.read(bytes, 1, bytes.length)).toBe(value)
        }
      }),
    )
  })

  test('octets that are not UTF-8 are refused, and are not remembered', () => {
    const cache = new ShortStringCache()
    const bytes = Buffer.from([0xc3, 0x28])
    for (let turn = 0; turn < 2; turn++) expect(() => cache.read(bytes, 0, 2)).toThrow('Malformed UTF-8 in shortstr')
    expect(() => decodeShortString(bytes, 0, 2)).toThrow('FRAME_ERROR')
    expect(() => readShortString(new ByteReader(Buffer.from([5, 65])))).toThrow('beyond 2')
  })
})
