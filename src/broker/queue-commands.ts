/** What is done with one queue and AMQP has no method for, as channels and `leveret.control` ask for it. */
import type { Reply } from '../model/command.ts'
import type { QueueCommand } from '../model/queue-command.ts'
import type { Store } from '../store/store.ts'
import { peek } from './peek.ts'
import type { Queue } from './queue.ts'

/** Called once, inside the call that asked or later, with the frame that the reply waits for; 0: it waits for none. */
export type Answer = (reply: Reply, lsn: number) => void

export class QueueCommands {
  private readonly store: Store

  constructor(store: Store) {
    this.store = store
  }

  /** Throws a BrokerError, and has done nothing. */
  run(queue: Queue, command: QueueCommand, answer: Answer): void {
    switch (command.type) {
      case 'leveret.pause':
        queue.pause(command.paused)
        // Also where it was so before: whoever paused it may still be waiting for the disk.
        return answer({ type: 'ok' }, queue.durable ? this.store.barrier() : 0)
      case 'leveret.peek':
        return peek(queue, command, (reply) => answer(reply, 0))
      case 'leveret.cancel':
        return queue.cancellations.ask(command.messageId, (count) => {
          // Also where there was none: whoever removed it may still be waiting for the disk.
          answer({ type: 'leveret.cancelled', count }, queue.durable ? this.store.barrier() : 0)
        })
    }
  }
}
