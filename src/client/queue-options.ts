/** What can be said when a queue is created, and what becomes of it: AMQP arguments, and the client's own policy. */

import { LeveretError } from '../model/errors.ts'
import { type Field, type FieldTable, type PlainValue, toField } from '../model/field-table.ts'
import { type Duration, durationMs, durationMsMax } from './duration.ts'
import { checkInteger, checkOptionNames, checkQueueName, shown } from './names.ts'
import { type Rate, rateText } from './rate.ts'
import { type Retry, type RetryOptions, retryOf } from './retry.ts'
import { givenFields } from './send-options.ts'

export interface QueueOptions {
  /** What happens to a message whose handler throws. Default: 3 attempts, then the dead-letter queue. */
  readonly retry?: RetryOptions
  /**
   * Where messages go that cannot be processed; made when the first one comes. Default `<name>.dead`; false: they are
   * dropped.
   */
  readonly deadLetter?: string | false
  /** 'disk' (durable queue, persistent messages) or 'memory' (gone with the broker). Default: disk. */
  readonly storage?: 'disk' | 'memory'
  /** Ready messages at most; `overflow` says what happens beyond. */
  readonly maxLength?: number
  /** Body bytes of ready messages at most. */
  readonly maxBytes?: number
  /** 'reject' fails the send, 'drop-oldest' drops at the head. Default: drop-oldest, as in AMQP. */
  readonly overflow?: 'reject' | 'drop-oldest'
  /**
   * A higher priority counts as this one, from 1 to 255. Without it a Leveret serves what this library sends by its priority all the
   * same; other brokers, and what others send, need it.
   */
  readonly maxPriority?: number
  /** How long a message may wait. */
  readonly ttl?: Duration
  /** The queue is deleted after so long without use. */
  readonly expires?: Duration
  /** Order per key: see SendOptions.key. */
  readonly keys?: KeyOptions
  /** AMQP arguments that have no name here. */
  readonly arguments?: { readonly [name: string]: PlainValue }
}

/** Kept by the broker over all workers and processes. */
export interface KeyOptions {
  /** Messages of one key that are with workers at a time. Default 1, which keeps their order. */
  readonly concurrency?: number
  /** Messages of one key that are handed out in a time, such as '10/s'. Default: as many as come. */
  readonly rate?: Rate
  /**
   * What a message that waits for its next attempt does to those behind it with the same key. 'strict', the default: they wait,
   * too. 'relaxed': they go on.
   */
  readonly order?: 'strict' | 'relaxed'
}

export interface QueueSettings {
  readonly retry: Retry
  readonly deadLetter: string | null
  readonly durable: boolean
  readonly arguments: FieldTable
  /** Null: nobody said. */
  readonly isKeyed: boolean | null
  readonly maxPriority: number | null
  /** A retry keeps its place: a copy would let others of its key go first, or find no room. */
  readonly retriesInPlace: boolean
  /** It has the requests of a call: transient ones are answered at most once, and errors are told as they were thrown. */
  readonly isCall: boolean
}

const known = [
  'retry',
  'deadLetter',
  'storage',
  'maxLength',
  'maxBytes',
  'overflow',
  'maxPriority',
  'ttl',
  'expires',
  'keys',
  'arguments',
] as const

/** Throws E_BAD_OPTION or E_UNSUPPORTED. */
export function queueSettings(
  name: string,
  options: QueueOptions,
  inMemory: boolean,
  isCall: boolean = false,
): QueueSettings {
  const where = `queue '${name}'`
  checkOptionNames(where, options, known)
  const keys = keysOf(where, options)
  const arguments_ = argumentsOf(where, options)
  const isKeyed = keys !== null || arguments_.has('x-leveret-keyed')
  return {
    retry: retryOf(where, options.retry ?? {}),
    deadLetter: deadLetterOf(name, options.deadLetter),
    durable: durableOf(where, options.storage, inMemory),
    arguments: arguments_,
    isKeyed,
    maxPriority: options.maxPriority ?? (arguments_.has('x-max-priority') ? null : 0),
    isCall,
    retriesInPlace: (isKeyed && options.keys?.order !== 'relaxed') || options.overflow === 'reject',
  }
}

