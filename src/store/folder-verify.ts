/**
 * Checks every byte of a folder that matters, without changing one:
 *
 *     FORMAT           its checksum
 *     segments         both headers, the chain, every frame, every record: recovery's own judgement, from the first frame
 *     cold segments    both headers, every record
 *     checkpoints      whole or not
 *     page files       every page that a checkpoint names
 *     what lives       every entry of the indexes, as opening the folder would leave them, has its record
 *     bodies           every chunk of those that what lives refers to
 */
import { coldFlags, coldName, makeColdSegment } from '../log/cold-segment.ts'
import { openFormat } from '../log/format-file.ts'
import { checkRecord, recordHeaderBytes } from '../log/frame.ts'
import { LogError } from '../log/log-error.ts'
import { recover } from '../log/recovery.ts'
import {
  decodeSegmentHeader,
  framesStart,
  headerCopyOffset,
  type Segment,
  type SegmentHeader,
  segmentIdOf,
} from '../log/segment.ts'
import { SegmentReader } from '../log/segment-reader.ts'
import type { Platform } from '../platform/platform.ts'
import type { Checkpoint, ColdFacts } from './checkpoint-file.ts'
import { checkBodies } from './folder-bodies.ts'
import { EntryCheck } from './folder-entries.ts'
import { type Finding, Findings } from './folder-findings.ts'
import { checkPages } from './folder-pages.ts'
import { routesIfAny } from './folder-records.ts'
import { FolderState } from './folder-state.ts'
import type { FolderView } from './folder-view.ts'

const searchBytesMax = 4 * 1024 * 1024
/** Of a longer stretch of damage only the beginning is looked through for messages. */
const affectedBytesMax = 256 * 1024 * 1024

export interface FileVerdict {
  readonly file: string
  /** Null: it should be there and is not. */
  readonly bytes: number | null
  readonly status: 'ok' | 'damaged' | 'torn' | 'missing'
  readonly findings: readonly Finding[]
}

export interface VerifyReport {
  readonly directory: string
  readonly files: readonly FileVerdict[]
  /** Places at which something is damaged; more than `files` tells if there are very many. */
  readonly damages: number
  /** Messages in queues whose records were looked at, and those of them that cannot be read. */
  readonly messages: number
  readonly messagesLost: number
}

/** Rejects with E_FORMAT_UNSUPPORTED for what this version cannot judge. */
export async function verifyFolder(platform: Platform, view: FolderView): Promise<VerifyReport> {
  return await new Verification(platform, view).run()
}

class Verification {
  private readonly platform: Platform
  private readonly view: FolderView
  private readonly findings = new Findings()
  private segments: readonly Segment[] = []
  private torn: { readonly file: string; readonly offset: number; readonly name: string } | null = null
  private readonly reader = new SegmentReader()

  constructor(platform: Platform, view: FolderView) {
    this.platform = platform
    this.view = view
  }

  async run(): Promise<VerifyReport> {
    const { view, findings } = this
    await this.checkFormat()
    await this.checkHeaders()
    await this.checkLog()
    this.checkCheckpoints()
    const checkpoint = view.checkpoint?.checkpoint ?? null
    // The older one is what there is if the newer one is damaged one day.
    const usable = view.checkpoints.flatMap((found) =>
      found.checkpoint === null || found.missing.length > 0 ? [] : [found.checkpoint],
    )
    await checkPages(view, usable, findings)
    const cold = new Map(usable.flatMap((one) => one.cold.map((facts) => [facts.number, facts] as const)))
    for (const facts of cold.values()) await this.checkCold(facts)
    const checked = await this.checkWhatLives(checkpoint)
    return {
      directory: view.directory,
      files: this.verdicts(),
      damages: findings.damages,
      messages: checked,
      messagesLost: findings.messages,
    }
  }

  private async checkFormat(): Promise<void> {
    const { view } = this
    try {
      await openFormat(view.fork().platform(this.platform), view.directory, true, { readsOnly: true })
    } catch (error) {
      this.noteCorrupt(error)
    }
  }

  /** Recovery needs one of the two copies, but both are to be right. */
  private async checkHeaders(): Promise<void> {
    const { view, findings } = this
    for (const { name } of view.files) {
      const id = segmentIdOf(name.slice(4))
      if (!name.startsWith('log/') || id === 0) continue
      const headers = await this.headersOf(name, id)
      const bad = headers.indexOf(null)
      if (bad === -1 || headers.every((header) => header === null)) continue
      const detail = 'this copy of its header is damaged; the other one is used'
      findings.add('damage', name, bad * headerCopyOffset, framesStart / 2, detail)
    }
  }

  /** Both copies, null for what is not one. */
  private async headersOf(name: string, id: number): Promise<(SegmentHeader | null)[]> {
    const head = Buffer.alloc(framesStart)
    await this.view.readAt(name, head, 0, head.length, 0)
    return [0, headerCopyOffset].map((at) => {
      const header = decodeSegmentHeader(head, at)
      return header?.id === id ? header : null
    })
  }

