/**
 * Everything about sending to one queue. `send` without options is the hot path: one message cut from a slab, one promise,
 * one slot in the ring of confirms.
 */
import { LeveretError } from '../model/errors.ts'
import { type PlainValue, toField } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import type { Properties } from '../model/properties.ts'
import type { BusParts } from './bus-parts.ts'
import { Composer, type Content } from './composer.ts'
import type { Pending } from './confirm-ring.ts'
import type { QueueContract } from './contract.ts'
import { headerNames } from './headers.ts'
import { checkOptionNames } from './names.ts'
import { OpenReceipt, PlainSent, type Receipt, type ReceiptCallbacks, type Sent } from './receipt.ts'
import type { MakeMessage } from './sender.ts'
import { type StandardSchema, validate } from './standard-schema.ts'

export interface SendOptions {
  /** AMQP headers. */
  readonly headers?: { readonly [name: string]: PlainValue }
  /** For text and bytes that are not JSON, such as 'text/csv'. */
  readonly contentType?: string
  /** Gives up a send that still waits for room; one on its way cannot be called back. */
  readonly signal?: AbortSignal
}

/** Asking for a receipt, by name or by a callback, makes `send` give a `Receipt`. */
export type ReceiptOptions<Result = unknown> = SendOptions &
  ReceiptCallbacks<Result> &
  (
    | { readonly receipt: true }
    | Required<Pick<ReceiptCallbacks<Result>, 'onDelivered'>>
    | Required<Pick<ReceiptCallbacks<Result>, 'onProcessed'>>
  )

interface AnyOptions extends SendOptions, ReceiptCallbacks {
  readonly receipt?: boolean
}

/** A message that is made and not yet on its way. */
export interface Outgoing {
  readonly sent: Sent
  readonly receipt: OpenReceipt | null
  readonly message: Message | MakeMessage
  readonly bytes: number
}

const optionNames = ['headers', 'contentType', 'signal', 'receipt', 'onDelivered', 'onProcessed'] as const
const optionsToCome = ['sender', 'onProgress', 'key', 'idempotencyKey', 'delay', 'priority', 'ttl', 'deadline'] as const

export class Outlet {
  readonly name: string
  private readonly what: string
  private readonly parts: BusParts
  private readonly contract: QueueContract
  private readonly composer: Composer

  constructor(parts: BusParts, contract: QueueContract, persistent: boolean) {
    this.name = contract.name
    this.what = `queue '${contract.name}'`
    this.parts = parts
    this.contract = contract
    this.composer = new Composer(contract.name, persistent, parts.ids, parts.messageBytesMax)
  }

