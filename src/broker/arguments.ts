/**
 * The arguments of queues and consumers: what they mean, and what is wrong with them, in RabbitMQ's words. Those that
 * mean nothing to us are kept and not compared, as RabbitMQ does.
 */

import type { Rate } from '../lib/rate-meter.ts'
import { delaysForArgument } from '../model/delay-queues.ts'
import { BrokerError } from '../model/errors.ts'
import { emptyTable, type Field, type FieldTable, sameField, typeName } from '../model/field-table.ts'
import { gatherArgument, gatherToArgument } from '../model/gathering.ts'
import { limits } from '../model/limits.ts'
import { keyRateArgument, parseRate } from '../model/rate.ts'
import { subscriberPatternArgument } from '../model/subscribers.ts'
import type { Gathers } from './gathering.ts'
import { type Overflow, overflows } from './length-limit.ts'

/** What the arguments of a queue make of it. */
export interface QueueTraits {
  /** 0: there are no priorities. */
  readonly maxPriority: number
  /** How long a message may wait, in ms; infinity: for ever. */
  readonly messageTtlMs: number
  /** How long the queue may be unused, in ms; infinity: for ever. */
  readonly expiresMs: number
  /** Ready messages, and bytes of their bodies; infinity: any number. */
  readonly maxLength: number
  readonly maxBytes: number
  readonly overflow: Overflow
  /** Only one consumer at a time is served. */
  readonly singleActive: boolean
  /** Receivers are told how often a message came back. */
  readonly countsDeliveries: boolean
  /** How often a message may come back before it is given up; infinity: as often as it likes. */
  readonly deliveryLimit: number
  /** How long a consumer may hold a message, in ms; null: as long as the broker says. */
  readonly consumerTimeoutMs: number | null
  /** Messages of one key that may be with consumers at a time; 0: the queue knows no keys. */
  readonly keyConcurrency: number
  /** How many messages of one key are handed out in a time; null: as many as there are. */
  readonly keyRate: Rate | null
  /** Where messages go that expire or are rejected; null: nowhere. */
  readonly deadLetterExchange: string | null
  /** Under that key; null: under their own. */
  readonly deadLetterRoutingKey: string | null
  /** The exchange whose delayed messages it keeps; null: it is a queue like any other. */
  readonly delaysFor: string | null
  /** It keeps the answers that a parent waits for; null: it gathers none. */
  readonly gathers: Gathers | null
}

const keyConcurrencyMax = 65_535

/** Ten years, RabbitMQ's limit for times. */
const ttlMsMax = 315_360_000_000

const unlimited = Number.POSITIVE_INFINITY

/** RabbitMQ 4's: what comes back more often is poison. */
const deliveryLimitDefault = 20

/**
 * Reads arguments that were checked, and a policy's definition (null: there is none), whose names have no `x-`. Of two numbers
 * the smaller holds; otherwise the argument.
 */
export function queueTraits(table: FieldTable, policy: FieldTable | null): QueueTraits {
  const least = (name: string): number =>
    Math.min(integerOf(table.get(`x-${name}`)) ?? unlimited, integerOf(policy?.get(name)) ?? unlimited)
  const text = (name: string): string | null => textOf(table.get(`x-${name}`)) ?? textOf(policy?.get(name))
  const timeout = least('consumer-timeout')
  return {
    maxPriority: integerOf(table.get('x-max-priority')) ?? 0,
    messageTtlMs: least('message-ttl'),
    expiresMs: least('expires'),
    maxLength: least('max-length'),
    maxBytes: least('max-length-bytes'),
    overflow: (text('overflow') ?? 'drop-head') as Overflow,
    singleActive: table.get('x-single-active-consumer')?.value === true,
    countsDeliveries: isQuorum(table),
    deliveryLimit: isQuorum(table) ? deliveryLimitOf(table, policy) : unlimited,
    consumerTimeoutMs: timeout === unlimited ? null : timeout,
    keyConcurrency: keyConcurrencyOf(table.get('x-leveret-keyed')),
    keyRate: parseRate(textOf(table.get(keyRateArgument)) ?? ''),
    deadLetterExchange: text('dead-letter-exchange'),
    deadLetterRoutingKey: text('dead-letter-routing-key'),
    delaysFor: textOf(table.get(delaysForArgument)),
    gathers: gathersOf(table),
  }
}

export function isQuorum(table: FieldTable): boolean {
  return table.get('x-queue-type')?.value === 'quorum'
}

/** A negative limit is none. */
function deliveryLimitOf(table: FieldTable, policy: FieldTable | null): number {
  const limits = [integerOf(table.get('x-delivery-limit')), integerOf(policy?.get('delivery-limit'))]
  const given = limits.filter((limit) => limit !== null)
  if (given.length === 0) return deliveryLimitDefault
  return Math.min(...given.map((limit) => (limit < 0 ? unlimited : limit)))
}

function gathersOf(table: FieldTable): Gathers | null {
  const count = integerOf(table.get(gatherArgument))
  return count === null ? null : { count, to: textOf(table.get(gatherToArgument)) ?? '' }
}

