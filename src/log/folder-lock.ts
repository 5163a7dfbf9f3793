/**
 * One process per folder. Two things guard it:
 *
 * 1. `disk.lock`, which the kernel frees when the process dies, however it dies. It decides.
 * 2. The file LOCK, one line of JSON {pid, startTime, bootId, host, epoch, addresses}. It says who has the folder and
 *    where it is served, and it stops those whom the kernel's lock cannot see: another network namespace on the same
 *    machine. A LOCK of another boot, or of a process that is gone, is stale and replaced.
 */
import type { DiskLock } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'
import { folderInUse } from './log-error.ts'
import { createSmallFile, isErrorCode, readSmallFile, removeIfThere, replaceSmallFile } from './small-file.ts'

interface Owner {
  pid: number
  startTime: string
  bootId: string
  host: string
  epoch: number
  addresses: readonly string[]
}

export class FolderLock {
  private readonly platform: Platform
  private readonly path: string
  private readonly diskLock: DiskLock
  private readonly owner: Owner
  /** Rewrites come one after the other, for they share one temporary file. */
  private rewriting: Promise<void> = Promise.resolve()

  private constructor(platform: Platform, path: string, diskLock: DiskLock, owner: Owner) {
    this.platform = platform
    this.path = path
    this.diskLock = diskLock
    this.owner = owner
  }

  /** Takes the folder or throws E_FOLDER_IN_USE. */
  static async acquire(platform: Platform, directory: string): Promise<FolderLock> {
    const { disk, host } = platform
    const path = `${directory}/LOCK`
    const diskLock = await disk.lock(directory)
    if (diskLock === null) {
      const other = parseOwner(await readSmallFile(disk, path))
      throw folderInUse(directory, other?.pid ?? 0, other?.host ?? '', other?.addresses ?? [])
    }
    try {
      const other = parseOwner(await readSmallFile(disk, path))
      if (other !== null && isAlive(platform, other))
        throw folderInUse(directory, other.pid, other.host, other.addresses)
      await removeIfThere(disk, path)
      const owner: Owner = {
        pid: host.pid,
        startTime: host.startTime,
        bootId: host.bootId,
        host: host.name,
        epoch: 0,
        addresses: [],
      }
      try {
        await createSmallFile(disk, path, encodeOwner(owner))
      } catch (error) {
        // Somebody whom our kernel's lock does not see was faster.
        if (isErrorCode(error, 'EEXIST')) throw folderInUse(directory, 0, '', [])
        throw error
      }
      return new FolderLock(platform, path, diskLock, owner)
    } catch (error) {
      await diskLock.release()
      throw error
    }
  }

  setEpoch(epoch: number): Promise<void> {
    this.owner.epoch = epoch
    return this.rewrite()
  }

  /** Where this process serves the folder, for those that are refused. */
  setAddresses(addresses: readonly string[]): Promise<void> {
    this.owner.addresses = addresses
    return this.rewrite()
  }

  async release(): Promise<void> {
    try {
      await this.rewriting
      await removeIfThere(this.platform.disk, this.path)
    } catch {
      // A LOCK that stays behind names a process that is gone, or one that can open the folder again: it is stale.
    }
    await this.diskLock.release()
  }

  private rewrite(): Promise<void> {
    const rewritten = this.rewriting.then(() =>
      replaceSmallFile(this.platform.disk, this.path, encodeOwner(this.owner)),
    )
    this.rewriting = rewritten.catch(() => {})
    return rewritten
  }
}

function isAlive(platform: Platform, other: Owner): boolean {
  const { host } = platform
  if (other.bootId !== host.bootId) return false
  // Our own: an earlier log of this process that could not clean up. The kernel's lock, which we hold, says it is gone.
  if (other.pid === host.pid && other.startTime === host.startTime) return false
  return host.isRunning(other.pid, other.startTime)
}

function encodeOwner(owner: Owner): string {
  return `${JSON.stringify(owner)}\n`
}

/** null also for what a crash left half-written: who wrote it is no more. */
function parseOwner(text: string | null): Owner | null {
  if (text === null) return null
  try {
    const value = JSON.parse(text) as Partial<Owner> | null
    if (value === null || typeof value !== 'object' || typeof value.pid !== 'number') return null
    return {
      pid: value.pid,
      startTime: String(value.startTime ?? ''),
      bootId: String(value.bootId ?? ''),
      host: String(value.host ?? ''),
      epoch: Number(value.epoch ?? 0),
      addresses: Array.isArray(value.addresses) ? value.addresses.map(String) : [],
    }
  } catch {
    return null
  }
}
