/** What the caller of a log decides, and what it is told. */
import type { BackgroundSyncOptions } from './background-sync.ts'
import type { LogError } from './log-error.ts'

export interface LogOptions extends BackgroundSyncOptions {
  /** Frames are not synced one by one, but in the background. */
  readonly defersSync: boolean
  /** A segment that has reached this length is followed by a new one; a frame is never divided. */
  readonly segmentBytesMax: number
  /** Opens a damaged log and leaves out exactly what is damaged, instead of refusing. */
  readonly salvage: boolean
  /** Nothing that is written will be kept: the folder is only looked at. */
  readonly readsOnly?: boolean
  /** The folder may be on a network file system; whoever says so sees to it that no other machine opens it. */
  readonly networkFolder?: boolean
  /** After this long without a batch a SYNCED frame proves the last one durable. */
  readonly idleSyncedMs: number
  /** How often a failed write is tried again. */
  readonly retryMs: number
}

export const logOptionsDefault: LogOptions = {
  segmentBytesMax: 64 * 1024 * 1024,
  salvage: false,
  idleSyncedMs: 1000,
  retryMs: 1000,
  defersSync: false,
  syncDelayMs: 1000,
  syncDelayBytesMax: 64 * 1024 * 1024,
}

export interface LogEvents {
  /** Every frame up to this one is durable. */
  durable(lsn: number): void
  /** Where syncing is put off: every frame up to this one is written, and survives the process. */
  written(lsn: number): void
  /** Writing does not work at the moment; what was appended waits in memory. */
  stalled(error: Error): void
  resumed(): void
  /** The end: what is not durable by now never will be, as far as this log can tell. */
  failed(error: LogError): void
}
