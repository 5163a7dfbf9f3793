/**
 * A checkpoint says what lived at some moment, so that recovery need not read the log before it. Little endian; varints as
 * in lib/byte-writer.ts.
 *
 *     file     header, 16 B: magic 'LVRTCKPT' | version u16 | 0 u16 | id u32
 *              sections: type u8 | payload length u32 | payload
 *              trailer, 12 B: length of the last section with its head u32 | CRC of all before this field u32 | 'LVCE'
 *
 *     1 START      offset, LSN, CRC of the log's start (log-start.ts) | topology position: LSN, records | next queue id
 *                  | epoch: which opening wrote it | 1 if it did so to end, 0
 *     2 SEGMENTS   n × (id, previous id, previous bytes, previous CRC, epoch, first LSN, salt 8 B, bytes, last CRC,
 *                  references)
 *     3 TOPOLOGY   n × (length, a topology record as in record.ts)
 *     4 QUEUE      queue id, position: LSN, records | next sequence, suspect below, 1 if something may expire | lanes: number,
 *                  n × page facts, each followed by its place (file + 1, position, CRC) or 0 and its bytes
 *     6 NOTES      n × (length, a note as in record.ts), as of the topology position; left out if there are none
 *     7 BODIES     next body id | n × (queue id, sequence, body id): messages whose body is in a file, as of the topology
 *                  position; left out if there never was one
 *     5 COLD       cold segments: n × (number, epoch, salt 8 B, bytes, references)
 *     9 END        the last frame that was durable when all this was | page files that are referred to: n × id
 *
 * It is fuzzy: it is made piece by piece while the broker works, and each piece says up to which record of the log it
 * holds (position: so many records of that frame, and all frames before). Recovery applies to each piece what comes later.
 * It counts once it stands under its name; by then every frame it speaks of is durable, and so are the pages.
 */
import { ByteReader, ByteReaderError } from '../lib/byte-reader.ts'
import { ByteWriter } from '../lib/byte-writer.ts'
import { crc32 } from '../lib/crc32.ts'
import type { LogStart, SegmentFacts } from '../log/log-start.ts'
import type { BodyReference } from './body-refs.ts'
import { IndexPage } from './index-page.ts'
import type { Note } from './notes.ts'
import { decodeNote, decodeTopology, encodeNote, encodeTopology, type TopologyRecord } from './record.ts'

const magic = Buffer.from('LVRTCKPT', 'latin1')
const endMagic = Buffer.from('LVCE', 'latin1')
const version = 1
const headerBytes = 16
const trailerBytes = 12

const sectionTypes = { start: 1, segments: 2, topology: 3, queue: 4, cold: 5, notes: 6, bodies: 7, end: 9 } as const

/** A point in the log: so many records of a frame, and all frames before. */
export interface LogPosition {
  readonly lsn: number
  readonly records: number
}

export interface LaneFacts {
  /** Its priority, or a slot of the delay wheel. */
  readonly number: number
  readonly pages: readonly IndexPage[]
}

export interface QueueFacts {
  readonly queueId: number
  readonly position: LogPosition
  readonly nextSequence: number
  readonly suspectBelow: number
  readonly mayExpire: boolean
  readonly lanes: readonly LaneFacts[]
}

export interface ColdFacts {
  readonly number: number
  readonly epoch: number
  readonly salt: Buffer
  readonly bytes: number
  readonly references: number
}

export interface Checkpoint {
  readonly id: number
  readonly start: LogStart
  readonly topologyPosition: LogPosition
  readonly nextQueueId: number
  /** The opening that wrote it. */
  readonly epoch: number
  /** It was that opening's last deed. */
  readonly isFinal: boolean
  readonly topology: readonly TopologyRecord[]
  readonly notes: readonly Note[]
  readonly nextBodyId: number
  readonly bodies: readonly BodyReference[]
  readonly queues: readonly QueueFacts[]
  readonly cold: readonly ColdFacts[]
  readonly pageFiles: readonly number[]
}

