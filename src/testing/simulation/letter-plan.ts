/** What a seed makes of a history of letters: which queues get rid of what, and how much goes wrong. */
import type { Prng } from '../../lib/prng.ts'
import type { LogStoreOptions } from '../../store/log-store.ts'
import type { LetterQueue } from './letter.ts'
import { type Ending, makeStorage, pick } from './plan.ts'

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
}

const forever = Number.POSITIVE_INFINITY

export function makeLetterPlan(prng: Prng): LetterPlan {
  return {
    storage: makeStorage(prng),
    diskLatencyMs: pick(prng, [0, 0.2, 2, 10]),
    incarnations: 2 + prng.below(3),
    clients: 1 + prng.below(3),
    steps: pick(prng, [15, 30, 60]),
    queues: makeQueues(prng),
    keys: pick(prng, [1, 2, 5]),
    expirationsMs: pick(prng, [[forever], [forever, 0, 30], [forever, 10, 300, 3000], [20, 400]]),
    bodyBytesMax: pick(prng, [10, 200, 1500]),
    thinkMsMax: pick(prng, [1, 5, 30]),
    idleChance: pick(prng, [0, 0.05, 0.2]),
    probeChance: pick(prng, [0.05, 0.2]),
    rejectChance: pick(prng, [0.1, 0.4]),
    noAckChance: pick(prng, [0, 0, 0.3]),
    endings: ['power', 'power', 'process', 'close'],
    clockTrouble: pick(prng, [0, 0, 0.02]),
  }
}

/** Where each leads is chosen freely: round in circles, to itself, or to a queue that is not there. */
function makeQueues(prng: Prng): LetterQueue[] {
  const names = Array.from({ length: 2 + prng.below(3) }, (_, number) => `q${number}`)
  return names.map((name) => ({
    name,
    ttlMs: pick(prng, [forever, forever, 15, 150, 1500]),
    keyed: pick(prng, [0, 0, 1, 1, 2]),
    deadTo: prng.chance(0.15) ? null : pick(prng, [...names, ...names, 'nowhere']),
  }))
}
