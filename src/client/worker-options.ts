/** What users say to a worker and what it tells them. */
import type { Duration } from './duration.ts'
import type { IncomingMessage } from './incoming.ts'
import type { Settlement } from './settlement.ts'
import type { HandlerContext } from './task.ts'

export type Handler<Data, Returned> = (
  message: IncomingMessage<Data>,
  context: HandlerContext,
) => Returned | Settlement | Promise<Returned | Settlement>

export interface ProcessOptions {
  /** Handlers that run at the same time. Default 1, which keeps the queue's order. */
  readonly concurrency?: number
  /**
   * Messages the worker holds at the same time: those that run, wait for their turn, wait for their commit, or back off.
   * Default twice the concurrency, so that one waits for each that runs.
   */
  readonly prefetch?: number
  /** Hears each failed attempt. Without it the bus's `onError` does. */
  readonly onError?: (error: unknown, message: IncomingMessage, attempt: number) => void
}

export interface CloseOptions {
  /** How long to wait for handlers that run. Default 30 s; then their messages go back to the queue. */
  readonly timeout?: Duration
}

export interface WorkerStats {
  /** Handlers that run now. */
  readonly running: number
  /** Messages that wait for a handler, a commit or their next attempt. */
  readonly waiting: number
  /** Handlers that ended well. */
  readonly processed: number
  /** Attempts that failed and were, or will be, followed by another. */
  readonly retried: number
  /** Messages given up. */
  readonly deadLettered: number
  /** Time spent in handlers that ended well, in seconds; t in R = m/t per operation. */
  readonly operationSeconds: number
  /** processed / operationSeconds: messages per second one handler manages. 0 before the first. */
  readonly operationRate: number
}

/** A worker as users see it. */
export interface Worker extends AsyncDisposable {
  /** Resolves when it is consuming; rejects if it could not begin. */
  ready(): Promise<void>
  stats(): WorkerStats
  /** Takes no more messages, waits for handlers that run, and gives the rest back to the queue. */
  close(options?: CloseOptions): Promise<void>
  /** Resolves when it was closed; rejects if it ended by itself: the queue deleted, the connection lost. */
  closed(): Promise<void>
}
