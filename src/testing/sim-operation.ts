/** One operation of the simulated disk, and what may go wrong with it. */

export type SimOperationKind =
  | 'open'
  | 'create'
  | 'list'
  | 'makeDirectory'
  | 'rename'
  | 'remove'
  | 'link'
  | 'syncDirectory'
  | 'lock'
  | 'write'
  | 'read'
  | 'sync'
  | 'size'
  | 'truncate'
  | 'close'

export interface SimOperation {
  readonly kind: SimOperationKind
  readonly path: string
  /** Bytes to write or read; 0 for the others. */
  readonly bytes: number
  /** How many operations were asked for before this one, since the disk was made. */
  readonly index: number
}

/** What goes wrong with one operation. */
export interface SimFault {
  readonly code: string
  /** A failing write first writes this many bytes. Default 0. */
  readonly bytesWritten?: number
  /**
   * A failing sync (ATC'20): 'clean' leaves the new content visible and forgets that it was never written (ext4, XFS);
   * 'reverted' shows the old content again (Btrfs). Default 'clean'.
   */
  readonly model?: 'clean' | 'reverted'
}

/** As the operating system would say it. */
export function systemError(code: string, syscall: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${syscall} '${path}'`), { code, syscall, path })
}
