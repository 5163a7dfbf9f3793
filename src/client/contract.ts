/**
 * A contract says once what a queue, an event or a call carries: its name, the schema of what goes in, and of what comes back.
 * Both sides share it, in one process or in two.
 *
 * The wire carries what the sender gave, checked but not transformed; the worker gets what the schema makes of it. So a
 * schema that turns text into a date, or fills in defaults, does it on the receiving side, once.
 */

import { LeveretError } from '../model/errors.ts'
import { checkEventName, checkName, checkOptionNames, checkQueueName } from './names.ts'
import type { SchemaInput, SchemaOutput, StandardSchema } from './standard-schema.ts'

/**
 * `Input` is what `send` takes, `Data` what the handler gets, `Returned` what the handler gives back, `Result` what the
 * sender gets. Without schemas Data is Input and Returned is Result.
 */
export interface QueueContract<Input = unknown, Result = unknown, Data = Input, Returned = Result> {
  readonly kind: 'queue'
  readonly name: string
  readonly input: StandardSchema<Input, Data> | undefined
  readonly result: StandardSchema<Returned, Result> | undefined
}

/** `Input` is what `emit` takes, `Data` what listeners get; without a schema they are the same. */
export interface EventContract<Input = unknown, Data = Input> {
  readonly kind: 'event'
  readonly name: string
  readonly input: StandardSchema<Input, Data> | undefined
}

/**
 * `Input` is what `call` takes, `Data` what the answerer gets, `Returned` what it gives back, `Result` what the caller gets,
 * `Errors` the data of the errors it declares, by name.
 */
export interface CallContract<
  Input = unknown,
  Result = unknown,
  Data = Input,
  Returned = Result,
  Errors = Record<never, never>,
> {
  readonly kind: 'call'
  readonly name: string
  readonly input: StandardSchema<Input, Data> | undefined
  readonly result: StandardSchema<Returned, Result> | undefined
  /** The schemas of the errors it declares; undefined without schemas. */
  readonly errors: { readonly [Name in keyof Errors]: StandardSchema<unknown, Errors[Name]> } | undefined
}

export interface ContractSchemas<
  In extends StandardSchema | undefined = undefined,
  Out extends StandardSchema | undefined = undefined,
> {
  /** Of the data: checked by `send` and again by the worker. */
  readonly input?: In
  /** Of what the handler returns: checked by the worker and again by the sender. */
  readonly result?: Out
}

type InputOf<Schema> = Schema extends StandardSchema ? SchemaInput<Schema> : unknown
type OutputOf<Schema> = Schema extends StandardSchema ? SchemaOutput<Schema> : unknown

/** A contract with plain type parameters, or none: nothing is checked at run time. */
export function defineQueue<Input = unknown, Result = unknown>(
  name: string,
  schemas?: Record<string, never>,
): QueueContract<Input, Result>
/** A contract with schemas of any Standard Schema library (zod, valibot, arktype, …). */
export function defineQueue<
  const In extends StandardSchema | undefined = undefined,
  const Out extends StandardSchema | undefined = undefined,
>(
  name: string,
  schemas: ContractSchemas<In, Out>,
): QueueContract<InputOf<In>, OutputOf<Out>, OutputOf<In>, InputOf<Out>>
export function defineQueue(
  name: string,
  schemas: ContractSchemas<StandardSchema, StandardSchema> = {},
): QueueContract {
  checkQueueName(name)
  checkSchemas(`queue '${name}'`, schemas)
  return { kind: 'queue', name, input: schemas.input, result: schemas.result }
}

/** An event with a plain type parameter, or none: nothing is checked at run time. */
export function defineEvent<Data = unknown>(name: string): EventContract<Data>
/** An event whose data have a schema of any Standard Schema library. */
export function defineEvent<const Schema extends StandardSchema>(
  name: string,
  schema: Schema,
): EventContract<SchemaInput<Schema>, SchemaOutput<Schema>>
export function defineEvent(name: string, schema?: StandardSchema): EventContract {
  checkEventName(name)
  checkSchemas(`event '${name}'`, schema === undefined ? {} : { input: schema })
  return { kind: 'event', name, input: schema }
}

/** Schemas of a call's data, its result, and the data of the errors it may be answered with. */
export interface CallSchemas<
  In extends StandardSchema | undefined = undefined,
  Out extends StandardSchema | undefined = undefined,
  Errors extends ErrorSchemas = Record<never, never>,
> extends ContractSchemas<In, Out> {
  /** By name; see `callError` and `isCallError`. */
  readonly errors?: Errors
}

interface ErrorSchemas {
  readonly [name: string]: StandardSchema
}

type ErrorsOf<Schemas extends ErrorSchemas> = { readonly [Name in keyof Schemas]: SchemaInput<Schemas[Name]> }

/** A call with plain type parameters, or none: nothing is checked at run time. */
export function defineCall<Input = unknown, Result = unknown, Errors = Record<never, never>>(
  name: string,
  schemas?: Record<string, never>,
): CallContract<Input, Result, Input, Result, Errors>
/** A call with schemas of any Standard Schema library. */
export function defineCall<
  const In extends StandardSchema | undefined = undefined,
  const Out extends StandardSchema | undefined = undefined,
  const Errors extends ErrorSchemas = Record<never, never>,
>(
  name: string,
  schemas: CallSchemas<In, Out, Errors>,
): CallContract<InputOf<In>, OutputOf<Out>, OutputOf<In>, InputOf<Out>, ErrorsOf<Errors>>
export function defineCall(
  name: string,
  schemas: CallSchemas<StandardSchema, StandardSchema, ErrorSchemas> = {},
): CallContract {
  checkQueueName(name)
  const where = `call '${name}'`
  checkName(where, "a call's name", name)
  const { errors, ...others } = schemas
  checkSchemas(where, others)
  if (errors !== undefined)
    for (const [error, schema] of Object.entries(errors)) checkSchema(where, `error ${error}`, schema)
  return { kind: 'call', name, input: schemas.input, result: schemas.result, errors }
}

/** A misspelt name, or something that is no schema, would check nothing for ever. */
function checkSchemas(where: string, schemas: ContractSchemas<StandardSchema, StandardSchema>): void {
  checkOptionNames(where, schemas, ['input', 'result'])
  for (const [name, schema] of Object.entries(schemas)) if (schema !== undefined) checkSchema(where, name, schema)
}

function checkSchema(where: string, name: string, schema: unknown): void {
  const standard = (schema as { '~standard'?: { validate?: unknown } } | null)?.['~standard']
  if (typeof standard?.validate === 'function') return
  throw new LeveretError(
    'E_BAD_OPTION',
    `${where}: ${name} is no schema: give one of zod, valibot, arktype or another Standard Schema library`,
  )
}
