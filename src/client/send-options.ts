/**
 * What can be said when something is sent, and what it becomes: AMQP's properties where AMQP has a word for it, a header of
 * docs/protocol.md where it has none.
 */
import { BrokerError, LeveretError } from '../model/errors.ts'
import { type Field, type PlainValue, toField } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import type { Properties } from '../model/properties.ts'
import { type Duration, durationMs, durationMsMax } from './duration.ts'
import { headerNames } from './headers.ts'
import { checkInteger, checkObject, checkOptionNames, shown } from './names.ts'
import type { ReceiptCallbacks } from './receipt.ts'

/** Said of an event as of a message for a queue. */
export interface EmitOptions {
  /** AMQP headers. */
  readonly headers?: { readonly [name: string]: PlainValue }
  /** For text and bytes that are not JSON, such as 'text/csv'. */
  readonly contentType?: string
  /**
   * How long it may wait in a queue; then its sender is told `expired`. It is dropped, unless the queue was declared with the argument
   * `x-dead-letter-exchange`: `deadLetter` is for what was handed out.
   */
  readonly ttl?: Duration
  /** Gives up a send that still waits for room; one on its way cannot be called back. */
  readonly signal?: AbortSignal
}

export interface SendOptions extends EmitOptions {
  /**
   * Messages with the same key are processed in the order in which they were sent, `keys.concurrency` at a time, and keys take
   * turns. The queue must have been created with `keys`. Text of 1 to 255 bytes.
   */
  readonly key?: string
  /**
   * Within an hour a queue takes one message with that key: a second send stores nothing and gives the first one's id, with
   * `duplicate` true, and its receipt what becomes of the first. Text of 1 to 255 bytes.
   */
  readonly idempotencyKey?: string
  /** Nobody gets it before so long. At most ten years. */
  readonly delay?: Duration
  /** Nobody gets it before then: a Date, or milliseconds since 1970. */
  readonly at?: Date | number
  /**
   * From 0, the usual one, to 255: a higher one is served first. A queue of another broker must have been created with `maxPriority`,
   * and a higher one counts as that.
   */
  readonly priority?: number
  /**
   * So long after the send it is of no use any more: nobody begins with it, a handler's signal is aborted, and no attempt
   * follows. The sender is told `expired`.
   */
  readonly deadline?: Duration
  /** At most one message with that key is taken in each `every`; another one within it is a duplicate of that. */
  readonly throttle?: { readonly key: string; readonly every: Duration }
  /**
   * The message waits for `wait`; a later one with that key, sent before it was due, takes its place and waits anew. So of a
   * burst the last one is processed, when the burst is over.
   */
  readonly debounce?: { readonly key: string; readonly wait: Duration }
}

/** Asking for a receipt, by name or by a callback, makes `send` give a `Receipt`. */
export type ReceiptOptions<Result = unknown> = SendOptions &
  ReceiptCallbacks<Result> & {
    /** The inbox that gets the outcome if this process is gone by then: see `bus.receipts`. */
    readonly sender?: string
  } & (
    | { readonly receipt: true }
    | { readonly sender: string }
    | Required<Pick<ReceiptCallbacks<Result>, 'onDelivered'>>
    | Required<Pick<ReceiptCallbacks<Result>, 'onProgress'>>
    | Required<Pick<ReceiptCallbacks<Result>, 'onProcessed'>>
  )

export interface AnyOptions extends SendOptions, ReceiptCallbacks {
  readonly receipt?: boolean
  readonly sender?: string
}

/** What a queue does with a message, as far as whoever opened it knows; null: he does not. */
export interface QueueFacts {
  readonly isKeyed: boolean | null
  readonly maxPriority: number | null
  readonly isLeveret: boolean
}

const emitNames = ['headers', 'contentType', 'ttl', 'signal'] as const
/** Of a child: its outcome goes to its parent, and to nobody else. */
export const childNames = ['headers', 'contentType', 'ttl', 'key', 'delay', 'at', 'priority', 'deadline'] as const
const sendNames = [
  ...childNames,
  'signal',
  'idempotencyKey',
  'throttle',
  'debounce',
  'receipt',
  'sender',
  'onDelivered',
  'onProgress',
  'onProcessed',
] as const

