/** One file of a folder, record by record, for people. What is damaged is said, and gone around. */
import { crc32 } from '../lib/crc32.ts'
import { coldFlags, coldIdOf, coldNumberIn, makeColdSegment } from '../log/cold-segment.ts'
import {
  checkRecord,
  frameBytes,
  frameCrc,
  frameHeaderBytes,
  frameLsn,
  frameRealtimeMs,
  frameSyncedLsn,
  recordHeaderBytes,
} from '../log/frame.ts'
import { findFault, loadFrame } from '../log/frame-check.ts'
import { findFrame } from '../log/frame-search.ts'
import { decodeSegmentHeader, framesStart, headerCopyOffset, Segment, segmentIdOf } from '../log/segment.ts'
import { SegmentReader } from '../log/segment-reader.ts'
import type { DiskFile } from '../platform/disk.ts'
import { bodyIdIn, partsOf } from './body-file.ts'
import { type Checkpoint, checkpointIdOf, decodeCheckpoint } from './checkpoint-file.ts'
import { isDelayedLane, priorityOfLane } from './delay-wheel.ts'
import { FolderError } from './folder-error.ts'
import { decodePageHead } from './folder-pages.ts'
import { describeRecord, type NameOf, noteText, topologyText, typeName } from './folder-records.ts'
import { forEachEntry, IndexPage, type PageEntry } from './index-page.ts'
import { pageHeaderBytes } from './page-files.ts'

export interface DumpLine {
  /** Where in the file; null where that means nothing. */
  readonly offset: number | null
  /** 'header', 'frame', 'page', 'queue' …; a record's type; 'DAMAGED'. */
  readonly kind: string
  readonly bytes: number | null
  readonly text: string
  /** What it is a part of stands before it. */
  readonly depth: number
  /** ms since 1970: when a frame was written. */
  readonly writtenMs: number | null
}

/** `name` is the file's own, which tells what it is. Rejects with E_BAD_OPTION if it is nothing that can be shown. */
export function dumpFile(file: DiskFile, name: string, nameOf: NameOf): AsyncGenerator<DumpLine> {
  if (segmentIdOf(name) > 0) return dumpSegment(file, segmentIdOf(name), nameOf)
  if (coldNumberIn(name) > 0) return dumpCold(file, coldNumberIn(name), nameOf)
  if (checkpointIdOf(name) > 0) return dumpCheckpoint(file, nameOf)
  if (/^\d{10}\.idx$/.test(name)) return dumpPages(file, nameOf)
  if (bodyIdIn(name) > 0) return dumpBody(file)
  throw new FolderError(
    'E_BAD_OPTION',
    `${name} is not named like a segment (0000000001.log), a cold segment (.cold), a checkpoint (.ckpt), a page file (.idx) or a body (.body)`,
  )
}

function line(offset: number | null, kind: string, bytes: number | null, text: string, depth = 0): DumpLine {
  return { offset, kind, bytes, text, depth, writtenMs: null }
}

async function* dumpSegment(file: DiskFile, id: number, nameOf: NameOf): AsyncGenerator<DumpLine> {
  const head = Buffer.alloc(framesStart)
  await file.read(head, 0, head.length, 0)
  const headers = [decodeSegmentHeader(head, 0), decodeSegmentHeader(head, headerCopyOffset)]
  for (const [at, header] of headers.entries()) {
    if (header === null) yield line(at * headerCopyOffset, 'DAMAGED', 64, 'no header of a segment')
  }
  const header = headers.find((one) => one?.id === id)
  if (header == null) return
  const { major, minor, epoch, firstLsn, previousId, previousBytes } = header
  const segment = new Segment('', header)
  const before = previousId === 0 ? 'the first' : `behind segment ${previousId}, which has ${previousBytes} bytes`
  const text = `segment ${id}, format ${major}.${minor}, opening ${epoch}, from frame ${firstLsn}, ${before}${segment.isDeferred ? ', synced later' : ''}`
  yield line(0, 'header', framesStart, text)
  const reader = new SegmentReader()
  const fileBytes = await file.size()
  reader.begin(file, fileBytes)
  let lsn: number | null = firstLsn
  for (let offset = framesStart; offset < fileBytes; ) {
    const at = await loadFrame(reader, offset, fileBytes)
    const fault = findFault(reader.buffer, at, segment, offset, fileBytes, lsn)
    if (fault !== null) {
      const next = await findFrame(reader, segment, offset + 1, fileBytes, 0)
      const rest = next === fileBytes ? 'no valid frame comes after it' : `the next valid frame is at ${next}`
      yield line(offset, 'DAMAGED', next - offset, `${fault}; ${rest}`)
      offset = next
      lsn = null
      continue
    }
    const { buffer } = reader
    const bytes = frameBytes(buffer, at)
    // The reader's window moves while somebody looks at the lines.
    const frame = Buffer.from(buffer.subarray(at, at + bytes))
    yield frameLine(frame, offset)
    yield* dumpRecords(frame, frameHeaderBytes, bytes, offset, nameOf)
    segment.lastCrc = frameCrc(frame, 0)
    lsn = frameLsn(frame, 0) + 1
    offset += bytes
  }
}

