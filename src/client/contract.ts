/**
 * A contract says once what a queue carries: its name, the schema of what goes in, and of what the handler gives back.
 * Sender and worker share it, in one process or in two.
 *
 * The wire carries what the sender gave, checked but not transformed; the worker gets what the schema makes of it. So a
 * schema that turns text into a date, or fills in defaults, does it on the receiving side, once.
 */

import { checkQueueName } from './names.ts'
import type { SchemaInput, SchemaOutput, StandardSchema } from './standard-schema.ts'

/**
 * `Input` is what `send` takes, `Data` what the handler gets, `Returned` what the handler gives back, `Result` what the
 * sender gets. Without schemas Data is Input and Returned is Result.
 */
export interface QueueContract<Input = unknown, Result = unknown, Data = Input, Returned = Result> {
  readonly name: string
  readonly input: StandardSchema<Input, Data> | undefined
  readonly result: StandardSchema<Returned, Result> | undefined
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
  return { name, input: schemas.input, result: schemas.result }
}
