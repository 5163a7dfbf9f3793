/**
 * What a channel has handed out and not yet seen settled, by delivery tag:
 *
 *     tags       7   8   9  12  13        ascending; gaps are deliveries that needed no acknowledgement
 *     entries    a   ·   c   d   e        · = settled out of order
 *     consumers  x       x   y   x        null = taken by basic.get
 *
 * Parallel rings instead of a record per delivery. The head is never a settled slot. Where one old delivery stays out
 * while thousands behind it are settled, the rings are packed, so they never hold much more than what is outstanding.
 */
import { Deque } from '../lib/deque.ts'
import type { Entry } from '../store/entry.ts'
import type { Consumer } from './consumer.ts'
import type { Queue } from './queue.ts'

/** Settled slots that are not worth packing for. */
const settledSlotsMin = 64

export class UnackedRing {
  private readonly tags = new Deque<number>()
  private readonly entries = new Deque<Entry | null>()
  private readonly queues = new Deque<Queue>()
  private readonly consumers = new Deque<Consumer | null>()
  /** Outstanding entries. */
  count = 0

  push(tag: number, entry: Entry, queue: Queue, consumer: Consumer | null): void {
    this.tags.push(tag)
    this.entries.push(entry)
    this.queues.push(queue)
    this.consumers.push(consumer)
    this.count++
  }

  /** The slot of an outstanding tag, -1 if there is none. */
  find(tag: number): number {
    const { length } = this.tags
    if (length === 0) return -1
    const guess = tag - (this.tags.peek() as number)
    if (guess < 0) return -1
    let at = -1
    if (guess < length && this.tags.get(guess) === tag) at = guess
    else {
      let low = 0
      let high = length - 1
      while (low <= high) {
        const middle = (low + high) >>> 1
        const found = this.tags.get(middle) as number
        if (found === tag) {
          at = middle
          break
        }
        if (found < tag) low = middle + 1
        else high = middle - 1
      }
    }
    return at >= 0 && this.entries.get(at) !== null ? at : -1
  }

  /** How many slots there are, settled ones among them. */
  get slots(): number {
    return this.tags.length
  }

  tagAt(slot: number): number {
    return this.tags.get(slot) as number
  }

  entryAt(slot: number): Entry | null {
    return this.entries.get(slot) as Entry | null
  }

  queueAt(slot: number): Queue {
    return this.queues.get(slot) as Queue
  }

  consumerAt(slot: number): Consumer | null {
    return this.consumers.get(slot) as Consumer | null
  }

  /** Marks a slot settled; `trim` gives its room back. */
  clear(slot: number): void {
    this.entries.set(slot, null)
    this.count--
  }

  /** Drops settled slots from the head, and all of them once they are the most; slots get other numbers. */
  trim(): void {
    while (this.tags.length > 0 && this.entries.peek() === null) {
      this.tags.shift()
      this.entries.shift()
      this.queues.shift()
      this.consumers.shift()
    }
    if (this.tags.length > settledSlotsMin + 2 * this.count) this.pack()
  }

  private pack(): void {
    let kept = 0
    for (let slot = 0; slot < this.tags.length; slot++) {
      const entry = this.entryAt(slot)
      if (entry === null) continue
      this.tags.set(kept, this.tagAt(slot))
      this.entries.set(kept, entry)
      this.queues.set(kept, this.queueAt(slot))
      this.consumers.set(kept, this.consumerAt(slot))
      kept++
    }
    while (this.tags.length > kept) {
      this.tags.pop()
      this.entries.pop()
      this.queues.pop()
      this.consumers.pop()
    }
  }
}
