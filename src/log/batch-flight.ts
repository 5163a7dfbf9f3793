/**
 * The way of a batch to the disk: it is written to its segment, whose file is made for it if need be, and synced.
 *
 *     begin ──▶ write ──▶ sync ──────────────────▶ landed, durable
 *               ▲  │ └──▶ the sync is put off ───▶ landed, written      background-sync.ts
 *               │  └─ fails
 *               └──── stalled, in another segment or under another salt
 *
 * A sync that fails is the end: see segmented-log.ts.
 */
import { assert } from '../lib/assert.ts'
import type { DiskFile } from '../platform/disk.ts'
import type { Platform } from '../platform/platform.ts'
import type { BackgroundSync } from './background-sync.ts'
import type { Batch } from './batch.ts'
import { LogError, storageFailed } from './log-error.ts'
import { framesStart } from './segment.ts'
import type { SegmentSet } from './segment-set.ts'
import { isSystemError } from './small-file.ts'

/** The log whose batches these are. */
export interface FlyingLog {
  /** The batch is in its file, synced or not; `wasStalled`: at last. */
  landed(batch: Batch, isSynced: boolean, wasStalled: boolean): void
  /** Up to that frame all is in the file; its sync is under way. */
  written(lsn: number): void
  /** Another than `from`, or the same one under another salt, is now the batch's segment. */
  moved(batch: Batch, from: Batch['segment']): void
  /** Writing has begun to fail. */
  stalled(error: Error): void
  /** The end. */
  failed(error: LogError): void
}

export class BatchFlight {
  /** Null: the next one may begin. */
  batch: Batch | null = null
  /** Settles when the batch has landed, stalled or failed; never rejects. */
  settled: Promise<void> = Promise.resolve()
  /** Why writing does not work at the moment. */
  stall: Error | null = null
  private readonly platform: Platform
  private readonly set: SegmentSet
  private readonly retryMs: number
  /** Null where every batch is synced before it has landed. */
  private readonly background: BackgroundSync | null
  private readonly log: FlyingLog
  private cancelRetry: (() => void) | null = null
  /** No sync is put off any more, and no write tried again by itself. */
  private isClosing = false
  private isOver = false

  constructor(platform: Platform, set: SegmentSet, retryMs: number, background: BackgroundSync | null, log: FlyingLog) {
    this.platform = platform
    this.set = set
    this.retryMs = retryMs
    this.background = background
    this.log = log
  }

  begin(batch: Batch): void {
    assert(this.batch === null, 'one batch is in flight at a time')
    this.batch = batch
    this.settled = this.fly(batch)
  }

  /** Once more, at once, after a write that failed. */
  retry(): void {
    this.forgetRetry()
    assert(this.batch !== null, 'a stalled log has a batch in flight')
    this.settled = this.fly(this.batch)
  }

  /** The log is about to close. */
  closing(): void {
    this.isClosing = true
    this.forgetRetry()
  }

  /** The log has failed: whatever is under way is told to nobody. */
  end(): void {
    this.isOver = true
    this.forgetRetry()
  }

  private async fly(batch: Batch): Promise<void> {
    const { disk } = this.platform
    const { segment } = batch
    const isNew = segment !== this.set.tail
    let { file } = segment
    // A segment says of everything before it that it is durable.
    if (isNew && this.background !== null) {
      await this.background.settle()
      if (this.isOver) return
    }
    try {
      file = isNew ? await this.set.create(segment, batch.lsn) : (file as DiskFile)
      await file.write(batch.buffer, 0, batch.usedBytes, batch.offset)
    } catch (error) {
      if (isSystemError(error)) this.stop(batch, error)
      else this.log.failed(error instanceof LogError ? error : storageFailed(this.set.folder, 'writing failed', error))
      return
    }
    if (this.background !== null && (await this.putOff(batch, this.background))) return
    try {
      await file.sync()
      if (isNew) await disk.syncDirectory(this.set.directory)
    } catch (error) {
      this.log.failed(storageFailed(this.set.folder, 'syncing to disk failed', error))
      return
    }
    this.land(batch, true)
  }

  /** The batch is written. Its sync is put off, or the log has failed meanwhile: then it is done with. */
  private async putOff(batch: Batch, background: BackgroundSync): Promise<boolean> {
    if (this.isOver) return true
    const { lsn, usedBytes } = batch
    // The files of what it gives up go when it is durable; see background-sync.ts for the others.
    const isDue = batch.segment !== this.set.tail || batch.retiring.length > 0 || this.isClosing
    if (!isDue && !background.isDue(lsn, usedBytes)) {
      this.land(batch, false)
      return true
    }
    background.writtenLsn = lsn
    this.log.written(lsn)
    await background.hold()
    return this.isOver
  }

  private land(batch: Batch, isSynced: boolean): void {
    if (this.isOver) return
    const wasStalled = this.stall !== null
    this.set.landed(batch.segment, batch.offset + batch.usedBytes, batch.crc)
    this.batch = null
    this.stall = null
    this.log.landed(batch, isSynced, wasStalled)
  }

  /** A write failed. */
  private stop(batch: Batch, error: Error): void {
    if (this.isOver) return
    const from = batch.segment
    if (from === this.set.tail) batch.move(this.set.planRefuge(batch.lsn), framesStart)
    else {
      // The new segment itself could not be made: again, under the same name, but not under the same salt.
      from.renewSalt(this.set.newSalt())
      batch.move(from, batch.offset)
    }
    this.log.moved(batch, from)
    batch.reseal()
    const isFirst = this.stall === null
    this.stall = error
    if (!this.isClosing) this.cancelRetry = this.platform.clock.setTimer(this.retryMs, () => this.retry())
    if (isFirst) this.log.stalled(error)
  }

  private forgetRetry(): void {
    this.cancelRetry?.()
    this.cancelRetry = null
  }
}
