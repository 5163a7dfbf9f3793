/**
 * The handlers of a worker: which message gets one and when, those that run, one by one or in batches, and how they end.
 *
 *     arrived ──room, rate──→ read → handler → result, another attempt, or given up   (outcomes.ts)
 *                               │       └──→ lease over: another attempt, and the handler runs on in vain
 *                               └─ unreadable → given up
 */

import { AutoConcurrency, type ConcurrencyStats, type Lack } from '../flow/auto-concurrency.ts'
import { Deque } from '../lib/deque.ts'
import { RateMeter } from '../lib/rate-meter.ts'
import { LeveretError } from '../model/errors.ts'
import { gatheredHeader } from '../model/gathering.ts'
import type { Message } from '../model/message.ts'
import type { Properties } from '../model/properties.ts'
import type { Acknowledger } from './acknowledger.ts'
import { type AnyBatchHandler, type Batch, BatchCollector, type BatchOwner } from './batch.ts'
import { copyOfBody, decodeBody, parseJson } from './body.ts'
import type { BusParts } from './bus-parts.ts'
import { DeclaredError } from './call-errors.ts'
import type { CallOptions } from './call-options.ts'
import { type Families, failureOfChildren, gatherQueueOf } from './children.ts'
import type { CallContract, EventContract, QueueContract } from './contract.ts'
import { deliveredAnswer, wantsAnswer } from './copies.ts'
import { durationMs } from './duration.ts'
import type { EventOutlet } from './event-outlet.ts'
import { HandlerTimes } from './handler-times.ts'
import { asError, asThrown, errorText } from './headers.ts'
import { Incoming, type IncomingMessage } from './incoming.ts'
import type { Outcomes } from './outcomes.ts'
import type { Outlet } from './outlet.ts'
import { ProgressTeller } from './progress.ts'
import { GiveUp, RetryLater } from './settlement.ts'
import { SchemaFailure, type StandardSchema, validate } from './standard-schema.ts'
import { Task, type TaskOwner } from './task.ts'
import { runCallback } from './user-callback.ts'
import type { Handler, WorkSettings } from './worker-options.ts'

/** What handlers find at their bus. */
export interface Outlets {
  readonly queues: ReadonlyMap<string, Outlet>
  event(contract: EventContract): EventOutlet
  call(contract: string | CallContract, data: unknown, options: CallOptions): Promise<unknown>
  readonly families: Families
}

/** The worker whose handlers they are. */
export interface HandlerRunnerOwner {
  /** False once it closes: no handler begins then. */
  readonly isOpen: boolean
  /** Something that was waited for may have come. */
  changed(): void
  /** It may be another `prefetch`. */
  prefetchChanged(): void
}

export class HandlerRunner implements TaskOwner, BatchOwner {
  readonly queueName: string
  /** Handlers that run, and messages that gather for a batch. */
  running = 0
  private readonly owner: HandlerRunnerOwner
  private readonly parts: BusParts
  private readonly contract: QueueContract
  private readonly outlets: Outlets
  private readonly handler: Handler<unknown, unknown>
  private readonly work: WorkSettings
  private readonly acknowledger: Acknowledger
  private readonly outcomes: Outcomes
  private readonly what: string
  private readonly whatMessage: string
  private readonly times: HandlerTimes
  /** Null: as many handlers as were asked for. */
  private readonly auto: AutoConcurrency | null
  /** Null: nobody said how fast. */
  private readonly meter: RateMeter | null
  /** Null: the handler gets one message. */
  private readonly collector: BatchCollector | null
  private cancelRateTimer: (() => void) | null = null

  private readonly arrived = new Deque<Task>()
  /** Those to be told when they are lost. */
  private readonly watched: Set<Task> = new Set()
  /** Why those of the channels before the present one were lost. */
  private lossReason: LeveretError | null = null
  private starting = false
  private operationMs = 0
  private roundStartedMs = 0
  private endedInRound = 0

