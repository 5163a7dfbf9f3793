// One TCP connection that says exactly what it is told, legal or not, and keeps what comes back as lines of text. It decodes
// with code of its own where it can, because what it reads is not always legal either.
import { createConnection, type Socket } from 'node:net'
import { decodeMethod, encodeMethod, type MethodName, methods } from '../../src/amqp/methods.ts'
import { ByteWriter } from '../../src/lib/byte-writer.ts'
import { emptyTable, type Field, type FieldTable, type PlainValue, toField } from '../../src/model/field-table.ts'
import { decodeProperties, encodeProperties, type Properties } from '../../src/model/properties.ts'
import { showArguments, showBody, showProperties } from './show.ts'

/** One thing that was received: a method, with its content if it has some. */
export interface Received {
  readonly channel: number
  readonly name: MethodName | 'heartbeat' | 'protocol header'
  readonly args: Readonly<Record<string, unknown>>
  /** As it stands in the transcript. */
  text: string
  /** Its content is still coming. */
  isPartial: boolean
}

export type Table = Readonly<Record<string, PlainValue | Field>>
/** Fields that are not named are empty, false or 0. */
export type Args = Readonly<Record<string, unknown>>
export type PlainProperties = Omit<Properties, 'headers'> & { readonly headers?: Table }

interface Content {
  readonly of: Received
  properties: Properties | null
  size: number
  readonly bodies: Buffer[]
}

export class Peer {
  /** The socket is gone, whoever ended it. */
  isEnded = false
  readonly received: Received[] = []
  /** Whether close and close-ok are answered as the protocol wants. */
  answersCloses = true
  readonly closedChannels: Set<number> = new Set()
  isClosed = false
  onReceived: (received: Received) => boolean = () => true
  private readonly socket: Socket
  private chunks: Buffer = Buffer.alloc(0)
  private readonly contents: Map<number, Content> = new Map()
  private readonly waiting: Set<() => void> = new Set()
  private readonly connected: Promise<void>

  constructor(port: number) {
    this.socket = createConnection({ port, host: '127.0.0.1' })
    this.socket.setNoDelay(true)
    this.connected = new Promise((resolve) => this.socket.once('connect', () => resolve()))
    this.socket.on('data', (chunk: Buffer) => this.read(chunk))
    const end = (): void => {
      this.isEnded = true
      this.changed()
    }
    this.socket.on('error', end)
    this.socket.on('close', end)
    this.socket.on('end', end)
  }

