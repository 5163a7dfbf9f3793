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
import { copyOfBody, decodeBody, encodeWithin, parseJson } from './body.ts'
import type { BusParts, Closable } from './bus-parts.ts'
import { clientLimits } from './client-limits.ts'
import { isPlainJson } from './composer.ts'
import type { QueueContract } from './contract.ts'
import {
  answersItself,
  deadLetter,
  deliveredAnswer,
  failureAnswer,
  postponeRequest,
  resultAnswer,
  retryRequest,
  wantsAnswer,
} from './copies.ts'
import { ensureQueue } from './declare-queue.ts'
import type { Duration } from './duration.ts'
import { errorText, headerNames, integerHeader } from './headers.ts'
import { Incoming, Received, type ReceivedMessage, type Settler } from './incoming.ts'
import { keepAliveBy } from './keep-alive.ts'
import { checkInteger, checkOptionNames, checkText } from './names.ts'
import { ProgressTeller } from './progress.ts'
import type { QueueSettings } from './queue-options.ts'
import { Replies } from './replies.ts'
import { pauseMs } from './retry.ts'
import { SchemaFailure, type StandardSchema, validate } from './standard-schema.ts'
import { leaseOf } from './worker-options.ts'

export interface ReceiveOptions {
  /** Messages handed over and not settled. Default 100. */
  readonly prefetch?: number
  /** Ends the iteration; what is not settled goes back to the queue. */
  readonly signal?: AbortSignal
  /** `data` is the body's bytes, whatever their content type, and no schema is asked. */
  readonly raw?: boolean
  /**
   * How long a message may be held without `extend()`. Then its signal is aborted with E_LEASE_LOST, and it goes back to the
   * queue for somebody else. Default: as long as it takes.
   */
  readonly lease?: Duration
}

interface Held {
  readonly message: Message
  cancelLease: (() => void) | null
  controller: AbortController | null
  progressTeller: ProgressTeller | null
}

/** Something that is stored with an acknowledgement. */
interface Publish {
  readonly message: Message
  readonly mandatory: boolean
}

interface Arrived {
  readonly tag: number
  readonly redelivered: boolean
  readonly message: Message
}

