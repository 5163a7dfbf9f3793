/**
 * Handlers that get many messages at once. Messages gather until there are enough, or the first has waited long enough; what a
 * batch's handler sends is stored with the acknowledgements of all its messages that are done, in one commit.
 *
 *     arrived → gathering ──size or wait──→ handler(messages) → each settled on its own terms
 *                                                             → those that are done: one commit, with what was sent
 */
import { LeveretError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { Clock } from '../platform/clock.ts'
import type { EventContract, QueueContract } from './contract.ts'
import type { Duration } from './duration.ts'
import { HandlerSends, type SendsOwner } from './handler-sends.ts'
import type { IncomingMessage } from './incoming.ts'
import { setLivingTimer } from './keep-alive.ts'
import type { SendTarget } from './outlet.ts'
import type { Receipt } from './receipt.ts'
import type { EmitOptions, SendOptions } from './send-options.ts'
import type { Sent } from './sent.ts'
import { GiveUp, RetryLater, retryLater, type Settlement } from './settlement.ts'
import type { CommitContext, CommitUnit, Task, TaskBatch } from './task.ts'

/** What the handler of a batch can do besides returning and throwing. */
export interface BatchContext extends CommitContext {
  /** The leases of all its messages begin anew, or last so long from now. */
  extend(by?: Duration): void
}

/**
 * Returns nothing: all are done. An array: what each is done with, a result, `context.retry()` or `context.deadLetter(…)`. One of
 * these two: it holds for all. Throws: each is tried again.
 */
export type BatchHandler<Data, Returned> = (
  messages: readonly IncomingMessage<Data>[],
  context: BatchContext,
) => BatchReturn<Returned> | Promise<BatchReturn<Returned>>

export type BatchReturn<Returned> = undefined | void | Settlement | readonly (Returned | Settlement)[]

export type AnyBatchHandler = (messages: readonly IncomingMessage[], context: BatchContext) => unknown

/** The worker whose batches they are. */
export interface BatchOwner extends SendsOwner {
  batchBegins(batch: Batch): void
  /** The handler has returned or thrown; see `batchEnded` of the collector. */
  memberEnded(task: Task, incoming: IncomingMessage, value: unknown): void
  memberThrew(task: Task, incoming: IncomingMessage, error: unknown): void
  batchEnds(): void
  /** Everything its members publish is known: acknowledge them together. */
  settleBatch(batch: Batch): void
}

interface Gathered {
  readonly task: Task
  readonly incoming: IncomingMessage
}

export class BatchCollector {
  private readonly owner: BatchOwner
  private readonly clock: Clock
  private readonly handler: AnyBatchHandler
  private readonly size: number
  private readonly waitMs: number
  private readonly atOnce: number
  private gathered: Gathered[] = []
  private running = 0
  private cancelTimer: (() => void) | null = null
  /** The first that gathers has waited long enough. */
  private isDue = false

  /** Batches of up to `size` messages, `atOnce` of them at a time. */
  constructor(owner: BatchOwner, clock: Clock, handler: AnyBatchHandler, size: number, waitMs: number, atOnce: number) {
    this.owner = owner
    this.clock = clock
    this.handler = handler
    this.size = size
    this.waitMs = waitMs
    this.atOnce = atOnce
  }

  /** A message that its handler may have. */
  add(task: Task, incoming: IncomingMessage): void {
    this.gathered.push({ task, incoming })
    if (this.gathered.length >= this.size) this.begin()
    else if (this.cancelTimer === null && !this.isDue)
      this.cancelTimer = setLivingTimer(this.clock, this.waitMs, this.due)
  }

  /** The worker closes: what has gathered is not waited for any longer. */
  flush(): void {
    if (this.gathered.length > 0) this.due()
  }

  /** The channel is gone, and everything that came through it. Returns how many had gathered. */
  clear(): number {
    const count = this.gathered.length
    this.gathered = []
    this.isDue = false
    this.stopTimer()
    return count
  }

  private readonly due = (): void => {
    this.stopTimer()
    this.isDue = true
    this.begin()
  }

  private begin(): void {
    while (
      this.running < this.atOnce &&
      (this.gathered.length >= this.size || (this.isDue && this.gathered.length > 0))
    ) {
      const members = this.gathered.splice(0, this.size)
      this.isDue = false
      this.stopTimer()
      this.run(members)
    }
    if (this.gathered.length > 0 && !this.isDue && this.cancelTimer === null) {
      this.cancelTimer = setLivingTimer(this.clock, this.waitMs, this.due)
    }
  }

  private run(members: readonly Gathered[]): void {
    this.running++
    const batch = new Batch(
      this.owner,
      members.map(({ task }) => task),
    )
    this.owner.batchBegins(batch)
    this.call(members, batch).then(
      (value) => this.ended(members, batch, value),
      (error: unknown) => this.threw(members, batch, error),
    )
  }

  private async call(members: readonly Gathered[], batch: Batch): Promise<unknown> {
    return await this.handler(
      members.map(({ incoming }) => incoming),
      batch,
    )
  }

  private ended(members: readonly Gathered[], batch: Batch, value: unknown): void {
    if (Array.isArray(value) && value.length !== members.length) {
      const text = `the handler of a batch of ${members.length} returned ${value.length} results: one for each is wanted`
      return this.threw(members, batch, new LeveretError('E_BAD_DATA', text))
    }
    batch.handlerEnded()
    const valueOf = (at: number): unknown => {
      if (value instanceof RetryLater || value instanceof GiveUp) return value
      return Array.isArray(value) ? (value[at] as unknown) : undefined
    }
    // Who goes its own way leaves first, so that the others know when they are complete.
    members.forEach(({ task }, at) => {
      const one = valueOf(at)
      if (one instanceof RetryLater || one instanceof GiveUp) batch.memberLeft(task)
    })
    members.forEach(({ task, incoming }, at) => this.owner.memberEnded(task, incoming, valueOf(at)))
    this.finish()
  }

  private threw(members: readonly Gathered[], batch: Batch, error: unknown): void {
    batch.handlerEnded()
    batch.drop()
    for (const { task, incoming } of members) {
      task.more.batch = null
      this.owner.memberThrew(task, incoming, error)
    }
    this.finish()
  }

  private finish(): void {
    this.running--
    this.begin()
    this.owner.batchEnds()
  }

  private stopTimer(): void {
    this.cancelTimer?.()
    this.cancelTimer = null
  }
}

/** One call of the handler: its context, and what is committed for it. */
export class Batch implements BatchContext, TaskBatch, CommitUnit {
  publishes: Message[] | null = null
  readonly members: Set<Task>
  private readonly owner: BatchOwner
  private readonly sends: HandlerSends
  private readonly settled: Task[] = []
  private readonly controller = new AbortController()
  private isOver = false

  constructor(owner: BatchOwner, tasks: readonly Task[]) {
    this.owner = owner
    this.members = new Set(tasks)
    this.sends = new HandlerSends(owner)
    for (const task of tasks) task.more.batch = this
  }

  get signal(): AbortSignal {
    return this.controller.signal
  }

  send(to: SendTarget | QueueContract, data: unknown, options?: SendOptions): Receipt {
    this.checkRunning()
    return this.sends.send(to, data, options)
  }

  emit(event: EventContract, data: unknown, options?: EmitOptions): Sent {
    this.checkRunning()
    return this.sends.emit(event, data, options)
  }

  retry(options: { readonly after?: Duration } = {}): RetryLater {
    return retryLater(options)
  }

  deadLetter(reason: string): GiveUp {
    return new GiveUp(reason)
  }

  extend(by?: Duration): void {
    for (const task of this.members) task.extend(by)
  }

  // What its tasks tell.

  memberAborted(reason: LeveretError): void {
    this.controller.abort(reason)
  }

  memberSettled(task: Task): void {
    this.settled.push(task)
    this.settleIfComplete()
  }

  memberLeft(task: Task): void {
    if (task.more.batch !== this) return
    task.more.batch = null
    this.members.delete(task)
    if (this.members.size === 0) this.sends.drop()
    else if (this.isOver && this.settled.length > 0) this.settleIfComplete()
  }

  // What the collector and the worker do with it.

  handlerEnded(): void {
    this.isOver = true
  }

  /** What the handler sent belongs to an attempt that failed. */
  drop(): void {
    this.sends.drop()
  }

  get receiptSenders(): readonly (string | null)[] {
    return this.sends.receiptSenders
  }

  /** Gathers what its members and its handler publish. */
  makeSends(): void {
    const publishes: Message[] = []
    for (const task of this.settled) publishes.push(...(task.publishes ?? []))
    this.sends.make(publishes)
    this.publishes = publishes.length === 0 ? null : publishes
  }

  pushTags(tags: number[]): void {
    for (const task of this.settled) tags.push(task.tag)
  }

  committed(): void {
    this.sends.committed()
  }

  lose(reason: LeveretError): void {
    this.sends.drop()
    for (const task of this.members) task.lose(reason)
  }

  get tasks(): readonly Task[] {
    return this.settled
  }

  get first(): Task {
    return this.settled[0] as Task
  }

  private settleIfComplete(): void {
    if (this.settled.length === this.members.size) this.owner.settleBatch(this)
  }

  private checkRunning(): void {
    if (!this.isOver) return
    const where = `the handler of a batch of queue '${this.owner.queueName}'`
    throw new LeveretError('E_CLOSED', `${where} has ended: send with queue.send, or await everything in the handler`)
  }
}
