/**
 * Looks how much room the disk has left, so that publishers can be stopped while there is enough for acknowledgements,
 * checkpoints and compaction: what empties queues must be able to go on, or the disk stays full for ever.
 *
 * It looks when something was written: once a second, and as often as an eighth of the room it watches over was written, for
 * a fast disk can be filled within that second. By itself it looks only while there is too little. Publishers go on when there
 * is a quarter more than where they stop.
 */
import type { Platform } from '../platform/platform.ts'
import { Reserve } from './reserve.ts'

const lookMs = 1_000
const resumeShare = 1.25
const lookShare = 8

export class DiskSpace {
  isLow = false
  private readonly platform: Platform
  private readonly directory: string
  private readonly bytesMin: number
  private readonly changed: (isLow: boolean) => void
  private readonly reserve: Reserve | null
  private lookedMs = Number.NEGATIVE_INFINITY
  private lookedBytes = 0
  private isLooking = false
  private isEnded = false
  private cancelTimer: (() => void) | null = null

  /**
   * `changed` is told when the room falls below `bytesMin`, and when there is enough again. `reserveBytes` 0: without a
   * reserve.
   */
  constructor(
    platform: Platform,
    directory: string,
    bytesMin: number,
    reserveBytes: number,
    changed: (isLow: boolean) => void,
  ) {
    this.platform = platform
    this.directory = directory
    this.bytesMin = bytesMin
    this.changed = changed
    this.reserve = reserveBytes > 0 ? new Reserve(platform, `${directory}/reserve.bin`, reserveBytes) : null
  }

  /** Something was written; so many bytes were it until now. */
  wrote(totalBytes: number): void {
    const nowMs = this.platform.clock.monotonicMs()
    const isLate = nowMs - this.lookedMs >= lookMs || totalBytes - this.lookedBytes >= this.bytesMin / lookShare
    if (!isLate || this.isLooking || this.isEnded) return
    this.lookedMs = nowMs
    this.lookedBytes = totalBytes
    void this.look()
  }

  /** A write failed: perhaps there is no room at all. It will be tried again, and more is written then. */
  stalled(): void {
    void this.reserve?.release()
  }

  async end(): Promise<void> {
    this.isEnded = true
    this.cancelTimer?.()
    await this.reserve?.end()
  }

  private async look(): Promise<void> {
    this.isLooking = true
    // A system that does not tell has room, as far as anybody knows; the log copes with what comes.
    const free = await this.platform.disk.freeBytes(this.directory).catch(() => Number.POSITIVE_INFINITY)
    this.isLooking = false
    if (this.isEnded) return
    // A folder in which little was ever written is not to have more in reserve than in it.
    const { bytesMin, reserve } = this
    if (reserve !== null && this.lookedBytes >= reserve.bytes && free > bytesMin * resumeShare + reserve.bytes) {
      reserve.make()
    }
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
