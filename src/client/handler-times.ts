/** How long handlers may run: a lease that is lost if nobody extends it, and the deadline that came with the message. */
import { LeveretError } from '../model/errors.ts'
import type { Clock } from '../platform/clock.ts'
import { setLivingTimer } from './keep-alive.ts'
import type { Task } from './task.ts'

export class HandlerTimes {
  private readonly clock: Clock
  private readonly what: string
  private readonly leaseMs: number | null
  private readonly leaseLost: (task: Task, reason: LeveretError) => void

  /** `leaseMs` null: handlers may take their time. */
  constructor(
    clock: Clock,
    what: string,
    leaseMs: number | null,
    leaseLost: (task: Task, reason: LeveretError) => void,
  ) {
    this.clock = clock
    this.what = what
    this.leaseMs = leaseMs
    this.leaseLost = leaseLost
  }

  /** Its handler begins. */
  begin(task: Task): void {
    if (this.leaseMs !== null) task.more.cancelLease = this.leaseFor(task, this.leaseMs)
    if (task.deadlineMs === 0) return
    const leftMs = task.deadlineMs - this.clock.realtimeMs()
    task.more.cancelDeadline = this.clock.setTimer(leftMs, () => {
      const text = `${this.what}: the deadline of the message is over, so nobody waits for its result any more`
      task.abort(new LeveretError('E_EXPIRED', text))
    })
  }

  /** The lease of a handler that runs begins anew; `byMs` null: as long as at first. */
  extend(task: Task, byMs: number | null): void {
    const { leaseMs } = this
    if (leaseMs === null) {
      throw new LeveretError('E_BAD_OPTION', `${this.what}: there is no lease to extend: process with { lease: '30s' }`)
    }
    task.more.cancelLease?.()
    task.more.cancelLease = this.leaseFor(task, byMs ?? leaseMs)
  }

  isOver(task: Task): boolean {
    return task.deadlineMs > 0 && task.deadlineMs <= this.clock.realtimeMs()
  }

  private leaseFor(task: Task, leaseMs: number): () => void {
    return setLivingTimer(this.clock, leaseMs, () => {
      const text = `${this.what}: the handler did not end within its lease of ${leaseMs} ms: extend it with context.extend()`
      this.leaseLost(task, new LeveretError('E_LEASE_LOST', text))
    })
  }
}
