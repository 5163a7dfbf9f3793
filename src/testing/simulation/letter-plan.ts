/** What a seed makes of a history of letters: which queues get rid of what, and how much goes wrong. */
import { Prng } from '../../lib/prng.ts'
import type { LogStoreOptions } from '../../store/log-store-options.ts'
import { type LetterQueue, type LetterRules, plainRules } from './letter.ts'
import { featureSeedsMin, type LevelPlan, makeLevel, usualSeedsMax } from './level.ts'
import { type Ending, makeStorage, memoryBytesPlenty, pick } from './plan.ts'

export interface LetterPlan {
  readonly storage: LogStoreOptions
  readonly diskLatencyMs: number
  readonly incarnations: number
  readonly clients: number
  readonly steps: number
  readonly queues: readonly LetterQueue[]
  readonly keys: number
  readonly expirationsMs: readonly number[]
  readonly bodyBytesMax: number
  readonly thinkMsMax: number
  readonly idleChance: number
  readonly probeChance: number
  readonly rejectChance: number
  readonly noAckChance: number
  readonly endings: readonly Ending[]
  /** How often the wall clock is set, per step of a client. */
  readonly clockTrouble: number
  readonly hardships: Hardships
  readonly features: LetterFeatures
}

/** What histories of later seeds have beside queues with rules. */
export interface LetterFeatures {
  /** How long an exchange keeps messages back, one of these for each; none: there is no such exchange. */
  readonly keptBackMs: readonly number[]
  /** How many channels have transactions. */
  readonly transactionChance: number
  /** How often what is not acknowledged comes back. */
  readonly requeueChance: number
  /** How long queues live that nobody uses; none: there are none. */
  readonly leasesMs: readonly number[]
}

const noFeatures: LetterFeatures = { keptBackMs: [], transactionChance: 0, requeueChance: 0.15, leasesMs: [] }

/** What histories up to seed 5,000 do not have. */
export interface Hardships {
  readonly level: LevelPlan
  readonly memoryBytesMax: number
  /** How long messages are hidden, one of these for each; none: nobody asks for that. */
  readonly delaysMs: readonly number[]
  /** How often a client empties or deletes a queue instead of doing nothing. */
  readonly emptyChance: number
  /** The highest of each queue. */
  readonly priorities: readonly number[]
  readonly transientChance: number
  readonly lossChance: number
}

const forever = Number.POSITIVE_INFINITY

export function makeLetterPlan(prng: Prng, seed: number): LetterPlan {
  const hardships = makeHardships(seed)
  const { durability, syncDelayMs, syncDelayBytesMax } = hardships.level
  const plan: LetterPlan = {
    storage: { ...makeStorage(prng), durability, syncDelayMs, syncDelayBytesMax },
    diskLatencyMs: pick(prng, [0, 0.2, 2, 10]),
    incarnations: 2 + prng.below(3),
    clients: 1 + prng.below(3),
    steps: pick(prng, [15, 30, 60]),
    queues: makeQueues(prng, hardships.priorities),
    keys: pick(prng, [1, 2, 5]),
    expirationsMs: pick(prng, [[forever], [forever, 0, 30], [forever, 10, 300, 3000], [20, 400]]),
    bodyBytesMax: pick(prng, [10, 200, 1500]),
    thinkMsMax: pick(prng, [1, 5, 30]),
    idleChance: pick(prng, [0, 0.05, 0.2]),
    probeChance: pick(prng, [0.05, 0.2]),
    rejectChance: pick(prng, [0.1, 0.4]),
    noAckChance: pick(prng, [0, 0, 0.3]),
    endings: makeEndings(seed),
    clockTrouble: pick(prng, [0, 0, 0.02]),
    hardships,
    features: noFeatures,
  }
  return seed < featureSeedsMin ? plan : withFeatures(plan, seed)
}

/** Drawn from a generator of its own, too. */
function withFeatures(plan: LetterPlan, seed: number): LetterPlan {
  const prng = new Prng((seed ^ 0xfea7) >>> 0)
  const features = {
    keptBackMs: pick(prng, [[], [0, 0, 50, 700], [0, 3_000], [10, 100, 20_000]]),
    transactionChance: pick(prng, [0, 0.3, 0.6]),
    requeueChance: pick(prng, [0.15, 0.5]),
    leasesMs: pick(prng, [[], [], [200, 1_500], [50, 4_000, 70_000]]),
  }
  const queues = plan.queues.map((queue) => {
    const rules = makeRules(prng)
    // Priorities are for classic queues.
    return { ...queue, rules, maxPriority: rules.deliveryLimit === null ? queue.maxPriority : 0 }
  })
  return { ...plan, queues, features }
}

function makeRules(prng: Prng): LetterRules {
  const isCounted = prng.chance(0.4)
  const limits = { messagesMax: forever, bytesMax: forever }
  if (prng.chance(0.6)) limits.messagesMax = pick(prng, [0, 1, 2, 4, 10, 30])
  if (prng.chance(0.15)) limits.bytesMax = pick(prng, [1, 300, 3_000])
  return {
    ...limits,
    overflow: pick(prng, ['drop-head', 'drop-head', 'drop-head', 'reject-publish', 'reject-publish-dlx']),
    deliveryLimit: isCounted ? pick(prng, [0, 1, 2, 5]) : null,
  }
}

/** Drawn from a generator of its own: histories that others have seeds for stay what they were. */
function makeHardships(seed: number): Hardships {
  const level = makeLevel(seed)
  if (seed <= usualSeedsMax) {
    return {
      level,
      memoryBytesMax: Number.MAX_SAFE_INTEGER,
      delaysMs: [],
      emptyChance: 0,
      priorities: [],
      transientChance: 0,
      lossChance: 0,
    }
  }
  const prng = new Prng((seed ^ 0xde1a) >>> 0)
  return {
    level,
    memoryBytesMax: pick(prng, [memoryBytesPlenty, memoryBytesPlenty, 20_000]),
    delaysMs: pick(prng, [
      [0, 0, 5, 40, 700],
      [0, 16, 300, 3_000],
      [0, 0, 0, 1_100, 20_000],
      [100, 2_000, 90_000],
    ]),
    emptyChance: pick(prng, [0, 0.2, 0.6]),
    priorities: [0, 1, 2, 3].map(() => pick(prng, [0, 0, 2])),
    transientChance: pick(prng, [0, 0, 0.3]),
    lossChance: 0.5,
  }
}

function makeEndings(seed: number): Ending[] {
  const endings: Ending[] = ['power', 'power', 'process', 'close']
  if (seed <= usualSeedsMax) return endings
  const prng = new Prng((seed ^ 0xe4d5) >>> 0)
  if (prng.chance(0.4)) endings.push('sync-fault')
  if (prng.chance(0.4)) endings.push('write-fault', 'write-fault')
  return [...endings, 'close']
}

/** Where each leads is chosen freely: round in circles, to itself, or to a queue that is not there. */
function makeQueues(prng: Prng, priorities: readonly number[]): LetterQueue[] {
  const names = Array.from({ length: 2 + prng.below(3) }, (_, number) => `q${number}`)
  return names.map((name, at) => ({
    name,
    ttlMs: pick(prng, [forever, forever, 15, 150, 1500]),
    keyed: pick(prng, [0, 0, 1, 1, 2]),
    maxPriority: priorities[at] ?? 0,
    deadTo: prng.chance(0.15) ? null : pick(prng, [...names, ...names, 'nowhere']),
    rules: plainRules,
  }))
}
