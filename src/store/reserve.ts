/**
 * `reserve.bin`: a file of real bytes that is there to be deleted. On a disk without any room even what would empty it could
 * not be written, acknowledgements and checkpoints, and it would stay full for ever.
 *
 *     room to spare → made → (a write fails) → deleted, and the write is tried again → room to spare → made …
 */
import { isErrorCode } from '../log/small-file.ts'
import type { DiskFile } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'

const pieceBytesMax = 1_048_576

export class Reserve {
  readonly bytes: number
  private readonly platform: Platform
  private readonly path: string
  private isThere = false
  /** What is being done with it; never rejects. */
  private working: Promise<void> = Promise.resolve()
  private isGivenUp = false

  constructor(platform: Platform, path: string, bytes: number) {
    this.platform = platform
    this.path = path
    this.bytes = bytes
  }

  /** There is room for it. Nobody waits, and it does not matter if it cannot be made. */
  make(): void {
    if (this.isThere || this.isGivenUp) return
    this.isThere = true
    this.working = this.working.then(async () => {
      const isMade = await this.write().catch(() => false)
      if (isMade && !this.isGivenUp) return
      this.isThere = false
      await this.platform.disk.remove(this.path).catch(() => {})
    })
  }

  /** Gives its room back: resolves when that is so, or when there is none to give. */
  async release(): Promise<void> {
    this.isGivenUp = true
    await this.working
    this.isGivenUp = false
    this.isThere = false
    await this.platform.disk.remove(this.path).catch(() => {})
  }

  /** Resolves when nothing is done with it any more. */
  async end(): Promise<void> {
    this.isGivenUp = true
    await this.working
  }

  private async write(): Promise<boolean> {
    const { platform, path, bytes } = this
    const file = await this.open()
    try {
      if ((await file.size()) >= bytes) return true
      // Zeros would take no room on a file system that compresses.
      const piece = Buffer.allocUnsafeSlow(Math.min(bytes, pieceBytesMax))
      platform.random.fill(piece)
      for (let at = 0; at < bytes && !this.isGivenUp; at += piece.length) {
        await file.write(piece, 0, Math.min(piece.length, bytes - at), at)
      }
      await file.sync()
      return true
    } finally {
      await file.close()
      await platform.disk.syncDirectory(path.slice(0, path.lastIndexOf('/'))).catch(() => {})
    }
  }

  private async open(): Promise<DiskFile> {
    const { disk } = this.platform
    try {
      return await disk.open(this.path, 'create')
    } catch (error) {
      if (!isErrorCode(error, 'EEXIST')) throw error
      return disk.open(this.path, 'write')
    }
  }
}
