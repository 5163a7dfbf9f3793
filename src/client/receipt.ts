/**
 * What a sender holds in its hand after `send`: the message's id, and, if it asked for a receipt, what becomes of the
 * message. A receipt learns of three things, from three sides, in any order: stored (the confirm), delivered and the
 * outcome (messages at reply_to). It passes them on in their natural order: nothing is processed before it is stored.
 */
import { LeveretError } from '../model/errors.ts'
import type { Clock } from '../platform/clock.ts'
import { type Duration, durationMs } from './duration.ts'
import { showAsJson } from './inspect.ts'
import { keepAliveBy, setLivingTimer } from './keep-alive.ts'
import { checkOptionNames } from './names.ts'
import { type Sent, SentOnly } from './sent.ts'

export interface WaitOptions {
  /** Reject with E_TIMEOUT after so long. The receipt stays open, so one can ask again. */
  readonly timeout?: Duration
}

/** What `send` gives if a receipt was asked for. */
export interface Receipt<Result = unknown> extends Sent {
  /** Resolves when a worker has begun with the message. */
  delivered(options?: WaitOptions): Promise<void>
  /**
   * Resolves with what the handler returned. Rejects with E_NOT_PROCESSED if it was given up, with E_EXPIRED if its time was
   * over before.
   */
  processed(options?: WaitOptions): Promise<Result>
  /** Lets go of a receipt nobody wants any more: it is not counted as open, and its callbacks are not called. */
  forget(): void
}

/** The callbacks of a send, all of them after it has resolved, and in their natural order. */
export interface ReceiptCallbacks<Result = unknown> {
  /** Called once: a worker has begun. */
  onDelivered?(): void
  /** How much is done, from 0 to 1, as the handler says it. What comes faster than it can be told is left out but for the last. */
  onProgress?(share: number): void
  /** Called once: with the result, or with the error if it was given up (E_NOT_PROCESSED) or came too late (E_EXPIRED). */
  onProcessed?(error: LeveretError | null, result: Result | undefined): void
}

/** How it ended. */
export type Outcome = { readonly error: LeveretError } | { readonly error: null; readonly result: unknown }

/** What a receipt needs of whoever keeps it. */
export interface ReceiptKeeper {
  readonly clock: Clock
  /** It is over, one way or the other. */
  letGo(receipt: OpenReceipt): void
  /** Its message is stored, and whether it is a duplicate is still to come; until `waitsNoMore`. */
  waitsFor(receipt: OpenReceipt): void
  waitsNoMore(receipt: OpenReceipt): void
  /** Calls what a user gave us, soon; what it throws is reported, not passed on. */
  callUser(callback: () => unknown): void
}

interface Waiter {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly cancelTimer: () => void
}

/** What a receipt is about. */
export interface ReceiptSubject {
  readonly id: string
  /** The queue's name, for errors. */
  readonly queue: string
  /** Whose inbox is answered; null: the bus's own reply queue. */
  readonly sender: string | null
  /** False: all that is asked is whether the message is a duplicate, and it is over when that is known. */
  readonly isWanted: boolean
  /** The broker says whether the message is a duplicate, and it does not count as stored before. */
  readonly asksDuplicate: boolean
}

/** Who waits for a message to be stored. */
export interface StoredListener {
  known(): void
  /** It is stored, or one like it was before, and nobody will say which. */
  unknown(error: LeveretError): void
}

const nobody: StoredListener = { known() {}, unknown() {} }

export class OpenReceipt implements Receipt {
  duplicate = false
  /** The message's id; if that was a duplicate, the id of the one that was taken. */
  id: string
  /** The id of the message that was sent, by which answers find this. */
  readonly messageId: string
  readonly queue: string
  readonly sender: string | null
  readonly isWanted: boolean
  /** What `send` gives if all that was asked is whether it is a duplicate. */
  readonly plain: Sent
  /** Turns the body of a reply into what the contract says; may be asynchronous. */
  readonly readResult: (value: unknown) => unknown
  private readonly keeper: ReceiptKeeper
  private readonly callbacks: ReceiptCallbacks
  private isStored = false
  /** Whether it is known if the message is a duplicate. */
  private isDecided: boolean
  /** The confirm has come, and whether it is a duplicate is not known. */
  private undecided: StoredListener | null = null
  private isDelivered = false
  private outcome: Outcome | null = null
  private forgotten = false
  /** How much is done and was not told; null: nothing. */
  private share: number | null = null
  /** Set while a handler runs that sent this message: its commit waits for the handler, so waiting would never end. */
  private heldBy: string | null = null
  /** Hears that it was told how the message ended, or that nobody will be. */
  private overListener: ((isTold: boolean) => void) | null = null
  private deliveredWaiters: Waiter[] = []
  private processedWaiters: Waiter[] = []

