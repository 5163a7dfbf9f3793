/**
 * Cuts a stream of bytes into lines:
 *
 *     chunk "ab\ncd"  chunk "e\n\nf"  end      →      "ab"  "cde"  ""  "f"
 *
 * A line is its bytes without the line feed, whatever they are; memory holds one chunk and the line under way.
 */
import { LeveretError } from '../model/errors.ts'

export class LineSplitter {
  /** Lines that are complete. */
  count = 0
  private readonly bytesMax: number
  private pieces: Buffer[] = []
  private pieceBytes = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  /** The lines that end in this chunk. Throws E_BAD_DATA for one that is too long. */
  *push(chunk: Buffer): Generator<Buffer> {
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      yield this.finish(chunk.subarray(start, end))
      start = end + 1
    }
    if (start < chunk.length) this.keep(chunk.subarray(start))
  }

  /** The last line, if it has no line feed; null if it has. */
  end(): Buffer | null {
    return this.pieceBytes === 0 ? null : this.finish(Buffer.alloc(0))
  }

  private finish(tail: Buffer): Buffer {
    this.keep(tail)
    const line = this.pieces.length === 1 ? (this.pieces[0] as Buffer) : Buffer.concat(this.pieces)
    this.pieces = []
    this.pieceBytes = 0
    this.count++
    return line
  }

  private keep(piece: Buffer): void {
    this.pieces.push(piece)
    this.pieceBytes += piece.length
    if (this.pieceBytes <= this.bytesMax) return
    throw new LeveretError('E_BAD_DATA', `line ${this.count + 1} has more than ${this.bytesMax} bytes`)
  }
}
