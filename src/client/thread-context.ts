/** What a handler in a thread gets beside its message: the context of a handler, as far as it reaches across. */
import { LeveretError } from '../model/errors.ts'
import { CallError, readCallError } from './call-errors.ts'
import { type CallOptions, checkCallOptions } from './call-options.ts'
import type { ChildOutcome } from './child-outcome.ts'
import { type CallContract, callContractOf, checkContract, type EventContract, type QueueContract } from './contract.ts'
import { type Duration, durationMs } from './duration.ts'
import type { IncomingMessage } from './incoming.ts'
import { checkObject, checkQueueName, isRecord } from './names.ts'
import { isShare } from './progress.ts'
import { timeOf } from './queued-message.ts'
import type { EmitOptions, SendOptions } from './send-options.ts'
import { GiveUp, type RetryLater, retryLater, type Settlement } from './settlement.ts'
import { type StandardSchema, validate } from './standard-schema.ts'
import {
  type CarriedAnswer,
  type CarriedChild,
  type CarriedSend,
  type FromThread,
  type RunMessage,
  rebuildError,
} from './thread-messages.ts'

/** The default export of a handler's file. */
export type ThreadHandler<Data = unknown, Returned = unknown> = (
  message: IncomingMessage<Data>,
  context: ThreadContext,
) => Returned | Settlement | Promise<Returned | Settlement>

/** As HandlerContext; but what is sent gives no receipt, for it is made where the bus is. */
export interface ThreadContext {
  /** The number of this attempt: 1 for the first. */
  readonly attempt: number
  /** When the sender has no use for it any more; null: it did not say. */
  readonly deadline: Date | null
  /** Aborted when the result would no longer count; `signal.reason` says why. */
  readonly signal: AbortSignal
  /** What became of the children that were sent with this message, in their order; empty if it has none. */
  readonly children: readonly ChildOutcome[]
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
  /**
   * Sends with this handler's commit: stored together with its acknowledgement, or not at all. The bus of the worker must have
   * opened the queue; if it has not, the attempt fails when the handler has returned.
   */
  send<Input>(
    to: QueueContract<Input, unknown, unknown, unknown> | { readonly name: string },
    data: Input,
    options?: SendOptions,
  ): void
  /** Emits with this handler's commit. */
  emit<Input>(event: EventContract<Input, unknown>, data: Input, options?: EmitOptions): void
  /** Tells the sender how much is done, from 0 to 1, if it asked for that. */
  progress(share: number): void
  /** The lease begins anew, or lasts so long from now; see ProcessOptions.lease. Throws E_LEASE_LOST if it is over. */
  extend(by?: Duration): void
  /** To be returned: try again, after the time given or the queue's backoff. It counts as an attempt. */
  retry(options?: { readonly after?: Duration }): RetryLater
  /** To be returned: put it aside now, without further attempts. */
  deadLetter(reason: string): GiveUp
}

/** Types a handler by the contract of its queue: `export default defineHandler(resize, async (message, context) => …)`. */
export function defineHandler<Input, Result, Data, Returned>(
  _contract: QueueContract<Input, Result, Data, Returned>,
  handler: ThreadHandler<Data, Returned>,
): ThreadHandler<Data, Returned> {
  return handler
}

/** A call that waits for its answer. */
interface OpenCall {
  resolve(answer: CarriedAnswer): void
}

/** What nobody in a thread could be called back by. */
const callbackNames = ['receipt', 'signal', 'onDelivered', 'onProgress', 'onProcessed']

export class RunContext implements ThreadContext {
  readonly attempt: number
  readonly deadline: Date | null
  readonly children: readonly ChildOutcome[]
  readonly sends: CarriedSend[] = []
  private readonly run: number
  private readonly queue: string
  private readonly hasLease: boolean
  private readonly post: (message: FromThread) => void
  private readonly controller = new AbortController()
  private readonly calls: Map<number, OpenCall> = new Map()
  private lastCall = 0
  private isOver = false

  constructor(
    { run, queue, attempt, deadlineMs, children, hasLease }: RunMessage,
    post: (message: FromThread) => void,
  ) {
    this.run = run
    this.queue = queue
    this.attempt = attempt
    this.deadline = timeOf(deadlineMs)
    this.children = children.map(rebuildChild)
    this.hasLease = hasLease
    this.post = post
  }

  get signal(): AbortSignal {
    return this.controller.signal
  }

  send(to: QueueContract | { readonly name: string }, data: unknown, options?: SendOptions): void {
    const { name, input } = targetOf(to)
    const where = `context.send to queue '${name}' in a thread`
    this.checkOpen()
    check(input, data, where)
    this.sends.push({ kind: 'send', queue: name, data: copy(data, where), options: copyOptions(options, where) })
  }

  emit(event: EventContract, data: unknown, options?: EmitOptions): void {
    checkContract('context.emit in a thread', 'event', event)
    const where = `context.emit of event '${event.name}' in a thread`
    this.checkOpen()
    check(event.input, data, where)
    this.sends.push({ kind: 'emit', event: event.name, data: copy(data, where), options: copyOptions(options, where) })
  }

