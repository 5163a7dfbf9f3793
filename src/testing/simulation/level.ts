/**
 * What a level of durability promises, in the words of a history: how many frames are there after a crash at least, what
 * a confirm may be said of, and by when what is written is durable.
 */
import { Prng } from '../../lib/prng.ts'
import type { DeliverAfter, Durability } from '../../model/durability.ts'
import type { SimDisk } from '../sim-disk.ts'
import type { Candidate } from './fact-journal.ts'

export interface LevelPlan {
  readonly durability: Durability
  readonly deliverAfter: DeliverAfter
  readonly syncDelayMs: number
  readonly syncDelayBytesMax: number
}

/** The log's word for how far it is. */
export interface LogEnds {
  readonly openLsn: number
  readonly writtenLsn: number
  readonly durableLsn: number
}

/** Seeds up to this one know the usual level alone: they find what they found before there were others. */
export const usualSeedsMax = 5_000

/** From this one on histories have what programs written for RabbitMQ declare; those before stay what they were. */
export const featureSeedsMin = 10_000_001

/** Drawn from a generator of its own: the rest of a history is the same at every level. */
export function makeLevel(seed: number): LevelPlan {
  const prng = new Prng((seed ^ 0x1eaf) >>> 0)
  const plan = {
    syncDelayMs: pick(prng, [5, 50, 1_000]),
    syncDelayBytesMax: pick(prng, [1_000, 20_000, 1_000_000_000]),
  }
  if (seed <= usualSeedsMax || prng.chance(0.3)) return { ...plan, durability: 'fsync', deliverAfter: 'accept' }
  return {
    ...plan,
    durability: pick(prng, ['fsync', 'write', 'write', 'none']),
    deliverAfter: pick(prng, ['accept', 'accept', 'sync']),
  }
}

/** What a crash that is over leaves of the candidates: everything up to a frame that was safe from it. */
export function atLeast(candidates: readonly Candidate[], lsn: number): readonly Candidate[] {
  let from = 0
  while (from + 1 < candidates.length && (candidates[from + 1] as Candidate).lsn <= lsn) from++
  return candidates.slice(from)
}

/**
 * The last frame that a crash must leave: at every level what is synced, and what is written if the power stays on. After
 * a failed sync the system may show again what was there before.
 */
export function safeLsn(log: LogEnds, isProcessOnly: boolean, hasFailed: boolean): number {
  return isProcessOnly && !hasFailed ? log.writtenLsn : log.durableLsn
}

/** Whether the disk has what a confirm is said of. */
export function isStored(disk: SimDisk, durability: Durability, paths: readonly string[], content: Buffer): boolean {
  if (durability === 'none') return true
  return paths.some((path) => {
    const there = durability === 'write' ? disk.contents(path) : disk.durableContents(path)
    return there.includes(content)
  })
}

/** Sees that what is written becomes durable in time. */
export class SyncWatch {
  private readonly limitMs: number
  private writtenLsn = 0
  private readonly written: { readonly lsn: number; readonly atMs: number }[] = []

  /** The slowest operation of the disk: before it begins a sync may have to wait for two others. */
  constructor({ syncDelayMs }: LevelPlan, diskLatencyMs: number) {
    this.limitMs = syncDelayMs + 5 * diskLatencyMs + 1
  }

  /** A new life. */
  reset(): void {
    this.writtenLsn = 0
    this.written.length = 0
  }

  /** The frame that should be durable by now and is not; 0 if there is none. */
  overdueLsn({ writtenLsn, durableLsn }: LogEnds, nowMs: number): number {
    if (writtenLsn > this.writtenLsn) {
      this.writtenLsn = writtenLsn
      this.written.push({ lsn: writtenLsn, atMs: nowMs })
    }
    while (this.written.length > 0 && (this.written[0]?.lsn ?? 0) <= durableLsn) this.written.shift()
    const [oldest] = this.written
    return oldest !== undefined && nowMs - oldest.atMs > this.limitMs ? oldest.lsn : 0
  }
}

function pick<T>(prng: Prng, choices: readonly T[]): T {
  return choices[prng.below(choices.length)] as T
}
