/**
 * Salvage of indexes. Entries whose segment is gone go as well, for nobody can ever read their messages. And a page that
 * cannot be read is made again from the records that it told of:
 *
 *     checkpoint: the page has entries of these segments, from this sequence to that one
 *       → the PUBLISH records of those segments that name its queue and such a sequence → a new page
 *
 * A checkpoint does not say which of them were settled before it. Where the page had every sequence of its range, those are
 * the first `passed`; else all that are found are in the new page, and some may come again. All count as handed out before.
 */
import { crc32 } from '../lib/crc32.ts'
import { coldName, coldNumberOf, isColdId } from '../log/cold-segment.ts'
import { checkRecord, recordHeaderBytes } from '../log/frame.ts'
import { framesStart, type Segment, segmentName } from '../log/segment.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { Disk } from '../platform/disk.ts'
import type { Checkpoint } from './checkpoint-file.ts'
import { laneTakes, priorityOfLane, ttlOf } from './delay-wheel.ts'
import { IndexPage, type PageEntry, type PagePlace } from './index-page.ts'
import { pageFileName, pageHeaderBytes } from './page-files.ts'
import { bodyBytesOf, forEachRoute } from './publish-record.ts'
import type { QueueIndex } from './queue-index.ts'
import { isPublish } from './record.ts'
import type { Replay } from './replay.ts'

/** A page that cannot be read, and what is found of it. */
interface LostPage {
  readonly queueId: number
  readonly lane: number
  readonly page: IndexPage
  readonly found: Map<number, PageEntry>
}

export class IndexSalvage {
  /** What was found and done, in words for people. */
  readonly notes: string[] = []
  private readonly disk: Disk
  private readonly directory: string
  private readonly log: SegmentedLog
  private readonly isMissing: (segmentId: number) => boolean

  constructor(disk: Disk, directory: string, log: SegmentedLog, isMissing: (segmentId: number) => boolean) {
    this.disk = disk
    this.directory = directory
    this.log = log
    this.isMissing = isMissing
  }

  /** Makes again what the checkpoint tells of and is not in its file as it was written. */
  async rescuePages(checkpoint: Checkpoint | null, replay: Replay): Promise<void> {
    const lost: LostPage[] = []
    for (const { queueId, lanes } of checkpoint?.queues ?? []) {
      for (const { number: lane, pages } of lanes) {
        for (const page of pages) {
          if (!(await this.isReadable(page))) lost.push({ queueId, lane, page, found: new Map() })
        }
      }
    }
    for (const segment of segmentsOf(lost, this.log)) await search(this.log, segment, lost)
    for (const { queueId, lane, page, found } of lost) {
      const rescued = pageOf(page, found)
      replay.replacePage(queueId, lane, page, rescued)
      const { file, position } = page.place as PagePlace
      const where = `${this.directory}/idx/${pageFileName(file)} at ${position}`
      const what = `the page of queue number ${queueId} with ${page.count - page.passed} messages is damaged`
      this.notes.push(`${where}: ${what}; ${rescued.count} were found in their segments`)
    }
  }

  /** The sequences of a queue's entries that nobody can read, as start, end, start, end … */
  goneOf(index: QueueIndex): number[] {
    const gone: number[] = []
    const counts = new Map<number, number>()
    index.lanes.forEach(({ backlog }) =>
      backlog?.forEachEntryIn(this.isMissing, ({ sequence, segmentId }) => {
        gone.push(sequence, sequence)
        counts.set(segmentId, (counts.get(segmentId) ?? 0) + 1)
      }),
    )
    for (const [id, count] of counts) {
      const path = `${this.directory}/${isColdId(id) ? `cold/${coldName(coldNumberOf(id))}` : `log/${segmentName(id)}`}`
      this.notes.push(`${path}: the file is missing, and with it ${count} messages of queue number ${index.queueId}`)
    }
    return gone
  }

  private async isReadable({ bytes, place, usedBytes, crc }: IndexPage): Promise<boolean> {
    if (bytes !== null || place === null) return true
    const buffer = Buffer.allocUnsafeSlow(usedBytes)
    const file = await this.disk.open(`${this.directory}/idx/${pageFileName(place.file)}`, 'read')
    try {
      const read = await file.read(buffer, 0, usedBytes, place.position + pageHeaderBytes).catch(() => 0)
      return read === usedBytes && crc32(buffer, 0, usedBytes, 0) === crc
    } finally {
      await file.close()
    }
  }
}

/** Where records of the lost pages lie. Those that had to move lie in the segment after the one that they are counted in. */
function segmentsOf(lost: readonly LostPage[], log: SegmentedLog): Set<Segment> {
  const segments = new Set<Segment>()
  for (const { page } of lost) {
    for (let at = page.segmentsAt; at < page.segments.length; at += 2) {
      const id = page.segments[at] as number
      const next = log.segmentOf(id + 1)
      for (const segment of [log.segmentOf(id), next?.previousId === id ? next : null]) {
        if (segment !== null) segments.add(segment)
      }
    }
  }
  return segments
}

/** Every whole record counts, whatever became of its frame. */
async function search(log: SegmentedLog, segment: Segment, lost: readonly LostPage[]): Promise<void> {
  const buffer = Buffer.allocUnsafeSlow(Math.max(0, segment.bytes - framesStart))
  const read = await log.read(segment, buffer, 0, buffer.length, framesStart).catch(() => 0)
  for (let at = 0; at + recordHeaderBytes <= read; ) {
    const end = checkRecord(buffer, at, read, segment.saltCrc, segment.id, framesStart + at)
    if (end !== -1 && isPublish(buffer[at + 8] as number)) note(buffer, at, end, segment, lost)
    at = end === -1 ? at + 1 : end
  }
}

function note(buffer: Buffer, at: number, end: number, segment: Segment, lost: readonly LostPage[]): void {
  const payloadStart = at + recordHeaderBytes
  const headerEnd = payloadStart + buffer.readUInt32LE(at + 12)
  const offset = framesStart + at
  forEachRoute(buffer, payloadStart, headerEnd, (queueId, sequence, priority, expiresAt, keyHash, dueAt) => {
    for (const one of lost) {
      const { page, found } = one
      if (one.queueId !== queueId || priorityOfLane(one.lane) !== priority || !laneTakes(one.lane, dueAt)) continue
      if (sequence < page.firstSequence || sequence > page.lastSequence) continue
      const isDelayed = dueAt > 0
      found.set(sequence, {
        sequence,
        segmentId: segment.id,
        offset,
        recordBytes: end - at,
        bodyBytes: bodyBytesOf(buffer, at + 8, headerEnd, end),
        // See DelayWheel for what pages say of what is hidden.
        deliveryCount: isDelayed ? ttlOf(dueAt, expiresAt) : 1,
        isTransient: false,
        expiresAt: isDelayed ? dueAt : expiresAt,
        keyHash,
      })
    }
  })
}

function pageOf(page: IndexPage, found: ReadonlyMap<number, PageEntry>): IndexPage {
  const { queueId, firstSequence, lastSequence, count, passed } = page
  const isDense = lastSequence - firstSequence + 1 === count
  const first = isDense ? firstSequence + passed : firstSequence
  const rescued = new IndexPage(queueId)
  for (const entry of [...found.values()].sort((left, right) => left.sequence - right.sequence)) {
    if (entry.sequence >= first) rescued.add(entry)
  }
  rescued.isClosed = true
  if (rescued.count > 0) return rescued
  // Its place among the others.
  rescued.firstSequence = firstSequence
  rescued.lastSequence = lastSequence
  return rescued
}