  constructor(
    keeper: ReceiptKeeper,
    { id, queue, sender, isWanted, asksDuplicate }: ReceiptSubject,
    callbacks: ReceiptCallbacks,
    readResult: (value: unknown) => unknown,
  ) {
    this.keeper = keeper
    this.id = id
    this.messageId = id
    this.queue = queue
    this.sender = sender
    this.isWanted = isWanted
    this.isDecided = !asksDuplicate
    this.plain = new SentOnly(this)
    this.callbacks = callbacks
    this.readResult = readResult
  }

  async delivered(options: WaitOptions = {}): Promise<void> {
    if (this.isStored && this.isDelivered) return
    const lost = this.outcome?.error != null && !this.isDelivered ? this.outcome : null
    await this.wait('delivered', this.deliveredWaiters, options, lost)
  }

  async processed(options: WaitOptions = {}): Promise<unknown> {
    return this.wait('processed', this.processedWaiters, options, this.isStored ? this.outcome : null)
  }

  forget(): void {
    this.forgotten = true
    const error = new LeveretError('E_CLOSED', `${this.what} was forgotten`)
    this.rejectAll(this.deliveredWaiters.splice(0), error)
    this.rejectAll(this.processedWaiters.splice(0), error)
    this.keeper.letGo(this)
    this.over(false)
  }

  // What the library tells.

  /**
   * From now on the listener waits to hear that the outcome was told: true, behind the callback; false if the receipt was
   * forgotten before. It hears nothing if the outcome will never be known.
   */
  whenOver(listener: (isTold: boolean) => void): void {
    this.overListener = listener
  }

  hold(by: string | null): void {
    this.heldBy = by
  }

  /** The confirm has come. */
  stored(listener: StoredListener = nobody): void {
    if (this.isStored) return
    if (this.isDecided) return this.becomeStored(listener)
    this.undecided = listener
    this.keeper.waitsFor(this)
  }

  private becomeStored(listener: StoredListener): void {
    this.isStored = true
    this.heldBy = null
    listener.known()
    if (!this.isWanted) return this.keeper.letGo(this)
    if (this.isDelivered) this.tellDelivered()
    this.tellProgress()
    if (this.outcome !== null) this.tellOutcome(this.outcome)
  }

  /** The message was not taken, for that one was before. */
  isDuplicateOf(firstId: string): void {
    if (this.isDecided) return
    this.duplicate = true
    this.id = firstId
    this.decide()
  }

  /** The message was taken: there was none like it. */
  isFirst(): void {
    if (!this.isDecided) this.decide()
  }

  private decide(): void {
    this.isDecided = true
    const { undecided } = this
    this.undecided = null
    if (undecided === null) return
    this.keeper.waitsNoMore(this)
    this.becomeStored(undecided)
  }

  /** So much is done. */
  progressed(share: number): void {
    if (this.outcome !== null || this.forgotten) return
    const isTold = this.share !== null
    this.share = share
    if (!isTold && this.isStored) this.tellProgress()
  }

  /** A worker has begun. */
  seen(): void {
    if (this.isDelivered) return
    this.isDelivered = true
    if (this.isStored) this.tellDelivered()
  }

  settle(outcome: Outcome): void {
    if (this.outcome !== null || this.forgotten) return
    // An outcome says that somebody had the message, even if that was not reported.
    this.seen()
    this.outcome = outcome
    this.keeper.letGo(this)
    if (this.isStored) this.tellOutcome(outcome)
  }

