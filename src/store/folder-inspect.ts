/** What is in a folder, for people: its files, its queues, and the messages that wait in one of them. */

import { Slab } from '../lib/slab.ts'
import { openFormat } from '../log/format-file.ts'
import {
  checkRecord,
  frameHeaderBytes,
  frameMagicBytes,
  frameRealtimeMs,
  isFrameHeader,
  recordHeaderBytes,
} from '../log/frame.ts'
import { framesStart, type Segment, segmentIdOf } from '../log/segment.ts'
import { readSmallFile } from '../log/small-file.ts'
import type { Platform } from '../platform/platform.ts'
import { bodyName } from './body-file.ts'
import { isDelayedLane, priorityOfLane } from './delay-wheel.ts'
import { fileOf } from './folder-entries.ts'
import { preview } from './folder-records.ts'
import type { FolderQueue, FolderState } from './folder-state.ts'
import type { FolderView } from './folder-view.ts'
import { forEachEntry, type PageEntry } from './index-page.ts'
import { pageFileName } from './page-files.ts'
import { PublishNames, readMessage } from './publish-record.ts'
import { isPublish, recordTypes } from './record.ts'

const searchBytes = 65_536
/** A frame that begins earlier is not looked for. */
const searchBytesMax = 67_108_864

export interface FolderOwner {
  readonly pid: number
  readonly host: string
  readonly addresses: readonly string[]
  readonly isRunning: boolean
}

export interface SegmentSummary {
  readonly file: string
  readonly bytes: number
  readonly epoch: number
  readonly firstFrame: number
  /** Messages that wait and whose records are in it, and those that ever did, as far as that is known. */
  readonly live: number
  readonly references: number
}

export interface CheckpointSummary {
  readonly file: string
  readonly bytes: number
  readonly isWhole: boolean
  /** Opening the folder begins with it. */
  readonly isUsed: boolean
  /** The last frame that it knows. */
  readonly frame: number | null
  readonly isFinal: boolean
}

export interface QueueSummary {
  readonly name: string
  readonly virtualHost: string
  readonly queueId: number
  readonly ready: number
  readonly readyBytes: number
  /** Hidden until they are due. */
  readonly delayed: number
  readonly oldestSequence: number | null
  /** When the oldest one was written, ms since 1970; null if that is not known any more. */
  readonly oldestMs: number | null
}

export interface FolderSummary {
  readonly directory: string
  readonly format: string
  readonly uuid: string
  readonly bytes: number
  readonly owner: FolderOwner | null
  /** The last opening ended in order. */
  readonly clean: boolean
  readonly damages: number
  readonly segments: readonly SegmentSummary[]
  readonly coldSegments: readonly SegmentSummary[]
  readonly checkpoints: readonly CheckpointSummary[]
  readonly pageFiles: readonly { readonly file: string; readonly bytes: number; readonly isNamed: boolean }[]
  /** Bodies in files, and how many of them no message has: they go when the folder is opened. */
  readonly bodies: { readonly files: number; readonly bytes: number; readonly unused: number }
  readonly queues: readonly QueueSummary[]
}

export interface WaitingMessage {
  readonly sequence: number
  readonly priority: number
  /** When it is due, ms since 1970; null if it is not hidden. */
  readonly hiddenUntilMs: number | null
  /** How often it was handed out, as far as the folder tells. */
  readonly deliveries: number
  readonly file: string
  readonly offset: number
  readonly writtenMs: number | null
  readonly exchange: string
  readonly routingKey: string
  readonly contentType: string
  readonly bytes: number
  readonly preview: string
  /** Why its record cannot be read; else null. */
  readonly fault: string | null
}

export async function summarizeFolder(platform: Platform, state: FolderState): Promise<FolderSummary> {
  const { view } = state
  const { uuid } = await openFormat(view.fork().platform(platform), view.directory, true, { readsOnly: true })
  const text = (await readSmallFile(view, `${view.directory}/FORMAT`)) ?? ''
  const ids = view.checkpoints.flatMap(({ checkpoint }) => checkpoint?.pageFiles ?? [])
  const named = new Set(ids.map((id) => `idx/${pageFileName(id)}`))
  const pageFiles = view.files.filter(({ name }) => name.startsWith('idx/'))
  return {
    directory: view.directory,
    format: /^format (.*)$/m.exec(text)?.[1] ?? '',
    uuid,
    bytes: view.files.reduce((sum, { bytes }) => sum + bytes, 0),
    owner: ownerOf(platform, view.lockText),
    clean: state.clean,
    damages: state.report.damages.length + state.unreadable.length + (state.unknown === null ? 0 : 1),
    segments: segmentsOf(state),
    coldSegments: coldSegmentsOf(state),
    checkpoints: checkpointsOf(view),
    pageFiles: pageFiles.map(({ name, bytes }) => ({ file: name, bytes, isNamed: named.has(name) })),
    bodies: bodiesOf(state),
    queues: await queuesOf(state),
  }
}

