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
import type { Exchange } from './exchange.ts'
import type { Grants } from './grants.ts'
import {
  copyKeysOf,
  debounceKeyOf,
  delayMs,
  exchangeDelayMs,
  idempotencyKeyOf,
  idempotencyWindowMs,
  isAnswer,
} from './message-check.ts'
import type { PlannedLoads } from './planned-loads.ts'
import type { Queue } from './queue.ts'
import { gathered, undelayed } from './rewrite.ts'
import { RouteSet } from './route-set.ts'
import { SenderReceipts } from './sender-receipts.ts'
import type { VirtualHost } from './virtual-host.ts'
import type { Death } from './x-death.ts'

/** Publishes an answer to the default exchange of the virtual host. */
export type Send = (host: VirtualHost, answer: Message) => void

/** Who answers what is published to leveret.control, now or later; false: it names nobody who could be answered. */
export interface Desk {
  ask(host: VirtualHost, grants: Grants | null, request: Message, send: Send): boolean
}

export class Publisher {
  private readonly store: Store
  private readonly clock: Clock
  private readonly routes = new RouteSet()
  private lastHost: VirtualHost | null = null
  private lastVersion = -1
  private lastExchange: Exchange | null = null
  private lastKey = ''
  private readonly send: Send
  /** Null: nobody answers yet. */
  desk: Desk | null = null
  /** Tells senders that asked. */
  readonly receipts: SenderReceipts<VirtualHost>
  /** How many queues took the last message, or would have if they had room. */
  routed = 0
  /** Whether some queue had no room for the last message. */
  refused = false
  private readonly full: Queue[] = []

  constructor(store: Store, clock: Clock) {
    this.store = store
    this.clock = clock
    this.send = (host, answer) => {
      this.publish(host, host.default, answer, null)
    }
    this.receipts = new SenderReceipts(store, clock, (host, answer) => this.tell(host, answer))
  }

  /** Enqueues the message and returns the frame it waits for, 0 if it waits for none. `grants` are those of whoever sent it. */
  publish(host: VirtualHost, exchange: Exchange, message: Message, grants: Grants | null): number {
    this.refused = false
    if (exchange === host.control) return this.answer(host, grants, message)
    if (exchange.delayQueue !== null && message.mayAsk) {
      const hiddenMs = exchangeDelayMs(message)
      if (hiddenMs > 0) return this.keepBack(exchange.delayQueue, message, hiddenMs)
    }
    this.route(host, exchange, message)
    return this.routes.mayRefuse ? this.enqueueWhereRoom(host, exchange, message) : this.take(host, message)
  }

