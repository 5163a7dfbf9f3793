/**
 * The queues one message goes to, each once however many bindings match, and the exchanges already walked. It is reused
 * for every message: a generation number marks members instead of a fresh Set.
 */
import type { Message } from '../model/message.ts'
import type { Queue } from './queue.ts'

/** An exchange on the way of a message. */
export interface RoutedExchange {
  routeMark: number
  route(message: Message, into: RouteSet): void
}

const noKeys: readonly string[] = []

export class RouteSet {
  readonly queues: Queue[] = []
  length = 0
  /** Some queue among them may refuse messages. */
  mayRefuse = false
  /** Keys that the message is routed by beside its own. */
  copies: readonly string[] = noKeys
  /** Where alternate exchanges are found. */
  exchanges: ReadonlyMap<string, RoutedExchange> = new Map()
  private generation = 0

  begin(exchanges: ReadonlyMap<string, RoutedExchange>, copies: readonly string[] = noKeys): void {
    this.length = 0
    this.mayRefuse = false
    this.exchanges = exchanges
    this.copies = copies
    this.generation++
  }

  add(queue: Queue): void {
    if (queue.routeMark === this.generation) return
    queue.routeMark = this.generation
    if (queue.mayRefuse) this.mayRefuse = true
    this.queues[this.length++] = queue
  }

  /** Adds what lies behind a binding: one of both is null. */
  follow(queue: Queue | null, exchange: RoutedExchange | null, message: Message): void {
    if (queue !== null) this.add(queue)
    else exchange?.route(message, this)
  }

  /** Whether the exchange is met for the first time; cycles of bindings end here. */
  enter(exchange: RoutedExchange): boolean {
    if (exchange.routeMark === this.generation) return false
    exchange.routeMark = this.generation
    return true
  }
}
