/**
 * The errors of a call, on both sides of the wire. What an answerer throws travels in the answer's headers, the data of a
 * declared error in its body:
 *
 *     throw callError(price, 'unknownSku', { sku })   →   x-leveret-error-name: unknownSku   →   CallError { remote: { name, data } }
 */
import { LeveretError } from '../model/errors.ts'
import { toJson } from './body.ts'
import { type CallContract, checkContract } from './contract.ts'
import { errorText } from './headers.ts'
import { checkName } from './names.ts'
import { type StandardSchema, validate } from './standard-schema.ts'

/** What the answerer threw. */
export interface RemoteError {
  /** The error's name: that of the contract for a declared one, otherwise such as 'TypeError'. */
  readonly name: string
  readonly message: string
  /** Its `code`, if it had one that is text. */
  readonly code: string | undefined
  /** Of a declared error; undefined otherwise. */
  readonly data: unknown
}

/** The call was answered, with an error. */
export class CallError extends LeveretError {
  override readonly name: string = 'CallError'
  /** The call's name. */
  readonly call: string
  readonly remote: RemoteError

  constructor(call: string, remote: RemoteError, cause?: unknown) {
    super('E_CALL_FAILED', `call '${call}' failed: ${remote.name}: ${remote.message}`, cause)
    this.call = call
    this.remote = remote
  }
}

/** As the cause of a receipt's error: what the answer said of what was thrown. */
export class TransportedError extends Error {
  readonly remote: RemoteError

  constructor(remote: RemoteError) {
    super(`${remote.name}: ${remote.message}`)
    this.remote = remote
  }
}

/** What an answerer throws to tell a declared error. */
export class DeclaredError extends Error {
  override readonly name: string
  readonly data: unknown

  constructor(name: string, data: unknown) {
    super(name)
    this.name = name
    this.data = data
  }
}

/**
 * An error that the contract declares, for the answerer to throw. Throws E_BAD_DATA if the data do not match its schema, or are
 * none.
 */
export function callError<Input, Result, Data, Returned, Errors, Name extends keyof Errors & string>(
  contract: CallContract<Input, Result, Data, Returned, Errors>,
  name: Name,
  data: Errors[Name],
): Error {
  checkContract('callError', 'call', contract)
  checkName(`callError of call '${contract.name}'`, "an error's name", name)
  const schema = contract.errors?.[name]
  if (schema !== undefined) {
    const checked = validate(schema as StandardSchema, data, `the data of error '${name}' of call '${contract.name}'`)
    if (checked instanceof Promise) {
      checked.catch(() => {})
      throw new LeveretError(
        'E_UNSUPPORTED',
        `error '${name}' of call '${contract.name}' has an asynchronous schema: use a synchronous one`,
      )
    }
  }
  // Where it is thrown it is too late to say that it cannot be written.
  toJson(data, `the data of error '${name}' of call '${contract.name}'`)
  return new DeclaredError(name, data)
}

/** Whether a call failed with that declared error; its `remote.data` then has the error's type. */
export function isCallError<Input, Result, Data, Returned, Errors, Name extends keyof Errors & string>(
  error: unknown,
  contract: CallContract<Input, Result, Data, Returned, Errors>,
  name: Name,
): error is CallError & { readonly remote: RemoteError & { readonly name: Name; readonly data: Errors[Name] } } {
  if (!(error instanceof CallError) || error.remote.name !== name) return false
  return contract.errors === undefined || name in contract.errors
}

/** What the caller is told: the data of a declared error are what its schema makes of them. Rejects if they do not match it. */
export async function readCallError(contract: CallContract, remote: RemoteError, cause?: unknown): Promise<CallError> {
  const { name, errors } = contract
  const schema = (errors as { readonly [name: string]: StandardSchema } | undefined)?.[remote.name]
  if (schema === undefined) return new CallError(name, remote, cause)
  const data = await validate(schema, remote.data, `the data of error '${remote.name}' of call '${name}'`)
  return new CallError(name, { ...remote, data }, cause)
}

/** What of it is told to the caller. */
export function toldError(thrown: unknown): RemoteError {
  if (!(thrown instanceof Error)) return { name: 'Error', code: undefined, message: errorText(thrown), data: undefined }
  const { message } = thrown
  const { code } = thrown as { readonly code?: unknown }
  const data = thrown instanceof DeclaredError ? thrown.data : undefined
  return { name: String(thrown.name), code: typeof code === 'string' ? code : undefined, message, data }
}
