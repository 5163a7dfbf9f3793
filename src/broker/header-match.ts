/**
 * The matching rule of headers exchanges: which of a binding's arguments a message's headers must have.
 *
 * `x-match` is all (the default), any, all-with-x or any-with-x; the first two leave out arguments that begin with `x-`.
 * A void argument asks only that the header exists. `all` without criteria matches everything, `any` nothing.
 */
import { BrokerError } from '../model/errors.ts'
import { type Field, type FieldTable, sameField, typeName } from '../model/field-table.ts'

export function headersMatch(criteria: FieldTable, headers: FieldTable): boolean {
  const mode = matchMode(criteria)
  const withX = mode.endsWith('-with-x')
  const any = mode.startsWith('any')
  for (const [name, wanted] of criteria) {
    if (name === 'x-match' || (!withX && name.startsWith('x-'))) continue
    const header = headers.get(name)
    const matches = header !== undefined && (wanted.tag === 'V' || sameValue(wanted, header))
    if (matches === any) return any
  }
  return !any
}

/** Throws PRECONDITION_FAILED with RabbitMQ's words if `x-match` is none of the four. */
export function checkHeaderCriteria(criteria: FieldTable): void {
  const field = criteria.get('x-match')
  if (field === undefined) return
  if (field.tag !== 'S') {
    const { value } = field
    const shown = typeof value === 'object' ? '…' : String(value)
    const text = `Invalid x-match field type ${typeName(field)} (value ${shown}); expected longstr`
    throw new BrokerError('PRECONDITION_FAILED', text)
  }
  const mode = field.value as string
  if (!['all', 'any', 'all-with-x', 'any-with-x'].includes(mode)) {
    throw new BrokerError(
      'PRECONDITION_FAILED',
      `Invalid x-match field value ${mode === '' ? '<<>>' : `<<"${mode}">>`}; expected all, any, all-with-x, or any-with-x`,
    )
  }
}

/** RabbitMQ compares what it has decoded: a time is a number there, and text and byte arrays are the same. */
function sameValue(wanted: Field, header: Field): boolean {
  return sameField(decoded(wanted), decoded(header))
}

function decoded({ tag, value }: Field): Field {
  if (tag === 'T') return { tag: 'l', value }
  return tag === 'S' ? { tag: 'x', value: Buffer.from(value as string) } : { tag, value }
}

function matchMode(criteria: FieldTable): string {
  const field = criteria.get('x-match')
  return field === undefined ? 'all' : (field.value as string)
}
