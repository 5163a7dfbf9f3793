/**
 * A broker in a test's hand: time moves when the test says so, a turn ends when the test says so, and everything a
 * channel is told is a line of text. Nothing here waits: after `settle()` all that can happen has happened.
 *
 *     const core = await openCore()
 *     const channel = await core.channel()
 *     channel.declareQueue('q')
 *     channel.publish('', 'q', 'hello')
 *     expect(channel.takeLines()).toEqual(['1 queue.declare-ok q 0 0'])
 */
import { Broker } from '../broker/broker.ts'
import { assert } from '../lib/assert.ts'
import { Heap } from '../lib/heap.ts'
import type { Channel, ChannelEvents, Credentials, Login, Session, SessionEvents } from '../model/channel.ts'
import type { Command, Reply } from '../model/command.ts'
import type { LoadCronEngine } from '../model/cron.ts'
import type { BrokerError } from '../model/errors.ts'
import { emptyTable, type FieldTable, type PlainValue, toTable } from '../model/field-table.ts'
import { Message } from '../model/message.ts'
import type { LoadPatternEngine } from '../model/patterns.ts'
import { encodeProperties, type Properties } from '../model/properties.ts'
import type { Clock } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import { MemoryStore } from '../store/memory-store.ts'
import type { Store } from '../store/store.ts'
import { SimCrypto } from './sim-crypto.ts'
import { SimRandom } from './sim-random.ts'

interface Timer {
  readonly atMs: number
  readonly order: number
  callback: (() => void) | null
}

/** A clock that stands still: `settle` ends turns, `advance` lets time go by. Both are done when they return. */
export class ManualClock implements Clock {
  private nowMs = 0
  private order = 0
  private deferred: (() => void)[] = []
  private readonly timers = new Heap<Timer>(
    (left, right) => left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order),
  )

  monotonicMs(): number {
    return this.nowMs
  }

  realtimeMs(): number {
    return this.nowMs
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { atMs: this.nowMs + delayMs, order: this.order++, callback }
    this.timers.push(timer)
    return () => {
      timer.callback = null
    }
  }

  defer(callback: () => void): void {
    this.deferred.push(callback)
  }

  /** Ends one turn: runs what was deferred up to now. */
  endTurn(): void {
    const { deferred } = this
    this.deferred = []
    for (const callback of deferred) callback()
  }

  /** Ends turns until nothing is deferred any more. */
  settle(): void {
    for (let turns = 0; this.deferred.length > 0; turns++) {
      assert(turns < 100_000, 'the broker comes to rest')
      this.endTurn()
    }
  }

  advance(ms: number): void {
    const untilMs = this.nowMs + ms
    this.settle()
    for (let timer = this.timers.peek(); timer !== undefined && timer.atMs <= untilMs; timer = this.timers.peek()) {
      this.timers.pop()
      this.nowMs = Math.max(this.nowMs, timer.atMs)
      timer.callback?.()
      this.settle()
    }
    this.nowMs = untilMs
  }
}

/** A platform whose only working parts are a clock and seeded randomness: all that the core needs without a log. */
export function corePlatform(clock: Clock, seed = 1): Platform {
  const nothing = new Proxy({}, { get: (_target, name) => assert(false, `the core does not touch ${String(name)}`) })
  return {
    clock,
    random: new SimRandom(seed),
    crypto: new SimCrypto(clock),
    disk: nothing,
    network: nothing,
    host: nothing,
  } as unknown as Platform
}

export interface PublishOptions {
  readonly persistent?: boolean
  readonly mandatory?: boolean
  readonly headers?: Readonly<Record<string, PlainValue>>
  readonly properties?: Properties
}

export interface QueueOptions {
  readonly passive?: boolean
  readonly durable?: boolean
  readonly exclusive?: boolean
  readonly autoDelete?: boolean
  readonly arguments?: Readonly<Record<string, PlainValue>>
}

export interface ExchangeOptions {
  readonly passive?: boolean
  readonly durable?: boolean
  readonly autoDelete?: boolean
  readonly internal?: boolean
  readonly arguments?: Readonly<Record<string, PlainValue>>
}

export interface ConsumeOptions {
  readonly tag?: string
  readonly noAck?: boolean
  readonly exclusive?: boolean
  readonly arguments?: Readonly<Record<string, PlainValue>>
}