/** Null: none. */
function keysOf(where: string, { keys }: QueueOptions): KeyOptions | null {
  if (keys === undefined) return null
  checkOptionNames(`${where}: keys`, keys, ['concurrency', 'rate', 'order'])
  const { order = 'strict' } = keys
  if (order === 'strict' || order === 'relaxed') return keys
  throw new LeveretError('E_BAD_OPTION', `${where}: keys.order is ${shown(order)}, and has to be 'strict' or 'relaxed'`)
}

function deadLetterOf(name: string, deadLetter: string | false | undefined): string | null {
  if (deadLetter === false) return null
  const target = deadLetter ?? `${name}.dead`
  checkQueueName(target, 'dead-letter queue')
  if (target !== name) return target
  throw new LeveretError('E_BAD_OPTION', `queue '${name}' is its own dead-letter queue: name another one`)
}

/**
 * Durable is a flag that costs nothing in a broker without a disk, and plain AMQP clients that share the queue nearly
 * always declare it so; hence it is the default everywhere.
 */
function durableOf(where: string, storage: QueueOptions['storage'], inMemory: boolean): boolean {
  if (storage === undefined) return true
  if (storage === 'memory') return false
  if (storage !== 'disk') {
    throw new LeveretError('E_BAD_OPTION', `${where}: storage is ${shown(storage)}, and has to be 'disk' or 'memory'`)
  }
  if (!inMemory) return true
  throw new LeveretError('E_UNSUPPORTED', `${where}: 'memory:' has no disk: connect('file:./data') has one`)
}

function argumentsOf(where: string, options: QueueOptions): FieldTable {
  const table = new Map<string, Field>()
  const integer = (argument: string, name: 'maxLength' | 'maxBytes' | 'maxPriority', max: number): void => {
    const value = options[name]
    if (value !== undefined) table.set(argument, toField(checkInteger(where, name, value, 0, max)))
  }
  integer('x-max-length', 'maxLength', Number.MAX_SAFE_INTEGER)
  integer('x-max-length-bytes', 'maxBytes', Number.MAX_SAFE_INTEGER)
  integer('x-max-priority', 'maxPriority', 255)
  if (options.overflow !== undefined) table.set('x-overflow', toField(overflowWord(where, options.overflow)))
  if (options.ttl !== undefined) table.set('x-message-ttl', milliseconds(where, 'ttl', options.ttl, 0))
  if (options.expires !== undefined) table.set('x-expires', milliseconds(where, 'expires', options.expires, 1))
  const { keys } = options
  if (keys !== undefined) {
    const concurrency = checkInteger(where, 'keys.concurrency', keys.concurrency ?? 1, 1, 1_000_000)
    table.set('x-leveret-keyed', toField(concurrency))
    if (keys.rate !== undefined) table.set('x-leveret-key-rate', toField(rateText(keys.rate, `${where}: keys.rate`)))
  }
  const { arguments: given } = options
  if (given !== undefined) {
    for (const [name, field] of givenFields(`${where}: arguments`, given, 'argument')) table.set(name, field)
  }
  return table
}

/** The broker takes no longer ones, and a queue that expires at once is none. */
function milliseconds(where: string, name: 'ttl' | 'expires', value: Duration, min: number): Field {
  const ms = Math.round(durationMs(value, `${where}: ${name}`))
  return toField(checkInteger(where, `${name}, in milliseconds,`, ms, min, durationMsMax))
}

function overflowWord(where: string, overflow: string): string {
  if (overflow === 'reject') return 'reject-publish'
  if (overflow === 'drop-oldest') return 'drop-head'
  throw new LeveretError(
    'E_BAD_OPTION',
    `${where}: overflow is ${shown(overflow)}, and has to be 'reject' or 'drop-oldest'`,
  )
}
