/**
 * Stores what handlers publish together with their acknowledgements: one commit for all that gathered, one at a time,
 * because AMQP's tx mode allows nothing between tx.commit and its answer.
 *
 * Over AMQP a commit needs tx mode, and tx mode covers plain acks too. It is selected when it is first needed, and from
 * there on every acknowledgement goes through here.
 */
import { Deque } from '../lib/deque.ts'
import type { Channel } from '../model/channel.ts'
import type { BrokerError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { Clock } from '../platform/clock.ts'
import { clientLimits } from './client-limits.ts'
import type { Replies } from './replies.ts'
import type { CommitUnit, Ending, Task } from './task.ts'

/** Why a commit was refused, and what it was about. */
export interface Refusal {
  readonly reason: string
  readonly ending: Ending
}

export class Committer {
  /** Plain acks wait for a commit, too. */
  isTransactional = false
  private readonly clock: Clock
  private readonly replies: Replies
  private readonly needsTx: boolean
  private channel: Channel | null = null
  private selecting = false
  private readonly settled = new Deque<CommitUnit>()
  private flying: CommitUnit[] = []
  private commitId = 0
  private isScheduled = false
  /** Commits that go alone, because a joint one failed and the culprit is to be found. */
  private careful = 0
  /** Why the broker refused a commit, by the message's id and attempt; the oldest first. */
  private readonly refusals: Map<string, Refusal> = new Map()

  constructor(clock: Clock, replies: Replies, needsTx: boolean) {
    this.clock = clock
    this.replies = replies
    this.needsTx = needsTx
  }

  /** Tasks and batches that are settled and not stored. */
  get size(): number {
    return this.settled.length + this.flying.length
  }

  get hasRefusals(): boolean {
    return this.refusals.size > 0
  }

  /** Commits go through this channel from now on. */
  attach(channel: Channel): void {
    this.channel = channel
    this.isTransactional = false
    this.selecting = false
  }

  /** The channel is gone. Gives back those whose commit will not be answered. */
  detach(): CommitUnit[] {
    const lost = this.flying
    for (let unit = this.settled.shift(); unit !== undefined; unit = this.settled.shift()) lost.push(unit)
    this.channel = null
    this.flying = []
    this.commitId = 0
    return lost
  }

  /** The unit's publishes and its acknowledgements belong to the next commit. */
  add(unit: CommitUnit): void {
    this.settled.push(unit)
  }

  /** Commits what has gathered, unless a commit is under way: then it follows that one. */
  commit(): void {
    const { channel } = this
    if (this.settled.length === 0 || this.commitId !== 0 || this.selecting || channel === null) return
    if (this.needsTx && !this.isTransactional) return this.selectTx(channel)
    const acks: number[] = []
    const publishes: Message[] = []
    const tasksMax = this.careful > 0 ? 1 : clientLimits.burstTasksMax
    for (let bytes = 0; Math.max(acks.length, this.flying.length) < tasksMax && bytes < clientLimits.burstBytesMax; ) {
      const unit = this.settled.shift()
      if (unit === undefined) break
      this.flying.push(unit)
      unit.pushTags(acks)
      for (const message of unit.publishes ?? []) {
        publishes.push(message)
        bytes += message.contentBytes
      }
    }
    this.commitId = this.replies.takeId()
    channel.commit(this.commitId, acks, publishes)
  }

  /** At the end of the turn, so that handlers that end together are committed together. */
  commitLater(): void {
    if (this.isScheduled || this.settled.length === 0) return
    this.isScheduled = true
    this.clock.defer(() => {
      this.isScheduled = false
      this.commit()
    })
  }

  /** True if that was the answer to the commit under way; the next one begins with the next `commit`. */
  replied(id: number): boolean {
    if (id !== this.commitId) return false
    const { flying } = this
    this.flying = []
    this.commitId = 0
    if (this.careful > 0) this.careful--
    for (const unit of flying) unit.committed()
    return true
  }

  /**
   * The broker closed the channel. If a commit was under way it is to blame: the messages of a joint one are committed one
   * by one when they come again, and that of a lonely one counts as failed then.
   */
  blame(error: BrokerError): void {
    const { flying } = this
    if (flying.length === 0) return
    if (flying.length > 1) {
      this.careful = flying.length
      return
    }
    this.careful = 0
    // Of a batch each counts as failed: when they come again they are no longer together.
    for (const task of (flying[0] as CommitUnit).tasks) this.refused(task, error)
  }

  /** Why the commit of that attempt was refused, once; undefined if it was not. */
  takeRefusal(id: string, attempt: number): Refusal | undefined {
    const key = refusalKey(id, attempt)
    const refusal = this.refusals.get(key)
    this.refusals.delete(key)
    return refusal
  }

  private refused(task: Task, error: BrokerError): void {
    const { messageId } = task.allProperties()
    if (messageId === undefined) return
    const reason = `its commit was refused: ${error.message}`
    this.refusals.set(refusalKey(messageId, task.attempt), { reason, ending: task.extra?.ending ?? 'done' })
    if (this.refusals.size <= clientLimits.refusalsMax) return
    // Somebody else has processed it, or its queue is gone. If it comes after all, its commit is refused once more.
    for (const oldest of this.refusals.keys()) {
      this.refusals.delete(oldest)
      return
    }
  }

  private selectTx(channel: Channel): void {
    this.selecting = true
    // From the moment it is sent, acks on this channel wait for a commit.
    this.isTransactional = true
    this.replies.execute(channel, { type: 'tx.select' }).then(
      () => {
        if (this.channel !== channel) return
        this.selecting = false
        this.commit()
      },
      () => {},
    )
  }
}

/** Of the attempt, for another worker may have had the message meanwhile, and a later attempt has done nothing yet. */
function refusalKey(id: string, attempt: number): string {
  return `${attempt} ${id}`
}
