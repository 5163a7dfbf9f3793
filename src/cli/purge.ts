/** `leveret purge`: removes all messages that wait in a queue. */
import { type QueueCommand, say, withQueue } from './one-queue.ts'
import { countOf } from './plural.ts'

export async function run(options: QueueCommand): Promise<number> {
  const { queue } = options
  const removed = await withQueue(options, (opened) => opened.purge())
  say(options, `${countOf(removed, 'message')} removed from ${queue}`, { queue, removed })
  return 0
}
