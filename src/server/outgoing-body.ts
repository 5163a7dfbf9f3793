/** A body on its way from its file to a client: piece by piece, no faster than the client reads. */
import { frameOverheadBytes } from '../amqp/frame-reader.ts'
import type { FrameWriter } from '../amqp/frame-writer.ts'
import type { BodySource } from '../model/bodies.ts'

export interface OutgoingBodyEvents {
  /** All of it was written. */
  bodyEnded(): void
  /** It cannot be read to its end, and half of it is with the client. */
  bodyFailed(error: unknown): void
  flush(): void
}

export class OutgoingBody {
  private readonly source: BodySource
  private readonly channel: number
  private readonly frames: FrameWriter
  private readonly events: OutgoingBodyEvents
  /** What does not fill a frame yet: clients count on frames being full, but for the last one. */
  private rest: Buffer | null = null
  private restBytes = 0
  private isHeld: boolean
  private isStopped = false
  private wake: (() => void) | null = null

  /** `isHeld`: the client has enough to read for now. */
  constructor(source: BodySource, channel: number, frames: FrameWriter, isHeld: boolean, events: OutgoingBodyEvents) {
    this.source = source
    this.channel = channel
    this.frames = frames
    this.isHeld = isHeld
    this.events = events
    void this.run()
  }

  hold(): void {
    this.isHeld = true
  }

  resume(): void {
    this.isHeld = false
    this.wake?.()
    this.wake = null
  }

  /** Nothing more is written, or told. */
  stop(): void {
    this.isStopped = true
    this.source.close()
    this.resume()
  }

  private async run(): Promise<void> {
    try {
      while (!this.isStopped) {
        const piece = await this.source.next()
        if (this.isStopped) return
        if (piece === null) break
        this.write(piece)
        this.events.flush()
        await this.untilWanted()
      }
    } catch (error) {
      if (this.isStopped) return
      this.source.close()
      return this.events.bodyFailed(error)
    }
    if (this.isStopped) return
    if (this.rest !== null) this.frames.body(this.channel, this.rest, 0, this.restBytes)
    this.source.close()
    this.events.bodyEnded()
  }

  private write(piece: Buffer): void {
    const { frames, channel } = this
    const frameBytes = frames.frameBytesMax - frameOverheadBytes
    let at = 0
    if (this.rest !== null && this.restBytes > 0) {
      at = piece.copy(this.rest, this.restBytes, 0, frameBytes - this.restBytes)
      this.restBytes += at
      if (this.restBytes < frameBytes) return
      frames.body(channel, this.rest, 0, frameBytes)
      this.restBytes = 0
    }
    const end = piece.length - ((piece.length - at) % frameBytes)
    frames.body(channel, piece, at, end)
    if (end === piece.length) return
    this.rest ??= Buffer.allocUnsafeSlow(frameBytes)
    this.restBytes = piece.copy(this.rest, 0, end)
  }

  private async untilWanted(): Promise<void> {
    if (!this.isHeld) return
    await new Promise<void>((resolve) => {
      this.wake = resolve
    })
  }
}
