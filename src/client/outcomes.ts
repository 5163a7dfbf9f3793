/**
 * What becomes of a task once its handler has ended, up to where it is settled:
 *
 *     result   → (checked) → answered                        → settled
 *     failure  → a copy for the next attempt, hidden for the pause → settled
 *              → given back to the broker for the pause, at its place   where order per key is kept, or a copy has no room
 *              → pause → a copy                              → settled   where the broker hides nothing
 *     last one → (queue is made) → a copy in the dead-letter queue, and an answer → settled
 */
import { LeveretError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import { encodeWithin } from './body.ts'
import type { BusParts } from './bus-parts.ts'
import { DeclaredError, type RemoteError, toldError } from './call-errors.ts'
import { clientLimits } from './client-limits.ts'
import type { Refusal } from './committer.ts'
import type { QueueContract } from './contract.ts'
import {
  deadLetter,
  type Failure,
  failureAnswer,
  postponeRequest,
  resultAnswer,
  retryCopy,
  retryRequest,
  untouchedCopy,
  wantsAnswer,
} from './copies.ts'
import { ensureQueue } from './declare-queue.ts'
import { durationMs } from './duration.ts'
import { asError, type OutcomeWord } from './headers.ts'
import type { HeldTasks } from './held-tasks.ts'
import type { IncomingMessage } from './incoming.ts'
import type { QueueSettings } from './queue-options.ts'
import { pauseMs } from './retry.ts'
import type { RetryLater } from './settlement.ts'
import { type StandardSchema, validate } from './standard-schema.ts'
import type { Task } from './task.ts'

const deadLetterPauseMs = 30_000
/** What stands around the data of a declared error, each character of its text written with six octets at worst. */
const declaredBytesMax = 6 * clientLimits.errorTextMax + 100

/** The worker whose tasks they are. */
export interface OutcomeOwner {
  /** False once it closes: nobody waits for another attempt then. */
  readonly isOpen: boolean
  /** Acknowledges the task, together with what it publishes. */
  settle(task: Task): void
  /** What the handler returned, or sent, cannot be stored: that is heard, and counts, as if it had thrown the error. */
  refuse(task: Task, incoming: IncomingMessage | null, error: unknown): void
}

export class Outcomes {
  processed = 0
  retried = 0
  deadLettered = 0
  private readonly owner: OutcomeOwner
  private readonly parts: BusParts
  private readonly contract: QueueContract
  private readonly settings: QueueSettings
  private readonly held: HeldTasks
  private readonly what: string
  private readonly queueName: string

  constructor(owner: OutcomeOwner, parts: BusParts, contract: QueueContract, settings: QueueSettings, held: HeldTasks) {
    this.owner = owner
    this.parts = parts
    this.contract = contract
    this.settings = settings
    this.held = held
    this.queueName = contract.name
    this.what = `queue '${contract.name}'`
  }

  /** Its handler returned a result. One that nobody waits for is not written down, so it may be anything its schema lets pass. */
  succeed(task: Task, incoming: IncomingMessage, value: unknown): void {
    const { properties } = task
    const schema = this.contract.result as StandardSchema | undefined
    if (schema === undefined && (properties === null || !wantsAnswer(properties, 'processed'))) {
      this.processed++
      return this.owner.settle(task)
    }
    try {
      const checked = schema === undefined ? value : validate(schema, value, `the result of a handler of ${this.what}`)
      if (checked instanceof Promise) return this.answerWhen(task, incoming, value, checked)
      this.answer(task, value)
    } catch (error) {
      return this.owner.refuse(task, incoming, error)
    }
    this.processed++
    this.owner.settle(task)
  }

  /** What its handler threw; of a declared error whose data cannot be sent, why not. */
  tellable(thrown: unknown): unknown {
    if (!(thrown instanceof DeclaredError)) return thrown
    const { name, data } = thrown
    try {
      const what = `the data of error '${name}' of ${this.what}`
      encodeWithin(data, this.parts.messageBytesMax - declaredBytesMax, what)
      return thrown
    } catch (error) {
      return error
    }
  }

  asksForRetry(task: Task, later: RetryLater): void {
    const afterMs = later.after === undefined ? null : durationMs(later.after, 'context.retry: after')
    this.attemptFailed(task, 'the handler asked for another attempt', afterMs)
  }

  /** `afterMs` null: the queue's backoff says when it is tried again. */
  attemptFailed(task: Task, text: string, afterMs: number | null): void {
    task.extra?.batch?.memberLeft(task)
    task.dropSends()
    const { retry } = this.settings
    if (task.attempt >= retry.attempts || this.isAtMostOnce(task)) return this.giveUp(task, text)
    const { clock } = this.parts.platform
    const waitMs = afterMs === null ? this.pauseOf(task) : Math.ceil(afterMs)
    if (task.deadlineMs > 0 && clock.realtimeMs() + waitMs >= task.deadlineMs) return this.expire(task, text)
    this.retryAfter(task, text, waitMs)
  }

  /** It is of no use any more: to the dead-letter queue, and its sender is told so. */
  expire(task: Task, text: string): void {
    this.putAside(task, text, 'expired')
  }

  /** To the dead-letter queue, or away if there is to be none. */
  giveUp(task: Task, text: string): void {
    const isDropped = this.settings.deadLetter === null || this.isAtMostOnce(task)
    this.putAside(task, text, isDropped ? 'failed' : 'dead-lettered')
  }

  get isCall(): boolean {
    return this.settings.isCall
  }

  /** It is the request of a call that is not to be tried again. */
  isAtMostOnce(task: Task): boolean {
    return this.settings.isCall && !task.message.persistent
  }

  /** The worker closes, and never began with it: the request of a call goes on as if nobody had had it. False: it is none. */
  passOn(task: Task): boolean {
    if (!this.isAtMostOnce(task) || task.redelivered) return false
    const { clock } = this.parts.platform
    task.publish(untouchedCopy(task.message, propertiesForCopy(task), this.queueName, clock.realtimeMs()))
    this.owner.settle(task)
    return true
  }

  /** The broker refused its last commit, and the message came again: its handler has nothing to do with that. */
  commitRefused(task: Task, { reason, ending }: Refusal): void {
    if (ending === 'done' || !this.parts.isLeveret) return this.attemptFailed(task, reason, null)
    // What was to be published with it found no room: it waits at its place, where it needs none.
    const what = `${this.what}: ${ending === 'retry' ? 'a copy for the next attempt' : 'a dead letter'} cannot be stored: ${reason}`
    this.parts.report(new LeveretError('E_REFUSED', `${what}; the message waits in its place`))
    if (ending === 'retry') this.retryInPlace(task, reason, this.pauseOf(task))
    else this.park(task, postponeRequest(task.tag, task.allProperties(), deadLetterPauseMs))
  }

  private pauseOf(task: Task): number {
    return Math.ceil(pauseMs(this.settings.retry, task.attempt, this.parts.platform.random.next()))
  }

  private retryAfter(task: Task, text: string, waitMs: number): void {
    const { isLeveret } = this.parts
    if (isLeveret && this.settings.retriesInPlace) this.retryInPlace(task, text, waitMs)
    else if (isLeveret) this.retryByCopy(task, text, waitMs)
    else if (this.owner.isOpen) this.held.holdFor(task, waitMs, 'go on', () => this.retryByCopy(task, text, 0))
    else this.retryByCopy(task, text, 0)
  }

  private retryByCopy(task: Task, text: string, delayMs: number): void {
    this.retried++
    task.more.ending = 'retry'
    task.publish(retryCopy(task.message, task.allProperties(), this.queueName, this.failureOf(task, text), delayMs))
    this.owner.settle(task)
  }

  private retryInPlace(task: Task, text: string, waitMs: number): void {
    this.retried++
    this.park(task, retryRequest(task.tag, task.allProperties(), this.failureOf(task, text), waitMs))
  }

  /** `request` gives the delivery back to the broker. */
  private park(task: Task, request: Message): void {
    task.more.isParked = true
    task.publish(request)
    this.owner.settle(task)
  }

  private putAside(task: Task, text: string, word: OutcomeWord): void {
    task.extra?.batch?.memberLeft(task)
    task.dropSends()
    task.more.ending = 'aside'
    const { deadLetter: target } = this.settings
    if (target === null || this.isAtMostOnce(task)) return this.finishLost(task, text, word)
    this.held.hold(task)
    const failure = this.failureOf(task, text)
    const bury = (): void => {
      task.publish(deadLetter(task.message, propertiesForCopy(task), this.queueName, target, failure))
      this.finishLost(task, text, word)
    }
    ensureQueue(this.parts.control, target, this.settings.durable).then(
      () => this.held.resume(task, bury),
      (error: unknown) => this.held.resume(task, () => this.putAsideLater(task, text, word, target, error)),
    )
  }

  private answerWhen(task: Task, incoming: IncomingMessage, value: unknown, checked: Promise<unknown>): void {
    this.held.hold(task)
    const fail = (error: unknown): void => this.owner.refuse(task, incoming, error)
    const answer = (): void => {
      try {
        this.answer(task, value)
      } catch (error) {
        return fail(error)
      }
      this.processed++
      this.owner.settle(task)
    }
    checked.then(
      () => this.held.resume(task, answer),
      (error: unknown) => this.held.resume(task, () => fail(error)),
    )
  }

  /** Throws E_BAD_DATA for a result that cannot be sent. */
  private answer(task: Task, value: unknown): void {
    const { properties } = task
    if (properties === null || !wantsAnswer(properties, 'processed')) return
    const body = encodeWithin(value, this.parts.messageBytesMax, `the result of a handler of ${this.what}`)
    task.publish(resultAnswer(properties, this.queueName, body))
  }

  private finishLost(task: Task, text: string, word: OutcomeWord): void {
    this.deadLettered++
    const properties = propertiesForCopy(task)
    if (wantsAnswer(properties, 'processed'))
      task.publish(failureAnswer(properties, this.queueName, word, text, this.toldOf(task)))
    this.owner.settle(task)
  }

  /** What the caller is told of what was thrown; null: it was no call, or nothing was thrown. */
  private toldOf({ extra }: Task): RemoteError | null {
    return this.settings.isCall && extra?.hasThrown === true ? toldError(extra.thrown) : null
  }

  private putAsideLater(task: Task, text: string, word: OutcomeWord, target: string, error: unknown): void {
    const why = asError(error).message
    const what = `${this.what}: the dead-letter queue '${target}' cannot be made: ${why}; trying again in 30 s`
    this.parts.report(new LeveretError('E_REFUSED', what, error))
    this.held.holdFor(task, deadLetterPauseMs, 'leave', () => this.putAside(task, text, word))
  }

  private failureOf(task: Task, text: string): Failure {
    return { text, attempt: task.attempt, realtimeMs: this.parts.platform.clock.realtimeMs() }
  }
}

/** A message whose properties cannot be decoded is copied without them. */
function propertiesForCopy(task: Task): ReturnType<Task['allProperties']> {
  try {
    return task.allProperties()
  } catch {
    return {}
  }
}
