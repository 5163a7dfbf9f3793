/**
 * What the broker is asked through the exchange `leveret.control`. A request is not routed: its answer is, to the queue it
 * names in `reply_to`. Nothing here throws, whatever a request holds: one that cannot be answered counts as unroutable.
 */
import { readAdminCommand } from '../model/admin-command.ts'
import type { QueueInfo, Reply } from '../model/command.ts'
import {
  cancelledAnswer,
  definitionsAnswer,
  errorAnswer,
  messagesAnswer,
  okAnswer,
  queuesAnswer,
  queuesKey,
  schedulesAnswer,
} from '../model/control-exchange.ts'
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import { Message } from '../model/message.ts'
import { plainTable } from '../model/plain-table.ts'
import { encodeProperties } from '../model/properties.ts'
import { type QueueCommand, readQueueCommand } from '../model/queue-command.ts'
import { readScheduleCommand } from '../model/schedule-command.ts'
import type { Store } from '../store/store.ts'
import { authorize } from './authorize.ts'
import type { DeferrableCommand, DeferrableCommands } from './deferrable-commands.ts'
import type { Grants } from './grants.ts'
import { peekedText } from './peeked-text.ts'
import type { Desk, Send } from './publisher.ts'
import type { Queue, QueueOwner } from './queue.ts'
import type { QueueCommands } from './queue-commands.ts'
import type { Tick } from './tick.ts'
import { findQueue } from './topology.ts'
import type { VirtualHost } from './virtual-host.ts'

/** The queues that the user may do anything with; null: all of them. */
export function describeQueues(host: VirtualHost, grants: Grants | null): QueueInfo[] {
  const queues = [...host.queues.values()].filter(({ name }) => grants === null || grants.allowsAny(name))
  for (const queue of queues) queue.trim()
  return queues.map((queue) => ({
    name: queue.name,
    durable: queue.durable,
    durability: queue.durability,
    deliverAfter: queue.deliverAfter,
    exclusive: queue.owner !== null,
    autoDelete: queue.autoDelete,
    paused: queue.isPaused,
    arguments: [...queue.arguments],
    ready: queue.readyCount,
    readyBytes: queue.index.readyBytes,
    unacked: queue.unackedCount,
    delayed: queue.delayedCount,
    consumers: queue.consumers.count,
    counters: { ...queue.counters },
    flow: queue.flow(),
  }))
}

interface Answer {
  readonly type: string
  readonly body: string
}

/** Whoever asked, as the properties of his request say it. */
interface Asker {
  readonly host: VirtualHost
  readonly grants: Grants | null
  readonly replyTo: string
  readonly correlationId: string | undefined
  readonly send: Send
}

export class ControlDesk implements Desk {
  private readonly deferrable: DeferrableCommands
  private readonly queueCommands: QueueCommands
  private readonly store: Store
  private readonly tick: Tick
  /** Answers that say that something was stored, in the order of their frames. */
  private readonly waiting: { readonly lsn: number; readonly give: () => void }[] = []
  private isStopped = false

  constructor(deferrable: DeferrableCommands, queueCommands: QueueCommands, store: Store, tick: Tick) {
    this.deferrable = deferrable
    this.queueCommands = queueCommands
    this.store = store
    this.tick = tick
  }

  /** Answers now or later; false if the request names nobody to answer, or a queue that is not there: then nothing is done. */
  ask(host: VirtualHost, grants: Grants | null, request: Message, send: Send): boolean {
    try {
      const { replyTo, correlationId } = request.decodeProperties()
      if (replyTo === undefined || !(host.queues.has(replyTo) || host.replyQueues.has(replyTo))) return false
      this.answer({ host, grants, replyTo, correlationId, send }, request)
      return true
    } catch (error) {
      // Properties that cannot be read, or cannot be written again.
      if (error instanceof BrokerError) return false
      throw error
    }
  }

  /** Gives the answers whose frame is safe by now; called at the end of each turn. */
  release(): void {
    const { waiting, store } = this
    while (waiting[0] !== undefined && waiting[0].lsn <= store.answerableLsn) waiting.shift()?.give()
  }

  /** Nothing is done any more, and nobody is answered. */
  stop(): void {
    this.isStopped = true
    this.waiting.length = 0
  }

  private answer(asker: Asker, request: Message): void {
    if (request.routingKey === queuesKey) return give(asker, queuesText(asker.host, asker.grants))
    if (request.refers)
      return give(asker, refusal('RESOURCE_ERROR', `a request has at most ${limits.bodyInlineBytesMax} bytes`))
    const { routingKey, body } = request
    let command: DeferrableCommand | null
    try {
      const forQueue = readQueueCommand(routingKey, body)
      if (forQueue !== null) return this.commandQueue(asker, forQueue)
      command = readScheduleCommand(routingKey, body) ?? readAdminCommand(routingKey, body)
    } catch (error) {
      return give(asker, errorText(error))
    }
    if (command === null) give(asker, unknownCommand(routingKey))
    else void this.administer(asker, command)
  }

