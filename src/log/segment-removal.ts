/** Takes segments' files away, one after the other, while nobody waits. Errors do not matter: the next opening finishes it. */
import type { Disk } from '../platform/disk.ts'
import type { Segment } from './segment.ts'

export class SegmentRemoval {
  private readonly disk: Disk
  private readonly find: (id: number) => Segment | null
  private last: Promise<void> = Promise.resolve()

  /** `find` tells of the segments that are still there. */
  constructor(disk: Disk, find: (id: number) => Segment | null) {
    this.disk = disk
    this.find = find
  }

  /** Resolves when what was asked for so far is done. */
  get done(): Promise<void> {
    return this.last
  }

  /** Nothing more is written to the segment. */
  closeFile(segment: Segment): void {
    this.last = this.last.then(async () => {
      const { file } = segment
      segment.file = null
      await file?.close().catch(() => {})
    })
  }

  removeFile(path: string): void {
    this.last = this.last.then(() => this.disk.remove(path).catch(() => {}))
  }

  /** Of segments that a durable RETAINED record has given up. */
  removeRetired(segments: readonly Segment[]): void {
    this.last = this.last.then(async () => {
      for (const segment of segments) await this.remove(segment)
    })
  }

  private async remove(segment: Segment): Promise<void> {
    try {
      // Its header alone says where its predecessor ends, so that must not end later.
      const previous = this.find(segment.previousId)
      if (previous !== null && !previous.isTrimmed && !(await this.trim(previous))) return
      await this.disk.remove(segment.path)
    } catch {}
  }

  private async trim(segment: Segment): Promise<boolean> {
    try {
      const file = await this.disk.open(segment.path, 'write')
      try {
        if ((await file.size()) > segment.bytes) await file.truncate(segment.bytes)
        await file.sync()
        segment.isTrimmed = true
      } finally {
        await file.close()
      }
    } catch {}
    return segment.isTrimmed
  }
}
