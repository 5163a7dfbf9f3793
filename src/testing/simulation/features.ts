/**
 * What programs written for RabbitMQ declare: alternate exchanges, copies, limits that refuse, a single active consumer and
 * consumers of a priority. Histories from one seed on have them; those before stay what they were.
 */
import { Prng } from '../../lib/prng.ts'
import type { ExchangeFacts, QueueRules } from './facts.ts'
import { featureSeedsMin } from './level.ts'
import { type Plan, pick, type QueuePlan } from './plan.ts'

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
