/**
 * What a seed makes of a history: which features, sizes and troubles it has. Each seed takes some and leaves out others,
 * because a history with everything in it seldom gets anywhere (swarm testing).
 */
import type { Prng } from '../../lib/prng.ts'
import { type LogStoreOptions, logStoreOptionsDefault } from '../../store/log-store-options.ts'
import { type ExchangeFacts, type QueueRules, usualRules } from './facts.ts'
import type { LevelPlan } from './level.ts'

/** The ways a client can spend its time, and how often it does relative to the others. */
export interface Weights {
  publish: number
  settle: number
  requeue: number
  get: number
  consume: number
  cancel: number
  topology: number
  purge: number
  transaction: number
  commit: number
  recover: number
  channel: number
  session: number
  flow: number
  mistake: number
}

export interface QueuePlan {
  readonly name: string
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly maxPriority: number
  readonly rules: QueueRules
}

export type Ending = 'close' | 'power' | 'process' | 'write-fault' | 'sync-fault'

export interface Plan {
  readonly transport: 'direct' | 'amqp'
  /** Everything is small, so that what happens to a hundred million messages happens to a hundred. */
  readonly storage: LogStoreOptions
  readonly level: LevelPlan
  readonly memoryBytesMax: number
  readonly diskLatencyMs: number
  readonly networkLatencyMs: number
  readonly incarnations: number
  readonly clients: number
  /** Client steps per incarnation. */
  readonly steps: number
  readonly weights: Weights
  readonly queues: readonly QueuePlan[]
  readonly exchanges: readonly ExchangeFacts[]
  readonly bodyBytesMax: number
  readonly hugeChance: number
  readonly persistentChance: number
  /** How many consumers need not acknowledge. */
  readonly noAckChance: number
  readonly idleChance: number
  /** How long a client thinks between two steps. */
  readonly thinkMsMax: number
  readonly probeChance: number
  readonly endings: readonly Ending[]
  /** How often a connection is reset or falls silent, per client step. */
  readonly networkTrouble: number
  /** How often the wall clock is set, or the process held up, per client step. */
  readonly clockTrouble: number
  readonly features: Features
}

/** What histories of later seeds have: see features.ts. */
export interface Features {
  /** One of these for each consumer. */
  readonly consumerPriorities: readonly number[]
  /** How often a message asks for copies under other keys. */
  readonly copyChance: number
  /** How often a binding leads to an exchange. */
  readonly exchangeBindChance: number
  /** Headers exchanges know more than `all` and `any`. */
  readonly hasWideHeaders: boolean
}

const noFeatures: Features = {
  consumerPriorities: [0],
  copyChance: 0,
  exchangeBindChance: 0.25,
  hasWideHeaders: false,
}

/** More than a history has. */
export const memoryBytesPlenty = 1_000_000_000

export function makePlan(prng: Prng, level: LevelPlan): Plan {
  const { durability, syncDelayMs, syncDelayBytesMax } = level
  return {
    level,
    transport: prng.chance(0.6) ? 'direct' : 'amqp',
    storage: { ...makeStorage(prng), durability, syncDelayMs, syncDelayBytesMax },
    memoryBytesMax: pick(prng, [memoryBytesPlenty, memoryBytesPlenty, memoryBytesPlenty, 100_000]),
    diskLatencyMs: pick(prng, [0, 0.2, 2, 2, 10]),
    networkLatencyMs: pick(prng, [0.1, 1, 5]),
    incarnations: 2 + prng.below(4),
    clients: 1 + prng.below(4),
    steps: pick(prng, [15, 40, 40, 100]),
    weights: makeWeights(prng),
    queues: makeQueues(prng),
    exchanges: makeExchanges(prng),
    bodyBytesMax: pick(prng, [0, 40, 600, 600, 3000]),
    hugeChance: pick(prng, [0, 0, 0.01, 0.05]),
    persistentChance: pick(prng, [1, 0.9, 0.5]),
    noAckChance: pick(prng, [0, 0.2, 0.8]),
    idleChance: pick(prng, [0, 0, 0.01, 0.05, 0.3]),
    thinkMsMax: pick(prng, [1, 4, 20]),
    probeChance: pick(prng, [0, 0.05, 0.2, 0.4]),
    endings: makeEndings(prng),
    networkTrouble: pick(prng, [0, 0, 0.005, 0.02]),
    clockTrouble: pick(prng, [0, 0, 0.01]),
    features: noFeatures,
  }
}

