/**
 * Frames that wait until something before them is answered, as copies, in order.
 *
 * A client need not wait for an answer before it says the next thing, but some things take us a while: who the client is,
 * whether it may open the virtual host, or the name of a queue that the broker makes and the client then only refers to.
 */
import { type FrameSink, frameBody, frameHeader, frameMethod } from '../amqp/frame-reader.ts'
import { Deque } from '../lib/deque.ts'

/** Above this the socket is not read until the answer has come. */
const heldBytesMax = 131_072
/** About what the objects of a frame take beside its payload: most frames that are held are small. */
export const heldFrameBytes = 192

interface HeldFrame {
  readonly type: number
  readonly channel: number
  readonly payload: Buffer
  readonly last: boolean
}

export class HeldFrames {
  /** What is held takes about so much memory. */
  bytes = 0
  private readonly frames: Deque<HeldFrame> = new Deque(1)
  private isReplaying = false
  private mustWaitAgain = false

  get isTooMuch(): boolean {
    return this.bytes > heldBytesMax
  }

  /** While frames are handed over only the one whose turn it is can come: it stays the first. */
  add(type: number, channel: number, buffer: Buffer, start: number, end: number, last: boolean): void {
    if (this.isReplaying) {
      this.mustWaitAgain = true
      return
    }
    this.frames.push({ type, channel, payload: Buffer.from(buffer.subarray(start, end)), last })
    this.bytes += end - start + heldFrameBytes
  }

  /**
   * Hands them over, also behind one that is refused, up to the first that must wait again: whoever makes each wait for the
   * next pays once for each, and not once for all that are behind.
   */
  replay(sink: FrameSink, refused: (error: unknown) => void): void {
    if (this.isReplaying) return
    this.isReplaying = true
    this.mustWaitAgain = false
    for (let frame = this.frames.peek(); frame !== undefined; frame = this.frames.peek()) {
      try {
        give(sink, frame)
      } catch (error) {
        refused(error)
      }
      if (this.mustWaitAgain) break
      this.frames.shift()
      this.bytes -= frame.payload.length + heldFrameBytes
    }
    this.isReplaying = false
  }
}

function give(sink: FrameSink, { type, channel, payload, last }: HeldFrame): void {
  if (type === frameMethod) sink.method(channel, payload, 0, payload.length)
  else if (type === frameHeader) sink.header(channel, payload, 0, payload.length)
  else if (type === frameBody) sink.body(channel, payload, 0, payload.length, last)
}