function bodiesOf({ view, bodies }: FolderState): FolderSummary['bodies'] {
  const files = view.files.filter(({ name }) => name.startsWith('body/'))
  const used = new Set(bodies.logged().map(({ bodyId }) => `body/${bodyName(bodyId)}`))
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  return { files: files.length, bytes, unused: files.filter(({ name }) => !used.has(name)).length }
}

/** The first `limit` messages that wait in a queue, in their order. */
export async function* messagesOf(
  state: FolderState,
  queue: FolderQueue,
  limit: number,
): AsyncGenerator<WaitingMessage> {
  const names = new PublishNames()
  for (const { entry, lane } of firstEntries(state, queue, limit)) {
    const { sequence, deliveryCount, bodyBytes, expiresAt } = entry
    const place = placeOf(state, entry)
    const isHidden = isDelayedLane(lane)
    const waiting = {
      sequence,
      priority: priorityOfLane(lane),
      hiddenUntilMs: isHidden ? expiresAt : null,
      deliveries: isHidden ? 0 : deliveryCount,
      file: place.file,
      offset: place.offset,
    }
    const writtenMs = await writtenMsOf(state, place)
    const record =
      place.segment === null ? null : await readRecord(state, place.segment, place.offset, entry.recordBytes)
    if (record === null) {
      const unknown = { exchange: '', routingKey: '', contentType: '', bytes: bodyBytes, preview: '' }
      yield { ...waiting, writtenMs, ...unknown, fault: 'its record cannot be read' }
      continue
    }
    const headerEnd = recordHeaderBytes + record.readUInt32LE(12)
    const refers = record[8] === recordTypes.referring
    const message = readMessage(names, new Slab(), record, recordHeaderBytes, headerEnd, record.length, refers)
    const { exchange, routingKey } = message
    const { contentType = '' } = message.decodeProperties()
    yield {
      ...waiting,
      writtenMs,
      exchange,
      routingKey,
      contentType,
      bytes: message.bodyBytes,
      preview: refers ? `in body/${bodyName(message.bodyId)}` : preview(message.body),
      fault: null,
    }
  }
}

interface Place {
  readonly segment: Segment | null
  readonly file: string
  readonly offset: number
}

function placeOf({ log, view }: FolderState, { segmentId, offset }: PageEntry): Place {
  const segment = log.homeSegment(segmentId, offset)
  const file = segment === null ? fileOf(segmentId) : segment.path.slice(view.directory.length + 1)
  return { segment, file, offset: log.homeOffset(segmentId, offset) }
}

interface LaneEntry {
  readonly entry: PageEntry
  readonly lane: number
}

/** Higher priorities first, then as they came; then what is hidden, as it is due. */
function firstEntries(state: FolderState, { index }: FolderQueue, limit: number): LaneEntry[] {
  const found: LaneEntry[] = []
  const counts = new Map<number, number>()
  for (const { page, bytes, lane } of state.pagesOf(index)) {
    if ((counts.get(lane) ?? 0) >= limit) continue
    forEachEntry(page, bytes, (entry) => {
      const taken = counts.get(lane) ?? 0
      if (taken < limit) found.push({ entry: { ...entry }, lane })
      counts.set(lane, taken + 1)
    })
  }
  found.sort(compareTurns)
  return found.slice(0, limit)
}

function compareTurns(left: LaneEntry, right: LaneEntry): number {
  const bySequence = left.entry.sequence - right.entry.sequence
  const isHidden = isDelayedLane(left.lane)
  if (isHidden !== isDelayedLane(right.lane)) return isHidden ? 1 : -1
  if (isHidden) return left.entry.expiresAt - right.entry.expiresAt || bySequence
  return right.lane - left.lane || bySequence
}

