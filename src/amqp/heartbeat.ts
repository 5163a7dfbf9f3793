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

  /** Starts over with the interval the client chose; 0 turns heartbeats off. */
  start(intervalSeconds: number, nowMs: number): void {
    this.intervalMs = intervalSeconds * 1000
    this.sentMs = nowMs
    this.receivedMs = nowMs
  }

  noteReceived(nowMs: number): void {
    this.receivedMs = nowMs
  }

  /** Time in which nobody could have been heard: this process did not run, or the socket was not read. */
  excuse(lateMs: number): void {
    this.receivedMs += lateMs
  }

  noteSent(nowMs: number): void {
    this.sentMs = nowMs
  }

  isPeerLost(nowMs: number): boolean {
    return this.intervalMs > 0 && nowMs - this.receivedMs >= 2 * this.intervalMs
  }

  /** `slackMs` later it would be overdue. */
  isDue(nowMs: number, slackMs: number): boolean {
    return this.intervalMs > 0 && nowMs - this.sentMs + slackMs > this.intervalMs / 2
  }
}
