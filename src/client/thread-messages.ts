/**
 * What a worker and its threads tell each other: plain data, for they are copied on their way.
 *
 *     worker  run ────────→ thread     a message, and all its handler may know of it
 *             abort ──────→            its result would no longer count
 *             answer ─────→            to a call
 *             ←────── loaded, unusable
 *             ←── progress, extend
 *             ←── call, cancel         answered by `answer`: the bus is the worker's
 *             ←── returned, threw      with what it sent; stored with the acknowledgement, as without threads
 */
import { LeveretError } from '../model/errors.ts'
import { CallError, type RemoteError } from './call-errors.ts'
import type { CallOptions } from './call-options.ts'
import type { ChildOutcome } from './child-outcome.ts'
import type { Duration } from './duration.ts'
import type { EmitOptions, SendOptions } from './send-options.ts'

export interface RunMessage {
  readonly kind: 'run'
  readonly run: number
  readonly queue: string
  readonly exchange: string
  readonly routingKey: string
  /** The bytes of the properties, then those of the body. */
  readonly bytes: ArrayBuffer
  readonly propertiesBytes: number
  readonly redelivered: boolean
  readonly attempt: number
  /** In ms since 1970; 0: never. */
  readonly deadlineMs: number
  readonly children: readonly CarriedChild[]
  readonly hasLease: boolean
  /** What the schema made of the body; null: there is no schema, and the body says all. */
  readonly checked: { readonly data: unknown } | null
}

export interface CarriedChild extends Omit<ChildOutcome, 'error'> {
  readonly error: CarriedError | null
}

/** How a call ended. */
export type CarriedAnswer =
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'error'; readonly error: CarriedError }

export type ToThread =
  | RunMessage
  | { readonly kind: 'abort'; readonly run: number; readonly reason: CarriedError }
  | { readonly kind: 'answer'; readonly run: number; readonly call: number; readonly answer: CarriedAnswer }

/** Something that a handler sent or emitted. */
export type CarriedSend =
  | { readonly kind: 'send'; readonly queue: string; readonly data: unknown; readonly options: SendOptions | undefined }
  | { readonly kind: 'emit'; readonly event: string; readonly data: unknown; readonly options: EmitOptions | undefined }

export type CarriedResult =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'retry'; readonly after: Duration | undefined }
  | { readonly kind: 'dead-letter'; readonly reason: string }

export type FromThread =
  | { readonly kind: 'loaded' }
  | { readonly kind: 'unusable'; readonly error: CarriedError }
  | { readonly kind: 'progress'; readonly run: number; readonly share: number }
  | { readonly kind: 'extend'; readonly run: number; readonly by: Duration | undefined }
  | {
      readonly kind: 'call'
      readonly run: number
      readonly call: number
      readonly name: string
      readonly data: unknown
      readonly options: Omit<CallOptions, 'signal'>
    }
  | { readonly kind: 'cancel'; readonly run: number; readonly call: number }
  | {
      readonly kind: 'returned'
      readonly run: number
      readonly result: CarriedResult
      readonly sends: readonly CarriedSend[]
    }
  | { readonly kind: 'threw'; readonly run: number; readonly error: CarriedError }

/** An error, as far as it can be copied. */
export interface CarriedError {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  readonly code: string | undefined
  /** Of a CallError: which call failed, and what its answerer threw. */
  readonly failed?: { readonly call: string; readonly remote: RemoteError } | undefined
}

export function carryError(thrown: unknown): CarriedError {
  if (!(thrown instanceof Error))
    return { name: 'Error', message: `threw ${sayValue(thrown)}`, stack: undefined, code: undefined }
  const { code } = thrown as { code?: unknown }
  return {
    name: String(thrown.name),
    message: String(thrown.message),
    stack: thrown.stack,
    code: typeof code === 'string' ? code : undefined,
    failed: thrown instanceof CallError ? { call: thrown.call, remote: thrown.remote } : undefined,
  }
}

/** With the name, message, stack and code it had; a LeveretError is one again. */
export function rebuildError({ name, message, stack, code, failed }: CarriedError): Error {
  if (failed !== undefined) return new CallError(failed.call, failed.remote)
  const isOurs = name === 'LeveretError' && code !== undefined && message.startsWith(`${code}: `)
  const error = isOurs
    ? new LeveretError(code as LeveretError['code'], message.slice(code.length + 2))
    : new Error(message)
  if (!isOurs && name !== 'Error') Object.defineProperty(error, 'name', { value: name, configurable: true })
  if (!isOurs && code !== undefined) Object.assign(error, { code })
  if (stack !== undefined) error.stack = stack
  return error
}

function sayValue(value: unknown): string {
  try {
    return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  } catch {
    return String(value)
  }
}