/** Of the names of headers that are ours: docs/protocol.md. */
const ownPrefix = 'x-leveret-'

/** The properties and headers of an event. Throws E_BAD_OPTION; `where` names the event. */
export function emitProperties(where: string, options: EmitOptions): Properties {
  checkOptionNames(where, options, emitNames)
  checkContentType(where, options)
  const properties: Properties = {}
  const headers = headersOf(where, options)
  if (headers.size > 0) properties.headers = headers
  if (options.ttl !== undefined) properties.expiration = String(wholeMs(where, 'ttl', options.ttl))
  return properties
}

/**
 * The properties and headers of a message for a queue, but for what asks for a receipt. Throws E_BAD_OPTION, or E_UNSUPPORTED
 * for what the queue or its broker cannot do; `where` names the queue.
 */
export function sendProperties(where: string, options: AnyOptions, facts: QueueFacts, nowMs: number): Properties {
  checkOptionNames(where, options, sendNames)
  checkContentType(where, options)
  const properties: Properties = {}
  const headers = headersOf(where, options)
  addKeys(where, options, facts, headers)
  const delayMs = delayOf(where, options, nowMs)
  if (delayMs > 0) {
    needLeveret(where, options.debounce === undefined ? 'delay' : 'debounce', facts)
    headers.set(headerNames.delay, toField(delayMs))
  }
  const expiresMs = expiryOf(where, options, delayMs, nowMs, headers)
  if (expiresMs !== null) properties.expiration = String(expiresMs)
  if (options.priority !== undefined) {
    properties.priority = checkInteger(where, 'priority', options.priority, 0, 255)
    const { maxPriority } = facts
    if (!facts.isLeveret && maxPriority === 0)
      throw bad(`${where}: the queue has no priorities: create it with { maxPriority: … }`)
    const isDeclared = maxPriority !== null && maxPriority > 0
    if (facts.isLeveret && !isDeclared && options.priority > 0) headers.set(headerNames.priority, toField(true))
  }
  if (headers.size > 0) properties.headers = headers
  return properties
}

function checkContentType(where: string, { contentType }: EmitOptions): void {
  const bytes = contentType === undefined ? 1 : Buffer.byteLength(contentType)
  if (bytes > limits.nameBytesMax) throw bad(`${where}: contentType has ${bytes} bytes, at most 255 fit`)
}

function headersOf(where: string, { headers }: EmitOptions): Map<string, Field> {
  if (headers === undefined) return new Map()
  const table = givenFields(`${where}: headers`, headers, 'header')
  // They say how another message fared, whose headers are passed on.
  for (const name of table.keys()) if (name.startsWith(ownPrefix)) table.delete(name)
  return table
}

/** What somebody gives as headers or arguments. Throws E_BAD_OPTION, which names the one that AMQP has no word for. */
export function givenFields(where: string, given: unknown, thing: 'header' | 'argument'): Map<string, Field> {
  const table = new Map<string, Field>()
  checkObject(where, given, `an object of names and values is wanted`)
  for (const [name, value] of Object.entries(given)) {
    const bytes = Buffer.byteLength(name)
    if (bytes > limits.nameBytesMax) throw bad(`${where}: the name of a ${thing} has ${bytes} bytes, at most 255 fit`)
    try {
      table.set(name, toField(value as PlainValue))
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      const text = `${where}: '${name}': ${error.text}: give text, numbers, booleans, null, Dates, Buffers, or arrays and objects of these`
      throw new LeveretError('E_BAD_OPTION', text, error)
    }
  }
  return table
}

