/** Virtual hosts, users, permissions and parameters, as the facts in the log make them: state.ts has all the others. */
import { assert } from '../lib/assert.ts'
import type { Hashing, Json, JsonObject } from '../model/administration.ts'
import type { TopologyRecord } from '../store/record.ts'
import type { AccessRecord } from '../store/record-access.ts'
import { type Access, isInitialPermission, isInitialUser, type Limits, type User } from './access.ts'
import type { Parameter, Parameters } from './parameters.ts'
import { VirtualHost } from './virtual-host.ts'

export interface AccessState {
  readonly virtualHosts: Map<string, VirtualHost>
  readonly access: Access
  readonly parameters: Parameters
}

const emptyJson = '{}'

export function applyAccess({ virtualHosts, access, parameters }: AccessState, record: AccessRecord): void {
  const { virtualHost } = record
  switch (record.type) {
    case 'virtual-host-put': {
      let host = virtualHosts.get(virtualHost)
      if (host === undefined) {
        host = new VirtualHost(virtualHost)
        virtualHosts.set(virtualHost, host)
      }
      host.metadata = JSON.parse(record.metadata) as JsonObject
      return
    }
    case 'virtual-host-deleted': {
      const host = virtualHosts.get(virtualHost)
      assert(host !== undefined && host.queues.size === 0, 'a virtual host that is deleted exists and has no queues')
      virtualHosts.delete(virtualHost)
      host.topologyVersion++
      access.deleteVirtualHost(virtualHost)
      parameters.deleteVirtualHost(virtualHost)
      return
    }
    case 'user-put': {
      const { name, passwordHash } = record
      const hashing = record.hashing as Hashing
      const tags = JSON.parse(record.tags) as string[]
      access.putUser({ name, passwordHash, hashing, tags, limits: JSON.parse(record.limits) as Limits })
      return
    }
    case 'user-deleted':
      return access.deleteUser(record.name)
    case 'permission-put': {
      const { user, configure, write, read } = record
      return access.putPermission(user, virtualHost, { configure, write, read })
    }
    case 'permission-deleted':
      return access.deletePermission(record.user, virtualHost)
    case 'topic-permission-put': {
      const { user, exchange, write, read } = record
      return access.putTopicPermission(user, virtualHost, exchange, { write, read })
    }
    case 'topic-permission-deleted':
      return access.deleteTopicPermission(record.user, virtualHost, record.exchange)
    case 'parameter-put': {
      const { component, name } = record
      return parameters.put({ virtualHost, component, name, value: JSON.parse(record.value) as Json })
    }
    case 'parameter-deleted':
      return parameters.delete(virtualHost, record.component, record.name)
  }
}

/** All that is not as in every new broker, as the records that make it so. */
export function forEachAccess(
  { virtualHosts, access, parameters }: AccessState,
  visit: (record: TopologyRecord) => void,
): void {
  const initial = { virtualHost: '/', user: 'guest' }
  if (!virtualHosts.has(initial.virtualHost)) visit({ type: 'virtual-host-deleted', virtualHost: initial.virtualHost })
  for (const host of virtualHosts.values()) {
    if (host.name !== initial.virtualHost || JSON.stringify(host.metadata) !== emptyJson) visit(hostRecord(host))
  }
  if (!access.users.has(initial.user)) visit({ type: 'user-deleted', virtualHost: '', name: initial.user })
  else if (access.permission(initial.user, initial.virtualHost) === undefined) {
    visit({ type: 'permission-deleted', ...initial })
  }
  for (const user of access.users.values()) if (!isInitialUser(user)) visit(userRecord(user))
  access.forEachPermission((user, virtualHost, permission) => {
    if (isInitialPermission(user, virtualHost, permission)) return
    visit({ type: 'permission-put', virtualHost, user, ...permission })
  })
  access.forEachTopicPermission((user, virtualHost, exchange, permission) => {
    visit({ type: 'topic-permission-put', virtualHost, user, exchange, ...permission })
  })
  for (const parameter of parameters.all()) visit(parameterRecord(parameter))
}

export function hostRecord({ name, metadata }: VirtualHost): AccessRecord {
  return { type: 'virtual-host-put', virtualHost: name, metadata: JSON.stringify(metadata) }
}

export function userRecord({ name, passwordHash, hashing, tags, limits }: User): AccessRecord {
  const texts = { tags: JSON.stringify(tags), limits: JSON.stringify(limits) }
  return { type: 'user-put', virtualHost: '', name, passwordHash, hashing, ...texts }
}

export function parameterRecord({ virtualHost, component, name, value }: Parameter): AccessRecord {
  return { type: 'parameter-put', virtualHost, component, name, value: JSON.stringify(value) }
}
