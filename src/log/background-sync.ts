/**
 * Syncing that nobody waits for. Where frames count as soon as they are written, they still become durable: a while after
 * the first that is not, or sooner when many bytes have come together.
 *
 *     written   … 5 ─ 6 ─ 7 ─ 8 ─ 9     in the file: what the end of the process leaves
 *     synced    … 5 ─ 6                 what a power cut leaves: where the log ended when the last sync that is done began
 *
 * All frames that are written and not synced are in one segment, the log's last: a new one is only begun when everything
 * before it is synced, and its own first frame is synced before it gets a second. So recovery has one place to look at.
 *
 * Two syncs of one file never overlap: the system tells of a failure once, and the one that is not told would lie.
 */
import type { Clock } from '../platform/clock.ts'

export interface BackgroundSyncOptions {
  /** A sync begins no later than this after the first frame that is not synced. */
  readonly syncDelayMs: number
  /** So many unsynced bytes at most, and one frame: the next one waits for its own sync. At half of it a sync begins. */
  readonly syncDelayBytesMax: number
}

/** Behind which frame the log ends, where in its segment, and the CRC of that frame's header. */
export interface LogEnd {
  readonly lsn: number
  readonly bytes: number
  readonly crc: number
}

/** The log whose frames these are. */
export interface SyncedLog {
  /** Makes the last segment's file durable. */
  syncTail(): Promise<void>
  /** Everything up to `synced` is durable now. */
  caughtUp(): void
  /** The end, as after any failed sync. */
  syncFailed(error: unknown): void
}

export class BackgroundSync {
  writtenLsn: number
  synced: LogEnd
  private readonly clock: Clock
  private readonly options: BackgroundSyncOptions
  private readonly log: SyncedLog
  private written: LogEnd
  /** Written, and no sync that would cover it has begun. */
  private waitingBytes = 0
  private waitingSinceMs = 0
  private syncingBytes = 0
  private running: Promise<void> | null = null
  private cancelTimer: (() => void) | null = null
  private hurriedLsn = 0
  /** The log syncs by itself at the moment. */
  private isHeld = false
  private isEnded = false

  constructor(clock: Clock, options: BackgroundSyncOptions, log: SyncedLog, end: LogEnd) {
    this.clock = clock
    this.options = options
    this.log = log
    this.synced = end
    this.written = end
    this.writtenLsn = end.lsn
  }

  /** A frame of so many bytes was written, and is synced later. */
  add(end: LogEnd, bytes: number): void {
    this.written = end
    this.writtenLsn = end.lsn
    if (this.waitingBytes === 0) this.waitingSinceMs = this.clock.monotonicMs()
    this.waitingBytes += bytes
    this.plan()
  }

  get isCaughtUp(): boolean {
    return this.synced.lsn === this.written.lsn
  }

  /** Whether the frame, of so many bytes, is one that must not be put off. */
  isDue(lsn: number, bytes: number): boolean {
    return lsn === this.hurriedLsn || this.waitingBytes + this.syncingBytes + bytes > this.options.syncDelayBytesMax
  }

  /** Somebody waits for that frame to be durable. */
  hurry(lsn: number): void {
    if (lsn <= this.hurriedLsn) return
    this.hurriedLsn = lsn
    if (lsn <= this.writtenLsn) this.plan()
  }

  /** Everything that is written becomes durable; after a failure it never does. */
  async settle(): Promise<void> {
    while (!this.isEnded && !this.isCaughtUp) {
      this.start()
      await this.running
    }
  }

  /** The log is about to sync by itself: no sync is under way, and none begins until `release`. */
  async hold(): Promise<void> {
    this.isHeld = true
    await this.running
  }

  /** The log has synced everything up to there. */
  release(end: LogEnd): void {
    this.isHeld = false
    this.written = end
    this.synced = end
    this.writtenLsn = end.lsn
    this.waitingBytes = 0
    this.forgetTimer()
  }

  /** Nothing more is synced; waits for what is under way. */
  async end(): Promise<void> {
    this.isEnded = true
    this.forgetTimer()
    await this.running
  }

  private plan(): void {
    if (this.running !== null || this.isHeld || this.isEnded || this.waitingBytes === 0) return
    const isHurried = this.hurriedLsn > this.synced.lsn && this.hurriedLsn <= this.writtenLsn
    if (isHurried || this.waitingBytes * 2 >= this.options.syncDelayBytesMax) return this.start()
    if (this.cancelTimer !== null) return
    const delayMs = this.waitingSinceMs + this.options.syncDelayMs - this.clock.monotonicMs()
    this.cancelTimer = this.clock.setTimer(Math.max(0, delayMs), () => {
      this.cancelTimer = null
      this.start()
    })
  }

  private start(): void {
    if (this.running !== null || this.isHeld || this.isEnded || this.waitingBytes === 0) return
    this.forgetTimer()
    const { written } = this
    this.syncingBytes = this.waitingBytes
    this.waitingBytes = 0
    this.running = this.log.syncTail().then(
      () => {
        this.running = null
        this.syncingBytes = 0
        if (this.isEnded) return
        this.synced = written
        this.plan()
        this.log.caughtUp()
      },
      (error: unknown) => {
        this.running = null
        this.isEnded = true
        this.log.syncFailed(error)
      },
    )
  }

  private forgetTimer(): void {
    this.cancelTimer?.()
    this.cancelTimer = null
  }
}
