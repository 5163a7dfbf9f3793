/**
 * From sequence number to whoever waits for that confirm. Sequences count up by one, so a ring indexed by the number's
 * low bits needs no map:
 *
 *     slots   [ . . p p · p p . ]     oldest = first that is open, next = the number the next publish gets
 *                   ^oldest   ^next   · = confirmed out of turn
 */
import { assert } from '../lib/assert.ts'

/** Somebody who waits for a confirm. */
export interface Pending {
  /** Body and properties, counted while it is open. */
  readonly bytes: number
  /** For errors: "queue 'resize'". */
  readonly what: string
  /** The message is stored. */
  stored(): void
  /** It is not, or nobody can know. */
  refused(error: Error): void
  /** The id of the message it waits for, to match what comes back. */
  readonly id: string
  /** No queue took the message; its confirm is still to come. */
  unroutable: boolean
}

export class ConfirmRing {
  /** How many are open. */
  size = 0
  private slots: (Pending | null)[] = new Array<Pending | null>(64).fill(null)
  private mask = 63
  private oldest = 1
  private next = 1

  /** The publish with number `sequence` waits. Numbers come without gaps. */
  push(sequence: number, pending: Pending): void {
    assert(sequence === this.next, 'publishes are numbered without gaps')
    if (this.next - this.oldest > this.mask) this.grow()
    this.slots[sequence & this.mask] = pending
    this.next++
    this.size++
  }

  /** Takes out the open one with that number; null if there is none. */
  take(sequence: number): Pending | null {
    if (sequence < this.oldest || sequence >= this.next) return null
    const at = sequence & this.mask
    const pending = this.slots[at] as Pending | null
    if (pending === null) return null
    this.slots[at] = null
    this.size--
    if (sequence === this.oldest) this.skipEmpty()
    return pending
  }

  /** Takes out the oldest open one up to that number; null if there is none. */
  takeUpTo(sequence: number): Pending | null {
    return this.oldest <= sequence && this.size > 0 ? this.take(this.oldest) : null
  }

  /** Takes out the oldest; null if all are settled. */
  takeOldest(): Pending | null {
    return this.size === 0 ? null : this.take(this.oldest)
  }

  /** The open one for the message with that id. What comes back comes in order, so it is near the oldest. */
  find(id: string): Pending | null {
    for (let sequence = this.oldest; sequence < this.next; sequence++) {
      const pending = this.slots[sequence & this.mask] as Pending | null
      if (pending !== null && !pending.unroutable && pending.id === id) return pending
    }
    return null
  }

  private skipEmpty(): void {
    while (this.oldest < this.next && this.slots[this.oldest & this.mask] === null) this.oldest++
  }

  private grow(): void {
    const slots = new Array<Pending | null>((this.mask + 1) * 2).fill(null)
    const mask = slots.length - 1
    for (let sequence = this.oldest; sequence < this.next; sequence++) {
      slots[sequence & mask] = this.slots[sequence & this.mask] as Pending | null
    }
    this.slots = slots
    this.mask = mask
  }
}