export function makeMessage(exchange: string, routingKey: string, body: string, options: PublishOptions = {}): Message {
  const properties: Properties = { ...options.properties }
  if (options.persistent === true) properties.deliveryMode = 2
  if (options.headers !== undefined) properties.headers = toTable(options.headers)
  return Message.of(exchange, routingKey, encodeProperties(properties), Buffer.from(body))
}

export interface Delivery {
  readonly consumerTag: string
  readonly tag: number
  readonly redelivered: boolean
  readonly body: string
  readonly message: Message
}

/** Whoever can bring the broker to rest. Where the disk takes time, that is nobody: then `give`, wait and look. */
export interface Settling {
  settle(): void
}

/** A channel and everything it was told. Commands settle the broker before they return, unless they say otherwise. */
export class CoreChannel implements ChannelEvents {
  readonly port: Channel
  /** What was said, one line each, in order; see `takeLines`. */
  lines: string[] = []
  deliveries: Delivery[] = []
  replies: Map<number, Reply> = new Map()
  error: BrokerError | null = null
  flushes = 0
  /** Called inside `delivered`, as a handler of an embedded consumer is. */
  onDelivered: ((delivery: Delivery) => void) | null = null
  private readonly core: Settling
  private readonly session: Session
  private lastId = 0

  constructor(core: Settling, session: Session) {
    this.core = core
    this.session = session
    this.port = session.openChannel(this)
  }

  /** Another channel of the same session. */
  sibling(): CoreChannel {
    return new CoreChannel(this.core, this.session)
  }

  // What the broker says.

  replied(id: number, reply: Reply): void {
    this.replies.set(id, reply)
    this.lines.push(`${id} ${replyText(reply)}`)
  }

  delivered(consumerTag: string, tag: number, redelivered: boolean, message: Message): void {
    const delivery = { consumerTag, tag, redelivered, body: message.body.toString(), message }
    this.deliveries.push(delivery)
    this.lines.push(`deliver ${consumerTag} ${tag} ${delivery.body}${redelivered ? ' redelivered' : ''}`)
    this.onDelivered?.(delivery)
  }

  confirmed(sequence: number, multiple: boolean, accepted: boolean): void {
    this.lines.push(`${accepted ? 'confirm' : 'refuse'} ${multiple ? 'up to ' : ''}${sequence}`)
  }

  returned(message: Message, reason: string): void {
    this.lines.push(`return ${reason} ${message.body.toString()}`)
  }

  cancelled(consumerTag: string): void {
    this.lines.push(`cancel ${consumerTag}`)
  }

  failed(id: number, error: BrokerError): void {
    this.error = error
    this.lines.push(`${id} failed: ${error.message}`)
  }

  flush(): void {
    this.flushes++
  }

  // What the test does.

  /** The lines since the last call. */
  takeLines(): string[] {
    const { lines } = this
    this.lines = []
    return lines
  }

  /** The bodies delivered since the last call. */
  takeBodies(): string[] {
    const bodies = this.deliveries.map((delivery) => delivery.body)
    this.deliveries = []
    this.lines = this.lines.filter((line) => !line.startsWith('deliver '))
    return bodies
  }

  /** Gives the command and returns its id; the turn does not end. */
  give(command: Command): number {
    this.port.execute(++this.lastId, command)
    return this.lastId
  }

  /** Gives the command, settles, and returns the reply; throws what the channel failed with. */
  ask(command: Command): Reply {
    const id = this.give(command)
    this.core.settle()
    if (this.error !== null) throw this.error
    const reply = this.replies.get(id)
    assert(reply !== undefined, `the command ${command.type} was answered`)
    return reply
  }

  /** The text the command is refused with; an empty one if it is not. */
  refusal(command: Command): string {
    this.give(command)
    this.core.settle()
    return this.error?.message ?? ''
  }

  declareQueue(queue: string, options: QueueOptions = {}): Reply {
    return this.ask(declareQueue(queue, options))
  }

  declareExchange(exchange: string, kind: string, options: ExchangeOptions = {}): Reply {
    return this.ask(declareExchange(exchange, kind, options))
  }

  bind(queue: string, exchange: string, routingKey = '', table: Readonly<Record<string, PlainValue>> = {}): Reply {
    return this.ask(bindCommand('queue.bind', queue, exchange, routingKey, table))
  }

