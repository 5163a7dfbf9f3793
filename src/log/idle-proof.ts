/**
 * That the last frame is durable, only a later one says. When none has followed for a while, the log writes a SYNCED frame,
 * which says so and needs no proof itself.
 *
 *     … frame ─(nothing for `idleSyncedMs`)─ SYNCED      idle
 *     … frame ─ SYNCED ─ SYNCED                          closed: the second one proves the first
 */
import type { Clock } from '../platform/clock.ts'

/** The log whose frames these are. */
export interface ProvenLog {
  /** A batch is in flight. */
  readonly busy: boolean
  readonly openRecords: number
  /** Records will come whose place was promised already. */
  readonly expectsRecords: boolean
  /** All that is written is durable. */
  readonly isSynced: boolean
  commitSynced(): void
}

const never = -1

export class IdleProof {
  private readonly clock: Clock
  private readonly idleMs: number
  private readonly log: ProvenLog
  /** SYNCED frames since the last other frame; -1 while this log has written nothing. */
  private syncedFrames = never
  private lastLandingMs = 0
  private cancelTimer: (() => void) | null = null
  private isEnded = false

  constructor(clock: Clock, idleMs: number, log: ProvenLog) {
    this.clock = clock
    this.idleMs = idleMs
    this.log = log
  }

  /** Whether a log that ends here says of all its frames that they are durable. */
  get isComplete(): boolean {
    return this.syncedFrames === never || this.syncedFrames >= 2
  }

  landed(isSyncedOnly: boolean): void {
    this.syncedFrames = isSyncedOnly ? Math.max(this.syncedFrames, 0) + 1 : 0
    this.lastLandingMs = this.clock.monotonicMs()
  }

  /** There may be something to prove, now or later. */
  watch(): void {
    if (this.syncedFrames !== 0 || this.cancelTimer !== null || this.isEnded) return
    this.lookIn(this.idleMs)
  }

  end(): void {
    this.isEnded = true
    this.cancelTimer?.()
    this.cancelTimer = null
  }

  private lookIn(delayMs: number): void {
    this.cancelTimer = this.clock.setTimer(delayMs, () => {
      const { log, idleMs } = this
      this.cancelTimer = null
      // A batch that is under way, or will be, starts the watch again when it lands.
      if (log.busy || log.openRecords > 0 || this.syncedFrames !== 0) return
      // A SYNCED frame would take the number that those records were promised.
      if (log.expectsRecords) return this.lookIn(idleMs)
      // It would prove nothing: the background sync starts the watch again.
      if (!log.isSynced) return
      const quietMs = this.clock.monotonicMs() - this.lastLandingMs
      if (quietMs >= idleMs) log.commitSynced()
      else this.lookIn(idleMs - quietMs)
    })
  }
}