  /** Reads the log from its first frame, as recovery would do without a checkpoint. */
  private async checkLog(): Promise<void> {
    const { view, findings } = this
    const sink = { record: (): void => {}, frameEnd: (): void => {} }
    const seen = view.fork().platform(this.platform)
    const { segments, report } = await recover(seen, view.directory, true, sink, null, false, 0)
    this.segments = segments
    for (const { file, offset, bytes, detail } of report.damages) this.damage(file, offset, bytes, detail)
    for (const name of report.quarantined) {
      const torn = /^(\d{10}\.log)\.[0-9a-f]+\.(\d+)\.torn$/.exec(name)
      const unborn = /^(\d{10}\.log)\.\d+$/.exec(name)
      if (torn !== null) this.torn = { file: `log/${torn[1]}`, offset: Number(torn[2]), name }
      if (unborn !== null) {
        findings.add('torn', `log/${unborn[1]}`, 0, 0, 'it was just being made; nothing in it was confirmed')
      }
    }
    for (const name of report.removed) {
      findings.add('note', `log/${name}`, 0, 0, 'it was given up and goes with the next opening')
    }
  }

  /** The first frame that is not whole: torn only if recovery, which knows what a checkpoint proves, says so, too. */
  private judgeTorn(quarantined: readonly string[] | null): void {
    const { torn, findings } = this
    if (torn === null) return
    const { file, offset, name } = torn
    const bytes = (this.view.files.find((one) => one.name === file)?.bytes ?? offset) - offset
    if (quarantined === null || quarantined.includes(name)) {
      const isDeferred = this.segments.some(({ path, isDeferred }) => isDeferred && path.endsWith(file))
      const why = isDeferred
        ? 'what was written last was not synced, and is lost in part'
        : 'the last write was not finished, so nothing in it was confirmed'
      findings.add('torn', file, offset, bytes, `${why}; opening the folder sets it aside`)
    } else if (!findings.of(file).some((one) => one.kind === 'damage' && one.offset === offset)) {
      findings.add('damage', file, offset, bytes, 'no valid frame is there, but a checkpoint says that one was')
    }
  }

  private checkCheckpoints(): void {
    const { findings, view } = this
    for (const { name, checkpoint, missing } of view.checkpoints) {
      if (checkpoint === null) {
        findings.add('damage', `ckpt/${name}`, 0, 0, 'the checkpoint is not whole; the one before it is used')
      }
      for (const file of missing) findings.add('damage', file, 0, 0, `the file is missing; ckpt/${name} names it`)
    }
  }

  private async checkCold(facts: ColdFacts): Promise<void> {
    const { findings, view } = this
    const name = `cold/${coldName(facts.number)}`
    const bytes = view.files.find((file) => file.name === name)?.bytes
    // It goes when nothing lives in it any more, which checkpoints need not know; if something does, its queue will tell.
    if (bytes === undefined) return
    const segment = makeColdSegment(`${view.directory}/cold`, facts.number, facts.epoch, facts.salt)
    const headers = await this.headersOf(name, segment.id)
    for (const [which, header] of headers.entries()) {
      const isRight = header !== null && header.flags === coldFlags && header.salt.equals(facts.salt)
      const detail = 'this copy of its header is damaged; the checkpoint says the same'
      if (!isRight) findings.add('damage', name, which * headerCopyOffset, framesStart / 2, detail)
    }
    if (bytes < facts.bytes) {
      findings.add('damage', name, bytes, 0, `it ends here, but was ${facts.bytes} bytes long at the last checkpoint`)
    }
    await this.checkColdRecords(name, segment, Math.min(bytes, facts.bytes))
  }

  private async checkColdRecords(name: string, segment: Segment, limit: number): Promise<void> {
    const { reader } = this
    reader.begin(await this.view.open(segment.path, 'read'), limit)
    for (let offset = framesStart; offset < limit; ) {
      const end = await this.coldRecordEnd(segment, offset, limit)
      if (end !== -1) {
        offset = end
        continue
      }
      const next = await this.findColdRecord(segment, offset + 1, limit)
      this.findings.add('damage', name, offset, next - offset, 'the record does not match its checksum and address')
      offset = next
    }
  }

  /** Where the record at `offset` ends; -1 if there is no whole one. */
  private async coldRecordEnd(segment: Segment, offset: number, limit: number): Promise<number> {
    const { reader } = this
    if (offset + recordHeaderBytes > limit) return -1
    let at = await reader.load(offset, recordHeaderBytes)
    if (at === -1) return -1
    const bytes = recordHeaderBytes + reader.buffer.readUInt32LE(at + 4)
    if (offset + bytes > limit) return -1
    at = await reader.load(offset, bytes)
    if (at === -1) return -1
    const end = checkRecord(reader.buffer, at, at + bytes, segment.saltCrc, segment.id, offset)
    return end === -1 ? -1 : offset + bytes
  }

