/**
 * Cuts the bytes of a connection into frames:
 *
 *     type u8   channel u16be   size u32be   payload (size octets)   0xCE
 *
 *     type      1 method, 2 content header, 3 body, 8 heartbeat (channel 0, no payload)
 *     size      at most `payloadBytesMax`; RabbitMQ lets the payload alone reach frame_max, so do we
 *
 * One scan over each chunk; the sink gets ranges of it. Only a method or header frame that is split over chunks is joined,
 * in a buffer of its size. A body frame is not joined but handed on in the parts it came in, because whoever collects a
 * large body copies it anyway.
 *
 * What is wrong with the framing throws a FRAME_ERROR and the reader is `broken`: nobody knows where the next frame begins.
 * What the sink throws passes through; then `next` is where the next frame begins.
 */
import { assert } from '../lib/assert.ts'
import { copyRange } from '../lib/copy-range.ts'
import { BrokerError } from '../model/errors.ts'
import { frameText } from './octet-text.ts'

export const frameMethod = 1
export const frameHeader = 2
export const frameBody = 3
export const frameHeartbeat = 8
export const frameEnd = 0xce
/** What a frame has around its payload. */
export const frameOverheadBytes = 8

export interface FrameSink {
  method(channel: number, buffer: Buffer, start: number, end: number): void
  header(channel: number, buffer: Buffer, start: number, end: number): void
  /** A part of a body frame; `last` when its end was seen too. The part may be empty. */
  body(channel: number, buffer: Buffer, start: number, end: number, last: boolean): void
  heartbeat(): void
}

const headerBytes = 7

export class FrameReader {
  /** The largest payload that is let in; the owner raises it after connection.tune-ok. */
  payloadBytesMax: number
  /** The framing is lost: push no more. */
  broken = false
  /** After a throw: where in the chunk to go on. */
  next = 0
  private readonly sink: FrameSink
  /** The first octets of a frame whose header is split over chunks. */
  private readonly split: Buffer = Buffer.alloc(headerBytes)
  private splitBytes = 0
  /** A method or header frame that is still coming: its payload and end octet, and how much of them is here. */
  private joined: Buffer | null = null
  private joinedBytes = 0
  /** A body frame that is still coming: how much of its payload is not yet here; -1 if there is none. */
  private bodyBytesLeft = -1
  private type = 0
  private channel = 0

  constructor(sink: FrameSink, payloadBytesMax: number) {
    this.sink = sink
    this.payloadBytesMax = payloadBytesMax
  }

  /** Reads `chunk[start …)`. The sink may keep the chunk; nobody overwrites it. */
  push(chunk: Buffer, start = 0): void {
    assert(!this.broken, 'nothing is read after the framing was lost')
    let at = start
    if (this.splitBytes > 0) at = this.continueHeader(chunk, at)
    if (this.joined !== null) at = this.continueJoined(chunk, at)
    else if (this.bodyBytesLeft >= 0) at = this.continueBody(chunk, at)
    at = this.wholeFrames(chunk, at)
    if (at < chunk.length) this.begin(chunk, at)
    else this.next = at
  }

  private wholeFrames(chunk: Buffer, start: number): number {
    const { sink } = this
    const { length } = chunk
    let at = start
    while (length - at > headerBytes) {
      const size =
        (chunk[at + 3] as number) * 16777216 +
        (((chunk[at + 4] as number) << 16) | ((chunk[at + 5] as number) << 8) | (chunk[at + 6] as number))
      const end = at + headerBytes + size
      if (end >= length) break
      const type = chunk[at] as number
      const channel = ((chunk[at + 1] as number) << 8) | (chunk[at + 2] as number)
      if (size > this.payloadBytesMax) throw this.tooLarge(type, size)
      if (chunk[end] !== frameEnd) throw this.badEnd(type, chunk, at + headerBytes, end)
      const from = at + headerBytes
      at = end + 1
      this.next = at
      if (type === frameMethod) sink.method(channel, chunk, from, end)
      else if (type === frameBody) sink.body(channel, chunk, from, end, true)
      else if (type === frameHeader) sink.header(channel, chunk, from, end)
      else this.other(type, channel, chunk, from, end)
    }
    return at
  }

