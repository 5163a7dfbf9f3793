/**
 * The broker's commands and replies as AMQP methods, both ways: what the server reads the client's driver writes.
 *
 * Methods know more than commands: reserved fields, no-local (which nobody honours), and noWait, which is the server's
 * business. recover-async is recover without an answer.
 */
import { unreachable } from '../lib/assert.ts'
import type { Command, Reply } from '../model/command.ts'
import { controlPrefix } from '../model/control-exchange.ts'
import type { Arguments, Method, MethodName } from './methods.ts'

/** Null: the method is no command of a channel. */
export function commandOf(method: Method): Command | null {
  switch (method.name) {
    case 'exchange.declare': {
      const { exchange, kind, passive, durable, autoDelete, internal, arguments: table } = method.args
      return { type: method.name, exchange, kind, passive, durable, autoDelete, internal, arguments: table }
    }
    case 'exchange.delete':
      return { type: method.name, exchange: method.args.exchange, ifUnused: method.args.ifUnused }
    case 'exchange.bind':
    case 'exchange.unbind':
    case 'queue.bind':
    case 'queue.unbind': {
      const { destination, exchange, routingKey, arguments: table } = method.args
      return { type: method.name, destination, exchange, routingKey, arguments: table }
    }
    case 'queue.declare': {
      const { queue, passive, durable, exclusive, autoDelete, arguments: table } = method.args
      return { type: method.name, queue, passive, durable, exclusive, autoDelete, arguments: table }
    }
    case 'queue.purge':
      return { type: method.name, queue: method.args.queue }
    case 'queue.delete': {
      const { queue, ifUnused, ifEmpty } = method.args
      return { type: method.name, queue, ifUnused, ifEmpty }
    }
    case 'basic.consume': {
      const { queue, consumerTag, noAck, exclusive, arguments: table } = method.args
      return { type: method.name, queue, consumerTag, noAck, exclusive, arguments: table }
    }
    case 'basic.qos':
    case 'basic.cancel':
    case 'basic.get':
    case 'basic.recover':
    case 'basic.recover-async':
    case 'confirm.select':
    case 'tx.select':
    case 'tx.commit':
    case 'tx.rollback':
      return shortCommandOf(method)
    default:
      return null
  }
}

type Named<Name extends MethodName> = Extract<Method, { readonly name: Name }>
type ShortCommand =
  | Named<'basic.qos' | 'basic.cancel' | 'basic.get' | 'basic.recover' | 'basic.recover-async'>
  | Named<'confirm.select' | 'tx.select' | 'tx.commit' | 'tx.rollback'>

function shortCommandOf(method: ShortCommand): Command {
  switch (method.name) {
    case 'basic.qos': {
      const { prefetchSize, prefetchCount, global } = method.args
      return { type: method.name, prefetchSize, prefetchCount, global }
    }
    case 'basic.cancel':
      return { type: method.name, consumerTag: method.args.consumerTag }
    case 'basic.get':
      return { type: method.name, queue: method.args.queue, noAck: method.args.noAck }
    case 'basic.recover':
    case 'basic.recover-async':
      return { type: 'basic.recover', requeue: method.args.requeue }
    default:
      return { type: method.name }
  }
}

/** Null: plain AMQP has no method for the command. */
export function methodOf(command: Command): Method | null {
  if (command.type.startsWith(controlPrefix)) return null
  switch (command.type) {
    case 'confirm.select':
      return { name: command.type, args: { noWait: false } }
    case 'tx.select':
    case 'tx.commit':
    case 'tx.rollback':
      return { name: command.type, args: {} }
    case 'queue.unbind':
      return { name: command.type, args: command }
    case 'basic.consume':
      return { name: command.type, args: { ...command, noLocal: false, noWait: false } }
    case 'basic.qos':
      return { name: command.type, args: command }
    case 'basic.get':
      return { name: command.type, args: command }
    case 'basic.recover':
      return { name: command.type, args: command }
    default:
      return { name: command.type, args: { ...command, noWait: false } } as Method
  }
}

/** The method that answers `request`; null for basic.get-ok, which comes with content. */
export function replyMethodOf(request: MethodName, reply: Reply): Method | null {
  switch (reply.type) {
    case 'ok':
      return { name: okNames.get(request) ?? unreachable(`no answer for ${request}`), args: {} } as Method
    case 'queue.declare-ok': {
      const { queue, messageCount, consumerCount } = reply
      return { name: reply.type, args: { queue, messageCount, consumerCount } }
    }
    case 'queue.purge-ok':
      return { name: reply.type, args: { messageCount: reply.messageCount } }
    case 'queue.delete-ok':
      return { name: reply.type, args: { messageCount: reply.messageCount } }
    case 'basic.consume-ok':
    case 'basic.cancel-ok':
      return { name: reply.type, args: { consumerTag: reply.consumerTag } }
    case 'basic.get-empty':
      return { name: reply.type, args: {} }
    case 'basic.get-ok':
      return null
    case 'leveret.queues-ok':
    case 'leveret.definitions':
    case 'leveret.messages':
    case 'leveret.cancelled':
    case 'leveret.schedules':
      return unreachable('leveret.* commands do not come over plain AMQP')
  }
}

/** Null: the method answers no command, or, as basic.get-ok, only together with its content. */
export function replyOf(method: Method): Reply | null {
  switch (method.name) {
    case 'queue.declare-ok': {
      const { queue, messageCount, consumerCount } = method.args
      return { type: method.name, queue, messageCount, consumerCount }
    }
    case 'queue.purge-ok':
      return { type: method.name, messageCount: method.args.messageCount }
    case 'queue.delete-ok':
      return { type: method.name, messageCount: method.args.messageCount }
    case 'basic.consume-ok':
    case 'basic.cancel-ok':
      return { type: method.name, consumerTag: method.args.consumerTag }
    case 'basic.get-empty':
      return { type: method.name }
    default:
      return plainOkNames.has(method.name) ? { type: 'ok' } : null
  }
}

// The answers that say nothing but that it was done.
const plainOks: readonly (readonly [MethodName, MethodName])[] = [
  ['exchange.declare', 'exchange.declare-ok'],
  ['exchange.delete', 'exchange.delete-ok'],
  ['exchange.bind', 'exchange.bind-ok'],
  ['exchange.unbind', 'exchange.unbind-ok'],
  ['queue.bind', 'queue.bind-ok'],
  ['queue.unbind', 'queue.unbind-ok'],
  ['basic.qos', 'basic.qos-ok'],
  ['basic.recover', 'basic.recover-ok'],
  ['confirm.select', 'confirm.select-ok'],
  ['tx.select', 'tx.select-ok'],
  ['tx.commit', 'tx.commit-ok'],
  ['tx.rollback', 'tx.rollback-ok'],
]
const okNames = new Map<MethodName, MethodName>(plainOks)
const plainOkNames = new Set<MethodName>(plainOks.map(([, ok]) => ok))

/** Whether the sender wants no answer. */
export function isNoWait(method: Method): boolean {
  return method.name === 'basic.recover-async' || (method.args as Partial<Arguments<'queue.declare'>>).noWait === true
}
