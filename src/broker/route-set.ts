/**
 * The queues one message goes to, each once however many bindings match, and the exchanges already walked. It is reused
 * for every message: a generation number marks members instead of a fresh Set.
 */
import type { Queue } from './queue.ts'

export class RouteSet {
  readonly queues: Queue[] = []
  length = 0
  private generation = 0

  begin(): void {
    this.length = 0
    this.generation++
  }

  add(queue: Queue): void {
    if (queue.routeMark === this.generation) return
    queue.routeMark = this.generation
    this.queues[this.length++] = queue
  }

  /** Whether the exchange is met for the first time; cycles of bindings end here. */
  enter(exchange: { routeMark: number }): boolean {
    if (exchange.routeMark === this.generation) return false
    exchange.routeMark = this.generation
    return true
  }
}
