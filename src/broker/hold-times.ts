/**
 * For how long a channel's deliveries have been out, to the minute, and without noting a time for each. At every look the next
 * delivery tag is marked with the time:
 *
 *     marks    { tag 1, 10:00 }  { tag 40, 10:01 }  { tag 55, 10:02 }
 *
 * A delivery with tag 12 was made before tag 40 was next, so it has been out since 10:01 at least.
 */
import { Deque } from '../lib/deque.ts'
import type { UnackedRing } from './unacked-ring.ts'

interface Mark {
  readonly tag: number
  readonly atMs: number
}

export class HoldTimes {
  private readonly marks = new Deque<Mark>()

  /**
   * The time, in ms, that some delivery was not to exceed and has; null if none has. Queues may say how long a delivery may be
   * out; otherwise it is `timeoutMs`.
   */
  overdue(unacked: UnackedRing, nextTag: number, nowMs: number, timeoutMs: number): number | null {
    const { marks } = this
    // The older mark of a tag says more.
    if (marks.peekLast()?.tag !== nextTag) marks.push({ tag: nextTag, atMs: nowMs })
    let at = 0
    for (let slot = 0; slot < unacked.slots; slot++) {
      if (unacked.entryAt(slot) === null) continue
      const tag = unacked.tagAt(slot)
      while (at < marks.length && (marks.get(at) as Mark).tag <= tag) at++
      const mark = marks.get(at)
      if (mark === undefined) break
      const allowedMs = unacked.queueAt(slot).consumerTimeoutMs ?? timeoutMs
      if (nowMs - mark.atMs >= allowedMs) return allowedMs
    }
    this.forgetBefore(unacked.slots === 0 ? nextTag : unacked.tagAt(0))
    return null
  }

  /** Marks that no delivery was made before which is still out say nothing. */
  private forgetBefore(tag: number): void {
    const { marks } = this
    for (let mark = marks.peek(); mark !== undefined && mark.tag <= tag; mark = marks.peek()) marks.shift()
  }
}
