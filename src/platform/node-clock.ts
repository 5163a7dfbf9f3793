/** The real clock: Node's timers, never keeping the process alive, and never early. */
import { performance } from 'node:perf_hooks'
import type { Clock } from './clock.ts'

// A longer delay overflows Node's 32-bit timer, which then fires after one millisecond.
const delayMsMax = 2 ** 31 - 1

export class NodeClock implements Clock {
  monotonicMs(): number {
    return performance.now()
  }

  realtimeMs(): number {
    return Date.now()
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const dueMs = performance.now() + delayMs
    let timer = setTimeout(fire, delayForTimer(delayMs)).unref()
    return () => clearTimeout(timer)

    // Node counts from the start of the turn in which the timer was set, so a timer set late in a long turn comes early.
    function fire(): void {
      const remainingMs = dueMs - performance.now()
      if (remainingMs <= 0) callback()
      else timer = setTimeout(fire, delayForTimer(remainingMs)).unref()
    }
  }

  /** setImmediate runs after each poll for sockets, whatever else is due, so neither side starves the other. */
  defer(callback: () => void): void {
    setImmediate(callback)
  }
}

function delayForTimer(delayMs: number): number {
  return Math.min(Math.ceil(delayMs), delayMsMax)
}
