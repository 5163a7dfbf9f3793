/**
 * Takes in a `definitions.json`, as RabbitMQ exports it: of a whole broker, or of one virtual host. All of it or nothing: what
 * was done is undone when an entry cannot be, in the same turn, hence in the same frame of the log. Users, permissions,
 * policies and parameters are replaced; queues, exchanges and bindings that are there are left as they are.
 */
import type { Json, JsonObject } from '../model/administration.ts'
import { BrokerError } from '../model/errors.ts'
import { type FieldTable, toTable } from '../model/field-table.ts'
import { plainTable } from '../model/plain-table.ts'
import type { AccessRecord } from '../store/record-access.ts'
import type { Administration, Plain } from './administration.ts'
import { DefinitionEntry } from './definition-entry.ts'
import { components } from './parameters.ts'
import { hashingOf } from './password-hashing.ts'
import type { QueueOwner } from './queue.ts'
import type { VirtualHost } from './virtual-host.ts'

type Section = (entry: DefinitionEntry) => void

/** Nobody owns what is imported. */
const nobody: QueueOwner = { exclusiveQueues: new Set(), grants: null }

export class DefinitionsImport {
  private readonly administration: Administration
  private readonly virtualHost: string | null
  private readonly hashPassword: (password: string) => string
  private readonly undo: (() => void)[] = []
  private hasOldHashes = false

  /** `virtualHost` null: of a whole broker. `hashPassword` hashes as RabbitMQ does, with SHA-256. */
  constructor(administration: Administration, virtualHost: string | null, hashPassword: (password: string) => string) {
    this.administration = administration
    this.virtualHost = virtualHost
    this.hashPassword = hashPassword
  }

  /** Throws PRECONDITION_FAILED, which names the entry; nothing has changed then. */
  run(definitions: JsonObject): void {
    const version = definitions['rabbit_version'] ?? definitions['rabbitmq_version']
    this.hasOldHashes = typeof version === 'string' && /^([0-2]\.|3\.[0-5](\.|$))/.test(version)
    try {
      for (const [name, read] of this.sections()) this.section(name, definitions[name], read)
    } catch (error) {
      for (const step of this.undo.reverse()) step()
      throw error
    }
    this.administration.announce(null)
  }

  /** In RabbitMQ's order: each needs those before it. */
  private sections(): readonly (readonly [name: string, read: Section])[] {
    const ofBroker = (read: Section): Section => {
      return (entry) => {
        if (this.virtualHost === null) return read(entry)
        throw entry.refused(
          'definitions of one virtual host have none of these: import them without naming a virtual host',
        )
      }
    }
    return [
      ['users', ofBroker((entry) => this.user(entry))],
      ['vhosts', ofBroker((entry) => this.host(entry))],
      ['permissions', ofBroker((entry) => this.permission(entry))],
      ['exchanges', (entry) => this.exchange(entry)],
      ['topic_permissions', ofBroker((entry) => this.topicPermission(entry))],
      ['global_parameters', ofBroker((entry) => this.globalParameter(entry))],
      ['policies', (entry) => this.policy(entry)],
      ['parameters', (entry) => this.parameter(entry)],
      ['queues', (entry) => this.queue(entry)],
      ['bindings', (entry) => this.binding(entry)],
    ]
  }

  private section(name: string, entries: Json | undefined, read: Section): void {
    if (entries === undefined) return
    if (!Array.isArray(entries)) throw refused(`${name} has to be a list`)
    for (const [at, value] of (entries as readonly Json[]).entries()) {
      const entry = new DefinitionEntry(name, at, value)
      try {
        read(entry)
      } catch (error) {
        throw error instanceof BrokerError && !error.text.startsWith('definitions: ')
          ? entry.refused(error.text)
          : error
      }
    }
  }

  private user(entry: DefinitionEntry): void {
    const name = entry.text('name')
    const password = entry.optionalText('password')
    const hash = entry.optionalText('password_hash')
    const algorithm =
      entry.optionalText('hashing_algorithm') ?? `rabbit_password_hashing_${this.hasOldHashes ? 'md5' : 'sha256'}`
    const hashing = password === null ? hashingOf(algorithm) : 'sha256'
    if (hashing === null) throw entry.refused(`hashing_algorithm '${algorithm}' is unknown`)
    // A file without passwords leaves those that are there.
    const kept = this.administration.state.access.users.has(name) ? null : ''
    const passwordHash = password === null ? (hash ?? kept) : this.hashPassword(password)
    this.admin({ type: 'leveret.put-user', user: name, passwordHash, hashing, tags: entry.tags() })
    if (entry.has('limits')) this.admin({ type: 'leveret.put-user-limits', user: name, limits: entry.limits() })
  }

