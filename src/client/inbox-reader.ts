/** `bus.receipts`: what became of messages whose senders are gone, one after the other. */
import { LeveretError } from '../model/errors.ts'
import { type Answer, failureOf } from './answers.ts'
import { decodeBody } from './body.ts'
import { headerNames, textHeader } from './headers.ts'
import type { Inbox, Kept } from './inbox.ts'
import { keepAliveBy } from './keep-alive.ts'
import { checkName, checkOptionNames } from './names.ts'
import type { Receipts } from './receipts.ts'

export interface InboxOptions {
  /** The name that was given to `send`. */
  readonly sender: string
  /** False: ends when nothing is left, instead of waiting for more. Default true. */
  readonly wait?: boolean
  /** Ends the iteration. */
  readonly signal?: AbortSignal
}

/** What became of a message. It is gone from the inbox when the next one is asked for, and comes again if that never happens. */
export interface InboxOutcome {
  /** The message's id. */
  readonly id: string
  /** The queue it was sent to; '' if whoever answered did not say. */
  readonly queue: string
  readonly status: 'processed' | 'failed' | 'dead-lettered' | 'expired'
  /** What the handler returned; undefined unless it was processed. */
  readonly result: unknown
  /** Null if it was processed. */
  readonly error: LeveretError | null
}

/** Ended by `break`, its signal, or closing the bus. Rejects with E_CONNECTION_LOST when the inbox is out of reach. */
export type InboxIterator = AsyncIterableIterator<InboxOutcome, undefined>

export class InboxReader implements InboxIterator {
  private readonly receipts: Receipts
  private readonly sender: string
  private readonly waits: boolean
  private readonly signal: AbortSignal | undefined
  private current: Kept | null = null
  private inbox: Inbox | null = null
  private isDone = false

  /** Throws E_BAD_OPTION. */
  constructor(receipts: Receipts, options: InboxOptions) {
    checkOptionNames('bus.receipts', options, ['sender', 'wait', 'signal'])
    checkName('bus.receipts', "the sender's name", options.sender)
    this.receipts = receipts
    this.sender = options.sender
    this.waits = options.wait ?? true
    this.signal = options.signal
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<InboxOutcome, undefined>> {
    if (this.current !== null) this.inbox?.acknowledge(this.current)
    this.current = null
    if (this.isOver) return this.return()
    this.inbox ??= await this.receipts.openInbox(this.sender)
    const { inbox } = this
    for (;;) {
      this.current = inbox.take()
      if (this.current !== null) return { done: false, value: outcomeOf(this.current.answer) }
      // It may have been aborted while the inbox was opened.
      if (this.isOver) return this.return()
      if (inbox.failure !== null) throw inbox.failure
      if (inbox.closed || !(await this.more(inbox))) return this.return()
    }
  }

  /** The loop was left: whether it was done with the last one nobody knows, so that one comes again. */
  async return(): Promise<IteratorResult<InboxOutcome, undefined>> {
    if (this.current !== null) this.inbox?.putBack(this.current)
    this.current = null
    this.isDone = true
    return { done: true, value: undefined }
  }

  private get isOver(): boolean {
    return this.isDone || this.signal?.aborted === true
  }

  /** False: it is over. */
  private async more(inbox: Inbox): Promise<boolean> {
    const release = keepAliveBy(this.receipts.clock)
    try {
      return this.waits ? await this.changed(inbox) : await inbox.hasMore()
    } catch (error) {
      // Closed while it was looking: that is told by the inbox itself.
      if (inbox.closed) return true
      throw error
    } finally {
      release()
    }
  }

  private async changed(inbox: Inbox): Promise<boolean> {
    const { signal } = this
    if (signal === undefined) await inbox.changed()
    else {
      let abort = (): void => {}
      const aborted = new Promise<void>((resolve) => {
        abort = resolve
        signal.addEventListener('abort', abort)
      })
      await Promise.race([inbox.changed(), aborted])
      signal.removeEventListener('abort', abort)
    }
    return signal?.aborted !== true
  }
}

function outcomeOf(answer: Answer): InboxOutcome {
  const { correlationId: id, word, message, properties } = answer
  const queue = textHeader(properties.headers, headerNames.queue) ?? ''
  if (word !== 'processed') {
    const status = word === 'expired' || word === 'dead-lettered' ? word : 'failed'
    return { id, queue, status, result: undefined, error: failureOf(answer, queue) }
  }
  try {
    const result = decodeBody(message, properties, `the result of message ${id}`)
    return { id, queue, status: 'processed', result, error: null }
  } catch (error) {
    return { id, queue, status: 'processed', result: undefined, error: error as LeveretError }
  }
}
