/**
 * Standard Schema 1, the interface that zod, valibot, arktype and others share (standardschema.dev). The types are copied,
 * as the standard invites us to, so that the library needs no package; `validate` is ours.
 */
import { LeveretError } from '../model/errors.ts'

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

/**
 * The value as the schema puts it out; a promise only if the schema is asynchronous. Throws or rejects with E_BAD_DATA,
 * where `what` names the thing: "the data for queue 'resize'".
 */
export function validate<Output>(
  schema: StandardSchema<unknown, Output>,
  value: unknown,
  what: string,
): Output | Promise<Output> {
  const result = schema['~standard'].validate(value)
  if (result instanceof Promise) return result.then((settled) => accept(settled, what))
  return accept(result, what)
}

function accept<Output>(result: StandardResult<Output>, what: string): Output {
  if (result.issues === undefined) return result.value
  const issues = result.issues.slice(0, 5).map(describe).join('; ')
  const more = result.issues.length > 5 ? `; and ${result.issues.length - 5} more` : ''
  throw new LeveretError('E_BAD_DATA', `${what} does not match its schema: ${issues}${more}`)
}

function describe(issue: StandardIssue): string {
  const path = (issue.path ?? [])
    .map((segment) => String(typeof segment === 'object' ? segment.key : segment))
    .join('.')
  return path === '' ? issue.message : `${path}: ${issue.message}`
}
