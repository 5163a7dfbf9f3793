/**
 * The time of a test. What needs no time happens by itself, one thing after the other, as soon as the code under test has
 * come to rest; everything else waits until somebody asks for time:
 *
 *     advance   up to a moment, and everything that is due until then
 *     run       as far as a promise needs
 *
 * There is one loop, whoever asks: so what happens depends on nothing but what was asked for, in its order.
 */

import { LeveretError } from '../../model/errors.ts'
import type { Clock } from '../../platform/clock.ts'
import { SimClock, settle } from '../sim-clock.ts'

/** So much happens for a promise, or at one moment, at most: more is something that goes round for ever. A second or two. */
const stepsMax = 250_000
/** The clock counts in steps of 1/1024 ms. */
const stepsPerMs = 1_024

interface Goal {
  /** What was asked for, for the text of an error. */
  readonly what: string
  /** The moment to get to; null: as far as it needs. */
  readonly untilMs: number | null
  /** What has happened for it; of a moment, since time last went by. */
  steps: number
  readonly reached: () => void
  readonly failed: (error: Error) => void
}

export class VirtualTime {
  readonly clock: SimClock = new SimClock()
  private readonly goals: Set<Goal> = new Set()
  private isRunning = false
  private isEnded = false
  /** What is under way where no virtual time is, such as the loading of a module. */
  private outside = 0

  /** `nowMs` is what the wall clock shows at the start; null: 2026-01-01T00:00Z. */
  constructor(nowMs: number | null) {
    const { clock } = this
    if (nowMs !== null) clock.jumpRealtime(nowMs - clock.realtimeMs())
    clock.onSchedule = () => this.wake()
  }

  /** Resolves when so much time has gone by, and everything has happened that was due until then. */
  advance(ms: number, what: string): Promise<void> {
    const untilMs = this.clock.monotonicMs() + Math.ceil(ms * stepsPerMs) / stepsPerMs
    return new Promise((resolve, reject) => {
      this.ask({ what, untilMs, steps: 0, reached: resolve, failed: reject })
    })
  }

  /** Settles as the promise does; rejects with E_WOULD_DEADLOCK when nothing is left that could settle it. */
  run<T>(promise: Promise<T>, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const goal: Goal = { what, untilMs: null, steps: 0, reached: () => {}, failed: reject }
      const forget = (): void => void this.goals.delete(goal)
      promise.then(forget, forget)
      promise.then(resolve, reject)
      this.ask(goal)
    })
  }

  /** No time goes by, and nothing is taken to be over, while this is under way. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.outside++
    try {
      return await work
    } finally {
      this.outside--
      this.wake()
    }
  }

  /** Nothing happens any more, and who waits is told so. */
  end(): void {
    this.isEnded = true
    this.clock.clear()
    this.failAll((goal) => endedError(goal.what))
  }

  private ask(goal: Goal): void {
    if (this.isEnded) return goal.failed(endedError(goal.what))
    this.goals.add(goal)
    this.wake()
  }

  private wake(): void {
    if (this.isRunning || this.isEnded) return
    this.isRunning = true
    void this.loop()
  }

  private async loop(): Promise<void> {
    try {
      for (;;) {
        await settle()
        if (this.isDue) this.step()
        else if (!this.conclude()) break
      }
    } catch (error) {
      // What was called back threw. Nobody asked: then it is as if a timer of the runtime had thrown.
      if (this.goals.size === 0) throw error
      this.failAll(() => error as Error)
    } finally {
      this.isRunning = false
    }
  }

  private get isDue(): boolean {
    const { nextMs } = this.clock
    const untilMs = this.outside === 0 ? this.horizonMs : this.clock.monotonicMs()
    return nextMs !== null && nextMs <= untilMs
  }

  /** So far time may go by. The nearest moment comes first, for whoever asked for it may ask for something else there. */
  private get horizonMs(): number {
    let untilMs = Number.POSITIVE_INFINITY
    for (const goal of this.goals) untilMs = Math.min(untilMs, goal.untilMs ?? untilMs)
    return this.goals.size === 0 ? this.clock.monotonicMs() : untilMs
  }

  private step(): void {
    const { clock } = this
    const isLater = (clock.nextMs ?? 0) > clock.monotonicMs()
    for (const goal of this.goals) {
      if (isLater && goal.untilMs !== null) goal.steps = 0
      if (++goal.steps <= stepsMax) continue
      this.goals.delete(goal)
      goal.failed(endlessError(goal.what))
    }
    clock.happen()
  }

  /** Nothing is due: moments are reached, and what runs on cannot end. False: there is nothing to go on for. */
  private conclude(): boolean {
    const { horizonMs, clock } = this
    if (this.goals.size === 0) return false
    if (this.outside > 0) return true
    if (horizonMs < Number.POSITIVE_INFINITY) {
      clock.pause(Math.max(0, horizonMs - clock.monotonicMs()))
      for (const goal of this.goals) {
        if (goal.untilMs === null || goal.untilMs > horizonMs) continue
        this.goals.delete(goal)
        goal.reached()
      }
    } else this.failAll((goal) => stuckError(goal.what))
    return true
  }

  private failAll(errorFor: (goal: Goal) => Error): void {
    const goals = [...this.goals]
    this.goals.clear()
    for (const goal of goals) goal.failed(errorFor(goal))
  }
}

/** Calls back after so much virtual time. */
export function sleep(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.setTimer(ms, resolve))
}

function endedError(what: string): LeveretError {
  return new LeveretError('E_CLOSED', `${what}: the test broker is closed: create another one with createTestBroker`)
}

function stuckError(what: string): LeveretError {
  return new LeveretError(
    'E_WOULD_DEADLOCK',
    `${what}: nothing is left to happen that could settle the promise. It waits for something that was never sent or is ` +
      'held by a handler that does not end; or for a real timer, file or socket, and then await it without test.run',
  )
}

function endlessError(what: string): LeveretError {
  return new LeveretError(
    'E_TIMEOUT',
    `${what}: ${stepsMax} things have happened, and there is no end: look for a message that is given back as soon as it ` +
      'comes, or for a fault that keeps what you wait for from happening',
  )
}
