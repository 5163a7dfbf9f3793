/**
 * A seeded client: it opens a session, does random things on its channels, thinks a while, and goes on. It neither knows
 * nor cares whether the broker is in the same process or behind a network.
 */

import type { Prng } from '../../lib/prng.ts'
import type { Driver, Session, SessionEvents } from '../../model/channel.ts'
import type { Command } from '../../model/command.ts'
import { BrokerError } from '../../model/errors.ts'
import { emptyTable, type FieldTable } from '../../model/field-table.ts'
import type { Clock } from '../../platform/clock.ts'
import { type ChannelMode, ClientChannel } from './client-channel.ts'
import type { ExchangeFacts } from './facts.ts'
import { consumerArguments, copyHeaders, exchangeArguments, queueArguments } from './feature-arguments.ts'
import { type Ledger, type Made, stringField } from './ledger.ts'
import { type Plan, pick, type QueuePlan, type Weights } from './plan.ts'
import type { Trace } from './trace.ts'

export interface ClientParts {
  readonly driver: Driver
  readonly clock: Clock
  readonly prng: Prng
  readonly plan: Plan
  readonly ledger: Ledger
  readonly trace: Trace
  /** Called at each step: what may go wrong outside of broker and client. */
  readonly disturb: () => void
}

const channelsMax = 3
const outstandingRepliesMax = 8
const openPublishesMax = 200
const words = ['a', 'b', 'c'] as const
const patterns = ['#', 'a.#', '*.b', 'a.*', '#.c', 'a.b', 'c'] as const

export class Client {
  readonly name: string
  /** Steps that are left. */
  stepsLeft: number
  private isBlockedByDisk = false
  private readonly parts: ClientParts
  private readonly prng: Prng
  private readonly plan: Plan
  private session: Session | null = null
  private sessionNumber = 0
  private channels: ClientChannel[] = []
  private channelCount = 0
  private isBlocked = false
  private isThrottled = false
  private hasSetUp = false
  private isStopped = false

  constructor(name: string, parts: ClientParts, steps: number) {
    this.name = name
    this.parts = parts
    this.prng = parts.prng
    this.plan = parts.plan
    this.stepsLeft = steps
  }

  /** Goes on until its steps are used up, it is stopped, or its process dies. */
  start(): void {
    this.later(this.prng.next() * 3)
  }

  stop(): void {
    this.isStopped = true
  }

  /** It was told to wait for the disk, and not told to go on although it listens. */
  get waitsForDisk(): boolean {
    return this.isBlockedByDisk && !this.channels.some((channel) => channel.isPaused)
  }

  private later(delayMs: number): void {
    this.parts.clock.setTimer(delayMs, () => this.step())
  }

  private step(): void {
    if (this.isStopped || this.stepsLeft <= 0) return
    this.stepsLeft--
    const { session, prng, plan } = this
    if (session === null) {
      void this.openSession()
      return
    }
    this.parts.disturb()
    const actions = prng.chance(0.3) ? 1 + prng.below(5) : 1
    try {
      for (let done = 0; done < actions && this.session === session; done++) this.act(session)
    } catch (error) {
      // The session has ended, and the event that says so is on its way.
      if (!(error instanceof BrokerError) || error.code !== 'CONNECTION_FORCED') throw error
    }
    this.later(prng.chance(plan.idleChance) ? this.idleMs() : this.thinkMs())
  }

  /** Often about as long as the log waits before it proves its last frame. */
  private idleMs(): number {
    return this.prng.chance(0.5) ? 890 + this.prng.below(120) : 100 + this.prng.below(3000)
  }

  private thinkMs(): number {
    return this.prng.chance(0.3) ? 0 : this.prng.next() * this.plan.thinkMsMax
  }

  // ------------------------------------------------------------------------------------------------- sessions

  private async openSession(): Promise<void> {
    const number = ++this.sessionNumber
    this.isBlocked = false
    this.isThrottled = false
    const { driver } = this.parts
    const login = { credentials: null, virtualHost: '/', remoteAddress: '127.0.0.1', clientProperties: emptyTable }
    try {
      const session = await driver.openSession(login, this.sessionEvents(number))
      if (number !== this.sessionNumber) return
      this.session = session
      this.later(0)
    } catch {
      this.later(this.plan.thinkMsMax + 1)
    }
  }

