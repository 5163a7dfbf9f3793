/** What may be decided about a store that survives. */
import { type LogOptions, logOptionsDefault } from '../log/log-options.ts'
import type { Durability } from '../model/durability.ts'
import { limits } from '../model/limits.ts'
import type { BodiesOptions } from './bodies.ts'
import type { CheckpointOptions } from './checkpointer.ts'
import type { CompactionOptions } from './compactor.ts'
import type { PageFilesOptions } from './page-files.ts'

export interface LogStoreOptions extends PageFilesOptions, CheckpointOptions, CompactionOptions, BodiesOptions {
  readonly segmentBytesMax: number
  /** Memory for messages that could be read from the disk again. */
  readonly windowBytesMax: number
  /** Publishers are blocked when the disk has less room than that. */
  readonly diskFreeBytesMin: number
  /** Room that is kept to be given back when there is none left; 0: none. */
  readonly reserveBytes: number
  /** Skip what is corrupt, and say so, instead of refusing the folder. */
  readonly salvage: boolean
  readonly durability: Durability
  /** For levels that put syncing off: see log-options.ts. */
  readonly syncDelayMs: number
  readonly syncDelayBytesMax: number
  /** The folder may be on a network file system. */
  readonly networkFolder: boolean
}

export const logStoreOptionsDefault: LogStoreOptions = {
  segmentBytesMax: limits.segmentBytesMax,
  salvage: false,
  durability: 'fsync',
  syncDelayMs: limits.syncDelayMs,
  syncDelayBytesMax: limits.syncDelayBytesMax,
  networkFolder: false,
  windowBytesMax: limits.windowBytesMax,
  diskFreeBytesMin: limits.diskFreeBytesMin,
  reserveBytes: 0,
  bodyInlineBytesMax: limits.bodyInlineBytesMax,
  bodyChunkBytes: limits.bodyChunkBytes,
  pageBytesMax: limits.pageBytesMax,
  pageFileBytesMax: limits.segmentBytesMax,
  checkpointBytes: limits.checkpointBytes,
  checkpointMs: limits.checkpointMs,
  checkpointSoonMs: limits.checkpointSoonMs,
  deadBytesMax: limits.deadBytesMax,
  coldBytesMax: limits.segmentBytesMax,
  compactionBytesPerSecond: limits.compactionBytesPerSecond,
  sliceMs: limits.sliceMs,
  restMs: 0,
}

/** What of it the log has to know. */
export function logOptionsOf(options: LogStoreOptions): LogOptions {
  const { segmentBytesMax, salvage, networkFolder, durability, syncDelayMs, syncDelayBytesMax } = options
  return {
    segmentBytesMax,
    salvage,
    networkFolder,
    idleSyncedMs: logOptionsDefault.idleSyncedMs,
    retryMs: logOptionsDefault.retryMs,
    defersSync: durability !== 'fsync',
    syncDelayMs,
    syncDelayBytesMax,
  }
}
