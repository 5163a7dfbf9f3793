/**
 * Virtual time. Nothing happens until somebody steps the clock; then exactly one thing happens (a timer, a deferred
 * callback, a completed I/O), all promises that follow from it settle, and the next step may come.
 *
 * Things due at the same moment happen in the order in which they were asked for. So a history depends on nothing but the
 * seed of whoever chose the delays.
 */
import type { Clock } from '../platform/clock.ts'

interface Event {
  atMs: number
  order: number
  callback: () => void
  isCancelled: boolean
}

export class SimClock implements Clock {
  private nowMs = 0
  /** What the wall clock shows when the virtual time is 0; a jump changes it. */
  private epochMs = Date.UTC(2026, 0, 1)
  private order = 0
  private readonly events: Event[] = []

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
    return this.events.filter((event) => !event.isCancelled).length
  }

  /** Lets the next thing happen; false if there is none (before `untilMs`, if given). */
  async step(untilMs: number = Number.POSITIVE_INFINITY): Promise<boolean> {
    await settle()
    for (;;) {
      const next = this.events[0]
      if (next === undefined || (next.atMs > untilMs && !next.isCancelled)) return false
      this.pop()
      if (next.isCancelled) continue
      this.nowMs = Math.max(this.nowMs, next.atMs)
      next.callback()
      await settle()
      return true
    }
  }

  async runUntilIdle(): Promise<void> {
    while (await this.step());
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms
    while (await this.step(untilMs));
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
      if (!(await this.step()) && !isSettled) throw new Error('nothing is left to happen, and the promise is pending')
    }
    return promise
  }

  /** What dead processes waited for never comes. */
  clear(): void {
    this.events.length = 0
  }

  // A binary heap by time, then order.
  private schedule(delayMs: number, callback: () => void): Event {
    const event: Event = { atMs: this.nowMs + delayMs, order: this.order++, callback, isCancelled: false }
    const { events } = this
    let at = events.length
    events.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (isBefore(events[parent] as Event, event)) break
      events[at] = events[parent] as Event
      at = parent
    }
    events[at] = event
    return event
  }

  private pop(): void {
    const { events } = this
    const event = events.pop() as Event
    if (events.length === 0) return
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= events.length) break
      if (child + 1 < events.length && isBefore(events[child + 1] as Event, events[child] as Event)) child++
      if (isBefore(event, events[child] as Event)) break
      events[at] = events[child] as Event
      at = child
    }
    events[at] = event
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

/** Node runs every promise callback there is, however long the chain, before the next immediate. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