  private sessionEvents(number: number): SessionEvents {
    const isCurrent = (): boolean => number === this.sessionNumber
    return {
      blocked: (reason) => {
        if (!isCurrent()) return
        this.isBlocked = true
        this.isBlockedByDisk = reason.includes('disk')
      },
      unblocked: () => {
        if (!isCurrent()) return
        this.isBlocked = false
        this.isBlockedByDisk = false
      },
      throttled: () => {
        if (isCurrent()) this.isThrottled = true
      },
      resumed: () => {
        if (isCurrent()) this.isThrottled = false
      },
      closed: () => {
        if (!isCurrent()) return
        // A session that ends while it is being opened has an opener who still waits.
        const isOpen = this.session !== null
        this.forgetSession()
        if (isOpen) this.later(this.plan.thinkMsMax + 1)
      },
    }
  }

  private forgetSession(): void {
    this.sessionNumber++
    this.session = null
    this.isBlockedByDisk = false
    for (const channel of this.channels) channel.isOver = true
    this.channels = []
  }

  private closeSession(session: Session): void {
    this.forgetSession()
    void session.close()
  }

  private openChannel(session: Session): ClientChannel {
    const { prng, parts, plan } = this
    const modes: ChannelMode[] = ['plain', 'confirm', 'confirm', 'confirm']
    if (plan.weights.transaction > 0) modes.push('tx', 'tx')
    const channel = new ClientChannel(
      `${this.name}.${++this.channelCount}`,
      pick(prng, modes),
      parts.ledger,
      parts.trace,
    )
    channel.begin(session.openChannel(channel))
    this.channels.push(channel)
    return channel
  }

  // ------------------------------------------------------------------------------------------------- actions

  private act(session: Session): void {
    const { prng } = this
    const open = this.channels.filter((channel) => !channel.isOver)
    if (this.channels.some((channel) => channel.mustCloseSession)) return this.closeSession(session)
    this.channels = open
    if (open.length === 0) {
      const channel = this.openChannel(session)
      if (!this.hasSetUp) this.setUp(channel)
      return
    }
    const channel = pick(prng, open)
    if (channel.awaitedReplies >= outstandingRepliesMax) return
    this.choose(session, channel)
  }

  /** What a client of this plan wants to be there; what there is already is declared again. */
  private setUp(channel: ClientChannel): void {
    this.hasSetUp = true
    for (const queue of this.plan.queues) if (this.prng.chance(0.8)) this.declareQueue(channel, queue)
    for (const exchange of this.plan.exchanges) {
      if (!this.prng.chance(0.8)) continue
      this.declareExchange(channel, exchange)
      for (let count = this.prng.below(3); count > 0; count--) this.bind(channel, exchange.name, exchange.kind)
    }
  }

  private choose(session: Session, channel: ClientChannel): void {
    const actions: Record<keyof Weights, () => void> = {
      publish: () => this.publish(channel),
      settle: () => this.settle(channel, false),
      requeue: () => this.settle(channel, true),
      get: () => channel.execute({ type: 'basic.get', queue: this.queueName(), noAck: this.prng.chance(0.3) }),
      consume: () => this.consume(channel),
      cancel: () => this.cancel(channel),
      topology: () => this.changeTopology(channel),
      purge: () => channel.execute({ type: 'queue.purge', queue: this.queueName() }),
      transaction: () => this.transaction(channel),
      commit: () => this.commit(channel),
      recover: () => channel.recover(),
      channel: () => this.changeChannels(session, channel),
      session: () => this.closeSession(session),
      flow: () => channel.pause(!channel.isPaused),
      mistake: () => this.mistake(channel),
    }
    const { weights } = this.plan
    const names = Object.keys(weights) as (keyof Weights)[]
    let ticket = this.prng.below(names.reduce((sum, name) => sum + weights[name], 0))
    for (const name of names) {
      ticket -= weights[name]
      if (ticket < 0) return actions[name]()
    }
  }

  private publish(channel: ClientChannel): void {
    if (this.isBlocked || this.isThrottled || channel.openPublishes.size > openPublishesMax) return
    const { prng } = this
    const count = prng.chance(0.2) ? 1 + prng.below(20) : 1
    const target = this.target()
    for (let made = 0; made < count; made++) {
      channel.publish(this.make(channel, prng.chance(0.5) ? target : this.target()), prng.chance(0.2))
    }
  }

