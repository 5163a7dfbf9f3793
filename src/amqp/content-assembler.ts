/**
 * Puts a message together: a method that announces content, then a content header frame, then body frames:
 *
 *     content header   class u16be (60)   weight u16be (0)   body size u64be   property bytes (see model/properties)
 *     body             body size octets, cut into frames as the sender likes; none if it is 0
 *
 * When header and body lie behind each other in one chunk, the message is made of ranges of the chunk. Otherwise they are
 * collected in a buffer that grows with what has come, for the announced size is only a claim. A large body is handed on as it
 * comes, if there is a place for such; it is a message when that says so. One object per channel.
 */
import { assert } from '../lib/assert.ts'
import { copyRange } from '../lib/copy-range.ts'
import type { BodySink, BodyStore } from '../model/bodies.ts'
import { BrokerError } from '../model/errors.ts'
import { Message } from '../model/message.ts'
import { isMarked, scanProperties } from '../model/properties.ts'
import { frameBody } from './frame-reader.ts'

export const contentHeaderBytes = 12
const classBasic = 60
/** RabbitMQ's hard ceiling; nobody may even announce more. */
const bodyBytesCeiling = 512 * 1024 * 1024
// Content that comes in pieces has a buffer of four times what has come, and so much at least; at most the announced size.
const collectBytes = 4_096

type State = 'idle' | 'header' | 'body' | 'collect' | 'discard' | 'store' | 'storing'

/** Where large bodies go, and whoever waits for them. */
export interface LargeBodies {
  readonly bodies: BodyStore
  /** The sink is not full any more. */
  drained(): void
  /** A body is where it should be: `stored` gives the message. */
  stored(): void
}

export class ContentAssembler {
  private readonly bodyBytesMax: number
  private state: State = 'idle'
  private exchange = ''
  private routingKey = ''
  private source: Buffer = Buffer.alloc(0)
  private propertiesStart = 0
  private propertiesEnd = 0
  private bodyBytes = 0
  /** Body octets that have come. */
  private received = 0

  private readonly large: LargeBodies | null
  private sink: BodySink | null = null

  /** A larger body is read and dropped, then refused. `large` null: all messages are put together here. */
  constructor(bodyBytesMax: number, large: LargeBodies | null = null) {
    this.bodyBytesMax = bodyBytesMax
    this.large = large
  }

  /** Between the method and the end of its content nothing else may come on the channel. */
  get isOpen(): boolean {
    return this.state !== 'idle'
  }

  /** The error of a method that came before the content was complete. */
  interrupted(): BrokerError {
    const text =
      this.state === 'header'
        ? `expected content header for class ${classBasic}, got non content header frame instead`
        : 'expected content body, got non content body frame instead'
    return new BrokerError('UNEXPECTED_FRAME', text)
  }

  begin(exchange: string, routingKey: string): void {
    assert(this.state === 'idle', 'one content at a time')
    this.exchange = exchange
    this.routingKey = routingKey
    this.state = 'header'
  }

  /** All of a large body has come, and is not yet where it should be: what comes next on the channel must wait. */
  get isStoring(): boolean {
    return this.state === 'storing'
  }

  /** So much waits to be stored that nothing more should come. */
  get isFull(): boolean {
    return this.sink?.isFull === true
  }

  /** The message whose body was stored. */
  stored(): Message {
    assert(this.state === 'storing' && this.sink !== null, 'a body was being stored')
    const { reference } = this.sink
    this.sink = null
    this.state = 'idle'
    const properties = this.source
    this.source = empty
    return Message.referring(this.exchange, this.routingKey, properties, reference)
  }

  /** Forgets content that is half here. */
  reset(): void {
    this.state = 'idle'
    this.source = empty
    this.sink?.abandon()
    this.sink = null
  }

  /** The payload of a header frame. Returns the message if it has no body. */
  header(buffer: Buffer, start: number, end: number): Message | null {
    if (this.state !== 'header') {
      if (this.state !== 'idle') throw this.interrupted()
      throw new BrokerError('UNEXPECTED_FRAME', 'expected method frame, got non method frame instead')
    }
    this.bodyBytes = readBodyBytes(buffer, start, end)
    this.received = 0
    this.source = buffer
    this.propertiesStart = start + contentHeaderBytes
    this.propertiesEnd = end
    if (this.bodyBytes > this.bodyBytesMax) {
      this.state = 'discard'
      this.source = empty
    } else if (this.bodyBytes === 0) {
      return this.complete(buffer, end, end, false)
    } else if (this.large !== null && this.bodyBytes > this.large.bodies.inlineBytesMax) {
      this.store(this.large, buffer)
    } else if (this.bodyIsNext(buffer, start, end)) {
      this.state = 'body'
    } else {
      this.collect(buffer, 0)
    }
    return null
  }

