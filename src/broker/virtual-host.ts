/** A virtual host: a name space of exchanges and queues. */
import { controlExchange } from '../model/control-exchange.ts'
import { emptyTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import { type Binding, Exchange, type ExchangeKind } from './exchange.ts'
import type { Queue } from './queue.ts'
import type { RouteSet } from './route-set.ts'

const predeclared: readonly (readonly [string, ExchangeKind])[] = [
  ['amq.direct', 'direct'],
  ['amq.fanout', 'fanout'],
  ['amq.topic', 'topic'],
  ['amq.headers', 'headers'],
  ['amq.match', 'headers'],
]

export class VirtualHost {
  readonly name: string
  readonly exchanges: Map<string, Exchange> = new Map()
  readonly queues: Map<string, Queue> = new Map()
  /** It knows every queue by its name. */
  readonly default: Exchange = new Exchange('', 'direct', true, false, false, emptyTable)
  /** Where the broker itself is asked: what is published to it is answered, not routed. */
  readonly control: Exchange = new Exchange(controlExchange, 'direct', true, false, false, emptyTable)
  /** Bindings by their destination. */
  readonly bindingsTo: Map<Queue | Exchange, Set<Binding>> = new Map()
  /** Grows with every change of queues, exchanges and bindings, so that remembered routes are known to be stale. */
  topologyVersion = 0

  constructor(name: string) {
    this.name = name
    this.exchanges.set('', this.default)
    for (const [exchange, kind] of predeclared) {
      this.exchanges.set(exchange, new Exchange(exchange, kind, true, false, false, emptyTable))
    }
    this.exchanges.set(controlExchange, this.control)
  }

  /** Fills `into` with the queues the message goes to. The default exchange knows every queue by its name. */
  route(exchange: Exchange, message: Message, into: RouteSet): void {
    into.begin()
    if (exchange.name === '') {
      const queue = this.queues.get(message.routingKey)
      if (queue !== undefined) into.add(queue)
      return
    }
    exchange.route(message, into)
  }
}
