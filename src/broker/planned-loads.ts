/**
 * What the publishes of a transaction would add to queues that refuse what is too much. A transaction is taken as a whole or
 * not at all, so it is asked before anything of it is done.
 */
import type { Queue } from './queue.ts'

interface Load {
  messages: number
  bytes: number
}

export class PlannedLoads {
  private readonly loads = new Map<Queue, Load>()

  /** Adds a message; true if the queue has no room for all that it is to get. */
  overflows(queue: Queue, bytes: number): boolean {
    if (!queue.mayRefuse) return false
    let load = this.loads.get(queue)
    if (load === undefined) {
      load = { messages: 0, bytes: 0 }
      this.loads.set(queue, load)
    }
    load.messages++
    load.bytes += bytes
    return queue.refuses(load.messages, load.bytes)
  }
}
