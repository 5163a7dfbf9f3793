/**
 * Request and reply. A call is a message to the queue of that name, with a reply_to, as AMQP clients make them in any language:
 *
 *     transient, the usual way   at most once: a request that was with an answerer which is gone is not tried again, and its caller
 *                                is told so; of no use after its deadline
 *     persistent, `durable`      at least once: kept, tried again by the answerer's `retry`, dead-lettered
 *
 * A caller that gives up says so: the request is taken out of the queue, or, if somebody works on it, its answerer is told through
 * amq.direct under the key `leveret.cancel.<call>`, with the request's id as correlation_id.
 */
import { BrokerError, LeveretError } from '../model/errors.ts'
import { Message } from '../model/message.ts'
import { encodeProperties } from '../model/properties.ts'
import type { BusParts } from './bus-parts.ts'
import { CallError, readCallError, TransportedError } from './call-errors.ts'
import { type CallCallback, type CallOptions, checkCallOptions } from './call-options.ts'
import { clientLimits } from './client-limits.ts'
import { type CallContract, callContractOf, type QueueContract } from './contract.ts'
import { ensureQueue } from './declare-queue.ts'
import { durationMs } from './duration.ts'
import type { IncomingMessage } from './incoming.ts'
import { keepAliveBy, setLivingTimer } from './keep-alive.ts'
import { type Listener, Listeners } from './listeners.ts'
import { checkFunction, checkOptionNames, shown } from './names.ts'
import { Outlet } from './outlet.ts'
import type { Queue } from './queue.ts'
import type { QueueOptions } from './queue-options.ts'
import { OpenReceipt, type Receipt } from './receipt.ts'
import type { RetryOptions } from './retry.ts'
import type { AnyOptions } from './send-options.ts'
import type { HandlerContext, Task } from './task.ts'
import { runCallback } from './user-callback.ts'
import type { CloseOptions, Handler, ProcessOptions, Worker, WorkerStats } from './worker-options.ts'

/** How an answerer works: as a queue's worker. `retry` and `deadLetter` are for durable calls. */
export interface AnswerOptions extends ProcessOptions {
  /** Calls that are answered at the same time. Default 10. */
  readonly concurrency?: number
  /** Default: as many as `concurrency`, so that others get what this one has no time for. */
  readonly prefetch?: number
  readonly retry?: RetryOptions
  readonly deadLetter?: string | false
}

export type AnswerHandler<Data = unknown, Returned = unknown> = (
  data: Data,
  context: HandlerContext,
  message: IncomingMessage<Data>,
) => Returned | Promise<Returned>

/** What calls need of their bus. */
export interface CallsOwner {
  readonly parts: BusParts
  createQueue(contract: QueueContract, options: QueueOptions): Promise<Queue>
  /** A queue that is there; `isCall`: see QueueSettings. */
  holdQueue(contract: QueueContract, options: QueueOptions, isCall: boolean): Queue
}

const cancelExchange = 'amq.direct'
const cancelKeyPrefix = 'leveret.cancel.'

const answerOptionNames = ['concurrency', 'prefetch', 'rate', 'lease', 'onError', 'retry', 'deadLetter'] as const

/** What this bus knows of a call. */
interface Known {
  readonly contract: CallContract
  readonly transient: Outlet
  readonly persistent: Outlet
  /** Null: its queue is there. */
  ready: Promise<void> | null
}

export class Calls {
  /** For answerers: who hears that a caller has given up. */
  readonly cancellations: Listeners
  private readonly owner: CallsOwner
  private readonly known: Map<string, Known> = new Map()

  constructor(owner: CallsOwner) {
    this.owner = owner
    this.cancellations = new Listeners(owner.parts, cancelExchange)
  }

