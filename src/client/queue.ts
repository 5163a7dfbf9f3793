/** A queue as its users hold it: send, process, receive, look, empty, delete. */
import type { Reply } from '../model/command.ts'
import { LeveretError } from '../model/errors.ts'
import { emptyTable } from '../model/field-table.ts'
import type { AnyBatchHandler, BatchHandler } from './batch.ts'
import type { BusParts, Closable } from './bus-parts.ts'
import type { Families, ParentOptions } from './children.ts'
import { clientLimits } from './client-limits.ts'
import type { QueueContract } from './contract.ts'
import { declaration } from './declare-queue.ts'
import type { ForecastOptions, QueueForecast, QueueModel } from './flow-figures.ts'
import { HandlerPool } from './handler-pool.ts'
import type { Outlets } from './handler-runner.ts'
import type { ReceivedMessage } from './incoming.ts'
import { checkFunction, checkInteger, checkOptionNames, shown } from './names.ts'
import type { Outlet, SendTarget } from './outlet.ts'
import type { QueueSettings } from './queue-options.ts'
import { type PeekOptions, Queued, type QueuedMessage } from './queued-message.ts'
import type { Receipt } from './receipt.ts'
import { QueueReceiver, type ReceiveOptions } from './receiver.ts'
import { Redrive, type RedriveOptions, redriveSettings } from './redrive.ts'
import type { ReceiptOptions, SendOptions } from './send-options.ts'
import type { Sent } from './sent.ts'
import type { QueueStats, Statistics } from './statistics.ts'
import type { Task } from './task.ts'
import { QueueWorker } from './worker.ts'
import {
  type BatchOptions,
  batchSettings,
  type Handler,
  type ProcessOptions,
  processSettings,
  type ThreadOptions,
  threadSettings,
  type Worker,
  type WorkSettings,
} from './worker-options.ts'

/** Ended by `break`, by its signal, or by closing it; what was not settled then goes back to the queue. */
export interface MessageIterator<Data, Result>
  extends AsyncIterableIterator<ReceivedMessage<Data, Result>, undefined>,
    AsyncDisposable {
  close(): Promise<void>
}

export interface QueueCount {
  /** Messages that wait for a consumer. */
  readonly ready: number
  readonly consumers: number
}

/** What a queue needs of its bus. */
export interface QueueOwner {
  readonly parts: BusParts
  readonly statistics: Statistics
  readonly outlets: Outlets
  readonly families: Families
  /** Workers and receivers, closed with the bus. */
  readonly closables: Set<Closable>
  /** It was deleted. */
  forgetQueue(name: string): void
  /** Why it can do nothing any more; null: it can. */
  ended(): Error | null
}

