/**
 * What a connection sends: the frames of a turn, and what happens when the peer reads slower than we write.
 *
 * Above `connectionPendingBytesMax` whoever sends messages should stop (`outputFull`); above four times that, which only
 * answers can reach, the peer should be read no longer (`outputOverfull`). At half the limit all goes on
 * (`outputDrained`).
 */
import { limits } from '../model/limits.ts'
import { type BufferPool, type ByteOutput, FrameWriter } from './frame-writer.ts'

const fullBytes = limits.connectionPendingBytesMax
const overfullBytes = 4 * fullBytes
const drainedBytes = fullBytes / 2

/** What it writes to; a connection of the platform's network is one. */
export interface ByteSocket {
  write(buffer: Buffer, length: number, written: (buffer: Buffer) => void): boolean
  /** Bytes that the system has not taken yet. */
  readonly pendingBytes: number
}

export interface OutputEvents {
  outputFull(): void
  outputOverfull(): void
  outputDrained(): void
}

export class ConnectionOutput implements ByteOutput {
  readonly frames: FrameWriter
  /** Since the heartbeat looked last. */
  hasSent = false
  isFull = false
  private isOverfull = false
  private readonly socket: ByteSocket
  private readonly events: OutputEvents
  private readonly written: (buffer: Buffer) => void

  constructor(socket: ByteSocket, pool: BufferPool, frameBytesMax: number, events: OutputEvents) {
    this.socket = socket
    this.events = events
    this.frames = new FrameWriter(pool, this, frameBytesMax)
    // One closure per connection, not per write.
    this.written = (buffer) => {
      pool.give(buffer)
      this.relieve()
    }
  }

  get pendingBytes(): number {
    return this.socket.pendingBytes
  }

  write(buffer: Buffer, length: number): void {
    this.hasSent = true
    const wantsMore = this.socket.write(buffer, length, this.written)
    const pending = this.socket.pendingBytes
    if (wantsMore && pending <= fullBytes) return
    if (!this.isFull) {
      this.isFull = true
      this.events.outputFull()
    }
    if (!this.isOverfull && pending > overfullBytes) {
      this.isOverfull = true
      this.events.outputOverfull()
    }
  }

  /** The network has taken bytes. */
  relieve(): void {
    if (!this.isFull || this.socket.pendingBytes > drainedBytes) return
    this.isFull = false
    this.isOverfull = false
    this.events.outputDrained()
  }
}
