/** Commands as JSON, as they are asked through `leveret.control`: what comes is checked field by field. */
import { BrokerError } from './errors.ts'

export type Check = (value: unknown) => boolean

/** Each field that a command must have, and what may stand in it. */
export type Fields<Command> = { readonly [Field in Exclude<keyof Command, 'type'>]: Check }

export const text: Check = (value) => typeof value === 'string'
export const flag: Check = (value) => typeof value === 'boolean'
export const integer: Check = (value) => Number.isSafeInteger(value)
export const object: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)

/** It may be missing. */
export function optional(check: Check): Check {
  return (value) => value === undefined || check(value)
}

/** The fields that the body of a request for `key` says. Throws PRECONDITION_FAILED, which names the field. */
export function readFields(
  key: string,
  body: Buffer,
  fields: { readonly [field: string]: Check },
): [field: string, value: unknown][] {
  const given = parse(key, body)
  const read: [string, unknown][] = []
  for (const [field, check] of Object.entries(fields)) {
    const value = Object.hasOwn(given, field) ? given[field] : undefined
    if (!check(value)) {
      if (value === undefined) throw refused(`${key}: ${field} is missing`)
      throw refused(`${key}: ${field} cannot be ${JSON.stringify(value).slice(0, 100)}`)
    }
    if (value !== undefined) read.push([field, value])
  }
  return read
}

/** What `readFields` reads. */
export function fieldsBody({ type: _type, ...fields }: { readonly type: string }): Buffer {
  return Buffer.from(JSON.stringify(fields))
}

function parse(key: string, body: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(body.toString())
  } catch {
    throw refused(`${key}: its body is no JSON`)
  }
  if (!object(value)) throw refused(`${key}: its body is no object`)
  return value as Readonly<Record<string, unknown>>
}

function refused(reason: string): BrokerError {
  return new BrokerError('PRECONDITION_FAILED', reason)
}
