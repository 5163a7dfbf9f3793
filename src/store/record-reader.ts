/**
 * Reads messages back from the log. What is asked for at once is read together: records that lie close to each other with
 * one read, in the order of the log. Records that are not written yet are taken from where they wait to be.
 *
 * Several queues are served at a time, in the order in which they asked.
 */
import { ByteReaderError } from '../lib/byte-reader.ts'
import { Deque } from '../lib/deque.ts'
import { checkRecord, recordHeaderBytes } from '../log/frame.ts'
import type { Segment } from '../log/segment.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import { BrokerError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { Entry } from './entry.ts'
import type { MessageReceiver } from './message-read.ts'
import { PublishNames, readMessage } from './publish-record.ts'
import { recordTypes } from './record.ts'
import { findRun } from './record-runs.ts'

const jobsMax = 4
const bufferBytes = 1_048_576

interface Job {
  readonly index: MessageReceiver
  readonly entries: readonly Entry[]
}

export interface ReaderEvents {
  /** A record cannot be read, or is not what was written. */
  damaged(index: MessageReceiver, entry: Entry, path: string, offset: number, detail: string): void
}

export class RecordReader {
  private readonly log: SegmentedLog
  private readonly events: ReaderEvents
  private readonly waiting = new Deque<Job>()
  private readonly buffers: Buffer[] = []
  private readonly names = new PublishNames()
  private running = 0
  private isClosed = false

  constructor(log: SegmentedLog, events: ReaderEvents) {
    this.log = log
    this.events = events
  }

  /** Each entry that is still loading gets its message, or is lost; then the index is told that this load has ended. */
  load(index: MessageReceiver, entries: readonly Entry[]): void {
    this.waiting.push({ index, entries })
    this.startNext()
  }

  /** Nothing more comes. */
  close(): void {
    this.isClosed = true
    this.waiting.clear()
  }

  private startNext(): void {
    if (this.running >= jobsMax) return
    const job = this.waiting.shift()
    if (job === undefined) return
    this.running++
    const buffer = this.buffers.pop() ?? Buffer.allocUnsafeSlow(bufferBytes)
    this.run(job, buffer).then(
      () => {
        this.buffers.push(buffer)
        this.running--
        if (this.isClosed) return
        job.index.loadEnded()
        this.startNext()
      },
      // Only a fault of our own ends here: it must not look as if nothing had happened.
      (error: unknown) => {
        throw error
      },
    )
  }

  private async run({ index, entries }: Job, buffer: Buffer): Promise<void> {
    const { log } = this
    // Nothing is called back inside the call that caused it.
    await Promise.resolve()
    for (let at = 0; at < entries.length && !this.isClosed; ) {
      const entry = entries[at] as Entry
      const segmentId = entry.segment?.id ?? 0
      const segment = log.homeSegment(segmentId, entry.offset)
      const offset = log.homeOffset(segmentId, entry.offset)
      if (!entry.isLoading || segment === null) {
        if (segment === null) this.lose(index, entry, `segment ${segmentId}`, offset, 'the segment is not there')
        at++
        continue
      }
      const waitingAt = log.findUnwritten(segment, offset)
      if (waitingAt !== -1) {
        this.take(index, entry, segment, offset, log.unwrittenBuffer, waitingAt, log.unwrittenBuffer.length)
        at++
        continue
      }
      at = await this.readTogether(index, entries, at, segment, offset, buffer)
    }
  }

  /** Reads the record at `at` and those behind it that lie close; returns where to go on. */
  private async readTogether(
    index: MessageReceiver,
    entries: readonly Entry[],
    at: number,
    segment: Segment,
    offset: number,
    shared: Buffer,
  ): Promise<number> {
    const { log } = this
    const { next, bytes: span } = findRun(log, entries, at, segment, offset, shared.length)
    const buffer = span <= shared.length ? shared : Buffer.allocUnsafeSlow(span)
    // Compaction may say while this reads that the records are elsewhere, too: here is where they are read.
    const homes: number[] = []
    for (let which = at; which < next; which++) {
      const { segment: residence, offset: itsOffset } = entries[which] as Entry
      homes.push(log.homeOffset(residence?.id ?? 0, itsOffset))
    }
    let read = 0
    let fault = 'the file ends before it'
    try {
      read = await log.read(segment, buffer, 0, span, offset)
    } catch (error) {
      fault = String(error)
    }
    for (let which = at; which < next && !this.isClosed; which++) {
      const entry = entries[which] as Entry
      const home = homes[which - at] as number
      if (home - offset + entry.recordBytes <= read) {
        this.take(index, entry, segment, home, buffer, home - offset, read)
      } else this.lose(index, entry, segment.path, home, fault)
    }
    return next
  }

  /** The record of the entry stands at `at` of the buffer, if all is well. */
  private take(
    index: MessageReceiver,
    entry: Entry,
    segment: Segment,
    offset: number,
    buffer: Buffer,
    at: number,
    end: number,
  ): void {
    if (!entry.isLoading) return
    const recordEnd = checkRecord(buffer, at, end, segment.saltCrc, segment.id, offset)
    if (recordEnd !== at + entry.recordBytes) {
      this.lose(index, entry, segment.path, offset, 'the record does not match its checksum and address')
      return
    }
    const payloadStart = at + recordHeaderBytes
    let message: Message
    try {
      const headerEnd = payloadStart + buffer.readUInt32LE(at + 12)
      const refers = buffer[at + 8] === recordTypes.referring
      message = readMessage(this.names, index.readSlab, buffer, payloadStart, headerEnd, recordEnd, refers)
    } catch (error) {
      const isOurs = error instanceof ByteReaderError || error instanceof RangeError || error instanceof BrokerError
      if (!isOurs) throw error
      this.lose(index, entry, segment.path, offset, error.message)
      return
    }
    index.arrived(entry, message)
  }

  private lose(index: MessageReceiver, entry: Entry, path: string, offset: number, detail: string): void {
    if (!entry.isLoading) return
    index.lost(entry)
    this.events.damaged(index, entry, path, offset, detail)
  }
}
