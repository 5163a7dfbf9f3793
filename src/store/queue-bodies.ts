/** The bodies in files that one queue's messages have: what its index tells BodyRefs. */
import type { Message } from '../model/message.ts'
import type { BodyRefs } from './body-refs.ts'
import type { Entry, HeldEntries } from './entry.ts'

export class QueueBodies {
  private readonly queueId: number
  private readonly refs: BodyRefs
  private readonly held: HeldEntries

  constructor(queueId: number, refs: BodyRefs, held: HeldEntries) {
    this.queueId = queueId
    this.refs = refs
    this.held = held
  }

  add(entry: Entry, message: Message): void {
    this.refs.add(this.queueId, entry.sequence, message.bodyId, entry.logged)
  }

  /** The log will not be told that the message is gone. */
  gone(entry: Entry): void {
    this.refs.gone(this.queueId, entry.sequence)
  }

  /** Everything ready was removed. */
  purged(nextSequence: number): void {
    if (this.refs.isEmpty) return
    const held = this.heldSequences(() => true)
    this.refs.purged(this.queueId, nextSequence, (sequence) => held.has(sequence))
  }

  /** The queue was deleted. What nobody gets is settled by nobody. */
  dropped(): void {
    if (this.refs.isEmpty) return
    const held = this.heldSequences(({ isLost }) => !isLost)
    this.refs.dropped(this.queueId, (sequence) => held.has(sequence))
  }

  private heldSequences(counts: (entry: Entry) => boolean): Set<number> {
    const held = new Set<number>()
    this.held.forEach((entry) => {
      if (counts(entry)) held.add(entry.sequence)
    })
    return held
  }
}