  call(nameOrContract: string | CallContract, data: unknown, options: CallOptions): Promise<unknown> {
    try {
      const contract = this.contractOf(nameOrContract)
      const where = `call '${contract.name}'`
      checkCallOptions(where, options)
      const { durable = false, signal, sender } = options
      if (typeof durable !== 'boolean')
        throw new LeveretError('E_BAD_OPTION', `${where}: durable is ${shown(durable)}, and has to be true or false`)
      if (sender !== undefined && !durable) {
        throw new LeveretError(
          'E_BAD_OPTION',
          `${where}: only a durable call has an answer to keep: add { durable: true }`,
        )
      }
      const timeout = options.timeout ?? (durable ? undefined : clientLimits.callTimeoutMs)
      const timeoutMs = timeout === undefined ? null : Math.ceil(durationMs(timeout, `${where}: timeout`))
      signal?.throwIfAborted()
      const known = this.find(contract)
      return new Promise((resolve, reject) => {
        const pending = new PendingCall(this.owner.parts, contract, timeoutMs, signal, resolve, reject)
        if (known.ready === null) this.send(known, pending, data, options, timeoutMs)
        else {
          known.ready.then(
            () => this.send(known, pending, data, options, timeoutMs),
            (error: Error) => pending.fail(error),
          )
        }
      })
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  /** Node's way: the callback is called once, and what it throws the bus hears. */
  tell(answer: Promise<unknown>, callback: CallCallback<unknown>): void {
    const { parts } = this.owner
    const told = (error: Error | null, result: unknown): void =>
      runCallback(
        () => callback(error, result),
        (thrown) => parts.report(thrown),
      )
    answer.then(
      (result) => told(null, result),
      (error: Error) => told(error, undefined),
    )
  }

  async answer(nameOrContract: string | CallContract, handler: AnswerHandler, options: AnswerOptions): Promise<Worker> {
    const contract = callContractOf('bus.answer', nameOrContract)
    const { name } = contract
    const where = `answering call '${name}'`
    checkOptionNames(where, options, answerOptionNames)
    checkFunction(where, 'the handler', handler)
    const { retry, deadLetter, concurrency = clientLimits.callConcurrencyDefault, ...work } = options
    const queueOptions = { ...(retry !== undefined && { retry }), ...(deadLetter !== undefined && { deadLetter }) }
    const queue = this.owner.holdQueue(contract as unknown as QueueContract, queueOptions, true)
    await ensureQueue(this.owner.parts.control, name, true)
    const running = new Map<string, Task>()
    const cancelled: Listener = {
      pattern: cancelKeyPrefix + name,
      handler: ({ properties: { correlationId } }) => {
        const reason = new LeveretError(
          'E_CANCELLED',
          `${where}: the caller has given up, so nobody waits for the result`,
        )
        running.get(correlationId ?? '')?.abort(reason)
      },
      schema: undefined,
      isOnce: false,
      isOver: false,
      over: () => {},
    }
    await this.cancellations.add(cancelled)
    const worker = queue.process(answering(handler, running), { prefetch: concurrency, ...work, concurrency })
    const answerer = new Answerer(worker, () => this.cancellations.remove(cancelled).catch(() => {}))
    await worker.ready()
    return answerer
  }

  private send(
    { transient, persistent }: Known,
    pending: PendingCall,
    data: unknown,
    { durable = false, sender, headers }: CallOptions,
    timeoutMs: number | null,
  ): void {
    if (pending.isOver) return
    const options: AnyOptions = {
      receipt: false,
      onProcessed: pending.ended,
      ...(timeoutMs === null ? {} : { deadline: timeoutMs }),
      ...(sender === undefined ? {} : { sender }),
      ...(headers === undefined ? {} : { headers }),
    }
    const outlet = durable ? persistent : transient
    outlet.send(data, options).then(pending.sent, (error: LeveretError) => {
      const { contract } = pending
      if (error.code !== 'E_UNROUTABLE' || !this.known.delete(contract.name)) return pending.fail(error)
      // Somebody has deleted the queue since it was made, and the request is nowhere.
      const known = this.find(contract)
      known.ready?.then(
        () =>
          this.send(
            known,
            pending,
            data,
            { durable, ...(sender && { sender }), ...(headers && { headers }) },
            timeoutMs,
          ),
        pending.fail,
      )
    })
  }

  /** One that is known was looked at when it came for the first time. */
  private contractOf(given: string | CallContract): CallContract {
    if (typeof given === 'object' && given !== null && this.known.get(given.name)?.contract === given) return given
    return callContractOf('bus.call', given)
  }

  private find(contract: CallContract): Known {
    const { name } = contract
    let known = this.known.get(name)
    if (known?.contract === contract) return known
    const { parts } = this.owner
    const facts = { isKeyed: false, maxPriority: 0, isLeveret: parts.isLeveret }
    const transient = new Outlet(parts, contract, false, facts)
    known = { contract, transient, persistent: new Outlet(parts, contract, true, facts), ready: known?.ready ?? null }
    if (!this.known.has(name)) this.makeQueue(known)
    this.known.set(name, known)
    return known
  }

  /** So that a call can wait for somebody who answers later. */
  private makeQueue(known: Known): void {
    const { name } = known.contract
    known.ready = ensureQueue(this.owner.parts.control, name, true).then(() => {
      known.ready = null
    })
    // Who waits for it is told; the next call tries again.
    known.ready.catch(() => this.known.delete(name))
  }
}

/** A worker that hears of callers who have given up as long as it is open. */
class Answerer implements Worker {
  private readonly worker: Worker
  private readonly stopListening: () => Promise<void>

  constructor(worker: Worker, stopListening: () => Promise<void>) {
    this.worker = worker
    this.stopListening = stopListening
  }

  ready(): Promise<void> {
    return this.worker.ready()
  }

  stats(): WorkerStats {
    return this.worker.stats()
  }

  async close(options?: CloseOptions): Promise<void> {
    await this.worker.close(options)
    await this.stopListening()
  }

  closed(): Promise<void> {
    return this.worker.closed()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** One call on its way: told once, by whichever comes first of the answer, its time, and its caller's signal. */
class PendingCall {
  isOver = false
  private readonly parts: BusParts
  readonly contract: CallContract
  private readonly signal: AbortSignal | undefined
  private readonly resolve: (result: unknown) => void
  private readonly reject: (error: Error) => void
  private readonly release: () => void
  private receipt: Receipt | null = null

  constructor(
    parts: BusParts,
    contract: CallContract,
    timeoutMs: number | null,
    signal: AbortSignal | undefined,
    resolve: (result: unknown) => void,
    reject: (error: Error) => void,
  ) {
    const { clock } = parts.platform
    this.parts = parts
    this.contract = contract
    this.signal = signal
    this.resolve = resolve
    this.reject = reject
    const timedOut = (): void => this.giveUp(this.timeoutError(`within ${timeoutMs} ms`), false)
    this.release = timeoutMs === null ? keepAliveBy(clock) : setLivingTimer(clock, timeoutMs, timedOut)
    signal?.addEventListener('abort', this.aborted)
  }

  readonly sent = (receipt: unknown): void => {
    if (!(receipt instanceof OpenReceipt)) return
    this.receipt = receipt
    if (!this.isOver) return
    receipt.forget()
    if (this.signal?.aborted === true) this.cancel(receipt)
  }

  readonly ended = (error: LeveretError | null, result: unknown): void => {
    if (!this.over()) return
    if (error === null) this.resolve(result)
    else this.failWith(error)
  }

  readonly fail = (error: Error): void => {
    if (this.over()) this.reject(error)
  }

  private readonly aborted = (): void => this.giveUp(this.signal?.reason as Error, true)

  /** Nobody waits for the answer any more. Of a time that is over the answerer knows by itself. */
  private giveUp(error: Error, tells: boolean): void {
    if (!this.over()) return
    this.reject(error)
    this.receipt?.forget()
    if (tells && this.receipt !== null) this.cancel(this.receipt as OpenReceipt)
  }

  /** Takes the request back if it waits, and otherwise tells whoever works on it. */
  private cancel({ messageId }: OpenReceipt): void {
    const { parts } = this
    const queue = this.contract.name
    if (!parts.isLeveret) return this.tellAnswerer(messageId)
    parts.control.execute({ type: 'leveret.cancel', queue, messageId }).then(
      (reply) => {
        if (reply.type !== 'leveret.cancelled' || reply.count === 0) this.tellAnswerer(messageId)
      },
      // Without the right to cancel it can still be said.
      (error: unknown) => (error instanceof BrokerError ? this.tellAnswerer(messageId) : parts.report(error as Error)),
    )
  }

  private tellAnswerer(correlationId: string): void {
    const properties = encodeProperties({ correlationId, deliveryMode: 1 })
    const message = Message.of(cancelExchange, cancelKeyPrefix + this.contract.name, properties, Buffer.alloc(0))
    const pending = { what: '', bytes: 0, id: '', unroutable: false, stored() {}, refused() {} }
    this.parts.sender.publish(message, false, pending)
  }

  private failWith(error: LeveretError): void {
    const { name } = this.contract
    if (error.code === 'E_EXPIRED') return this.reject(this.timeoutError('in time', error))
    if (!(error.cause instanceof TransportedError)) return this.reject(error)
    const { remote } = error.cause
    // Nobody answered that: its answerer is gone.
    if (remote.code === 'E_OUTCOME_UNKNOWN') return this.reject(new LeveretError(remote.code, remote.message, error))
    if (this.contract.errors === undefined) return this.reject(new CallError(name, remote, error))
    readCallError(this.contract, remote, error).then(this.reject, this.reject)
  }

  private timeoutError(when: string, cause?: unknown): LeveretError {
    const { name } = this.contract
    const text = `call '${name}' was not answered ${when}: is anybody answering it, and has time for it? (bus.answer)`
    return new LeveretError('E_TIMEOUT', text, cause)
  }

  /** False: it was over before. */
  private over(): boolean {
    if (this.isOver) return false
    this.isOver = true
    this.release()
    this.signal?.removeEventListener('abort', this.aborted)
    return true
  }
}

/** The handler of a queue that calls one of calls, and remembers who is at work. */
function answering(handler: AnswerHandler, running: Map<string, Task>): Handler<unknown, unknown> {
  return (message, context) => {
    const { id } = message
    if (id === undefined) return handler(message.data, context, message)
    running.set(id, context as Task)
    const forget = (): void => void running.delete(id)
    let returned: unknown
    try {
      returned = handler(message.data, context, message)
    } catch (error) {
      forget()
      throw error
    }
    if (returned instanceof Promise) returned.then(forget, forget)
    else forget()
    return returned
  }
}
