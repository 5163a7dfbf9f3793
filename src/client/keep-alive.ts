/**
 * The platform's timers do not keep the process alive, which is right for heartbeats and sampling. But a message that backs
 * off before its next attempt is work in hand, and so are a worker that is open and a caller who waits for an outcome or a message:
 * Node must not end the program in the middle. An open message port is the one thing in the language that says so without a timer of its own.
 */
import type { Clock } from '../platform/clock.ts'

let holders = 0
let channel: InstanceType<typeof MessageChannel> | null = null

/** The process stays until the returned function is called; further calls of it do nothing. */
export function keepAlive(): () => void {
  holders++
  if (channel === null) {
    channel = new MessageChannel()
    channel.port1.ref()
  }
  let isHeld = true
  return () => {
    if (!isHeld) return
    isHeld = false
    if (--holders > 0) return
    channel?.port1.close()
    channel = null
  }
}

/** As `keepAlive`, for somebody who waits by that clock: where time is simulated the process is not kept for it. */
export function keepAliveBy(clock: Clock): () => void {
  return clock.isSimulated === true ? nothing : keepAlive()
}

/** A timer that keeps the process alive until it has fired or is cancelled. */
export function setLivingTimer(clock: Clock, delayMs: number, callback: () => void): () => void {
  const release = keepAliveBy(clock)
  const cancelTimer = clock.setTimer(delayMs, () => {
    release()
    callback()
  })
  return () => {
    cancelTimer()
    release()
  }
}

function nothing(): void {}