/** Checkpoints, named by a number that grows. */
export function checkpointName(id: number): string {
  return `${String(id).padStart(10, '0')}.ckpt`
}

/** The id in a checkpoint's file name; 0 if it is not one. */
export function checkpointIdOf(name: string): number {
  return /^\d{10}\.ckpt$/.test(name) ? Number(name.slice(0, 10)) : 0
}

/** Writes a checkpoint section by section into a buffer that the owner empties whenever it likes. */
export class CheckpointEncoder {
  private readonly writer = new ByteWriter(65_536)
  private crc = 0
  private sectionStart = 0
  private lastSectionBytes = 0

  constructor(id: number) {
    const { writer } = this
    writer.bytes(magic)
    writer.u32le(version)
    writer.u32le(id)
  }

  get bytes(): number {
    return this.writer.length
  }

  /** What was written since the last time; valid until the next section. */
  take(): Buffer {
    const { writer } = this
    const taken = writer.buffer.subarray(0, writer.length)
    this.crc = crc32(taken, 0, taken.length, this.crc)
    writer.length = 0
    return taken
  }

  start(
    { segments, offset, lsn, crc }: LogStart,
    topologyPosition: LogPosition,
    nextQueueId: number,
    epoch: number,
    isFinal: boolean,
  ): void {
    const { writer } = this
    this.begin(sectionTypes.start)
    writer.varint(offset)
    writer.varint(lsn)
    writer.varint(crc)
    this.position(topologyPosition)
    writer.varint(nextQueueId)
    writer.varint(epoch)
    writer.u8(isFinal ? 1 : 0)
    this.end()
    this.begin(sectionTypes.segments)
    for (const facts of segments) {
      const { id, previousId, previousBytes, previousCrc, epoch, firstLsn, salt, bytes, lastCrc, references } = facts
      for (const value of [id, previousId, previousBytes, previousCrc, epoch, firstLsn]) writer.varint(value)
      writer.bytes(salt)
      writer.varint(bytes)
      writer.varint(lastCrc)
      writer.varint(references)
    }
    this.end()
  }

  topology(records: readonly TopologyRecord[]): void {
    const record = new ByteWriter(256)
    this.begin(sectionTypes.topology)
    for (const topology of records) {
      record.length = 0
      encodeTopology(record, topology)
      this.writer.varint(record.length)
      this.writer.bytes(record.buffer.subarray(0, record.length))
    }
    this.end()
  }

  notes(notes: readonly Note[]): void {
    const record = new ByteWriter(256)
    this.begin(sectionTypes.notes)
    for (const note of notes) {
      record.length = 0
      encodeNote(record, note)
      this.writer.varint(record.length)
      this.writer.bytes(record.buffer.subarray(0, record.length))
    }
    this.end()
  }

  bodies(nextBodyId: number, references: readonly BodyReference[]): void {
    this.begin(sectionTypes.bodies)
    this.writer.varint(nextBodyId)
    for (const { queueId, sequence, bodyId } of references) {
      for (const value of [queueId, sequence, bodyId]) this.writer.varint(value)
    }
    this.end()
  }

  beginQueue(
    queueId: number,
    position: LogPosition,
    nextSequence: number,
    suspectBelow: number,
    mayExpire: boolean,
    lanes: number,
  ): void {
    const { writer } = this
    this.begin(sectionTypes.queue)
    writer.varint(queueId)
    this.position(position)
    writer.varint(nextSequence)
    writer.varint(suspectBelow)
    writer.u8(mayExpire ? 1 : 0)
    writer.varint(lanes)
  }

  beginLane(number: number, pages: number): void {
    this.writer.varint(number)
    this.writer.varint(pages)
  }

  page(page: IndexPage): void {
    const { writer } = this
    const { usedBytes, count, passed, bodyBytes, transientCount, firstSequence, lastSequence, segments, place } = page
    for (const value of [usedBytes, count, passed, bodyBytes, transientCount, firstSequence]) writer.varint(value)
    writer.varint(lastSequence - firstSequence)
    writer.varint((segments.length - page.segmentsAt) / 2)
    for (let at = page.segmentsAt; at < segments.length; at++) writer.varint(segments[at] as number)
    if (place === null) {
      writer.varint(0)
      writer.bytes((page.bytes as Buffer).subarray(0, usedBytes))
      return
    }
    writer.varint(place.file + 1)
    writer.varint(place.position)
    writer.varint(page.crc)
  }

