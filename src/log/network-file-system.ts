/**
 * Folders that other machines may have open as well. The kernel's lock is seen on this machine alone, the LOCK file tells of
 * processes on this one, and a client of a network file system may say that something is on stable storage when it is on its way.
 */
import type { Platform } from '../platform/platform.ts'
import { LogError } from './log-error.ts'

/** By the number that statfs tells. */
const networkFileSystems: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xfe534d42, 'SMB2'],
  [0xff534d42, 'CIFS'],
  [0x73757245, 'Coda'],
  [0x5346414f, 'AFS'],
  [0x00c36400, 'Ceph'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
])

/** What is behind these nobody can tell: a disk of this machine, of its host, or of another one. */
const unknownFileSystems: ReadonlyMap<number, string> = new Map([
  [0x01021997, '9p'],
  [0x65735546, 'FUSE'],
])

/** Throws E_NETWORK_FOLDER unless `isAllowed`; returns what there is to say, or nothing. */
export async function judgeFileSystem(platform: Platform, directory: string, isAllowed: boolean): Promise<string[]> {
  const type = await platform.disk.fileSystemType(directory).catch(() => 0)
  const unknown = unknownFileSystems.get(type)
  if (unknown !== undefined) {
    return [
      `${directory} is on ${unknown}: make sure that only this machine uses it, and that it keeps what it has synced`,
    ]
  }
  const network = networkFileSystems.get(type)
  if (network === undefined) return []
  if (isAllowed) return [`${directory} is on ${network}, a network file system: no other machine may open it`]
  throw new LogError(
    'E_NETWORK_FOLDER',
    `${directory} is on ${network}, a network file system, where another machine could open it at the same time and ` +
      'both would damage it. Use a disk of this machine; or, if no other machine ever opens it, allow network folders.',
    { detail: network },
  )
}
