/**
 * The queues one message goes to, each once however many bindings match, and the exchanges already walked. It is reused
 * for every message: a generation number marks members instead of a fresh Set.
 */
import type { Message } from '../model/message.ts'
import type { Queue } from './queue.ts'

/** An exchange on the way of a message. */
export interface RoutedExchange {
  routeMark: number
  /** Follows those of its own bindings that match. */
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
  /** Met, and still to be walked: a walk that called itself would end the stack where thousands are bound in a row. */
  private readonly ahead: RoutedExchange[] = []
  private generation = 0

  begin(exchanges: ReadonlyMap<string, RoutedExchange>, copies: readonly string[] = noKeys): void {
    this.length = 0
    this.mayRefuse = false
    this.exchanges = exchanges
    this.copies = copies
    this.ahead.length = 0
    this.generation++
  }

  add(queue: Queue): void {
    if (queue.routeMark === this.generation) return
    queue.routeMark = this.generation
    if (queue.mayRefuse) this.mayRefuse = true
    this.queues[this.length++] = queue
  }

  /** Adds what lies behind a binding: one of both is null. */
  follow(queue: Queue | null, exchange: RoutedExchange | null): void {
    if (queue !== null) this.add(queue)
    else if (exchange !== null && this.enter(exchange)) this.ahead.push(exchange)
  }

  /** Adds all that the message gets to from there. */
  walk(first: RoutedExchange, message: Message): void {
    this.enter(first)
    first.route(message, this)
    for (let next = this.ahead.pop(); next !== undefined; next = this.ahead.pop()) next.route(message, this)
  }

  /** Whether the exchange is met for the first time; cycles of bindings end here. */
  private enter(exchange: RoutedExchange): boolean {
    if (exchange.routeMark === this.generation) return false
    exchange.routeMark = this.generation
    return true
  }
}
