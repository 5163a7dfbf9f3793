/**
 * Tasks of a worker that wait for something other than their handler: a pause before the next attempt, an answer that is
 * checked, a dead-letter queue that is being made.
 */
import type { Clock } from '../platform/clock.ts'
import { setLivingTimer } from './keep-alive.ts'
import type { Task } from './task.ts'

/** When the worker closes: wait for it, leave the message to another worker, or do this now. */
type AtClose = 'wait' | 'leave' | (() => void)

interface Held {
  readonly cancel: () => void
  readonly atClose: AtClose
}

const nothing = (): void => {}

export class HeldTasks {
  private readonly clock: Clock
  private readonly wentOn: () => void
  private readonly held: Map<Task, Held> = new Map()

  /** `wentOn` is called whenever a task has gone on. */
  constructor(clock: Clock, wentOn: () => void) {
    this.clock = clock
    this.wentOn = wentOn
  }

  get size(): number {
    return this.held.size
  }

  tasks(): Iterable<Task> {
    return this.held.keys()
  }

  /** Until `resume` is called for it. */
  hold(task: Task): void {
    this.held.set(task, { cancel: nothing, atClose: 'wait' })
  }

  /** Until `next`, so much later, or at the close. */
  holdFor(task: Task, waitMs: number, atClose: 'leave' | 'go on', next: () => void): void {
    const cancel = setLivingTimer(this.clock, waitMs, () => this.resume(task, next))
    this.held.set(task, { cancel, atClose: atClose === 'leave' ? 'leave' : next })
  }

  /** What the task waited for has come; nothing happens if the task was lost meanwhile. */
  resume(task: Task, next: () => void): void {
    if (!this.held.delete(task)) return
    next()
    this.wentOn()
  }

  /** The worker closes: what waits for its time alone waits no longer. */
  giveBack(): void {
    for (const [task, { cancel, atClose }] of this.held) {
      if (atClose === 'wait') continue
      cancel()
      this.resume(task, atClose === 'leave' ? nothing : atClose)
    }
  }

  /** All of them are lost. */
  clear(): void {
    for (const { cancel } of this.held.values()) cancel()
    this.held.clear()
  }
}
