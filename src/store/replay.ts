/**
 * Recovery's view of the log: it takes a checkpoint, if there is one, and every record in order, and is left with what
 * lives. Publishes become entries of their queues' backlogs; what was settled is gathered and taken out at the end, when all
 * is known.
 */
import { ByteReader } from '../lib/byte-reader.ts'
import { recordHeaderBytes, recordOffset } from '../log/frame.ts'
import type { RecoverySink } from '../log/recovery.ts'
import type { Segment } from '../log/segment.ts'
import { LeveretError } from '../model/errors.ts'
import { referenceBytes } from '../model/message.ts'
import type { BodyRefs } from './body-refs.ts'
import type { Checkpoint, LogPosition } from './checkpoint-file.ts'
import { ttlOf } from './delay-wheel.ts'
import { blankEntry, type IndexPage } from './index-page.ts'
import type { Notes } from './notes.ts'
import { skipNames, skipRoute } from './publish-record.ts'
import type { QueueIndex } from './queue-index.ts'
import { invertRanges, mergeRanges, readRanges } from './range-list.ts'
import {
  criticalFlag,
  decodeNote,
  decodeTopology,
  recordTypes,
  routeBytes,
  routeDelayed,
  routeExpires,
  routeKeyed,
  type TopologyRecord,
} from './record.ts'

class RecoveredQueue {
  readonly index: QueueIndex
  nextSequence = 1
  /** Sequences that are gone, and those that were handed out, as start, end, start, end … in the order they came. */
  gone: number[] = []
  seen: number[] = []
  /** Named by the snapshot whose frame is being read. */
  inSnapshot: boolean
  /** What the log says of the queue before this is known from a checkpoint. */
  position: LogPosition = beginning
  suspectBelow = 0

  constructor(index: QueueIndex, inSnapshot: boolean) {
    this.index = index
    this.inSnapshot = inSnapshot
  }
}

/** Whoever goes on without what is lost. */
export interface Unreadable {
  /** The sequences of entries that cannot be read, as start, end, start, end … */
  goneOf(index: QueueIndex): number[]
}

const beginning: LogPosition = { lsn: 0, records: 0 }

export class Replay implements RecoverySink {
  /** Every topology record since the last snapshot, that one's own first. */
  topology: TopologyRecord[] = []
  nextQueueId = 1
  /** Whether the last run said that it ended; known after `finish`. */
  clean = true
  private readonly makeIndex: (queueId: number) => QueueIndex
  private readonly notes: Notes
  private readonly bodies: BodyRefs
  private readonly queues = new Map<number, RecoveredQueue>()
  private lastQueue: RecoveredQueue | null = null
  /** Filled in for each route of a publish; none was handed out yet, and all survive. */
  private readonly entry = blankEntry()
  /** Topology records before this are known from a checkpoint. */
  private topologyPosition: LogPosition = beginning
  /** Where the record being taken stands: its frame, and how many records of the caller's come before it there. */
  private lsn = 0
  private records = -1
  private finalEpoch = 0
  private readingSnapshot = false
  private isEmpty = true
  /** The opening that the last record ended; 0 if it is another record. */
  private cleanEpoch = 0

  constructor(makeIndex: (queueId: number) => QueueIndex, notes: Notes, bodies: BodyRefs) {
    this.makeIndex = makeIndex
    this.notes = notes
    this.bodies = bodies
  }

  /** Begins with what a checkpoint says. `isOutdated`: it is not the last one that was made. */
  begin(checkpoint: Checkpoint, isOutdated: boolean): void {
    this.isEmpty = false
    this.topology = [...checkpoint.topology]
    this.topologyPosition = checkpoint.topologyPosition
    this.nextQueueId = checkpoint.nextQueueId
    for (const note of checkpoint.notes) this.notes.restore(note)
    this.bodies.nextId = Math.max(this.bodies.nextId, checkpoint.nextBodyId)
    for (const { queueId, sequence, bodyId } of checkpoint.bodies) this.bodies.add(queueId, sequence, bodyId, true)
    if (checkpoint.isFinal && !isOutdated) this.finalEpoch = checkpoint.epoch
    for (const { queueId, position, nextSequence, suspectBelow, mayExpire, lanes } of checkpoint.queues) {
      const queue = this.queue(queueId)
      queue.position = position
      queue.nextSequence = nextSequence
      queue.suspectBelow = suspectBelow
      queue.index.mayExpire = mayExpire
      for (const { number, pages } of lanes) for (const page of pages) queue.index.lanes.addPage(number, page)
    }
  }

