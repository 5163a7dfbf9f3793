/** What every byte of a folder is a part of, so that it can be said what a flipped bit may do. */
import { ByteReader } from '../../lib/byte-reader.ts'
import { Slab } from '../../lib/slab.ts'
import {
  frameBytes,
  frameHeaderBytes,
  frameLsn,
  frameSyncedLsn,
  isFrameHeader,
  recordHeaderBytes,
} from '../../log/frame.ts'
import { decodeSegmentHeader, framesStart, headerBytes, headerCopyOffset, Segment } from '../../log/segment.ts'
import type { Message } from '../../model/message.ts'
import { bodyName } from '../../store/body-file.ts'
import { type Checkpoint, decodeCheckpoint } from '../../store/checkpoint-file.ts'
import { type Route, routesIfAny } from '../../store/folder-records.ts'
import { pageHeaderBytes } from '../../store/page-files.ts'
import { PublishNames, readMessage } from '../../store/publish-record.ts'
import { decodeNote, decodeTopology, isPublish, recordTypes } from '../../store/record.ts'

export type FileType = 'FORMAT' | 'log, open' | 'log, sealed' | 'cold' | 'idx' | 'ckpt' | 'body'

export type PartKind =
  | 'text'
  | 'checkpoint'
  | 'page'
  | 'segment header'
  | 'frame header'
  | 'record'
  /** The file of a body, if a record refers to it; whether its message lives is not said here. */
  | 'body'
  /** Nobody reads it: room between headers, what lies behind the end, pages that no checkpoint names. */
  | 'nothing'

export interface Part {
  readonly kind: PartKind
  readonly start: number
  readonly end: number
  /** Of a record, or of a section of a checkpoint. */
  readonly type: number
  /** The message that the record puts into queues, or whose body this is, and the numbers of these queues. */
  readonly content: string
  /** Where its properties and its body begin, behind all that says whose it is. */
  readonly contentStart: number
  readonly queueIds: readonly number[]
  /** As whom they have it. */
  readonly routes: readonly Route[]
  /** What a NOTE is about: the number of a queue and an idempotency key. */
  readonly key: string
  /** In a frame that nothing proves to be more than a write that was never finished. */
  readonly isUnproven: boolean
}

export interface MappedFile {
  readonly path: string
  readonly type: FileType
  readonly bytes: number
  /** In order, without gaps. */
  readonly parts: readonly Part[]
}

const plain = {
  type: 0,
  content: '',
  contentStart: 0,
  queueIds: [],
  routes: [],
  key: '',
  isUnproven: false,
} as const

const checkpointHeaderBytes = 16
const checkpointTrailerBytes = 12
const sectionHeaderBytes = 5
const bodyHeaderBytes = 48
const bodyCrcBytes = 4

export function mapFolder(files: ReadonlyMap<string, Buffer>): MappedFile[] {
  return new Mapping(files).run()
}

export function partAt({ parts }: MappedFile, offset: number): Part {
  return parts.find(({ start, end }) => offset >= start && offset < end) as Part
}

class Mapping {
  private readonly files: ReadonlyMap<string, Buffer>
  private readonly checkpoints: Checkpoint[] = []
  /** The last frame that somebody knew to be durable. */
  private syncedLsn = 0
  /** By the path of the body's file, the last record that refers to it. */
  private readonly referring = new Map<string, Part>()

  constructor(files: ReadonlyMap<string, Buffer>) {
    this.files = files
  }

  run(): MappedFile[] {
    const paths = [...this.files.keys()].sort()
    // Without one that was just being made: it is empty.
    const segments = paths.filter((path) => path.endsWith('.log') && this.content(path).length > 0)
    for (const path of paths) this.readCheckpoint(path)
    for (const path of segments) this.findSynced(this.content(path))
    const mapped: MappedFile[] = []
    const bodies: string[] = []
    const map = (path: string, type: FileType, parts: Part[]): void => {
      mapped.push({ path, type, bytes: this.content(path).length, parts })
    }
    for (const path of paths) {
      const content = this.content(path)
      if (path.endsWith('/FORMAT')) map(path, 'FORMAT', [{ ...plain, kind: 'text', start: 0, end: content.length }])
      if (path.endsWith('.ckpt')) map(path, 'ckpt', checkpointParts(content))
      if (segments.includes(path)) map(path, path === segments.at(-1) ? 'log, open' : 'log, sealed', this.log(content))
      if (path.endsWith('.cold')) map(path, 'cold', this.cold(content))
      // Behind `log` and `cold`: their records say whose it is.
      if (path.endsWith('.body')) bodies.push(path)
      if (path.endsWith('.idx')) map(path, 'idx', this.pages(content, Number(path.slice(-14, -4))))
    }
    for (const path of bodies) map(path, 'body', this.body(path))
    return mapped
  }