export class Queue<Input = unknown, Result = unknown, Data = Input, Returned = Result>
  implements SendTarget<Input, Result>
{
  readonly name: string
  readonly outlet: Outlet
  private readonly owner: QueueOwner
  private readonly what: string
  private readonly contract: QueueContract<Input, Result, Data, Returned>
  private readonly settings: QueueSettings

  constructor(
    owner: QueueOwner,
    contract: QueueContract<Input, Result, Data, Returned>,
    settings: QueueSettings,
    outlet: Outlet,
  ) {
    this.owner = owner
    this.contract = contract
    this.settings = settings
    this.name = contract.name
    this.what = `queue '${contract.name}'`
    this.outlet = outlet
  }

  /** Resolves when the message is stored, with a receipt that tells what becomes of it. */
  send(data: Input, options: ReceiptOptions<Result> & ParentOptions): Promise<Receipt<Result>>
  /** Resolves when the message is stored: on disk for `file:`, confirmed by the broker for `amqp:`. */
  send(data: Input, options?: SendOptions & ParentOptions): Promise<Sent>
  send(data: Input, options?: (SendOptions | ReceiptOptions<Result>) & ParentOptions): Promise<Sent> {
    if (options?.children !== undefined) return this.owner.families.send(this.outlet, data, options)
    return this.outlet.send(data, options)
  }

  /** Resolves when all are stored. A message that is bad in itself is found before any is sent. */
  sendMany(items: readonly Input[], options?: SendOptions): Promise<Sent[]> {
    return this.outlet.sendMany(items, options)
  }

  /**
   * Calls the handler for each message. What it returns acknowledges the message and goes to a sender that waits for it;
   * what it throws is tried again as the queue's `retry` says, then put into the dead-letter queue.
   */
  process(handler: Handler<Data, Returned>, options?: ProcessOptions): Worker
  /**
   * The same with a handler that is the default export of a file, such as `new URL('./resize-handler.js', import.meta.url)`, and runs in
   * threads: see ThreadHandler. `worker.ready()` rejects with E_BAD_OPTION if it cannot be loaded.
   */
  process(file: URL, options?: ThreadOptions): Worker
  process(handler: Handler<Data, Returned> | URL, options: ThreadOptions = {}): Worker {
    const where = `${this.what}: process`
    if (handler instanceof URL) return this.startThreads(where, handler, options)
    if (typeof handler !== 'function') {
      const text = `${where}: a handler is a function, or the URL of a file: new URL('./handler.js', import.meta.url)`
      throw new LeveretError('E_BAD_OPTION', text)
    }
    return this.startWorker(handler as Handler<unknown, unknown>, processSettings(where, options))
  }

  /**
   * As `process`, for a handler that gets up to `size` messages at once, or what has come within `wait`. What it sends is stored
   * with the acknowledgements of the whole batch.
   */
  processBatch(handler: BatchHandler<Data, Returned>, options: BatchOptions = {}): Worker {
    const where = `${this.what}: processBatch`
    checkFunction(where, 'the handler', handler)
    return this.startWorker(handler as AnyBatchHandler, batchSettings(where, options))
  }

  private startThreads(where: string, file: URL, options: ThreadOptions): Worker {
    const { parts } = this.owner
    const { clock, threads } = parts.platform
    if (threads === undefined) throw new LeveretError('E_UNSUPPORTED', `${where}: there are no threads here`)
    const settings = threadSettings(where, options, threads.parallelism)
    const { work } = settings
    const about = {
      queue: this.name,
      file,
      leaseMs: work.leaseMs,
      isChecked: this.contract.input !== undefined,
    }
    const pool = new HandlerPool(clock, threads, { ...about, threads: settings.threads }, (error) =>
      parts.report(error),
    )
    // A handler's context is its task.
    const handler: Handler<unknown, unknown> = ({ data }, context) => pool.run(data, context as Task)
    return this.startWorker(handler, work, pool)
  }

  private startWorker(
    handler: Handler<unknown, unknown> | AnyBatchHandler,
    work: WorkSettings,
    pool: HandlerPool | null = null,
  ): Worker {
    const { parts, outlets, closables } = this.owner
    const worker = new QueueWorker(
      parts,
      this.contract as QueueContract,
      this.settings,
      outlets,
      handler,
      work,
      (one) => closables.delete(one),
      pool,
    )
    const ended = this.owner.ended()
    closables.add(worker)
    if (ended === null) worker.start()
    else worker.end(ended)
    return worker
  }

  /** With `raw`, messages carry the bytes as they are. */
  receive(options: ReceiveOptions & { readonly raw: true }): MessageIterator<Buffer, Returned>
  /** The explicit form: an async iterator of messages, each to be settled with ack, nack or reject. */
  receive(options?: ReceiveOptions): MessageIterator<Data, Returned>
  receive(options: ReceiveOptions = {}): MessageIterator<unknown, Returned> {
    const { parts, closables } = this.owner
    const forget = (one: Closable): boolean => closables.delete(one)
    const receiver = new QueueReceiver(parts, this.contract as QueueContract, this.settings, options, forget)
    const ended = this.owner.ended()
    closables.add(receiver)
    if (ended !== null) receiver.end(ended)
    return receiver as unknown as MessageIterator<unknown, Returned>
  }

  /** Length, rates, waits and ages. Over amqp:// a Leveret tells them; of other brokers there is `count`. */
  stats(): Promise<QueueStats> {
    return this.owner.statistics.of(this.name)
  }

  /**
   * The queue as queueing theory sees it: from what was measured in the last minute, how long a message is to wait, when what waits
   * will be gone, and how far that is to be trusted. Rejects as `stats`.
   */
  async model(): Promise<QueueModel> {
    return (await this.owner.statistics.flowOf(this.name)).model()
  }

  /** What if: the same messages with other workers, or another rate of them. Rejects as `stats`, and with E_BAD_OPTION. */
  async forecast(options: ForecastOptions = {}): Promise<QueueForecast> {
    return (await this.owner.statistics.flowOf(this.name)).forecast(options)
  }

  /** Ready messages and consumers, on every engine. */
  async count(): Promise<QueueCount> {
    const { durable } = this.settings
    const reply = await this.execute({ ...declaration(this.name, durable, emptyTable), passive: true })
    if (reply.type !== 'queue.declare-ok') return { ready: 0, consumers: 0 }
    return { ready: reply.messageCount, consumers: reply.consumerCount }
  }

  /** Removes all messages that wait, ready or delayed; resolves with their number. Nobody is told. */
  async purge(): Promise<number> {
    const reply = await this.execute({ type: 'queue.purge', queue: this.name })
    return reply.type === 'queue.purge-ok' ? reply.messageCount : 0
  }

  /** Hands out nothing until `resume`, to no worker anywhere; what is sent is taken. It survives a restart. */
  async pause(): Promise<void> {
    this.needLeveret('pause')
    await this.execute({ type: 'leveret.pause', queue: this.name, paused: true })
  }

  async resume(): Promise<void> {
    this.needLeveret('resume')
    await this.execute({ type: 'leveret.pause', queue: this.name, paused: false })
  }

  /** Looks at messages that wait, and changes nothing. What comes or goes meanwhile may be seen twice, or not. */
  async *peek(options: PeekOptions = {}): AsyncGenerator<QueuedMessage, undefined> {
    const where = `${this.what}: peek`
    checkOptionNames(where, options, ['limit', 'skip', 'state'])
    const { state = 'ready' } = options
    let left = checkInteger(where, 'limit', options.limit ?? clientLimits.peekDefault, 1, 1_000_000)
    let skip = checkInteger(where, 'skip', options.skip ?? 0, 0, 100_000)
    if (state !== 'ready' && state !== 'delayed') {
      throw new LeveretError('E_BAD_OPTION', `${where}: state is ${shown(state)}, and has to be 'ready' or 'delayed'`)
    }
    this.needLeveret('peek')
    while (left > 0) {
      const limit = Math.min(left, clientLimits.peekAtOnce)
      const reply = await this.execute({ type: 'leveret.peek', queue: this.name, limit, skip, state })
      const messages = reply.type === 'leveret.messages' ? reply.messages : []
      for (const message of messages) yield new Queued(message, this.name)
      left -= messages.length
      skip += messages.length
      const isAll = reply.type !== 'leveret.messages' || (messages.length < limit && !reply.more)
      if (messages.length === 0 || isAll) return
    }
  }

  /**
   * Removes a message that waits, ready or delayed, by its id: what `send` gave. Resolves with true if it is gone for good, with
   * false if a worker has it, or had it, or it never was. Its sender is told that it failed.
   */
  async cancel(id: string): Promise<boolean> {
    this.needLeveret('cancel')
    if (typeof id !== 'string' || id === '') {
      throw new LeveretError('E_BAD_OPTION', `${this.what}: cancel wants the id of a message, as send gave it`)
    }
    const reply = await this.execute({ type: 'leveret.cancel', queue: this.name, messageId: id })
    return reply.type === 'leveret.cancelled' && reply.count > 0
  }

  /** Takes dead letters of this queue back into it, each with its attempts counted anew. Resolves with how many. */
  async redrive(options: RedriveOptions = {}): Promise<number> {
    const settings = redriveSettings(this.name, this.settings.deadLetter, options)
    const { parts, closables } = this.owner
    const ended = this.owner.ended()
    if (ended !== null) throw ended
    const redrive = new Redrive(parts, this.name, settings)
    closables.add(redrive)
    try {
      return await redrive.run()
    } finally {
      closables.delete(redrive)
    }
  }

  /** Deletes the queue with all that is in it; resolves with the number of ready messages. Its workers end. */
  async delete(): Promise<number> {
    const reply = await this.execute({ type: 'queue.delete', queue: this.name, ifUnused: false, ifEmpty: false })
    this.owner.forgetQueue(this.name)
    return reply.type === 'queue.delete-ok' ? reply.messageCount : 0
  }

  private needLeveret(verb: string): void {
    if (this.owner.parts.isLeveret) return
    const text = `${this.what}: this broker is no Leveret and has no '${verb}': see bus.capabilities() for what it can do`
    throw new LeveretError('E_UNSUPPORTED', text)
  }

  private execute(command: Parameters<BusParts['control']['execute']>[0]): Promise<Reply> {
    return this.owner.parts.control.execute(command)
  }
}
