/** What opening a log found and did, for people. */
import type { Damage } from './damage.ts'

export interface RecoveryReport {
  segments: number
  frames: number
  records: number
  bytes: number
  durationMs: number
  /** Frames that were valid but not known to be durable, and were written again. */
  reappendedFrames: number
  tornBytes: number
  /** Files made in quarantine/. */
  quarantined: string[]
  /** Segments that a retirement had given up and whose deletion was finished. */
  removed: string[]
  /** What was left out; always empty unless salvage was asked for. */
  damages: Damage[]
  /** Harmless, but worth telling: a lost copy of a header. */
  notes: string[]
}

/** The lists are filled by those who make them. */
export function emptyReport(quarantined: string[], damages: Damage[]): RecoveryReport {
  return {
    segments: 0,
    frames: 0,
    records: 0,
    bytes: 0,
    durationMs: 0,
    reappendedFrames: 0,
    tornBytes: 0,
    quarantined,
    removed: [],
    damages,
    notes: [],
  }
}
