/**
 * Who listens to events: live listeners, and durable subscribers, each of which is a queue of its own.
 *
 *     on(pattern, handler)                       as long as it lives and listens (listeners.ts)
 *     on(pattern, handler, { durable: 'name' })  queue `leveret.subscriber.name`, bound to the pattern: it keeps what comes while
 *                                                nobody works on it, and workers of the same name share the work
 */
import type { Command } from '../model/command.ts'
import { LeveretError } from '../model/errors.ts'
import { emptyTable } from '../model/field-table.ts'
import { subscriberPatternArgument, subscriberPrefix } from '../model/subscribers.ts'
import type { BusParts } from './bus-parts.ts'
import { type EventContract, listenedContractOf, type QueueContract } from './contract.ts'
import type { Duration } from './duration.ts'
import { eventExchange } from './event-exchange.ts'
import { EventIterator, type EventIteratorOptions, type EventStream, eventStreamSettings } from './event-iterator.ts'
import type { IncomingMessage } from './incoming.ts'
import { type EventHandler, type Listener, Listeners } from './listeners.ts'
import { LiveEvents } from './live-events.ts'
import { checkFunction, checkName, checkOptionNames, isRecord } from './names.ts'
import type { Queue } from './queue.ts'
import type { KeyOptions, QueueOptions } from './queue-options.ts'
import type { RetryOptions } from './retry.ts'
import type { HandlerContext } from './task.ts'
import type { Handler, ProcessOptions, Worker } from './worker-options.ts'

export interface ListenOptions {
  /** Ends the listening. */
  readonly signal?: AbortSignal
}

/** Of a durable subscriber: what its queue is like, and how this process works on it. */
export interface SubscriberOptions extends ListenOptions, ProcessOptions {
  /**
   * The subscriber's name. Its events are kept while nobody listens, over restarts too, and each goes to one of all the processes
   * that listen under that name. The name stands for one pattern.
   */
  readonly durable: string
  readonly retry?: RetryOptions
  /** Default `leveret.subscriber.<name>.dead`. */
  readonly deadLetter?: string | false
  readonly maxLength?: number
  readonly maxBytes?: number
  readonly overflow?: 'reject' | 'drop-oldest'
  readonly ttl?: Duration
  /** The subscriber is forgotten, with its events, after so long without anybody listening. */
  readonly expires?: Duration
  readonly keys?: KeyOptions
}

/**
 * As a queue's handler: when it returns the event is acknowledged, what it throws is tried again. It may return
 * `context.retry()` or `context.deadLetter(reason)`; nobody waits for anything else.
 */
export type SubscriberHandler<Data = unknown> = (event: IncomingMessage<Data>, context: HandlerContext) => unknown

export interface Subscription extends AsyncDisposable {
  /** What it listens to, such as 'image.*'. */
  readonly pattern: string
  /** Listens no more. A durable subscriber keeps its events for the next one of that name. */
  close(): Promise<void>
}

export interface DurableSubscription<Input = unknown, Data = Input> extends Subscription {
  readonly name: string
  /** Its events, to look at, pause, redrive. */
  readonly queue: Queue<Input, void, Data>
  readonly worker: Worker
}

/** What subscriptions need of their bus. */
export interface SubscriptionsOwner {
  readonly parts: BusParts
  createQueue(contract: QueueContract, options: QueueOptions): Promise<Queue>
}

const queueOptionNames = ['retry', 'deadLetter', 'maxLength', 'maxBytes', 'overflow', 'ttl', 'expires', 'keys'] as const
const workOptionNames = ['concurrency', 'prefetch', 'rate', 'lease', 'onError'] as const
const subscriberOptionNames = ['durable', 'signal', ...queueOptionNames, ...workOptionNames] as const

interface Held {
  readonly handler: unknown
  readonly subscription: Subscription
}

export class Subscriptions {
  readonly listeners: Listeners
  private readonly owner: SubscriptionsOwner
  private readonly held: Set<Held> = new Set()

  constructor(owner: SubscriptionsOwner) {
    this.owner = owner
    this.listeners = new Listeners(owner.parts, eventExchange)
  }

  async on(
    event: string | EventContract,
    handler: EventHandler | SubscriberHandler,
    options: ListenOptions | SubscriberOptions,
    isOnce: boolean,
  ): Promise<Subscription> {
    const { name: pattern, input: schema } = listenedContractOf('bus.on', event)
    const where = `listening to '${pattern}'`
    checkFunction(where, 'the handler', handler)
    const isDurable = isForSubscriber(options)
    checkOptionNames(where, options, isDurable ? subscriberOptionNames : ['signal'])
    const { signal } = options
    signal?.throwIfAborted()
    if (isOnce && isDurable) {
      throw new LeveretError(
        'E_BAD_OPTION',
        `${where}: once is for live listeners: use bus.on and close it, or bus.events`,
      )
    }
    const subscription = isDurable
      ? await this.subscribe(where, event, handler as SubscriberHandler, options)
      : await this.listen(pattern, schema, handler as EventHandler, isOnce)
    if (signal !== undefined) closeOn(signal, subscription)
    return subscription
  }

