/** What the seed of a history of the typed API decides: the queues, who works at them and how, what is sent, and what goes wrong. */
import { Prng } from '../../../lib/prng.ts'
import type { DeathPlan, HistoryPlan, LifePlan } from '../plan.ts'

/** How the messages of a queue are worked at. */
export type WorkPlan =
  | {
      readonly way: 'process'
      readonly concurrency: number
      readonly prefetch: number
      /** Null: as long as it takes. */
      readonly leaseMs: number | null
    }
  | {
      readonly way: 'batch'
      readonly size: number
      readonly waitMs: number
      readonly concurrency: number
      readonly leaseMs: number | null
    }
  | { readonly way: 'receive'; readonly prefetch: number }

export interface QueuePlan {
  readonly name: string
  /** Its place in the chain: handlers send to later ones. */
  readonly number: number
  readonly keys: { readonly concurrency: number; readonly order: 'strict' | 'relaxed' } | null
  readonly retry: {
    readonly attempts: number
    readonly backoff: 'exponential' | 'fixed'
    readonly minMs: number
    readonly maxMs: number
    readonly jitter: boolean
  }
  readonly hasDeadLetters: boolean
  readonly hasPriorities: boolean
  /** What expires in it goes to the queue `expired`. */
  readonly keepsExpired: boolean
  /**
   * Ready messages at most, beyond which it refuses; null: as many as come. It is the last of the chain, and nothing in it is
   * tried again: a queue that is full refuses the copy, too, and its worker could only go round.
   */
  readonly maxLength: number | null
  readonly work: WorkPlan
}

/** What an attempt that does not end well does. */
export type Failure = 'throw' | 'retry' | 'give up' | 'outlast the lease'

/** What is special about a message, and what its handlers do. */
export interface LetterPlan {
  readonly queue: QueuePlan
  readonly key: string | null
  /** What the first attempts do; the one behind them ends well. */
  readonly failures: readonly Failure[]
  /** How long its handlers take; 0: they end as soon as they are called. */
  readonly workMs: number
  /** They send and emit nothing. */
  readonly isSilent: boolean
  /** Messages that they send to queues further on. */
  readonly children: number
  readonly emits: boolean
  readonly tellsProgress: boolean
  readonly receipt: 'none' | 'callbacks' | 'named'
  readonly isIdempotent: boolean
  readonly ttlMs: number | null
  readonly deadlineMs: number | null
  readonly delayMs: number
  readonly priority: number
}

export interface SendPlan {
  readonly atMs: number
  /** Which process. */
  readonly slot: number
  readonly letter: LetterPlan
}

export interface ApiDeathPlan extends DeathPlan {
  /** Rounds of what is due go by before it dies. */
  readonly rounds: number
}

export interface ApiLifePlan extends LifePlan {
  readonly sends: readonly SendPlan[]
  readonly deaths: readonly ApiDeathPlan[]
  /** A slot closes its worker of a queue in good order, and starts another. */
  readonly workerChange: { readonly atMs: number; readonly slot: number; readonly queue: number } | null
}

/** Made by every process, and never paused or removed. */
export interface SchedulePlan {
  readonly name: string
  readonly when: string | { readonly every: number }
  /** From one run to the next. */
  readonly stepMs: number
}

export interface ApiPlan extends HistoryPlan<ApiLifePlan> {
  readonly queues: readonly QueuePlan[]
  /** Some queues refuse what is too much: commits fail, and who is refused is tried again, so no order is kept. */
  readonly isNarrow: boolean
  readonly schedules: readonly SchedulePlan[]
}

export function makePlan(seed: number): ApiPlan {
  const prng = new Prng(seed)
  const slots = 1 + prng.below(3)
  const isNarrow = prng.chance(0.15)
  const count = isNarrow ? 2 + prng.below(2) : 1 + prng.below(3)
  const queues = Array.from({ length: count }, (_, number) => makeQueue(prng, number, isNarrow, number === count - 1))
  const maker = new LetterMaker(prng, queues)
  const lives = Array.from({ length: 1 + prng.below(4) }, () => makeLife(prng, slots, queues, maker))
  const deliverAfter = prng.chance(0.5) ? 'sync' : 'accept'
  return { seed, deliverAfter, slots, queues, isNarrow, lives, schedules: makeSchedules(seed) }
}

/** Of few histories, and by dice of their own: all others are what they were before there were schedules. */
function makeSchedules(seed: number): SchedulePlan[] {
  const prng = new Prng(seed + 2 ** 42)
  if (!prng.chance(0.2)) return []
  const stepMs = 100 + prng.below(200)
  const often: SchedulePlan = { name: 'often', when: { every: stepMs }, stepMs }
  return prng.chance(0.5) ? [often] : [often, { name: 'each second', when: '* * * * * *', stepMs: 1_000 }]
}

/** Whether the queue keeps the order of messages with one key. */
export function keepsOrder({ keys }: QueuePlan): boolean {
  return keys !== null && keys.concurrency === 1 && keys.order === 'strict'
}