  record(
    type: number,
    flags: number,
    buffer: Buffer,
    payloadStart: number,
    headerEnd: number,
    payloadEnd: number,
    segment: Segment,
    lsn: number,
  ): void {
    if (lsn !== this.lsn) this.records = -1
    this.lsn = lsn
    this.records++
    this.isEmpty = false
    this.cleanEpoch = 0
    if (this.isAfter(this.topologyPosition)) this.finalEpoch = 0
    const reader = new ByteReader(buffer, payloadStart, payloadEnd)
    switch (type) {
      case recordTypes.publish:
        return this.publish(reader, headerEnd, segment, 0)
      case recordTypes.referring:
        if (payloadEnd - headerEnd !== referenceBytes) throw new RangeError('a reference to a body of another size')
        return this.publish(reader, headerEnd, segment, buffer.readUIntLE(headerEnd, 6))
      case recordTypes.settled: {
        const queue = this.queue(reader.u32le())
        reader.u8()
        const ranges = readRanges(reader)
        if (this.isAfter(this.topologyPosition)) this.bodies.settled(queue.index.queueId, ranges)
        if (this.isAfter(queue.position)) queue.gone.push(...ranges)
        return
      }
      case recordTypes.purged: {
        const queue = this.queue(reader.u32le())
        const nextSequence = reader.varint()
        const gone = invertRanges(readRanges(reader), nextSequence - 1)
        if (this.isAfter(this.topologyPosition)) this.bodies.settled(queue.index.queueId, gone)
        if (!this.isAfter(queue.position)) return
        // Or what is published next would get a number that counts as gone.
        queue.nextSequence = Math.max(queue.nextSequence, nextSequence)
        queue.gone.push(...gone)
        return
      }
      case recordTypes.topology: {
        const record = decodeTopology(reader)
        // Ids are not used again, so what is left of the queue is in the way wherever this stands.
        if (record.type === 'queue-deleted') this.forget(record.queueId)
        if (!this.isAfter(this.topologyPosition)) return
        if (record.type === 'queue-declared' && record.queueId >= this.nextQueueId)
          this.nextQueueId = record.queueId + 1
        this.topology.push(record)
        return
      }
      case recordTypes.snapshot:
        this.nextQueueId = Math.max(this.nextQueueId, reader.varint())
        this.topology = []
        this.readingSnapshot = true
        for (const queue of this.queues.values()) queue.inSnapshot = false
        return
      case recordTypes.live: {
        const queue = this.queue(reader.u32le())
        queue.inSnapshot = true
        const nextSequence = reader.varint()
        queue.nextSequence = Math.max(queue.nextSequence, nextSequence)
        queue.gone.push(...invertRanges(readRanges(reader), nextSequence - 1))
        return
      }
      case recordTypes.delivered:
        this.queue(reader.u32le()).seen.push(...readRanges(reader))
        return
      case recordTypes.note:
        // A checkpoint has them as of the moment at which it looked at the topology.
        if (this.isAfter(this.topologyPosition)) this.notes.restore(decodeNote(reader))
        return
      case recordTypes.clean:
        this.cleanEpoch = reader.varint()
        return
      default:
        if ((flags & criticalFlag) !== 0) {
          throw new LeveretError(
            'E_FORMAT_UNSUPPORTED',
            `the log has a record of type ${type} that this version does not know; open the folder with the version that wrote it`,
          )
        }
    }
  }

  /** Salvage: a page that a checkpoint told of cannot be read. */
  replacePage(queueId: number, lane: number, page: IndexPage, rescued: IndexPage): void {
    this.queues.get(queueId)?.index.lanes.numbered(lane).backlog?.replace(page, rescued)
  }

  frameEnd(): void {
    if (!this.readingSnapshot) return
    this.readingSnapshot = false
    for (const [queueId, queue] of this.queues) if (!queue.inSnapshot) this.forget(queueId)
  }

