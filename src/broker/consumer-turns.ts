/**
 * Whose turn it is among the consumers of a queue:
 *
 *     ranks    priority 10   a  b  c        the highest first; within one, in turns
 *                        0   d  e
 *
 * A consumer without credit is passed over, not waited for: lower priorities get what the higher ones cannot take. It has
 * lost its turn then, and joins the others behind the last of them when it has credit again, as one that is new. With a
 * single active consumer all messages go to one of them until it leaves; then the next by rank takes over.
 */
import type { Entry } from '../store/entry.ts'

/** A consumer, as its queue sees it. */
export interface Subscriber {
  readonly noAck: boolean
  readonly exclusive: boolean
  /** Higher ones are served first. */
  readonly priority: number
  /** How many messages it works on at once; infinity: as many as it is handed. */
  readonly concurrency: number
  /** It said so itself. */
  readonly saysConcurrency: boolean
  /** It is handed more than that. */
  readonly holdsAhead: boolean
  /** Whether it can take a message now. */
  readonly hasCredit: boolean
  take(entry: Entry, redelivered: boolean): void
  /** The queue is going, and the consumer with it. */
  ended(): void
}

class Rank {
  readonly priority: number
  /** A circle: it begins at `next`, and ends before that. */
  readonly members: Subscriber[] = []
  next = 0
  /** Those that had no credit when it was their turn. */
  readonly passedOver: Subscriber[] = []

  constructor(priority: number) {
    this.priority = priority
  }

  get isEmpty(): boolean {
    return this.members.length + this.passedOver.length === 0
  }

  /** Behind all the others. */
  join(subscriber: Subscriber): void {
    this.members.splice(this.next++, 0, subscriber)
  }

  /** False if it was not there. */
  leave(subscriber: Subscriber): boolean {
    // Those that leave together are removed the latest first, and the latest stand at the end.
    const at = this.members.lastIndexOf(subscriber)
    if (at >= 0) {
      this.members.splice(at, 1)
      if (this.next > at) this.next--
      return true
    }
    const passedAt = this.passedOver.indexOf(subscriber)
    if (passedAt >= 0) this.passedOver.splice(passedAt, 1)
    return passedAt >= 0
  }

  take(): Subscriber | null {
    if (this.passedOver.length > 0) this.rejoin()
    const { members } = this
    while (members.length > 0) {
      if (this.next >= members.length) this.next = 0
      const subscriber = members[this.next] as Subscriber
      if (subscriber.hasCredit) {
        this.next++
        return subscriber
      }
      members.splice(this.next, 1)
      this.passedOver.push(subscriber)
    }
    return null
  }

  rejoin(): void {
    const { passedOver } = this
    for (let at = 0; at < passedOver.length; ) {
      const subscriber = passedOver[at] as Subscriber
      if (subscriber.hasCredit) {
        passedOver.splice(at, 1)
        this.join(subscriber)
      } else at++
    }
  }
}

export class ConsumerTurns {
  /** In the order in which they came. */
  private readonly all = new Set<Subscriber>()
  private readonly ranks: Rank[] = []
  /** Only one of them is served at a time. */
  readonly isSingle: boolean
  private active: Subscriber | null = null
  /** Where the last turn was taken. */
  private last: Rank | null = null

  constructor(isSingle: boolean) {
    this.isSingle = isSingle
  }

  get count(): number {
    return this.all.size
  }

  /** Whether somebody has asked to be the only one. */
  get hasExclusive(): boolean {
    return this.first?.exclusive === true
  }

  add(subscriber: Subscriber): void {
    const { ranks } = this
    const { priority } = subscriber
    let at = 0
    while (at < ranks.length && (ranks[at] as Rank).priority > priority) at++
    let rank = ranks[at]
    if (rank === undefined || rank.priority !== priority) {
      rank = new Rank(priority)
      ranks.splice(at, 0, rank)
    }
    // Of those of which one is served, the one that came first is the next.
    if (this.isSingle) rank.members.push(subscriber)
    else {
      // Whoever has credit again was there before.
      rank.rejoin()
      rank.join(subscriber)
    }
    this.all.add(subscriber)
    if (this.isSingle) this.active ??= subscriber
  }

  /** False if it was not there. */
  remove(subscriber: Subscriber): boolean {
    const rankAt = this.ranks.findIndex(({ priority }) => priority === subscriber.priority)
    const rank = this.ranks[rankAt]
    if (rank === undefined || !rank.leave(subscriber)) return false
    if (rank.isEmpty) this.ranks.splice(rankAt, 1)
    this.all.delete(subscriber)
    if (this.active === subscriber) this.active = this.first
    return true
  }

  /** All of them, in the order in which they came; they are then gone. */
  removeAll(): Subscriber[] {
    const all = [...this.all]
    this.all.clear()
    this.ranks.length = 0
    this.active = null
    return all
  }

  /** Takes the turn of the next who can take a message; null if nobody can. */
  take(): Subscriber | null {
    if (this.isSingle) return this.active?.hasCredit === true ? this.active : null
    const { ranks } = this
    for (let at = 0; at < ranks.length; at++) {
      const rank = ranks[at] as Rank
      const subscriber = rank.take()
      if (subscriber === null) continue
      this.last = rank
      return subscriber
    }
    return null
  }

  /** There was nothing for whoever took the last turn: it is theirs again. */
  giveBack(): void {
    if (!this.isSingle && this.last !== null) this.last.next--
  }

  private get first(): Subscriber | null {
    const rank = this.ranks[0]
    return rank?.members[0] ?? rank?.passedOver[0] ?? null
  }
}