interface Next {
  /** Lets the process go, for all that this waits for. */
  readonly release: () => void
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
  /** What is handed out and not settled. */
  private readonly open: Map<number, Held> = new Map()
  /** Those whose lease is over. */
  private readonly lost: Set<number> = new Set()
  /** Null: a message is held as long as it takes. */
  private readonly leaseMs: number | null
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
    checkOptionNames(where, options, ['prefetch', 'signal', 'raw', 'lease'])
    const { prefetch = clientLimits.prefetchDefault } = options
    this.prefetch = checkInteger(where, 'prefetch', prefetch, 1, clientLimits.prefetchMax)
    this.parts = parts
    this.queueName = contract.name
    this.contract = contract
    this.settings = settings
    this.signal = options.signal
    this.isRaw = options.raw ?? false
    this.leaseMs = options.lease === undefined ? null : leaseOf(where, options.lease)
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
    const release = keepAliveBy(this.parts.platform.clock)
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject, release }))
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
    if (properties === null || !wantsAnswer(properties, 'processed')) {
      this.take(tag)
      this.channel?.ack(tag, false)
      return
    }
    const body = encodeWithin(result, this.parts.messageBytesMax, `the result for ${this.what}`)
    this.take(tag)
    await this.settleWith(tag, [{ message: resultAnswer(properties, this.queueName, body), mandatory: false }])
  }

  async nack(tag: number, afterMs: number): Promise<void> {
    if (afterMs > 0 && !this.parts.isLeveret) {
      const text = `${this.what}: this broker is no Leveret and hides nothing: nack without 'after', or wait before you do`
      throw new LeveretError('E_UNSUPPORTED', text)
    }
    const { message } = this.take(tag)
    if (afterMs === 0) this.channel?.reject(tag, false, true)
    else this.channel?.publish(postponeRequest(tag, message.decodeProperties(), afterMs), false)
  }

  async reject(tag: number, reason: string): Promise<void> {
    checkText(`${this.what}: reject`, 'the reason', reason)
    const { message } = this.take(tag)
    const properties = message.decodeProperties()
    const { deadLetter: target, durable } = this.settings
    const attempt = integerHeader(properties.headers, headerNames.attempt) ?? 1
    const publishes: Publish[] = []
    if (target !== null) {
      const failure = { text: reason, attempt, realtimeMs: this.parts.platform.clock.realtimeMs() }
      await ensureQueue(this.parts.control, target, durable)
      publishes.push({ message: deadLetter(message, properties, this.queueName, target, failure), mandatory: true })
    }
    // A Leveret itself tells what becomes of a message that is handed back to it.
    if (wantsAnswer(properties, 'processed') && (target !== null || !this.parts.isLeveret)) {
      const word = target === null ? 'failed' : 'dead-lettered'
      publishes.push({ message: failureAnswer(properties, this.queueName, word, reason), mandatory: false })
    }
    if (target !== null) return this.settleWith(tag, publishes)
    // The broker's own dead-lettering has its turn.
    for (const publish of publishes) await this.publish(publish)
    this.channel?.reject(tag, false, false)
  }

  extend(tag: number, byMs: number | null): void {
    const held = this.open.get(tag)
    if (held === undefined) throw this.whyNot(tag)
    const { leaseMs } = this
    if (leaseMs === null) {
      throw new LeveretError('E_BAD_OPTION', `${this.what}: there is no lease to extend: receive with { lease: '30s' }`)
    }
    held.cancelLease?.()
    this.beginLease(tag, held, byMs ?? leaseMs)
  }

  progress(tag: number, properties: Properties, share: number): void {
    const held = this.open.get(tag)
    if (held === undefined || !wantsAnswer(properties, 'progress')) return
    held.progressTeller ??= new ProgressTeller(this.parts.sender, properties, this.queueName)
    held.progressTeller.tell(share)
  }

  signalOf(tag: number): AbortSignal {
    const held = this.open.get(tag)
    if (held === undefined) return AbortSignal.abort(this.whyNot(tag))
    held.controller ??= new AbortController()
    return held.controller.signal
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
      next.release()
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
    const table = this.parts.isLeveret ? answersItself : emptyTable
    const begun = [
      this.replies.execute(channel, qos),
      this.replies.execute(channel, { ...consume, queue: this.queueName, arguments: table }),
    ]
    // A refusal closes the channel, which `failed` tells.
    for (const one of begun) one.catch(() => {})
  }

  private readonly abort = (): void => this.finish(null)

  /** Bad JSON goes to the dead-letter queue, and the next message takes its place. */
  private async handOut(arrived: Arrived): Promise<IteratorResult<ReceivedMessage, undefined>> {
    const { tag, redelivered, message } = arrived
    if (this.ended) return { done: true, value: undefined }
    const held: Held = { message, cancelLease: null, controller: null, progressTeller: null }
    this.open.set(tag, held)
    if (this.leaseMs !== null) this.beginLease(tag, held, this.leaseMs)
    try {
      const properties = isPlainJson(message) ? null : message.decodeProperties()
      const data = this.isRaw ? copyOfBody(message) : await this.read(message, properties)
      if (properties !== null && !this.parts.isLeveret && wantsAnswer(properties, 'delivered')) {
        this.publish({ message: deliveredAnswer(properties, this.queueName), mandatory: false }).catch(() => {})
      }
      const incoming = new Incoming(message, redelivered, data, properties)
      return { done: false, value: new Received(incoming, properties, this, tag) }
    } catch (error) {
      this.parts.report(error as Error)
      if (!(error instanceof SchemaFailure && this.tryAgain(tag, message, error))) {
        await this.reject(tag, (error as Error).message)
      }
      return this.next()
    }
  }

  /** As a worker does with an attempt that failed. False: it was the last one, or this broker hides nothing. */
  private tryAgain(tag: number, message: Message, error: SchemaFailure): boolean {
    const properties = message.decodeProperties()
    const attempt = integerHeader(properties.headers, headerNames.attempt) ?? 1
    const { clock, random } = this.parts.platform
    const { retry } = this.settings
    if (!this.parts.isLeveret || attempt >= retry.attempts) return false
    this.take(tag)
    const failure = { text: errorText(error), attempt, realtimeMs: clock.realtimeMs() }
    const waitMs = Math.ceil(pauseMs(retry, attempt, random.next()))
    this.channel?.publish(retryRequest(tag, properties, failure, waitMs), false)
    return true
  }

  /** Throws or rejects with E_BAD_DATA. */
  private read(message: Message, properties: Properties | null): unknown {
    const what = `a message of ${this.what}`
    const value = properties === null ? parseJson(message, what) : decodeBody(message, properties, what)
    const schema = this.contract.input as StandardSchema | undefined
    return schema === undefined ? value : validate(schema, value, `the data of ${what}`)
  }

  private take(tag: number): Held {
    const held = this.open.get(tag)
    if (held === undefined || this.ended) throw this.whyNot(tag)
    held.cancelLease?.()
    this.open.delete(tag)
    return held
  }

  private whyNot(tag: number): Error {
    if (this.failure !== null) return this.failure
    if (this.lost.has(tag)) {
      return new LeveretError(
        'E_LEASE_LOST',
        `${this.what}: the lease of the message is over, and it went back to the queue`,
      )
    }
    const why = this.ended ? 'the iteration has ended, and it went back to the queue' : 'it was settled before'
    return new LeveretError('E_CLOSED', `${this.what}: the message cannot be settled: ${why}`)
  }

  private beginLease(tag: number, held: Held, ms: number): void {
    held.cancelLease = this.parts.platform.clock.setTimer(ms, () => {
      this.open.delete(tag)
      this.lost.add(tag)
      // Only the latest can still be asked for: a set of all of them would grow for ever.
      if (this.lost.size > this.prefetch) for (const first of this.lost) if (this.lost.delete(first)) break
      this.channel?.reject(tag, false, true)
      held.controller?.abort(this.whyNot(tag))
    })
  }

  /** Stores it together with the acknowledgement. Over AMQP one after the other: lost in between, the message comes again. */
  private async settleWith(tag: number, publishes: readonly Publish[]): Promise<void> {
    const { channel } = this
    if (this.parts.commits === 'native' && channel !== null) {
      const messages = publishes.map(({ message }) => message)
      await this.replies.wait((id) => channel.commit(id, [tag], messages))
      return
    }
    for (const publish of publishes) await this.publish(publish)
    this.channel?.ack(tag, false)
  }

  private publish({ message, mandatory }: Publish): Promise<void> {
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
    for (const [tag, { cancelLease, controller }] of this.open) {
      cancelLease?.()
      controller?.abort(this.whyNot(tag))
    }
    this.open.clear()
    this.replies.failAll(error ?? new LeveretError('E_CLOSED', `receiving from ${this.what} has ended`))
    this.channel?.close()
    this.forget(this)
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
      next.release()
      if (error === null) next.resolve({ done: true, value: undefined })
      else next.reject(error)
    }
  }
}