  unbind(queue: string, exchange: string, routingKey = '', table: Readonly<Record<string, PlainValue>> = {}): Reply {
    return this.ask(bindCommand('queue.unbind', queue, exchange, routingKey, table))
  }

  /** From `source` to the exchange `destination`. */
  bindExchange(destination: string, source: string, routingKey = ''): Reply {
    return this.ask(bindCommand('exchange.bind', destination, source, routingKey, {}))
  }

  unbindExchange(destination: string, source: string, routingKey = ''): Reply {
    return this.ask(bindCommand('exchange.unbind', destination, source, routingKey, {}))
  }

  deleteQueue(queue: string, ifUnused = false, ifEmpty = false): Reply {
    return this.ask({ type: 'queue.delete', queue, ifUnused, ifEmpty })
  }

  deleteExchange(exchange: string, ifUnused = false): Reply {
    return this.ask({ type: 'exchange.delete', exchange, ifUnused })
  }

  qos(prefetchCount: number, global = false): Reply {
    return this.ask({ type: 'basic.qos', prefetchSize: 0, prefetchCount, global })
  }

  consume(queue: string, options: ConsumeOptions = {}): Reply {
    return this.ask(consume(queue, options))
  }

  cancel(consumerTag: string): Reply {
    return this.ask({ type: 'basic.cancel', consumerTag })
  }

  get(queue: string, noAck = false): Reply {
    return this.ask({ type: 'basic.get', queue, noAck })
  }

  /** The body that basic.get finds, with `!` behind it if redelivered; null if the queue is empty. It stays unacked. */
  getBody(queue: string): string | null {
    const reply = this.get(queue)
    if (reply.type !== 'basic.get-ok') return null
    return reply.message.body.toString() + (reply.redelivered ? '!' : '')
  }

  /** Every body that is ready, with `!` behind the redelivered; the queue is empty then. */
  drain(queue: string): string[] {
    const bodies: string[] = []
    for (;;) {
      const reply = this.get(queue, true)
      if (reply.type !== 'basic.get-ok') return bodies
      bodies.push(reply.message.body.toString() + (reply.redelivered ? '!' : ''))
    }
  }

  /** Publishes and returns the sequence; the turn does not end. */
  post(exchange: string, routingKey: string, body: string, options: PublishOptions = {}): number {
    return this.port.publish(makeMessage(exchange, routingKey, body, options), options.mandatory ?? false)
  }

  publish(exchange: string, routingKey: string, body: string, options: PublishOptions = {}): number {
    const sequence = this.post(exchange, routingKey, body, options)
    this.core.settle()
    return sequence
  }

  ack(tag: number, multiple = false): void {
    this.port.ack(tag, multiple)
    this.core.settle()
  }

  reject(tag: number, requeue: boolean, multiple = false): void {
    this.port.reject(tag, multiple, requeue)
    this.core.settle()
  }

  commit(acks: readonly number[], publishes: readonly Message[]): number {
    this.port.commit(++this.lastId, acks, publishes)
    this.core.settle()
    return this.lastId
  }

  close(): void {
    this.port.close()
    this.core.settle()
  }

  /** Ready, unacked and consumers of a queue, as `leveret.queues` tells it; null if it is not there. */
  counts(queue: string): { ready: number; unacked: number; consumers: number } | null {
    const reply = this.ask({ type: 'leveret.queues' })
    assert(reply.type === 'leveret.queues-ok', 'queues are told')
    const info = reply.queues.find(({ name }) => name === queue)
    return info === undefined ? null : { ready: info.ready, unacked: info.unacked, consumers: info.consumers }
  }

  has(queue: string): boolean {
    return this.counts(queue) !== null
  }
}

/** A session and what it was told. */
export class CoreSession implements SessionEvents {
  readonly lines: string[] = []
  port!: Session
  private readonly core: Settling

  constructor(core: Settling) {
    this.core = core
  }

  channel(): CoreChannel {
    return new CoreChannel(this.core, this.port)
  }

  blocked(reason: string): void {
    this.lines.push(`blocked ${reason}`)
  }

  unblocked(): void {
    this.lines.push('unblocked')
  }

  throttled(): void {
    this.lines.push('throttled')
  }

  resumed(): void {
    this.lines.push('resumed')
  }

  closed(error: BrokerError): void {
    this.lines.push(`closed: ${error.message}`)
  }

