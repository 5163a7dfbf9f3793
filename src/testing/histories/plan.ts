/** What the seed of any history decides beforehand: how many lives its broker has, how each of them ends, and what goes wrong. */

/** The process in a slot dies when so many things have happened, and another one takes its place. */
export interface DeathPlan {
  readonly slot: number
  readonly afterLines: number
  readonly backAfterMs: number
}

export interface DiskFullPlan {
  readonly atMs: number
  readonly forMs: number
}

export interface LifePlan {
  readonly deaths: readonly DeathPlan[]
  readonly end: 'crash' | 'restart' | 'close'
  /** It ends when so much time has gone by, or so many things have happened. */
  readonly endMs: number
  readonly endLines: number
  readonly syncDelayMs: number
  /** The share of sends that fail. */
  readonly failedShare: number
  readonly diskFull: DiskFullPlan | null
}

export interface HistoryPlan<Life extends LifePlan = LifePlan> {
  readonly seed: number
  readonly deliverAfter: 'accept' | 'sync'
  /** Processes at a time. */
  readonly slots: number
  readonly lives: readonly Life[]
}
