/**
 * The matching rule of headers exchanges: which of a binding's arguments a message's headers must have.
 *
 * `x-match` is all (the default), any, all-with-x or any-with-x; the first two leave out arguments that begin with `x-`.
 * A void argument asks only that the header exists. `all` without criteria matches everything, `any` nothing.
 */
import { BrokerError } from '../model/errors.ts'
import { type FieldTable, sameField } from '../model/field-table.ts'

export function headersMatch(criteria: FieldTable, headers: FieldTable): boolean {
  const mode = matchMode(criteria)
  const withX = mode.endsWith('-with-x')
  const any = mode.startsWith('any')
  for (const [name, wanted] of criteria) {
    if (name === 'x-match' || (!withX && name.startsWith('x-'))) continue
    const header = headers.get(name)
    const matches = header !== undefined && (wanted.tag === 'V' || sameField(wanted, header))
    if (matches === any) return any
  }
  return !any
}

/** Throws PRECONDITION_FAILED with RabbitMQ's words if `x-match` is none of the four. */
export function checkHeaderCriteria(criteria: FieldTable): void {
  const field = criteria.get('x-match')
  if (field === undefined) return
  if (field.tag !== 'S') {
    throw new BrokerError('PRECONDITION_FAILED', `Invalid x-match field type ${field.tag}; expected longstr`)
  }
  const mode = field.value as string
  if (!['all', 'any', 'all-with-x', 'any-with-x'].includes(mode)) {
    throw new BrokerError(
      'PRECONDITION_FAILED',
      `Invalid x-match field value <<"${mode}">>; expected all, any, all-with-x, or any-with-x`,
    )
  }
}

function matchMode(criteria: FieldTable): string {
  const field = criteria.get('x-match')
  return field === undefined ? 'all' : (field.value as string)
}
