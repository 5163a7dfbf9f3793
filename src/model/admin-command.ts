/** Administrators' commands as JSON, as they are asked through `leveret.control`: what comes is checked field by field. */
import type { AdminCommand } from './administration.ts'
import { controlPrefix } from './control-exchange.ts'
import { BrokerError } from './errors.ts'

const hashings = ['scrypt', 'sha256', 'sha512', 'md5']

type Check = (value: unknown) => boolean

const text: Check = (value) => typeof value === 'string'
const textOrNull: Check = (value) => value === null || text(value)
const flag: Check = (value) => typeof value === 'boolean'
const integer: Check = (value) => Number.isSafeInteger(value)
const object: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
const texts: Check = (value) => Array.isArray(value) && value.every(text)
const numbers: Check = (value) => object(value) && Object.values(value as object).every(Number.isFinite)
const hashing: Check = (value) => hashings.some((one) => one === value)
const anything: Check = () => true

type Fields<Command> = { readonly [Field in Exclude<keyof Command, 'type'>]: Check }

const commands: {
  readonly [Type in AdminCommand['type']]: Fields<Extract<AdminCommand, { readonly type: Type }>>
} = {
  'leveret.put-virtual-host': { virtualHost: text, metadata: object },
  'leveret.delete-virtual-host': { virtualHost: text },
  'leveret.put-user': { user: text, passwordHash: textOrNull, hashing, tags: texts },
  'leveret.delete-user': { user: text },
  'leveret.put-permission': { user: text, virtualHost: text, configure: text, write: text, read: text },
  'leveret.delete-permission': { user: text, virtualHost: text },
  'leveret.put-topic-permission': { user: text, virtualHost: text, exchange: text, write: text, read: text },
  'leveret.delete-topic-permission': { user: text, virtualHost: text, exchange: text },
  'leveret.put-policy': {
    virtualHost: text,
    name: text,
    operator: flag,
    pattern: text,
    applyTo: text,
    priority: integer,
    definition: object,
  },
  'leveret.delete-policy': { virtualHost: text, name: text, operator: flag },
  'leveret.put-parameter': { virtualHost: textOrNull, component: text, name: text, value: anything },
  'leveret.delete-parameter': { virtualHost: textOrNull, component: text, name: text },
  'leveret.put-virtual-host-limits': { virtualHost: text, limits: numbers },
  'leveret.put-user-limits': { user: text, limits: numbers },
  'leveret.import-definitions': { virtualHost: textOrNull, definitions: object },
  'leveret.export-definitions': { virtualHost: textOrNull, withHashes: flag },
}

/** The keys under which they are asked. */
export const adminKeys: readonly string[] = Object.keys(commands).map((type) => type.slice(controlPrefix.length))

/** Null: there is no such command. Throws PRECONDITION_FAILED, which names the field. */
export function readAdminCommand(key: string, body: Buffer): AdminCommand | null {
  if (!adminKeys.includes(key)) return null
  const type = `${controlPrefix}${key}` as AdminCommand['type']
  const given = parse(key, body)
  const command: [string, unknown][] = [['type', type]]
  for (const [field, check] of Object.entries<Check>(commands[type])) {
    const value = Object.hasOwn(given, field) ? given[field] : undefined
    if (value === undefined) throw refused(`${key}: ${field} is missing`)
    if (!check(value)) throw refused(`${key}: ${field} cannot be ${JSON.stringify(value).slice(0, 100)}`)
    command.push([field, value])
  }
  return Object.fromEntries(command) as unknown as AdminCommand
}

/** What readAdminCommand reads. */
export function adminCommandBody({ type: _type, ...fields }: AdminCommand): Buffer {
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
