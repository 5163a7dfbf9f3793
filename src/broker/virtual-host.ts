/** A virtual host: a name space of exchanges and queues. */
import type { JsonObject } from '../model/administration.ts'
import { controlExchange } from '../model/control-exchange.ts'
import { emptyTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import { type Binding, Exchange } from './exchange.ts'
import type { Queue } from './queue.ts'
import type { RouteSet } from './route-set.ts'
import { NameRouter, type RouterKind } from './routers.ts'
import type { Schedule } from './schedule.ts'

const predeclared: readonly (readonly [string, RouterKind])[] = [
  ['amq.direct', 'direct'],
  ['amq.fanout', 'fanout'],
  ['amq.topic', 'topic'],
  ['amq.headers', 'headers'],
  ['amq.match', 'headers'],
]

/** Where RabbitMQ's tracing publishes; nobody else may. */
const traceExchange = 'amq.rabbitmq.trace'

export class VirtualHost {
  readonly name: string
  readonly exchanges: Map<string, Exchange> = new Map()
  readonly queues: Map<string, Queue> = new Map()
  /** Queues of those who are answered directly, by the name that answers are sent to. Nobody else sees them. */
  readonly replyQueues: Map<string, Queue> = new Map()
  readonly schedules: Map<string, Schedule> = new Map()
  /** It knows every queue by its name. */
  readonly default: Exchange = Exchange.predeclared('', 'direct', new NameRouter(this.queues, this.replyQueues))
  /** Where the broker itself is asked: what is published to it is answered, not routed. */
  readonly control: Exchange = Exchange.predeclared(controlExchange, 'direct')
  /** Bindings by their destination. */
  readonly bindingsTo: Map<Queue | Exchange, Set<Binding>> = new Map()
  /** Grows with every change of queues, exchanges and bindings, so that remembered routes are known to be stale. */
  topologyVersion = 0
  /** Queues that may refuse messages. */
  refusingQueues = 0
  /** Description, tags, default queue type: whatever administrators wrote about it. */
  metadata: JsonObject = {}

  constructor(name: string) {
    this.name = name
    this.exchanges.set('', this.default)
    for (const [exchange, kind] of predeclared) this.exchanges.set(exchange, Exchange.predeclared(exchange, kind))
    this.exchanges.set(traceExchange, new Exchange(traceExchange, 'topic', true, false, true, emptyTable))
    this.exchanges.set(controlExchange, this.control)
  }

  /** Whether every virtual host has it. */
  isPredeclared({ name }: Exchange): boolean {
    return (
      name === '' || name === controlExchange || name === traceExchange || predeclared.some(([known]) => known === name)
    )
  }

  /** Fills `into` with the queues the message goes to, by its own key and those of `copies`. */
  route(exchange: Exchange, message: Message, copies: readonly string[] | undefined, into: RouteSet): void {
    into.begin(this.exchanges, copies)
    into.walk(exchange, message)
  }
}
