/** The arguments of exchanges: what is wrong with them, in RabbitMQ's words. Those that mean nothing to us are kept. */
import { BrokerError } from '../model/errors.ts'
import { type FieldTable, typeName } from '../model/field-table.ts'
import { invalid } from './arguments.ts'
import { checkHashArguments } from './consistent-hash.ts'
import { delayedKind } from './exchange.ts'
import { routerKinds } from './routers.ts'

/** Throws PRECONDITION_FAILED if arguments of an exchange do not say what its kind asks for. */
export function checkExchangeArguments(name: string, virtualHost: string, kind: string, table: FieldTable): void {
  const where = `exchange '${name}' in vhost '${virtualHost}'`
  const alternate = table.get('alternate-exchange')
  if (alternate !== undefined && alternate.tag !== 'S') {
    const text = `invalid type '${typeName(alternate)}' for arg 'alternate-exchange' in ${where}`
    throw new BrokerError('PRECONDITION_FAILED', text)
  }
  if (kind === 'x-consistent-hash') checkHashArguments(table)
  if (kind !== delayedKind) return
  const type = table.get('x-delayed-type')
  if (type?.tag === 'S' && routerKinds.includes(type.value as string)) return
  throw invalid('x-delayed-type', where, 'must be an existing exchange type')
}
