/**
 * Wakes queues when the message at their head expires: one heap and one timer for all of them. Expiry is real time, which
 * may jump; so the timer is set for half a minute at most, and looks again.
 */
import { Heap } from '../lib/heap.ts'
import type { Clock } from '../platform/clock.ts'

const timerMsMax = 30_000

/** A queue whose messages expire. */
export interface ExpiringQueue {
  /** When it is to be woken, in ms since 1970; infinity: it is not. */
  wakesAtMs: number
  /** Something at its head has expired. */
  wake(): void
}

interface Waking {
  readonly atMs: number
  readonly queue: ExpiringQueue
}

export class Expiry {
  private readonly clock: Clock
  private readonly heap = new Heap<Waking>((left, right) => left.atMs < right.atMs)
  private cancelTimer: (() => void) | null = null
  private timerAtMs = Number.POSITIVE_INFINITY
  private stopped = false

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Wakes the queue at that time, if it is not to be woken before. */
  watch(queue: ExpiringQueue, atMs: number): void {
    if (atMs >= queue.wakesAtMs || this.stopped) return
    queue.wakesAtMs = atMs
    this.heap.push({ atMs, queue })
    if (atMs < this.timerAtMs) this.setTimer()
  }

  stop(): void {
    this.stopped = true
    this.cancelTimer?.()
    this.heap.clear()
  }

  private setTimer(): void {
    this.cancelTimer?.()
    this.cancelTimer = null
    this.timerAtMs = Number.POSITIVE_INFINITY
    const next = this.heap.peek()
    if (next === undefined) return
    const delayMs = Math.max(0, next.atMs - this.clock.realtimeMs())
    this.timerAtMs = next.atMs
    this.cancelTimer = this.clock.setTimer(Math.min(delayMs, timerMsMax), () => this.ring())
  }

  private ring(): void {
    const nowMs = this.clock.realtimeMs()
    for (let next = this.heap.peek(); next !== undefined && next.atMs <= nowMs; next = this.heap.peek()) {
      this.heap.pop()
      const { queue, atMs } = next
      // An earlier waking took its place.
      if (queue.wakesAtMs !== atMs) continue
      queue.wakesAtMs = Number.POSITIVE_INFINITY
      queue.wake()
    }
    this.setTimer()
  }
}