  async close(): Promise<void> {
    await this.port.close()
    this.core.settle()
  }
}

export const hostLogin: Login = {
  credentials: null,
  virtualHost: '/',
  remoteAddress: '',
  clientProperties: emptyTable,
}

export class Core {
  readonly broker: Broker
  readonly clock: ManualClock

  constructor(broker: Broker, clock: ManualClock) {
    this.broker = broker
    this.clock = clock
  }

  settle(): void {
    this.clock.settle()
  }

  /** Of the host process, or of a peer on this machine with these credentials. */
  async session(credentials: Credentials | null = null, virtualHost = '/'): Promise<CoreSession> {
    const session = new CoreSession(this)
    const remoteAddress = credentials === null ? '' : '127.0.0.1'
    session.port = await this.broker.openSession({ ...hostLogin, credentials, remoteAddress, virtualHost }, session)
    return session
  }

  /** A channel on a session of its own. */
  async channel(): Promise<CoreChannel> {
    const session = await this.session()
    return session.channel()
  }

  /** A channel of a user whom somebody vouches for. */
  async channelOf(user: string, virtualHost = '/'): Promise<CoreChannel> {
    const session = await this.session({ user, password: null }, virtualHost)
    return session.channel()
  }
}

export interface CoreOptions {
  readonly store?: Store
  readonly clock?: ManualClock
  readonly memoryBytesMax?: number
  readonly loadPatternEngine?: LoadPatternEngine
  readonly loadCronEngine?: LoadCronEngine
}

export async function openCore(options: CoreOptions = {}): Promise<Core> {
  const clock = options.clock ?? new ManualClock()
  const broker = await Broker.open(corePlatform(clock), options.store ?? new MemoryStore(), {
    memoryBytesMax: options.memoryBytesMax ?? 1_000_000_000,
    ...(options.loadPatternEngine === undefined ? {} : { loadPatternEngine: options.loadPatternEngine }),
    ...(options.loadCronEngine === undefined ? {} : { loadCronEngine: options.loadCronEngine }),
  })
  return new Core(broker, clock)
}

export function declareQueue(queue: string, options: QueueOptions = {}): Command {
  return {
    type: 'queue.declare',
    queue,
    passive: options.passive ?? false,
    durable: options.durable ?? false,
    exclusive: options.exclusive ?? false,
    autoDelete: options.autoDelete ?? false,
    arguments: table(options.arguments),
  }
}

export function declareExchange(exchange: string, kind: string, options: ExchangeOptions = {}): Command {
  return {
    type: 'exchange.declare',
    exchange,
    kind,
    passive: options.passive ?? false,
    durable: options.durable ?? false,
    autoDelete: options.autoDelete ?? false,
    internal: options.internal ?? false,
    arguments: table(options.arguments),
  }
}

export function bindCommand(
  type: 'queue.bind' | 'queue.unbind' | 'exchange.bind' | 'exchange.unbind',
  destination: string,
  exchange: string,
  routingKey: string,
  values: Readonly<Record<string, PlainValue>> = {},
): Command {
  return { type, destination, exchange, routingKey, arguments: toTable(values) } as Command
}

export function consume(queue: string, options: ConsumeOptions = {}): Command {
  return {
    type: 'basic.consume',
    queue,
    consumerTag: options.tag ?? '',
    noAck: options.noAck ?? false,
    exclusive: options.exclusive ?? false,
    arguments: table(options.arguments),
  }
}

function table(values: Readonly<Record<string, PlainValue>> | undefined): FieldTable {
  return values === undefined ? emptyTable : toTable(values)
}

function replyText(reply: Reply): string {
  switch (reply.type) {
    case 'queue.declare-ok':
      return `${reply.type} ${reply.queue} ${reply.messageCount} ${reply.consumerCount}`
    case 'queue.purge-ok':
    case 'queue.delete-ok':
      return `${reply.type} ${reply.messageCount}`
    case 'basic.consume-ok':
    case 'basic.cancel-ok':
      return `${reply.type} ${reply.consumerTag}`
    case 'basic.get-ok': {
      const body = reply.message.body.toString()
      return `${reply.type} ${reply.deliveryTag} ${body}${reply.redelivered ? ' redelivered' : ''} ${reply.messageCount}`
    }
    default:
      return reply.type
  }
}