  private make(channel: ClientChannel, target: { exchange: string; routingKey: string; headers: FieldTable }): Made {
    const { prng, plan, parts } = this
    const isHuge = prng.chance(plan.hugeChance)
    const bytes = isHuge ? prng.below(plan.storage.segmentBytesMax * 1.5) : prng.below(plan.bodyBytesMax + 1)
    const isPersistent = prng.chance(plan.persistentChance)
    return parts.ledger.make(
      prng,
      channel.name,
      target.exchange,
      target.routingKey,
      isPersistent,
      bytes,
      target.headers,
    )
  }

  private target(): { exchange: string; routingKey: string; headers: FieldTable } {
    const { prng, plan } = this
    const usable = plan.exchanges.filter((exchange) => !exchange.internal)
    if (usable.length === 0 || prng.chance(0.4)) {
      return { exchange: '', routingKey: this.queueName(), headers: this.copies(() => this.queueName()) }
    }
    const exchange = pick(prng, usable)
    const headers = exchange.kind === 'headers' ? this.headers() : emptyTable
    const makeKey = (): string => (exchange.kind === 'topic' ? this.topic() : pick(prng, words))
    const routingKey = makeKey()
    const copies = this.copies(makeKey)
    return {
      exchange: exchange.name,
      routingKey,
      headers: copies.size === 0 ? headers : new Map([...headers, ...copies]),
    }
  }

  /** Headers that ask for copies under keys made so. */
  private copies(makeKey: () => string): FieldTable {
    const { prng } = this
    const { copyChance } = this.plan.features
    if (copyChance === 0 || !prng.chance(copyChance)) return emptyTable
    return copyHeaders(
      prng,
      Array.from({ length: 1 + prng.below(3) }, () => makeKey()),
    )
  }

  private topic(): string {
    const count = 1 + this.prng.below(3)
    return Array.from({ length: count }, () => pick(this.prng, words)).join('.')
  }

  private headers(): FieldTable {
    const names = this.plan.features.hasWideHeaders ? [...words, 'x-a'] : words
    return new Map(names.filter(() => this.prng.chance(0.5)).map((name) => [name, stringField(pick(this.prng, words))]))
  }

  private queueName(): string {
    return pick(this.prng, this.plan.queues).name
  }

  private settle(channel: ClientChannel, isNegative: boolean): void {
    const { prng } = this
    if (channel.tags.length === 0) return
    const isMultiple = prng.chance(0.4)
    const tag = isMultiple && prng.chance(0.2) ? 0 : pick(prng, channel.tags)
    if (isNegative) channel.reject(tag, isMultiple, prng.chance(0.7))
    else channel.ack(tag, isMultiple)
  }

  private consume(channel: ClientChannel): void {
    const { prng } = this
    if (channel.consumers.size > 2) return
    if (prng.chance(0.6)) {
      channel.execute({
        type: 'basic.qos',
        prefetchSize: 0,
        prefetchCount: pick(prng, [0, 1, 3, 20]),
        global: prng.chance(0.2),
      })
    }
    const { consumerPriorities } = this.plan.features
    const isPlain = consumerPriorities.length === 1
    const queue = this.queueName()
    const noAck = prng.chance(this.plan.noAckChance)
    const isExclusive = prng.chance(0.03)
    channel.consume(queue, noAck, isExclusive, consumerArguments(isPlain ? 0 : pick(prng, consumerPriorities)))
  }

  private cancel(channel: ClientChannel): void {
    const tags = [...channel.consumers.keys()]
    if (tags.length > 0) channel.execute({ type: 'basic.cancel', consumerTag: pick(this.prng, tags) })
  }

  private transaction(channel: ClientChannel): void {
    if (channel.mode !== 'tx') return
    channel.execute({ type: this.prng.chance(0.85) ? 'tx.commit' : 'tx.rollback' })
  }

  /** Publishes and acks as one unit, as the typed client does when a handler returns. */
  private commit(channel: ClientChannel): void {
    const { prng, plan } = this
    if (this.isBlocked || this.isThrottled || (plan.transport === 'amqp') !== (channel.mode === 'tx')) return
    const acks = channel.tags.filter(() => prng.chance(0.5))
    const made = Array.from({ length: prng.below(4) }, () => this.make(channel, this.target()))
    channel.commit(acks, made)
  }

  private changeChannels(session: Session, channel: ClientChannel): void {
    if (this.channels.length < channelsMax && this.prng.chance(0.6)) this.openChannel(session)
    else channel.close()
  }