  /** Resolves when the message is stored. */
  send(data: unknown, options: AnyOptions | undefined): Promise<Sent> {
    try {
      const checked = this.check(data)
      if (checked instanceof Promise) return checked.then(() => this.sendChecked(data, options))
      return this.sendChecked(data, options)
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  /** Resolves when all are stored. If one is bad, none is sent. */
  async sendMany(items: readonly unknown[], options: SendOptions | undefined): Promise<Sent[]> {
    for (const item of items) {
      const checked = this.check(item)
      if (checked instanceof Promise) await checked
    }
    const outgoing = items.map((item) => this.prepare(item, options))
    if (outgoing.some((one) => one.receipt !== null)) throw this.noReceipts(outgoing)
    if (outgoing.length === 0) return []
    options?.signal?.throwIfAborted()
    return new Promise((resolve, reject) => {
      const batch = new Batch(this.what, outgoing, resolve, reject)
      const { sender } = this.parts
      for (const one of outgoing) sender.publish(one.message, true, new BatchSend(batch, one))
    })
  }

  /**
   * The message for these data, which the schema has seen or sees now; an asynchronous schema is for `send` alone. For
   * whoever stores it together with something else. Throws E_BAD_DATA, E_BAD_OPTION.
   */
  prepareNow(data: unknown, options: AnyOptions | undefined): Outgoing {
    const checked = this.check(data)
    if (checked instanceof Promise) {
      checked.catch(() => {})
      throw new LeveretError(
        'E_UNSUPPORTED',
        `${this.what} has an asynchronous schema, and context.send cannot wait for it: use a synchronous one`,
      )
    }
    return this.prepare(data, options)
  }

  private sendChecked(data: unknown, options: AnyOptions | undefined): Promise<Sent> {
    if (options === undefined) return this.sendPlain(data)
    const { signal } = options
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error)
    const outgoing = this.prepare(data, options)
    if (outgoing.receipt !== null) {
      const ready = this.parts.receipts.opened()
      if (ready !== null) this.parts.sender.holdUntil(ready)
    }
    const promise = new Promise<Sent>(capture)
    const pending = new SingleSend(this.what, outgoing.bytes, outgoing.sent, outgoing.receipt)
    this.parts.sender.publish(outgoing.message, true, pending)
    return signal === undefined ? promise : this.withdrawable(promise, pending, signal)
  }

  private sendPlain(data: unknown): Promise<Sent> {
    const { parts } = this
    const message = this.composer.plain(data)
    const sent = new PlainSent(parts.ids.prefix, parts.ids.counter)
    const promise = new Promise<Sent>(capture)
    parts.sender.publish(message, true, new SingleSend(this.what, message.contentBytes, sent, null))
    return promise
  }

  private prepare(data: unknown, options: AnyOptions | undefined): Outgoing {
    const { ids } = this.parts
    if (options === undefined) {
      const message = this.composer.plain(data)
      return { sent: new PlainSent(ids.prefix, ids.counter), receipt: null, message, bytes: message.contentBytes }
    }
    checkOptionNames(`sending to ${this.what}`, options, optionNames, optionsToCome)
    const content = this.composer.encode(data, options.contentType)
    ids.advance()
    const id = ids.text()
    const wanted = wantedReceipt(options)
    if (wanted === null) {
      const message = this.composer.rich(content, id, propertiesOf(options, null))
      return { sent: new PlainSent(ids.prefix, ids.counter), receipt: null, message, bytes: message.contentBytes }
    }
    const receipt = this.openReceipt(id, options)
    const message = (): Message => this.makeWithReceipt(content, id, options, wanted)
    return { sent: receipt, receipt, message, bytes: content.body.length }
  }

  private noReceipts(outgoing: readonly Outgoing[]): LeveretError {
    for (const one of outgoing) one.receipt?.forget()
    return new LeveretError('E_UNSUPPORTED', `${this.what}: sendMany gives no receipts: use send for those messages`)
  }

  private openReceipt(id: string, options: AnyOptions): OpenReceipt {
    const { receipts } = this.parts
    const receipt = new OpenReceipt(receipts, id, this.name, options, (value) => this.readResult(id, value))
    receipts.keep(receipt)
    return receipt
  }

  private makeWithReceipt(content: Content, id: string, options: AnyOptions, wanted: string): Message {
    const { address } = this.parts.receipts
    if (address === null) {
      throw new LeveretError('E_REFUSED', `${this.what}: the broker gave no queue for receipts, so nothing was sent`)
    }
    const properties = propertiesOf(options, wanted)
    properties.correlationId = id
    properties.replyTo = address
    return this.composer.rich(content, id, properties)
  }

  private withdrawable(promise: Promise<Sent>, pending: SingleSend, signal: AbortSignal): Promise<Sent> {
    const abort = (): void => {
      if (this.parts.sender.withdraw(pending)) pending.refused(signal.reason as Error)
    }
    signal.addEventListener('abort', abort, { once: true })
    const forget = (): void => signal.removeEventListener('abort', abort)
    promise.then(forget, forget)
    return promise
  }

  private check(data: unknown): unknown {
    const schema = this.contract.input as StandardSchema | undefined
    return schema === undefined ? undefined : validate(schema, data, `the data for ${this.what}`)
  }

  private readResult(id: string, value: unknown): unknown {
    const schema = this.contract.result as StandardSchema | undefined
    return schema === undefined ? value : validate(schema, value, `the result of message ${id} of ${this.what}`)
  }
}

/** What goes into x-leveret-receipt; null if nothing was asked for. */
function wantedReceipt(options: AnyOptions): string | null {
  if (options.onDelivered !== undefined || options.receipt === true) return 'delivered,processed'
  return options.onProcessed === undefined ? null : 'processed'
}

function propertiesOf(options: AnyOptions, wanted: string | null): Properties {
  const properties: Properties = {}
  const { headers } = options
  if (headers === undefined && wanted === null) return properties
  const table = new Map(Object.entries(headers ?? {}).map(([name, value]) => [name, toField(value)]))
  if (wanted !== null) table.set(headerNames.receipt, toField(wanted))
  properties.headers = table
  return properties
}

let capturedResolve: (sent: Sent) => void
let capturedReject: (error: Error) => void

/** One function for all promises instead of a closure for each: the next SingleSend takes what it caught. */
function capture(resolve: (sent: Sent) => void, reject: (error: Error) => void): void {
  capturedResolve = resolve
  capturedReject = reject
}

/** One send that waits. Made right behind its promise. */
class SingleSend implements Pending {
  readonly what: string
  readonly bytes: number
  unroutable = false
  private readonly sent: Sent
  private readonly receipt: OpenReceipt | null
  private readonly resolve: (sent: Sent) => void
  private readonly reject: (error: Error) => void

