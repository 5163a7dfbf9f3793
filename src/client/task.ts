/**
 * One message in a worker's hands, from its delivery to its commit; it is also the context its handler sees.
 *
 *     arrived → running → held (backs off) → settled (waits for a commit) → committed
 */
import { LeveretError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { Properties } from '../model/properties.ts'
import { isPlainJson } from './composer.ts'
import type { QueueContract } from './contract.ts'
import { type Duration, durationMs } from './duration.ts'
import { headerNames, integerHeader } from './headers.ts'
import { type Outgoing, type Outlet, type ReceiptOptions, type SendOptions, type SendTarget } from './outlet.ts'
import type { Receipt, Sent } from './receipt.ts'
import { GiveUp, RetryLater } from './settlement.ts'

/** What a handler can do besides returning and throwing. */
export interface HandlerContext {
  /** The number of this attempt: 1 for the first. */
  readonly attempt: number
  /** Aborted when the result would no longer count: the worker was closed and did not wait longer, or lost its channel. */
  readonly signal: AbortSignal
  /**
   * Sends with this handler's commit: stored together with its acknowledgement, or not at all. It gives a receipt at once
   * and no promise, since nothing is sent before the handler has returned. The queue must have been opened by this bus.
   */
  send<Input, Result>(
    to: SendTarget<Input, Result> | QueueContract<Input, Result, unknown, unknown>,
    data: Input,
    options: ReceiptOptions<Result>,
  ): Receipt<Result>
  send<Input>(
    to: SendTarget<Input> | QueueContract<Input, unknown, unknown, unknown>,
    data: Input,
    options?: SendOptions,
  ): Sent
  /** To be returned: try again, after the time given or the queue's backoff. It counts as an attempt. */
  retry(options?: { readonly after?: Duration }): RetryLater
  /** To be returned: put it aside now, without further attempts. */
  deadLetter(reason: string): GiveUp
}

/** What a task needs of its worker. */
export interface TaskOwner {
  readonly queueName: string
  findOutlet(name: string): Outlet | undefined
  /** The task's signal was asked for, so it has to be told when it is lost. */
  watch(task: Task): void
}

export class Task implements HandlerContext {
  readonly tag: number
  readonly redelivered: boolean
  readonly message: Message
  /** Which of the worker's channels it came through; a tag means nothing on another. */
  readonly epoch: number
  /** Null for the many messages that need none looked at. */
  properties: Properties | null = null
  attempt = 1
  /** When its handler began; null for one that has ended as soon as it was called. */
  startedMs: number | null = null
  /** What its commit publishes; null for the many that publish nothing. */
  publishes: Message[] | null = null
  private readonly owner: TaskOwner
  private outgoing: Outgoing[] | null = null
  private controller: AbortController | null = null
  private lostReason: LeveretError | null = null
  private isOver = false

  constructor(owner: TaskOwner, epoch: number, tag: number, redelivered: boolean, message: Message) {
    this.owner = owner
    this.epoch = epoch
    this.tag = tag
    this.redelivered = redelivered
    this.message = message
  }

  get signal(): AbortSignal {
    if (this.controller === null) {
      this.controller = new AbortController()
      if (this.lostReason !== null) this.controller.abort(this.lostReason)
      else this.owner.watch(this)
    }
    return this.controller.signal
  }

  send(to: SendTarget | QueueContract, data: unknown, options?: SendOptions): Receipt {
    const where = `the handler of queue '${this.owner.queueName}'`
    if (this.isOver) {
      throw new LeveretError('E_CLOSED', `${where} has ended: send with queue.send, or await everything in the handler`)
    }
    const outgoing = this.outletOf(to).prepareNow(data, options)
    this.outgoing ??= []
    this.outgoing.push(outgoing)
    outgoing.receipt?.hold(this.owner.queueName)
    return outgoing.sent as Receipt
  }

  retry(options: { readonly after?: Duration } = {}): RetryLater {
    if (options.after !== undefined) durationMs(options.after, 'context.retry: after')
    return new RetryLater(options.after)
  }

  deadLetter(reason: string): GiveUp {
    return new GiveUp(reason)
  }

  // What the worker does with it.

  /** Looks at what of the properties the worker must know. Throws for bytes that are no properties. */
  readProperties(): void {
    if (isPlainJson(this.message)) return
    this.properties = this.message.decodeProperties()
    this.attempt = Math.max(1, integerHeader(this.properties.headers, headerNames.attempt) ?? 1)
  }

  /** All properties; for the rare ways that need them. */
  allProperties(): Properties {
    this.properties ??= this.message.decodeProperties()
    return this.properties
  }

  /** The handler has returned, thrown, or been given up. */
  over(): void {
    this.isOver = true
  }

  /** Its result will not count. */
  lose(reason: LeveretError): void {
    this.lostReason = reason
    this.isOver = true
    this.dropSends()
    this.controller?.abort(reason)
  }

  /** What the handler sent belongs to an attempt that failed. */
  dropSends(): void {
    this.publishes = null
    if (this.outgoing === null) return
    for (const { receipt } of this.outgoing) receipt?.forget()
    this.outgoing = null
  }

  /** Whether something it sends asks for a receipt, so that the reply queue must be there before `makeSends`. */
  get sendsReceipts(): boolean {
    return this.outgoing?.some(({ receipt }) => receipt !== null) ?? false
  }

  /** Makes the message part of its commit. */
  publish(message: Message): void {
    if (this.publishes === null) this.publishes = [message]
    else this.publishes.push(message)
  }

  /** Makes the messages of context.send part of the commit. */
  makeSends(): void {
    if (this.outgoing === null) return
    for (const { message } of this.outgoing) this.publish(typeof message === 'function' ? message() : message)
  }

  /** The commit is stored. */
  committed(): void {
    if (this.outgoing === null) return
    for (const { receipt } of this.outgoing) receipt?.stored()
    this.outgoing = null
  }

  private outletOf(to: SendTarget | QueueContract): Outlet {
    const outlet = 'outlet' in to ? to.outlet : this.owner.findOutlet(to.name)
    if (outlet !== undefined) return outlet
    throw new LeveretError(
      'E_BAD_OPTION',
      `context.send in queue '${this.owner.queueName}': this bus has not opened queue '${to.name}': ` +
        'await bus.createQueue for it before you process',
    )
  }
}
