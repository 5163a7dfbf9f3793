/**
 * Whether a connection's socket is read. Several parties may have reason to stop it, and it is read again only when none
 * of them has one. Data that is not read stays in the kernel and slows the peer down; that is the whole flow control.
 */
import type { Connection } from '../platform/network.ts'

export const pauseReasons = {
  /** More is waiting for the disk than the broker wants to hold. */
  throttled: 1,
  /** A memory or disk alarm, and the client published. */
  alarm: 2,
  /** The client takes no answers. */
  output: 4,
  /** Frames wait for the answer of a command before them. */
  held: 8,
  /** Large bodies come faster than they are written. */
  bodies: 16,
  /** The client asks for more than can be said while it reads a large body. */
  behind: 32,
  /** The client asks faster than it is answered, or reads the answers. */
  commands: 64,
} as const

export class ReadGate {
  private readonly connection: Connection
  private reasons = 0
  private isOver = false

  constructor(connection: Connection) {
    this.connection = connection
  }

  get isPaused(): boolean {
    return this.reasons !== 0
  }

  pause(reason: number): void {
    if (this.isOver) return
    if (this.reasons === 0) this.connection.pause()
    this.reasons |= reason
  }

  resume(reason: number): void {
    if (this.isOver || (this.reasons & reason) === 0) return
    this.reasons &= ~reason
    if (this.reasons === 0) this.connection.resume()
  }

  set(reason: number, is: boolean): void {
    if (is) this.pause(reason)
    else this.resume(reason)
  }

  /** The connection is about to end: what comes is dropped, so nothing needs to wait, and the peer's end must be seen. */
  openForGood(): void {
    if (this.reasons !== 0) this.connection.resume()
    this.reasons = 0
    this.isOver = true
  }

  /** Nothing the peer says can be understood any more. */
  closeForGood(): void {
    this.connection.pause()
    this.isOver = true
  }
}
