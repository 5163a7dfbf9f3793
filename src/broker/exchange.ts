/**
 * An exchange: a name, its properties and a router that knows the bindings. The four kinds differ only in the router.
 */
import { unreachable } from '../lib/assert.ts'
import { emptyTable, type FieldTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import { headersMatch } from './header-match.ts'
import type { Queue } from './queue.ts'
import type { RouteSet } from './route-set.ts'
import { TopicTrie } from './topic-trie.ts'

export type ExchangeKind = 'direct' | 'fanout' | 'topic' | 'headers'

export const exchangeKinds: readonly string[] = ['direct', 'fanout', 'topic', 'headers']

/** From an exchange to a queue or to another exchange. */
export interface Binding {
  readonly source: Exchange
  /** One of the two destinations is null. */
  readonly queue: Queue | null
  readonly exchange: Exchange | null
  readonly routingKey: string
  readonly arguments: FieldTable
  readonly identity: string
  /** Durable when both ends are. */
  readonly durable: boolean
}

interface Router {
  add(binding: Binding): void
  remove(binding: Binding): void
  route(message: Message, into: RouteSet): void
}

export class Exchange {
  readonly kindOfThing = 'exchange' as const
  readonly name: string
  readonly kind: ExchangeKind
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: FieldTable
  /** Bindings with this exchange as source, by identity. */
  readonly bindings: Map<string, Binding> = new Map()
  routeMark = 0
  private readonly router: Router
  /** Bindings that lead to another exchange. */
  private exchangeBindingCount = 0

  constructor(
    name: string,
    kind: ExchangeKind,
    durable: boolean,
    autoDelete: boolean,
    internal: boolean,
    table: FieldTable,
  ) {
    this.name = name
    this.kind = kind
    this.durable = durable
    this.autoDelete = autoDelete
    this.internal = internal
    this.arguments = table
    this.router = makeRouter(kind)
  }

  /** Whether the routing key alone decides; then the routes of a key can be remembered. Other exchanges may ask for more. */
  get routesByKey(): boolean {
    return this.kind !== 'headers' && this.exchangeBindingCount === 0
  }

  bind(binding: Binding): void {
    if (this.bindings.has(binding.identity)) return
    this.bindings.set(binding.identity, binding)
    if (binding.exchange !== null) this.exchangeBindingCount++
    this.router.add(binding)
  }

  unbind(identity: string): Binding | undefined {
    const binding = this.bindings.get(identity)
    if (binding === undefined) return undefined
    this.bindings.delete(identity)
    if (binding.exchange !== null) this.exchangeBindingCount--
    this.router.remove(binding)
    return binding
  }

  route(message: Message, into: RouteSet): void {
    if (into.enter(this)) this.router.route(message, into)
  }
}

function makeRouter(kind: ExchangeKind): Router {
  switch (kind) {
    case 'direct':
      return new DirectRouter()
    case 'fanout':
      return new FanoutRouter()
    case 'topic':
      return new TopicRouter()
    case 'headers':
      return new HeadersRouter()
    default:
      return unreachable(`no router for an exchange of kind ${String(kind)}`)
  }
}

function reach(binding: Binding, message: Message, into: RouteSet): void {
  if (binding.queue !== null) into.add(binding.queue)
  else if (binding.exchange !== null) binding.exchange.route(message, into)
}

class DirectRouter implements Router {
  private readonly keys = new Map<string, Set<Binding>>()

  add(binding: Binding): void {
    const bindings = this.keys.get(binding.routingKey)
    if (bindings === undefined) this.keys.set(binding.routingKey, new Set([binding]))
    else bindings.add(binding)
  }

  remove(binding: Binding): void {
    const bindings = this.keys.get(binding.routingKey)
    if (bindings === undefined) return
    bindings.delete(binding)
    if (bindings.size === 0) this.keys.delete(binding.routingKey)
  }

  route(message: Message, into: RouteSet): void {
    const bindings = this.keys.get(message.routingKey)
    if (bindings !== undefined) for (const binding of bindings) reach(binding, message, into)
  }
}

class FanoutRouter implements Router {
  private readonly bindings = new Set<Binding>()

  add(binding: Binding): void {
    this.bindings.add(binding)
  }

  remove(binding: Binding): void {
    this.bindings.delete(binding)
  }

  route(message: Message, into: RouteSet): void {
    for (const binding of this.bindings) reach(binding, message, into)
  }
}

class TopicRouter implements Router {
  private readonly trie = new TopicTrie<Binding>()

  add(binding: Binding): void {
    this.trie.add(binding)
  }

  remove(binding: Binding): void {
    this.trie.remove(binding)
  }

  route(message: Message, into: RouteSet): void {
    // A matched binding may lead back into this very trie through another exchange, so matching ends before walking on.
    const matched: Binding[] = []
    this.trie.match(message.routingKey, (binding) => matched.push(binding))
    for (const binding of matched) reach(binding, message, into)
  }
}

class HeadersRouter implements Router {
  private readonly bindings = new Set<Binding>()

  add(binding: Binding): void {
    this.bindings.add(binding)
  }

  remove(binding: Binding): void {
    this.bindings.delete(binding)
  }

  route(message: Message, into: RouteSet): void {
    const headers = message.decodeProperties().headers ?? emptyTable
    for (const binding of this.bindings) {
      if (headersMatch(binding.arguments, headers)) reach(binding, message, into)
    }
  }
}
