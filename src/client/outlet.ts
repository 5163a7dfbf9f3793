/**
 * Everything about sending to one queue. `send` without options is the hot path: one message cut from a slab, one promise,
 * one slot in the ring of confirms.
 */
import { LeveretError } from '../model/errors.ts'
import { toField } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import type { Properties } from '../model/properties.ts'
import type { BusParts } from './bus-parts.ts'
import { Composer, type Content } from './composer.ts'
import { type CallContract, checkContract, type QueueContract } from './contract.ts'
import { headerNames } from './headers.ts'
import { checkName, shown } from './names.ts'
import { Batch, BatchSend, capture, type Outgoing, SingleSend } from './pending-send.ts'
import { OpenReceipt, type Receipt } from './receipt.ts'
import {
  type AnyOptions,
  type QueueFacts,
  type ReceiptOptions,
  type SendOptions,
  sendProperties,
} from './send-options.ts'
import { PlainSent, type Sent } from './sent.ts'
import { type StandardSchema, validate } from './standard-schema.ts'

/** Where a handler may send to: a queue that this bus has opened. */
export interface SendTarget<Input = unknown, Result = unknown> {
  readonly name: string
  /** The library's own part of it. */
  readonly outlet: Outlet
  send(data: Input, options: ReceiptOptions<Result>): Promise<Receipt<Result>>
  send(data: Input, options?: SendOptions): Promise<Sent>
}

/** Of a queue that the bus holds, or of a contract whose queue it has opened; otherwise throws E_BAD_OPTION. */
export function openedOutlet(
  queues: ReadonlyMap<string, Outlet>,
  to: SendTarget | QueueContract,
  where: string,
): Outlet {
  if (isOpened(to)) return to.outlet
  // One that is known was looked at when its queue was opened.
  const known = to?.kind === 'queue' ? queues.get(to.name) : undefined
  if (known !== undefined) return known
  const { name } = checkContract(where, 'queue', to)
  const text = `${where}: this bus has not opened queue '${name}': await bus.createQueue for it before`
  throw new LeveretError('E_BAD_OPTION', text)
}

/** Whether it is a queue that a bus has opened. */
export function isOpened(to: unknown): to is SendTarget {
  if (typeof to !== 'object' || to === null || !('outlet' in to)) return false
  return typeof (to.outlet as Outlet | null)?.prepareNow === 'function'
}

export class Outlet {
  readonly name: string
  private readonly what: string
  private readonly where: string
  private readonly parts: BusParts
  private readonly contract: QueueContract | CallContract
  private readonly composer: Composer
  private readonly facts: QueueFacts