export function pick<T>(prng: Prng, choices: readonly T[]): T {
  return choices[prng.below(choices.length)] as T
}

export function makeStorage(prng: Prng): LogStoreOptions {
  return {
    ...logStoreOptionsDefault,
    segmentBytesMax: pick(prng, [4096, 4096, 8192, 16_384, 65_536]),
    windowBytesMax: pick(prng, [600, 2_000, 2_000, 20_000, memoryBytesPlenty]),
    pageBytesMax: pick(prng, [0, 300, 2_000, memoryBytesPlenty]),
    pageFileBytesMax: pick(prng, [200, 2_000, 60_000]),
    checkpointBytes: pick(prng, [500, 4_000, 20_000, memoryBytesPlenty]),
    deadBytesMax: pick(prng, [0, 2_000, 10_000, memoryBytesPlenty]),
    coldBytesMax: pick(prng, [1_000, 20_000]),
    compactionBytesPerSecond: pick(prng, [20_000, memoryBytesPlenty]),
    checkpointMs: pick(prng, [50, 1_000, 3_000]),
    // No time passes in a simulated computation: a slice never ends, or at once.
    sliceMs: pick(prng, [0, 1]),
    restMs: pick(prng, [0, 1, 20]),
  }
}

function makeWeights(prng: Prng): Weights {
  const maybe = (weight: number): number => (prng.chance(0.5) ? weight : 0)
  return {
    publish: pick(prng, [5, 20, 30, 60]),
    settle: pick(prng, [5, 20, 40]),
    requeue: maybe(6),
    get: maybe(6),
    consume: pick(prng, [2, 6, 15]),
    cancel: maybe(2),
    topology: pick(prng, [0, 2, 10]),
    purge: maybe(1),
    transaction: maybe(8),
    commit: maybe(8),
    recover: maybe(1),
    channel: maybe(2),
    session: maybe(1),
    flow: maybe(2),
    mistake: maybe(1),
  }
}

function makeQueues(prng: Prng): QueuePlan[] {
  const durableCount = 1 + prng.below(4)
  const queues: Omit<QueuePlan, 'rules'>[] = []
  for (let number = 0; number < durableCount; number++) {
    queues.push({ name: `durable-${number}`, durable: true, autoDelete: false, maxPriority: pick(prng, [0, 0, 2, 5]) })
  }
  if (prng.chance(0.4))
    queues.push({ name: 'transient', durable: false, autoDelete: false, maxPriority: pick(prng, [0, 3]) })
  if (prng.chance(0.3)) queues.push({ name: 'durable-auto', durable: true, autoDelete: true, maxPriority: 0 })
  if (prng.chance(0.2)) queues.push({ name: 'transient-auto', durable: false, autoDelete: true, maxPriority: 0 })
  return queues.map((queue) => ({ ...queue, rules: usualRules }))
}

function makeExchanges(prng: Prng): ExchangeFacts[] {
  const exchanges: Omit<ExchangeFacts, 'alternate'>[] = []
  for (const kind of ['direct', 'fanout', 'topic', 'headers']) {
    if (prng.chance(0.4)) exchanges.push({ name: `${kind}`, kind, durable: true, autoDelete: false, internal: false })
  }
  if (prng.chance(0.2)) {
    exchanges.push({ name: 'fanout-transient', kind: 'fanout', durable: false, autoDelete: false, internal: false })
  }
  if (prng.chance(0.3)) {
    exchanges.push({ name: 'topic-auto', kind: 'topic', durable: true, autoDelete: true, internal: false })
  }
  if (prng.chance(0.2)) {
    exchanges.push({ name: 'fanout-internal', kind: 'fanout', durable: true, autoDelete: false, internal: true })
  }
  return exchanges.map((exchange) => ({ ...exchange, alternate: null }))
}

function makeEndings(prng: Prng): Ending[] {
  const endings: Ending[] = ['power', 'power', 'process', 'close']
  if (prng.chance(0.4)) endings.push('sync-fault', 'sync-fault')
  if (prng.chance(0.4)) endings.push('write-fault', 'write-fault')
  return endings
}