  endQueue(): void {
    this.end()
  }

  cold(segments: readonly ColdFacts[]): void {
    const { writer } = this
    this.begin(sectionTypes.cold)
    for (const { number, epoch, salt, bytes, references } of segments) {
      writer.varint(number)
      writer.varint(epoch)
      writer.bytes(salt)
      writer.varint(bytes)
      writer.varint(references)
    }
    this.end()
  }

  /** The end, after which `take` gives the last part. */
  finish(syncedLsn: number, pageFiles: readonly number[]): void {
    const { writer } = this
    this.begin(sectionTypes.end)
    writer.varint(syncedLsn)
    for (const id of pageFiles) writer.varint(id)
    this.end()
    writer.u32le(this.lastSectionBytes)
    writer.u32le(crc32(writer.buffer, 0, writer.length, this.crc))
    writer.bytes(endMagic)
  }

  private begin(type: number): void {
    this.sectionStart = this.writer.length
    this.writer.u8(type)
    this.writer.u32le(0)
  }

  private end(): void {
    const { writer, sectionStart } = this
    writer.buffer.writeUInt32LE(writer.length - sectionStart - 5, sectionStart + 1)
    this.lastSectionBytes = writer.length - sectionStart
  }

  private position({ lsn, records }: LogPosition): void {
    this.writer.varint(lsn)
    this.writer.varint(records)
  }
}

/** What a whole checkpoint file says; null if it is not one, or damaged. */
export function decodeCheckpoint(content: Buffer): Checkpoint | null {
  if (!isWhole(content)) return null
  try {
    return new Decoder(content).decode()
  } catch (error) {
    if (error instanceof ByteReaderError || error instanceof RangeError) return null
    throw error
  }
}

function isWhole(content: Buffer): boolean {
  const end = content.length - trailerBytes
  if (end < headerBytes || content.compare(magic, 0, 8, 0, 8) !== 0) return false
  if (content.compare(endMagic, 0, 4, end + 8) !== 0 || content.readUInt16LE(8) !== version) return false
  return content.readUInt32LE(end + 4) === crc32(content, 0, end + 4, 0)
}

class Decoder {
  private readonly content: Buffer
  private offset = 0
  private lsn = 0
  private crc = 0
  private syncedLsn = 0
  private topologyPosition: LogPosition = { lsn: 0, records: 0 }
  private nextQueueId = 1
  private epoch = 0
  private isFinal = false
  private readonly segments: SegmentFacts[] = []
  private readonly topology: TopologyRecord[] = []
  private readonly notes: Note[] = []
  private nextBodyId = 1
  private readonly bodies: BodyReference[] = []
  private readonly queues: QueueFacts[] = []
  private readonly cold: ColdFacts[] = []
  private readonly pageFiles: number[] = []

  constructor(content: Buffer) {
    this.content = content
  }

  decode(): Checkpoint {
    const { content } = this
    const end = content.length - trailerBytes
    for (let at = headerBytes; at < end; ) {
      const payloadEnd = at + 5 + content.readUInt32LE(at + 1)
      if (payloadEnd > end) throw new RangeError('a section goes beyond its file')
      this.section(content[at] as number, new ByteReader(content, at + 5, payloadEnd))
      at = payloadEnd
    }
    const { topologyPosition, nextQueueId, epoch, isFinal, topology, notes, queues, cold, pageFiles } = this
    const { segments, offset, lsn, crc, syncedLsn, nextBodyId, bodies } = this
    const start = { segments, offset, lsn, crc, syncedLsn }
    const id = content.readUInt32LE(12)
    return {
      id,
      start,
      topologyPosition,
      nextQueueId,
      epoch,
      isFinal,
      topology,
      notes,
      nextBodyId,
      bodies,
      queues,
      cold,
      pageFiles,
    }
  }

