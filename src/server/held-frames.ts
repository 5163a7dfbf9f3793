/**
 * Frames of a channel that wait until a command before them is answered, as copies, in order.
 *
 * A client may send queue.declare without a name and, before it learns the name, bind "the queue declared last". The
 * broker makes the name, so whatever follows the bind has to wait with it.
 */
import { frameHeader, frameMethod } from '../amqp/frame-reader.ts'

/** Above this the socket is not read until the answer has come. */
const heldBytesMax = 131_072

export interface HeldFramesTarget {
  method(buffer: Buffer, start: number, end: number): void
  header(buffer: Buffer, start: number, end: number): void
  body(buffer: Buffer, start: number, end: number, last: boolean): void
}

interface HeldFrame {
  readonly type: number
  readonly payload: Buffer
  readonly last: boolean
}

export class HeldFrames {
  private frames: HeldFrame[] = []
  private bytes = 0

  get isTooMuch(): boolean {
    return this.bytes > heldBytesMax
  }

  add(type: number, buffer: Buffer, start: number, end: number, last: boolean): void {
    this.frames.push({ type, payload: Buffer.from(buffer.subarray(start, end)), last })
    this.bytes += end - start
  }

  /** Hands all of them over; those that must wait again are held again. */
  replay(target: HeldFramesTarget): void {
    const frames = this.frames
    this.frames = []
    this.bytes = 0
    for (const { type, payload, last } of frames) {
      if (type === frameMethod) target.method(payload, 0, payload.length)
      else if (type === frameHeader) target.header(payload, 0, payload.length)
      else target.body(payload, 0, payload.length, last)
    }
  }
}
