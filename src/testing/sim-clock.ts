/**
 * Virtual time. Nothing happens until somebody steps the clock; then exactly one thing happens (a timer, a deferred
 * callback, a completed I/O), all promises that follow from it settle, and the next step may come.
 *
 * Things due at the same moment happen in the order in which they were asked for. So a history depends on nothing but the
 * seed of whoever chose the delays.
 */
import { Heap } from '../lib/heap.ts'
import type { Clock } from '../platform/clock.ts'

interface Event {
  atMs: number
  order: number
  callback: () => void
  isCancelled: boolean
}

export class SimClock implements Clock {
  /** Told of everything that is asked for, so that somebody can let it happen. */
  onSchedule: (() => void) | null = null
  private nowMs = 0
  /** What the wall clock shows when the virtual time is 0; a jump changes it. */
  private epochMs = Date.UTC(2026, 0, 1)
  private order = 0
  private readonly events = new Heap<Event>(isBefore)

  monotonicMs(): number {
    return this.nowMs
  }

  realtimeMs(): number {
    return this.epochMs + this.nowMs
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const event = this.schedule(Math.max(0, delayMs), callback)
    return () => {
      event.isCancelled = true
    }
  }

  defer(callback: () => void): void {
    this.schedule(0, callback)
  }

  /** For the other simulated parts: something completes after this long. */
  after(delayMs: number, callback: () => void): void {
    this.schedule(delayMs, callback)
  }

  /** The wall clock is set; the monotonic one does not notice. */
  jumpRealtime(byMs: number): void {
    this.epochMs += byMs
  }

  /** Somebody held the processor this long: time goes by, and what is due meanwhile is late. */
  pause(ms: number): void {
    this.nowMs += ms
  }

  get pendingEvents(): number {
    return this.events.values().filter((event) => !event.isCancelled).length
  }

  /** When the next thing happens; null if there is none. */
  get nextMs(): number | null {
    for (;;) {
      const next = this.events.peek()
      if (next === undefined) return null
      if (!next.isCancelled) return next.atMs
      this.events.pop()
    }
  }

  /** Lets the next thing happen, and nothing that follows from it: that is for `settle`. */
  happen(): void {
    if (this.nextMs === null) return
    const next = this.events.pop() as Event
    this.nowMs = Math.max(this.nowMs, next.atMs)
    next.callback()
  }

  /** Lets the next thing happen; false if there is none (before `untilMs`, if given). */
  async step(untilMs: number = Number.POSITIVE_INFINITY): Promise<boolean> {
    // What was begun since the last step may have promises that are about to ask for something.
    await settle()
    return await this.fire(untilMs)
  }

  async runUntilIdle(): Promise<void> {
    await settle()
    while (await this.fire(Number.POSITIVE_INFINITY));
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms
    await settle()
    while (await this.fire(untilMs));
    this.nowMs = Math.max(this.nowMs, untilMs)
  }

  /** Steps until the promise has settled; throws if nothing is left that could settle it. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false
    const mark = (): void => {
      isSettled = true
    }
    promise.then(mark, mark)
    await settle()
    while (!isSettled) {
      if (!(await this.fire(Number.POSITIVE_INFINITY))) {
        throw new Error('nothing is left to happen, and the promise is pending')
      }
    }
    return promise
  }

  /** What dead processes waited for never comes. */
  clear(): void {
    this.events.clear()
  }

  private async fire(untilMs: number): Promise<boolean> {
    const { nextMs } = this
    if (nextMs === null || nextMs > untilMs) return false
    this.happen()
    await settle()
    return true
  }

  private schedule(delayMs: number, callback: () => void): Event {
    // In steps of 1/1024 ms sums are exact: a timer that finds itself early by a rounding error would be set for ever.
    const atMs = this.nowMs + Math.ceil(delayMs * 1024) / 1024
    const event: Event = { atMs, order: this.order++, callback, isCancelled: false }
    this.events.push(event)
    this.onSchedule?.()
    return event
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

// Kept from the start: tests that put fake timers in place of the runtime's must not stop this clock.
const nextTurn = setImmediate

/** Node runs every promise callback there is, however long the chain, before the next immediate. */
export function settle(): Promise<void> {
  return new Promise((resolve) => nextTurn(resolve))
}
