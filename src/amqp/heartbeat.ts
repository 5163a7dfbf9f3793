/**
 * Heartbeats of one connection, driven by the server's one timer.
 *
 * We send one when nothing was sent for half the interval, and give the peer up when nothing came for two intervals; any
 * octet counts, in either direction. A connection that we do not read is not blamed for its silence.
 */

export class Heartbeat {
  private intervalMs = 0
  private sentMs = 0
  private receivedMs = 0
  private lookedMs = 0

  /** Starts over with the interval the client chose; 0 turns heartbeats off. */
  start(intervalSeconds: number, nowMs: number): void {
    this.intervalMs = intervalSeconds * 1000
    this.sentMs = nowMs
    this.receivedMs = nowMs
    this.lookedMs = nowMs
  }

  noteReceived(nowMs: number): void {
    this.receivedMs = nowMs
  }

  /** Time in which nobody could have been heard: this process did not run, or the socket was not read. */
  excuse(lateMs: number): void {
    this.receivedMs += lateMs
  }

  /**
   * The timer looks. What was sent since its last look counts as sent right then, for it may have been: some clients drop
   * a connection that is silent for one interval, and taken for later it would leave such a gap.
   */
  look(nowMs: number, hasSent: boolean): void {
    if (hasSent) this.sentMs = this.lookedMs
    this.lookedMs = nowMs
  }

  isPeerLost(nowMs: number): boolean {
    return this.intervalMs > 0 && nowMs - this.receivedMs >= 2 * this.intervalMs
  }

  /** `slackMs` later it would be overdue. */
  isDue(nowMs: number, slackMs: number): boolean {
    return this.intervalMs > 0 && nowMs - this.sentMs + slackMs > this.intervalMs / 2
  }
}
