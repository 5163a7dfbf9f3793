/** A message as a handler or a receiver gets it. Properties are decoded when somebody looks. */
import { LeveretError } from '../model/errors.ts'
import type { PlainValue } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import type { Properties } from '../model/properties.ts'
import { copyOfBody } from './body.ts'
import { historyOf } from './copies.ts'
import { type Duration, durationMs } from './duration.ts'
import { headerNames, integerHeader, plainHeaders, textHeader } from './headers.ts'
import { showAsJson } from './inspect.ts'
import { checkOptionNames } from './names.ts'
import { isShare } from './progress.ts'

export interface IncomingMessage<Data = unknown> {
  /** The body as a value: JSON is parsed, text is a string, anything else a Buffer. */
  readonly data: Data
  /** It was handed to somebody before, who may have begun with it. */
  readonly redelivered: boolean
  /** The event's name; of a message that was sent to a queue, the queue's. */
  readonly name: string
  /** AMQP's message-id; undefined if a plain client sent none. */
  readonly id: string | undefined
  readonly headers: { readonly [name: string]: PlainValue }
  /** All of AMQP's properties, headers with their type tags. */
  readonly properties: Properties
  /** A copy of the body's bytes. */
  readonly body: Buffer
  /** What went wrong with it, if it is a dead letter or another attempt; null: nothing did. */
  readonly failure: MessageFailure | null
  /** The schedule that published it, and the time it was due; null: none did. */
  readonly schedule: MessageSchedule | null
}

export interface MessageSchedule {
  readonly name: string
  readonly dueAt: Date
}

/** Why a message was tried again, or given up. */
export interface MessageFailure {
  /** The queue it was in; undefined for another attempt, which is in the same. */
  readonly queue: string | undefined
  /** What went wrong the last time. */
  readonly error: string
  /** How many attempts there were. */
  readonly attempts: number
  /** When the first one failed. */
  readonly firstAt: Date | null
  /** The last ten, the latest at the end. */
  readonly history: readonly { readonly attempt: number; readonly error: string; readonly at: Date }[]
}

/**
 * A message that its receiver settles: exactly one of ack, nack and reject. Their promises resolve when the broker was
 * told; those that had to store something first (an answer, a dead letter), when that is stored.
 */
export interface ReceivedMessage<Data = unknown, Result = unknown> extends IncomingMessage<Data> {
  /** Done. If the sender waits for an answer, it gets the result. */
  ack(result?: Result): Promise<void>
  /** Back to its place in the queue, for this or another receiver; with `after` nobody gets it before so long. */
  nack(options?: { readonly after?: Duration }): Promise<void>
  /** Nobody can process it: to the dead-letter queue. */
  reject(reason?: string): Promise<void>
  /** The lease begins anew, or lasts so long from now; see ReceiveOptions.lease. Throws E_LEASE_LOST if it is over. */
  extend(by?: Duration): void
  /** Tells the sender how much is done, from 0 to 1, if it asked for that. */
  progress(share: number): void
  /** Aborted when it cannot be settled any more: its lease is over, or the iteration has ended. */
  readonly signal: AbortSignal
}

/** Who settles what was received. Properties are null if they say nothing but the id. */
export interface Settler {
  ack(tag: number, properties: Properties | null, result: unknown): Promise<void>
  nack(tag: number, afterMs: number): Promise<void>
  reject(tag: number, reason: string): Promise<void>
  /** `byMs` null: as long as at first. */
  extend(tag: number, byMs: number | null): void
  progress(tag: number, properties: Properties, share: number): void
  signalOf(tag: number): AbortSignal
}

/** What console.log shows of a message. */
interface Shown {
  readonly name: string
  readonly id: string | undefined
  readonly data: unknown
  readonly headers: { readonly [name: string]: PlainValue }
  readonly redelivered: boolean
}

/** A handler's message; `Received` adds what a receiver does with it. */
export class Incoming implements IncomingMessage {
  readonly data: unknown
  readonly redelivered: boolean
  private readonly message: Message
  private decoded: Properties | null

  constructor(message: Message, redelivered: boolean, data: unknown, properties: Properties | null) {
    this.message = message
    this.redelivered = redelivered
    this.data = data
    this.decoded = properties
  }

