/**
 * Which segments have to be there. The newest RETAINED record lists them as of its frame; after it each segment names the
 * one before. A segment that the list leaves out was given up, and only a crash kept it from being deleted.
 */
import type { Damages } from './damage.ts'
import type { FoundSegment } from './found-segments.ts'
import {
  findFrameFault,
  frameBytes,
  frameHeaderBytes,
  isFrameHeader,
  recordHeaderBytes,
  recordTypeRetained,
} from './frame.ts'
import type { SegmentFacts } from './log-start.ts'
import { framesStart, type Segment, segmentName } from './segment.ts'
import { SegmentReader } from './segment-reader.ts'

interface RetainedEntry {
  bytes: number
  lastCrc: number
}

export class Retention {
  /** By id; null until there is a record. */
  private retained: Map<number, RetainedEntry> | null = null
  private idMax = 0

  /** Takes the list of whoever knows all that was before. The last segment goes on. */
  begin(segments: readonly SegmentFacts[]): void {
    const last = segments.at(-1)
    this.idMax = last?.id ?? 0
    this.retained = new Map(
      segments.map(({ id, bytes, lastCrc }) => [id, { bytes: id === this.idMax ? 0 : bytes, lastCrc }]),
    )
  }

  /** Takes the list in the payload of a RETAINED record, which is newer than all before. */
  note(buffer: Buffer, start: number, end: number): void {
    const retained = new Map<number, RetainedEntry>()
    for (let at = start; at + 12 <= end; at += 12) {
      const id = buffer.readUInt32LE(at)
      retained.set(id, { bytes: buffer.readUInt32LE(at + 4), lastCrc: buffer.readUInt32LE(at + 8) })
      this.idMax = Math.max(this.idMax, id)
    }
    this.retained = retained
  }

  /** Takes the lists of a frame that is yet to be delivered. */
  noteFrame(bytes: Buffer): void {
    forEachRetained(bytes, 0, bytes.length, (payloadStart, recordEnd) => this.note(bytes, payloadStart, recordEnd))
  }

  /** Checks that every segment is there which must be; returns those that are only there because a crash came first. */
  judge(list: readonly FoundSegment[], logDirectory: string, damages: Damages): FoundSegment[] {
    const { retained, idMax } = this
    const leftovers: FoundSegment[] = []
    let previousId = 0
    for (const found of list) {
      const { segment, isUnreadable } = found
      const { id } = segment
      if (this.isGivenUp(id)) {
        leftovers.push(found)
        continue
      }
      // Up to the newest list the list decides, after it each segment names the one before.
      if (id > idMax && !isUnreadable && segment.previousId !== previousId) {
        damages.noteMissing(`${logDirectory}/${segmentName(segment.previousId)}`)
      }
      const entry = retained?.get(id)
      const isSealed = entry !== undefined && entry.bytes !== 0
      if (isSealed && (entry.bytes !== segment.bytes || entry.lastCrc !== segment.lastCrc)) {
        damages.note(segment.path, segment.bytes, 0, 'it does not end where it was sealed')
      }
      previousId = id
    }
    for (const id of retained?.keys() ?? []) {
      if (!list.some((found) => found.segment.id === id)) damages.noteMissing(`${logDirectory}/${segmentName(id)}`)
    }
    return leftovers
  }

  /**
   * Whether a RETAINED record further on gives up this segment: looks ahead in the `later` ones. Only damage makes it
   * necessary to read those bytes twice.
   */
  async isGivenUpLater(id: number, later: readonly FoundSegment[]): Promise<boolean> {
    const reader = new SegmentReader()
    let isGivenUp = this.isGivenUp(id)
    for (const { segment, file, fileBytes, isUnreadable } of later) {
      if (isUnreadable || file === null) continue
      reader.begin(file, fileBytes)
      let offset = framesStart
      for (;;) {
        let at = await reader.load(offset, frameHeaderBytes)
        if (at === -1 || !isFrameHeader(reader.buffer, at, segment.saltCrc)) break
        const bytes = frameBytes(reader.buffer, at)
        at = await reader.load(offset, bytes)
        if (at === -1) break
        if (findFrameFault(reader.buffer, at, at + bytes, segment.saltCrc, segment.id, offset) !== null) break
        forEachRetained(reader.buffer, at, at + bytes, (payloadStart, recordEnd) => {
          isGivenUp = !retainedIds(reader.buffer, payloadStart, recordEnd).includes(id)
        })
        offset += bytes
      }
    }
    return isGivenUp
  }

  private isGivenUp(id: number): boolean {
    return this.retained !== null && id < this.idMax && !this.retained.has(id)
  }
}

/** How long the payload of a RETAINED record is. */
export function retainedBytes(segments: readonly Segment[]): number {
  return segments.length * 12
}

/**
 * Writes the payload of a RETAINED record, for a frame in the segment with the id `ownId`: that one is in the list with
 * length 0, for it goes on. Returns where it ends.
 */
export function writeRetained(buffer: Buffer, start: number, segments: readonly Segment[], ownId: number): number {
  let at = start
  for (const segment of segments) {
    const isSealed = segment.id < ownId
    at = buffer.writeUInt32LE(segment.id, at)
    at = buffer.writeUInt32LE(isSealed ? segment.bytes : 0, at)
    at = buffer.writeUInt32LE(isSealed ? segment.lastCrc : 0, at)
  }
  return at
}

function forEachRetained(
  buffer: Buffer,
  start: number,
  end: number,
  callback: (payloadStart: number, recordEnd: number) => void,
): void {
  let at = start + frameHeaderBytes
  while (at < end) {
    const recordEnd = at + recordHeaderBytes + buffer.readUInt32LE(at + 4)
    if (buffer[at + 8] === recordTypeRetained) callback(at + recordHeaderBytes, recordEnd)
    at = recordEnd
  }
}

function retainedIds(buffer: Buffer, start: number, end: number): number[] {
  const ids: number[] = []
  for (let at = start; at + 12 <= end; at += 12) ids.push(buffer.readUInt32LE(at))
  return ids
}
