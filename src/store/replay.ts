/**
 * Recovery's view of the log: it takes every record in order and is left with what lives. Publishes make entries,
 * settlements remove them, a snapshot states what is live and forgets the rest.
 */
import { assert } from '../lib/assert.ts'
import { ByteReader } from '../lib/byte-reader.ts'
import { copyRange } from '../lib/copy-range.ts'
import { Slab } from '../lib/slab.ts'
import type { RecoverySink } from '../log/recovery.ts'
import type { Segment } from '../log/segment.ts'
import { LeveretError } from '../model/errors.ts'
import { Message } from '../model/message.ts'
import { Entry } from './entry.ts'
import type { QueueIndex } from './queue-index.ts'
import { readRanges } from './range-list.ts'
import { criticalFlag, decodeTopology, recordTypes, routeBytes, type TopologyRecord } from './record.ts'

/** A Map keeps the order of insertion, which is the order of sequences. */
interface RecoveredQueue {
  entries: Map<number, Entry>
  nextSequence: number
  /** Named by the snapshot whose frame is being read. */
  inSnapshot: boolean
}

export class Replay implements RecoverySink {
  /** Every topology record since the last snapshot, that one's own first. */
  topology: TopologyRecord[] = []
  nextQueueId = 1
  /** Whether the last run said that it ended; known after `finish`. */
  clean = true
  readonly notes: string[] = []
  private readonly queues = new Map<number, RecoveredQueue>()
  private readonly slab = new Slab()
  /** Exchange and routing key of the last publish, as bytes and as the strings that its neighbours share. */
  private readonly names = Buffer.alloc(2 + 2 * 255)
  private namesBytes = 0
  private exchange = ''
  private routingKey = ''
  private readingSnapshot = false
  private isEmpty = true
  /** The opening that the last record ended; 0 if it is another record. */
  private cleanEpoch = 0