  /** Resolves with how many of the handler's subscriptions to that were closed. */
  async off(event: string | EventContract, handler: unknown): Promise<number> {
    const { name: pattern } = listenedContractOf('bus.off', event)
    checkFunction(`bus.off('${pattern}')`, 'the handler', handler)
    const found = [...this.held].filter((one) => one.handler === handler && one.subscription.pattern === pattern)
    await Promise.all(found.map(({ subscription }) => subscription.close()))
    return found.length
  }

  events(event: string | EventContract, options: EventIteratorOptions): EventStream {
    const contract = listenedContractOf('bus.events', event)
    const settings = eventStreamSettings(`the events '${contract.name}'`, options)
    const { durable } = options
    if (durable === undefined) return new LiveEvents(this.owner.parts, this.listeners, contract, settings)
    checkName(`the events '${contract.name}'`, "a subscriber's name", durable)
    return new EventIterator(() => this.subscriber(event, durable, {}), settings)
  }

  /** Deletes the durable subscriber of that name with the events it keeps; resolves with how many waited. */
  async unsubscribe(name: string): Promise<number> {
    checkName('bus.unsubscribe', "a subscriber's name", name)
    const queue = subscriberPrefix + name
    const reply = await this.execute({ type: 'queue.delete', queue, ifUnused: false, ifEmpty: false })
    return reply.type === 'queue.delete-ok' ? reply.messageCount : 0
  }

  // Live.

  private async listen(
    pattern: string,
    schema: EventContract['input'],
    handler: EventHandler,
    isOnce: boolean,
  ): Promise<Subscription> {
    const listener: Listener = { pattern, handler, schema, isOnce, isOver: false, over: () => void close() }
    const close = (): Promise<void> => {
      this.held.delete(held)
      return this.listeners.remove(listener).catch(() => {})
    }
    const subscription = { pattern, close, [Symbol.asyncDispose]: close }
    const held: Held = { handler, subscription }
    // Before it is bound, so that `off` in the same breath finds it.
    this.held.add(held)
    try {
      await this.listeners.add(listener)
    } catch (error) {
      this.held.delete(held)
      throw error
    }
    return subscription
  }

  // Durable.

  private async subscribe(
    where: string,
    event: string | EventContract,
    handler: SubscriberHandler,
    options: SubscriberOptions,
  ): Promise<DurableSubscription> {
    checkName(where, "a subscriber's name", options.durable)
    const queue = await this.subscriber(event, options.durable, pick(options, queueOptionNames))
    const worker = queue.process(handler as unknown as Handler<unknown, unknown>, pick(options, workOptionNames))
    const close = async (): Promise<void> => {
      this.held.delete(held)
      await worker.close()
    }
    const subscription: DurableSubscription = {
      name: options.durable,
      pattern: typeof event === 'string' ? event : event.name,
      queue: queue as Queue<unknown, void>,
      worker,
      close,
      [Symbol.asyncDispose]: close,
    }
    const held: Held = { handler, subscription }
    this.held.add(held)
    try {
      await worker.ready()
    } catch (error) {
      this.held.delete(held)
      throw error
    }
    return subscription
  }

  private async subscriber(event: string | EventContract, name: string, options: QueueOptions): Promise<Queue> {
    const { name: pattern, input } = listenedContractOf('bus.on', event)
    const queueName = subscriberPrefix + name
    const contract = queueContract(queueName, input)
    try {
      const queue = await this.owner.createQueue(contract, {
        ...options,
        arguments: { [subscriberPatternArgument]: pattern },
      })
      await this.bind(queueName, pattern)
      return queue
    } catch (error) {
      if (!(error instanceof LeveretError) || error.code !== 'E_QUEUE_DIFFERS') throw error
      const text =
        `the durable subscriber '${name}' is there, and listens to something else or in another way: ${error.message}. ` +
        `Take another name, or bus.unsubscribe('${name}') first, which drops the events it keeps`
      throw new LeveretError('E_QUEUE_DIFFERS', text, error)
    }
  }

  private async bind(queue: string, pattern: string): Promise<void> {
    const where = { exchange: eventExchange, routingKey: pattern, arguments: emptyTable }
    await this.execute({ type: 'queue.bind', destination: queue, ...where })
  }

  private execute(command: Command): ReturnType<BusParts['control']['execute']> {
    return this.owner.parts.control.execute(command)
  }
}

function isForSubscriber(options: ListenOptions | SubscriberOptions): options is SubscriberOptions {
  return isRecord(options) && options['durable'] !== undefined
}

function queueContract(name: string, input: EventContract['input']): QueueContract {
  return { kind: 'queue', name, input, result: undefined }
}

function pick<Options extends object, Name extends keyof Options>(
  options: Options,
  names: readonly Name[],
): Pick<Options, Name> {
  const picked: Partial<Options> = {}
  for (const name of names) if (options[name] !== undefined) picked[name] = options[name]
  return picked as Pick<Options, Name>
}

function closeOn(signal: AbortSignal, subscription: Subscription): void {
  const close = (): void => void subscription.close().catch(() => {})
  if (signal.aborted) close()
  else signal.addEventListener('abort', close, { once: true })
}