function counted(records: number): string {
  return `${records} record${records === 1 ? '' : 's'}`
}

function frameLine(frame: Buffer, offset: number): DumpLine {
  const text = `frame ${frameLsn(frame, 0)}, ${counted(frame.readUInt32LE(12))}; durable was ${frameSyncedLsn(frame, 0)}`
  return { ...line(offset, 'frame', frame.length, text), writtenMs: frameRealtimeMs(frame, 0) }
}

function* dumpRecords(frame: Buffer, start: number, end: number, offset: number, nameOf: NameOf): Generator<DumpLine> {
  for (let at = start; at < end; ) {
    const recordEnd = at + recordHeaderBytes + frame.readUInt32LE(at + 4)
    yield recordLine(frame, at, recordEnd, offset + at, nameOf)
    at = recordEnd
  }
}

function recordLine(buffer: Buffer, at: number, end: number, offset: number, nameOf: NameOf, depth = 1): DumpLine {
  const type = buffer[at + 8] as number
  const payloadStart = at + recordHeaderBytes
  const headerEnd = payloadStart + buffer.readUInt32LE(at + 12)
  const text = describeRecord({ type, buffer, payloadStart, headerEnd, payloadEnd: end }, nameOf)
  return line(offset, typeName(type), end - at, text, depth)
}

async function* dumpCold(file: DiskFile, number: number, nameOf: NameOf): AsyncGenerator<DumpLine> {
  const head = Buffer.alloc(framesStart)
  await file.read(head, 0, head.length, 0)
  const headers = [decodeSegmentHeader(head, 0), decodeSegmentHeader(head, headerCopyOffset)]
  for (const [at, header] of headers.entries()) {
    if (header?.flags !== coldFlags) yield line(at * headerCopyOffset, 'DAMAGED', 64, 'no header of a cold segment')
  }
  const header = headers.find((one) => one?.id === coldIdOf(number) && one.flags === coldFlags)
  if (header == null) return
  yield line(0, 'header', framesStart, `cold segment ${number}, made by opening ${header.epoch}`)
  const segment = makeColdSegment('', number, header.epoch, header.salt)
  const reader = new SegmentReader()
  const fileBytes = await file.size()
  reader.begin(file, fileBytes)
  for (let offset = framesStart; offset < fileBytes; ) {
    const at = await reader.load(offset, recordHeaderBytes)
    const bytes = at === -1 ? 0 : recordHeaderBytes + reader.buffer.readUInt32LE(at + 4)
    const start = at === -1 || offset + bytes > fileBytes ? -1 : await reader.load(offset, bytes)
    if (start === -1) {
      yield line(offset, 'DAMAGED', fileBytes - offset, 'no whole record comes any more')
      return
    }
    const record = Buffer.from(reader.buffer.subarray(start, start + bytes))
    const isRight = checkRecord(record, 0, bytes, segment.saltCrc, segment.id, offset) === bytes
    if (!isRight) yield line(offset, 'DAMAGED', bytes, 'the record does not match its checksum and address')
    else yield recordLine(record, 0, bytes, offset, nameOf, 0)
    offset += bytes
  }
}

async function* dumpBody(file: DiskFile): AsyncGenerator<DumpLine> {
  for await (const { offset, bytes, fault, text } of partsOf(file)) {
    if (fault === null) yield line(offset, offset === 0 ? 'header' : 'chunk', bytes, text)
    else yield line(offset, 'DAMAGED', bytes, fault)
  }
}

async function* dumpCheckpoint(file: DiskFile, nameOf: NameOf): AsyncGenerator<DumpLine> {
  const content = Buffer.allocUnsafeSlow(await file.size())
  const read = await file.read(content, 0, content.length, 0)
  const checkpoint = decodeCheckpoint(content.subarray(0, read))
  if (checkpoint === null)
    yield line(0, 'DAMAGED', read, 'the checkpoint is not whole: its length or checksum is wrong')
  else yield* checkpointLines(checkpoint, read, nameOf)
}