/** True means one at a time. */
function keyConcurrencyOf(field: Field | undefined): number {
  if (field?.tag === 't') return field.value === true ? 1 : 0
  return integerOf(field) ?? 0
}

const integerTags = 'bBsuIil'

function integerOf(field: Field | null | undefined): number | null {
  return field != null && integerTags.includes(field.tag) ? Number(field.value) : null
}

function textOf(field: Field | null | undefined): string | null {
  return field?.tag === 'S' ? (field.value as string) : null
}

/** Throws PRECONDITION_FAILED in RabbitMQ's words if arguments of a queue have a wrong type or value, or do not go together. */
export function checkQueueArguments(name: string, virtualHost: string, table: FieldTable): void {
  const where = `queue '${name}' in vhost '${virtualHost}'`
  checkDeadLetterExchange(table, where)
  checkQueueType(table, where)
  for (const [argument, check] of queueArguments) {
    const field = table.get(argument)
    const reason = field === undefined ? null : check(field, table)
    if (reason !== null) throw invalid(argument, where, reason)
  }
  if (table.has(delaysForArgument)) throw invalid(delaysForArgument, where, 'only the broker gives it')
}

/** The only argument that RabbitMQ looks at for itself, before all others. */
function checkDeadLetterExchange(table: FieldTable, where: string): void {
  const field = table.get('x-dead-letter-exchange')
  if (field === undefined || field.tag === 'S') return
  const text = `invalid type '${typeName(field)}' for arg 'x-dead-letter-exchange' in ${where}`
  throw new BrokerError('PRECONDITION_FAILED', text)
}

function checkQueueType(table: FieldTable, where: string): void {
  const field: Field = table.get('x-queue-type') ?? { tag: 'S', value: 'classic' }
  if (field.tag !== 'S') throw invalid('x-queue-type', where, unacceptable(field))
  const type = field.value as string
  if (type === 'stream') {
    throw invalid('x-queue-type', where, "there are no streams in Leveret: take 'classic' or 'quorum'")
  }
  if (type !== 'classic' && type !== 'quorum')
    throw invalid('x-queue-type', where, `"unsupported queue type '${type}'"`)
  for (const argument of [...streamOnly, ...(type === 'quorum' ? classicOnly : quorumOnly)]) {
    if (!table.has(argument)) continue
    const text = `invalid arg '${argument}' for ${where} of queue type rabbit_${type}_queue`
    throw new BrokerError('PRECONDITION_FAILED', text)
  }
}

const classicOnly: readonly string[] = ['x-max-priority', 'x-queue-mode', 'x-queue-version', 'x-queue-master-locator']
const quorumOnly: readonly string[] = ['x-delivery-limit', 'x-quorum-initial-group-size', 'x-dead-letter-strategy']

const streamOnly: readonly string[] = ['x-max-age', 'x-stream-max-segment-size-bytes', 'x-initial-cluster-size']

/** Null if the field is fine; otherwise RabbitMQ's words for what is wrong. */
type Check = (field: Field, table: FieldTable) => string | null

/** In RabbitMQ's order: the first that differs, or is wrong, is the one that is named. */
const queueArguments: readonly (readonly [string, Check])[] = [
  ['x-expires', inRange(1, ttlMsMax)],
  ['x-message-ttl', inRange(0, ttlMsMax)],
  ['x-dead-letter-exchange', isText],
  ['x-dead-letter-routing-key', isDeadLetterKey],
  ['x-max-length', inRange(0, Number.MAX_SAFE_INTEGER)],
  ['x-max-length-bytes', inRange(0, Number.MAX_SAFE_INTEGER)],
  ['x-max-priority', isPriority],
  ['x-overflow', isOverflow],
  // How RabbitMQ keeps its messages; each of them is fine with us.
  ['x-queue-mode', isOneOf('queue mode', ['default', 'lazy'])],
  ['x-queue-version', isOneOf('queue version', [1, 2])],
  ['x-single-active-consumer', isTruth],
  ['x-delivery-limit', inRange(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)],
  ['x-queue-master-locator', isText],
  ['x-consumer-timeout', inRange(0, ttlMsMax)],
  ['x-leveret-keyed', isConcurrency],
  [keyRateArgument, isKeyRate],
  [subscriberPatternArgument, isText],
  [gatherArgument, isGather],
  [gatherToArgument, isText],
]

function inRange(min: number, max: number): Check {
  return (field) => {
    const value = integerOf(field)
    if (value === null) return wrongType('integer', field)
    if (value > max) return `{value_too_large,${value}}`
    if (value >= min) return null
    return value === 0 ? '{value_zero,0}' : `{value_negative,${value}}`
  }
}

function isPriority(field: Field): string | null {
  const value = integerOf(field)
  return value !== null && value > 255 ? `{max_value_exceeded,${value}}` : inRange(0, 255)(field, emptyTable)
}