  record(
    type: number,
    flags: number,
    buffer: Buffer,
    payloadStart: number,
    headerEnd: number,
    payloadEnd: number,
    segment: Segment,
  ): void {
    this.isEmpty = false
    this.cleanEpoch = 0
    const reader = new ByteReader(buffer, payloadStart, payloadEnd)
    switch (type) {
      case recordTypes.publish:
        return this.publish(reader, headerEnd, segment)
      case recordTypes.settled:
        return this.settled(reader)
      case recordTypes.topology: {
        const record = decodeTopology(reader)
        if (record.type === 'queue-declared' && record.queueId >= this.nextQueueId)
          this.nextQueueId = record.queueId + 1
        this.topology.push(record)
        if (record.type === 'queue-deleted') this.queues.delete(record.queueId)
        return
      }
      case recordTypes.snapshot:
        this.nextQueueId = Math.max(this.nextQueueId, reader.varint())
        this.topology = []
        this.readingSnapshot = true
        for (const queue of this.queues.values()) queue.inSnapshot = false
        return
      case recordTypes.live:
        return this.live(reader)
      case recordTypes.delivered: {
        const entries = this.queue(reader.u32le()).entries
        const ranges = readRanges(reader)
        forEachSequence(ranges, (sequence) => {
          const entry = entries.get(sequence)
          if (entry !== undefined) entry.deliveryCount = 1
        })
        return
      }
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

  frameEnd(): void {
    if (!this.readingSnapshot) return
    this.readingSnapshot = false
    for (const [queueId, queue] of this.queues) if (!queue.inSnapshot) this.queues.delete(queueId)
  }

  /**
   * Turns what lives into indexes; returns how many messages that are. `epoch` is that of the present opening: one that
   * ended without a record since then may have handed out anything.
   */
  finish(
    epoch: number,
    makeIndex: (queueId: number) => QueueIndex,
    into: Map<number, QueueIndex>,
  ): { messages: number } {
    this.clean = this.isEmpty || this.cleanEpoch === epoch - 1
    let messages = 0
    for (const [queueId, queue] of this.queues) {
      const index = makeIndex(queueId)
      const slab = new Slab()
      for (const entry of queue.entries.values()) {
        // After an end that was not announced nobody knows what consumers had seen.
        if (!this.clean && entry.deliveryCount === 0) entry.deliveryCount = 1
        const { residence } = entry.message
        assert(residence !== null, 'a recovered message has a place in the log')
        residence.live++
        if (!entry.message.owned) entry.message.keepIn(slab)
        index.restore(entry)
        messages++
      }
      index.nextSequence = Math.max(index.nextSequence, queue.nextSequence)
      into.set(queueId, index)
    }
    return { messages }
  }

  private publish(reader: ByteReader, headerEnd: number, segment: Segment): void {
    this.readNames(reader)
    const routeCount = reader.u32le()
    reader.need(routeCount * routeBytes)
    const routesAt = reader.at
    const contentAt = routesAt + routeCount * routeBytes
    const propertiesBytes = headerEnd - contentAt
    if (propertiesBytes < 0) throw new RangeError('a PUBLISH record whose header ends inside its routes')
    // The buffer belongs to recovery and is read over, so what may live is copied; what does, once more by `finish`.
    const bytes = reader.end - contentAt
    const source = this.slab.take(bytes)
    const start = this.slab.offset
    copyRange(reader.buffer, contentAt, reader.end, source, start)
    const bodyStart = start + propertiesBytes
    const isAlone = source.length === bytes
    const message = new Message(
      this.exchange,
      this.routingKey,
      source,
      start,
      bodyStart,
      bodyStart,
      start + bytes,
      isAlone,
    )
    message.residence = segment
    for (let at = routesAt; at < contentAt; at += routeBytes) {
      const queueId = reader.buffer.readUInt32LE(at)
      const sequence = reader.buffer.readUInt32LE(at + 4) + reader.buffer.readUInt16LE(at + 8) * 4294967296
      const queue = this.queue(queueId)
      queue.entries.set(sequence, new Entry(message, sequence, true))
      if (sequence >= queue.nextSequence) queue.nextSequence = sequence + 1
    }
  }

  private readNames(reader: ByteReader): void {
    const { buffer, at } = reader
    const { names, namesBytes } = this
    if (namesBytes > 0 && reader.remaining >= namesBytes) {
      if (buffer.compare(names, 0, namesBytes, at, at + namesBytes) === 0) {
        reader.at += namesBytes
        return
      }
    }
    this.exchange = reader.utf8(reader.u8())
    this.routingKey = reader.utf8(reader.u8())
    this.namesBytes = reader.at - at
    buffer.copy(names, 0, at, reader.at)
  }

  private settled(reader: ByteReader): void {
    const { entries } = this.queue(reader.u32le())
    reader.u8()
    forEachSequence(readRanges(reader), (sequence) => entries.delete(sequence))
  }

  private live(reader: ByteReader): void {
    const queueId = reader.u32le()
    const queue = this.queue(queueId)
    queue.inSnapshot = true
    queue.nextSequence = Math.max(queue.nextSequence, reader.varint())
    const { entries } = queue
    queue.entries = new Map()
    let missing = 0
    forEachSequence(readRanges(reader), (sequence) => {
      const entry = entries.get(sequence)
      if (entry === undefined) missing++
      else queue.entries.set(sequence, entry)
    })
    if (missing > 0)
      this.notes.push(`${missing} messages of queue ${queueId} are named by a snapshot and not in the log`)
  }

  private queue(queueId: number): RecoveredQueue {
    let queue = this.queues.get(queueId)
    if (queue === undefined) {
      // A frame that holds a snapshot may go on behind it: what is declared there is not in it, and lives.
      queue = { entries: new Map(), nextSequence: 1, inSnapshot: this.readingSnapshot }
      this.queues.set(queueId, queue)
    }
    return queue
  }
}

function forEachSequence(ranges: readonly number[], visit: (sequence: number) => void): void {
  for (let at = 0; at < ranges.length; at += 2) {
    const end = ranges[at + 1] as number
    for (let sequence = ranges[at] as number; sequence <= end; sequence++) visit(sequence)
  }
}
