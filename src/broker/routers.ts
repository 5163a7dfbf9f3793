/**
 * How each kind of exchange finds the bindings that a message takes. A router knows the bindings of one exchange; what lies
 * behind them, and what becomes of a message that takes none, is the exchange's business.
 */
import { assert, unreachable } from '../lib/assert.ts'
import { emptyTable, type FieldTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import { HashRouter } from './consistent-hash.ts'
import { headersMatch } from './header-match.ts'
import type { Queue } from './queue.ts'
import type { RouteSet } from './route-set.ts'
import type { RoutedBinding, Router } from './router.ts'
import { TopicTrie } from './topic-trie.ts'

export type RouterKind = 'direct' | 'fanout' | 'topic' | 'headers' | 'x-consistent-hash'

export const routerKinds: readonly string[] = ['direct', 'fanout', 'topic', 'headers', 'x-consistent-hash']

export function makeRouter(kind: RouterKind, table: FieldTable): Router {
  switch (kind) {
    case 'direct':
      return new DirectRouter()
    case 'fanout':
      return new FanoutRouter()
    case 'topic':
      return new TopicRouter()
    case 'headers':
      return new HeadersRouter()
    case 'x-consistent-hash':
      return new HashRouter(table)
    default:
      return unreachable(`no router for an exchange of kind ${String(kind)}`)
  }
}

/** The default exchange knows every queue by its name, and those that answers go to directly. */
export class NameRouter implements Router {
  readonly routesByKey = true
  private readonly queues: ReadonlyMap<string, Queue>
  private readonly replyQueues: ReadonlyMap<string, Queue>

  constructor(queues: ReadonlyMap<string, Queue>, replyQueues: ReadonlyMap<string, Queue>) {
    this.queues = queues
    this.replyQueues = replyQueues
  }

  add(): void {
    assert(false, 'nothing is bound to the default exchange')
  }

  remove(): void {
    assert(false, 'nothing is bound to the default exchange')
  }

  route(key: string, _message: Message, into: RouteSet): boolean {
    const queue = this.queues.get(key) ?? this.replyQueues.get(key)
    if (queue === undefined) return false
    into.add(queue)
    return true
  }
}

class DirectRouter implements Router {
  readonly routesByKey = true
  private readonly keys = new Map<string, Set<RoutedBinding>>()

  add(binding: RoutedBinding): void {
    const bindings = this.keys.get(binding.routingKey)
    if (bindings === undefined) this.keys.set(binding.routingKey, new Set([binding]))
    else bindings.add(binding)
  }

  remove(binding: RoutedBinding): void {
    const bindings = this.keys.get(binding.routingKey)
    if (bindings === undefined) return
    bindings.delete(binding)
    if (bindings.size === 0) this.keys.delete(binding.routingKey)
  }

  route(key: string, _message: Message, into: RouteSet): boolean {
    const bindings = this.keys.get(key)
    if (bindings === undefined) return false
    for (const binding of bindings) into.follow(binding.queue, binding.exchange)
    return true
  }
}

class FanoutRouter implements Router {
  readonly routesByKey = true
  private readonly bindings = new Set<RoutedBinding>()

  add(binding: RoutedBinding): void {
    this.bindings.add(binding)
  }

  remove(binding: RoutedBinding): void {
    this.bindings.delete(binding)
  }

  route(_key: string, _message: Message, into: RouteSet): boolean {
    for (const binding of this.bindings) into.follow(binding.queue, binding.exchange)
    return this.bindings.size > 0
  }
}

class TopicRouter implements Router {
  readonly routesByKey = true
  private readonly trie = new TopicTrie<RoutedBinding>()

  add(binding: RoutedBinding): void {
    this.trie.add(binding)
  }

  remove(binding: RoutedBinding): void {
    this.trie.remove(binding)
  }

  route(key: string, _message: Message, into: RouteSet): boolean {
    // A matched binding may lead back into this very trie through another exchange, so matching ends before walking on.
    const matched: RoutedBinding[] = []
    this.trie.match(key, (binding) => matched.push(binding))
    for (const binding of matched) into.follow(binding.queue, binding.exchange)
    return matched.length > 0
  }
}

class HeadersRouter implements Router {
  readonly routesByKey = false
  private readonly bindings = new Set<RoutedBinding>()

  add(binding: RoutedBinding): void {
    this.bindings.add(binding)
  }

  remove(binding: RoutedBinding): void {
    this.bindings.delete(binding)
  }

  route(_key: string, message: Message, into: RouteSet): boolean {
    const headers = message.decodeProperties().headers ?? emptyTable
    let found = false
    for (const binding of this.bindings) {
      if (!headersMatch(binding.arguments, headers)) continue
      found = true
      into.follow(binding.queue, binding.exchange)
    }
    return found
  }
}
