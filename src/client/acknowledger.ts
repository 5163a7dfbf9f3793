/**
 * Acknowledges what a worker's handlers are done with, together with what that publishes:
 *
 *     settled → (answers to its sends can come) → plain ack                               (nothing to publish)
 *                                               → one commit for all that gathered: publishes + acks
 *
 * A plain ack nobody waits for. Over AMQP a commit needs tx mode, which then covers plain acks too: it is selected when it
 * is first needed, and from there on everything is committed. What comes before is in outcomes.ts, what waits meanwhile in
 * held-tasks.ts, the commits themselves are in committer.ts.
 */
import type { Channel } from '../model/channel.ts'
import type { BrokerError, LeveretError } from '../model/errors.ts'
import type { Batch } from './batch.ts'
import type { BusParts } from './bus-parts.ts'
import { Committer, type Refusal } from './committer.ts'
import type { QueueContract } from './contract.ts'
import { HeldTasks } from './held-tasks.ts'
import type { IncomingMessage } from './incoming.ts'
import { type OutcomeOwner, Outcomes } from './outcomes.ts'
import type { QueueSettings } from './queue-options.ts'
import type { Replies } from './replies.ts'
import type { Task } from './task.ts'

/** The worker whose tasks they are. */
export interface AcknowledgerOwner {
  /** False once it closes: nobody waits for another attempt then. */
  readonly isOpen: boolean
  /** Something that was waited for may have come. */
  changed(): void
  /** As in OutcomeOwner. */
  refuse(task: Task, incoming: IncomingMessage | null, error: unknown): void
}

export class Acknowledger implements OutcomeOwner {
  /** Which of the worker's channels is the present one; see `isMine`. */
  epoch = 0
  /** An acknowledgement has got through on this channel. */
  hasAcknowledged = false
  readonly outcomes: Outcomes
  private readonly owner: AcknowledgerOwner
  private readonly parts: BusParts
  private readonly committer: Committer
  private readonly held: HeldTasks
  private channel: Channel | null = null

  constructor(
    owner: AcknowledgerOwner,
    parts: BusParts,
    contract: QueueContract,
    settings: QueueSettings,
    replies: Replies,
  ) {
    const { clock } = parts.platform
    this.owner = owner
    this.parts = parts
    this.committer = new Committer(clock, replies, parts.commits === 'tx')
    this.held = new HeldTasks(clock, () => this.wentOn())
    this.outcomes = new Outcomes(this, parts, contract, settings, this.held)
  }

  /** Acknowledgements go through this channel from now on. */
  attach(channel: Channel): void {
    this.channel = channel
    this.hasAcknowledged = false
    this.committer.attach(channel)
  }

  get isOpen(): boolean {
    return this.owner.isOpen
  }

  /** Tasks whose handler has ended and that are not acknowledged. */
  get size(): number {
    return this.committer.size + this.held.size
  }

  /** The task's tag still means something: the channel it came through is open. */
  isMine(task: Task): boolean {
    return task.epoch === this.epoch
  }

  refuse(task: Task, incoming: IncomingMessage | null, error: unknown): void {
    this.owner.refuse(task, incoming, error)
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
      return this.refuse(task, null, error)
    }
    if (task.publishes !== null || this.committer.isTransactional) this.committer.add(task)
    else {
      this.hasAcknowledged = true
      this.channel.ack(task.tag, false)
      if (task.extra !== null) task.committed()
    }
  }

  /** Everything the members of a batch publish is known: they are acknowledged together. */
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
      (error: unknown) => this.held.resume(task, () => this.refuse(task, null, error)),
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
    this.hasAcknowledged = true
    for (const task of batch.members) this.channel.ack(task.tag, false)
  }

  private batchFailed(batch: Batch, error: unknown): void {
    batch.drop()
    for (const task of batch.members) {
      task.more.batch = null
      this.refuse(task, null, error)
    }
  }

  // Committing.

  /** Commits what has gathered. */
  commit(): void {
    this.committer.commit()
  }

  /** At the end of the turn, so that handlers that end together are committed together. */
  commitLater(): void {
    this.committer.commitLater()
  }

  /** True if that was the answer to the commit under way. */
  replied(id: number): boolean {
    if (!this.committer.replied(id)) return false
    this.hasAcknowledged = true
    return true
  }

  get hasRefusals(): boolean {
    return this.committer.hasRefusals
  }

  /** Why the broker refused the commit of this attempt when it came before, once; undefined if it did not. */
  takeRefusal(task: Task): Refusal | undefined {
    const { messageId } = task.allProperties()
    return messageId === undefined ? undefined : this.committer.takeRefusal(messageId, task.attempt)
  }

  /** A task that was held has gone on. */
  private wentOn(): void {
    this.committer.commitLater()
    this.owner.changed()
  }

  // Ending.

  /** The worker closes: the task, which nobody works on, goes back at once. */
  giveBack(task: Task): void {
    // In tx mode it would wait for a commit; closing the channel returns it as well.
    if (!this.committer.isTransactional) this.channel?.reject(task.tag, false, true)
  }

  /** The worker closes: what waits for its time alone goes back, or on. */
  giveBackHeld(): void {
    this.held.giveBack()
  }

  /** The broker closed the channel, for what was being committed if anything was. */
  blame(error: BrokerError): void {
    this.committer.blame(error)
  }

  /** The channel is gone, and nothing that came through it can be acknowledged any more. */
  lose(reason: LeveretError): void {
    this.epoch++
    this.channel = null
    for (const unit of [...this.committer.detach(), ...this.held.tasks()]) unit.lose(reason)
    this.held.clear()
  }
}