  private other(type: number, channel: number, buffer: Buffer, start: number, end: number): void {
    const text = frameText(type, buffer, start, end)
    if (type !== frameHeartbeat || start < end) throw this.fatal(`${text}: unknown_frame`)
    if (channel !== 0) throw new BrokerError('UNEXPECTED_FRAME', text)
    this.sink.heartbeat()
  }

  /** The rest of the chunk is the first part of a frame. */
  private begin(chunk: Buffer, start: number): void {
    const bytes = chunk.length - start
    this.next = chunk.length
    if (bytes < headerBytes) {
      chunk.copy(this.split, 0, start)
      this.splitBytes = bytes
      return
    }
    this.beginFrame(chunk, start)
    this.continueFrame(chunk, start + headerBytes)
  }

  private continueHeader(chunk: Buffer, start: number): number {
    const missing = headerBytes - this.splitBytes
    const bytes = Math.min(missing, chunk.length - start)
    chunk.copy(this.split, this.splitBytes, start, start + bytes)
    this.splitBytes += bytes
    if (bytes < missing) return start + bytes
    this.splitBytes = 0
    this.beginFrame(this.split, 0)
    return start + bytes
  }

  private beginFrame(header: Buffer, at: number): void {
    const size = header.readUInt32BE(at + 3)
    this.type = header[at] as number
    this.channel = header.readUInt16BE(at + 1)
    if (size > this.payloadBytesMax) throw this.tooLarge(this.type, size)
    if (this.type === frameBody) this.bodyBytesLeft = size
    else {
      this.joined = Buffer.allocUnsafeSlow(size + 1)
      this.joinedBytes = 0
    }
  }

  private continueFrame(chunk: Buffer, start: number): void {
    if (this.joined !== null) this.continueJoined(chunk, start)
    else this.continueBody(chunk, start)
  }

  private continueJoined(chunk: Buffer, start: number): number {
    const joined = this.joined as Buffer
    const end = Math.min(chunk.length, start + joined.length - this.joinedBytes)
    copyRange(chunk, start, end, joined, this.joinedBytes)
    this.joinedBytes += end - start
    if (this.joinedBytes < joined.length) return end
    this.joined = null
    this.next = end
    const size = joined.length - 1
    if (joined[size] !== frameEnd) throw this.badEnd(this.type, joined, 0, size)
    if (this.type === frameMethod) this.sink.method(this.channel, joined, 0, size)
    else if (this.type === frameHeader) this.sink.header(this.channel, joined, 0, size)
    else this.other(this.type, this.channel, joined, 0, size)
    return end
  }

  private continueBody(chunk: Buffer, start: number): number {
    const left = this.bodyBytesLeft
    const end = start + left
    if (end >= chunk.length) {
      // The end octet is not here yet, so the frame is not known to be good, even if all of its payload came.
      this.bodyBytesLeft = end - chunk.length
      this.next = chunk.length
      if (chunk.length > start) this.sink.body(this.channel, chunk, start, chunk.length, false)
      return chunk.length
    }
    if (chunk[end] !== frameEnd) throw this.badEnd(frameBody, chunk, end, end)
    this.bodyBytesLeft = -1
    this.next = end + 1
    this.sink.body(this.channel, chunk, start, end, true)
    return end + 1
  }

  private tooLarge(type: number, size: number): BrokerError {
    const reason = `{frame_too_large,${size},${this.payloadBytesMax - frameOverheadBytes}}`
    // Nobody waits for its octets.
    return this.fatal(`type ${type}, all octets = <<>>: ${reason}`)
  }

  private badEnd(type: number, buffer: Buffer, start: number, end: number): BrokerError {
    return this.fatal(`${frameText(type, buffer, start, end)}: {invalid_frame_end_marker,${buffer[end]}}`)
  }

  private fatal(text: string): BrokerError {
    this.broken = true
    return new BrokerError('FRAME_ERROR', text)
  }
}
