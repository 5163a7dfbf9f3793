// A client that says exactly what a test wants said, byte by byte if need be, and writes down every frame it gets.
import { ContentAssembler } from '../../src/amqp/content-assembler.ts'
import { PublishHead } from '../../src/amqp/content-heads.ts'
import { FrameReader, type FrameSink } from '../../src/amqp/frame-reader.ts'
import { BufferPool, FrameWriter } from '../../src/amqp/frame-writer.ts'
import { type Arguments, decodeMethod, encodeMethod, type MethodName } from '../../src/amqp/methods.ts'
import { ByteWriter } from '../../src/lib/byte-writer.ts'
import { type FieldTable, toTable } from '../../src/model/field-table.ts'
import { Message } from '../../src/model/message.ts'
import { emptyProperties } from '../../src/model/properties.ts'
import type { Connection } from '../../src/platform/network.ts'

export interface Received {
  readonly channel: number
  readonly name: MethodName | 'heartbeat'
  readonly args: { readonly [field: string]: unknown }
  message: Message | null
}

export const capableClient: FieldTable = toTable({
  capabilities: { authentication_failure_close: true, 'connection.blocked': true, consumer_cancel_notify: true },
})

export class WireClient implements FrameSink {
  readonly received_: Received[] = []
  isClosed = false
  readonly connection: Connection
  private readonly reader = new FrameReader(this, 1_000_000)
  private readonly writer: FrameWriter
  private readonly chunks: Buffer[] = []
  private readonly content: Map<number, { assembler: ContentAssembler; of: Received }> = new Map()

  constructor(connection: Connection, frameBytesMax = 131_072) {
    this.connection = connection
    const pool = new BufferPool()
    const output = {
      pendingBytes: 0,
      write: (buffer: Buffer, length: number) => void connection.write(buffer, length, (back) => pool.give(back)),
    }
    this.writer = new FrameWriter(pool, output, frameBytesMax)
    connection.attach(this)
  }

  /** All that was received. */
  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }

  // Frames that were received.

  received(chunk: Buffer): void {
    this.chunks.push(chunk)
    if (chunk.toString('latin1', 0, 4) !== 'AMQP') this.reader.push(chunk)
  }

  drained(): void {}

  closed(): void {
    this.isClosed = true
  }

  method(channel: number, buffer: Buffer, start: number, end: number): void {
    const { name, args } = decodeMethod(buffer, start, end)
    const received: Received = { channel, name, args: args as Received['args'], message: null }
    this.received_.push(received)
    if (!['basic.deliver', 'basic.return', 'basic.get-ok'].includes(name)) return
    const assembler = new ContentAssembler(1e9)
    assembler.begin(received.args['exchange'] as string, received.args['routingKey'] as string)
    this.content.set(channel, { assembler, of: received })
  }

  header(channel: number, buffer: Buffer, start: number, end: number): void {
    const content = this.content.get(channel)
    if (content === undefined) throw new Error('content without a method')
    content.of.message = content.assembler.header(buffer, start, end)
  }

  body(channel: number, buffer: Buffer, start: number, end: number, last: boolean): void {
    const content = this.content.get(channel)
    if (content === undefined) throw new Error('content without a method')
    content.of.message = content.assembler.body(buffer, start, end, last)
  }

  heartbeat(): void {
    this.received_.push({ channel: 0, name: 'heartbeat', args: {}, message: null })
  }

  /** What came since the last look. */
  take(): Received[] {
    return this.received_.splice(0)
  }

  /** The same as short text: `channel name`, with code and text of closes. */
  names(): string[] {
    return this.take().map(({ channel, name, args }) => {
      const where = `${channel} ${name}`
      if (name === 'connection.close' || name === 'channel.close') {
        return [
          where,
          args['replyCode'],
          args['replyText'],
          `(${String(args['classId'])},${String(args['methodId'])})`,
        ].join(' ')
      }
      return where
    })
  }

  // What is sent; `flush` sends it as one write.

  raw(bytes: Buffer | string): this {
    const buffer = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
    this.writer.bytes(buffer, 0, buffer.length)
    return this
  }

  frame(type: number, channel: number, payload: Buffer): this {
    const head = Buffer.alloc(7)
    head.writeUInt8(type, 0)
    head.writeUInt16BE(channel, 1)
    head.writeUInt32BE(payload.length, 3)
    return this.raw(Buffer.concat([head, payload, Buffer.from([0xce])]))
  }

  header_(): this {
    return this.raw('AMQP\0\0\x09\x01')
  }

  send<Name extends MethodName>(channel: number, name: Name, args: Arguments<Name>): this {
    const writer = new ByteWriter()
    encodeMethod(writer, name, args)
    return this.frame(1, channel, writer.toBuffer())
  }

  startOk(clientProperties: FieldTable = capableClient, password = 'guest', mechanism = 'PLAIN'): this {
    const response = Buffer.from(`\0guest\0${password}`)
    return this.send(0, 'connection.start-ok', { clientProperties, mechanism, response, locale: 'en_US' })
  }

  tuneOk(channelMax = 2047, frameMax = 131_072, heartbeat = 0): this {
    return this.send(0, 'connection.tune-ok', { channelMax, frameMax, heartbeat })
  }

  publish(channel: number, routingKey: string, body: string | Buffer, mandatory = false, exchange = ''): this {
    const message = Message.of(exchange, routingKey, emptyProperties, Buffer.from(body))
    this.writer.content(channel, new PublishHead(channel).of(exchange, routingKey, mandatory), message)
    return this
  }

  flush(): void {
    this.writer.flush()
  }
}
