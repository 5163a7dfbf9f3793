/**
 * One message in a worker's hands, from its delivery to its commit; it is also the context its handler sees.
 *
 *     arrived → running → held (backs off) → settled (waits for a commit) → committed
 */
import { LeveretError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { Properties } from '../model/properties.ts'
import { type CallOptions, checkCallOptions } from './call-options.ts'
import type { ChildOutcome } from './child-outcome.ts'
import { isPlainJson } from './composer.ts'
import type { CallContract, EventContract, QueueContract } from './contract.ts'
import { type Duration, durationMs } from './duration.ts'
import { HandlerSends, type SendsOwner } from './handler-sends.ts'
import { headerNames, integerHeader } from './headers.ts'
import type { SendTarget } from './outlet.ts'
import { isShare, type ProgressTeller } from './progress.ts'
import { timeOf } from './queued-message.ts'
import type { Receipt } from './receipt.ts'
import type { EmitOptions, ReceiptOptions, SendOptions } from './send-options.ts'
import type { Sent } from './sent.ts'
import { GiveUp, type RetryLater, retryLater } from './settlement.ts'

/** What a handler can do besides returning and throwing. */
export interface HandlerContext extends CommitContext {
  /** The number of this attempt: 1 for the first. */
  readonly attempt: number
  /** When the sender has no use for it any more; null: it did not say. */
  readonly deadline: Date | null
  /**
   * Calls somebody else, now and not with the commit. The call ends with this message's own deadline at the latest, and is given up
   * when `signal` is aborted.
   */
  call<Input, Result, Errors>(
    contract: CallContract<Input, Result, unknown, unknown, Errors>,
    data: Input,
    options?: CallOptions,
  ): Promise<Result>
  call(name: string, data: unknown, options?: CallOptions): Promise<unknown>
  /** What became of the children that were sent with this message, in their order; empty if it has none. */
  readonly children: readonly ChildOutcome[]
  /** Tells the sender how much is done, from 0 to 1, if it asked for that; costs nothing otherwise. */
  progress(share: number): void
  /** The lease begins anew, or lasts so long from now; see ProcessOptions.lease. Throws E_LEASE_LOST if it is over. */
  extend(by?: Duration): void
}

/** What handlers of one message and of a batch have in common. */
export interface CommitContext {
  /**
   * Aborted when the result would no longer count: the lease or the deadline is over, the worker was closed and did not wait
   * longer, or lost its channel. `signal.reason` says which.
   */
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
  /** Emits with this handler's commit. */
  emit<Input>(event: EventContract<Input, unknown>, data: Input, options?: EmitOptions): Sent
  /** To be returned: try again, after the time given or the queue's backoff. It counts as an attempt. */
  retry(options?: { readonly after?: Duration }): RetryLater
  /** To be returned: put it aside now, without further attempts. */
  deadLetter(reason: string): GiveUp
}

/** What a task needs of its worker. */
export interface TaskOwner extends SendsOwner {
  /** The task's signal was asked for, so it has to be told when it is lost. */
  watch(task: Task): void
  tellProgress(task: Task, share: number): void
  /** `byMs` null: as long as at first. */
  extendLease(task: Task, byMs: number | null): void
  call(task: Task, contract: string | CallContract, data: unknown, options: CallOptions): Promise<unknown>
  /** A parent is done with, and so is that queue. */
  forgetChildren(queue: string): void
}

/** The handler was done with it; or it is tried again; or it is put aside. */
export type Ending = 'done' | 'retry' | 'aside'

/** What one commit settles together: a task, or those of a batch. */
export interface CommitUnit {
  /** The tasks that it is about. */
  readonly tasks: readonly Task[]
  readonly publishes: Message[] | null
  pushTags(tags: number[]): void
  /** The commit is stored. */
  committed(): void
  lose(reason: LeveretError): void
}

/** The batch that a task is in. */
export interface TaskBatch {
  /** Those that are neither tried again nor given up. */
  readonly members: ReadonlySet<Task>
  /** One of its messages is of no use any more. */
  memberAborted(reason: LeveretError): void
  /** The task is done with, but for what it publishes. */
  memberSettled(task: Task): void
  /** The task goes its own way: it is tried again, or given up. */
  memberLeft(task: Task): void
}

const none: readonly ChildOutcome[] = []

export class Task implements HandlerContext, CommitUnit {
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
  /** When its sender has no use for it any more, in ms since 1970; 0: never. */
  deadlineMs = 0
  /** What its commit publishes; null for the many that publish nothing. */
  publishes: Message[] | null = null
  /** Null for the many that nobody times or abandons. */
  extra: TaskExtra | null = null
  private readonly owner: TaskOwner
  private isOver = false

  constructor(owner: TaskOwner, epoch: number, tag: number, redelivered: boolean, message: Message) {
    this.owner = owner
    this.epoch = epoch
    this.tag = tag
    this.redelivered = redelivered
    this.message = message
  }

  get signal(): AbortSignal {
    const extra = this.more
    if (extra.controller === null) {
      extra.controller = new AbortController()
      if (extra.abortReason !== null) extra.controller.abort(extra.abortReason)
      else this.owner.watch(this)
    }
    return extra.controller.signal
  }

  send(to: SendTarget | QueueContract, data: unknown, options?: SendOptions): Receipt {
    return this.openSends().send(to, data, options)
  }

  emit(event: EventContract, data: unknown, options?: EmitOptions): Sent {
    return this.openSends().emit(event, data, options)
  }

  get children(): readonly ChildOutcome[] {
    return this.extra?.children ?? none
  }

  get deadline(): Date | null {
    return timeOf(this.deadlineMs)
  }

  async call(contract: string | CallContract, data: unknown, options: CallOptions = {}): Promise<never> {
    checkCallOptions('context.call', options)
    return (await this.owner.call(this, contract, data, options)) as never
  }

  progress(share: number): void {
    if (!isShare(share)) {
      throw new LeveretError('E_BAD_OPTION', `context.progress: ${String(share)} is no share from 0 to 1`)
    }
    if (!this.isOver) this.owner.tellProgress(this, share)
  }

  extend(by?: Duration): void {
    const lostReason = this.extra?.lostReason ?? null
    if (lostReason !== null) throw lostReason
    const byMs = by === undefined ? null : durationMs(by, 'context.extend')
    if (!this.isOver) this.owner.extendLease(this, byMs)
  }

  retry(options: { readonly after?: Duration } = {}): RetryLater {
    return retryLater(options)
  }

  deadLetter(reason: string): GiveUp {
    return new GiveUp(reason)
  }

  // What the worker does with it.

  /** Its last attempt ends with that error. */
  threw(error: unknown): void {
    const { more } = this
    more.thrown = error
    more.hasThrown = true
  }

  /** What few tasks have. */
  get more(): TaskExtra {
    this.extra ??= new TaskExtra()
    return this.extra
  }

  /** Looks at what of the properties the worker must know. Throws for bytes that are no properties. */
  readProperties(): void {
    if (isPlainJson(this.message)) return
    this.properties = this.message.decodeProperties()
    const { headers } = this.properties
    this.attempt = Math.max(1, integerHeader(headers, headerNames.attempt) ?? 1)
    this.deadlineMs = integerHeader(headers, headerNames.deadline) ?? 0
  }

  /** All properties; for the rare ways that need them. */
  allProperties(): Properties {
    this.properties ??= this.message.decodeProperties()
    return this.properties
  }

  /** The handler has returned, thrown, or been given up. */
  over(): void {
    this.isOver = true
    this.extra?.cancelTimers()
  }

  /** Its handler has neither ended nor been given up. */
  get isRunning(): boolean {
    return !this.isOver
  }

  /** It was given up although its handler runs on: what that returns counts no more. */
  get isLost(): boolean {
    return this.extra !== null && this.extra.lostReason !== null
  }

  /** Its result will not count. */
  lose(reason: LeveretError): void {
    if (this.isLost) return
    this.more.lostReason = reason
    this.over()
    this.dropSends()
    this.abort(reason)
  }

  /** Tells its handler to stop; what it returns counts all the same unless the task is lost. */
  abort(reason: LeveretError): void {
    const { more } = this
    more.abortReason ??= reason
    more.controller?.abort(reason)
    more.batch?.memberAborted(reason)
  }

  /** What the handler sent belongs to an attempt that failed. */
  dropSends(): void {
    this.publishes = null
    this.extra?.sends?.drop()
  }

  /** The senders whose answers must be able to come before `makeSends`; null is the bus itself. */
  get receiptSenders(): readonly (string | null)[] {
    return this.extra?.sends?.receiptSenders ?? []
  }

  /** Makes the message part of its commit. */
  publish(message: Message): void {
    if (this.publishes === null) this.publishes = [message]
    else this.publishes.push(message)
  }

  /** Makes the messages of context.send part of the commit. */
  makeSends(): void {
    const sends = this.extra?.sends ?? null
    if (sends === null || sends.isEmpty) return
    this.publishes ??= []
    sends.make(this.publishes)
  }

  committed(): void {
    const { extra } = this
    if (extra === null) return
    extra.sends?.committed()
    // For another attempt, and for whoever looks at the dead letter, the answers stay.
    if (extra.gatherQueue !== null && extra.ending === 'done') this.owner.forgetChildren(extra.gatherQueue)
  }

  get tasks(): readonly Task[] {
    return [this]
  }

  pushTags(tags: number[]): void {
    if (this.extra?.isParked !== true) tags.push(this.tag)
  }

  private openSends(): HandlerSends {
    const lostReason = this.extra?.lostReason ?? null
    if (lostReason !== null) throw lostReason
    if (this.isOver) {
      const where = `the handler of queue '${this.owner.queueName}'`
      const text = `${where} has ended: send with queue.send, or await everything in the handler`
      throw new LeveretError('E_CLOSED', text)
    }
    const { more } = this
    more.sends ??= new HandlerSends(this.owner)
    return more.sends
  }
}

/** What few tasks need: one object, so that the others pay one word for it. */
class TaskExtra {
  controller: AbortController | null = null
  /** Why its result counts no more. */
  lostReason: LeveretError | null = null
  /** Why its handler was told to stop. */
  abortReason: LeveretError | null = null
  sends: HandlerSends | null = null
  progressTeller: ProgressTeller | null = null
  /** What it publishes settles it: see retryRequest. */
  isParked = false
  /** What its commit is about. */
  ending: Ending = 'done'
  /** Null: it has none, or they are not read yet. */
  children: readonly ChildOutcome[] | null = null
  /** Where their answers are; null: nowhere. */
  gatherQueue: string | null = null
  /** What the handler threw, which may be anything. */
  thrown: unknown = undefined
  hasThrown = false
  cancelLease: (() => void) | null = null
  cancelDeadline: (() => void) | null = null
  /** Null for one on its own. */
  batch: TaskBatch | null = null

  cancelTimers(): void {
    this.cancelLease?.()
    this.cancelDeadline?.()
  }
}
