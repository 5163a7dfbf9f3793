/**
 * Files, as the log needs them: positional writes, an explicit sync, and directory operations that are durable only
 * after `syncDirectory`. Errors are Node's, with `code` ('ENOSPC', 'EIO', 'ENOENT', 'EEXIST', ...).
 */

export interface Disk {
  /** 'create' fails with EEXIST if the file is there; 'read' and 'write' fail with ENOENT if it is not. */
  open(path: string, mode: 'create' | 'read' | 'write'): Promise<DiskFile>
  /** Names (not paths) of what is in the directory, sorted. */
  list(path: string): Promise<string[]>
  /** Makes the directory and its parents; no error if it is there. */
  makeDirectory(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** Gives a file a second name. EEXIST if that is taken; EXDEV, EPERM, … where the file system cannot do it. */
  link(from: string, to: string): Promise<void>
  /** Bytes that can still be written below the directory; infinity where the system does not tell. */
  freeBytes(path: string): Promise<number>
  /** The number by which the system knows the kind of file system that the path is on; 0 where it does not tell. */
  fileSystemType(path: string): Promise<number>
  /** Makes created, renamed and removed names in the directory durable. */
  syncDirectory(path: string): Promise<void>
  /** An exclusive lock on a directory, held by the kernel and gone with the process; null if somebody else holds it. */
  lock(path: string): Promise<DiskLock | null>
}

export interface DiskFile {
  /** Writes all bytes of `buffer[start, end)` at `position`, or rejects; after a rejection any part may be on disk. */
  write(buffer: Buffer, start: number, end: number, position: number): Promise<void>
  /** Reads into `buffer[start, end)` from `position`; resolves with the bytes read, fewer only at the end of the file. */
  read(buffer: Buffer, start: number, end: number, position: number): Promise<number>
  /**
   * As `read`, but at once, holding up everything else: for a few KiB that a decision cannot wait for and that are nearly
   * always in the system's cache.
   */
  readNow(buffer: Buffer, start: number, end: number, position: number): number
  /** fdatasync: when it resolves, what was written before is on stable storage. */
  sync(): Promise<void>
  size(): Promise<number>
  truncate(size: number): Promise<void>
  close(): Promise<void>
}

export interface DiskLock {
  release(): Promise<void>
}
