/**
 * The folder that a log is in, from when it is locked until it is free: nobody else opens it meanwhile, and it says which
 * versions may (format-file.ts) and where it is served (folder-lock.ts).
 */
import type { Platform } from '../platform/platform.ts'
import { FolderLock } from './folder-lock.ts'
import { type Format, incompatCheckpoints, openFormat, writeFormat } from './format-file.ts'
import type { LogOptions } from './log-options.ts'
import { judgeFileSystem } from './network-file-system.ts'
import { segmentIdOf } from './segment.ts'

export class LogFolder {
  readonly path: string
  /** What was noticed when it was opened, in words for people. */
  readonly notes: readonly string[]
  private readonly platform: Platform
  private readonly lock: FolderLock
  private format: Format

  private constructor(platform: Platform, path: string, lock: FolderLock, format: Format, notes: readonly string[]) {
    this.platform = platform
    this.path = path
    this.lock = lock
    this.format = format
    this.notes = notes
  }

  /** Makes what is missing of it, locks it and sees whether this version may open it. */
  static async open(platform: Platform, path: string, options: LogOptions): Promise<LogFolder> {
    const { disk } = platform
    let lock: FolderLock | null = null
    try {
      await disk.makeDirectory(`${path}/log`)
      const notes = await judgeFileSystem(platform, path, options.networkFolder === true)
      await disk.makeDirectory(`${path}/quarantine`)
      lock = await FolderLock.acquire(platform, path)
      const hasSegments = (await disk.list(`${path}/log`)).some((name) => segmentIdOf(name) > 0)
      const format = await openFormat(platform, path, hasSegments, options)
      // The folder's own name, if this process may sync the folder above.
      if (format.isNew) await disk.syncDirectory(`${path}/..`).catch(() => {})
      if (format.repaired !== '') notes.push(format.repaired)
      return new LogFolder(platform, path, lock, format, notes)
    } catch (error) {
      await lock?.release()
      throw error
    }
  }

  /** Whether a recovery needs to be told where to begin. */
  get needsStart(): boolean {
    return (this.format.incompat & incompatCheckpoints) !== 0
  }

  /** From now on it does: versions that know of no such start must not open the folder. */
  async needStart(): Promise<void> {
    if (this.needsStart) return
    const incompat = this.format.incompat | incompatCheckpoints
    await writeFormat(this.platform, this.path, this.format.uuid, incompat)
    this.format = { ...this.format, incompat }
  }

  setEpoch(epoch: number): Promise<void> {
    return this.lock.setEpoch(epoch)
  }

  setAddresses(addresses: readonly string[]): Promise<void> {
    return this.lock.setAddresses(addresses)
  }

  /** Others may open it. */
  release(): Promise<void> {
    return this.lock.release()
  }
}
