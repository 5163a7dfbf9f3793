/**
 * Frames that wait until something before them is answered, as copies, in order.
 *
 * A client need not wait for an answer before it says the next thing, but some things take us a while: who the client is,
 * whether it may open the virtual host, or the name of a queue that the broker makes and the client then only refers to.
 */
import { type FrameSink, frameBody, frameHeader, frameMethod } from '../amqp/frame-reader.ts'

/** Above this the socket is not read until the answer has come. */
const heldBytesMax = 131_072

interface HeldFrame {
  readonly type: number
  readonly channel: number
  readonly payload: Buffer
  readonly last: boolean
}

export class HeldFrames {
  private frames: HeldFrame[] = []
  private bytes = 0

  get isTooMuch(): boolean {
    return this.bytes > heldBytesMax
  }

  add(type: number, channel: number, buffer: Buffer, start: number, end: number, last: boolean): void {
    this.frames.push({ type, channel, payload: Buffer.from(buffer.subarray(start, end)), last })
    this.bytes += end - start
  }

  /** Hands all of them over, also behind one that is refused; those that must wait again are held again. */
  replay(sink: FrameSink, refused: (error: unknown) => void): void {
    const frames = this.frames
    this.frames = []
    this.bytes = 0
    for (const frame of frames) {
      try {
        give(sink, frame)
      } catch (error) {
        refused(error)
      }
    }
  }
}

function give(sink: FrameSink, { type, channel, payload, last }: HeldFrame): void {
  if (type === frameMethod) sink.method(channel, payload, 0, payload.length)
  else if (type === frameHeader) sink.header(channel, payload, 0, payload.length)
  else if (type === frameBody) sink.body(channel, payload, 0, payload.length, last)
}
