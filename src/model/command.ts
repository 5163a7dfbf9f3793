/**
 * The control plane as plain data, named as in AMQP. The decoder of the wire, the embedded client and the command line
 * all build these, and the broker's `execute` is the only switch that reads them, so a rule exists once.
 */
import type { AdminCommand, JsonObject } from './administration.ts'
import type { DeliverAfter, Durability } from './durability.ts'
import type { Field, FieldTable } from './field-table.ts'
import type { Message } from './message.ts'
import type { PeekedMessage, QueueCommand } from './queue-command.ts'
import type { QueueFlow } from './queue-flow.ts'
import type { ScheduleCommand, ScheduleInfo } from './schedule-command.ts'

export type Command =
  | ExchangeDeclare
  | { readonly type: 'exchange.delete'; readonly exchange: string; readonly ifUnused: boolean }
  | BindCommand<'exchange.bind'>
  | BindCommand<'exchange.unbind'>
  | QueueDeclare
  | BindCommand<'queue.bind'>
  | BindCommand<'queue.unbind'>
  | { readonly type: 'queue.purge'; readonly queue: string }
  | { readonly type: 'queue.delete'; readonly queue: string; readonly ifUnused: boolean; readonly ifEmpty: boolean }
  | {
      readonly type: 'basic.qos'
      readonly prefetchSize: number
      readonly prefetchCount: number
      readonly global: boolean
    }
  | BasicConsume
  | { readonly type: 'basic.cancel'; readonly consumerTag: string }
  | { readonly type: 'basic.get'; readonly queue: string; readonly noAck: boolean }
  | { readonly type: 'basic.recover'; readonly requeue: boolean }
  | { readonly type: 'confirm.select' }
  | { readonly type: 'tx.select' }
  | { readonly type: 'tx.commit' }
  | { readonly type: 'tx.rollback' }
  | { readonly type: 'leveret.queues' }
  | QueueCommand
  | ScheduleCommand
  | AdminCommand

export interface ExchangeDeclare {
  readonly type: 'exchange.declare'
  readonly exchange: string
  /** AMQP calls it the exchange's type: direct, fanout, topic, headers. */
  readonly kind: string
  readonly passive: boolean
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: FieldTable
}

export interface QueueDeclare {
  readonly type: 'queue.declare'
  /** Empty: the broker makes a name. */
  readonly queue: string
  readonly passive: boolean
  readonly durable: boolean
  readonly exclusive: boolean
  readonly autoDelete: boolean
  readonly arguments: FieldTable
}

/** `destination` is a queue or, for exchange.bind and exchange.unbind, an exchange. */
export interface BindCommand<Type extends string> {
  readonly type: Type
  readonly destination: string
  readonly exchange: string
  readonly routingKey: string
  readonly arguments: FieldTable
}

export interface BasicConsume {
  readonly type: 'basic.consume'
  readonly queue: string
  /** Empty: the broker makes one. */
  readonly consumerTag: string
  readonly noAck: boolean
  readonly exclusive: boolean
  readonly arguments: FieldTable
}

export type Reply =
  | { readonly type: 'ok' }
  | {
      readonly type: 'queue.declare-ok'
      readonly queue: string
      readonly messageCount: number
      readonly consumerCount: number
    }
  | { readonly type: 'queue.purge-ok'; readonly messageCount: number }
  | { readonly type: 'queue.delete-ok'; readonly messageCount: number }
  | { readonly type: 'basic.consume-ok'; readonly consumerTag: string }
  | { readonly type: 'basic.cancel-ok'; readonly consumerTag: string }
  | BasicGetOk
  | { readonly type: 'basic.get-empty' }
  | { readonly type: 'leveret.queues-ok'; readonly queues: readonly QueueInfo[] }
  | { readonly type: 'leveret.definitions'; readonly definitions: JsonObject }
  | LeveretMessages
  | { readonly type: 'leveret.cancelled'; readonly count: number }
  /** Of a command that names one: that one as it is now, or was when it was removed; none if there was none to remove. */
  | { readonly type: 'leveret.schedules'; readonly schedules: readonly ScheduleInfo[] }

export interface LeveretMessages {
  readonly type: 'leveret.messages'
  readonly messages: readonly PeekedMessage[]
  /** There are others that were asked for and did not fit. */
  readonly more: boolean
}

export interface BasicGetOk {
  readonly type: 'basic.get-ok'
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly message: Message
  /** Ready messages left behind this one. */
  readonly messageCount: number
}

/** What is counted of a queue; counters only ever grow. Bytes are body bytes. */
export interface QueueCounters {
  /** Accepted publishes. */
  published: number
  publishedBytes: number
  /** First deliveries; redeliveries are apart. */
  delivered: number
  deliveredBytes: number
  redelivered: number
  /** Settlements: acknowledged, or removed by a consumer's reject. */
  settled: number
  settledBytes: number
  /** Messages that waited longer than they may. */
  expired: number
  /** Messages removed from the head because the queue was too long. */
  dropped: number
  /** Messages not taken because the queue was too long. */
  refused: number
  /** Messages given to the dead-letter exchange, whether it had a queue for them or not. */
  deadLettered: number
}

export const zeroCounters: Readonly<QueueCounters> = {
  published: 0,
  publishedBytes: 0,
  delivered: 0,
  deliveredBytes: 0,
  redelivered: 0,
  settled: 0,
  settledBytes: 0,
  expired: 0,
  dropped: 0,
  refused: 0,
  deadLettered: 0,
}

export interface QueueInfo {
  readonly name: string
  readonly durable: boolean
  /** What a confirm says of a persistent message here, and when that is handed out. */
  readonly durability: Durability
  readonly deliverAfter: DeliverAfter
  readonly exclusive: boolean
  readonly autoDelete: boolean
  /** It takes messages and hands out none. */
  readonly paused: boolean
  readonly arguments: readonly (readonly [string, Field])[]
  readonly ready: number
  readonly readyBytes: number
  readonly unacked: number
  /** Hidden until they are due; not among the ready ones. */
  readonly delayed: number
  readonly consumers: number
  readonly counters: Readonly<QueueCounters>
  /** How messages go through it; null: none came yet in this broker's life, or it is not measured. */
  readonly flow: QueueFlow | null
}
