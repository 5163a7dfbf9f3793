/**
 * Which rights each operation takes, in one table: what does not stand in it is refused. Every operation of every protocol
 * comes by here. The host process, which has no user, may do everything.
 *
 *     exchange.declare     configure exchange;  new with an alternate exchange: read exchange, write alternate exchange
 *     queue.declare        configure queue;     new with a dead-letter exchange: read queue, write dead-letter exchange
 *                          new with x-leveret-gather-to: read queue, write the default exchange
 *     passive declare      any of the three
 *     queue.bind, unbind   write queue, read exchange             and read its topic, at a topic exchange
 *     exchange.bind, …     write destination, read source         and read its topic, at a topic exchange
 *     publish              write exchange                         and write its topic, at a topic exchange
 *     get, consume, purge  read queue
 *     pause                configure queue
 *     peek, cancel         read queue
 *     schedule-put         configure schedule, write exchange     and write its topic, at a topic exchange
 *     schedule-run         configure schedule, write the exchange that it publishes to
 *     schedule-pause, …    configure schedule
 *     leveret.control      write it, and the default exchange: an answer is a message from whoever asked
 */
import type { AdminCommand } from '../model/administration.ts'
import type { Command } from '../model/command.ts'
import { controlExchange } from '../model/control-exchange.ts'
import type { FieldTable } from '../model/field-table.ts'
import { gatherToArgument } from '../model/gathering.ts'
import { directReplyTo } from '../model/properties.ts'
import type { Grants, Right } from './grants.ts'
import type { VirtualHost } from './virtual-host.ts'

interface Demand<Asked> {
  readonly right: Right | 'any'
  readonly kind: 'exchange' | 'queue' | 'schedule'
  /** The name it is about; null: it does not apply. */
  readonly of: (asked: Asked, host: VirtualHost) => string | null
}

type Asked<Type extends Command['type']> = Extract<Command, { readonly type: Type }>

const bindsQueue: readonly Demand<{ readonly destination: string; readonly exchange: string }>[] = [
  { right: 'write', kind: 'queue', of: ({ destination }) => destination },
  { right: 'read', kind: 'exchange', of: ({ exchange }) => exchange },
]

const bindsExchange: readonly Demand<{ readonly destination: string; readonly exchange: string }>[] = [
  { right: 'write', kind: 'exchange', of: ({ destination }) => destination },
  { right: 'read', kind: 'exchange', of: ({ exchange }) => exchange },
]

const readsQueue: readonly Demand<{ readonly queue: string }>[] = [
  { right: 'read', kind: 'queue', of: ({ queue }) => queue },
]

const configuresQueue: readonly Demand<{ readonly queue: string }>[] = [
  { right: 'configure', kind: 'queue', of: ({ queue }) => queue },
]

const configuresSchedule: readonly Demand<{ readonly name: string }>[] = [
  { right: 'configure', kind: 'schedule', of: ({ name }) => name },
]

type Plain = Exclude<Command, AdminCommand>['type']

const demands: { readonly [Type in Plain]: readonly Demand<Asked<Type>>[] } = {
  'exchange.declare': [
    { right: 'any', kind: 'exchange', of: ({ exchange, passive }) => (passive ? exchange : null) },
    { right: 'configure', kind: 'exchange', of: ({ exchange, passive }) => (passive ? null : exchange) },
    {
      right: 'read',
      kind: 'exchange',
      of: (asked, host) => (alternateOf(asked, host) === null ? null : asked.exchange),
    },
    { right: 'write', kind: 'exchange', of: alternateOf },
  ],
  'exchange.delete': [{ right: 'configure', kind: 'exchange', of: ({ exchange }) => exchange }],
  'exchange.bind': bindsExchange,
  'exchange.unbind': bindsExchange,
  'queue.declare': [
    { right: 'any', kind: 'queue', of: ({ queue, passive }) => (passive ? queue : null) },
    { right: 'configure', kind: 'queue', of: ({ queue, passive }) => (passive ? null : queue) },
    { right: 'read', kind: 'queue', of: (asked, host) => (leadsOn(asked, host) ? asked.queue : null) },
    { right: 'write', kind: 'exchange', of: deadLetterOf },
    { right: 'write', kind: 'exchange', of: gatherExchangeOf },
  ],
  'queue.bind': bindsQueue,
  'queue.unbind': bindsQueue,
  'queue.purge': readsQueue,
  'queue.delete': configuresQueue,
  'basic.get': readsQueue,
  // Answers that come directly are nobody else's.
  'basic.consume': [{ right: 'read', kind: 'queue', of: ({ queue }) => (queue === directReplyTo ? null : queue) }],
  'basic.qos': [],
  'basic.cancel': [],
  'basic.recover': [],
  'confirm.select': [],
  'tx.select': [],
  'tx.commit': [],
  'tx.rollback': [],
  // It tells of those queues alone that the user may do something with.
  'leveret.queues': [],
  'leveret.pause': configuresQueue,
  'leveret.peek': readsQueue,
  'leveret.cancel': readsQueue,
  'leveret.schedule-put': [...configuresSchedule, { right: 'write', kind: 'exchange', of: ({ exchange }) => exchange }],
  'leveret.schedule-remove': configuresSchedule,
  'leveret.schedule-pause': configuresSchedule,
  'leveret.schedule-run': [
    ...configuresSchedule,
    { right: 'write', kind: 'exchange', of: ({ name }, host) => host.schedules.get(name)?.definition.exchange ?? null },
  ],
  // It tells of those schedules alone that the user may do something with.
  'leveret.schedule-list': [],
}

