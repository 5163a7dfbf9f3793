/**
 * A worker: consumes a queue, calls the handler, and settles each message together with what the handler sent.
 *
 *     delivered → arrived ──flush──→ handler ──→ plain ack                    (nothing to publish)
 *                                       │   └──→ settled → one commit for all that gathered: publishes + acks
 *                                       └─ throws → held for its backoff → settled (copy for the next attempt + ack)
 *
 * Handlers are in handler-runner.ts, what becomes of a task when its handler has ended in outcomes.ts, and how it is
 * acknowledged in acknowledger.ts. Here is the worker's life: its channel, what that tells, a new one when the broker closed
 * it, and the end.
 */
import type { Channel, ChannelEvents } from '../model/channel.ts'
import type { Reply } from '../model/command.ts'
import { type BrokerError, LeveretError } from '../model/errors.ts'
import { emptyTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'
import { Acknowledger, type AcknowledgerOwner } from './acknowledger.ts'
import type { AnyBatchHandler } from './batch.ts'
import type { BusParts, Closable } from './bus-parts.ts'
import { clientLimits } from './client-limits.ts'
import type { QueueContract } from './contract.ts'
import { workerArguments } from './copies.ts'
import type { HandlerPool } from './handler-pool.ts'
import { HandlerRunner, type HandlerRunnerOwner, type Outlets } from './handler-runner.ts'
import { headerNames } from './headers.ts'
import type { IncomingMessage } from './incoming.ts'
import { keepAliveBy, setLivingTimer } from './keep-alive.ts'
import type { QueueSettings } from './queue-options.ts'
import { Replies } from './replies.ts'
import type { Task } from './task.ts'
import {
  type CloseOptions,
  closeTimeoutOf,
  type Handler,
  type Worker,
  type WorkerStats,
  type WorkSettings,
} from './worker-options.ts'

export class QueueWorker implements Worker, Closable, ChannelEvents, AcknowledgerOwner, HandlerRunnerOwner {
  private readonly parts: BusParts
  private readonly queueName: string
  private readonly what: string
  private readonly concurrency: number
  private readonly forget: (worker: QueueWorker) => void
  private readonly replies = new Replies()
  private readonly acknowledger: Acknowledger
  private readonly runner: HandlerRunner
  /** Null: handlers run in this thread. */
  private readonly pool: HandlerPool | null

  private channel: Channel | null = null
  private consumerTag = ''
  /** Whether messages held are counted over the channel: such a limit can be changed. */
  private readonly isCall: boolean
  private readonly prefetchFollows: boolean
  /** What the broker was told. */
  private prefetch = 0
  private changingPrefetch: Promise<void> | null = null
  /** New channels in a row, without one acknowledgement in between. */
  private restarts = 0
  private state: 'open' | 'closing' | 'closed' = 'open'
  private failure: Error | null = null
  private begun: Promise<void> | null = null
  /** The process stays as long as it is open. */
  private release: (() => void) | null = null
  private closing: Promise<void> | null = null
  private listeners: (() => void)[] = []

  constructor(
    parts: BusParts,
    contract: QueueContract,
    settings: QueueSettings,
    outlets: Outlets,
    handler: Handler<unknown, unknown> | AnyBatchHandler,
    work: WorkSettings,
    forget: (worker: QueueWorker) => void,
    pool: HandlerPool | null = null,
  ) {
    this.parts = parts
    this.pool = pool
    this.queueName = contract.name
    this.what = `queue '${contract.name}'`
    this.concurrency = work.concurrency
    this.prefetchFollows = work.prefetch === null
    this.isCall = settings.isCall
    this.forget = forget
    this.acknowledger = new Acknowledger(this, parts, contract, settings, this.replies)
    this.runner = new HandlerRunner(this, parts, contract, outlets, handler, work, this.acknowledger)
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
    const { running, waiting, operationSeconds } = this.runner
    const { processed, retried, deadLettered } = this.acknowledger.outcomes
    return {
      running,
      waiting: waiting + this.acknowledger.size,
      processed,
      retried,
      deadLettered,
      operationSeconds,
      operationRate: operationSeconds === 0 ? 0 : processed / operationSeconds,
      concurrency: this.runner.concurrencyStats,
    }
  }

  close(options: CloseOptions = {}): Promise<void> {
    let timeoutMs: number
    try {
      timeoutMs = closeTimeoutOf(`${this.what}: worker.close`, options)
    } catch (error) {
      return Promise.reject(error as Error)
    }
    this.closing ??= this.closeWithin(timeoutMs)
    return this.closing
  }

  async closed(): Promise<void> {
    while (!this.isClosed) await new Promise<void>((resolve) => this.listeners.push(resolve))
    if (this.failure !== null) throw this.failure
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The session is gone. */
  end(error: Error): void {
    this.fail(error)
  }

  // What the handlers and the acknowledgements ask and tell.

  get isOpen(): boolean {
    return this.state === 'open'
  }

  changed(): void {
    if (this.listeners.length === 0) return
    const { listeners } = this
    this.listeners = []
    for (const listener of listeners) listener()
  }

  refuse(task: Task, incoming: IncomingMessage | null, error: unknown): void {
    this.runner.failWith(task, incoming, error)
  }

  prefetchChanged(): void {
    if (!this.prefetchFollows || this.changingPrefetch !== null || this.state !== 'open') return
    const { prefetch } = this.runner
    const isNear = prefetch <= this.prefetch && prefetch * 2 >= this.prefetch
    const { channel } = this
    if (isNear || channel === null || this.consumerTag === '') return
    this.prefetch = prefetch
    // What fails has closed the channel, and that is told elsewhere.
    this.changingPrefetch = this.changePrefetch(channel)
      .catch(() => {})
      .finally(() => {
        this.changingPrefetch = null
      })
  }

  // What the channel tells. Handlers start from flush() alone, at the end of the broker's turn.

  replied(id: number, reply: Reply): void {
    if (this.acknowledger.replied(id)) return
    if (reply.type === 'basic.consume-ok') this.consumerTag = reply.consumerTag
    this.replies.replied(id, reply)
  }

  delivered(_consumerTag: string, deliveryTag: number, redelivered: boolean, message: Message): void {
    this.runner.delivered(deliveryTag, redelivered, message)
  }

  flush(): void {
    this.runner.startNext()
    this.acknowledger.commit()
    this.changed()
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

  // Beginning, and beginning anew.

  private async begin(): Promise<void> {
    if (this.pool !== null) await this.pool.start()
    if (this.isClosed) return
    const channel = this.parts.session.openChannel(this)
    this.channel = channel
    this.acknowledger.attach(channel)
    this.prefetch = this.runner.prefetch
    await Promise.all([this.limitTo(channel, this.prefetch), this.consume(channel)])
  }

  private limitTo(channel: Channel, prefetchCount: number): Promise<Reply> {
    // A limit over the channel holds from now on, one for each consumer for those that begin later. But RabbitMQ's quorum
    // queues know only the latter.
    const global = this.prefetchFollows && this.parts.isLeveret
    return this.replies.execute(channel, { type: 'basic.qos', prefetchSize: 0, prefetchCount, global })
  }

  private consume(channel: Channel): Promise<Reply> {
    const consume = { type: 'basic.consume', consumerTag: '', noAck: false, exclusive: false } as const
    const { isLeveret } = this.parts
    // How many it works on at once is not known beforehand where that is being looked for.
    const told = workerArguments(this.prefetchFollows ? null : this.concurrency, this.isCall)
    const table = isLeveret ? told : emptyTable
    return this.replies.execute(channel, { ...consume, queue: this.queueName, arguments: table })
  }

  private async changePrefetch(channel: Channel): Promise<void> {
    const { consumerTag } = this
    await this.limitTo(channel, this.prefetch)
    if (this.parts.isLeveret) return
    await this.consume(channel)
    await this.replies.execute(channel, { type: 'basic.cancel', consumerTag })
  }

  /** The broker closed the channel, and took back everything that came through it: begin anew. */
  private channelFailed(error: BrokerError): void {
    this.replies.failAll(error)
    this.channel?.close()
    this.channel = null
    this.acknowledger.blame(error)
    const reason = this.lossOf(error)
    this.loseAll(reason)
    if (this.state !== 'open') return this.finish()
    if (this.acknowledger.hasAcknowledged) this.restarts = 0
    if (this.consumerTag === '' || ++this.restarts > clientLimits.restartsMax) return this.fail(error)
    this.consumerTag = ''
    this.parts.report(reason)
    this.start()
  }

  /** Why a handler that runs works in vain; `cause` null: the worker was closed. */
  private lossOf(cause: Error | null): LeveretError {
    // It says by itself that the queue was deleted, or the connection lost.
    if (cause instanceof LeveretError) return cause
    const text = `${this.what}: the message went back to the queue, for`
    if (cause === null) return new LeveretError('E_CLOSED', `${text} its worker was closed`)
    return new LeveretError('E_CONNECTION_LOST', `${text} the channel was closed: ${cause.message}`, cause)
  }

  private loseAll(reason: LeveretError): void {
    this.acknowledger.lose(reason)
    this.runner.lose(reason)
  }

  // Ending.

  private fail(error: Error): void {
    if (this.isClosed) return
    this.failure ??= error
    this.loseAll(this.lossOf(error))
    this.parts.report(error)
    this.finish()
  }

  private async closeWithin(timeoutMs: number): Promise<void> {
    if (this.state !== 'open') return
    this.state = 'closing'
    if (this.pool?.isStarting === true) void this.pool.close()
    await this.begun?.catch(() => {})
    if (this.isClosed) return this.pool?.close()
    const cancelTimer = setLivingTimer(this.parts.platform.clock, timeoutMs, () => this.finish())
    await this.changingPrefetch
    const { channel } = this
    if (channel !== null) {
      const cancel = { type: 'basic.cancel', consumerTag: this.consumerTag } as const
      await this.replies.execute(channel, cancel).catch(() => {})
    }
    // What nobody works on goes back, or on, at once; the rest has until the deadline.
    this.runner.giveBackWaiting()
    this.acknowledger.giveBackHeld()
    this.runner.flushBatch()
    while (!this.isClosed && !this.isIdle) await new Promise<void>((resolve) => this.listeners.push(resolve))
    cancelTimer()
    this.finish()
    await this.pool?.close()
  }

  private get isClosed(): boolean {
    return this.state === 'closed'
  }

  private get isIdle(): boolean {
    return this.runner.running === 0 && this.acknowledger.size === 0
  }

  /** Gives back what is left: closing the channel returns all that is not acknowledged. */
  private finish(): void {
    if (this.isClosed) return
    this.state = 'closed'
    this.release?.()
    this.loseAll(this.lossOf(this.failure))
    void this.pool?.close()
    this.channel?.close()
    this.channel = null
    this.replies.failAll(new LeveretError('E_CLOSED', `the worker of ${this.what} is closed`))
    this.forget(this)
    this.changed()
  }
}