  /** The next place at which a whole record stands; `limit` if there is none. */
  private async findColdRecord(segment: Segment, from: number, limit: number): Promise<number> {
    const { reader } = this
    for (let offset = from; offset + recordHeaderBytes <= limit; ) {
      const wanted = Math.min(searchBytesMax, limit - offset)
      const at = await reader.load(offset, wanted)
      if (at === -1) return limit
      // All at once: looking at one moves the reader's window.
      const places = [...placesOf(reader.buffer, at, at + wanted, segment.id, offset)]
      for (const place of places) {
        if ((await this.coldRecordEnd(segment, place, limit)) !== -1) return place
      }
      offset += wanted - recordHeaderBytes + 1
    }
    return limit
  }

  /** Returns how many entries were looked at. */
  private async checkWhatLives(checkpoint: Checkpoint | null): Promise<number> {
    const { view, findings } = this
    let state: FolderState
    try {
      state = await FolderState.load(this.platform, view)
    } catch (error) {
      this.noteCorrupt(error)
      this.judgeTorn(null)
      return 0
    }
    const { report, unknown } = state
    for (const { file, offset, bytes, detail } of report.damages) this.damage(file, offset, bytes, detail)
    if (unknown !== null) this.damage(unknown.path, unknown.offset, 0, unknown.detail)
    this.judgeTorn(report.quarantined)
    const check = new EntryCheck(state, findings)
    await check.run()
    await checkBodies(state, findings)
    for (const finding of findings.list) await this.findAffected(finding, checkpoint, state)
    await state.close()
    return check.checked
  }

  /** Which messages damaged records still name. */
  private async findAffected(finding: Finding, checkpoint: Checkpoint | null, state: FolderState): Promise<void> {
    const { file, offset, bytes, kind } = finding
    const segment = this.segmentOf(file, checkpoint)
    if (kind !== 'damage' || segment === null || bytes === 0 || !this.view.has(file)) return
    const buffer = Buffer.allocUnsafeSlow(Math.min(bytes, affectedBytesMax))
    const read = await this.view.readAt(file, buffer, 0, buffer.length, offset)
    for (const place of placesOf(buffer, 0, read, segment.id, offset)) {
      const at = place - offset
      // The index knows better than a damaged record.
      if (finding.messages.some((message) => message.waits && message.offset === place)) continue
      if (checkRecord(buffer, at, read, segment.saltCrc, segment.id, place) !== -1) continue
      const payloadStart = at + recordHeaderBytes
      const payloadEnd = Math.min(read, payloadStart + buffer.readUInt32LE(at + 4))
      const headerEnd = Math.min(payloadEnd, payloadStart + buffer.readUInt32LE(at + 12))
      const routes = routesIfAny({ type: buffer[at + 8] as number, buffer, payloadStart, headerEnd, payloadEnd })
      for (const { queueId, sequence } of routes) {
        if (!state.isKnown(queueId, sequence)) continue
        this.findings.affect(finding, { queue: state.nameOf(queueId), sequence, offset: place, waits: false })
      }
    }
  }

  private segmentOf(file: string, checkpoint: Checkpoint | null): Segment | null {
    if (file.startsWith('log/')) {
      return this.segments.find(({ path }) => path === `${this.view.directory}/${file}`) ?? null
    }
    const facts = checkpoint?.cold.find(({ number }) => file === `cold/${coldName(number)}`)
    if (facts === undefined) return null
    return makeColdSegment(`${this.view.directory}/cold`, facts.number, facts.epoch, facts.salt)
  }

  private damage(path: string, offset: number, bytes: number, detail: string): void {
    const { directory } = this.view
    const file = path.startsWith(`${directory}/`) ? path.slice(directory.length + 1) : path
    this.findings.add('damage', file, offset, bytes, detail)
  }

  private noteCorrupt(error: unknown): void {
    if (!(error instanceof LogError) || error.code !== 'E_STORAGE_CORRUPT') throw error
    this.damage(error.file ?? this.view.directory, error.offset ?? 0, 0, error.detail ?? error.message)
  }

  private verdicts(): FileVerdict[] {
    const { view, findings } = this
    const verdicts = view.files.map(({ name, bytes }): FileVerdict => {
      const found = findings.of(name)
      return { file: name, bytes, status: statusOf(found), findings: found }
    })
    for (const file of findings.files) {
      if (view.files.some(({ name }) => name === file)) continue
      verdicts.push({ file, bytes: null, status: 'missing', findings: findings.of(file) })
    }
    return verdicts
  }
}

function statusOf(findings: readonly Finding[]): FileVerdict['status'] {
  if (findings.some(({ kind }) => kind === 'damage')) return 'damaged'
  return findings.some(({ kind }) => kind === 'torn') ? 'torn' : 'ok'
}

/** Where in `buffer[start, end)`, which begins at `offset` of the file, something says that it is a record of that place. */
function* placesOf(buffer: Buffer, start: number, end: number, segmentId: number, offset: number): Generator<number> {
  for (let at = start; at + recordHeaderBytes <= end; at++) {
    const place = offset + at - start
    if (buffer.readUInt32LE(at + 16) === segmentId && buffer.readUInt32LE(at + 20) === place) yield place
  }
}