  constructor(
    owner: HandlerRunnerOwner,
    parts: BusParts,
    contract: QueueContract,
    outlets: Outlets,
    handler: Handler<unknown, unknown> | AnyBatchHandler,
    work: WorkSettings,
    acknowledger: Acknowledger,
  ) {
    const { clock } = parts.platform
    const { batch } = work
    this.queueName = contract.name
    this.owner = owner
    this.parts = parts
    this.contract = contract
    this.outlets = outlets
    this.handler = handler as Handler<unknown, unknown>
    this.work = work
    this.acknowledger = acknowledger
    this.outcomes = acknowledger.outcomes
    this.what = `queue '${contract.name}'`
    this.whatMessage = `a message of ${this.what}`
    this.times = new HandlerTimes(clock, this.what, work.leaseMs, (task, reason) => this.leaseLost(task, reason))
    this.auto = work.range === null ? null : new AutoConcurrency(work.range, clock.monotonicMs())
    this.meter = work.rate === null ? null : new RateMeter(work.rate)
    this.collector =
      batch === null
        ? null
        : new BatchCollector(this, clock, handler as AnyBatchHandler, batch.size, batch.waitMs, batch.atOnce)
  }

  /** Messages that wait for a handler. */
  get waiting(): number {
    return this.arrived.length
  }

  /** Time spent in handlers that ended well, in seconds. */
  get operationSeconds(): number {
    return this.operationMs / 1000
  }

  /** Messages that the worker is to hold. */
  get prefetch(): number {
    return this.work.prefetch ?? this.auto?.prefetch ?? this.work.concurrency * 2
  }

  get concurrencyStats(): ConcurrencyStats {
    if (this.auto !== null) return this.auto.stats
    const limit = this.work.batch?.atOnce ?? this.work.concurrency
    return { limit, min: limit, max: limit, reason: 'fixed' }
  }

  /** A message has come; its handler begins with `startNext`, or later. */
  delivered(deliveryTag: number, redelivered: boolean, message: Message): void {
    this.arrived.push(new Task(this, this.acknowledger.epoch, deliveryTag, redelivered, message))
  }

  // What tasks and batches ask for.

  get queues(): ReadonlyMap<string, Outlet> {
    return this.outlets.queues
  }

  findEvent(contract: EventContract): EventOutlet {
    return this.outlets.event(contract)
  }

  tellProgress(task: Task, share: number): void {
    const { properties } = task
    if (properties === null || !wantsAnswer(properties, 'progress')) return
    const { more } = task
    more.progressTeller ??= new ProgressTeller(this.parts.sender, properties, this.queueName)
    more.progressTeller.tell(share)
  }

  extendLease(task: Task, byMs: number | null): void {
    this.times.extend(task, byMs)
  }

  call(task: Task, contract: string | CallContract, data: unknown, options: CallOptions): Promise<unknown> {
    const { signal } = options
    const both = signal === undefined ? task.signal : AbortSignal.any([task.signal, signal])
    if (task.deadlineMs === 0) return this.outlets.call(contract, data, { ...options, signal: both })
    const { clock } = this.parts.platform
    const leftMs = Math.max(0, task.deadlineMs - clock.realtimeMs())
    const { timeout } = options
    const timeoutMs = timeout === undefined ? leftMs : Math.min(leftMs, durationMs(timeout, 'context.call: timeout'))
    return this.outlets.call(contract, data, { ...options, timeout: timeoutMs, signal: both })
  }

  watch(task: Task): void {
    if (this.acknowledger.isMine(task)) this.watched.add(task)
    else if (this.lossReason !== null) task.lose(this.lossReason)
  }

  // Beginning.

  /** Starts handlers as long as there are messages and room. Those that end at once make room at once. */
  startNext(): void {
    if (this.starting) return
    if (this.arrived.length > 0) this.startArrived()
    if (this.auto !== null) this.auto.pass(this.parts.platform.clock.monotonicMs(), this.running, this.lack)
  }