  private content(path: string): Buffer {
    return this.files.get(path) as Buffer
  }

  private readCheckpoint(path: string): void {
    if (!path.endsWith('.ckpt')) return
    const checkpoint = decodeCheckpoint(this.content(path)) as Checkpoint
    this.checkpoints.push(checkpoint)
    this.syncedLsn = Math.max(this.syncedLsn, checkpoint.start.syncedLsn)
  }

  private findSynced(content: Buffer): void {
    const segment = segmentOf(content)
    this.syncedLsn = Math.max(this.syncedLsn, segment.firstLsn - 1)
    forEachFrame(content, segment, (at) => {
      this.syncedLsn = Math.max(this.syncedLsn, frameSyncedLsn(content, at))
    })
  }

  private log(content: Buffer): Part[] {
    const parts = headerParts()
    const segment = segmentOf(content)
    const end = forEachFrame(content, segment, (at, frameEnd) => {
      const isUnproven = frameLsn(content, at) > this.syncedLsn
      parts.push({ ...plain, kind: 'frame header', start: at, end: at + frameHeaderBytes, isUnproven })
      parts.push(...this.records(content, at + frameHeaderBytes, frameEnd, isUnproven))
    })
    return withRest(parts, end, content.length)
  }

  private cold(content: Buffer): Part[] {
    const id = (decodeSegmentHeader(content, 0)?.id ?? 0) - 2 ** 31
    const isNamed = this.checkpoints.some(({ cold }) => cold.some(({ number }) => number === id))
    if (!isNamed) return withRest([], 0, content.length)
    return [...headerParts(), ...this.records(content, framesStart, content.length, false)]
  }

  private records(buffer: Buffer, from: number, to: number, isUnproven: boolean): Part[] {
    const parts: Part[] = []
    for (let start = from; start < to; ) {
      const payloadStart = start + recordHeaderBytes
      const end = payloadStart + buffer.readUInt32LE(start + 4)
      const headerEnd = payloadStart + buffer.readUInt32LE(start + 12)
      const type = buffer[start + 8] as number
      const record = { type, buffer, payloadStart, headerEnd, payloadEnd: end }
      const routes = routesIfAny(record)
      let queueIds = routes.map(({ queueId }) => queueId)
      let content = ''
      let contentStart = 0
      let bodyPath = ''
      let key = ''
      if (isPublish(type)) {
        const refers = type === recordTypes.referring
        const message = readMessage(new PublishNames(), new Slab(), buffer, payloadStart, headerEnd, end, refers)
        if (refers) bodyPath = `/data/body/${bodyName(message.bodyId)}`
        content = refers ? this.contentOfReferring(message, bodyPath) : contentOf(message)
        contentStart = end - message.contentBytes
      } else if (type === recordTypes.topology) {
        const topology = decodeTopology(new ByteReader(buffer, payloadStart, end))
        if ('queueId' in topology) queueIds = [topology.queueId]
      } else if (type === recordTypes.note) {
        key = decodeNote(new ByteReader(buffer, payloadStart, end)).key
      }
      const part: Part = { kind: 'record', start, end, type, content, contentStart, queueIds, routes, key, isUnproven }
      if (bodyPath !== '') this.referring.set(bodyPath, part)
      parts.push(part)
      start = end
    }
    return parts
  }

  /** As whoever takes it sees it; empty if its file is gone, and it with it. */
  private contentOfReferring(message: Message, path: string): string {
    const body = this.files.get(path)
    if (body === undefined) return ''
    const properties = message.propertyBytes
    return contentOf({
      exchange: message.exchange,
      routingKey: message.routingKey,
      source: Buffer.concat([properties, bodyIn(body)]),
      propertiesStart: 0,
      bodyEnd: properties.length + message.bodyBytes,
    })
  }

