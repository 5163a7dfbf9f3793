/**
 * Wakes queues when the message at their head expires, or when they were unused for too long: one heap and one timer for
 * all of them. The expiry of messages is real time, which may jump; so the timer is set for half a minute at most, and looks
 * again.
 */
import { Heap } from '../lib/heap.ts'
import type { Clock } from '../platform/clock.ts'

const timerMsMax = 30_000

/** A queue whose messages expire, or that expires itself. */
export interface ExpiringQueue {
  /** When it is to be woken, in ms; infinity: it is not. */
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
  private readonly isMonotonic: boolean
  private readonly heap = new Heap<Waking>((left, right) => left.atMs < right.atMs)
  private cancelTimer: (() => void) | null = null
  private timerAtMs = Number.POSITIVE_INFINITY
  private stopped = false

  /** Times are real, or monotonic. */
  constructor(clock: Clock, time: 'real' | 'monotonic' = 'real') {
    this.clock = clock
    this.isMonotonic = time === 'monotonic'
  }

  private get nowMs(): number {
    return this.isMonotonic ? this.clock.monotonicMs() : this.clock.realtimeMs()
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
    const delayMs = Math.max(0, next.atMs - this.nowMs)
    this.timerAtMs = next.atMs
    this.cancelTimer = this.clock.setTimer(Math.min(delayMs, timerMsMax), () => this.ring())
  }

  private ring(): void {
    const { nowMs } = this
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
