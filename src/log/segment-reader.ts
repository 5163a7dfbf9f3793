/**
 * Reads a segment front to back through one window of a few MiB, which grows for a frame that does not fit:
 *
 *     file    ........[=====================]...........
 *                     ^windowStart          ^windowStart + windowBytes
 *     buffer          [=====================|  unused  ]
 */
import { assert } from '../lib/assert.ts'
import type { DiskFile } from '../platform/disk.ts'

const windowBytes = 4 * 1024 * 1024

export class SegmentReader {
  /** Changes when the window grows: take it anew after every `load`. */
  buffer: Buffer
  fileBytes = 0
  bytesRead = 0
  private file: DiskFile | null = null
  private windowStart = 0
  private windowBytes = 0

  constructor() {
    this.buffer = Buffer.alloc(0)
  }

  /** The reader does not close files. */
  begin(file: DiskFile, fileBytes: number): void {
    this.file = file
    this.fileBytes = fileBytes
    this.windowStart = 0
    this.windowBytes = 0
    const bytes = Math.min(windowBytes, fileBytes)
    if (this.buffer.length < bytes) this.buffer = Buffer.allocUnsafeSlow(bytes)
  }

  /** Where `offset` of the file stands in the buffer if `bytes` from there are in the window, else -1. */
  find(offset: number, bytes: number): number {
    const isInside = offset >= this.windowStart && offset + bytes <= this.windowStart + this.windowBytes
    return isInside ? offset - this.windowStart : -1
  }

  /** As `find`, but reads what is missing; -1 only if the file ends before. What was found earlier is void. */
  async load(offset: number, bytes: number): Promise<number> {
    const found = this.find(offset, bytes)
    if (found !== -1) return found
    if (offset + bytes > this.fileBytes) return -1
    assert(this.file !== null, 'a file was given')
    const windowEnd = this.windowStart + this.windowBytes
    const keptBytes = offset >= this.windowStart && offset < windowEnd ? windowEnd - offset : 0
    const keptAt = offset - this.windowStart
    if (bytes > this.buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(bytes, this.buffer.length * 2))
      if (keptBytes > 0) this.buffer.copy(grown, 0, keptAt, keptAt + keptBytes)
      this.buffer = grown
    } else if (keptBytes > 0) {
      this.buffer.copyWithin(0, keptAt, keptAt + keptBytes)
    }
    const end = Math.min(this.buffer.length, this.fileBytes - offset)
    const read = await this.file.read(this.buffer, keptBytes, end, offset + keptBytes)
    this.bytesRead += read
    this.windowStart = offset
    this.windowBytes = keptBytes + read
    // The size was asked before: a file that shrinks meanwhile is somebody else's doing, and ends here.
    return this.windowBytes >= bytes ? 0 : -1
  }

  /** How many bytes from `offset` on are in the window. */
  available(offset: number): number {
    return this.windowStart + this.windowBytes - offset
  }
}
