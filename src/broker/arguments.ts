/**
 * The arguments of queues and exchanges: what is wrong with them, and what Leveret does not do yet. An argument whose
 * meaning we know and do not keep is refused with the reason, never silently dropped; unknown ones are kept.
 */
import { BrokerError } from '../model/errors.ts'
import { type Field, type FieldTable, sameField } from '../model/field-table.ts'

const unsupportedQueueArguments: readonly string[] = [
  'x-expires',
  'x-max-length',
  'x-max-length-bytes',
  'x-overflow',
  'x-single-active-consumer',
  'x-delivery-limit',
]

/** What the arguments of a queue make of it. */
export interface QueueTraits {
  /** 0: there are no priorities. */
  readonly maxPriority: number
  /** How long a message may wait, in ms; infinity: for ever. */
  readonly messageTtlMs: number
  /** Messages of one key that may be with consumers at a time; 0: the queue knows no keys. */
  readonly keyConcurrency: number
  /** Where messages go that expire or are rejected; null: nowhere. */
  readonly deadLetterExchange: string | null
  /** Under that key; null: under their own. */
  readonly deadLetterRoutingKey: string | null
}

const keyConcurrencyMax = 65_535

/** Ten years, RabbitMQ's limit for times. */
const ttlMsMax = 315_360_000_000

/** Reads arguments that were checked. */
export function queueTraits(table: FieldTable): QueueTraits {
  return {
    maxPriority: integerOf(table.get('x-max-priority')) ?? 0,
    messageTtlMs: integerOf(table.get('x-message-ttl')) ?? Number.POSITIVE_INFINITY,
    keyConcurrency: keyConcurrencyOf(table.get('x-leveret-keyed')),
    deadLetterExchange: textOf(table.get('x-dead-letter-exchange')),
    deadLetterRoutingKey: textOf(table.get('x-dead-letter-routing-key')),
  }
}

/** True means one at a time. */
function keyConcurrencyOf(field: Field | undefined): number {
  if (field?.tag === 't') return field.value === true ? 1 : 0
  return integerOf(field) ?? 0
}

function integerOf(field: Field | undefined): number | null {
  if (field === undefined) return null
  if (typeof field.value === 'bigint') return Number(field.value)
  return typeof field.value === 'number' && Number.isInteger(field.value) && field.tag !== 'T' ? field.value : null
}

function textOf(field: Field | undefined): string | null {
  return field?.tag === 'S' ? (field.value as string) : null
}

/** Throws PRECONDITION_FAILED in RabbitMQ's words unless the argument is missing or a text. */
function checkText(table: FieldTable, name: string, where: string): void {
  const field = table.get(name)
  if (field === undefined || field.tag === 'S') return
  const reason = `"expected string, got ${typeName(field)}"`
  throw new BrokerError('PRECONDITION_FAILED', `invalid arg '${name}' for ${where}: ${reason}`)
}

/** Throws PRECONDITION_FAILED in RabbitMQ's words unless the argument is missing or an integer in the range. */
function checkInteger(table: FieldTable, name: string, max: number, where: string): void {
  const field = table.get(name)
  if (field === undefined) return
  const value = integerOf(field)
  if (value !== null && value >= 0 && value <= max) return
  const reason =
    value === null
      ? `"expected integer, got ${typeName(field)}"`
      : value < 0
        ? `{value_negative,${value}}`
        : `{value_too_large,${value}}`
  throw new BrokerError('PRECONDITION_FAILED', `invalid arg '${name}' for ${where}: ${reason}`)
}

export function checkQueueArguments(name: string, virtualHost: string, table: FieldTable): void {
  const where = `queue '${name}' in vhost '${virtualHost}'`
  for (const argument of unsupportedQueueArguments) {
    if (table.has(argument)) throw unsupported(argument, where)
  }
  checkInteger(table, 'x-max-priority', 255, where)
  checkInteger(table, 'x-message-ttl', ttlMsMax, where)
  checkText(table, 'x-dead-letter-exchange', where)
  checkText(table, 'x-dead-letter-routing-key', where)
  if (table.has('x-dead-letter-routing-key') && !table.has('x-dead-letter-exchange')) {
    throw new BrokerError(
      'PRECONDITION_FAILED',
      `invalid arg 'x-dead-letter-routing-key' for ${where}: routing_key_but_no_dlx_defined`,
    )
  }
  if (table.get('x-leveret-keyed')?.tag !== 't') checkInteger(table, 'x-leveret-keyed', keyConcurrencyMax, where)
  const type = table.get('x-queue-type')
  if (type === undefined || (type.tag === 'S' && type.value === 'classic')) return
  throw new BrokerError(
    'PRECONDITION_FAILED',
    `invalid arg 'x-queue-type' for ${where}: only 'classic' is supported, got ${describe(type)}`,
  )
}

export function checkConsumerArguments(queue: string, virtualHost: string, table: FieldTable): void {
  if (table.has('x-priority')) throw unsupported('x-priority', `consumer of queue '${queue}' in vhost '${virtualHost}'`)
}

export function checkExchangeArguments(name: string, virtualHost: string, table: FieldTable): void {
  if (table.has('alternate-exchange')) {
    throw unsupported('alternate-exchange', `exchange '${name}' in vhost '${virtualHost}'`)
  }
}

/** Throws PRECONDITION_FAILED in RabbitMQ's words if a redeclaration names other `x-` arguments. */
export function checkSameArguments(where: string, received: FieldTable, current: FieldTable): void {
  const names = new Set([...received.keys(), ...current.keys()].filter((name) => name.startsWith('x-')))
  for (const name of names) {
    const one = received.get(name)
    const two = current.get(name)
    if (one === undefined ? two === undefined : two !== undefined && sameField(one, two)) continue
    if (name === 'x-queue-type' && isClassic(one) && isClassic(two)) continue
    throw new BrokerError(
      'PRECONDITION_FAILED',
      `inequivalent arg '${name}' for ${where}: received ${describe(one)} but current is ${describe(two)}`,
    )
  }
}

export function checkSame(where: string, property: string, received: unknown, current: unknown): void {
  if (received === current) return
  throw new BrokerError(
    'PRECONDITION_FAILED',
    `inequivalent arg '${property}' for ${where}: received '${String(received)}' but current is '${String(current)}'`,
  )
}

function isClassic(field: Field | undefined): boolean {
  return field === undefined || field.value === 'classic'
}

function unsupported(argument: string, where: string): BrokerError {
  return new BrokerError('PRECONDITION_FAILED', `invalid arg '${argument}' for ${where}: not supported by Leveret yet`)
}

/** `the value '2000' of type 'signedint'`, or none. */
function describe(field: Field | undefined): string {
  if (field === undefined) return 'none'
  const { value } = field
  return `the value '${typeof value === 'object' ? '…' : String(value)}' of type '${typeName(field)}'`
}

function typeName(field: Field): string {
  switch (field.tag) {
    case 'S':
      return 'longstr'
    case 't':
      return 'bool'
    case 'A':
      return 'array'
    case 'F':
      return 'table'
    case 'T':
      return 'timestamp'
    case 'V':
      return 'void'
    case 'x':
      return 'binary'
    case 'D':
      return 'decimal'
    case 'f':
      return 'float'
    case 'd':
      return 'double'
    default:
      return 'signedint'
  }
}