  /** It will never be known. */
  fail(error: LeveretError): void {
    if (this.outcome !== null || this.forgotten) return
    this.outcome = { error }
    this.overListener = null
    this.keeper.letGo(this)
    this.keeper.waitsNoMore(this)
    this.undecided?.unknown(error)
    this.undecided = null
    this.isStored = true
    this.rejectAll(this.deliveredWaiters.splice(0), error)
    this.tellOutcome(this.outcome)
  }

  toJSON(): Sent {
    return { id: this.id, duplicate: this.duplicate }
  }

  private get what(): string {
    return `the receipt of message ${this.id} in queue '${this.queue}'`
  }

  private wait(
    step: 'delivered' | 'processed',
    waiters: Waiter[],
    options: WaitOptions,
    outcome: Outcome | null,
  ): Promise<unknown> {
    let timeoutMs: number | null
    try {
      timeoutMs = timeoutOf(`message ${this.id} in queue '${this.queue}': ${step}`, options)
    } catch (error) {
      return Promise.reject(error as Error)
    }
    if (this.heldBy !== null && !this.forgotten) return Promise.reject(this.deadlock(step))
    if (this.forgotten) return Promise.reject(new LeveretError('E_CLOSED', `${this.what} was forgotten`))
    if (outcome !== null)
      return outcome.error === null ? Promise.resolve(outcome.result) : Promise.reject(outcome.error)
    return new Promise((resolve, reject) => {
      const { clock } = this.keeper
      const cancelTimer = timeoutMs === null ? keepAliveBy(clock) : setLivingTimer(clock, timeoutMs, expire)
      const waiter: Waiter = { resolve, reject, cancelTimer }
      const timeoutError = (): LeveretError =>
        new LeveretError(
          'E_TIMEOUT',
          `message ${this.id} in queue '${this.queue}' was not ${step} within ${timeoutMs} ms`,
        )
      waiters.push(waiter)

      function expire(): void {
        const at = waiters.indexOf(waiter)
        if (at >= 0) waiters.splice(at, 1)
        reject(timeoutError())
      }
    })
  }

  private deadlock(step: string): LeveretError {
    return new LeveretError(
      'E_WOULD_DEADLOCK',
      `message ${this.id} is sent when the handler of queue '${this.heldBy}' has ended, so waiting in it for ` +
        `${step}() would never end: ask after it has returned, or send with queue.send`,
    )
  }

  private tellDelivered(): void {
    for (const waiter of this.deliveredWaiters.splice(0)) {
      waiter.cancelTimer()
      waiter.resolve(undefined)
    }
    const { callbacks } = this
    if (callbacks.onDelivered !== undefined && !this.forgotten) {
      this.keeper.callUser(() => (this.forgotten ? undefined : callbacks.onDelivered?.()))
    }
  }

  private tellProgress(): void {
    const { callbacks } = this
    if (this.share === null) return
    if (callbacks.onProgress === undefined) this.share = null
    else {
      this.keeper.callUser(() => {
        const { share } = this
        this.share = null
        if (share !== null && !this.forgotten) return callbacks.onProgress?.(share)
      })
    }
  }

  private tellOutcome(outcome: Outcome): void {
    const waiters = this.processedWaiters.splice(0)
    for (const waiter of waiters) {
      waiter.cancelTimer()
      if (outcome.error === null) waiter.resolve(outcome.result)
      else waiter.reject(outcome.error)
    }
    const { callbacks } = this
    if (callbacks.onProcessed !== undefined && !this.forgotten) {
      const result = outcome.error === null ? outcome.result : undefined
      this.keeper.callUser(() => (this.forgotten ? undefined : callbacks.onProcessed?.(outcome.error, result)))
    }
    if (this.overListener !== null) this.keeper.callUser(() => this.over(true))
  }

  private over(isTold: boolean): void {
    const listener = this.overListener
    this.overListener = null
    listener?.(isTold)
  }

  private rejectAll(waiters: Waiter[], error: LeveretError): void {
    for (const waiter of waiters) {
      waiter.cancelTimer()
      waiter.reject(error)
    }
  }
}

showAsJson(OpenReceipt.prototype)

/** In ms; null: as long as it takes. Throws E_BAD_OPTION. */
function timeoutOf(where: string, options: WaitOptions): number | null {
  checkOptionNames(where, options, ['timeout'])
  return options.timeout === undefined ? null : durationMs(options.timeout, `${where}: timeout`)
}
