/**
 * The live listeners of a bus, by topics of one exchange. All share one exclusive queue, so that an event comes once however many listen:
 *
 *     amq.topic ──patterns──→ the bus's queue → arrived ──flush──→ read once → each listener whose pattern it matches
 *
 * Nothing is acknowledged: who lives and listens gets the event, who does not has missed it. Commands that bind go through the
 * bus's control channel, so that one that is refused takes no other listener down.
 */
import type { Channel, ChannelEvents } from '../model/channel.ts'
import type { Reply } from '../model/command.ts'
import { type BrokerError, LeveretError } from '../model/errors.ts'
import { emptyTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import { TopicPattern } from '../model/topic-pattern.ts'
import { decodeBody, parseJson } from './body.ts'
import type { BusParts, Closable } from './bus-parts.ts'
import { clientLimits } from './client-limits.ts'
import { isPlainJson } from './composer.ts'
import { asError } from './headers.ts'
import { Incoming, type IncomingMessage } from './incoming.ts'
import { keepAliveBy } from './keep-alive.ts'
import { Replies } from './replies.ts'
import { type StandardSchema, validate } from './standard-schema.ts'

/** What it returns counts for nothing; what it throws, or rejects with, the bus's `onError` hears. */
export type EventHandler<Data = unknown> = (event: IncomingMessage<Data>) => unknown

export interface Listener {
  readonly pattern: string
  readonly handler: EventHandler
  readonly schema: StandardSchema | undefined
  readonly isOnce: boolean
  /** It has ended, or was called the one time it wanted to be. */
  isOver: boolean
  /** Tells its owner that it was called the one time. */
  over: () => void
  /** Tells its owner that nothing will be heard any more, and why; null: the bus is closed. */
  readonly ended?: (error: Error | null) => void
}

/** What is bound once, for all who listen to it. */
interface Binding {
  readonly matcher: TopicPattern
  readonly listeners: Listener[]
  bound: Promise<unknown>
}

export class Listeners implements ChannelEvents, Closable {
  private readonly parts: BusParts
  private readonly exchange: string
  private readonly replies = new Replies()
  private readonly bindings: Map<string, Binding> = new Map()
  /** Who hears an event, by its name; forgotten whenever somebody comes or goes. */
  private readonly byName: Map<string, readonly Listener[]> = new Map()
  private channel: Channel | null = null
  private opening: Promise<string> | null = null
  private arrived: Message[] = []
  private restarts = 0
  private release: (() => void) | null = null
  private ended: Error | null = null

  /** What is heard is published to that exchange. */
  constructor(parts: BusParts, exchange: string) {
    this.parts = parts
    this.exchange = exchange
  }

  /** Resolves when events come. Rejects with what the broker says, such as ACCESS_REFUSED; it does not listen then. */
  async add(listener: Listener): Promise<void> {
    if (this.ended !== null) throw this.ended
    const { pattern } = listener
    this.release ??= keepAliveBy(this.parts.platform.clock)
    let binding = this.bindings.get(pattern)
    if (binding === undefined) {
      binding = { matcher: new TopicPattern(pattern.split('.')), listeners: [], bound: this.bind(pattern) }
      this.bindings.set(pattern, binding)
    }
    binding.listeners.push(listener)
    this.byName.clear()
    try {
      await binding.bound
    } catch (error) {
      this.drop(listener)
      // Its queue goes before whoever binds is told why.
      throw (this.ended as Error | null) ?? error
    }
  }

  /** Resolves when no event comes for it any more; it is not called from now on. */
  async remove(listener: Listener): Promise<void> {
    const { pattern } = listener
    const isLast = this.drop(listener)
    if (!isLast || this.ended !== null) return
    const queue = await this.opening?.catch(() => null)
    // Somebody may have come for the same meanwhile.
    if (queue === null || queue === undefined || this.bindings.has(pattern)) return
    const where = { exchange: this.exchange, routingKey: pattern, arguments: emptyTable }
    await this.parts.control.execute({ type: 'queue.unbind', destination: queue, ...where })
  }

  /** Whether anybody listens here. */
  get isEmpty(): boolean {
    return this.bindings.size === 0
  }

  close(): Promise<void> {
    this.finish(new LeveretError('E_CLOSED', 'the bus is closed'), null)
    return Promise.resolve()
  }

  end(error: Error): void {
    this.finish(error, error)
  }

  private finish(error: Error, lossReason: Error | null): void {
    if (this.ended !== null) return
    this.ended = error
    for (const { listeners } of this.bindings.values()) {
      for (const one of listeners) {
        one.isOver = true
        one.ended?.(lossReason)
      }
    }
    this.bindings.clear()
    this.byName.clear()
    this.arrived = []
    this.letGo()
    this.replies.failAll(error)
  }

  // What the channel tells.

  replied(id: number, reply: Reply): void {
    this.replies.replied(id, reply)
  }

  delivered(_consumerTag: string, _deliveryTag: number, _redelivered: boolean, message: Message): void {
    this.arrived.push(message)
  }

  flush(): void {
    if (this.arrived.length === 0) return
    const { arrived } = this
    this.arrived = []
    this.restarts = 0
    for (const message of arrived) this.dispatch(message)
  }

  failed(_id: number, error: BrokerError): void {
    this.lost(error)
  }

  cancelled(): void {
    this.lost(new LeveretError('E_CLOSED', 'somebody deleted the queue of live listeners'))
  }

  confirmed(): void {}

  returned(): void {}

  // Events.

  private dispatch(message: Message): void {
    const listeners = this.byName.get(message.routingKey) ?? this.find(message.routingKey)
    if (listeners.length === 0) return
    let event: Incoming
    try {
      event = this.read(message)
    } catch (error) {
      return this.parts.report(asError(error))
    }
    for (const listener of listeners) {
      if (listener.isOver) continue
      if (listener.isOnce) this.overBy(listener)
      this.tell(listener, event, message)
    }
  }

  private overBy(listener: Listener): void {
    listener.isOver = true
    listener.over()
  }

  private tell(listener: Listener, event: Incoming, message: Message): void {
    try {
      const { schema } = listener
      if (schema === undefined) return this.call(listener, event)
      const data = validate(schema, event.data, `the data of event '${event.name}'`)
      const withData = (value: unknown): void =>
        this.call(listener, new Incoming(message, false, value, event.properties))
      if (!(data instanceof Promise)) withData(data)
      else data.then(withData).catch((error: unknown) => this.parts.report(asError(error)))
    } catch (error) {
      this.parts.report(asError(error))
    }
  }

  private call({ handler }: Listener, event: Incoming): void {
    const returned = handler(event)
    if (returned instanceof Promise) returned.catch((error: unknown) => this.parts.report(asError(error)))
  }

  /** Throws E_BAD_DATA. */
  private read(message: Message): Incoming {
    const what = `event '${message.routingKey}'`
    if (isPlainJson(message)) return new Incoming(message, false, parseJson(message, what), null)
    const properties = message.decodeProperties()
    return new Incoming(message, false, decodeBody(message, properties, what), properties)
  }

  private find(name: string): readonly Listener[] {
    const words = name.split('.')
    const found: Listener[] = []
    for (const { matcher, listeners } of this.bindings.values()) if (matcher.matches(words)) found.push(...listeners)
    if (this.byName.size >= clientLimits.eventsRememberedMax) this.byName.clear()
    this.byName.set(name, found)
    return found
  }

  // The queue.

  private async bind(pattern: string): Promise<void> {
    this.opening ??= this.open()
    const queue = await this.opening
    const where = { exchange: this.exchange, routingKey: pattern, arguments: emptyTable }
    await this.parts.control.execute({ type: 'queue.bind', destination: queue, ...where })
  }

  /** Resolves with the queue's name. */
  private async open(): Promise<string> {
    const channel = this.parts.session.openChannel(this)
    this.channel = channel
    const flags = { passive: false, durable: false, exclusive: true, autoDelete: true, arguments: emptyTable }
    const declared = await this.replies.execute(channel, { type: 'queue.declare', queue: '', ...flags })
    const queue = declared.type === 'queue.declare-ok' ? declared.queue : ''
    const consume = { consumerTag: '', noAck: true, exclusive: true, arguments: emptyTable }
    await this.replies.execute(channel, { type: 'basic.consume', queue, ...consume })
    return queue
  }

  /** The queue is gone, and with it what was in it: listen again, and say so. */
  private lost(error: Error): void {
    this.channel?.close()
    this.channel = null
    this.opening = null
    this.replies.failAll(error)
    if (this.ended !== null || this.bindings.size === 0) return
    const text = `live listeners lost their queue and may have missed events: ${error.message}`
    this.parts.report(new LeveretError('E_CONNECTION_LOST', text, error))
    if (++this.restarts > clientLimits.restartsMax) return this.end(error)
    for (const [pattern, binding] of this.bindings) {
      binding.bound = this.bind(pattern)
      binding.bound.catch((failure: unknown) => this.parts.report(asError(failure)))
    }
  }

  /** Whether it was the last for its pattern. */
  private drop(listener: Listener): boolean {
    listener.isOver = true
    this.byName.clear()
    const binding = this.bindings.get(listener.pattern)
    const at = binding?.listeners.indexOf(listener) ?? -1
    if (binding === undefined || at < 0) return false
    binding.listeners.splice(at, 1)
    if (binding.listeners.length > 0) return false
    this.bindings.delete(listener.pattern)
    if (this.isEmpty) {
      this.release?.()
      this.release = null
    }
    return true
  }

  private letGo(): void {
    this.release?.()
    this.release = null
    this.channel?.close()
    this.channel = null
  }
}
