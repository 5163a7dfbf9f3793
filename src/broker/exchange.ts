/**
 * An exchange: a name, its properties and a router that knows its bindings. The kinds differ in the router alone, but for
 * one that keeps messages back until they are due and then routes as another kind.
 *
 * What no binding takes goes to the alternate exchange, if there is one: for each exchange on the way, not for the first alone.
 */
import { emptyTable, type FieldTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import type { Queue } from './queue.ts'
import type { RouteSet } from './route-set.ts'
import type { RoutedBinding, Router } from './router.ts'
import { makeRouter, type RouterKind, routerKinds } from './routers.ts'

export const delayedKind = 'x-delayed-message'

export type ExchangeKind = RouterKind | typeof delayedKind

export function isExchangeKind(kind: string): boolean {
  return kind === delayedKind || routerKinds.includes(kind)
}

/** From an exchange to a queue or to another exchange. */
export interface Binding extends RoutedBinding {
  readonly source: Exchange
  readonly exchange: Exchange | null
  /** Durable when both ends are. */
  readonly durable: boolean
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
  /** Where messages go that no binding takes; null: nowhere. */
  alternate: string | null
  /** Keeps messages until they are due; null: this exchange delays nothing. */
  delayQueue: Queue | null = null
  routeMark = 0
  private readonly router: Router
  /** Bindings that lead to another exchange. */
  private exchangeBindingCount = 0

  /** `router`: instead of the one that its kind has. */
  constructor(
    name: string,
    kind: ExchangeKind,
    durable: boolean,
    autoDelete: boolean,
    internal: boolean,
    table: FieldTable,
    router: Router = makeRouter(routerKindOf(kind, table), table),
  ) {
    this.name = name
    this.kind = kind
    this.durable = durable
    this.autoDelete = autoDelete
    this.internal = internal
    this.arguments = table
    this.alternate = textOf(table, 'alternate-exchange')
    this.router = router
  }

  /** One that every virtual host has from the start. */
  static predeclared(name: string, kind: RouterKind, router?: Router): Exchange {
    return new Exchange(name, kind, true, false, false, emptyTable, router)
  }

  /** The kind that says what its bindings mean. */
  get routerKind(): RouterKind {
    return routerKindOf(this.kind, this.arguments)
  }

  /** Whether the routing key alone decides; then the routes of a key can be remembered. Other exchanges may ask for more. */
  get routesByKey(): boolean {
    return this.router.routesByKey && this.exchangeBindingCount === 0 && this.alternate === null
  }

  /** What a policy says holds from now on where the arguments say nothing; null: no policy does. */
  applyPolicy(policy: FieldTable | null): void {
    this.alternate = textOf(this.arguments, 'alternate-exchange') ?? textOf(policy, 'alternate-exchange')
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
    let found = this.router.route(message.routingKey, message, into)
    for (const key of into.copies) if (this.router.route(key, message, into)) found = true
    if (!found && this.alternate !== null) into.follow(null, into.exchanges.get(this.alternate) ?? null)
  }
}

function textOf(table: FieldTable | null, name: string): string | null {
  const field = table?.get(name)
  return field?.tag === 'S' ? (field.value as string) : null
}

/** A delaying exchange says in an argument which kind it is when a message is due. */
function routerKindOf(kind: ExchangeKind, table: FieldTable): RouterKind {
  return kind === delayedKind ? (table.get('x-delayed-type')?.value as RouterKind) : kind
}
