/**
 * A contract says once what a queue, an event or a call carries: its name, the schema of what goes in, and of what comes back.
 * Both sides share it, in one process or in two.
 *
 * The wire carries what the sender gave, checked but not transformed; the worker gets what the schema makes of it. So a
 * schema that turns text into a date, or fills in defaults, does it on the receiving side, once.
 */

import { LeveretError } from '../model/errors.ts'
import {
  checkEventName,
  checkEventPattern,
  checkName,
  checkObject,
  checkOptionNames,
  checkQueueName,
  isRecord,
  shown,
} from './names.ts'
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
  checkCallName(name)
  const where = `call '${name}'`
  checkOptionNames(where, schemas, ['input', 'result', 'errors'])
  const { input, result, errors } = schemas
  checkSchemas(where, { input, result })
  checkErrorSchemas(where, errors)
  return { kind: 'call', name, input, result, errors }
}

// What comes in as a contract. Many have no types, and some contracts are made by hand.

/** A queue's contract, or one without schemas for its name. Throws E_BAD_OPTION; `where` is who wants it. */
export function queueContractOf(where: string, given: unknown): QueueContract {
  return typeof given === 'string' ? defineQueue(given) : checkContract(where, 'queue', given)
}

/** An event's contract, or one without a schema for its name. Throws E_BAD_OPTION. */
export function eventContractOf(where: string, given: unknown): EventContract {
  return typeof given === 'string' ? defineEvent(given) : checkContract(where, 'event', given)
}

/** As `eventContractOf`, but text is a pattern, which becomes its name. */
export function listenedContractOf(where: string, given: unknown): EventContract {
  if (typeof given !== 'string') return checkContract(where, 'event', given)
  checkEventPattern(given)
  return { kind: 'event', name: given, input: undefined }
}

/** A call's contract, or one without schemas for its name. Throws E_BAD_OPTION. */
export function callContractOf(where: string, given: unknown): CallContract {
  if (typeof given !== 'string') return checkContract(where, 'call', given)
  checkCallName(given)
  return { kind: 'call', name: given, input: undefined, result: undefined, errors: undefined }
}

interface Contracts {
  readonly queue: QueueContract
  readonly event: EventContract
  readonly call: CallContract
}

/** Throws E_BAD_OPTION unless it is a contract of that kind, with a name, and schemas that are some. */
export function checkContract<Kind extends keyof Contracts>(
  where: string,
  kind: Kind,
  given: unknown,
): Contracts[Kind] {
  if (!isRecord(given) || given['kind'] !== kind) throw notThat(where, kind, given)
  const { name } = given
  if (kind === 'event') checkEventName(name)
  else if (kind === 'call') checkCallName(name)
  else checkQueueName(name)
  const of = `${where}: ${kind} '${name as string}'`
  checkSchemas(of, { input: given['input'], result: given['result'] })
  if (kind === 'call') checkErrorSchemas(of, given['errors'])
  return given as unknown as Contracts[Kind]
}

const defined: Readonly<Record<keyof Contracts, string>> = {
  queue: "a queue's contract, as defineQueue gives it",
  event: "an event's contract, as defineEvent gives it",
  call: "a call's contract, as defineCall gives it",
}

function notThat(where: string, kind: keyof Contracts, given: unknown): LeveretError {
  return new LeveretError(
    'E_BAD_OPTION',
    `${where}: ${shownContract(given)} is given where ${defined[kind]}, is wanted`,
  )
}

/** As errors name it: "queue 'resize', opened". */
export function shownContract(given: unknown): string {
  if (!isRecord(given)) return shown(given)
  const { kind, name, outlet } = given
  if (outlet !== undefined) return `the opened queue ${shown(name)}`
  if (kind === 'queue' || kind === 'event' || kind === 'call') return `the contract of ${kind} ${shown(name)}`
  return 'an object that is no contract'
}

function checkCallName(name: unknown): asserts name is string {
  checkQueueName(name, 'call')
  checkName(`call ${shown(name)}`, "a call's name", name)
}

/** Throws E_BAD_OPTION. */
function checkErrorSchemas(where: string, errors: unknown): void {
  if (errors === undefined) return
  checkObject(`${where}: errors`, errors, 'an object of schemas by name is wanted')
  for (const [error, schema] of Object.entries(errors)) checkSchema(where, `error ${error}`, schema)
}

interface AnySchemas {
  readonly input?: unknown
  readonly result?: unknown
}

/** A misspelt name, or something that is no schema, would check nothing for ever. */
function checkSchemas(where: string, schemas: AnySchemas): void {
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