  private commandQueue(asker: Asker, command: QueueCommand): void {
    authorize(asker.grants, asker.host, command)
    const queue = queueFor(asker, command.queue)
    this.queueCommands.run(queue, command, (reply, lsn) => this.giveWhenSafe(asker, replyText(reply), lsn))
  }

  /** Not inside the call that published the request: what is done may end the session it came from. */
  private async administer(asker: Asker, command: DeferrableCommand): Promise<void> {
    try {
      authorize(asker.grants, asker.host, command)
      await this.deferrable.ready(command)
      if (this.isStopped) return
      authorize(asker.grants, asker.host, command)
      const reply = this.deferrable.run(asker.host, asker.grants, command)
      this.giveWhenStored(asker, replyText(reply))
    } catch (error) {
      this.giveWhenStored(asker, errorText(error))
    }
  }

  private giveWhenStored(asker: Asker, answer: Answer): void {
    this.giveWhenSafe(asker, answer, this.store.barrier())
  }

  private giveWhenSafe(asker: Asker, answer: Answer, lsn: number): void {
    if (this.isStopped) return
    if (lsn <= this.store.answerableLsn) return give(asker, answer)
    this.waiting.push({ lsn, give: () => give(asker, answer) })
    this.tick.schedule()
  }
}

/** An exclusive queue is its session's alone, and so are the rights that a request comes with. Throws a BrokerError. */
function queueFor({ host, grants }: Asker, name: string): Queue {
  const owner = host.queues.get(name)?.owner ?? null
  return findQueue(host, owner !== null && owner.grants === grants ? owner : nobody, name)
}

const nobody: QueueOwner = { exclusiveQueues: new Set(), grants: null }

/** It counts as unroutable, and is dropped, if the queue is gone. */
function give({ host, replyTo, correlationId, send }: Asker, { type, body }: Answer): void {
  const properties = { contentType: 'application/json', deliveryMode: 1, type }
  const encoded = encodeProperties(correlationId === undefined ? properties : { ...properties, correlationId })
  send(host, Message.of('', replyTo, encoded, Buffer.from(body)))
}

function replyText(reply: Reply): Answer {
  if (reply.type === cancelledAnswer) return { type: cancelledAnswer, body: JSON.stringify({ count: reply.count }) }
  if (reply.type === messagesAnswer) return { type: messagesAnswer, body: peekedText(reply) }
  if (reply.type === schedulesAnswer) return fitting(schedulesAnswer, JSON.stringify(reply.schedules), 'schedules')
  if (reply.type !== 'leveret.definitions') return { type: okAnswer, body: '{}' }
  return fitting(definitionsAnswer, JSON.stringify(reply.definitions), 'definitions')
}

function fitting(type: string, body: string, what: string): Answer {
  if (Buffer.byteLength(body) < limits.messageBytesMax) return { type, body }
  return refusal('RESOURCE_ERROR', `the ${what} have more than ${limits.messageBytesMax} bytes`)
}

function errorText(error: unknown): Answer {
  if (error instanceof BrokerError) return refusal(error.code, error.text)
  return refusal('INTERNAL_ERROR', error instanceof Error ? error.message : String(error))
}

/** One queue after the other, so that it stops where no message could hold more. */
function queuesText(host: VirtualHost, grants: Grants | null): Answer {
  const described = describeQueues(host, grants)
  const body = queuesBody(described) ?? queuesBody(described.map((queue) => ({ ...queue, flow: null })))
  if (body !== null) return { type: queuesAnswer, body }
  const reason = `the description of ${host.queues.size} queues has more than ${limits.messageBytesMax} bytes`
  return refusal('RESOURCE_ERROR', reason)
}

/** Null: no message could hold it. */
function queuesBody(described: readonly QueueInfo[]): string | null {
  const queues: string[] = []
  let bytes = 0
  for (const queue of described) {
    const text = JSON.stringify({ ...queue, arguments: plainTable(queue.arguments) })
    bytes += Buffer.byteLength(text) + 1
    if (bytes >= limits.messageBytesMax) return null
    queues.push(text)
  }
  return `[${queues.join(',')}]`
}

function unknownCommand(key: string): Answer {
  return refusal('NOT_IMPLEMENTED', `there is no command '${key}', see docs/protocol.md for those there are`)
}

function refusal(code: string, text: string): Answer {
  return { type: errorAnswer, body: JSON.stringify({ code, text }) }
}
