/**
 * What the broker is asked through the exchange `leveret.control`. A request is not routed: its answer is, to the queue it
 * names in `reply_to`. Nothing here throws, whatever a request holds: one that cannot be answered counts as unroutable.
 */
import type { QueueInfo } from '../model/command.ts'
import { errorAnswer, queuesAnswer, queuesKey } from '../model/control-exchange.ts'
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import { Message } from '../model/message.ts'
import { encodeProperties } from '../model/properties.ts'
import type { Grants } from './grants.ts'
import { plainTable } from './plain-table.ts'
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
    arguments: [...queue.arguments],
    ready: queue.readyCount,
    readyBytes: queue.index.readyBytes,
    unacked: queue.unackedCount,
    delayed: queue.index.delayedCount,
    consumers: queue.consumers.count,
    counters: { ...queue.counters },
  }))
}

interface Answer {
  readonly type: string
  readonly body: string
}

/** The answer to a request, for the default exchange to route; null if it names nobody to answer. */
export function answerTo(host: VirtualHost, grants: Grants | null, request: Message): Message | null {
  try {
    const { replyTo, correlationId } = request.decodeProperties()
    if (replyTo === undefined) return null
    const { type, body } =
      request.routingKey === queuesKey ? queuesText(host, grants) : unknownCommand(request.routingKey)
    const properties = { contentType: 'application/json', deliveryMode: 1, type }
    const encoded = encodeProperties(correlationId === undefined ? properties : { ...properties, correlationId })
    return Message.of('', replyTo, encoded, Buffer.from(body))
  } catch (error) {
    // Properties that cannot be read, or cannot be written again.
    if (error instanceof BrokerError) return null
    throw error
  }
}

/** One queue after the other, so that it stops where no message could hold more. */
function queuesText(host: VirtualHost, grants: Grants | null): Answer {
  const queues: string[] = []
  let bytes = 0
  for (const queue of describeQueues(host, grants)) {
    const text = JSON.stringify({ ...queue, arguments: plainTable(queue.arguments) })
    bytes += Buffer.byteLength(text) + 1
    if (bytes >= limits.messageBytesMax) {
      const reason = `the description of ${host.queues.size} queues has more than ${limits.messageBytesMax} bytes`
      return refusal('RESOURCE_ERROR', reason)
    }
    queues.push(text)
  }
  return { type: queuesAnswer, body: `[${queues.join(',')}]` }
}

function unknownCommand(key: string): Answer {
  return refusal('NOT_IMPLEMENTED', `there is no command '${key}', only '${queuesKey}'`)
}

function refusal(code: string, text: string): Answer {
  return { type: errorAnswer, body: JSON.stringify({ code, text }) }
}
