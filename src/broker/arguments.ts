/**
 * The arguments of queues and exchanges: what is wrong with them, and what Leveret does not do yet. An argument whose
 * meaning we know and do not keep is refused with the reason, never silently dropped; unknown ones are kept.
 */
import { BrokerError } from '../model/errors.ts'
import { type Field, type FieldTable, sameField } from '../model/field-table.ts'

const unsupportedQueueArguments: readonly string[] = [
  'x-message-ttl',
  'x-expires',
  'x-max-length',
  'x-max-length-bytes',
  'x-overflow',
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-max-priority',
  'x-single-active-consumer',
  'x-delivery-limit',
]

export function checkQueueArguments(name: string, virtualHost: string, table: FieldTable): void {
  const where = `queue '${name}' in vhost '${virtualHost}'`
  for (const argument of unsupportedQueueArguments) {
    if (table.has(argument)) throw unsupported(argument, where)
  }
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