  /**
   * Leaves what lives in the indexes; returns how many messages that are. `epoch` is that of the present opening: one that
   * ended without a record since then may have handed out anything that was due before `nowMs`. `salvage` knows what nobody
   * can read any more.
   */
  finish(
    epoch: number,
    nowMs: number,
    into: Map<number, QueueIndex>,
    salvage: Unreadable | null = null,
  ): { messages: number } {
    this.clean = this.isEmpty || this.cleanEpoch === epoch - 1 || this.finalEpoch === epoch - 1
    let messages = 0
    for (const [queueId, queue] of this.queues) {
      const { index, nextSequence } = queue
      if (salvage !== null) {
        const lost = salvage.goneOf(index)
        this.bodies.settled(queueId, lost)
        queue.gone.push(...lost)
      }
      index.lanes.sift(mergeRanges(queue.gone), mergeRanges(queue.seen))
      // After an end that was not announced nobody knows what consumers had seen.
      if (this.clean) index.recovered(nextSequence, queue.suspectBelow, 0)
      else index.recovered(nextSequence, nextSequence, nowMs)
      messages += index.readyCount + index.delayedCount
      into.set(queueId, index)
    }
    return { messages }
  }

  /** `bodyId` 0: the body is in the record. */
  private publish(reader: ByteReader, headerEnd: number, segment: Segment, bodyId: number): void {
    const { entry } = this
    const { buffer, end, at: payloadStart } = reader
    skipNames(reader)
    const routeCount = reader.u32le()
    const routesAt = reader.at
    for (let left = routeCount; left > 0; left--) skipRoute(reader)
    const contentAt = reader.at
    if (headerEnd < contentAt) throw new RangeError('a PUBLISH record whose header ends inside its routes')
    const offset = recordOffset(buffer, payloadStart)
    const recordBytes = recordHeaderBytes + end - payloadStart
    const bodyBytes = bodyId === 0 ? end - headerEnd : buffer.readUIntLE(headerEnd + 6, 6)
    const isNewBody = bodyId > 0 && this.isAfter(this.topologyPosition)
    reader.at = routesAt
    for (let left = routeCount; left > 0; left--) {
      const { at } = reader
      skipRoute(reader)
      const queueId = buffer.readUInt32LE(at)
      const sequence = buffer.readUInt32LE(at + 4) + buffer.readUInt16LE(at + 8) * 4294967296
      if (isNewBody) this.bodies.add(queueId, sequence, bodyId, true)
      const queue = this.queue(queueId)
      if (!this.isAfter(queue.position)) continue
      segment.references++
      const priority = buffer[at + 10] as number
      const flags = buffer[at + 11] as number
      const expiresAt = flags & routeExpires ? buffer.readUIntLE(at + routeBytes, 6) : 0
      const keyAt = at + routeBytes + (flags & routeExpires ? 6 : 0)
      const keyHash = flags & routeKeyed ? buffer.readUInt32LE(keyAt) : 0
      if (expiresAt > 0) queue.index.mayExpire = true
      const isDelayed = (flags & routeDelayed) !== 0
      const dueAt = isDelayed ? buffer.readUIntLE(keyAt + (flags & routeKeyed ? 4 : 0), 6) : 0
      entry.sequence = sequence
      entry.segmentId = segment.id
      entry.offset = offset
      entry.recordBytes = recordBytes
      entry.bodyBytes = bodyBytes
      // See DelayWheel for what pages say of what is hidden.
      entry.deliveryCount = isDelayed ? ttlOf(dueAt, expiresAt) : 0
      entry.expiresAt = isDelayed ? dueAt : expiresAt
      entry.keyHash = keyHash
      const { backlog } = queue.index.lanes.recovering(priority, isDelayed)
      backlog?.add(entry)
      if (sequence >= queue.nextSequence) queue.nextSequence = sequence + 1
    }
  }

  private isAfter({ lsn, records }: LogPosition): boolean {
    return this.lsn > lsn || (this.lsn === lsn && this.records >= records)
  }

  private forget(queueId: number): void {
    this.bodies.dropped(queueId)
    this.queues.get(queueId)?.index.lanes.discard()
    this.queues.delete(queueId)
    this.lastQueue = null
  }

  private queue(queueId: number): RecoveredQueue {
    if (this.lastQueue !== null && this.lastQueue.index.queueId === queueId) return this.lastQueue
    let queue = this.queues.get(queueId)
    if (queue === undefined) {
      // A frame that holds a snapshot may go on behind it: what is declared there is not in it, and lives.
      queue = new RecoveredQueue(this.makeIndex(queueId), this.readingSnapshot)
      this.queues.set(queueId, queue)
    }
    this.lastQueue = queue
    return queue
  }
}
