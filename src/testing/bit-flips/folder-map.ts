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
import { type Checkpoint, decodeCheckpoint } from '../../store/checkpoint-file.ts'
import { routesIfAny } from '../../store/folder-records.ts'
import { pageHeaderBytes } from '../../store/page-files.ts'
import { PublishNames, readMessage } from '../../store/publish-record.ts'
import { decodeTopology, recordTypes } from '../../store/record.ts'

export type FileType = 'FORMAT' | 'log, open' | 'log, sealed' | 'cold' | 'idx' | 'ckpt'

export type PartKind =
  | 'text'
  | 'checkpoint'
  | 'page'
  | 'segment header'
  | 'frame header'
  | 'record'
  /** Nobody reads it: room between headers, what lies behind the end, pages that no checkpoint names. */
  | 'nothing'

export interface Part {
  readonly kind: PartKind
  readonly start: number
  readonly end: number
  /** Of a record. */
  readonly type: number
  /** The message that the record is about, if it is a PUBLISH, and the numbers of its queues. */
  readonly content: string
  /** Where its properties and its body begin, behind all that says whose it is. */
  readonly contentStart: number
  readonly queueIds: readonly number[]
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

const plain = { type: 0, content: '', contentStart: 0, queueIds: [], isUnproven: false } as const

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

  constructor(files: ReadonlyMap<string, Buffer>) {
    this.files = files
  }

  run(): MappedFile[] {
    const paths = [...this.files.keys()].sort()
    const segments = paths.filter((path) => path.endsWith('.log'))
    for (const path of paths) this.readCheckpoint(path)
    for (const path of segments) this.findSynced(this.content(path))
    const mapped: MappedFile[] = []
    const map = (path: string, type: FileType, parts: Part[]): void => {
      mapped.push({ path, type, bytes: this.content(path).length, parts })
    }
    for (const path of paths) {
      const content = this.content(path)
      if (path.endsWith('/FORMAT')) map(path, 'FORMAT', [{ ...plain, kind: 'text', start: 0, end: content.length }])
      if (path.endsWith('.ckpt')) map(path, 'ckpt', [{ ...plain, kind: 'checkpoint', start: 0, end: content.length }])
      if (path.endsWith('.log')) map(path, path === segments.at(-1) ? 'log, open' : 'log, sealed', this.log(content))
      if (path.endsWith('.cold')) map(path, 'cold', this.cold(content))
      if (path.endsWith('.idx')) map(path, 'idx', this.pages(content, Number(path.slice(-14, -4))))
    }
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
      parts.push(...recordParts(content, at + frameHeaderBytes, frameEnd, isUnproven))
    })
    return withRest(parts, end, content.length)
  }

  private cold(content: Buffer): Part[] {
    const id = (decodeSegmentHeader(content, 0)?.id ?? 0) - 2 ** 31
    const isNamed = this.checkpoints.some(({ cold }) => cold.some(({ number }) => number === id))
    if (!isNamed) return withRest([], 0, content.length)
    return [...headerParts(), ...recordParts(content, framesStart, content.length, false)]
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

function recordParts(buffer: Buffer, from: number, to: number, isUnproven: boolean): Part[] {
  const parts: Part[] = []
  for (let start = from; start < to; ) {
    const payloadStart = start + recordHeaderBytes
    const end = payloadStart + buffer.readUInt32LE(start + 4)
    const headerEnd = payloadStart + buffer.readUInt32LE(start + 12)
    const type = buffer[start + 8] as number
    const record = { type, buffer, payloadStart, headerEnd, payloadEnd: end }
    let queueIds = routesIfAny(record).map(({ queueId }) => queueId)
    let content = ''
    let contentStart = 0
    if (type === recordTypes.publish) {
      const message = readMessage(new PublishNames(), new Slab(), buffer, payloadStart, headerEnd, end)
      content = contentOf(message)
      contentStart = end - message.contentBytes
    } else if (type === recordTypes.topology) {
      const topology = decodeTopology(new ByteReader(buffer, payloadStart, end))
      if ('queueId' in topology) queueIds = [topology.queueId]
    }
    parts.push({ kind: 'record', start, end, type, content, contentStart, queueIds, isUnproven })
    start = end
  }
  return parts
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