  ready(): Promise<void> {
    return this.connected
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** Stops and resumes reading what the broker sends. */
  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  /** Resolves when `condition` holds; rejects with what was waited for. */
  until(what: string, condition: () => boolean, timeoutMs = 15_000): Promise<void> {
    if (condition()) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!condition()) return
        clearTimeout(timer)
        this.waiting.delete(look)
        resolve()
      }
      const timer = setTimeout(() => {
        this.waiting.delete(look)
        reject(new Error(`waited in vain for ${what}`))
      }, timeoutMs)
      this.waiting.add(look)
    })
  }

  private changed(): void {
    for (const look of this.waiting) look()
  }

  // What is said.

  raw(bytes: Buffer | string): void {
    if (!this.socket.destroyed) this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  frame(type: number, channel: number, payload: Buffer): void {
    this.raw(frameOf(type, channel, payload))
  }

  method(channel: number, name: MethodName, args: Args = {}): void {
    this.frame(1, channel, methodPayload(name, args))
  }

  /** A method, a content header and as many body frames as are given, in one write. */
  content(channel: number, name: MethodName, args: Args, properties: PlainProperties, bodies: readonly Buffer[]): void {
    const size = bodies.reduce((sum, body) => sum + body.length, 0)
    this.raw(
      Buffer.concat([
        frameOf(1, channel, methodPayload(name, args)),
        frameOf(2, channel, headerPayload(size, properties)),
        ...bodies.filter((body) => body.length > 0).map((body) => frameOf(3, channel, body)),
      ]),
    )
  }

  // What comes back.

  private read(chunk: Buffer): void {
    this.chunks = this.chunks.length === 0 ? chunk : Buffer.concat([this.chunks, chunk])
    while (this.chunks.length >= 8) {
      if (this.chunks.toString('latin1', 0, 4) === 'AMQP') {
        const text = `protocol header ${[...this.chunks.subarray(4, 8)].join(' ')}`
        this.accept({ channel: 0, name: 'protocol header', args: {}, text, isPartial: false })
        this.chunks = this.chunks.subarray(8)
        continue
      }
      const size = this.chunks.readUInt32BE(3)
      if (this.chunks.length < size + 8) break
      const type = this.chunks.readUInt8(0)
      const channel = this.chunks.readUInt16BE(1)
      const payload = this.chunks.subarray(7, 7 + size)
      if (this.chunks[7 + size] !== 0xce) throw new Error('a frame without its end')
      this.chunks = this.chunks.subarray(size + 8)
      this.take(type, channel, payload)
    }
    this.changed()
  }

  private take(type: number, channel: number, payload: Buffer): void {
    if (type === 8) {
      this.accept({ channel, name: 'heartbeat', args: {}, text: 'heartbeat', isPartial: false })
    } else if (type === 1) this.takeMethod(channel, payload)
    else this.takeContent(type, channel, payload)
  }

  private takeMethod(channel: number, payload: Buffer): void {
    const { name, args } = decodeMethod(payload, 0, payload.length)
    const text = `${name}${showArguments(name, args as Args, payload)}`
    const isPartial = name === 'basic.deliver' || name === 'basic.return' || name === 'basic.get-ok'
    const received: Received = { channel, name, args: args as Args, text, isPartial }
    if (isPartial) this.contents.set(channel, { of: received, properties: null, size: 0, bodies: [] })
    this.accept(received)
    if (name === 'connection.close' || name === 'connection.close-ok') this.isClosed = true
    // RabbitMQ waits for the client to hang up.
    if (name === 'connection.close-ok') this.socket.end()
    if (name === 'channel.close') this.closedChannels.add(channel)
    if (!this.answersCloses) return
    if (name === 'connection.close') this.method(0, 'connection.close-ok')
    if (name === 'channel.close') this.method(channel, 'channel.close-ok')
  }

  private takeContent(type: number, channel: number, payload: Buffer): void {
    const content = this.contents.get(channel)
    if (content === undefined) throw new Error(`content without a method on channel ${channel}`)
    if (type === 2) {
      content.size = Number(payload.readBigUInt64BE(4))
      content.properties = decodeProperties(payload, 12, payload.length)
    } else content.bodies.push(payload)
    const got = content.bodies.reduce((sum, body) => sum + body.length, 0)
    if (got < content.size) return
    this.contents.delete(channel)
    content.of.text += `${showProperties(content.properties as Properties)} ${showBody(content.bodies)}`
    content.of.isPartial = false
  }

  private accept(received: Received): void {
    if (this.onReceived(received)) this.received.push(received)
  }
}

export function frameOf(type: number, channel: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(7)
  head.writeUInt8(type, 0)
  head.writeUInt16BE(channel, 1)
  head.writeUInt32BE(payload.length, 3)
  return Buffer.concat([head, payload, Buffer.from([0xce])])
}

export function methodPayload(name: MethodName, args: Args = {}): Buffer {
  const writer = new ByteWriter()
  const fields = methods[name].fields as Readonly<Record<string, string>>
  const filled: Record<string, unknown> = {}
  for (const [field, type] of Object.entries(fields)) filled[field] = valueOf(type, args[field])
  for (const given of Object.keys(args)) {
    if (fields[given] === undefined) throw new Error(`${name} has no field ${given}`)
  }
  encodeMethod(writer, name, filled as never)
  return writer.toBuffer()
}

export function headerPayload(size: number, properties: PlainProperties = {}): Buffer {
  const { headers, ...others } = properties
  const all: Properties = headers === undefined ? others : { ...others, headers: tableOf(headers) }
  const head = Buffer.alloc(12)
  head.writeUInt16BE(60, 0)
  head.writeBigUInt64BE(BigInt(size), 4)
  return Buffer.concat([head, encodeProperties(all)])
}

export function tableOf(table: Table): FieldTable {
  return new Map(Object.entries(table).map(([key, value]) => [key, isField(value) ? value : toField(value)]))
}

/** A value with its type tag, where the tag that a plain value gets is not the one that is meant. */
export function field(tag: Field['tag'], value: Field['value']): Field {
  return { tag, value }
}

function isField(value: PlainValue | Field): value is Field {
  return typeof value === 'object' && value !== null && 'tag' in value && 'value' in value
}

function valueOf(type: string, given: unknown): unknown {
  switch (type) {
    case 'bit':
      return given ?? false
    case 'shortstr':
    case 'longstr':
      return given ?? ''
    case 'bytes':
      return Buffer.from((given as Buffer | string | undefined) ?? '')
    case 'table':
      return given === undefined ? emptyTable : tableOf(given as Table)
    default:
      return given ?? 0
  }
}