function addKeys(where: string, options: AnyOptions, facts: QueueFacts, headers: Map<string, Field>): void {
  const { key, idempotencyKey, throttle, debounce } = options
  if (key !== undefined) {
    if (facts.isKeyed === false) {
      throw bad(`${where}: the queue keeps no order per key: create it with { keys: { concurrency: 1 } }`)
    }
    needLeveret(where, 'key', facts)
    headers.set(headerNames.key, toField(keyText(where, 'key', key)))
  }
  if ([idempotencyKey, throttle, debounce].filter((one) => one !== undefined).length > 1) {
    throw bad(`${where}: idempotencyKey, throttle and debounce all say which messages count as one: use one of them`)
  }
  if (idempotencyKey !== undefined) {
    needLeveret(where, 'idempotencyKey', facts)
    headers.set(headerNames.idempotencyKey, toField(keyText(where, 'idempotencyKey', idempotencyKey)))
  }
  if (throttle !== undefined) {
    checkOptionNames(`${where}: throttle`, throttle, ['key', 'every'])
    needLeveret(where, 'throttle', facts)
    const everyMs = wholeMs(where, 'throttle.every', throttle.every)
    headers.set(headerNames.idempotencyKey, toField(`throttle ${keyText(where, 'throttle.key', throttle.key, 240)}`))
    headers.set(headerNames.idempotencyWindow, toField(Math.max(1, everyMs)))
  }
  if (debounce !== undefined) {
    checkOptionNames(`${where}: debounce`, debounce, ['key', 'wait'])
    headers.set(headerNames.debounceKey, toField(keyText(where, 'debounce.key', debounce.key)))
  }
}

function delayOf(where: string, { delay, at, debounce }: AnyOptions, nowMs: number): number {
  if ([delay, at, debounce].filter((one) => one !== undefined).length > 1) {
    throw bad(`${where}: delay, at and debounce all say when: use one of them`)
  }
  if (debounce !== undefined) return Math.max(1, wholeMs(where, 'debounce.wait', debounce.wait))
  if (delay !== undefined) return wholeMs(where, 'delay', delay)
  if (at === undefined) return 0
  const atMs = at instanceof Date ? at.getTime() : at
  if (typeof atMs !== 'number' || !Number.isFinite(atMs)) {
    throw bad(`${where}: at is ${shown(at)}, and has to be a Date or milliseconds since 1970`)
  }
  return checkInteger(where, 'the time until at', Math.max(0, Math.ceil(atMs - nowMs)), 0, durationMsMax)
}

/** How long it may wait once it is due, in ms; null: for ever. */
function expiryOf(
  where: string,
  { ttl, deadline }: AnyOptions,
  delayMs: number,
  nowMs: number,
  headers: Map<string, Field>,
): number | null {
  let expiresMs = ttl === undefined ? null : wholeMs(where, 'ttl', ttl)
  if (deadline === undefined) return expiresMs
  const deadlineMs = wholeMs(where, 'deadline', deadline)
  if (deadlineMs < delayMs) throw bad(`${where}: the deadline is over before the message is due: give it more time`)
  headers.set(headerNames.deadline, toField(Math.floor(nowMs + deadlineMs)))
  expiresMs = Math.min(expiresMs ?? Number.POSITIVE_INFINITY, deadlineMs - delayMs)
  return expiresMs
}

function needLeveret(where: string, option: string, { isLeveret }: QueueFacts): void {
  if (isLeveret) return
  throw new LeveretError(
    'E_UNSUPPORTED',
    `${where}: this broker is no Leveret and has no '${option}': see bus.capabilities() for what it can do`,
  )
}

function keyText(
  where: string,
  name: string,
  value: unknown,
  bytesMax: number = limits.idempotencyKeyBytesMax,
): string {
  if (typeof value !== 'string') throw bad(`${where}: ${name} is ${shown(value)}, and has to be text`)
  const bytes = Buffer.byteLength(value)
  if (bytes >= 1 && bytes <= bytesMax) return value
  throw bad(`${where}: ${name} has ${bytes} bytes, and 1 to ${bytesMax} are wanted`)
}

function wholeMs(where: string, name: string, value: Duration): number {
  return checkInteger(where, name, Math.ceil(durationMs(value, `${where}: ${name}`)), 0, durationMsMax)
}

function bad(text: string): LeveretError {
  return new LeveretError('E_BAD_OPTION', text)
}