  /** A call is a queue on the wire, and has its own name in errors. */
  constructor(parts: BusParts, contract: QueueContract | CallContract, persistent: boolean, facts: QueueFacts) {
    this.name = contract.name
    this.what = `${contract.kind} '${contract.name}'`
    this.where = contract.kind === 'call' ? this.what : `sending to ${this.what}`
    this.parts = parts
    this.contract = contract
    this.facts = facts
    const address = { exchange: '', routingKey: contract.name, what: `the data for ${this.what}` }
    this.composer = new Composer(address, persistent, parts.ids, parts.messageBytesMax)
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
  async sendMany(given: readonly unknown[], options: SendOptions | undefined): Promise<Sent[]> {
    const items = listOf(this.where, given)
    for (const item of items) {
      const checked = this.check(item)
      if (checked instanceof Promise) await checked
    }
    const outgoing = items.map((item) => this.prepare(item, options))
    if (outgoing.some((one) => one.receipt !== null)) throw this.oneByOne(outgoing)
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

  /** The message for these data, sent by somebody else. Throws or rejects with E_BAD_DATA, E_BAD_OPTION. */
  async compose(data: unknown, options: SendOptions | undefined): Promise<Message> {
    await this.check(data)
    // Nobody asks for a receipt, so it is made at once.
    return this.prepare(data, options).message as Message
  }

  private sendChecked(data: unknown, options: AnyOptions | undefined): Promise<Sent> {
    if (options === undefined) return this.sendPlain(data)
    const signal = (options as AnyOptions | null)?.signal
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error)
    const outgoing = this.prepare(data, options)
    if (outgoing.receipt !== null) {
      const ready = this.parts.receipts.opened(outgoing.receipt.sender)
      if (ready !== null) this.parts.sender.holdUntil(ready)
    }
    const promise = new Promise<Sent>(capture)
    const pending = new SingleSend(this.what, outgoing.bytes, outgoing.sent, outgoing.receipt)
    const { sender } = this.parts
    sender.publish(outgoing.message, true, pending)
    return signal === undefined ? promise : sender.withdrawable(promise, pending, signal)
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
    const { ids, platform } = this.parts
    if (options === undefined) {
      const message = this.composer.plain(data)
      return { sent: new PlainSent(ids.prefix, ids.counter), receipt: null, message, bytes: message.contentBytes }
    }
    const properties = sendProperties(this.where, options, this.facts, platform.clock.realtimeMs())
    const content = this.composer.encode(data, options.contentType)
    ids.advance()
    const wanted = this.wantedReceipt(options)
    if (wanted === '') {
      const message = this.composer.richChecked(content, ids.text(), properties)
      return { sent: new PlainSent(ids.prefix, ids.counter), receipt: null, message, bytes: message.contentBytes }
    }
    // Made when it goes, which is too late to say that it cannot.
    if (options.headers !== undefined) this.composer.richChecked(content, ids.text(), properties)
    const receipt = this.openReceipt(ids.text(), options, wanted)
    const message = (): Message => this.makeWithReceipt(content, receipt, properties, wanted)
    return { sent: receipt.isWanted ? receipt : receipt.plain, receipt, message, bytes: content.body.length }
  }

  private oneByOne(outgoing: readonly Outgoing[]): LeveretError {
    for (const one of outgoing) one.receipt?.forget()
    return new LeveretError(
      'E_UNSUPPORTED',
      `${this.what}: sendMany waits for no receipts and finds no duplicates: use send for those messages`,
    )
  }

  /** What goes into x-leveret-receipt; '' if nothing was asked for. */
  private wantedReceipt(options: AnyOptions): string {
    const words: string[] = []
    if (options.idempotencyKey !== undefined || options.throttle !== undefined) words.push('duplicate')
    const { receipt = false } = options
    if (typeof receipt !== 'boolean') {
      throw new LeveretError('E_BAD_OPTION', `${this.where}: receipt is ${shown(receipt)}, and has to be true or false`)
    }
    const wantsStart = receipt || options.onDelivered !== undefined
    const wantsProgress = receipt || options.onProgress !== undefined
    if (wantsStart) words.push('delivered')
    if (wantsProgress) words.push('progress')
    const wantsEnd = options.onProcessed !== undefined || options.sender !== undefined
    if (wantsStart || wantsProgress || wantsEnd) words.push('processed')
    return words.join(',')
  }

  private openReceipt(id: string, options: AnyOptions, wanted: string): OpenReceipt {
    const { receipts } = this.parts
    const { sender = null } = options
    if (sender !== null) checkName(this.where, "a sender's name", sender)
    const isWanted = wanted.includes('processed')
    const asksDuplicate = wanted.startsWith('duplicate')
    const receipt = new OpenReceipt(
      receipts,
      { id, queue: this.name, sender, isWanted, asksDuplicate },
      options,
      (value) => this.readResult(id, value),
    )
    receipts.keep(receipt)
    return receipt
  }

  private makeWithReceipt(content: Content, receipt: OpenReceipt, base: Properties, wanted: string): Message {
    const address = this.parts.receipts.addressFor(receipt.sender)
    if (address === null) {
      throw new LeveretError('E_REFUSED', `${this.what}: the broker gave no queue for receipts, so nothing was sent`)
    }
    const headers = new Map(base.headers ?? [])
    headers.set(headerNames.receipt, toField(wanted))
    const { messageId } = receipt
    return this.composer.rich(content, messageId, { ...base, headers, correlationId: messageId, replyTo: address })
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

/** A Set, or what a generator gives, will do as well as an array. Throws E_BAD_OPTION for what is no list, such as text. */
function listOf(where: string, given: unknown): readonly unknown[] {
  const isList =
    typeof given === 'object' && given !== null && Symbol.iterator in given && !(given instanceof Uint8Array)
  // An array is copied as well: what is checked is what is sent, and holes in it are undefined.
  if (isList) return [...(given as Iterable<unknown>)]
  throw new LeveretError('E_BAD_OPTION', `${where}: sendMany wants an array of data, not ${shown(given)}`)
}
