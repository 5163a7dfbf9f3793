/** Whether what the indexes say is true: every entry that lives has a record where it says, whole and of that length. */
import { coldName, coldNumberOf, isColdId } from '../log/cold-segment.ts'
import { checkRecord } from '../log/frame.ts'
import { type Segment, segmentName } from '../log/segment.ts'
import type { Findings } from './folder-findings.ts'
import type { FolderQueue, FolderState } from './folder-state.ts'
import type { FolderView } from './folder-view.ts'
import { forEachEntry } from './index-page.ts'

/** Bytes between two records that are read along rather than skipped. */
const gapBytesMax = 32_768
const runBytesMax = 1_048_576

interface Wanted {
  readonly sequence: number
  /** Null: it is not there. */
  readonly segment: Segment | null
  readonly segmentId: number
  readonly offset: number
  readonly recordBytes: number
}

export class EntryCheck {
  checked = 0
  private readonly state: FolderState
  private readonly findings: Findings
  private buffer = Buffer.allocUnsafeSlow(runBytesMax)

  constructor(state: FolderState, findings: Findings) {
    this.state = state
    this.findings = findings
  }

  async run(): Promise<void> {
    for (const queue of this.state.queues) {
      for (const { page, bytes } of this.state.pagesOf(queue.index)) {
        const wanted: Wanted[] = []
        forEachEntry(page, bytes, ({ sequence, segmentId, offset, recordBytes }) => {
          const { log } = this.state
          const segment = log.homeSegment(segmentId, offset)
          const home = log.homeOffset(segmentId, offset)
          wanted.push({ sequence, segment, segmentId, offset: home, recordBytes })
        })
        this.checked += wanted.length
        await this.checkPage(queue, wanted)
      }
    }
  }

  private async checkPage(queue: FolderQueue, wanted: Wanted[]): Promise<void> {
    wanted.sort((left, right) => left.segmentId - right.segmentId || left.offset - right.offset)
    for (let at = 0; at < wanted.length; ) {
      const first = wanted[at] as Wanted
      if (first.segment === null || !this.state.view.has(pathOf(first.segment, this.state.view))) {
        this.tell(queue, first, 'the file is missing')
        at++
        continue
      }
      let end = first.offset + first.recordBytes
      let next = at + 1
      for (; next < wanted.length; next++) {
        const { segment, offset, recordBytes } = wanted[next] as Wanted
        if (segment !== first.segment || offset < end || offset - end > gapBytesMax) break
        if (offset + recordBytes - first.offset > runBytesMax) break
        end = offset + recordBytes
      }
      await this.checkRun(queue, wanted, at, next, end)
      at = next
    }
  }

  private async checkRun(queue: FolderQueue, wanted: Wanted[], from: number, to: number, end: number): Promise<void> {
    const { segment, offset } = wanted[from] as Wanted & { segment: Segment }
    const bytes = end - offset
    // A length that cannot be is the index's fault, and no reason to ask for that much memory.
    const { bytes: segmentBytes } = segment
    const wantedBytes = Math.max(0, Math.min(bytes, segmentBytes - offset))
    if (wantedBytes > this.buffer.length) this.buffer = Buffer.allocUnsafeSlow(wantedBytes)
    const { buffer } = this
    let fault = 'the record that the index points to is beyond the end of the file'
    let read = 0
    try {
      read = await this.state.log.read(segment, buffer, 0, wantedBytes, offset)
    } catch (error) {
      fault = String(error)
    }
    for (let at = from; at < to; at++) {
      const one = wanted[at] as Wanted
      const start = one.offset - offset
      const recordEnd = start + one.recordBytes
      if (recordEnd > read) this.tell(queue, one, fault)
      else if (checkRecord(buffer, start, recordEnd, segment.saltCrc, segment.id, one.offset) !== recordEnd) {
        this.tell(queue, one, 'the record that the index points to does not match its checksum, address and length')
      }
    }
  }

  private tell(queue: FolderQueue, { segment, segmentId, offset, sequence }: Wanted, detail: string): void {
    const file = segment === null ? fileOf(segmentId) : pathOf(segment, this.state.view)
    const message = { queue: this.state.nameOf(queue.queueId), sequence, offset, waits: true }
    if (detail === 'the file is missing') this.findings.addMessage(file, 0, detail, message)
    else this.findings.addMessage(file, offset, detail, message)
  }
}

/** Where a segment that is known is, from the folder on. */
function pathOf({ path }: Segment, { directory }: FolderView): string {
  return path.slice(directory.length + 1)
}

/** The file of a segment, from the folder on. */
export function fileOf(segmentId: number): string {
  return isColdId(segmentId) ? `cold/${coldName(coldNumberOf(segmentId))}` : `log/${segmentName(segmentId)}`
}
