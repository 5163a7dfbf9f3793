/**
 * Looks how much room the disk has left, so that publishers can be stopped while there is enough for acknowledgements,
 * checkpoints and compaction: what empties queues must be able to go on, or the disk stays full for ever.
 *
 * It looks when something was written, once a second at most, and by itself only while there is too little. Publishers go on
 * when there is a quarter more than where they stop.
 */
import type { Platform } from '../platform/platform.ts'

const lookMs = 1_000
const resumeShare = 1.25

export class DiskSpace {
  isLow = false
  private readonly platform: Platform
  private readonly directory: string
  private readonly bytesMin: number
  private readonly changed: (isLow: boolean) => void
  private lookedMs = Number.NEGATIVE_INFINITY
  private isLooking = false
  private isEnded = false
  private cancelTimer: (() => void) | null = null

  /** `changed` is told when the room falls below `bytesMin`, and when there is enough again. */
  constructor(platform: Platform, directory: string, bytesMin: number, changed: (isLow: boolean) => void) {
    this.platform = platform
    this.directory = directory
    this.bytesMin = bytesMin
    this.changed = changed
  }

  /** Something was written. */
  wrote(): void {
    const nowMs = this.platform.clock.monotonicMs()
    if (nowMs - this.lookedMs < lookMs || this.isLooking || this.isEnded) return
    this.lookedMs = nowMs
    void this.look()
  }

  end(): void {
    this.isEnded = true
    this.cancelTimer?.()
  }

  private async look(): Promise<void> {
    this.isLooking = true
    // A system that does not tell has room, as far as anybody knows; the log copes with what comes.
    const free = await this.platform.disk.freeBytes(this.directory).catch(() => Number.POSITIVE_INFINITY)
    this.isLooking = false
    if (this.isEnded) return
    const isLow = free < (this.isLow ? this.bytesMin * resumeShare : this.bytesMin)
    if (isLow !== this.isLow) {
      this.isLow = isLow
      this.changed(isLow)
    }
    if (!isLow) return
    this.cancelTimer?.()
    this.cancelTimer = this.platform.clock.setTimer(lookMs, () => {
      this.cancelTimer = null
      void this.look()
    })
  }
}
