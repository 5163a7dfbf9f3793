/**
 * Writes a `definitions.json` as RabbitMQ does: without what every broker has, what ends with its connection or with the
 * process, and what belongs to the default exchange. Hashes of passwords only on demand.
 */
import type { Json, JsonObject } from '../model/administration.ts'
import { BrokerError } from '../model/errors.ts'
import { plainTable } from '../model/plain-table.ts'
import type { User } from './access.ts'
import type { Binding, Exchange } from './exchange.ts'
import { components, limitsName, wholeBroker } from './parameters.ts'
import { algorithmOf } from './password-hashing.ts'
import type { Queue } from './queue.ts'
import type { State } from './state.ts'
import type { VirtualHost } from './virtual-host.ts'

/** The version of RabbitMQ whose definitions these look like. */
const rabbitVersion = '4.2.0'

type Entry = { [key: string]: Json }

/** `virtualHost` null: of the whole broker. Throws NOT_FOUND. */
export function exportDefinitions(state: State, virtualHost: string | null, withHashes: boolean): JsonObject {
  const head = { rabbit_version: rabbitVersion, rabbitmq_version: rabbitVersion, product_name: 'Leveret' }
  if (virtualHost !== null) {
    const host = state.virtualHosts.get(virtualHost)
    if (host === undefined) throw new BrokerError('NOT_FOUND', `vhost '${virtualHost}' not found`)
    return { ...head, ...withoutHost(hostSections(state, [host])) }
  }
  const { access, parameters } = state
  const permissions: Entry[] = []
  access.forEachPermission((user, vhost, permission) => permissions.push({ user, vhost, ...permission }))
  const topics: Entry[] = []
  access.forEachTopicPermission((user, vhost, exchange, permission) => {
    topics.push({ user, vhost, exchange, ...permission })
  })
  const globals = [...parameters.of(wholeBroker, components.global)].map(({ name, value }): Entry => ({ name, value }))
  return {
    ...head,
    users: [...access.users.values()].map((user) => userEntry(user, withHashes)),
    vhosts: [...state.virtualHosts.values()].map((host) => hostEntry(state, host)),
    permissions,
    topic_permissions: topics,
    global_parameters: globals,
    ...hostSections(state, [...state.virtualHosts.values()]),
  }
}

function hostSections(state: State, hosts: readonly VirtualHost[]): { readonly [section: string]: Entry[] } {
  const policies: Entry[] = []
  const parameters: Entry[] = []
  for (const { virtualHost: vhost, component, name, value } of state.parameters.all()) {
    if (!hosts.some((host) => host.name === vhost)) continue
    if (component === components.policy) policies.push({ vhost, name, ...(value as JsonObject) })
    else parameters.push({ vhost, component, name, value })
  }
  return {
    parameters,
    policies,
    queues: hosts.flatMap((host) => [...host.queues.values()].filter(isKept).map((queue) => queueEntry(host, queue))),
    exchanges: hosts.flatMap((host) => ownExchanges(host).map((exchange) => exchangeEntry(host, exchange))),
    bindings: hosts.flatMap((host) =>
      [...host.exchanges.values()]
        .flatMap((exchange) => [...exchange.bindings.values()])
        .filter((binding) => binding.durable || isOutliving(binding))
        .map((binding) => bindingEntry(host, binding)),
    ),
  }
}

/** An exclusive queue ends with its connection, and what an exchange delays comes and goes with that. */
function isKept({ owner, delaysFor }: Queue): boolean {
  return owner === null && delaysFor === null
}

function isOutliving({ queue }: Binding): boolean {
  return queue === null || queue.owner === null
}

function ownExchanges(host: VirtualHost): Exchange[] {
  return [...host.exchanges.values()].filter((exchange) => !host.isPredeclared(exchange))
}

function userEntry({ name, passwordHash, hashing, tags, limits }: User, withHashes: boolean): Entry {
  const entry: Entry = { name, tags, limits: limits as JsonObject }
  // The password of guest that nobody has changed is no secret, but no hash either.
  if (!withHashes || hashing === 'initial') return entry
  return { ...entry, password_hash: passwordHash, hashing_algorithm: algorithmOf(hashing) }
}

function hostEntry(state: State, { name, metadata }: VirtualHost): Entry {
  const limits = state.parameters.get(name, components.virtualHostLimits, limitsName) ?? []
  const description = typeof metadata['description'] === 'string' ? metadata['description'] : ''
  return { name, description, tags: metadata['tags'] ?? [], metadata, limits }
}

function queueEntry(host: VirtualHost, { name, durable, autoDelete, arguments: table }: Queue): Entry {
  const type = table.get('x-queue-type')?.value
  const flags = { durable, auto_delete: autoDelete }
  return {
    name,
    vhost: host.name,
    ...flags,
    arguments: plainTable(table),
    type: typeof type === 'string' ? type : 'classic',
  }
}

function exchangeEntry(host: VirtualHost, exchange: Exchange): Entry {
  const { name, kind, durable, autoDelete, internal, arguments: table } = exchange
  return {
    name,
    vhost: host.name,
    type: kind,
    durable,
    auto_delete: autoDelete,
    internal,
    arguments: plainTable(table),
  }
}

function bindingEntry(host: VirtualHost, { source, queue, exchange, routingKey, arguments: table }: Binding): Entry {
  const destination =
    queue === null
      ? { destination: exchange?.name ?? '', destination_type: 'exchange' }
      : { destination: queue.name, destination_type: 'queue' }
  return {
    source: source.name,
    vhost: host.name,
    ...destination,
    routing_key: routingKey,
    arguments: plainTable(table),
  }
}

function withoutHost(sections: { readonly [section: string]: Entry[] }): { [section: string]: Entry[] } {
  const entries = Object.entries(sections).map(([name, list]): [string, Entry[]] => [
    name,
    list.map(({ vhost: _vhost, ...entry }) => entry),
  ])
  return Object.fromEntries(entries)
}