  private startArrived(): void {
    this.starting = true
    const { auto } = this
    const { clock } = this.parts.platform
    // The clock is read once for the whole round: handlers that end within it share its time.
    this.roundStartedMs = clock.monotonicMs()
    this.endedInRound = 0
    let started = 0
    while (this.running < this.limit && this.owner.isOpen) {
      if (this.meter !== null && this.arrived.length > 0 && !this.mayStart(this.meter)) break
      const task = this.arrived.shift()
      if (task === undefined) break
      this.running++
      started++
      if (auto !== null) auto.pass(clock.monotonicMs(), this.running, null)
      this.run(task)
    }
    const share = started === 0 ? 0 : this.endedInRound / started
    this.operationMs += (clock.monotonicMs() - this.roundStartedMs) * share
    this.starting = false
  }

  private get limit(): number {
    return this.auto === null ? this.work.concurrency : this.auto.limit
  }

  /** Why no handler begins although there is room; null: there is none. */
  private get lack(): Lack | null {
    if (this.running >= this.limit) return null
    return this.cancelRateTimer === null ? 'messages' : 'rate'
  }

  /** Whether the rate lets another one begin; if not, it is looked again when it does. */
  private mayStart(meter: RateMeter): boolean {
    const { clock } = this.parts.platform
    const nowMs = clock.monotonicMs()
    const waitMs = meter.nextMs - nowMs
    if (waitMs <= 0) {
      meter.count(nowMs)
      return true
    }
    this.cancelRateTimer ??= clock.setTimer(waitMs, () => {
      this.cancelRateTimer = null
      this.goOn()
    })
    return false
  }

  private run(task: Task): void {
    let data: unknown
    try {
      task.readProperties()
      data = this.read(task)
    } catch (error) {
      return this.unreadable(task, error)
    }
    if (isParent(task)) return this.readChildren(task, data)
    if (!(data instanceof Promise)) return this.handle(task, data)
    data.then(
      (value) => this.handle(task, value),
      (error: unknown) => this.unreadable(task, error),
    )
  }

  /** The results of its children come with a parent. */
  private readChildren(task: Task, data: unknown): void {
    const { families } = this.outlets
    const properties = task.allProperties()
    const read = async (): Promise<void> => {
      const value = await data
      const outcomes = (await families.outcomesFor(properties)) ?? []
      const failure = failureOfChildren(properties, outcomes)
      task.more.children = outcomes
      task.more.gatherQueue = gatherQueueOf(properties) ?? null
      if (failure === null) return this.handle(task, value)
      this.leave(task)
      if (this.acknowledger.isMine(task)) this.outcomes.giveUp(task, failure)
      this.goOn()
    }
    read().catch((error: unknown) => {
      if (error instanceof LeveretError && error.code === 'E_BAD_DATA') return this.unreadable(task, error)
      // The answers cannot be had now: another attempt may have more luck.
      this.leave(task)
      if (this.acknowledger.isMine(task)) this.outcomes.attemptFailed(task, errorText(error), null)
      this.goOn()
    })
  }

  forgetChildren(queue: string): void {
    this.outlets.families.forget(queue)
  }

  /** The data as the handler gets them. Throws or rejects with E_BAD_DATA. */
  private read(task: Task): unknown {
    const { message, properties } = task
    const { whatMessage } = this
    const value = properties === null ? parseJson(message, whatMessage) : decodeBody(message, properties, whatMessage)
    const schema = this.contract.input as StandardSchema | undefined
    return schema === undefined ? value : validate(schema, value, `the data of ${whatMessage}`)
  }

  private handle(task: Task, data: unknown): void {
    if (this.acknowledger.hasRefusals && this.wasRefused(task)) return
    const incoming = new Incoming(task.message, task.redelivered, data, task.properties)
    const { properties } = task
    if (task.deadlineMs > 0 && this.times.isOver(task)) return this.tooLate(task)
    if (task.redelivered && this.outcomes.isAtMostOnce(task)) return this.mayHaveRun(task)
    if (properties !== null && !this.parts.isLeveret && wantsAnswer(properties, 'delivered'))
      this.sayDelivered(properties)
    if (this.collector !== null) return this.collector.add(task, incoming)
    if (this.work.leaseMs !== null || task.deadlineMs > 0) this.times.begin(task)
    if (this.auto !== null) task.startedMs = this.parts.platform.clock.monotonicMs()
    let returned: unknown
    let isOver: boolean
    try {
      returned = this.handler(incoming, task)
      isOver = !isThenable(returned)
    } catch (error) {
      return this.threw(task, incoming, error)
    }
    if (isOver) return this.ended(task, incoming, returned)
    task.startedMs ??= this.starting ? this.roundStartedMs : this.parts.platform.clock.monotonicMs()
    // Somebody else's promise may do anything when it is asked.
    const promise = returned instanceof Promise ? returned : Promise.resolve(returned)
    promise.then(
      (value) => this.ended(task, incoming, value),
      (error: unknown) => this.threw(task, incoming, error),
    )
  }

