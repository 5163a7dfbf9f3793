/** What the broker says about the session, and what goes wrong where nobody waits. */
import type { SessionEvents } from '../model/channel.ts'
import { type BrokerError, LeveretError } from '../model/errors.ts'
import type { Sender } from './sender.ts'
import { runCallback } from './user-callback.ts'

export class SessionWatch implements SessionEvents {
  private readonly onError: ((error: Error) => void) | undefined
  private sender: Sender | null = null
  private end: ((error: LeveretError) => void) | null = null
  private isBlocked = false
  /** The session ended before anybody was there to be told. */
  private lost: LeveretError | null = null

  constructor(onError: ((error: Error) => void) | undefined) {
    this.onError = onError
  }

  /** The broker may say that it is blocked, or end the session, before anybody listens. */
  attach(sender: Sender, end: (error: LeveretError) => void): void {
    this.sender = sender
    this.end = end
    if (this.isBlocked) sender.setBlocked(true)
    if (this.lost !== null) end(this.lost)
  }

  report(error: Error): void {
    // Whoever listens for errors and throws one has nobody left to tell.
    runCallback(
      () => this.onError?.(error),
      () => {},
    )
  }

  blocked(_reason: string): void {
    this.isBlocked = true
    this.sender?.setBlocked(true)
  }

  unblocked(): void {
    this.isBlocked = false
    this.sender?.setBlocked(false)
  }

  throttled(): void {
    this.sender?.setThrottled(true)
  }

  resumed(): void {
    this.sender?.setThrottled(false)
  }

  closed(error: BrokerError): void {
    const text = `the connection to the broker has ended, and what was under way is unknown: ${error.message}`
    const lost = new LeveretError('E_CONNECTION_LOST', text, error)
    this.lost = lost
    this.report(lost)
    this.end?.(lost)
  }
}
