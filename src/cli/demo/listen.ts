/** A listener of events: a queue of its own, bound to the exchange of events, as docs/protocol.md has it. */
import type { Bus } from '../../index.ts'

/** Calls the handler for each event whose name matches the pattern, such as 'photo.*'; until the bus is closed. */
export async function listen<Data>(
  bus: Bus,
  queue: string,
  pattern: string,
  handler: (data: Data) => void,
): Promise<void> {
  const vhost = '/'
  const durable = { durable: true, auto_delete: false, arguments: {} }
  const binding = { source: 'amq.topic', destination: queue, destination_type: 'queue', routing_key: pattern }
  await bus.importDefinitions({
    queues: [{ name: queue, vhost, ...durable }],
    bindings: [{ ...binding, vhost, arguments: {} }],
  })
  const opened = await bus.openQueue<Data>(queue)
  opened.process((message) => handler(message.data), { concurrency: 10 })
}
