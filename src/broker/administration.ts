/**
 * What administrators do: the rules. As in topology.ts, each command is checked against the state, becomes a record of what
 * is now a fact, and is applied; it takes effect on sessions that are open.
 */
import { unreachable } from '../lib/assert.ts'
import type { AdminCommand, JsonObject } from '../model/administration.ts'
import type { Reply } from '../model/command.ts'
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { AccessRecord } from '../store/record-access.ts'
import type { Store } from '../store/store.ts'
import { components, limitsName, wholeBroker } from './parameters.ts'
import type { Patterns } from './patterns.ts'
import { checkPolicy } from './policy-check.ts'
import type { Queue } from './queue.ts'
import type { State } from './state.ts'
import { hostRecord, userRecord } from './state-access.ts'
import type { Topology } from './topology.ts'
import type { VirtualHost } from './virtual-host.ts'

/** The broker, as its administration sees it. */
export interface AdministeredBroker {
  /** Removes a queue and ends its consumers. */
  deleteQueue(host: VirtualHost, queue: Queue): number
  /** Ends sessions with CONNECTION_FORCED; null: whoever it is, or wherever. */
  endSessions(virtualHost: string | null, user: string | null, reason: string): void
  /** Consumers of queues that their user may not read any more end. */
  accessChanged(): void
  policiesChanged(): void
  /** Its schedules go with the virtual host. */
  removeSchedules(host: VirtualHost): void
}

export type Plain = Exclude<
  AdminCommand,
  { readonly type: 'leveret.import-definitions' | 'leveret.export-definitions' }
>

const ok: Reply = { type: 'ok' }
const userLimits = ['max-connections', 'max-channels']
const hostLimits = ['max-connections', 'max-queues']

export class Administration {
  readonly state: State
  readonly topology: Topology
  readonly patterns: Patterns
  private readonly store: Store
  private readonly broker: AdministeredBroker

  constructor(state: State, topology: Topology, patterns: Patterns, store: Store, broker: AdministeredBroker) {
    this.state = state
    this.topology = topology
    this.patterns = patterns
    this.store = store
    this.broker = broker
  }

  /** Does the command and says so; throws a BrokerError and has done nothing. Its patterns have to be ready. */
  run(command: Plain): Reply {
    for (const record of this.recordsOf(command)) this.record(record)
    this.announce(command)
    return ok
  }

  /** What the command makes a fact, in order; nothing if it is as it should be. Throws a BrokerError if it cannot be. */
  recordsOf(command: Plain): AccessRecord[] {
    switch (command.type) {
      case 'leveret.put-virtual-host': {
        const { virtualHost, metadata } = command
        checkName('virtual host', virtualHost)
        return [{ type: 'virtual-host-put', virtualHost, metadata: JSON.stringify(metadata) }]
      }
      case 'leveret.delete-virtual-host':
        return this.emptied(this.hostOf(command.virtualHost))
      case 'leveret.put-user':
        return this.putUser(command)
      case 'leveret.delete-user':
        this.userOf(command.user)
        return [{ type: 'user-deleted', virtualHost: '', name: command.user }]
      case 'leveret.put-permission': {
        const { user, virtualHost, configure, write, read } = command
        this.userOf(user)
        this.hostOf(virtualHost)
        for (const pattern of [configure, write, read]) this.patterns.check(pattern)
        return [{ type: 'permission-put', virtualHost, user, configure, write, read }]
      }
      case 'leveret.delete-permission': {
        const { user, virtualHost } = command
        this.userOf(user)
        this.hostOf(virtualHost)
        return [{ type: 'permission-deleted', virtualHost, user }]
      }
      case 'leveret.put-topic-permission': {
        const { user, virtualHost, exchange, write, read } = command
        this.userOf(user)
        this.hostOf(virtualHost)
        for (const pattern of [write, read]) this.patterns.check(pattern)
        return [{ type: 'topic-permission-put', virtualHost, user, exchange, write, read }]
      }
      case 'leveret.delete-topic-permission': {
        const { user, virtualHost, exchange } = command
        this.userOf(user)
        this.hostOf(virtualHost)
        return [{ type: 'topic-permission-deleted', virtualHost, user, exchange }]
      }
      case 'leveret.put-policy': {
        const { virtualHost, name, pattern, applyTo, priority, definition } = command
        this.hostOf(virtualHost)
        checkName('policy', name)
        checkPolicy(command, this.patterns)
        const value = { pattern, 'apply-to': applyTo, priority, definition }
        return [this.parameter(virtualHost, policyComponent(command.operator), name, value)]
      }
      case 'leveret.delete-policy': {
        const { virtualHost, name, operator } = command
        return this.parameterDeleted(virtualHost, policyComponent(operator), name, 'policy')
      }
      case 'leveret.put-parameter': {
        const { virtualHost, component, name, value } = command
        if (virtualHost === null) return [this.parameter(wholeBroker, components.global, name, value)]
        checkComponent(component)
        this.hostOf(virtualHost)
        return [this.parameter(virtualHost, component, name, value)]
      }
      case 'leveret.delete-parameter': {
        const { virtualHost, component, name } = command
        if (virtualHost === null) return this.parameterDeleted(wholeBroker, components.global, name, 'parameter')
        checkComponent(component)
        return this.parameterDeleted(virtualHost, component, name, 'parameter')
      }
      case 'leveret.put-virtual-host-limits':
        this.hostOf(command.virtualHost)
        checkLimits(command.limits, hostLimits)
        return [this.parameter(command.virtualHost, components.virtualHostLimits, limitsName, command.limits)]
      case 'leveret.put-user-limits': {
        checkLimits(command.limits, userLimits)
        return [userRecord({ ...this.userOf(command.user), limits: command.limits })]
      }
      default:
        return unreachable(`the command ${(command as Plain).type} is no administrator's`)
    }
  }

