/** Files of segments open for reading, a bounded number of them: those used last. */
import type { Disk, DiskFile } from '../platform/disk.ts'
import type { Segment } from './segment.ts'

const filesMax = 32

interface OpenFile {
  readonly file: Promise<DiskFile>
  /** Reads under way. */
  users: number
  isUnwanted: boolean
}

export class SegmentFiles {
  private readonly disk: Disk
  /** By path, the one used last at the end. */
  private readonly open = new Map<string, OpenFile>()

  constructor(disk: Disk) {
    this.disk = disk
  }

  /** As DiskFile.read. */
  async read(segment: Segment, buffer: Buffer, start: number, end: number, position: number): Promise<number> {
    const opened = this.take(segment.path)
    opened.users++
    try {
      return await (await opened.file).read(buffer, start, end, position)
    } catch (error) {
      this.forget(segment)
      throw error
    } finally {
      opened.users--
      if (opened.isUnwanted && opened.users === 0) close(opened)
    }
  }

  /** The file is going. */
  forget(segment: Segment): void {
    const opened = this.open.get(segment.path)
    if (opened !== undefined) this.drop(segment.path, opened)
  }

  async close(): Promise<void> {
    const all = [...this.open]
    for (const [path, opened] of all) this.drop(path, opened)
    for (const [, { file }] of all) await file.catch(() => {})
  }

  private take(path: string): OpenFile {
    const known = this.open.get(path)
    if (known !== undefined) {
      this.open.delete(path)
      this.open.set(path, known)
      return known
    }
    for (const [oldest, opened] of this.open) {
      if (this.open.size < filesMax) break
      this.drop(oldest, opened)
    }
    const opened = { file: this.disk.open(path, 'read'), users: 0, isUnwanted: false }
    opened.file.catch(() => {})
    this.open.set(path, opened)
    return opened
  }

  private drop(path: string, opened: OpenFile): void {
    this.open.delete(path)
    opened.isUnwanted = true
    if (opened.users === 0) close(opened)
  }
}

function close(opened: OpenFile): void {
  opened.file.then((file) => file.close()).catch(() => {})
}