  get name(): string {
    const { exchange, routingKey } = this.message
    // A copy for another attempt, or a dead letter, is routed by the name of its queue.
    return exchange === '' ? (textHeader(this.properties.headers, headerNames.event) ?? routingKey) : routingKey
  }

  get id(): string | undefined {
    return this.properties.messageId
  }

  get headers(): { readonly [name: string]: PlainValue } {
    return plainHeaders(this.properties.headers)
  }

  get properties(): Properties {
    this.decoded ??= this.message.decodeProperties()
    return this.decoded
  }

  get body(): Buffer {
    return copyOfBody(this.message)
  }

  get failure(): MessageFailure | null {
    return failureIn(this.properties)
  }

  /** What it takes in memory, beside `data`. */
  get heldBytes(): number {
    return this.message.contentBytes
  }

  /** Takes it out of the chunk that it came in, which would be held with it. */
  keep(): void {
    if (!this.message.owned) this.message.own()
  }

  /** The same, with what a schema made of the data. */
  withData(data: unknown): Incoming {
    return new Incoming(this.message, this.redelivered, data, this.decoded)
  }

  get schedule(): MessageSchedule | null {
    const { headers } = this.properties
    const name = textHeader(headers, headerNames.schedule)
    const dueMs = integerHeader(headers, headerNames.scheduledAt)
    return name === undefined || dueMs === undefined ? null : { name, dueAt: new Date(dueMs) }
  }

  toJSON(): Shown {
    const { name, id, data, headers, redelivered } = this
    return { name, id, data, headers: { ...headers }, redelivered }
  }
}

export class Received implements ReceivedMessage {
  private readonly incoming: Incoming
  private readonly known: Properties | null
  private readonly settler: Settler
  private readonly tag: number

  constructor(incoming: Incoming, known: Properties | null, settler: Settler, tag: number) {
    this.incoming = incoming
    this.known = known
    this.settler = settler
    this.tag = tag
  }

  get data(): unknown {
    return this.incoming.data
  }

  get redelivered(): boolean {
    return this.incoming.redelivered
  }

  get name(): string {
    return this.incoming.name
  }

  get id(): string | undefined {
    return this.incoming.id
  }

  get headers(): { readonly [name: string]: PlainValue } {
    return this.incoming.headers
  }

  get properties(): Properties {
    return this.incoming.properties
  }

  get body(): Buffer {
    return this.incoming.body
  }

  get failure(): MessageFailure | null {
    return this.incoming.failure
  }

  get schedule(): MessageSchedule | null {
    return this.incoming.schedule
  }

  ack(result?: unknown): Promise<void> {
    return this.settler.ack(this.tag, this.known, result)
  }

  async nack(options: { readonly after?: Duration } = {}): Promise<void> {
    checkOptionNames('nack', options, ['after'])
    const afterMs = options.after === undefined ? 0 : durationMs(options.after, 'nack: after')
    return this.settler.nack(this.tag, Math.ceil(afterMs))
  }

  reject(reason = 'rejected'): Promise<void> {
    return this.settler.reject(this.tag, reason)
  }

  extend(by?: Duration): void {
    this.settler.extend(this.tag, by === undefined ? null : durationMs(by, 'extend'))
  }

  progress(share: number): void {
    if (!isShare(share)) throw new LeveretError('E_BAD_OPTION', `progress: ${String(share)} is no share from 0 to 1`)
    if (this.known !== null) this.settler.progress(this.tag, this.known, share)
  }

  get signal(): AbortSignal {
    return this.settler.signalOf(this.tag)
  }

  toJSON(): Shown {
    return this.incoming.toJSON()
  }
}

showAsJson(Incoming.prototype)
showAsJson(Received.prototype)

function failureIn(properties: Properties): MessageFailure | null {
  const { headers } = properties
  const error = textHeader(headers, headerNames.error)
  if (error === undefined) return null
  const history = historyOf(properties).map(({ attempt, error: text, atMs }) => ({
    attempt,
    error: text,
    at: new Date(atMs),
  }))
  const firstMs = integerHeader(headers, headerNames.firstTime)
  const next = integerHeader(headers, headerNames.attempt)
  return {
    queue: textHeader(headers, headerNames.queue),
    error,
    attempts: integerHeader(headers, headerNames.attempts) ?? (next === undefined ? history.length : next - 1),
    firstAt: firstMs === undefined ? null : new Date(firstMs),
    history,
  }
}