  async call(nameOrContract: string | CallContract, data: unknown, options: CallOptions = {}): Promise<never> {
    const contract = callContractOf('context.call in a thread', nameOrContract)
    const { name, input, result } = contract
    const where = `context.call of '${name}' in a thread`
    checkCallOptions(where, options)
    const { signal, ...others } = options
    this.checkOpen()
    signal?.throwIfAborted()
    if (input !== undefined) await validate(input as StandardSchema, data, `the data for call '${name}'`)
    const answer = await this.answerTo(name, copy(data, where), copy(others, where) as typeof others, signal)
    if (answer.kind === 'result') {
      if (result === undefined) return answer.result as never
      return (await validate(result as StandardSchema, answer.result, `the result of call '${name}'`)) as never
    }
    const error = rebuildError(answer.error)
    throw error instanceof CallError ? await readCallError(contract, error.remote) : error
  }

  progress(share: number): void {
    if (!isShare(share)) {
      throw new LeveretError('E_BAD_OPTION', `context.progress: ${String(share)} is no share from 0 to 1`)
    }
    if (!this.isOver) this.post({ kind: 'progress', run: this.run, share })
  }

  extend(by?: Duration): void {
    const reason: unknown = this.signal.reason
    if (reason instanceof LeveretError && reason.code === 'E_LEASE_LOST') throw reason
    if (by !== undefined) durationMs(by, 'context.extend')
    if (!this.hasLease) {
      const text = `queue '${this.queue}': there is no lease to extend: process with { lease: '30s' }`
      throw new LeveretError('E_BAD_OPTION', text)
    }
    if (!this.isOver) this.post({ kind: 'extend', run: this.run, by })
  }

  retry(options: { readonly after?: Duration } = {}): RetryLater {
    return retryLater(options)
  }

  deadLetter(reason: string): GiveUp {
    return new GiveUp(reason)
  }

  // What the thread does with it.

  abort(reason: Error): void {
    this.controller.abort(reason)
  }

  answered(call: number, answer: CarriedAnswer): void {
    this.calls.get(call)?.resolve(answer)
    this.calls.delete(call)
  }

  over(): void {
    this.isOver = true
  }

  private answerTo(
    name: string,
    data: unknown,
    options: Omit<CallOptions, 'signal'>,
    signal: AbortSignal | undefined,
  ): Promise<CarriedAnswer> {
    const { run } = this
    const call = ++this.lastCall
    return new Promise((resolve, reject) => {
      const aborted = (): void => {
        this.calls.delete(call)
        this.post({ kind: 'cancel', run, call })
        reject(signal?.reason as Error)
      }
      signal?.addEventListener('abort', aborted, { once: true })
      this.calls.set(call, {
        resolve: (answer) => {
          signal?.removeEventListener('abort', aborted)
          resolve(answer)
        },
      })
      this.post({ kind: 'call', run, call, name, data, options })
    })
  }

  private checkOpen(): void {
    const reason: unknown = this.signal.reason
    // A deadline that is over is no reason: what is returned counts all the same.
    if (reason instanceof LeveretError && reason.code !== 'E_EXPIRED') throw reason
    if (!this.isOver) return
    const text = `the handler of queue '${this.queue}' has ended, and what it sends with it: await everything in the handler`
    throw new LeveretError('E_CLOSED', text)
  }
}

/** A contract, or an object with the name of a queue. Throws E_BAD_OPTION. */
function targetOf(to: unknown): Pick<QueueContract, 'name' | 'input'> {
  if (!isRecord(to) || to['kind'] !== undefined) return checkContract('context.send in a thread', 'queue', to)
  const { name } = to
  checkQueueName(name)
  return { name, input: undefined }
}

function rebuildChild({ error, ...child }: CarriedChild): ChildOutcome {
  return { ...child, error: error === null ? null : (rebuildError(error) as LeveretError) }
}

function check(schema: unknown, data: unknown, where: string): void {
  if (schema === undefined) return
  const checked = validate(schema as StandardSchema, data, `the data of ${where}`)
  if (!(checked instanceof Promise)) return
  checked.catch(() => {})
  throw new LeveretError('E_UNSUPPORTED', `${where}: its schema is asynchronous, and nothing waits for it: use another`)
}

/** As it is now, whatever the handler does with it later. */
function copy(data: unknown, where: string): unknown {
  try {
    return structuredClone(data)
  } catch (error) {
    throw new LeveretError('E_BAD_DATA', `${where}: the data cannot be copied: ${(error as Error).message}`, error)
  }
}

function copyOptions<Options extends SendOptions | EmitOptions>(options: Options | undefined, where: string): Options {
  if (options !== undefined) checkObject(where, options, 'an object of options is wanted')
  for (const name of callbackNames) {
    if ((options as Record<string, unknown> | undefined)?.[name] === undefined) continue
    const text = `${where}: there is no '${name}' in a thread, for it is sent when the handler has returned: give a 'sender', or send elsewhere`
    throw new LeveretError('E_UNSUPPORTED', text)
  }
  return copy(options, where) as Options
}