function makeQueue(prng: Prng, number: number, isNarrow: boolean, isLast: boolean): QueuePlan {
  const keys = prng.chance(0.4)
    ? {
        concurrency: 1 + prng.below(2),
        order: prng.chance(0.8) && !isNarrow ? ('strict' as const) : ('relaxed' as const),
      }
    : null
  const isStrict = keys !== null && keys.order === 'strict'
  const minMs = 1 + prng.below(100)
  return {
    name: `work-${number}`,
    number,
    keys,
    retry: {
      attempts: 1 + prng.below(4),
      backoff: prng.chance(0.5) ? 'fixed' : 'exponential',
      minMs,
      maxMs: minMs + prng.below(300),
      jitter: prng.chance(0.5),
    },
    hasDeadLetters: prng.chance(0.8),
    hasPriorities: prng.chance(0.25),
    keepsExpired: prng.chance(0.5),
    maxLength: isNarrow && isLast ? 2 + prng.below(4) : null,
    work: makeWork(prng, isStrict || (isNarrow && isLast)),
  }
}

/** Where order is kept there are no leases: who loses one is tried again. */
function makeWork(prng: Prng, isTriedOnce: boolean): WorkPlan {
  const leaseMs = !isTriedOnce && prng.chance(0.4) ? 20 + prng.below(100) : null
  const kind = prng.below(10)
  if (kind < 6) {
    const concurrency = 1 + prng.below(4)
    return { way: 'process', concurrency, prefetch: concurrency + prng.below(6), leaseMs }
  }
  if (kind < 9) {
    return { way: 'batch', size: 1 + prng.below(5), waitMs: prng.below(30), concurrency: 1 + prng.below(2), leaseMs }
  }
  return { way: 'receive', prefetch: 1 + prng.below(5) }
}

function makeLife(prng: Prng, slots: number, queues: readonly QueuePlan[], maker: LetterMaker): ApiLifePlan {
  const sends: SendPlan[] = []
  const bursts = 1 + prng.below(5)
  for (let burst = 0, atMs = 0; burst < bursts; burst++) {
    const slot = prng.below(slots)
    for (let count = prng.below(12); count >= 0; count--) {
      const queue = queues[prng.below(queues.length)] as QueuePlan
      sends.push({ atMs, slot: prng.chance(0.8) ? slot : prng.below(slots), letter: maker.make(queue, false) })
    }
    atMs += prng.below(120)
  }
  const deaths = Array.from({ length: prng.chance(0.5) ? 1 + prng.below(3) : 0 }, () => ({
    slot: prng.below(slots),
    afterLines: 1 + prng.below(120),
    rounds: prng.below(6),
    backAfterMs: prng.below(60),
  }))
  const end = prng.below(10)
  return {
    sends,
    deaths,
    end: end < 6 ? 'crash' : end < 8 ? 'restart' : 'close',
    endMs: 1 + prng.below(600),
    endLines: prng.chance(0.7) ? 1 + prng.below(160) : Number.POSITIVE_INFINITY,
    syncDelayMs: prng.chance(0.5) ? 0 : 1 + prng.below(25),
    diskFull: prng.chance(0.15) ? { atMs: prng.below(200), forMs: 1 + prng.below(300) } : null,
    failedShare: prng.chance(0.25) ? 0.2 : 0,
    workerChange: prng.chance(0.25)
      ? { atMs: prng.below(300), slot: prng.below(slots), queue: prng.below(queues.length) }
      : null,
  }
}

/** Makes up messages, those that are sent in the beginning and those that handlers send. */
export class LetterMaker {
  private readonly prng: Prng
  private readonly queues: readonly QueuePlan[]

  constructor(prng: Prng, queues: readonly QueuePlan[]) {
    this.prng = prng
    this.queues = queues
  }

  make(queue: QueuePlan, isChild: boolean): LetterPlan {
    const { prng } = this
    const isStrict = keepsOrder(queue)
    const isLast = queue.number === this.queues.length - 1 || queue.work.way === 'receive'
    const children = isLast || !prng.chance(0.4) ? 0 : 1 + prng.below(2)
    const emits = prng.chance(0.2)
    const timed = isChild || !prng.chance(0.15) ? null : 1 + prng.below(400)
    const isDeadline = prng.chance(0.5)
    const delayMs = !isStrict && prng.chance(0.15) ? 1 + prng.below(200) : 0
    return {
      queue,
      key: queue.keys !== null && prng.chance(0.9) ? `key-${prng.below(3)}` : null,
      failures: this.failures(),
      workMs: prng.chance(0.4) ? 0 : prng.chance(0.8) ? 1 + prng.below(15) : 1 + prng.below(120),
      isSilent: !isChild && children === 0 && !emits && prng.chance(0.2),
      children,
      emits,
      tellsProgress: prng.chance(0.2),
      receipt: prng.chance(0.3) ? 'callbacks' : prng.chance(0.5) ? 'named' : 'none',
      isIdempotent: !isChild && !isStrict && prng.chance(0.35),
      ttlMs: timed === null || isDeadline ? null : timed,
      deadlineMs: timed === null || !isDeadline ? null : timed + delayMs,
      delayMs,
      priority: !isStrict && queue.hasPriorities ? prng.below(4) : 0,
    }
  }

  /** A later queue, for what the handler of this one sends. */
  later(than: QueuePlan): QueuePlan {
    const later = this.queues.slice(than.number + 1)
    return later[this.prng.below(later.length)] as QueuePlan
  }

  private failures(): readonly Failure[] {
    const { prng } = this
    if (prng.chance(0.65)) return []
    const kinds: readonly Failure[] = ['throw', 'throw', 'retry', 'outlast the lease', 'give up']
    return Array.from({ length: 1 + prng.below(4) }, () => kinds[prng.below(kinds.length)] as Failure)
  }
}