  /** A part of a body frame; `last` when it is the end of its frame. Returns the message that it completes. */
  body(buffer: Buffer, start: number, end: number, last: boolean): Message | null {
    const bytes = end - start
    if (this.state === 'body' && bytes === this.bodyBytes && last && buffer === this.source) {
      return this.complete(buffer, start, end, false)
    }
    if (this.state === 'idle') {
      throw new BrokerError('UNEXPECTED_FRAME', 'expected method frame, got non method frame instead')
    }
    if (this.state === 'header') throw this.interrupted()
    if (this.received + bytes > this.bodyBytes) {
      this.reset()
      throw new BrokerError('FRAME_ERROR', 'content body frame exceeds remaining content size')
    }
    if (this.state === 'body') this.collect(buffer, bytes)
    if (this.state === 'collect') this.append(buffer, start, end)
    else if (this.state === 'store') this.sink?.write(buffer, start, end)
    this.received += bytes
    if (this.received < this.bodyBytes || !last) return null
    if (this.state === 'store') return this.endStoring()
    return this.state === 'discard' ? this.refuse() : this.completeCollected()
  }

  /** Whether the frame behind this one is the whole body and in this chunk; other channels' frames may come between. */
  private bodyIsNext(buffer: Buffer, start: number, end: number): boolean {
    const next = end + 1
    // The header frame begins 7 octets before its payload; a joined one stands alone in its buffer.
    return (
      start >= 7 &&
      next + 7 + this.bodyBytes < buffer.length &&
      buffer[next] === frameBody &&
      buffer[next + 1] === buffer[start - 6] &&
      buffer[next + 2] === buffer[start - 5]
    )
  }

  private complete(source: Buffer, bodyStart: number, bodyEnd: number, owned: boolean): Message {
    this.state = 'idle'
    this.source = empty
    const { exchange, routingKey, propertiesStart, propertiesEnd } = this
    return new Message(exchange, routingKey, source, propertiesStart, propertiesEnd, bodyStart, bodyEnd, owned)
  }

  /** From here on the content has a buffer of its own; the property bytes are its beginning. */
  private collect(buffer: Buffer, bytes: number): void {
    const properties = this.propertiesEnd - this.propertiesStart
    this.source = Buffer.allocUnsafeSlow(properties + Math.min(this.bodyBytes, Math.max(4 * bytes, collectBytes)))
    copyRange(buffer, this.propertiesStart, this.propertiesEnd, this.source, 0)
    this.propertiesStart = 0
    this.propertiesEnd = properties
    this.state = 'collect'
  }

  private store(large: LargeBodies, buffer: Buffer): void {
    this.source = Buffer.from(buffer.subarray(this.propertiesStart, this.propertiesEnd))
    scanProperties(this.source, 0, this.source.length)
    this.sink = large.bodies.create(this.bodyBytes, large)
    this.state = 'store'
  }

  private endStoring(): null {
    this.state = 'storing'
    this.sink?.end()
    return null
  }

  private append(buffer: Buffer, start: number, end: number): void {
    const at = this.propertiesEnd + this.received
    const needed = at + end - start
    if (needed > this.source.length) {
      const capacity = Math.min(this.propertiesEnd + this.bodyBytes, Math.max(needed * 4, this.source.length))
      const grown = Buffer.allocUnsafeSlow(capacity)
      this.source.copy(grown, 0, 0, at)
      this.source = grown
    }
    copyRange(buffer, start, end, this.source, at)
  }

  private completeCollected(): Message {
    const end = this.propertiesEnd + this.bodyBytes
    assert(this.source.length === end, 'a collected message fills its buffer')
    return this.complete(this.source, this.propertiesEnd, end, true)
  }

  private refuse(): never {
    this.reset()
    throw new BrokerError(
      'PRECONDITION_FAILED',
      `message size ${this.bodyBytes} is larger than configured max size ${this.bodyBytesMax}`,
    )
  }
}

const empty: Buffer = Buffer.alloc(0)

function readBodyBytes(buffer: Buffer, start: number, end: number): number {
  if (end - start < contentHeaderBytes + 2) {
    throw new BrokerError('SYNTAX_ERROR', `a content header of ${end - start} octets`)
  }
  const classId = buffer.readUInt16BE(start)
  if (classId !== classBasic) {
    throw new BrokerError(
      'UNEXPECTED_FRAME',
      `expected content header for class ${classBasic}, got one for class ${classId} instead`,
    )
  }
  if (buffer.readUInt16BE(start + 2) !== 0) {
    throw new BrokerError(
      'UNEXPECTED_FRAME',
      `expected content header for class ${classBasic}, got non content header frame instead`,
    )
  }
  if (isMarked(buffer, start + contentHeaderBytes)) {
    throw new BrokerError('SYNTAX_ERROR', 'the content header has flags for properties that there are not')
  }
  const high = buffer.readUInt32BE(start + 4)
  const bytes = high * 4294967296 + buffer.readUInt32BE(start + 8)
  if (high > 0 || bytes > bodyBytesCeiling) {
    throw new BrokerError('FRAME_ERROR', `content size ${bytes} is larger than ${bodyBytesCeiling}`)
  }
  return bytes
}