  private section(type: number, reader: ByteReader): void {
    switch (type) {
      case sectionTypes.start:
        this.offset = reader.varint()
        this.lsn = reader.varint()
        this.crc = reader.varint()
        this.topologyPosition = readPosition(reader)
        this.nextQueueId = reader.varint()
        this.epoch = reader.varint()
        this.isFinal = reader.u8() === 1
        return
      case sectionTypes.segments:
        while (reader.remaining > 0) this.segments.push(readSegment(reader))
        return
      case sectionTypes.topology:
        while (reader.remaining > 0) {
          const bytes = reader.varint()
          this.topology.push(decodeTopology(new ByteReader(reader.buffer, reader.at, reader.at + bytes)))
          reader.at += bytes
        }
        return
      case sectionTypes.notes:
        while (reader.remaining > 0) {
          const bytes = reader.varint()
          this.notes.push(decodeNote(new ByteReader(reader.buffer, reader.at, reader.at + bytes)))
          reader.at += bytes
        }
        return
      case sectionTypes.bodies:
        this.nextBodyId = reader.varint()
        while (reader.remaining > 0) {
          this.bodies.push({ queueId: reader.varint(), sequence: reader.varint(), bodyId: reader.varint() })
        }
        return
      case sectionTypes.queue:
        this.queues.push(readQueue(reader))
        return
      case sectionTypes.cold:
        while (reader.remaining > 0) this.cold.push(readCold(reader))
        return
      case sectionTypes.end:
        this.syncedLsn = reader.varint()
        while (reader.remaining > 0) this.pageFiles.push(reader.varint())
        return
      default:
        throw new RangeError(`a section of type ${type}`)
    }
  }
}

function readPosition(reader: ByteReader): LogPosition {
  return { lsn: reader.varint(), records: reader.varint() }
}

function readSegment(reader: ByteReader): SegmentFacts {
  return {
    id: reader.varint(),
    previousId: reader.varint(),
    previousBytes: reader.varint(),
    previousCrc: reader.varint(),
    epoch: reader.varint(),
    firstLsn: reader.varint(),
    salt: Buffer.from(reader.bytes(8)),
    bytes: reader.varint(),
    lastCrc: reader.varint(),
    references: reader.varint(),
  }
}

function readCold(reader: ByteReader): ColdFacts {
  return {
    number: reader.varint(),
    epoch: reader.varint(),
    salt: Buffer.from(reader.bytes(8)),
    bytes: reader.varint(),
    references: reader.varint(),
  }
}

function readQueue(reader: ByteReader): QueueFacts {
  const queueId = reader.varint()
  const position = readPosition(reader)
  const nextSequence = reader.varint()
  const suspectBelow = reader.varint()
  const mayExpire = reader.u8() === 1
  const lanes: LaneFacts[] = []
  for (let left = reader.varint(); left > 0; left--) {
    const number = reader.varint()
    const pages: IndexPage[] = []
    for (let count = reader.varint(); count > 0; count--) pages.push(readPage(queueId, reader))
    lanes.push({ number, pages })
  }
  return { queueId, position, nextSequence, suspectBelow, mayExpire, lanes }
}

function readPage(queueId: number, reader: ByteReader): IndexPage {
  const page = new IndexPage(queueId, null)
  page.isClosed = true
  page.usedBytes = reader.varint()
  page.count = reader.varint()
  page.passed = reader.varint()
  page.bodyBytes = reader.varint()
  page.transientCount = reader.varint()
  page.firstSequence = reader.varint()
  page.lastSequence = page.firstSequence + reader.varint()
  for (let pairs = reader.varint(); pairs > 0; pairs--) page.segments.push(reader.varint(), reader.varint())
  const file = reader.varint() - 1
  if (file === -1) page.bytes = Buffer.from(reader.bytes(page.usedBytes))
  else {
    page.place = { file, position: reader.varint() }
    page.crc = reader.varint()
  }
  return page
}