  private host(entry: DefinitionEntry): void {
    const virtualHost = entry.text('name')
    const metadata: [string, Json][] = Object.entries(entry.object('metadata', {}))
    for (const key of ['description', 'tags', 'default_queue_type']) {
      const value = entry.value(key)
      const isEmpty = value === undefined || value === '' || (Array.isArray(value) && value.length === 0)
      if (!isEmpty && metadata.every(([known]) => known !== key)) metadata.push([key, value])
    }
    this.admin({ type: 'leveret.put-virtual-host', virtualHost, metadata: Object.fromEntries(metadata) })
    const limits = entry.limits()
    if (Object.keys(limits).length > 0) this.admin({ type: 'leveret.put-virtual-host-limits', virtualHost, limits })
  }

  private permission(entry: DefinitionEntry): void {
    const who = { user: entry.text('user'), virtualHost: entry.text('vhost') }
    const what = { configure: entry.text('configure'), write: entry.text('write'), read: entry.text('read') }
    this.admin({ type: 'leveret.put-permission', ...who, ...what })
  }

  private topicPermission(entry: DefinitionEntry): void {
    const who = { user: entry.text('user'), virtualHost: entry.text('vhost'), exchange: entry.text('exchange') }
    this.admin({ type: 'leveret.put-topic-permission', ...who, write: entry.text('write'), read: entry.text('read') })
  }

  private globalParameter(entry: DefinitionEntry): void {
    const [name, value] = [entry.text('name'), entry.needed('value')]
    this.admin({ type: 'leveret.put-parameter', virtualHost: null, component: components.global, name, value })
  }

  private policy(entry: DefinitionEntry): void {
    this.putPolicy(entry, entry, false)
  }

  /** Operators' policies and limits stand among the parameters. */
  private parameter(entry: DefinitionEntry): void {
    const { name: virtualHost } = this.hostOf(entry)
    const component = entry.text('component')
    const name = entry.text('name')
    if (component === components.operatorPolicy || component === components.policy) {
      return this.putPolicy(entry, entry.within('value'), component === components.operatorPolicy)
    }
    if (component === components.virtualHostLimits) {
      const limits = entry.within('value').all()
      return this.admin({ type: 'leveret.put-virtual-host-limits', virtualHost, limits })
    }
    this.admin({ type: 'leveret.put-parameter', virtualHost, component, name, value: entry.needed('value') })
  }

  private putPolicy(entry: DefinitionEntry, value: DefinitionEntry, operator: boolean): void {
    this.admin({
      type: 'leveret.put-policy',
      virtualHost: this.hostOf(entry).name,
      name: entry.text('name'),
      operator,
      pattern: value.text('pattern'),
      applyTo: value.optionalText('apply-to') ?? 'all',
      priority: value.integer('priority', 0),
      definition: value.object('definition', null),
    })
  }

  private exchange(entry: DefinitionEntry): void {
    const host = this.hostOf(entry)
    const exchange = entry.text('name')
    // Every virtual host has its own.
    if (exchange === '' || exchange.startsWith('amq.') || host.exchanges.has(exchange)) return
    this.administration.topology.declareExchange(host, {
      type: 'exchange.declare',
      exchange,
      kind: entry.text('type'),
      passive: false,
      durable: entry.flag('durable', true),
      autoDelete: entry.flag('auto_delete', false),
      internal: entry.flag('internal', false),
      arguments: entry.table('arguments'),
    })
    this.undo.push(() => this.administration.topology.deleteExchange(host, exchange, false))
  }