  /** Whether some queue would have no room for a message behind so many others, which `planned` knows. */
  wouldRefuse(host: VirtualHost, exchange: Exchange, message: Message, planned: PlannedLoads): boolean {
    if (exchange === host.control || exchange.delayQueue !== null) return false
    const { routes } = this
    this.route(host, exchange, message)
    if (!routes.mayRefuse) return false
    return routes.queues.slice(0, routes.length).some((queue) => planned.overflows(queue, message.bodyBytes))
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
      // What a full queue refuses is gone: nobody waits for an answer.
      if (!death.wentRound(queue.name) && !queue.isFull(message.bodyBytes)) routes.queues[kept++] = queue
    }
    if (kept < routes.length) this.keepRoutes(kept)
    this.enqueue(message)
  }

  /** An answer to a sender. Nobody waits for what becomes of it, and it makes no room for itself. */
  private tell(host: VirtualHost, answer: Message): void {
    const { routes } = this
    this.route(host, host.default, answer)
    const queue = routes.length === 1 ? (routes.queues[0] as Queue) : null
    if (queue?.isFull(answer.bodyBytes) === false) this.enqueue(answer)
  }

  /**
   * A message that was hidden takes its place at the end of its queue, or goes where the exchange leads that kept it back.
   * `entry` has it, and is settled by the caller.
   */
  appear(host: VirtualHost, queue: Queue, entry: Entry): void {
    const { publishes } = this.store
    if (this.isReplaced(queue, entry)) {
      queue.tellSender(entry.message as Message, 'replaced', false)
      return
    }
    if (queue.delaysFor !== null) {
      this.release(host, queue.delaysFor, entry.message as Message)
      return
    }
    if (!entry.logged) {
      queue.admit(entry)
      return
    }
    publishes.begin(entry.message as Message, 1)
    publishes.addRoute(queue.id, queue.admit(entry))
    publishes.end()
  }

  /** A parent has all its answers: it goes on to its queue, whose limits are for those who can wait. */
  gathered(host: VirtualHost, parent: Message, answers: string, to: string): void {
    const message = gathered(parent, answers, to)
    this.route(host, host.default, message)
    this.enqueue(message)
  }

  private keepBack(queue: Queue, message: Message, hiddenMs: number): number {
    const { store } = this
    this.routed = 1
    if (!message.persistent || !store.persists || !queue.durable) {
      queue.hide(message, false, hiddenMs)
      return 0
    }
    store.publishes.begin(message, 1)
    store.publishes.addRoute(queue.id, queue.hide(message, true, hiddenMs))
    store.publishes.end()
    return store.openLsn
  }

  private release(host: VirtualHost, name: string, delayed: Message): void {
    const exchange = host.exchanges.get(name)
    if (exchange === undefined) return
    const message = undelayed(delayed)
    this.route(host, exchange, message)
    if (this.routes.mayRefuse) this.enqueueWhereRoom(host, exchange, message)
    else this.take(host, message)
  }

  /** Leaves out queues that have no room, and tells them so. */
  private enqueueWhereRoom(host: VirtualHost, exchange: Exchange, message: Message): number {
    const { routes, full } = this
    const { bodyBytes } = message
    // What makes room may publish dead letters, so routes are looked for again.
    for (const queue of routes.queues.slice(0, routes.length)) queue.makeRoom(bodyBytes)
    this.lastExchange = null
    this.route(host, exchange, message)
    const routed = routes.length
    let kept = 0
    for (let at = 0; at < routed; at++) {
      const queue = routes.queues[at] as Queue
      if (queue.isFull(bodyBytes)) full.push(queue)
      else routes.queues[kept++] = queue
    }
    this.keepRoutes(kept)
    const lsn = this.take(host, message)
    this.routed = routed
    this.refused = full.length > 0
    for (const queue of full.splice(0)) queue.refused(message)
    return lsn
  }

  private take(host: VirtualHost, message: Message): number {
    if (!message.mayAsk) return this.enqueue(message)
    if (isAnswer(message)) {
      const lsn = this.enqueue(message)
      const { routed } = this
      this.receipts.answered(host, message)
      this.routed = routed
      return lsn
    }
    const key = idempotencyKeyOf(message)
    if (key !== null) return this.enqueueOnce(host, message, key)
    const lsn = this.enqueue(message)
    this.noteDebounce(message)
    return lsn
  }

  /** Of the hidden messages of a debounce key the last is wanted: the others are left out when they are due. */
  private noteDebounce(message: Message): void {
    const key = debounceKeyOf(message)
    if (key === null) return
    const { routes, store } = this
    const nowMs = this.clock.realtimeMs()
    for (let at = 0; at < this.routed; at++) {
      const queue = routes.queues[at] as Queue
      const logged = message.persistent && store.persists && queue.durable
      const windowMs = delayMs(message) + namespaces.debounces.windowMs
      const value = String(queue.index.nextSequence - 1)
      store.notes.put(namespaces.debounces, noteKey(queue, key), value, nowMs, logged, windowMs)
    }
  }

  /** Whether a later message of its debounce key has taken the place of what was hidden. */
  private isReplaced(queue: Queue, { message, sequence }: Entry): boolean {
    const { notes } = this.store
    if (message === null || !message.mayAsk || !notes.has(namespaces.debounces)) return false
    const key = debounceKeyOf(message)
    if (key === null) return false
    const latest = notes.get(namespaces.debounces, noteKey(queue, key), this.clock.realtimeMs())
    return latest !== null && latest !== String(sequence)
  }

  /**
   * As `enqueue`, but leaves out queues that took a message with that key within the window. For the publisher they count
   * as if they had taken it now, and what they took may not be durable yet.
   */
  private enqueueOnce(host: VirtualHost, message: Message, key: string): number {
    const { routes, store, clock } = this
    const { notes } = store
    const routed = routes.length
    const nowMs = clock.realtimeMs()
    const takenBefore: TakenBefore[] = []
    let kept = 0
    for (let at = 0; at < routed; at++) {
      const queue = routes.queues[at] as Queue
      const firstId = notes.get(namespaces.idempotency, noteKey(queue, key), nowMs)
      if (firstId === null) routes.queues[kept++] = queue
      else takenBefore.push({ queue, firstId })
    }
    if (kept < routed) this.keepRoutes(kept)
    const survives = message.persistent && store.persists
    if (kept > 0) {
      const id = message.decodeProperties().messageId ?? ''
      const windowMs = idempotencyWindowMs(message) ?? namespaces.idempotency.windowMs
      this.enqueue(message)
      for (let at = 0; at < kept; at++) {
        const queue = routes.queues[at] as Queue
        const logged = survives && queue.durable
        notes.put(namespaces.idempotency, noteKey(queue, key), id, nowMs, logged, windowMs)
      }
    }
    if (message.mayTell) {
      if (takenBefore.length === 0 && routed > 0) {
        this.receipts.taken(host, (routes.queues[0] as Queue).name, message)
      }
      for (const { queue, firstId } of takenBefore) {
        this.receipts.duplicate(host, queue, message, key, firstId, nowMs)
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
    if (message.mayTell) for (let at = 0; at < length; at++) (routes.queues[at] as Queue).beginTelling()
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

  /** A request to the broker counts as routed where its answer goes. */
  private answer(host: VirtualHost, grants: Grants | null, request: Message): number {
    const isRouted = this.desk?.ask(host, grants, request, this.send) === true
    this.routed = isRouted ? 1 : 0
    return 0
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
      host.topologyVersion === this.lastVersion &&
      !message.mayCopy
    ) {
      return
    }
    // Routing may fail on headers that cannot be read: then what is remembered is no longer what the routes hold.
    this.lastExchange = null
    const copies = message.mayCopy ? copyKeysOf(message) : undefined
    host.route(exchange, message, copies, this.routes)
    this.lastHost = host
    this.lastVersion = host.topologyVersion
    this.lastExchange = copies === undefined && exchange.routesByKey ? exchange : null
    this.lastKey = message.routingKey
  }
}

/** A queue that took a message with the same idempotency key. */
interface TakenBefore {
  readonly queue: Queue
  readonly firstId: string
}

function noteKey(queue: Queue, key: string): string {
  return `${queue.id} ${key}`
}
