/** What the seed of a history of patterns decides: who listens to what, what is emitted, called and sent, and what goes wrong. */
import { Prng } from '../../../lib/prng.ts'
import type { DiskFullPlan, HistoryPlan, LifePlan } from '../plan.ts'

/** A durable subscriber: a name that processes share. */
export interface SubscriberPlan {
  readonly name: string
  readonly number: number
  readonly pattern: string
  /** `iterate`: with `bus.events`, one after the other. */
  readonly way: 'handle' | 'iterate'
  readonly concurrency: number
}

/** What a handler does with one job, attempt by attempt. */
export interface DeedPlan {
  /** What the first attempts do; the one behind them ends well. */
  readonly failures: readonly ('throw' | 'give up')[]
  /** 0: it ends as soon as it is called. */
  readonly workMs: number
  /** The name of the event that it emits with its commit. */
  readonly emits: string | null
  /** It calls somebody else before it ends, and fails if that does. */
  readonly asks: boolean
}

export interface MemberPlan {
  readonly children: readonly MemberPlan[]
  readonly childFailure: 'fail' | 'spare'
  readonly delayMs: number
}

export interface CallPlan {
  readonly kind: 'call'
  readonly isDurable: boolean
  /** Null: what is usual. */
  readonly timeoutMs: number | null
  /** Its caller gives up after so long. */
  readonly abortMs: number | null
  /** Its answer is kept in an inbox. */
  readonly isNamed: boolean
  readonly way: 'promise' | 'callback'
}

export type ActionPlan =
  | { readonly kind: 'emit'; readonly name: string }
  | CallPlan
  | { readonly kind: 'family'; readonly root: MemberPlan }

export interface PatternLifePlan extends LifePlan {
  readonly actions: readonly { readonly atMs: number; readonly slot: number; readonly what: ActionPlan }[]
  /** The share of acknowledgements that never arrive. */
  readonly lostShare: number
}

export interface PatternPlan extends HistoryPlan<PatternLifePlan> {
  readonly subscribers: readonly SubscriberPlan[]
  /** What the live listener of each process listens to. */
  readonly livePattern: string
}

/** Of subscribers, calls and families alike. */
export const attemptsMax = 3

const eventNames = ['shop.order', 'shop.order.paid', 'shop.cart', 'mail.sent'] as const
const patterns = ['shop.#', 'shop.order', '#', '*.order', 'mail.*', 'shop.*'] as const

export function makePlan(seed: number): PatternPlan {
  const prng = new Prng(seed)
  const slots = 1 + prng.below(3)
  const subscribers = Array.from(
    { length: 1 + prng.below(3) },
    (_, number): SubscriberPlan => ({
      name: `subscriber-${number}`,
      number,
      pattern: oneOf(prng, patterns),
      way: prng.chance(0.8) ? 'handle' : 'iterate',
      concurrency: 1 + prng.below(3),
    }),
  )
  // Dice of their own, so that what is added here leaves the histories without it as they are.
  const more = new Prng(seed + 2 ** 42)
  const lives = Array.from({ length: 1 + prng.below(4) }, () => makeLife(prng, slots, makeDiskFull(more)))
  const deliverAfter = prng.chance(0.5) ? 'sync' : 'accept'
  return { seed, deliverAfter, slots, subscribers, livePattern: oneOf(prng, patterns), lives }
}

/** What handlers do with the job of that name: the same in each run of a history, whoever comes first. */
export function deedOf(seed: number, key: string, mayEmit: boolean): DeedPlan {
  const prng = new Prng(seed * 65_536 + hashOf(key))
  const failures = prng.chance(0.7)
    ? []
    : Array.from({ length: 1 + prng.below(attemptsMax) }, () => (prng.chance(0.8) ? 'throw' : 'give up'))
  return {
    failures,
    workMs: prng.chance(0.4) ? 0 : 1 + prng.below(prng.chance(0.8) ? 15 : 80),
    emits: mayEmit && prng.chance(0.3) ? oneOf(prng, eventNames) : null,
    asks: prng.chance(0.08),
  }
}

function makeDiskFull(prng: Prng): DiskFullPlan | null {
  return prng.chance(0.12) ? { atMs: prng.below(200), forMs: 1 + prng.below(300) } : null
}

function makeLife(prng: Prng, slots: number, diskFull: DiskFullPlan | null): PatternLifePlan {
  const actions: PatternLifePlan['actions'][number][] = []
  for (let burst = 1 + prng.below(4), atMs = prng.below(20); burst > 0; burst--) {
    const slot = prng.below(slots)
    for (let count = 1 + prng.below(8); count > 0; count--) actions.push({ atMs, slot, what: makeAction(prng) })
    atMs += prng.below(100)
  }
  const end = prng.below(10)
  return {
    actions,
    deaths: Array.from({ length: prng.chance(0.6) ? 1 + prng.below(3) : 0 }, () => ({
      slot: prng.below(slots),
      afterLines: 1 + prng.below(100),
      backAfterMs: prng.below(50),
    })),
    end: end < 6 ? 'crash' : end < 8 ? 'restart' : 'close',
    endMs: 1 + prng.below(500),
    endLines: prng.chance(0.7) ? 1 + prng.below(120) : Number.POSITIVE_INFINITY,
    syncDelayMs: prng.chance(0.5) ? 0 : 1 + prng.below(20),
    failedShare: prng.chance(0.15) ? 0.2 : 0,
    lostShare: prng.chance(0.15) ? 0.2 : 0,
    diskFull,
  }
}

function makeAction(prng: Prng): ActionPlan {
  const kind = prng.below(10)
  if (kind < 4) return { kind: 'emit', name: oneOf(prng, eventNames) }
  if (kind < 8) {
    const isDurable = prng.chance(0.5)
    return {
      kind: 'call',
      isDurable,
      timeoutMs: prng.chance(isDurable ? 0.1 : 0.4) ? 1 + prng.below(300) : null,
      abortMs: prng.chance(0.15) ? prng.below(60) : null,
      isNamed: isDurable && prng.chance(0.5),
      way: prng.chance(0.5) ? 'promise' : 'callback',
    }
  }
  return { kind: 'family', root: makeMember(prng, 0) }
}

function makeMember(prng: Prng, depth: number): MemberPlan {
  const isParent = depth === 0 || (depth === 1 && prng.chance(0.25))
  const children = isParent ? Array.from({ length: 1 + prng.below(4) }, () => makeMember(prng, depth + 1)) : []
  return {
    children,
    childFailure: prng.chance(0.5) ? 'fail' : 'spare',
    delayMs: !isParent && prng.chance(0.2) ? 1 + prng.below(60) : 0,
  }
}

function oneOf<One>(prng: Prng, list: readonly One[]): One {
  return list[prng.below(list.length)] as One
}

/** FNV-1a, 16 bits of it. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return (hash >>> 8) & 0xffff
}
