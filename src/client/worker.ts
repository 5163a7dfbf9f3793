/**
 * A worker: consumes a queue, calls the handler, and settles each message together with what the handler sent.
 *
 *     delivered → arrived ──flush──→ handler ──→ plain ack                    (nothing to publish)
 *                                       │   └──→ settled → one commit for all that gathered: publishes + acks
 *                                       └─ throws → held for its backoff → settled (copy for the next attempt + ack)
 *
 * A handler that publishes nothing is acknowledged with a plain ack, which nobody waits for. Where something has to be
 * stored with the acknowledgement (context.send, an answer, the next attempt, a dead letter), both go through the port's
 * `commit`; handlers that end while a commit is under way form the next one. Over AMQP a commit needs tx mode, which then
 * covers plain acks too: the worker selects it when it first needs it, and from there on everything is committed.
 *
 * What becomes of a task whose handler has ended is in outcomes.ts, what waits meanwhile in held-tasks.ts, commits are in
 * committer.ts. Here are the channel, the handlers, and the end.
 */
import { Deque } from '../lib/deque.ts'
import { RateMeter } from '../lib/rate-meter.ts'
import type { Channel, ChannelEvents } from '../model/channel.ts'
import type { Reply } from '../model/command.ts'
import { type BrokerError, LeveretError } from '../model/errors.ts'
import { emptyTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import type { Properties } from '../model/properties.ts'
import { type AnyBatchHandler, type Batch, BatchCollector, type BatchOwner } from './batch.ts'
import { copyOfBody, decodeBody, parseJson } from './body.ts'
import type { BusParts, Closable } from './bus-parts.ts'
import { clientLimits } from './client-limits.ts'
import { Committer } from './committer.ts'
import type { EventContract, QueueContract } from './contract.ts'
import { answersItself, deliveredAnswer, wantsAnswer } from './copies.ts'
import { durationMs } from './duration.ts'
import type { EventOutlet } from './event-outlet.ts'
import { HandlerTimes } from './handler-times.ts'
import { asError, errorText, headerNames } from './headers.ts'
import { HeldTasks } from './held-tasks.ts'
import { Incoming, type IncomingMessage } from './incoming.ts'
import { keepAliveBy, setLivingTimer } from './keep-alive.ts'
import { type OutcomeOwner, Outcomes } from './outcomes.ts'
import type { Outlet } from './outlet.ts'
import { ProgressTeller } from './progress.ts'
import type { QueueSettings } from './queue-options.ts'
import { Replies } from './replies.ts'
import { GiveUp, RetryLater } from './settlement.ts'
import { type StandardSchema, validate } from './standard-schema.ts'
import { Task, type TaskOwner } from './task.ts'
import type { CloseOptions, Handler, Worker, WorkerStats, WorkSettings } from './worker-options.ts'

/** What a worker finds at its bus. */
export interface Outlets {
  readonly queues: ReadonlyMap<string, Outlet>
  event(contract: EventContract): EventOutlet
}

export class QueueWorker implements Worker, Closable, ChannelEvents, TaskOwner, OutcomeOwner, BatchOwner {
  readonly queueName: string
  private readonly parts: BusParts
  private readonly contract: QueueContract
  private readonly outlets: Outlets
  private readonly handler: Handler<unknown, unknown>
  private readonly work: WorkSettings
  private readonly times: HandlerTimes
  /** Null: nobody said how fast. */
  private readonly meter: RateMeter | null
  /** Null: the handler gets one message. */
  private readonly collector: BatchCollector | null
  private cancelRateTimer: (() => void) | null = null
  private readonly what: string
  private readonly whatMessage: string
  private readonly forget: (worker: QueueWorker) => void

  private channel: Channel | null = null
  private readonly replies = new Replies()
  private readonly committer: Committer
  private consumerTag = ''
  private epoch = 0
  private restarts = 0

  private readonly arrived = new Deque<Task>()
  private readonly held: HeldTasks
  private readonly outcomes: Outcomes
  private readonly watched: Set<Task> = new Set()
  private starting = false
  private running = 0

  private state: 'open' | 'closing' | 'closed' = 'open'
  private failure: Error | null = null
  private begun: Promise<void> | null = null
  /** The process stays as long as it is open. */
  private release: (() => void) | null = null
  private closing: Promise<void> | null = null
  private listeners: (() => void)[] = []
  private operationMs = 0
  private roundStartedMs = 0
  private endedInRound = 0

  constructor(
    parts: BusParts,
    contract: QueueContract,
    settings: QueueSettings,
    outlets: Outlets,
    handler: Handler<unknown, unknown> | AnyBatchHandler,
    work: WorkSettings,
    forget: (worker: QueueWorker) => void,
  ) {
    const { clock } = parts.platform
    const { batch } = work
    this.queueName = contract.name
    this.what = `queue '${contract.name}'`
    this.whatMessage = `a message of ${this.what}`
    this.work = work
    this.parts = parts
    this.contract = contract
    this.outlets = outlets
    this.handler = handler as Handler<unknown, unknown>
    this.forget = forget
    this.meter = work.rate === null ? null : new RateMeter(work.rate)
    this.times = new HandlerTimes(clock, this.what, work.leaseMs, (task, reason) => this.leaseLost(task, reason))
    this.collector =
      batch === null
        ? null
        : new BatchCollector(this, clock, handler as AnyBatchHandler, batch.size, batch.waitMs, batch.atOnce)
    this.committer = new Committer(parts.platform.clock, this.replies, parts.commits === 'tx')
    this.held = new HeldTasks(parts.platform.clock, () => this.wentOn())
    this.outcomes = new Outcomes(this, parts, contract, settings, this.held)
  }

  /** Begins to consume. */
  start(): void {
    this.release ??= keepAliveBy(this.parts.platform.clock)
    this.begun = this.begin()
    this.begun.catch((error: unknown) => this.fail(error as Error))
  }

  async ready(): Promise<void> {
    if (this.failure !== null) throw this.failure
    await this.begun
  }

  stats(): WorkerStats {
    const { processed, retried, deadLettered } = this.outcomes
    const operationSeconds = this.operationMs / 1000
    return {
      running: this.running,
      waiting: this.arrived.length + this.committer.size + this.held.size,
      processed,
      retried,
      deadLettered,
      operationSeconds,
      operationRate: operationSeconds === 0 ? 0 : processed / operationSeconds,
    }
  }

  close(options: CloseOptions = {}): Promise<void> {
    this.closing ??= this.closeWithin(durationMs(options.timeout ?? clientLimits.closeTimeoutMs, 'close: timeout'))
    return this.closing
  }

  async closed(): Promise<void> {
    while (this.state !== 'closed') await new Promise<void>((resolve) => this.listeners.push(resolve))
    if (this.failure !== null) throw this.failure
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The session is gone. */
  end(error: Error): void {
    this.fail(error)
  }

  get isOpen(): boolean {
    return this.state === 'open'
  }

  findOutlet(name: string): Outlet | undefined {
    return this.outlets.queues.get(name)
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

  watch(task: Task): void {
    if (this.isMine(task)) this.watched.add(task)
    else task.lose(this.lossOf(this.failure))
  }

  // What the channel tells. Handlers start from flush() alone, at the end of the broker's turn.

  replied(id: number, reply: Reply): void {
    if (this.committer.replied(id)) {
      this.restarts = 0
      return
    }
    if (reply.type === 'basic.consume-ok') this.consumerTag = reply.consumerTag
    this.replies.replied(id, reply)
  }

  delivered(_consumerTag: string, deliveryTag: number, redelivered: boolean, message: Message): void {
    this.arrived.push(new Task(this, this.epoch, deliveryTag, redelivered, message))
  }

  flush(): void {
    this.startNext()
    this.committer.commit()
    this.tell()
  }

  cancelled(): void {
    this.fail(new LeveretError('E_CLOSED', `${this.what} was deleted, so its worker has ended`))
  }

  failed(_id: number, error: BrokerError): void {
    this.channelFailed(error)
  }

  confirmed(): void {}

  /** Over AMQP a commit takes effect although one of its messages has nowhere to go; in process it is refused. */
  returned(message: Message): void {
    const { headers, messageId = 'without an id' } = message.decodeProperties()
    // Whoever is answered may be gone.
    if (headers?.has(headerNames.outcome) === true) return
    const { routingKey } = message
    const text = `${this.what}: a handler sent message ${messageId} to queue '${routingKey}', which is gone: it is stored nowhere`
    this.parts.report(new LeveretError('E_UNROUTABLE', text))
  }

  // Beginning.

  private async begin(): Promise<void> {
    const channel = this.parts.session.openChannel(this)
    this.channel = channel
    this.committer.attach(channel)
    const { replies, queueName: queue } = this
    const { prefetch: prefetchCount } = this.work
    const qos = { type: 'basic.qos', prefetchSize: 0, prefetchCount, global: false } as const
    const consume = { type: 'basic.consume', queue, consumerTag: '', noAck: false, exclusive: false } as const
    const table = this.parts.isLeveret ? answersItself : emptyTable
    await Promise.all([replies.execute(channel, qos), replies.execute(channel, { ...consume, arguments: table })])
  }

  // Handlers.

  /** Starts handlers as long as there are messages and room. Those that end at once make room at once. */
  private startNext(): void {
    if (this.starting || this.arrived.length === 0) return
    this.starting = true
    const { clock } = this.parts.platform
    // The clock is read once for the whole round: handlers that end within it share its time.
    this.roundStartedMs = clock.monotonicMs()
    this.endedInRound = 0
    let started = 0
    const { concurrency } = this.work
    while (this.running < concurrency && this.state === 'open') {
      if (this.meter !== null && this.arrived.length > 0 && !this.mayStart(this.meter)) break
      const task = this.arrived.shift()
      if (task === undefined) break
      this.running++
      started++
      this.run(task)
    }
    const share = started === 0 ? 0 : this.endedInRound / started
    this.operationMs += (clock.monotonicMs() - this.roundStartedMs) * share
    this.starting = false
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
    if (!(data instanceof Promise)) return this.handle(task, data)
    data.then(
      (value) => this.handle(task, value),
      (error: unknown) => this.unreadable(task, error),
    )
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
    if (this.committer.hasRefusals && this.wasRefused(task)) return
    const incoming = new Incoming(task.message, task.redelivered, data, task.properties)
    const { properties } = task
    if (task.deadlineMs > 0 && this.times.isOver(task)) return this.tooLate(task)
    if (properties !== null && !this.parts.isLeveret && wantsAnswer(properties, 'delivered'))
      this.sayDelivered(properties)
    if (this.collector !== null) return this.collector.add(task, incoming)
    if (this.work.leaseMs !== null || task.deadlineMs > 0) this.times.begin(task)
    let returned: unknown
    try {
      returned = this.handler(incoming, task)
    } catch (error) {
      return this.threw(task, incoming, error)
    }
    if (!isThenable(returned)) return this.ended(task, returned)
    task.startedMs = this.starting ? this.roundStartedMs : this.parts.platform.clock.monotonicMs()
    returned.then(
      (value) => this.ended(task, value),
      (error: unknown) => this.threw(task, incoming, error),
    )
  }

  private ended(task: Task, value: unknown): void {
    if (task.isLost) return
    this.leave(task)
    if (this.isMine(task)) this.settleWith(task, value)
    this.goOn()
  }

  private settleWith(task: Task, value: unknown): void {
    if (value instanceof RetryLater) this.outcomes.asksForRetry(task, value)
    else if (value instanceof GiveUp) this.outcomes.giveUp(task, value.reason)
    else {
      this.countTime(task)
      this.outcomes.succeed(task, value)
    }
  }

  private threw(task: Task, incoming: IncomingMessage, error: unknown): void {
    if (task.isLost) return
    this.leave(task)
    if (this.isMine(task)) this.failWith(task, incoming, error)
    this.goOn()
  }

  private failWith(task: Task, incoming: IncomingMessage, error: unknown): void {
    this.tellError(error, incoming, task.attempt)
    if (task.deadlineMs > 0 && this.times.isOver(task)) this.outcomes.expire(task, errorText(error))
    else this.outcomes.attemptFailed(task, errorText(error), null)
  }

  /** Nobody waits for what it would say. */
  private tooLate(task: Task): void {
    this.leave(task)
    if (this.isMine(task)) this.outcomes.expire(task, 'its deadline was over before a worker had time for it')
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
    task.lose(reason)
    if (this.isMine(task)) {
      const incoming = new Incoming(task.message, task.redelivered, undefined, task.properties)
      this.tellError(reason, incoming, task.attempt)
      this.outcomes.attemptFailed(task, reason.message, null)
    }
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

  memberEnded(task: Task, value: unknown): void {
    if (task.isLost) return
    this.leave(task)
    if (this.isMine(task)) this.settleWith(task, value)
  }

  memberThrew(task: Task, incoming: IncomingMessage, error: unknown): void {
    if (task.isLost) return
    this.leave(task)
    if (this.isMine(task)) this.failWith(task, incoming, error)
  }

  batchEnds(): void {
    this.goOn()
  }

  settleBatch(batch: Batch): void {
    if (!this.isMine(batch.first) || this.channel === null) return
    const ready = this.answersReady(batch.receiptSenders)
    if (ready === null) return this.commitBatch(batch)
    const { first } = batch
    this.held.hold(first)
    ready.then(
      () => this.held.resume(first, () => this.commitBatch(batch)),
      (error: unknown) => this.held.resume(first, () => this.batchFailed(batch, error)),
    )
  }

  private commitBatch(batch: Batch): void {
    if (this.channel === null) return
    try {
      batch.makeSends()
    } catch (error) {
      return this.batchFailed(batch, error)
    }
    if (batch.publishes !== null || this.committer.isTransactional) return this.committer.add(batch)
    this.restarts = 0
    for (const task of batch.members) this.channel.ack(task.tag, false)
  }

  private batchFailed(batch: Batch, error: unknown): void {
    batch.drop()
    for (const task of batch.members) {
      task.more.batch = null
      this.outcomes.attemptFailed(task, errorText(error), null)
    }
  }

  /** Neither another attempt nor another worker can read it. */
  private unreadable(task: Task, error: unknown): void {
    this.leave(task)
    if (this.isMine(task)) {
      const incoming = new Incoming(task.message, task.redelivered, copyOfBody(task.message), null)
      this.tellError(error, incoming, task.attempt)
      this.outcomes.giveUp(task, errorText(error))
    }
    this.goOn()
  }

  /** Its tag still means something: the channel it came through is open. */
  private isMine(task: Task): boolean {
    return task.epoch === this.epoch
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
    this.committer.commitLater()
    this.tell()
  }

  private wasRefused(task: Task): boolean {
    const id = task.allProperties().messageId
    const reason = id === undefined ? undefined : this.committer.takeRefusal(id, task.attempt)
    if (reason === undefined) return false
    this.leave(task)
    this.outcomes.attemptFailed(task, reason, null)
    this.goOn()
    return true
  }

  private tellError(error: unknown, incoming: IncomingMessage, attempt: number): void {
    try {
      const { onError } = this.work
      if (onError !== undefined) onError(error, incoming, attempt)
      else this.parts.report(asError(error))
    } catch (thrown) {
      this.parts.report(asError(thrown))
    }
  }

  private sayDelivered(properties: Properties): void {
    this.parts.sender.publish(deliveredAnswer(properties, this.queueName), false, ignored(this.what))
  }

  private countTime(task: Task): void {
    if (task.startedMs === null) this.endedInRound++
    else this.operationMs += this.parts.platform.clock.monotonicMs() - task.startedMs
  }

  /** A task that was held has gone on. */
  private wentOn(): void {
    this.committer.commitLater()
    this.tell()
  }

  // Settling.

  /** From the outcomes: the task is done with, but for what it publishes. */
  settle(task: Task): void {
    if (!this.isMine(task) || this.channel === null) return
    const batch = task.extra?.batch ?? null
    if (batch !== null) return batch.memberSettled(task)
    const ready = this.answersReady(task.receiptSenders)
    if (ready !== null) return this.settleWhen(task, ready)
    try {
      task.makeSends()
    } catch (error) {
      return this.outcomes.attemptFailed(task, errorText(error), null)
    }
    if (task.publishes !== null || this.committer.isTransactional) this.committer.add(task)
    else {
      this.restarts = 0
      this.channel.ack(task.tag, false)
    }
  }

  /** Null if answers to all of them can come; else it settles when they can, or cannot. */
  private answersReady(senders: readonly (string | null)[]): Promise<unknown> | null {
    if (senders.length === 0) return null
    const { receipts } = this.parts
    const opening = senders.map((sender) => receipts.opened(sender)).filter((one) => one !== null)
    return opening.length === 0 ? null : Promise.all(opening)
  }

  private settleWhen(task: Task, ready: Promise<unknown>): void {
    this.held.hold(task)
    ready.then(
      () => this.held.resume(task, () => this.settle(task)),
      (error: unknown) => this.held.resume(task, () => this.outcomes.attemptFailed(task, errorText(error), null)),
    )
  }

  // Ending.

  /** The broker closed the channel, and took back everything that came through it: begin anew. */
  private channelFailed(error: BrokerError): void {
    this.replies.failAll(error)
    this.channel?.close()
    this.channel = null
    this.committer.blame(error)
    const reason = this.lossOf(error)
    this.loseAll(reason)
    if (this.state !== 'open') return this.finish()
    if (this.consumerTag === '' || ++this.restarts > clientLimits.restartsMax) return this.fail(error)
    this.consumerTag = ''
    this.parts.report(reason)
    this.start()
  }

  private lossOf(cause: Error | null): LeveretError {
    const why = cause === null ? 'its worker was closed' : `the channel was closed: ${cause.message}`
    return new LeveretError('E_CONNECTION_LOST', `${this.what}: the message went back to the queue, for ${why}`, cause)
  }

  private loseAll(reason: LeveretError): void {
    this.epoch++
    // Who is told so by his signal has no place any more; the others leave theirs when they end.
    for (const task of this.watched) if (task.isRunning) this.running--
    for (const task of [...this.committer.detach(), ...this.held.tasks(), ...this.watched]) task.lose(reason)
    this.held.clear()
    this.watched.clear()
    this.arrived.clear()
    this.running -= this.collector?.clear() ?? 0
    this.cancelRateTimer?.()
    this.cancelRateTimer = null
  }

  private fail(error: Error): void {
    if (this.state === 'closed') return
    this.failure ??= error
    this.loseAll(this.lossOf(error))
    this.parts.report(error)
    this.finish()
  }

  private async closeWithin(timeoutMs: number): Promise<void> {
    if (this.state !== 'open') return
    this.state = 'closing'
    await this.begun?.catch(() => {})
    if (this.isClosed) return
    const cancelTimer = setLivingTimer(this.parts.platform.clock, timeoutMs, () => this.finish())
    const { channel } = this
    if (channel !== null) {
      const cancel = { type: 'basic.cancel', consumerTag: this.consumerTag } as const
      await this.replies.execute(channel, cancel).catch(() => {})
    }
    this.giveBackWaiting()
    this.collector?.flush()
    while (!this.isClosed && !this.isIdle) await new Promise<void>((resolve) => this.listeners.push(resolve))
    cancelTimer()
    this.finish()
  }

  /** What nobody works on goes back, or on, at once; the rest has until the deadline. */
  private giveBackWaiting(): void {
    for (let task = this.arrived.shift(); task !== undefined; task = this.arrived.shift()) {
      // In tx mode it would wait for a commit; closing the channel returns it as well.
      if (!this.committer.isTransactional) this.channel?.reject(task.tag, false, true)
    }
    this.held.giveBack()
  }

  private get isClosed(): boolean {
    return this.state === 'closed'
  }

  private get isIdle(): boolean {
    return this.running === 0 && this.held.size === 0 && this.committer.size === 0
  }

  /** Gives back what is left: closing the channel returns all that is not acknowledged. */
  private finish(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.release?.()
    this.loseAll(this.lossOf(this.failure))
    this.channel?.close()
    this.channel = null
    this.replies.failAll(new LeveretError('E_CLOSED', `the worker of ${this.what} is closed`))
    this.forget(this)
    this.tell()
  }

  private tell(): void {
    if (this.listeners.length === 0) return
    const { listeners } = this
    this.listeners = []
    for (const listener of listeners) listener()
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

function ignored(what: string): Parameters<BusParts['sender']['publish']>[2] {
  return { what, bytes: 0, id: '', unroutable: false, stored() {}, refused() {} }
}
