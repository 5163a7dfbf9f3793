/** An open file of the simulated disk. It takes part in nothing any more once the process or the machine it was opened in is dead. */
import { assert } from '../lib/assert.ts'
import type { DiskFile } from '../platform/disk.ts'
import type { Inode } from './sim-inode.ts'
import { type SimFault, type SimOperationKind, systemError } from './sim-operation.ts'

/** The disk of the file. */
export interface FileHost {
  /**
   * One operation: counted, perhaps faulty, carried out now, completed later. `complete` is what only happens if the
   * operation gets that far before a crash. Of another `incarnation` than the present one it never ends.
   */
  perform<T>(
    kind: SimOperationKind,
    path: string,
    bytes: number,
    effect: (fault: SimFault | null) => T,
    complete?: (fault: SimFault | null) => void,
    incarnation?: number,
  ): Promise<T>
  /** An operation that is over when it returns. A process that is dead by then does not notice. */
  performNow<T>(kind: SimOperationKind, path: string, bytes: number, effect: () => T): T
  /** How many of `bytes` new bytes at the end of a file still fit. */
  spaceFor(bytes: number): number
}

export class SimDiskFile implements DiskFile {
  private readonly disk: FileHost
  private readonly incarnation: number
  private readonly path: string
  private readonly inode: Inode
  private readonly isWritable: boolean
  private isClosed = false

  constructor(disk: FileHost, incarnation: number, path: string, inode: Inode, isWritable: boolean) {
    this.disk = disk
    this.incarnation = incarnation
    this.path = path
    this.inode = inode
    this.isWritable = isWritable
  }

  write(buffer: Buffer, start: number, end: number, position: number): Promise<void> {
    const { disk, inode, path } = this
    assert(this.isWritable, 'the file is open for writing')
    return this.perform('write', end - start, (fault) => {
      const growth = Math.max(0, position + end - start - inode.visible.length)
      const fitting = end - start - growth + disk.spaceFor(growth)
      const written = fault === null ? fitting : Math.min(fitting, fault.bytesWritten ?? 0)
      if (written > 0) inode.write(buffer.subarray(start, start + written), position)
      if (fault === null && written < end - start) throw systemError('ENOSPC', 'write', path)
    })
  }

  read(buffer: Buffer, start: number, end: number, position: number): Promise<number> {
    const { inode } = this
    return this.perform('read', end - start, () => {
      if (position >= inode.visible.length) return 0
      return inode.visible.copy(buffer, start, position, Math.min(inode.visible.length, position + end - start))
    })
  }

  readNow(buffer: Buffer, start: number, end: number, position: number): number {
    const { inode } = this
    return this.disk.performNow('read', this.path, end - start, () => {
      if (position >= inode.visible.length) return 0
      return inode.visible.copy(buffer, start, position, Math.min(inode.visible.length, position + end - start))
    })
  }

  sync(): Promise<void> {
    const { inode } = this
    const { version, unsynced } = inode
    return this.perform(
      'sync',
      0,
      () => {},
      (fault) => {
        if (fault === null) inode.synced(version, unsynced)
        else inode.syncFailed(fault.model ?? 'clean')
      },
    )
  }

  size(): Promise<number> {
    return this.perform('size', 0, () => this.inode.visible.length)
  }

  truncate(size: number): Promise<void> {
    assert(this.isWritable, 'the file is open for writing')
    return this.perform('truncate', 0, () => this.inode.resize(size))
  }

  close(): Promise<void> {
    return this.perform('close', 0, () => {
      this.isClosed = true
    })
  }

  private perform<T>(
    kind: SimOperationKind,
    bytes: number,
    effect: (fault: SimFault | null) => T,
    complete?: (fault: SimFault | null) => void,
  ): Promise<T> {
    assert(!this.isClosed, 'the file is open')
    return this.disk.perform(kind, this.path, bytes, effect, complete, this.incarnation)
  }
}