  private wasRefused(task: Task): boolean {
    const refusal = this.acknowledger.takeRefusal(task)
    if (refusal === undefined) return false
    this.leave(task)
    this.outcomes.commitRefused(task, refusal)
    this.goOn()
    return true
  }

  private sayDelivered(properties: Properties): void {
    this.parts.sender.publish(deliveredAnswer(properties, this.queueName), false, ignored(this.what))
  }

  // Ending.

  private ended(task: Task, incoming: IncomingMessage, value: unknown): void {
    if (task.isLost) return
    this.leave(task)
    if (this.auto !== null) this.tellAuto(this.auto, task, !(value instanceof RetryLater))
    if (this.acknowledger.isMine(task)) this.settleWith(task, incoming, value)
    this.goOn()
  }

  private threw(task: Task, incoming: IncomingMessage, error: unknown): void {
    if (task.isLost) return
    this.leave(task)
    if (this.auto !== null) this.tellAuto(this.auto, task, false)
    if (this.acknowledger.isMine(task)) this.failWith(task, incoming, error)
    this.goOn()
  }

  /** A handler has ended; or it has lost its lease, and its place to another. */
  private tellAuto(auto: AutoConcurrency, { startedMs }: Task, isDone: boolean): void {
    if (startedMs === null) return
    const nowMs = this.parts.platform.clock.monotonicMs()
    if (auto.end(nowMs, this.running, nowMs - startedMs, isDone)) this.owner.prefetchChanged()
  }

  private settleWith(task: Task, incoming: IncomingMessage, value: unknown): void {
    if (value instanceof RetryLater) this.outcomes.asksForRetry(task, value)
    else if (value instanceof GiveUp) this.outcomes.giveUp(task, value.reason)
    else {
      this.countTime(task)
      this.outcomes.succeed(task, incoming, value)
    }
  }

  /** Its handler threw that, or what it returned or sent is as bad. `message` null: it is not at hand any more. */
  failWith(task: Task, message: IncomingMessage | null, thrown: unknown): void {
    const error = this.outcomes.tellable(asThrown(thrown))
    const incoming = message ?? new Incoming(task.message, task.redelivered, undefined, task.properties)
    // A declared error is an answer like another.
    if (!(error instanceof DeclaredError)) this.tellError(error, incoming, task.attempt)
    if (this.outcomes.isCall) task.threw(error)
    if (task.deadlineMs > 0 && this.times.isOver(task)) this.outcomes.expire(task, errorText(error))
    else this.outcomes.attemptFailed(task, errorText(error), null)
  }

  /** Somebody had it, and is gone: it may have been done, and must not be done twice. */
  private mayHaveRun(task: Task): void {
    this.leave(task)
    if (this.acknowledger.isMine(task)) {
      const text = `call '${this.queueName}': the answerer that had it is gone, and whether it was done nobody knows`
      task.threw(new LeveretError('E_OUTCOME_UNKNOWN', text))
      this.outcomes.giveUp(task, text)
    }
    this.goOn()
  }

  /** Nobody waits for what it would say. */
  private tooLate(task: Task): void {
    this.leave(task)
    if (this.acknowledger.isMine(task))
      this.outcomes.expire(task, 'its deadline was over before a worker had time for it')
    this.goOn()
  }

