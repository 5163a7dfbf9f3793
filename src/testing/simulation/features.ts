/**
 * What programs written for RabbitMQ declare: alternate exchanges, copies, limits that refuse, a single active consumer and
 * consumers of a priority. Histories from one seed on have them; those before stay what they were.
 */
import { Prng } from '../../lib/prng.ts'
import type { Field, FieldTable } from '../../model/field-table.ts'
import { type ExchangeFacts, type QueueRules, usualRules } from './facts.ts'
import { type Plan, pick, type QueuePlan } from './plan.ts'

/** The first seed of which histories have all this. */
export const featureSeedsMin = 10_000_001

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

export const noFeatures: Features = {
  consumerPriorities: [0],
  copyChance: 0,
  exchangeBindChance: 0.25,
  hasWideHeaders: false,
}

/** Drawn from a generator of its own, as all that came later. */
export function withFeatures(plan: Plan, seed: number): Plan {
  if (seed < featureSeedsMin) return plan
  const prng = new Prng((seed ^ 0xfea7) >>> 0)
  const queues = plan.queues.map((queue) => ({ ...queue, rules: makeRules(prng, queue) }))
  const features = {
    consumerPriorities: pick(prng, [[0], [0, 0, 5], [-3, 0, 1, 10]]),
    copyChance: pick(prng, [0, 0.1, 0.4]),
    exchangeBindChance: pick(prng, [0.25, 0.5]),
    hasWideHeaders: prng.chance(0.5),
  }
  return { ...plan, queues, exchanges: makeExchanges(prng, plan.exchanges), features }
}

function makeRules(prng: Prng, { autoDelete }: QueuePlan): QueueRules {
  const never = Number.POSITIVE_INFINITY
  return {
    singleActive: !autoDelete && prng.chance(0.3),
    messagesMax: prng.chance(0.4) ? pick(prng, [0, 1, 2, 5, 20]) : never,
    bytesMax: prng.chance(0.15) ? pick(prng, [1, 300, 2_000]) : never,
  }
}

/** Alternates are chosen freely: chains, circles, the default exchange, one that is not there. */
function makeExchanges(prng: Prng, planned: readonly ExchangeFacts[]): ExchangeFacts[] {
  const facts = { durable: true, autoDelete: false, internal: false, alternate: null }
  const more = ['direct', 'topic', 'headers', 'fanout'].map((kind) => ({ ...facts, name: `${kind}-2`, kind }))
  const exchanges = [...planned, ...more.filter(() => prng.chance(0.5))]
  const names = exchanges.map(({ name }) => name)
  return exchanges.map((exchange) => ({
    ...exchange,
    alternate: prng.chance(0.4) ? null : pick(prng, [...names, ...names, '', 'amq.fanout', 'nowhere']),
  }))
}

export function isLimited({ messagesMax, bytesMax }: QueueRules): boolean {
  return Math.min(messagesMax, bytesMax) < Number.POSITIVE_INFINITY
}

// ------------------------------------------------------------------------------------------------- arguments

export function queueArguments({ maxPriority, rules }: QueuePlan): FieldTable {
  const table = new Map<string, Field>()
  if (maxPriority > 0) table.set('x-max-priority', numberField(maxPriority))
  if (rules.singleActive) table.set('x-single-active-consumer', { tag: 't', value: true })
  if (rules.messagesMax < Number.POSITIVE_INFINITY) table.set('x-max-length', numberField(rules.messagesMax))
  if (rules.bytesMax < Number.POSITIVE_INFINITY) table.set('x-max-length-bytes', numberField(rules.bytesMax))
  if (isLimited(rules)) table.set('x-overflow', textField('reject-publish'))
  return table
}

export function exchangeArguments({ alternate }: ExchangeFacts): FieldTable {
  return new Map(alternate === null ? [] : [['alternate-exchange', textField(alternate)]])
}

export function consumerArguments(priority: number): FieldTable {
  return new Map(priority === 0 ? [] : [['x-priority', numberField(priority)]])
}

/** The headers that ask for copies under these keys. */
export function copyHeaders(prng: Prng, keys: readonly string[]): FieldTable {
  const shown = keys.filter(() => prng.chance(0.5))
  const hidden = keys.filter((key) => !shown.includes(key))
  const table = new Map<string, Field>()
  if (shown.length > 0) table.set('CC', { tag: 'A', value: shown.map(textField) })
  if (hidden.length > 0) table.set('BCC', { tag: 'A', value: hidden.map(textField) })
  return table
}

/** What the reference reads out of them again. */
export function rulesOf(table: FieldTable): QueueRules {
  const number = (name: string): number => Number(table.get(name)?.value ?? Number.POSITIVE_INFINITY)
  if (table.size === 0) return usualRules
  return {
    singleActive: table.get('x-single-active-consumer')?.value === true,
    messagesMax: number('x-max-length'),
    bytesMax: number('x-max-length-bytes'),
  }
}

function numberField(value: number): Field {
  return { tag: 'I', value }
}

function textField(value: string): Field {
  return { tag: 'S', value }
}
