/** What users say to a worker and what it tells them. */

import type { ConcurrencyBounds, ConcurrencyStats } from '../flow/auto-concurrency.ts'
import type { Rate as Limit } from '../lib/rate-meter.ts'
import { LeveretError } from '../model/errors.ts'
import { clientLimits } from './client-limits.ts'
import { type Duration, durationMs } from './duration.ts'
import type { IncomingMessage } from './incoming.ts'
import { checkInteger, checkOptionNames, shown } from './names.ts'
import { type Rate, rateOf } from './rate.ts'
import type { Settlement } from './settlement.ts'
import type { HandlerContext } from './task.ts'

export type Handler<Data, Returned> = (
  message: IncomingMessage<Data>,
  context: HandlerContext,
) => Returned | Settlement | Promise<Returned | Settlement>

export interface ProcessOptions {
  /**
   * Handlers that run at the same time. Default 1, which keeps the queue's order. 'auto', or a range: as many as do more
   * than fewer would, which is looked for while they work; `worker.stats().concurrency` says how many, and why.
   */
  readonly concurrency?: number | 'auto' | ConcurrencyRange
  /**
   * Messages the worker holds at the same time: those that run, wait for their turn, wait for their commit, or back off.
   * Default twice the concurrency, so that one waits for each that runs; with 'auto' it follows what that finds.
   */
  readonly prefetch?: number
  /** Handlers that begin in a time, such as '100/s', for this worker. Default: as many as can. */
  readonly rate?: Rate
  /**
   * How long a handler may run without `context.extend()`. Then its signal is aborted with E_LEASE_LOST, the attempt counts as
   * failed, and what it returns later counts for nothing. Default: as long as it takes.
   */
  readonly lease?: Duration
  /** Hears each failed attempt. Without it the bus's `onError` does. */
  readonly onError?: (error: unknown, message: IncomingMessage, attempt: number) => void
}

/** For handlers in threads. */
export interface ThreadOptions extends ProcessOptions {
  /** Threads; each handler gets the one that runs the fewest. Default: as many as the machine has processors. */
  readonly threads?: number
}

/** Within which 'auto' looks for a concurrency. */
export interface ConcurrencyRange {
  /** Default 1. */
  readonly min?: number
  /** Default 256. */
  readonly max?: number
}

export interface BatchOptions {
  /** Messages in a batch at most. Default 100. */
  readonly size?: number
  /** How long the first message of a batch waits for others. Default 100 ms. */
  readonly wait?: Duration
  /** Batches whose handlers run at the same time. Default 1. */
  readonly concurrency?: number
  /** As in ProcessOptions; for each message of the batch. */
  readonly lease?: Duration
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
  /** Handlers, or batches, that may run at the same time, and why so many. */
  readonly concurrency: ConcurrencyStats
}

/** A worker as users see it. */
export interface Worker extends AsyncDisposable {
  /** Resolves when it is consuming; rejects if it could not begin. */
  ready(): Promise<void>
  stats(): WorkerStats
  /**
   * Takes no more messages, waits for handlers that run, and gives the rest back to the queue. A handler of its own must not await
   * it: it would wait for itself until `timeout`.
   */
  close(options?: CloseOptions): Promise<void>
  /** Resolves when it was closed; rejects if it ended by itself: the queue deleted, the connection lost. */
  closed(): Promise<void>
}

/** How a worker works, checked. */
export interface WorkSettings {
  readonly concurrency: number
  /** Within which it is looked for; null: it is fixed. */
  readonly range: ConcurrencyBounds | null
  /** Null: it follows the concurrency. */
  readonly prefetch: number | null
  readonly rate: Limit | null
  readonly leaseMs: number | null
  readonly onError: ProcessOptions['onError']
  /** Null: the handler gets one message. */
  readonly batch: { readonly size: number; readonly waitMs: number; readonly atOnce: number } | null
}

const processNames = ['concurrency', 'prefetch', 'rate', 'lease', 'onError'] as const

