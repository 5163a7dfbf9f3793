/** When a connection is given up because of time: its peer is silent for too long, or owes something until a deadline. */
import type { ConnectionOutput } from '../amqp/connection-output.ts'
import { Heartbeat } from '../amqp/heartbeat.ts'
import type { Clock } from '../platform/clock.ts'
import type { ReadGate } from './read-gate.ts'

export class PeerWatch {
  /** Since the timer looked last. */
  hasReceived = false
  private readonly clock: Clock
  private readonly gate: ReadGate
  private readonly output: ConnectionOutput
  private readonly pulse: Heartbeat = new Heartbeat()
  private heartbeatSeconds = 0
  private deadlineMs: number

  /** `expiryMs`: how much time there is from now on, until another deadline or none is set. */
  constructor(clock: Clock, gate: ReadGate, output: ConnectionOutput, expiryMs: number) {
    this.clock = clock
    this.gate = gate
    this.output = output
    this.deadlineMs = clock.monotonicMs() + expiryMs
  }

  /** 0: no heartbeats. */
  tuned(heartbeatSeconds: number): void {
    this.heartbeatSeconds = heartbeatSeconds
    this.pulse.start(heartbeatSeconds, this.clock.monotonicMs())
  }

  expireIn(delayMs: number): void {
    this.deadlineMs = this.clock.monotonicMs() + delayMs
  }

  /** As `expireIn`, or sooner: what is waited for comes within one interval, or nobody is there. */
  expireInInterval(delayMs: number): void {
    this.expireIn(this.heartbeatSeconds > 0 ? Math.min(this.heartbeatSeconds * 1000, delayMs) : delayMs)
  }

  expireNever(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY
  }

  /** The timer looks. `lateMs`: how much longer than planned nobody could read. Returns whether the peer is given up. */
  look(nowMs: number, lateMs: number): boolean {
    const { pulse, output } = this
    this.deadlineMs += lateMs
    if (this.hasReceived || this.gate.isPaused) pulse.noteReceived(nowMs)
    else pulse.excuse(lateMs)
    pulse.look(nowMs, output.hasSent)
    this.hasReceived = false
    output.hasSent = false
    return nowMs >= this.deadlineMs || pulse.isPeerLost(nowMs)
  }

  /** Whether a heartbeat is to be sent now, because `slackMs` later it would be overdue. */
  isHeartbeatDue(nowMs: number, slackMs: number): boolean {
    return this.pulse.isDue(nowMs, slackMs)
  }
}
