/**
 * The platform's timers do not keep the process alive, which is right for heartbeats and sampling. But a message that backs
 * off before its next attempt is work in hand, and so is a caller who waits for an outcome: Node must not end the program
 * in the middle. An open message port is the one thing in the language that says so without a timer of its own.
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

/** A timer that keeps the process alive until it has fired or is cancelled. */
export function setLivingTimer(clock: Clock, delayMs: number, callback: () => void): () => void {
  const release = clock.isSimulated === true ? nothing : keepAlive()
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