  /** Neither another attempt nor another worker can read it, unless it was the schema that failed. */
  private unreadable(task: Task, error: unknown): void {
    this.leave(task)
    if (this.acknowledger.isMine(task)) {
      const incoming = new Incoming(task.message, task.redelivered, copyOfBody(task.message), null)
      if (error instanceof SchemaFailure) this.failWith(task, incoming, error)
      else {
        this.tellError(error, incoming, task.attempt)
        if (this.outcomes.isCall) task.threw(error)
        this.outcomes.giveUp(task, errorText(error))
      }
    }
    this.goOn()
  }

  /** Its handler runs on, and somebody else gets the message; so it is with all of a batch. */
  private leaseLost(task: Task, reason: LeveretError): void {
    const batch = task.extra?.batch ?? null
    for (const one of batch === null ? [task] : [...batch.members]) this.loseLease(one, reason)
    this.goOn()
  }

  private loseLease(task: Task, reason: LeveretError): void {
    if (task.isLost) return
    this.leave(task)
    if (this.auto !== null) this.tellAuto(this.auto, task, false)
    task.lose(reason)
    if (this.acknowledger.isMine(task)) {
      const incoming = new Incoming(task.message, task.redelivered, undefined, task.properties)
      this.tellError(reason, incoming, task.attempt)
      this.outcomes.attemptFailed(task, reason.message, null)
    }
  }

  private leave(task: Task): void {
    this.running--
    task.over()
    if (this.watched.size > 0) this.watched.delete(task)
  }

  /** A handler has ended. */
  private goOn(): void {
    if (this.starting) return
    this.startNext()
    this.acknowledger.commitLater()
    this.owner.changed()
  }

  private tellError(error: unknown, incoming: IncomingMessage, attempt: number): void {
    const { onError } = this.work
    if (onError === undefined) this.parts.report(asError(error))
    else
      runCallback(
        () => onError(error, incoming, attempt),
        (thrown) => this.parts.report(thrown),
      )
  }

  private countTime(task: Task): void {
    if (task.startedMs === null) this.endedInRound++
    else this.operationMs += this.parts.platform.clock.monotonicMs() - task.startedMs
  }

  // Batches.

  batchBegins(batch: Batch): void {
    const nowMs = this.parts.platform.clock.monotonicMs()
    for (const task of batch.members) {
      task.startedMs = nowMs
      if (this.work.leaseMs !== null || task.deadlineMs > 0) this.times.begin(task)
      this.watched.add(task)
    }
  }

  memberEnded(task: Task, incoming: IncomingMessage, value: unknown): void {
    if (task.isLost) return
    this.leave(task)
    if (this.acknowledger.isMine(task)) this.settleWith(task, incoming, value)
  }

  memberThrew(task: Task, incoming: IncomingMessage, error: unknown): void {
    if (task.isLost) return
    this.leave(task)
    if (this.acknowledger.isMine(task)) this.failWith(task, incoming, error)
  }

  batchEnds(): void {
    this.goOn()
  }

  settleBatch(batch: Batch): void {
    this.acknowledger.settleBatch(batch)
  }

  // The worker's end.

  giveBackWaiting(): void {
    for (let task = this.arrived.shift(); task !== undefined; task = this.arrived.shift()) {
      if (!this.outcomes.passOn(task)) this.acknowledger.giveBack(task)
    }
    this.acknowledger.commitLater()
  }

  /** What has gathered for a batch gets its handler now. */
  flushBatch(): void {
    this.collector?.flush()
  }

  /** The channel is gone, and every message that came through it. */
  lose(reason: LeveretError): void {
    this.lossReason = reason
    // Who is told so by his signal has no place any more; the others leave theirs when they end.
    for (const task of this.watched) if (task.isRunning) this.running--
    for (const task of this.watched) task.lose(reason)
    this.watched.clear()
    this.arrived.clear()
    this.running -= this.collector?.clear() ?? 0
    this.cancelRateTimer?.()
    this.cancelRateTimer = null
  }
}

function isParent({ properties }: Task): boolean {
  return properties?.headers?.has(gatheredHeader) === true
}

function isThenable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

function ignored(what: string): Parameters<BusParts['sender']['publish']>[2] {
  return { what, bytes: 0, id: '', unroutable: false, stored() {}, refused() {} }
}