/** Whose tag lets a user administer; administrators may do all of it. */
const tags: { readonly [Type in AdminCommand['type']]: 'administrator' | 'policymaker' } = {
  'leveret.put-virtual-host': 'administrator',
  'leveret.delete-virtual-host': 'administrator',
  'leveret.put-user': 'administrator',
  'leveret.delete-user': 'administrator',
  'leveret.put-permission': 'administrator',
  'leveret.delete-permission': 'administrator',
  'leveret.put-topic-permission': 'administrator',
  'leveret.delete-topic-permission': 'administrator',
  'leveret.put-virtual-host-limits': 'administrator',
  'leveret.put-user-limits': 'administrator',
  'leveret.import-definitions': 'administrator',
  'leveret.export-definitions': 'administrator',
  'leveret.put-policy': 'policymaker',
  'leveret.delete-policy': 'policymaker',
  'leveret.put-parameter': 'policymaker',
  'leveret.delete-parameter': 'policymaker',
}

/** Throws ACCESS_REFUSED. A queue that is to be named by the broker has its name by now. */
export function authorize(grants: Grants | null, host: VirtualHost, command: Command): void {
  if (grants === null) return
  if (isAdministrative(command)) return authorizeAdministration(grants, host, command)
  const rows = demands[command.type] as readonly Demand<Command>[] | undefined
  if (rows === undefined) throw grants.refused(`the command '${(command as Command).type}'`)
  for (const { right, kind, of } of rows) {
    const name = of(command, host)
    if (name === null) continue
    if (right === 'any') grants.checkAny(kind, name)
    else grants.check(right, kind, name)
  }
  if (isBinding(command)) authorizeTopic(grants, host, command.exchange, 'read', command.routingKey)
}

/** Throws ACCESS_REFUSED. Whoever asks often remembers that it did not, until `grants.version` changes. */
export function authorizePublish(grants: Grants | null, exchange: string): void {
  if (grants === null) return
  grants.check('write', 'exchange', exchange)
  if (exchange === controlExchange) grants.check('write', 'exchange', '')
}

export function isAdministrative<Other extends { readonly type: string }>(
  command: Other | AdminCommand,
): command is AdminCommand {
  return command.type in tags
}

function authorizeTopic(
  grants: Grants,
  host: VirtualHost,
  exchange: string,
  right: 'write' | 'read',
  routingKey: string,
): void {
  if (host.exchanges.get(exchange)?.routerKind !== 'topic') return
  const topics = grants.topicGrants(exchange)
  if (topics !== null) grants.checkTopic(topics, right, exchange, routingKey)
}

function authorizeAdministration(grants: Grants, host: VirtualHost, command: AdminCommand): void {
  if (grants.hasTag('administrator')) return
  const tag = tags[command.type]
  if (tag === 'administrator' || !grants.hasTag(tag)) throw grants.refused(`the command '${command.type}'`)
  // A policymaker makes policies where he is, and an operator's policy is not his.
  const elsewhere = 'virtualHost' in command && command.virtualHost !== host.name
  if (elsewhere || ('operator' in command && command.operator)) throw grants.refused(`the command '${command.type}'`)
}

function isBinding(command: Command): command is Asked<'queue.bind' | 'exchange.bind'> {
  return /^(queue|exchange)\.(un)?bind$/.test(command.type)
}

/** The alternate exchange of an exchange that is new. */
function alternateOf(
  { exchange, passive, arguments: table }: Asked<'exchange.declare'>,
  host: VirtualHost,
): string | null {
  return passive || host.exchanges.has(exchange) ? null : textOf(table, 'alternate-exchange')
}

/** The dead-letter exchange of a queue that is new. */
function deadLetterOf({ queue, passive, arguments: table }: Asked<'queue.declare'>, host: VirtualHost): string | null {
  return passive || host.queues.has(queue) ? null : textOf(table, 'x-dead-letter-exchange')
}

/** The default exchange, if a queue that is new passes parents on. */
function gatherExchangeOf(
  { queue, passive, arguments: table }: Asked<'queue.declare'>,
  host: VirtualHost,
): string | null {
  return passive || host.queues.has(queue) || !table.has(gatherToArgument) ? null : ''
}

/** What comes into a new queue may leave it without anybody reading it. */
function leadsOn(asked: Asked<'queue.declare'>, host: VirtualHost): boolean {
  return deadLetterOf(asked, host) !== null || gatherExchangeOf(asked, host) !== null
}

function textOf(table: FieldTable, name: string): string | null {
  const field = table.get(name)
  return field?.tag === 'S' ? (field.value as string) : null
}