  constructor(what: string, bytes: number, sent: Sent, receipt: OpenReceipt | null) {
    this.what = what
    this.bytes = bytes
    this.sent = sent
    this.receipt = receipt
    this.resolve = capturedResolve
    this.reject = capturedReject
  }

  get id(): string {
    return this.sent.id
  }

  stored(): void {
    this.resolve(this.sent)
    this.receipt?.stored()
  }

  refused(error: Error): void {
    this.reject(error)
    this.receipt?.forget()
  }
}

/** A `sendMany` that waits for its last confirm. */
class Batch {
  private readonly what: string
  private readonly outgoing: readonly Outgoing[]
  private readonly resolve: (sent: Sent[]) => void
  private readonly reject: (error: Error) => void
  private open: number
  private refusals = 0
  private firstError: Error | null = null

  constructor(
    what: string,
    outgoing: readonly Outgoing[],
    resolve: (sent: Sent[]) => void,
    reject: (error: Error) => void,
  ) {
    this.what = what
    this.outgoing = outgoing
    this.resolve = resolve
    this.reject = reject
    this.open = outgoing.length
  }

  settle(error: Error | null): void {
    this.open--
    if (error !== null) {
      this.refusals++
      this.firstError ??= error
    }
    if (this.open > 0) return
    if (this.firstError === null) this.resolve(this.outgoing.map((one) => one.sent))
    else this.reject(this.failure(this.firstError))
  }

  get label(): string {
    return this.what
  }

  private failure(first: Error): Error {
    const total = this.outgoing.length
    const code = first instanceof LeveretError ? first.code : 'E_REFUSED'
    const text = `${this.what}: ${total - this.refusals} of ${total} messages are known to be stored; the first that is not: `
    return new LeveretError(code, text + first.message, first)
  }
}

class BatchSend implements Pending {
  readonly bytes: number
  unroutable = false
  private readonly batch: Batch
  private readonly outgoing: Outgoing

  constructor(batch: Batch, outgoing: Outgoing) {
    this.batch = batch
    this.outgoing = outgoing
    this.bytes = outgoing.bytes
  }

  get id(): string {
    return this.outgoing.sent.id
  }

  get what(): string {
    return this.batch.label
  }

  stored(): void {
    this.batch.settle(null)
  }

  refused(error: Error): void {
    this.batch.settle(error)
  }
}

/** Where a handler may send to: a queue that this bus has opened. */
export interface SendTarget<Input = unknown, Result = unknown> {
  readonly name: string
  /** The library's own part of it. */
  readonly outlet: Outlet
  send(data: Input, options: ReceiptOptions<Result>): Promise<Receipt<Result>>
  send(data: Input, options?: SendOptions): Promise<Sent>
}
