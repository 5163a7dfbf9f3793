/**
 * The output of one connection: frames are appended to a buffer of 64 KiB from a pool, and one write per turn sends it.
 *
 * A full buffer goes to the network at once and the next one comes from the pool; a buffer is back in the pool when the
 * network has taken its bytes. A connection that has nothing to say holds no buffer. For frame layouts see frame-reader.
 */
import { assert } from '../lib/assert.ts'
import { ByteWriter } from '../lib/byte-writer.ts'
import { copyRange } from '../lib/copy-range.ts'
import type { Message } from '../model/message.ts'
import { hideMark } from '../model/properties.ts'
import { frameBody, frameEnd, frameHeader, frameHeartbeat, frameMethod, frameOverheadBytes } from './frame-reader.ts'
import { type Arguments, encodeMethod, type MethodName } from './methods.ts'

const bufferBytes = 65_536
// What stays allocated when all is quiet: 8 MiB.
const poolCountMax = 128
// Up to here Node's own slab serves a copy without an allocation.
const smallBytesMax = 4_096
const classBasic = 60
/** Class, weight and body size, which stand before the property bytes in a content header. */
const contentHeaderBytes = 12
/** The first of the property bytes. */
const flagsBytes = 2

const noBuffer = Buffer.alloc(0)

/** Output buffers for all connections of a server or a driver. */
export class BufferPool {
  private readonly free: Buffer[] = []

  take(): Buffer {
    return this.free.pop() ?? Buffer.allocUnsafeSlow(bufferBytes)
  }

  give(buffer: Buffer): void {
    if (buffer.length === bufferBytes && this.free.length < poolCountMax) this.free.push(buffer)
  }
}

/** Where the bytes go. */
export interface ByteOutput {
  /** Sends `buffer[0, length)`; the buffer goes to the pool when the network has taken its bytes. */
  write(buffer: Buffer, length: number): void
  /** Bytes that the system has not taken yet. */
  readonly pendingBytes: number
}

/** A whole method frame in `frame[0, length)`: what stands before content. */
export interface ContentHead {
  readonly frame: Buffer
  readonly length: number
}

export class FrameWriter {
  /** The largest frame, its overhead included; the owner sets it after connection.tune-ok. */
  frameBytesMax: number
  /** The buffer being filled; longer than 0 only from the first frame of a turn until it is sent. */
  buffer: Buffer = noBuffer
  length = 0
  private readonly pool: BufferPool
  private readonly output: ByteOutput
  private readonly scratch: ByteWriter = new ByteWriter(64)

  constructor(pool: BufferPool, output: ByteOutput, frameBytesMax: number) {
    this.pool = pool
    this.output = output
    this.frameBytesMax = frameBytesMax
  }

  /** Sends what was written since the last time. */
  flush(): void {
    if (this.length > 0) this.send()
  }

  /** Drops what was written and not yet sent: the connection is gone. */
  clear(): void {
    this.pool.give(this.buffer)
    this.buffer = noBuffer
    this.length = 0
  }

  /** Room for `bytes` in one piece at `buffer[length …)`. */
  reserve(bytes: number): void {
    if (this.length + bytes <= this.buffer.length) return
    assert(bytes <= bufferBytes, 'what must lie in one piece fits in an output buffer')
    if (this.length > 0) this.send()
    if (this.buffer.length === 0) this.buffer = this.pool.take()
  }

  /** Octets as they are, over as many buffers as it takes. */
  bytes(source: Buffer, start: number, end: number): void {
    let at = start
    while (at < end) {
      if (this.length === this.buffer.length) this.reserve(1)
      const piece = Math.min(end - at, this.buffer.length - this.length)
      copyRange(source, at, at + piece, this.buffer, this.length)
      this.length += piece
      at += piece
    }
  }

  method<Name extends MethodName>(channel: number, name: Name, args: Arguments<Name>): void {
    const { scratch } = this
    scratch.length = 0
    encodeMethod(scratch, name, args)
    this.frameStart(frameMethod, channel, scratch.length)
    this.bytes(scratch.buffer, 0, scratch.length)
    this.frameEnd()
  }

  heartbeat(): void {
    this.frameStart(frameHeartbeat, 0, 0)
    this.frameEnd()
  }

  /** A basic.ack, basic.nack or basic.reject: class and method, delivery tag, one octet of bits. */
  settlement(channel: number, id: number, deliveryTag: number, bits: number): void {
    this.reserve(21)
    const { buffer, length: at } = this
    buffer[at] = frameMethod
    buffer[at + 1] = channel >>> 8
    buffer[at + 2] = channel
    writeU32(buffer, at + 3, 13)
    writeU32(buffer, at + 7, id)
    writeU64(buffer, at + 11, deliveryTag)
    buffer[at + 19] = bits
    buffer[at + 20] = frameEnd
    this.length = at + 21
  }