  private changeTopology(channel: ClientChannel): void {
    const { prng, plan } = this
    const queue = pick(prng, plan.queues)
    const exchange = plan.exchanges.length === 0 ? null : pick(prng, plan.exchanges)
    const choice = prng.below(10)
    if (choice < 3) this.declareQueue(channel, queue)
    else if (choice === 3) {
      const ifUnused = prng.chance(0.2)
      channel.execute({ type: 'queue.delete', queue: queue.name, ifUnused, ifEmpty: prng.chance(0.2) })
    } else if (choice === 4) this.declareOwnQueue(channel)
    else if (exchange === null) return
    else if (choice < 7) this.bind(channel, exchange.name, exchange.kind)
    else if (choice === 7) this.unbind(channel, exchange.name, exchange.kind)
    else if (choice === 8) this.declareExchange(channel, exchange)
    else channel.execute({ type: 'exchange.delete', exchange: exchange.name, ifUnused: prng.chance(0.3) })
  }

  private declareExchange(channel: ClientChannel, exchange: ExchangeFacts): void {
    const { name, kind, durable, autoDelete, internal } = exchange
    const command = { exchange: name, passive: false, kind, durable, autoDelete, internal }
    channel.execute({ type: 'exchange.declare', ...command, arguments: exchangeArguments(exchange) })
  }

  private declareQueue(channel: ClientChannel, queue: QueuePlan): void {
    const { name, durable, autoDelete } = queue
    const passive = this.prng.chance(0.05)
    const command = { queue: name, passive, durable, exclusive: false, autoDelete, arguments: queueArguments(queue) }
    channel.execute({ type: 'queue.declare', ...command })
  }

  /** One that ends with the session: its name is this client's, or made by the broker. */
  private declareOwnQueue(channel: ClientChannel): void {
    const queue = this.prng.chance(0.5) ? '' : `own-${this.name}`
    const durable = this.prng.chance(0.5)
    const command = { queue, passive: false, durable, exclusive: true, autoDelete: false, arguments: emptyTable }
    channel.execute({ type: 'queue.declare', ...command })
  }

  private bind(channel: ClientChannel, exchange: string, kind: string): void {
    channel.execute(this.bindCommand(exchange, kind, false))
  }

  private unbind(channel: ClientChannel, exchange: string, kind: string): void {
    channel.execute(this.bindCommand(exchange, kind, true))
  }

  private bindCommand(exchange: string, kind: string, isUnbind: boolean): Command {
    const { prng, plan } = this
    const routingKey = kind === 'topic' ? pick(prng, patterns) : pick(prng, words)
    const table = kind === 'headers' ? this.criteria() : new Map()
    if (plan.exchanges.length > 1 && prng.chance(plan.features.exchangeBindChance)) {
      const destination = pick(prng, plan.exchanges).name
      return {
        type: isUnbind ? 'exchange.unbind' : 'exchange.bind',
        destination,
        exchange,
        routingKey,
        arguments: table,
      }
    }
    const destination = this.queueName()
    return { type: isUnbind ? 'queue.unbind' : 'queue.bind', destination, exchange, routingKey, arguments: table }
  }

  private criteria(): FieldTable {
    const { prng, plan } = this
    const table = new Map(this.headers())
    const { hasWideHeaders } = plan.features
    const modes = hasWideHeaders ? ['all', 'any', 'all-with-x', 'any-with-x'] : ['all', 'any']
    if (prng.chance(0.7)) table.set('x-match', stringField(pick(prng, modes)))
    if (hasWideHeaders && prng.chance(0.3)) table.set(pick(prng, words), { tag: 'V', value: null })
    return table
  }

  /** Something that closes the channel, or more. */
  private mistake(channel: ClientChannel): void {
    const { prng, parts } = this
    const choice = prng.below(4)
    if (choice === 0) channel.ack(1_000_000, false)
    else if (choice === 1) channel.execute({ type: 'basic.get', queue: 'nowhere', noAck: true })
    else if (choice === 2) {
      channel.publish(parts.ledger.make(prng, channel.name, 'nowhere', 'a', true, 10), false)
    } else {
      const { name, durable, autoDelete } = pick(prng, this.plan.queues)
      const command = { queue: name, passive: false, exclusive: false, autoDelete, arguments: emptyTable }
      channel.execute({ type: 'queue.declare', durable: !durable, ...command })
    }
  }
}