  private queue(entry: DefinitionEntry): void {
    const host = this.hostOf(entry)
    const name = entry.text('name')
    if (name === '') throw entry.refused('its name is empty')
    if (host.queues.has(name)) return
    const table = new Map(entry.table('arguments'))
    const type = entry.optionalText('type') ?? 'classic'
    if (type !== 'classic' && !table.has('x-queue-type'))
      for (const pair of toTable({ 'x-queue-type': type })) table.set(...pair)
    // A name that a broker made can only be given by a broker.
    const queue = this.administration.topology.declareQueue(
      host,
      nobody,
      {
        type: 'queue.declare',
        queue: name.startsWith('amq.') ? '' : name,
        passive: false,
        durable: entry.flag('durable', true),
        exclusive: false,
        autoDelete: entry.flag('auto_delete', false),
        arguments: table,
      },
      name,
    )
    this.undo.push(() => this.administration.topology.removeQueue(host, queue))
  }

  private binding(entry: DefinitionEntry): void {
    const host = this.hostOf(entry)
    const source = entry.text('source')
    // Every queue is bound to the default exchange by its name.
    if (source === '') return
    const destination = entry.text('destination')
    const kind = entry.optionalText('destination_type') ?? 'queue'
    if (kind !== 'queue' && kind !== 'exchange')
      throw entry.refused(`destination_type is '${kind}', and has to be queue or exchange`)
    const routingKey = entry.optionalText('routing_key') ?? ''
    const table = entry.table('arguments')
    if (isBound(host, source, kind, destination, routingKey, table)) return
    const { topology } = this.administration
    const command = { destination, exchange: source, routingKey, arguments: table }
    topology.bind(host, nobody, { type: `${kind}.bind`, ...command })
    this.undo.push(() => topology.takeBack(host, { type: `${kind}.unbind`, ...command }))
  }

  private admin(command: Plain): void {
    const { administration } = this
    for (const record of administration.recordsOf(command)) {
      const inverse: AccessRecord = administration.inverseOf(record)
      administration.record(record)
      this.undo.push(() => administration.record(inverse))
    }
  }

  private hostOf(entry: DefinitionEntry): VirtualHost {
    const named = entry.optionalText('vhost')
    const { virtualHost } = this
    if (virtualHost !== null && named !== null && named !== virtualHost) {
      throw entry.refused(`it is of vhost '${named}', and the definitions are imported into '${virtualHost}'`)
    }
    const name = virtualHost ?? named
    if (name === null) {
      throw entry.refused(
        'it names no vhost: these are definitions of one virtual host, so say into which one to import them',
      )
    }
    const host = this.administration.state.virtualHosts.get(name)
    if (host === undefined) throw entry.refused(`vhost '${name}' not found`)
    return host
  }
}

/** Whoever bound it may have sent other types of integers than JSON makes, and would have two of the same. */
function isBound(
  host: VirtualHost,
  source: string,
  kind: 'queue' | 'exchange',
  destination: string,
  routingKey: string,
  table: FieldTable,
): boolean {
  const end = kind === 'queue' ? host.queues.get(destination) : host.exchanges.get(destination)
  const bindings = end === undefined ? undefined : host.bindingsTo.get(end)
  const text = sortedText(table)
  return [...(bindings ?? [])].some((binding) => {
    const isSame = binding.source.name === source && binding.routingKey === routingKey
    return isSame && sortedText(binding.arguments) === text
  })
}

function sortedText(table: FieldTable): string {
  return JSON.stringify(plainTable([...table].sort(([one], [other]) => (one < other ? -1 : 1))))
}

function refused(text: string): BrokerError {
  return new BrokerError('PRECONDITION_FAILED', `definitions: ${text}`)
}

/** Every pattern that stands in definitions, whatever else is wrong with them. */
export function* definedPatterns(definitions: JsonObject): Generator<string> {
  for (const [section, keys] of patternKeys) {
    const entries = definitions[section]
    if (!Array.isArray(entries)) continue
    for (const entry of entries as readonly Json[]) {
      if (typeof entry !== 'object' || entry === null) continue
      const values = entry as Readonly<Record<string, Json>>
      const inner = values['value']
      for (const from of [values, typeof inner === 'object' && inner !== null ? (inner as JsonObject) : {}]) {
        for (const key of keys) if (typeof from[key] === 'string') yield from[key] as string
      }
    }
  }
}

const patternKeys: readonly (readonly [string, readonly string[]])[] = [
  ['permissions', ['configure', 'write', 'read']],
  ['topic_permissions', ['write', 'read']],
  ['policies', ['pattern']],
  ['parameters', ['pattern']],
]