/** Throws E_BAD_OPTION. */
export function processSettings(where: string, options: ProcessOptions): WorkSettings {
  checkOptionNames(where, options, processNames)
  const { rate, lease, onError } = options
  const range = rangeOf(where, options.concurrency)
  const { concurrencyMax, prefetchMax } = clientLimits
  const concurrency = range?.max ?? checkInteger(where, 'concurrency', options.concurrency ?? 1, 1, concurrencyMax)
  const prefetch = options.prefetch ?? (range === null ? concurrency * 2 : null)
  return {
    concurrency,
    range,
    prefetch: prefetch === null ? null : checkInteger(where, 'prefetch', prefetch, 1, prefetchMax),
    rate: rate === undefined ? null : rateOf(rate, `${where}: rate`),
    leaseMs: lease === undefined ? null : leaseOf(where, lease),
    onError,
    batch: null,
  }
}

/** Also tells how many threads; without a concurrency each runs one handler. Throws E_BAD_OPTION. */
export function threadSettings(
  where: string,
  options: ThreadOptions,
  parallelism: number,
): { readonly threads: number; readonly work: WorkSettings } {
  checkOptionNames(where, options, ['threads', ...processNames])
  const { threads = Math.min(parallelism, clientLimits.threadsMax), ...others } = options
  checkInteger(where, 'threads', threads, 1, clientLimits.threadsMax)
  return { threads, work: processSettings(where, { concurrency: threads, ...others }) }
}

/** Null: it is to be fixed. Throws E_BAD_OPTION. */
function rangeOf(where: string, concurrency: ProcessOptions['concurrency']): ConcurrencyBounds | null {
  if (concurrency === undefined || typeof concurrency === 'number') return null
  if (concurrency !== 'auto' && (typeof concurrency !== 'object' || concurrency === null)) {
    const text = `${where}: concurrency is ${shown(concurrency)}: give a number, 'auto', or a range such as { max: 32 }`
    throw new LeveretError('E_BAD_OPTION', text)
  }
  const range: ConcurrencyRange = concurrency === 'auto' ? {} : concurrency
  checkOptionNames(`${where}: concurrency`, range, ['min', 'max'])
  const { concurrencyMax, autoConcurrencyMax } = clientLimits
  const min = checkInteger(where, 'concurrency.min', range.min ?? 1, 1, concurrencyMax)
  const max = checkInteger(
    where,
    'concurrency.max',
    range.max ?? Math.max(min, autoConcurrencyMax),
    min,
    concurrencyMax,
  )
  return { min, max }
}

/** Throws E_BAD_OPTION. */
export function batchSettings(where: string, options: BatchOptions): WorkSettings {
  checkOptionNames(where, options, ['size', 'wait', 'concurrency', 'lease', 'onError'])
  const { wait = clientLimits.batchWaitMs, lease, onError } = options
  const size = checkInteger(where, 'size', options.size ?? clientLimits.batchSizeDefault, 1, clientLimits.batchSizeMax)
  const atOnceMax = Math.floor(clientLimits.prefetchMax / (2 * size))
  const atOnce = checkInteger(where, 'concurrency', options.concurrency ?? 1, 1, atOnceMax)
  return {
    concurrency: size * atOnce,
    range: null,
    prefetch: 2 * size * atOnce,
    rate: null,
    leaseMs: lease === undefined ? null : leaseOf(where, lease),
    onError,
    batch: { size, waitMs: durationMs(wait, `${where}: wait`), atOnce },
  }
}

/** In ms. Throws E_BAD_OPTION. */
export function closeTimeoutOf(where: string, options: CloseOptions): number {
  checkOptionNames(where, options, ['timeout'])
  return durationMs(options.timeout ?? clientLimits.closeTimeoutMs, `${where}: timeout`)
}

/** Throws E_BAD_OPTION. */
export function leaseOf(where: string, lease: Duration): number {
  const ms = durationMs(lease, `${where}: lease`)
  if (ms > 0) return ms
  throw new LeveretError('E_BAD_OPTION', `${where}: lease is 0, so no handler could keep it: give it some time`)
}