/** The whole record; null if it cannot be read or is no message. */
async function readRecord(state: FolderState, segment: Segment, offset: number, bytes: number): Promise<Buffer | null> {
  if (bytes > segment.bytes) return null
  const record = Buffer.allocUnsafeSlow(bytes)
  const read = await state.log.read(segment, record, 0, bytes, offset).catch(() => 0)
  if (read !== bytes || checkRecord(record, 0, bytes, segment.saltCrc, segment.id, offset) !== bytes) return null
  return isPublish(record[8] as number) ? record : null
}

/** The time in the header of the frame that the record is in: frames are looked for backwards from it. */
async function writtenMsOf(state: FolderState, { segment, file, offset }: Place): Promise<number | null> {
  if (segment === null || !file.startsWith('log/')) return null
  const buffer = Buffer.allocUnsafeSlow(searchBytes + frameHeaderBytes)
  const last = Math.max(framesStart, offset - searchBytesMax)
  for (let end = offset; end > last; end -= searchBytes) {
    const start = Math.max(framesStart, end - searchBytes)
    const wanted = Math.min(offset - start, buffer.length)
    const read = await state.log.read(segment, buffer, 0, wanted, start).catch(() => 0)
    let at = read < frameHeaderBytes ? -1 : buffer.lastIndexOf(frameMagicBytes, read - frameHeaderBytes)
    while (at !== -1) {
      if (isFrameHeader(buffer, at, segment.saltCrc)) return frameRealtimeMs(buffer, at)
      if (at === 0) break
      at = buffer.lastIndexOf(frameMagicBytes, at - 1)
    }
  }
  return null
}

async function queuesOf(state: FolderState): Promise<QueueSummary[]> {
  const queues: QueueSummary[] = []
  for (const queue of state.queues) {
    const { queueId, virtualHost, name, index } = queue
    const [first] = firstEntries(state, queue, 1)
    const oldest = first === undefined || isDelayedLane(first.lane) ? undefined : first
    const oldestMs = oldest === undefined ? null : await writtenMsOf(state, placeOf(state, oldest.entry))
    const oldestSequence = oldest?.entry.sequence ?? null
    queues.push({
      name,
      virtualHost,
      queueId,
      ready: index.readyCount,
      readyBytes: index.readyBytes,
      delayed: index.delayedCount,
      oldestSequence,
      oldestMs,
    })
  }
  return queues.sort((one, other) => (one.name < other.name ? -1 : 1))
}

function segmentsOf({ log, view }: FolderState): SegmentSummary[] {
  const summaries: SegmentSummary[] = []
  for (const { name, bytes } of view.files) {
    const id = segmentIdOf(name.slice(4))
    if (!name.startsWith('log/') || id === 0) continue
    const segment = log.segmentOf(id)
    const { live = 0, references = 0, epoch = 0, firstLsn = 0 } = segment ?? {}
    summaries.push({ file: name, bytes, epoch, firstFrame: firstLsn, live, references })
  }
  return summaries
}

function coldSegmentsOf({ log, view }: FolderState): SegmentSummary[] {
  const known = new Map([...log.coldSegments].map((segment) => [segment.path, segment]))
  const summaries: SegmentSummary[] = []
  for (const { name, bytes } of view.files) {
    if (!name.startsWith('cold/')) continue
    const { live = 0, references = 0, epoch = 0 } = known.get(`${view.directory}/${name}`) ?? {}
    summaries.push({ file: name, bytes, epoch, firstFrame: 0, live, references })
  }
  return summaries
}

function checkpointsOf(view: FolderView): CheckpointSummary[] {
  return view.checkpoints.map((found) => {
    const file = `ckpt/${found.name}`
    const bytes = view.files.find(({ name }) => name === file)?.bytes ?? 0
    const { checkpoint, missing } = found
    return {
      file,
      bytes,
      isWhole: checkpoint !== null && missing.length === 0,
      isUsed: found === view.checkpoint,
      frame: checkpoint?.start.lsn ?? null,
      isFinal: checkpoint?.isFinal ?? false,
    }
  })
}

function ownerOf({ host }: Platform, text: string | null): FolderOwner | null {
  if (text === null) return null
  try {
    const owner = JSON.parse(text) as Record<string, unknown>
    const addresses = Array.isArray(owner['addresses']) ? owner['addresses'].map(String) : []
    const pid = Number(owner['pid'])
    const isRunning = owner['bootId'] === host.bootId && host.isRunning(pid, textOf(owner['startTime']))
    return { pid, host: textOf(owner['host']), addresses, isRunning }
  } catch {
    return null
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
