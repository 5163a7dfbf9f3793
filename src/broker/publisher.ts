/**
 * The way of a message from a channel into queues: route, log what must survive, enqueue. One per broker; the routes of
 * the last exchange and key are remembered, because publishers repeat themselves.
 */
import { BrokerError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import { namespaces } from '../model/namespaces.ts'
import type { Clock } from '../platform/clock.ts'
import type { Entry } from '../store/entry.ts'
import type { Store } from '../store/store.ts'
import { answerTo } from './control.ts'
import type { Exchange } from './exchange.ts'
import { idempotencyKeyOf } from './message-check.ts'
import type { Queue } from './queue.ts'
import { RouteSet } from './route-set.ts'
import type { VirtualHost } from './virtual-host.ts'
import type { Death } from './x-death.ts'

export class Publisher {
  private readonly store: Store
  private readonly clock: Clock
  private readonly routes = new RouteSet()
  private lastHost: VirtualHost | null = null
  private lastVersion = -1
  private lastExchange: Exchange | null = null
  private lastKey = ''
  /** How many queues took the last message. */
  routed = 0

  constructor(store: Store, clock: Clock) {
    this.store = store
    this.clock = clock
  }

  /** Enqueues the message and returns the frame it waits for, 0 if it waits for none. */
  publish(host: VirtualHost, exchange: Exchange, message: Message): number {
    if (exchange === host.control) return this.answer(host, message)
    this.route(host, exchange, message)
    const key = message.mayAsk ? idempotencyKeyOf(message) : null
    return key === null ? this.enqueue(message) : this.enqueueOnce(message, key)
  }

  /** As `publish`, for a message that a queue got rid of. An exchange that is not there takes nothing. */
  publishDead(host: VirtualHost, death: Death): void {
    const { routes } = this
    const { message } = death
    const exchange = host.exchanges.get(message.exchange)
    if (exchange === undefined || exchange === host.control) return
    try {
      this.route(host, exchange, message)
    } catch (error) {
      // Nobody can say where headers lead that nobody can read.
      if (error instanceof BrokerError) return
      throw error
    }
    let kept = 0
    for (let at = 0; at < routes.length; at++) {
      const queue = routes.queues[at] as Queue
      if (!death.wentRound(queue.name)) routes.queues[kept++] = queue
    }
    if (kept < routes.length) this.keepRoutes(kept)
    this.enqueue(message)
  }

  /** A message that was hidden in a queue takes its place at the end; `entry` has it, and is settled by the caller. */
  appear(queue: Queue, entry: Entry): void {
    const { publishes } = this.store
    if (!entry.logged) {
      queue.admit(entry)
      return
    }
    publishes.begin(entry.message as Message, 1)
    publishes.addRoute(queue.id, queue.admit(entry))
    publishes.end()
  }

  /**
   * As `enqueue`, but leaves out queues that took a message with that key within the window. For the publisher they count
   * as if they had taken it now, and what they took may not be durable yet.
   */
  private enqueueOnce(message: Message, key: string): number {
    const { routes, store, clock } = this
    const { notes } = store
    const routed = routes.length
    const nowMs = clock.realtimeMs()
    let kept = 0
    for (let at = 0; at < routed; at++) {
      const queue = routes.queues[at] as Queue
      if (notes.get(namespaces.idempotency, noteKey(queue, key), nowMs) === null) routes.queues[kept++] = queue
    }
    if (kept < routed) this.keepRoutes(kept)
    const survives = message.persistent && store.persists
    if (kept > 0) {
      const id = message.decodeProperties().messageId ?? ''
      this.enqueue(message)
      for (let at = 0; at < kept; at++) {
        const queue = routes.queues[at] as Queue
        notes.put(namespaces.idempotency, noteKey(queue, key), id, nowMs, survives && queue.durable)
      }
    }
    this.routed = routed
    return survives && routed > 0 ? store.barrier() : 0
  }

  /** Puts the message into the queues that `routes` holds. */
  private enqueue(message: Message): number {
    const { routes, store } = this
    const { length } = routes
    this.routed = length
    if (length === 0) return 0
    let loggedCount = 0
    if (message.persistent && store.persists) {
      for (let at = 0; at < length; at++) if ((routes.queues[at] as Queue).durable) loggedCount++
    }
    if (loggedCount === 0) {
      for (let at = 0; at < length; at++) (routes.queues[at] as Queue).accept(message, false)
      return 0
    }
    const { publishes } = store
    publishes.begin(message, loggedCount)
    for (let at = 0; at < length; at++) {
      const queue = routes.queues[at] as Queue
      const entry = queue.accept(message, queue.durable)
      if (queue.durable) publishes.addRoute(queue.id, entry)
    }
    publishes.end()
    return store.openLsn
  }

  /** A request to the broker counts as routed where its answer is. */
  private answer(host: VirtualHost, request: Message): number {
    const answer = answerTo(host, request)
    this.routed = 0
    return answer === null ? 0 : this.publish(host, host.default, answer)
  }

  /** Leaves the first so many: these are no longer the routes of that exchange and key. */
  private keepRoutes(count: number): void {
    this.routes.length = count
    this.lastExchange = null
  }

  private route(host: VirtualHost, exchange: Exchange, message: Message): void {
    if (
      exchange === this.lastExchange &&
      message.routingKey === this.lastKey &&
      host === this.lastHost &&
      host.topologyVersion === this.lastVersion
    ) {
      return
    }
    // Routing may fail on headers that cannot be read: then what is remembered is no longer what the routes hold.
    this.lastExchange = null
    host.route(exchange, message, this.routes)
    this.lastHost = host
    this.lastVersion = host.topologyVersion
    this.lastExchange = exchange.routesByKey ? exchange : null
    this.lastKey = message.routingKey
  }
}

function noteKey(queue: Queue, key: string): string {
  return `${queue.id} ${key}`
}