  private body(path: string): Part[] {
    const file = this.content(path)
    const record = this.referring.get(path)
    // A publish that never was, or that was over long ago.
    if (record === undefined) return withRest([], 0, file.length)
    const { content, queueIds, routes, isUnproven } = record
    const body: Omit<Part, 'start' | 'end'> = { ...plain, kind: 'body', content, queueIds, routes, isUnproven }
    const parts: Part[] = [{ ...body, start: 0, end: bodyHeaderBytes }]
    forEachChunk(file, (start, end) => parts.push({ ...body, start, end }))
    return parts
  }

  private pages(content: Buffer, file: number): Part[] {
    const starts = new Map<number, number>()
    for (const { queues } of this.checkpoints) {
      for (const { lanes } of queues) {
        for (const { pages } of lanes) {
          for (const { place, usedBytes } of pages) {
            if (place?.file === file) starts.set(place.position, place.position + pageHeaderBytes + usedBytes)
          }
        }
      }
    }
    const parts: Part[] = []
    let at = 0
    for (const [start, end] of [...starts].sort(([left], [right]) => left - right)) {
      if (start > at) parts.push({ ...plain, kind: 'nothing', start: at, end: start })
      parts.push({ ...plain, kind: 'page', start, end })
      at = end
    }
    return withRest(parts, at, content.length)
  }
}

function headerParts(): Part[] {
  const copies = [0, headerCopyOffset]
  return copies.flatMap((start): Part[] => [
    { ...plain, kind: 'segment header', start, end: start + headerBytes },
    { ...plain, kind: 'nothing', start: start + headerBytes, end: start + headerCopyOffset },
  ])
}

function withRest(parts: Part[], end: number, bytes: number): Part[] {
  if (end < bytes) parts.push({ ...plain, kind: 'nothing', start: end, end: bytes })
  return parts
}

function segmentOf(content: Buffer): Segment {
  const header = decodeSegmentHeader(content, 0)
  if (header === null) throw new Error('the folder was whole')
  return new Segment('', header)
}

/** Visits the frames of a segment; returns where they end. */
function forEachFrame(content: Buffer, segment: Segment, visit: (at: number, end: number) => void): number {
  let at = framesStart
  while (at + frameHeaderBytes <= content.length && isFrameHeader(content, at, segment.saltCrc)) {
    const end = at + frameBytes(content, at)
    if (end > content.length) break
    visit(at, end)
    at = end
  }
  return at
}

/** Header, sections, trailer. */
function checkpointParts(content: Buffer): Part[] {
  const parts: Part[] = []
  let start = checkpointHeaderBytes
  parts.push({ ...plain, kind: 'checkpoint', start: 0, end: start })
  while (start < content.length - checkpointTrailerBytes) {
    const end = start + sectionHeaderBytes + content.readUInt32LE(start + 1)
    parts.push({ ...plain, kind: 'checkpoint', start, end, type: content[start] as number })
    start = end
  }
  parts.push({ ...plain, kind: 'checkpoint', start, end: content.length })
  return parts
}

/** What is in the file of a body, without its header and its checksums. */
function bodyIn(file: Buffer): Buffer {
  const pieces: Buffer[] = []
  forEachChunk(file, (start, end) => pieces.push(file.subarray(start, end - bodyCrcBytes)))
  return Buffer.concat(pieces)
}

/** Visits the chunks of a body's file, each with its checksum. */
function forEachChunk(file: Buffer, visit: (start: number, end: number) => void): void {
  const bytes = file.readUInt32LE(12) + bodyCrcBytes
  for (let at = bodyHeaderBytes; at < file.length; at += bytes) visit(at, Math.min(at + bytes, file.length))
}

/** A message as text that tells it from every other. */
export function contentOf(message: {
  readonly exchange: string
  readonly routingKey: string
  readonly source: Buffer
  readonly propertiesStart: number
  readonly bodyEnd: number
}): string {
  const { exchange, routingKey, source, propertiesStart, bodyEnd } = message
  return `${exchange}|${routingKey}|${source.toString('latin1', propertiesStart, bodyEnd)}`
}
