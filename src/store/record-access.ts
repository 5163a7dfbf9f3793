/**
 * The topology records of virtual hosts, users, permissions and parameters. Behind operation and virtual host (empty where
 * there is none), all of it text; lists and objects are JSON:
 *
 *     virtual-host-put          metadata
 *     virtual-host-deleted
 *     user-put                  name | hash of the password | how it was hashed | tags | limits
 *     user-deleted              name
 *     permission-put            user | configure | write | read
 *     permission-deleted        user
 *     topic-permission-put      user | exchange | write | read
 *     topic-permission-deleted  user | exchange
 *     parameter-put             component | name | value            policies and limits of virtual hosts are parameters
 *     parameter-deleted         component | name
 *
 * What every broker has from the beginning, the virtual host / and the user guest, is in no record before it is changed.
 */
import type { ByteReader } from '../lib/byte-reader.ts'
import type { ByteWriter } from '../lib/byte-writer.ts'

export interface AccessFields {
  'virtual-host-put': 'metadata'
  'virtual-host-deleted': never
  'user-put': 'name' | 'passwordHash' | 'hashing' | 'tags' | 'limits'
  'user-deleted': 'name'
  'permission-put': 'user' | 'configure' | 'write' | 'read'
  'permission-deleted': 'user'
  'topic-permission-put': 'user' | 'exchange' | 'write' | 'read'
  'topic-permission-deleted': 'user' | 'exchange'
  'parameter-put': 'component' | 'name' | 'value'
  'parameter-deleted': 'component' | 'name'
}

export type AccessRecord = {
  [Type in keyof AccessFields]: { readonly type: Type; readonly virtualHost: string } & {
    readonly [Field in AccessFields[Type]]: string
  }
}[keyof AccessFields]

/** In the order in which they are written. */
const fields: { readonly [Type in keyof AccessFields]: readonly AccessFields[Type][] } = {
  'virtual-host-put': ['metadata'],
  'virtual-host-deleted': [],
  'user-put': ['name', 'passwordHash', 'hashing', 'tags', 'limits'],
  'user-deleted': ['name'],
  'permission-put': ['user', 'configure', 'write', 'read'],
  'permission-deleted': ['user'],
  'topic-permission-put': ['user', 'exchange', 'write', 'read'],
  'topic-permission-deleted': ['user', 'exchange'],
  'parameter-put': ['component', 'name', 'value'],
  'parameter-deleted': ['component', 'name'],
}

/** Behind the operations of exchanges, queues and bindings. */
export const accessOperations: readonly (keyof AccessFields)[] = [
  'virtual-host-put',
  'virtual-host-deleted',
  'user-put',
  'user-deleted',
  'permission-put',
  'permission-deleted',
  'topic-permission-put',
  'topic-permission-deleted',
  'parameter-put',
  'parameter-deleted',
]

export function isAccessRecord(record: { readonly type: string }): record is AccessRecord {
  return record.type in fields
}

export function encodeAccess(writer: ByteWriter, record: AccessRecord): void {
  const values = record as unknown as Readonly<Record<string, string>>
  for (const field of fields[record.type]) writer.text(values[field] as string)
}

export function decodeAccess(type: keyof AccessFields, virtualHost: string, reader: ByteReader): AccessRecord {
  const values: { [field: string]: string } = {}
  for (const field of fields[type]) values[field] = reader.text()
  return { type, virtualHost, ...values } as AccessRecord
}

/** For people; hashes of passwords and values of parameters, which may be secrets, are left out. */
export function accessText(record: AccessRecord): string {
  const host = record.virtualHost === '' ? '' : ` of ${record.virtualHost}`
  switch (record.type) {
    case 'virtual-host-put':
      return `virtual host ${record.virtualHost} put`
    case 'virtual-host-deleted':
      return `virtual host ${record.virtualHost} deleted`
    case 'user-put':
      return `user ${record.name} put, tags ${record.tags}`
    case 'user-deleted':
      return `user ${record.name} deleted`
    case 'permission-put':
      return `permission${host} put: user ${record.user}, '${record.configure}' '${record.write}' '${record.read}'`
    case 'permission-deleted':
      return `permission${host} deleted: user ${record.user}`
    case 'topic-permission-put':
      return `topic permission${host} put: user ${record.user}, exchange ${record.exchange}`
    case 'topic-permission-deleted':
      return `topic permission${host} deleted: user ${record.user}, exchange ${record.exchange}`
    case 'parameter-put':
      return `${record.component} ${record.name}${host} put`
    case 'parameter-deleted':
      return `${record.component} ${record.name}${host} deleted`
  }
}