function isText(field: Field): string | null {
  return field.tag === 'S' ? null : unacceptable(field)
}

function isTruth(field: Field): string | null {
  return field.tag === 't' ? null : unacceptable(field)
}

function isOneOf(what: string, choices: readonly Field['value'][]): Check {
  return (field) => {
    if (choices.includes(field.value)) return null
    const isKind = typeof field.value === typeof choices[0]
    return isKind ? `"unsupported ${what} '${shown(field)}'"` : unacceptable(field)
  }
}

function isDeadLetterKey(field: Field, table: FieldTable): string | null {
  const reason = isText(field)
  if (reason !== null) return reason
  // A routing key has to fit into a short string, or nobody could be told of it.
  const size = Buffer.byteLength(field.value as string)
  if (size > limits.nameBytesMax) return `it has ${size} bytes, at most ${limits.nameBytesMax} fit`
  return table.has('x-dead-letter-exchange') ? null : 'routing_key_but_no_dlx_defined'
}

function isOverflow(field: Field): string | null {
  if (field.tag !== 'S') return unacceptable(field)
  return overflows.includes(field.value as string) ? null : 'invalid_overflow'
}

function isConcurrency(field: Field, table: FieldTable): string | null {
  return field.tag === 't' ? null : inRange(0, keyConcurrencyMax)(field, table)
}

function isGather(field: Field, table: FieldTable): string | null {
  return table.has(gatherToArgument) ? inRange(1, limits.gatherMax)(field, table) : 'gather_but_no_target_defined'
}

function isKeyRate(field: Field, table: FieldTable): string | null {
  if (field.tag !== 'S') return unacceptable(field)
  if (parseRate(field.value as string) === null) return `"unsupported key rate '${shown(field)}'"`
  return keyConcurrencyOf(table.get('x-leveret-keyed')) > 0 ? null : 'key_rate_but_no_keys_defined'
}

function unacceptable(field: Field): string {
  return `{unacceptable_type,${typeName(field)}}`
}

function wrongType(expected: string, field: Field): string {
  return `"expected ${expected}, got ${typeName(field)}"`
}

export function invalid(argument: string, where: string, reason: string): BrokerError {
  return new BrokerError('PRECONDITION_FAILED', `invalid arg '${argument}' for ${where}: ${reason}`)
}

/** The rank of a consumer among those of its queue: an integer. Throws PRECONDITION_FAILED. */
export function consumerPriority(queue: string, virtualHost: string, table: FieldTable): number {
  const field = table.get('x-priority')
  if (field === undefined) return 0
  const priority = integerOf(field)
  if (priority !== null) return priority
  throw invalid('x-priority', `queue '${queue}' in vhost '${virtualHost}'`, wrongType('integer', field))
}

/** How many messages it works on at once, as it says itself; 0: it does not. */
export function consumerConcurrency(table: FieldTable): number {
  return Math.max(0, integerOf(table.get('x-leveret-concurrency')) ?? 0)
}

/** Throws PRECONDITION_FAILED in RabbitMQ's words if a redeclaration of a queue names other arguments that mean something. */
export function checkSameArguments(where: string, received: FieldTable, current: FieldTable): void {
  for (const [name] of queueArguments) checkSameArgument(where, name, received, current)
  if (isQuorum(received) !== isQuorum(current)) {
    const [one, two] = [received, current].map((table) => (isQuorum(table) ? 'quorum' : 'classic'))
    const shown = (type: string | undefined): string => `the value '${type ?? ''}' of type 'longstr'`
    const text = `inequivalent arg 'x-queue-type' for ${where}: received ${shown(one)} but current is ${shown(two)}`
    throw new BrokerError('PRECONDITION_FAILED', text)
  }
}

/** Throws PRECONDITION_FAILED in RabbitMQ's words unless both tables have the same under that name. */
export function checkSameArgument(where: string, name: string, received: FieldTable, current: FieldTable): void {
  const one = received.get(name)
  const two = current.get(name)
  if (one === undefined ? two === undefined : two !== undefined && sameField(one, two)) return
  // The types are only shown where one side has none.
  const hasBoth = one !== undefined && two !== undefined
  const difference = hasBoth
    ? `received '${shown(one)}' but current is '${shown(two)}'`
    : `received ${describe(one)} but current is ${describe(two)}`
  throw new BrokerError('PRECONDITION_FAILED', `inequivalent arg '${name}' for ${where}: ${difference}`)
}

export function checkSame(where: string, property: string, received: unknown, current: unknown): void {
  if (received === current) return
  throw new BrokerError(
    'PRECONDITION_FAILED',
    `inequivalent arg '${property}' for ${where}: received '${String(received)}' but current is '${String(current)}'`,
  )
}

/** `the value '2000' of type 'signedint'`, or none. */
function describe(field: Field | undefined): string {
  if (field === undefined) return 'none'
  return `the value '${shown(field)}' of type '${typeName(field)}'`
}

function shown({ value }: Field): string {
  return typeof value === 'object' ? '…' : String(value)
}
