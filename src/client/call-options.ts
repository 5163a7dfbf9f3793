/** What a caller says. */
import type { Duration } from './duration.ts'
import { checkOptionNames } from './names.ts'
import type { EmitOptions } from './send-options.ts'

export interface CallOptions {
  /** How long to wait for the answer; the answerer knows it, too. Default 30 s; of a durable call: as long as it takes. */
  readonly timeout?: Duration
  /** Gives the call up: the promise rejects with its reason, and the answerer's `context.signal` is aborted. */
  readonly signal?: AbortSignal
  /** The request survives a restart and is tried again; without it, it is answered at most once. */
  readonly durable?: boolean
  /** Of a durable call: whose inbox gets the answer if this process is gone by then; see `bus.receipts`. */
  readonly sender?: string
  /** AMQP headers. */
  readonly headers?: EmitOptions['headers']
}

/** Throws E_BAD_OPTION. */
export function checkCallOptions(where: string, options: CallOptions): void {
  checkOptionNames(where, options, ['timeout', 'signal', 'durable', 'sender', 'headers'])
}

/** Node's way to be told: the error, or null and the result. */
export type CallCallback<Result> = (error: Error | null, result?: Result) => void
