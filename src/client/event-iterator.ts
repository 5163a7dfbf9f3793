/**
 * `bus.events`: events one after the other, for `for await`. An event is done with when the next one is asked for; a loop that is
 * left in the middle of one was not, which for a durable subscriber means that it comes again.
 */
import { clientLimits } from './client-limits.ts'
import type { IncomingMessage, ReceivedMessage } from './incoming.ts'
import { checkInteger, checkOptionNames } from './names.ts'
import type { MessageIterator, Queue } from './queue.ts'

export interface EventIteratorOptions {
  /** Reads the events of that durable subscriber, which must know the same pattern. */
  readonly durable?: string
  /** Ends the iteration. */
  readonly signal?: AbortSignal
  /** Of a durable subscriber: events that are here already while the loop is busy with another. Default 100. */
  readonly prefetch?: number
  /** Live events that wait for a slow loop; beyond, the oldest are dropped, and the bus's `onError` hears of it. Default 10,000. */
  readonly buffer?: number
}

/** Ended by `break`, its signal, or closing it or the bus. */
export interface EventStream<Data = unknown>
  extends AsyncIterableIterator<IncomingMessage<Data>, undefined>,
    AsyncDisposable {
  /** Resolves when events are kept for it: those that are emitted from then on are seen. Asking for the first does so too. */
  ready(): Promise<void>
  /** Live events that were dropped because the loop was slower than they came. */
  readonly dropped: number
  close(): Promise<void>
}

export interface EventStreamSettings {
  readonly prefetch: number
  readonly buffer: number
  readonly signal: AbortSignal | undefined
}

/** Throws E_BAD_OPTION. */
export function eventStreamSettings(where: string, options: EventIteratorOptions): EventStreamSettings {
  checkOptionNames(where, options, ['durable', 'signal', 'prefetch', 'buffer'])
  const { prefetch = clientLimits.prefetchDefault, buffer = clientLimits.eventBufferDefault, signal } = options
  return {
    prefetch: checkInteger(where, 'prefetch', prefetch, 1, clientLimits.prefetchMax),
    buffer: checkInteger(where, 'buffer', buffer, 1, 100_000_000),
    signal,
  }
}

/** Of a durable subscriber. */
export class EventIterator implements EventStream {
  readonly dropped = 0
  private readonly open: () => Promise<Queue>
  private readonly settings: EventStreamSettings
  private opening: Promise<MessageIterator<unknown, unknown>> | null = null
  private current: ReceivedMessage | null = null
  private isDone = false

  /** `open` makes the queue that the events come to. */
  constructor(open: () => Promise<Queue>, settings: EventStreamSettings) {
    this.open = open
    this.settings = settings
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async ready(): Promise<void> {
    await this.messages()
  }

  async next(): Promise<IteratorResult<IncomingMessage, undefined>> {
    const { current } = this
    this.current = null
    if (this.isDone || this.settings.signal?.aborted === true) return this.return()
    const messages = await this.messages()
    await current?.ack()
    const next = await messages.next()
    if (next.done === true) return this.return()
    this.current = next.value
    return { done: false, value: next.value }
  }

  async return(): Promise<IteratorResult<IncomingMessage, undefined>> {
    this.isDone = true
    this.current = null
    const messages = await this.opening?.catch(() => null)
    await messages?.close()
    return { done: true, value: undefined }
  }

  async close(): Promise<void> {
    await this.return()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  private messages(): Promise<MessageIterator<unknown, unknown>> {
    this.opening ??= this.begin()
    return this.opening
  }

  private async begin(): Promise<MessageIterator<unknown, unknown>> {
    const { prefetch, signal } = this.settings
    const queue = await this.open()
    return queue.receive(signal === undefined ? { prefetch } : { prefetch, signal })
  }
}
