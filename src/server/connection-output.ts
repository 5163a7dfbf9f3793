/**
 * What a connection sends: the frames of a turn, and what happens when the peer reads slower than we write.
 *
 * Above `connectionPendingBytesMax` its consumers get nothing more (`outputFull`); above four times that, which only
 * answers can reach, it is no longer read either (`outputOverfull`). At half the limit all goes on (`outputDrained`).
 */
import { type BufferPool, type ByteOutput, FrameWriter } from '../amqp/frame-writer.ts'
import { limits } from '../model/limits.ts'
import type { Connection } from '../platform/network.ts'

const fullBytes = limits.connectionPendingBytesMax
const overfullBytes = 4 * fullBytes
const drainedBytes = fullBytes / 2

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
  private readonly connection: Connection
  private readonly events: OutputEvents
  private readonly written: (buffer: Buffer) => void

  constructor(connection: Connection, pool: BufferPool, frameBytesMax: number, events: OutputEvents) {
    this.connection = connection
    this.events = events
    this.frames = new FrameWriter(pool, this, frameBytesMax)
    // One closure per connection, not per write.
    this.written = (buffer) => {
      pool.give(buffer)
      this.relieve()
    }
  }

  get pendingBytes(): number {
    return this.connection.pendingBytes
  }

  write(buffer: Buffer, length: number): void {
    this.hasSent = true
    const wantsMore = this.connection.write(buffer, length, this.written)
    const pending = this.connection.pendingBytes
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
    if (!this.isFull || this.connection.pendingBytes > drainedBytes) return
    this.isFull = false
    this.isOverfull = false
    this.events.outputDrained()
  }
}
