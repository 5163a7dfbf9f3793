/**
 * The explicit form of receiving: an async iterator of messages that the caller settles one by one.
 *
 * It consumes on a plain channel of its own. An acknowledgement is handed to the broker and not waited for, as everywhere
 * in AMQP: what is lost with a crash right behind it comes once more, flagged as redelivered.
 */
import { Deque } from '../lib/deque.ts'
import type { Channel, ChannelEvents } from '../model/channel.ts'
import type { Reply } from '../model/command.ts'
import { type BrokerError, LeveretError } from '../model/errors.ts'
import { emptyTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import type { Properties } from '../model/properties.ts'
import { copyOfBody, decodeBody, encodeBody, parseJson } from './body.ts'
import type { BusParts, Closable } from './bus-parts.ts'
import { clientLimits } from './client-limits.ts'
import { isPlainJson } from './composer.ts'
import type { QueueContract } from './contract.ts'
import { deadLetter, deliveredAnswer, failureAnswer, resultAnswer, wantsAnswer } from './copies.ts'
import { makeDeadLetterQueue } from './declare-queue.ts'
import { headerNames, integerHeader } from './headers.ts'
import { Incoming, Received, type ReceivedMessage, type Settler } from './incoming.ts'
import { checkInteger, checkOptionNames } from './names.ts'
import type { QueueSettings } from './queue-options.ts'
import { Replies } from './replies.ts'
import { type StandardSchema, validate } from './standard-schema.ts'

export interface ReceiveOptions {
  /** Messages handed over and not settled. Default 100. */
  readonly prefetch?: number
  /** Ends the iteration; what is not settled goes back to the queue. */
  readonly signal?: AbortSignal
  /** `data` is the body's bytes, whatever their content type, and no schema is asked. */
  readonly raw?: boolean
}

interface Arrived {
  readonly tag: number
  readonly redelivered: boolean
  readonly message: Message
}

interface Next {
  readonly resolve: (result: IteratorResult<ReceivedMessage, undefined>) => void
  readonly reject: (error: Error) => void
}

export class QueueReceiver
  implements AsyncIterableIterator<ReceivedMessage, undefined>, ChannelEvents, Closable, Settler
{
  private readonly parts: BusParts
  private readonly queueName: string
  private readonly contract: QueueContract
  private readonly settings: QueueSettings
  private readonly prefetch: number
  private readonly signal: AbortSignal | undefined
  private readonly isRaw: boolean
  private readonly forget: (receiver: QueueReceiver) => void
  private readonly what: string
  private readonly replies = new Replies()
  private readonly arrived = new Deque<Arrived>()
  private readonly waiting = new Deque<Next>()
  /** What is handed out and not settled, for a reject has to copy it. */
  private readonly open: Map<number, Message> = new Map()
  private channel: Channel | null = null
  private started = false
  private ended = false
  private failure: Error | null = null

  constructor(
    parts: BusParts,
    contract: QueueContract,
    settings: QueueSettings,
    options: ReceiveOptions,
    forget: (receiver: QueueReceiver) => void,
  ) {
    const where = `queue '${contract.name}': receive`
    checkOptionNames(where, options, ['prefetch', 'signal', 'raw'])
    const { prefetch = clientLimits.prefetchDefault } = options
    this.prefetch = checkInteger(where, 'prefetch', prefetch, 1, clientLimits.prefetchMax)
    this.parts = parts
    this.queueName = contract.name
    this.contract = contract
    this.settings = settings
    this.signal = options.signal
    this.isRaw = options.raw ?? false
    this.forget = forget
    this.what = `queue '${contract.name}'`
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** The next message; it begins to consume with the first call. */
  next(): Promise<IteratorResult<ReceivedMessage, undefined>> {
    if (!this.started) this.startOrFail()
    const arrived = this.arrived.shift()
    if (arrived !== undefined) return this.handOut(arrived)
    if (this.failure !== null) return Promise.reject(this.failure)
    if (this.ended) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }))
  }

  /** Ends the iteration, as `break` does. */
  async return(): Promise<IteratorResult<ReceivedMessage, undefined>> {
    this.finish(null)
    return { done: true, value: undefined }
  }

  async close(): Promise<void> {
    this.finish(null)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.finish(null)
  }

  end(error: Error): void {
    this.finish(error)
  }

  // What a received message asks for.

  async ack(tag: number, properties: Properties | null, result: unknown): Promise<void> {
    this.take(tag)
    if (properties !== null && wantsAnswer(properties, 'processed')) {
      // The answer first: lost in between, the message comes again and is answered again, which is better than never.
      await this.publish(
        resultAnswer(properties, this.queueName, encodeBody(result, undefined, `the result for ${this.what}`)),
        false,
      )
    }
    this.channel?.ack(tag, false)
  }

  async nack(tag: number): Promise<void> {
    this.take(tag)
    this.channel?.reject(tag, false, true)
  }

  async reject(tag: number, reason: string): Promise<void> {
    const message = this.take(tag)
    const properties = message.decodeProperties()
    const { deadLetter: target, durable } = this.settings
    const attempt = integerHeader(properties.headers, headerNames.attempt) ?? 1
    if (target !== null) {
      const failure = { text: reason, attempt, realtimeMs: this.parts.platform.clock.realtimeMs() }
      await makeDeadLetterQueue(this.parts.control, target, durable)
      await this.publish(deadLetter(message, properties, this.queueName, target, failure), true)
    }
    if (wantsAnswer(properties, 'processed')) {
      await this.publish(
        failureAnswer(properties, this.queueName, target === null ? 'failed' : 'dead-lettered', reason),
        false,
      )
    }
    // Copied, it is done with here; else the broker's own dead-lettering has its turn.
    if (target !== null) this.channel?.ack(tag, false)
    else this.channel?.reject(tag, false, false)
  }

  // What the channel tells.

  replied(id: number, reply: Reply): void {
    this.replies.replied(id, reply)
  }

  delivered(_consumerTag: string, tag: number, redelivered: boolean, message: Message): void {
    this.arrived.push({ tag, redelivered, message })
  }

  flush(): void {
    while (this.waiting.length > 0) {
      const arrived = this.arrived.shift()
      if (arrived === undefined) return
      const next = this.waiting.shift() as Next
      this.handOut(arrived).then(next.resolve, next.reject)
    }
  }

  cancelled(): void {
    this.finish(new LeveretError('E_CLOSED', `${this.what} was deleted`))
  }

  failed(_id: number, error: BrokerError): void {
    this.finish(error)
  }

  confirmed(): void {}

  returned(): void {}

  // Inside.

  private startOrFail(): void {
    this.started = true
    try {
      this.start()
    } catch (error) {
      this.finish(error as Error)
    }
  }

  private start(): void {
    if (this.ended) return
    const { signal } = this
    if (signal?.aborted === true) return this.finish(null)
    signal?.addEventListener('abort', this.abort)
    const channel = this.parts.session.openChannel(this)
    this.channel = channel
    const qos = { type: 'basic.qos', prefetchSize: 0, prefetchCount: this.prefetch, global: false } as const
    const consume = { type: 'basic.consume', consumerTag: '', noAck: false, exclusive: false } as const
    const begun = [
      this.replies.execute(channel, qos),
      this.replies.execute(channel, { ...consume, queue: this.queueName, arguments: emptyTable }),
    ]
    // A refusal closes the channel, which `failed` tells.
    for (const one of begun) one.catch(() => {})
  }

  private readonly abort = (): void => this.finish(null)

  /** Bad JSON goes to the dead-letter queue, and the next message takes its place. */
  private async handOut(arrived: Arrived): Promise<IteratorResult<ReceivedMessage, undefined>> {
    const { tag, redelivered, message } = arrived
    if (this.ended) return { done: true, value: undefined }
    this.open.set(tag, message)
    try {
      const properties = isPlainJson(message) ? null : message.decodeProperties()
      const data = this.isRaw ? copyOfBody(message) : await this.read(message, properties)
      if (properties !== null && wantsAnswer(properties, 'delivered')) {
        this.publish(deliveredAnswer(properties, this.queueName), false).catch(() => {})
      }
      const incoming = new Incoming(message, redelivered, data, properties)
      return { done: false, value: new Received(incoming, properties, this, tag) }
    } catch (error) {
      this.parts.report(error as Error)
      await this.reject(tag, (error as Error).message)
      return this.next()
    }
  }

  /** Throws or rejects with E_BAD_DATA. */
  private read(message: Message, properties: Properties | null): unknown {
    const what = `a message of ${this.what}`
    const value = properties === null ? parseJson(message, what) : decodeBody(message, properties, what)
    const schema = this.contract.input as StandardSchema | undefined
    return schema === undefined ? value : validate(schema, value, `the data of ${what}`)
  }

  private take(tag: number): Message {
    const message = this.open.get(tag)
    if (message !== undefined && !this.ended) {
      this.open.delete(tag)
      return message
    }
    if (this.failure !== null) throw this.failure
    const why = this.ended ? 'the iteration has ended, and it went back to the queue' : 'it was settled before'
    throw new LeveretError('E_CLOSED', `${this.what}: the message cannot be settled: ${why}`)
  }

  private publish(message: Message, mandatory: boolean): Promise<void> {
    const { what } = this
    const id = message.decodeProperties().messageId ?? ''
    return new Promise((resolve, reject) => {
      const pending = { what, id, bytes: message.contentBytes, unroutable: false, stored: resolve, refused: reject }
      this.parts.sender.publish(message, mandatory, pending)
    })
  }

  private finish(error: Error | null): void {
    if (this.ended) return
    this.ended = true
    this.failure = error
    this.signal?.removeEventListener('abort', this.abort)
    this.arrived.clear()
    this.open.clear()
    this.replies.failAll(error ?? new LeveretError('E_CLOSED', `receiving from ${this.what} has ended`))
    this.channel?.close()
    this.forget(this)
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
      if (error === null) next.resolve({ done: true, value: undefined })
      else next.reject(error)
    }
  }
}
