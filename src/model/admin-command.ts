/** Administrators' commands as they are asked through `leveret.control`. */
import type { AdminCommand } from './administration.ts'
import { type Check, type Fields, flag, integer, object, readFields, text } from './command-fields.ts'
import { controlPrefix } from './control-exchange.ts'

const hashings = ['scrypt', 'sha256', 'sha512', 'md5']

const textOrNull: Check = (value) => value === null || text(value)
const texts: Check = (value) => Array.isArray(value) && value.every(text)
const numbers: Check = (value) => object(value) && Object.values(value as object).every(Number.isFinite)
const hashing: Check = (value) => hashings.some((one) => one === value)
const anything: Check = (value) => value !== undefined

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
  return Object.fromEntries([['type', type], ...readFields(key, body, commands[type])]) as unknown as AdminCommand
}
