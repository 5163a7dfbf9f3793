/**
 * Whose turn it is among the consumers of a queue:
 *
 *     ranks    priority 10   a  b  c        the highest first; within one, in turns
 *                        0   d  e
 *
 * A consumer without credit is passed over, not waited for: lower priorities get what the higher ones cannot take. With a
 * single active consumer all messages go to one of them until it leaves; then the next by rank takes over.
 */
import type { Entry } from '../store/entry.ts'

/** A consumer, as its queue sees it. */
export interface Subscriber {
  readonly noAck: boolean
  readonly exclusive: boolean
  /** Higher ones are served first. */
  readonly priority: number
  /** Whether it can take a message now. */
  readonly hasCredit: boolean
  take(entry: Entry, redelivered: boolean): void
  /** The queue is going, and the consumer with it. */
  ended(): void
}

class Rank {
  readonly priority: number
  readonly members: Subscriber[] = []
  next = 0

  constructor(priority: number) {
    this.priority = priority
  }
}

export class ConsumerTurns {
  count = 0
  private readonly ranks: Rank[] = []
  /** Only one of them is served at a time. */
  readonly isSingle: boolean
  private active: Subscriber | null = null
  /** Where the last turn was taken. */
  private last: Rank | null = null

  constructor(isSingle: boolean) {
    this.isSingle = isSingle
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
    rank.members.push(subscriber)
    this.count++
    if (this.isSingle) this.active ??= subscriber
  }

  /** False if it was not there. */
  remove(subscriber: Subscriber): boolean {
    const rankAt = this.ranks.findIndex(({ priority }) => priority === subscriber.priority)
    const rank = this.ranks[rankAt]
    // Those that leave together are removed the latest first, and the latest stand at the end.
    const at = rank === undefined ? -1 : rank.members.lastIndexOf(subscriber)
    if (rank === undefined || at < 0) return false
    rank.members.splice(at, 1)
    if (rank.next > at) rank.next--
    if (rank.members.length === 0) this.ranks.splice(rankAt, 1)
    this.count--
    if (this.active === subscriber) this.active = this.first
    return true
  }

  /** All of them, who are then gone. */
  removeAll(): Subscriber[] {
    const all = this.ranks.flatMap(({ members }) => members)
    this.ranks.length = 0
    this.count = 0
    this.active = null
    return all
  }

  /** Takes the turn of the next who can take a message; null if nobody can. */
  take(): Subscriber | null {
    if (this.isSingle) return this.active?.hasCredit === true ? this.active : null
    const { ranks } = this
    for (let at = 0; at < ranks.length; at++) {
      const rank = ranks[at] as Rank
      const { members } = rank
      const { length } = members
      for (let tried = 0; tried < length; tried++) {
        if (rank.next >= length) rank.next = 0
        const subscriber = members[rank.next++] as Subscriber
        if (!subscriber.hasCredit) continue
        this.last = rank
        return subscriber
      }
    }
    return null
  }

  /** There was nothing for whoever took the last turn: it is theirs again. */
  giveBack(): void {
    if (!this.isSingle && this.last !== null) this.last.next--
  }

  private get first(): Subscriber | null {
    return this.ranks[0]?.members[0] ?? null
  }
}