  /** The method frame `head`, and behind it the message as a content header and body frames. */
  content(channel: number, head: ContentHead, message: Message): void {
    const propertiesLength = message.propertiesEnd - message.propertiesStart
    const bodyLength = message.bodyEnd - message.bodyStart
    const total = head.length + 2 * frameOverheadBytes + contentHeaderBytes + propertiesLength + bodyLength
    if (total > bufferBytes || bodyLength + frameOverheadBytes > this.frameBytesMax || bodyLength === 0) {
      this.largeContent(channel, head, message)
      return
    }
    if (this.length + total > this.buffer.length) this.reserve(total)
    const { buffer } = this
    const { source } = message
    let at = this.length
    copyRange(head.frame, 0, head.length, buffer, at)
    at = writeFrameStart(buffer, at + head.length, frameHeader, channel, contentHeaderBytes + propertiesLength)
    at = writeContentStart(buffer, at, bodyLength)
    copyRange(source, message.propertiesStart, message.propertiesEnd, buffer, at)
    if (message.died) hideMark(buffer, at)
    at += propertiesLength
    buffer[at] = frameEnd
    at = writeFrameStart(buffer, at + 1, frameBody, channel, bodyLength)
    copyRange(source, message.bodyStart, message.bodyEnd, buffer, at)
    at += bodyLength
    buffer[at] = frameEnd
    this.length = at + 1
  }

  private largeContent(channel: number, head: ContentHead, message: Message): void {
    this.contentStart(channel, head, message)
    this.body(channel, message.source, message.bodyStart, message.bodyEnd)
  }

  /** What comes before the body, for one that is written piece by piece. */
  contentStart(channel: number, head: ContentHead, message: Message): void {
    this.bytes(head.frame, 0, head.length)
    this.frameStart(frameHeader, channel, contentHeaderBytes + message.propertiesEnd - message.propertiesStart)
    this.reserve(contentHeaderBytes)
    this.length = writeContentStart(this.buffer, this.length, message.bodyBytes)
    this.reserve(flagsBytes)
    const flagsAt = this.length
    this.bytes(message.source, message.propertiesStart, message.propertiesStart + flagsBytes)
    if (message.died) hideMark(this.buffer, flagsAt)
    this.bytes(message.source, message.propertiesStart + flagsBytes, message.propertiesEnd)
    this.frameEnd()
  }

  /** A part of a body, as body frames. */
  body(channel: number, source: Buffer, start: number, bodyEnd: number): void {
    const pieceMax = this.frameBytesMax - frameOverheadBytes
    for (let at = start; at < bodyEnd; at += pieceMax) {
      const end = Math.min(bodyEnd, at + pieceMax)
      this.frameStart(frameBody, channel, end - at)
      this.bytes(source, at, end)
      this.frameEnd()
    }
  }

  private frameStart(type: number, channel: number, size: number): void {
    this.reserve(frameOverheadBytes)
    this.length = writeFrameStart(this.buffer, this.length, type, channel, size)
  }

  private frameEnd(): void {
    this.reserve(1)
    this.buffer[this.length++] = frameEnd
  }

  private send(): void {
    const { buffer, length, output } = this
    this.length = 0
    // 64 KiB held for a few bytes by each of many slow readers would be most of our memory: short output is copied to
    // a buffer of its size, always if that is cheap, and else if the reader is behind.
    if (length <= smallBytesMax || (length <= bufferBytes / 2 && output.pendingBytes > 0)) {
      const copy = length <= smallBytesMax ? Buffer.allocUnsafe(length) : Buffer.allocUnsafeSlow(length)
      buffer.copy(copy, 0, 0, length)
      this.pool.give(buffer)
      this.buffer = noBuffer
      output.write(copy, length)
      return
    }
    this.buffer = noBuffer
    output.write(buffer, length)
  }
}

/** The first 7 octets of a frame; returns where its payload begins. */
export function writeFrameStart(buffer: Buffer, at: number, type: number, channel: number, size: number): number {
  buffer[at] = type
  buffer[at + 1] = channel >>> 8
  buffer[at + 2] = channel
  writeU32(buffer, at + 3, size)
  return at + 7
}

function writeContentStart(buffer: Buffer, at: number, bodyLength: number): number {
  writeU32(buffer, at, classBasic << 16)
  writeU32(buffer, at + 4, 0)
  writeU32(buffer, at + 8, bodyLength)
  return at + contentHeaderBytes
}

function writeU32(buffer: Buffer, at: number, value: number): void {
  buffer[at] = value >>> 24
  buffer[at + 1] = value >>> 16
  buffer[at + 2] = value >>> 8
  buffer[at + 3] = value
}

export function writeU64(buffer: Buffer, at: number, value: number): void {
  const high = value < 4294967296 ? 0 : Math.floor(value / 4294967296)
  writeU32(buffer, at, high)
  writeU32(buffer, at + 4, high === 0 ? value : value - high * 4294967296)
}