  /** Appends and applies. */
  record(record: AccessRecord): void {
    if (this.store.persists) this.store.appendTopology(record)
    this.state.apply(record)
  }

  /** What makes the state as it is now again, after the record. */
  inverseOf(record: AccessRecord): AccessRecord {
    const { access, parameters, virtualHosts } = this.state
    const { virtualHost } = record
    switch (record.type) {
      case 'virtual-host-put': {
        const host = virtualHosts.get(virtualHost)
        return host === undefined ? { type: 'virtual-host-deleted', virtualHost } : hostRecord(host)
      }
      case 'user-put': {
        const user = access.users.get(record.name)
        return user === undefined ? { type: 'user-deleted', virtualHost, name: record.name } : userRecord(user)
      }
      case 'permission-put': {
        const { user } = record
        const permission = access.permission(user, virtualHost)
        if (permission === undefined) return { type: 'permission-deleted', virtualHost, user }
        return { type: 'permission-put', virtualHost, user, ...permission }
      }
      case 'topic-permission-put': {
        const { user, exchange } = record
        const permission = access.topicPermission(user, virtualHost, exchange)
        if (permission === undefined) return { type: 'topic-permission-deleted', virtualHost, user, exchange }
        return { type: 'topic-permission-put', virtualHost, user, exchange, ...permission }
      }
      case 'parameter-put': {
        const { component, name } = record
        const value = parameters.get(virtualHost, component, name)
        if (value === undefined) return { type: 'parameter-deleted', virtualHost, component, name }
        return this.parameter(virtualHost, component, name, value)
      }
      default:
        return unreachable(`nobody takes back a ${record.type}`)
    }
  }

  /** Tells those whom it concerns what has been changed; null: anything. */
  announce(command: Plain | null): void {
    const { broker } = this
    if (command?.type === 'leveret.delete-user') {
      broker.endSessions(null, command.user, `user '${command.user}' is deleted`)
    }
    if (command === null || /policy|parameter|limits/.test(command.type)) broker.policiesChanged()
    broker.accessChanged()
  }

  private putUser(command: Extract<Plain, { readonly type: 'leveret.put-user' }>): AccessRecord[] {
    const { user: name, passwordHash, tags } = command
    checkName('user', name)
    const known = this.state.access.users.get(name)
    if (known === undefined && passwordHash === null) {
      throw new BrokerError('PRECONDITION_FAILED', `the user '${name}' is new and needs a password`)
    }
    const password =
      known !== undefined && passwordHash === null ? known : { ...command, passwordHash: passwordHash ?? '' }
    const { hashing } = password
    return [userRecord({ name, passwordHash: password.passwordHash, hashing, tags, limits: known?.limits ?? {} })]
  }

  /** Whoever is connected to the virtual host goes, and all that is in it; what makes it go is left. */
  private emptied(host: VirtualHost): AccessRecord[] {
    const { broker, topology } = this
    broker.endSessions(host.name, null, `vhost '${host.name}' is deleted`)
    // What an exchange delays goes with it.
    for (const exchange of host.exchanges.values()) {
      if (!host.isPredeclared(exchange)) topology.deleteExchange(host, exchange.name, false)
    }
    for (const queue of host.queues.values()) broker.deleteQueue(host, queue)
    broker.removeSchedules(host)
    return [{ type: 'virtual-host-deleted', virtualHost: host.name }]
  }

  private hostOf(name: string): VirtualHost {
    const host = this.state.virtualHosts.get(name)
    if (host === undefined) throw new BrokerError('NOT_FOUND', `vhost '${name}' not found`)
    return host
  }

  private userOf(name: string) {
    const user = this.state.access.users.get(name)
    if (user === undefined) throw new BrokerError('NOT_FOUND', `user '${name}' not found`)
    return user
  }

  private parameter(virtualHost: string, component: string, name: string, value: unknown): AccessRecord {
    checkName('parameter', name)
    return { type: 'parameter-put', virtualHost, component, name, value: JSON.stringify(value) }
  }

  private parameterDeleted(virtualHost: string, component: string, name: string, what: string): AccessRecord[] {
    if (virtualHost !== wholeBroker) this.hostOf(virtualHost)
    if (this.state.parameters.get(virtualHost, component, name) === undefined) {
      throw new BrokerError('NOT_FOUND', `${what} '${name}' in vhost '${virtualHost}' not found`)
    }
    return [{ type: 'parameter-deleted', virtualHost, component, name }]
  }
}

function policyComponent(isOperators: boolean): string {
  return isOperators ? components.operatorPolicy : components.policy
}

/** What has a command of its own, with checks of its own. */
function checkComponent(component: string): void {
  checkName('component', component)
  const isOther = component !== components.global && Object.values<string>(components).includes(component)
  if (isOther)
    throw new BrokerError('PRECONDITION_FAILED', `a parameter of component '${component}' has its own command`)
}

function checkName(what: string, name: string): void {
  const size = Buffer.byteLength(name)
  if (size > 0 && size <= limits.nameBytesMax) return
  throw new BrokerError(
    'PRECONDITION_FAILED',
    `the name of a ${what} has 1 to ${limits.nameBytesMax} bytes, not ${size}`,
  )
}

function checkLimits(values: JsonObject, known: readonly string[]): void {
  for (const [name, value] of Object.entries(values)) {
    if (!known.includes(name)) {
      throw new BrokerError('PRECONDITION_FAILED', `'${name}' is no limit: there are ${known.join(' and ')}`)
    }
    if (!Number.isSafeInteger(value))
      throw new BrokerError('PRECONDITION_FAILED', `the limit ${name} has to be an integer`)
  }
}