function* checkpointLines(checkpoint: Checkpoint, bytes: number, nameOf: NameOf): Generator<DumpLine> {
  const { id, start, epoch, isFinal, nextQueueId, topology, notes, bodies, queues, cold, pageFiles } = checkpoint
  const { segments, offset, lsn, syncedLsn } = start
  const last = segments.at(-1)?.id ?? 0
  const end = isFinal ? ', which then ended' : ''
  const text = `checkpoint ${id} by opening ${epoch}${end}; reading goes on at ${offset} of segment ${last}, behind frame ${lsn}`
  yield line(0, 'header', bytes, `${text}; durable was ${syncedLsn}; next queue number ${nextQueueId}`)
  for (const { id, epoch, firstLsn, bytes, references } of segments) {
    yield line(
      null,
      'segment',
      bytes,
      `segment ${id}, opening ${epoch}, from frame ${firstLsn}, ${references} references`,
    )
  }
  for (const { number, bytes, references } of cold) {
    yield line(null, 'cold', bytes, `cold segment ${number}, ${references} references`)
  }
  if (pageFiles.length > 0) yield line(null, 'idx', null, `page files ${pageFiles.join(', ')}`)
  for (const record of topology) yield line(null, 'TOPOLOGY', null, topologyText(record))
  for (const note of notes) yield line(null, 'NOTE', null, noteText(note))
  for (const { queueId, sequence, bodyId } of bodies) {
    yield line(null, 'body', null, `${nameOf(queueId)} #${sequence} has body ${bodyId}`)
  }
  for (const { queueId, position, nextSequence, suspectBelow, lanes } of queues) {
    const at = `as of record ${position.records} of frame ${position.lsn}`
    const suspect = suspectBelow > 0 ? `, perhaps delivered below ${suspectBelow}` : ''
    yield line(null, 'queue', null, `${nameOf(queueId)}: next ${nextSequence}${suspect}, ${at}`)
    for (const { number, pages } of lanes) {
      for (const page of pages) yield pageLine(page, number)
    }
  }
}

function pageLine(page: IndexPage, lane: number): DumpLine {
  const { count, passed, firstSequence, lastSequence, place, usedBytes, bodyBytes } = page
  const where = place === null ? 'here' : `in page file ${place.file} at ${place.position}`
  const priority = priorityOfLane(lane)
  const rank = (isDelayedLane(lane) ? 'hidden, ' : '') + (priority === 0 ? '' : `priority ${priority}, `)
  const text = `${rank}${count - passed} messages up to ${lastSequence} of ${bodyBytes} bytes, ${where}`
  const taken = passed > 0 ? `; ${passed} from ${firstSequence} on are gone` : ''
  return line(null, 'page', usedBytes, text + taken, 1)
}

async function* dumpPages(file: DiskFile, nameOf: NameOf): AsyncGenerator<DumpLine> {
  const fileBytes = await file.size()
  const head = Buffer.alloc(pageHeaderBytes)
  for (let offset = 0; offset < fileBytes; ) {
    const isThere = (await file.read(head, 0, head.length, offset)) === head.length
    const { isPage, bytes, crc, queueId, count } = decodePageHead(head, 0)
    if (!isThere || !isPage || offset + pageHeaderBytes + bytes > fileBytes) {
      yield line(offset, 'DAMAGED', fileBytes - offset, 'no whole page comes any more')
      return
    }
    const content = Buffer.allocUnsafeSlow(bytes)
    await file.read(content, 0, bytes, offset + pageHeaderBytes)
    const isRight = crc32(content, 0, bytes, 0) === crc
    const text = `${nameOf(queueId)}, ${count} ${count === 1 ? 'entry' : 'entries'}`
    if (isRight) yield line(offset, 'page', pageHeaderBytes + bytes, text)
    else yield line(offset, 'DAMAGED', pageHeaderBytes + bytes, `the page does not match its checksum: ${text}`)
    if (isRight) yield* entryLines(queueId, content, count)
    offset += pageHeaderBytes + bytes
  }
}

function entryLines(queueId: number, content: Buffer, count: number): DumpLine[] {
  const page = new IndexPage(queueId, content)
  page.usedBytes = content.length
  page.count = count
  const lines: DumpLine[] = []
  forEachEntry(page, content, ({ sequence, segmentId, offset, recordBytes, deliveryCount }: PageEntry) => {
    const kind = segmentId >= coldIdOf(0) ? `cold segment ${segmentId - coldIdOf(0)}` : `segment ${segmentId}`
    const delivered = deliveryCount > 0 ? `, handed out ${deliveryCount} times` : ''
    lines.push(line(null, 'entry', recordBytes, `#${sequence} at ${offset} of ${kind}${delivered}`, 1))
  })
  return lines
}
