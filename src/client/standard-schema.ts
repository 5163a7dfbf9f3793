/**
 * Standard Schema 1, the interface that zod, valibot, arktype and others share (standardschema.dev). The types are copied,
 * as the standard invites us to, so that the library needs no package; `validate` is ours.
 */
import { LeveretError } from '../model/errors.ts'
import { asError } from './headers.ts'

export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': StandardProperties<Input, Output>
}

export interface StandardProperties<Input = unknown, Output = Input> {
  readonly version: 1
  readonly vendor: string
  readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
  readonly types?: { readonly input: Input; readonly output: Output } | undefined
}

export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** What goes into a schema. */
export type SchemaInput<Schema extends StandardSchema> = NonNullable<Schema['~standard']['types']>['input']

/** What a schema makes of it. */
export type SchemaOutput<Schema extends StandardSchema> = NonNullable<Schema['~standard']['types']>['output']

/** A schema that did not say whether the data match it: what it asks may be away, and another time it can. */
export class SchemaFailure extends LeveretError {
  constructor(what: string, cause: unknown) {
    super('E_BAD_DATA', `${what} could not be checked, for the schema itself failed: ${asError(cause).message}`, cause)
  }
}

/**
 * The value as the schema puts it out; a promise only if the schema is asynchronous. Throws or rejects with E_BAD_DATA,
 * where `what` names the thing: "the data for queue 'resize'"; with a SchemaFailure if the schema throws or rejects.
 */
export function validate<Output>(
  schema: StandardSchema<unknown, Output>,
  value: unknown,
  what: string,
): Output | Promise<Output> {
  let result: StandardResult<Output> | PromiseLike<StandardResult<Output>>
  try {
    result = schema['~standard'].validate(value)
  } catch (error) {
    throw new SchemaFailure(what, error)
  }
  if (!isThenable(result)) return accept(result, what)
  return Promise.resolve(result).then(
    (settled) => accept(settled, what),
    (error: unknown) => {
      throw new SchemaFailure(what, error)
    },
  )
}

function accept<Output>(result: StandardResult<Output>, what: string): Output {
  if (typeof result !== 'object' || result === null) throw new SchemaFailure(what, noResult)
  if (result.issues === undefined && 'value' in result) return result.value
  if (!Array.isArray(result.issues)) throw new SchemaFailure(what, noResult)
  throw new LeveretError('E_BAD_DATA', `${what} does not match its schema: ${listed(result.issues, what)}`)
}

function listed(issues: readonly StandardIssue[], what: string): string {
  const more = issues.length > 5 ? `; and ${issues.length - 5} more` : ''
  try {
    return issues.slice(0, 5).map(describe).join('; ') + more
  } catch (error) {
    throw new SchemaFailure(what, error)
  }
}

const noResult = 'it returned neither { value } nor { issues }'

function isThenable<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  return (
    value instanceof Promise || typeof (value as { readonly then?: unknown } | null | undefined)?.then === 'function'
  )
}

function describe(issue: StandardIssue): string {
  const path = (issue.path ?? [])
    .map((segment) => String(typeof segment === 'object' ? segment.key : segment))
    .join('.')
  return path === '' ? issue.message : `${path}: ${issue.message}`
}
