/**
 * Policies: settings for every queue or exchange whose name matches a pattern. At most one policy holds for each of them,
 * the one with the highest priority, and beside it one operator's policy, which can only make limits tighter. They hold for
 * what is there already, too: whoever uses one asks again when `version` has changed.
 */
import type { JsonObject } from '../model/administration.ts'
import type { Matcher } from '../model/patterns.ts'
import { components, type Parameter, type Parameters } from './parameters.ts'
import type { Patterns } from './patterns.ts'

/** What a policy may be for; a queue is one of its type. */
export type PolicyKind = 'exchange' | 'classic' | 'quorum' | 'stream'

/** What `apply-to` may say, and what it means. */
export const policyTargets: ReadonlyMap<string, readonly PolicyKind[]> = new Map([
  ['all', ['exchange', 'classic', 'quorum', 'stream']],
  ['exchanges', ['exchange']],
  ['queues', ['classic', 'quorum', 'stream']],
  ['classic_queues', ['classic']],
  ['quorum_queues', ['quorum']],
  ['streams', ['stream']],
])

export interface EffectivePolicy {
  /** The names of the two; null: there is none of that kind. */
  readonly policy: string | null
  readonly operatorPolicy: string | null
  readonly definition: JsonObject
}

/** The value of the parameter, as it was checked when it came in. */
interface StoredPolicy {
  readonly pattern: string
  readonly 'apply-to': string
  readonly priority: number
  readonly definition: JsonObject
}

interface Policy {
  readonly name: string
  readonly priority: number
  readonly kinds: readonly PolicyKind[]
  readonly matcher: Matcher
  readonly definition: JsonObject
}

/** The policies of one virtual host, the one that wins first. */
interface Ranked {
  readonly policies: readonly Policy[]
  readonly operatorPolicies: readonly Policy[]
}

export class Policies {
  private readonly parameters: Parameters
  private readonly patterns: Patterns
  private readonly hosts = new Map<string, Ranked>()
  private seenVersion = -1

  constructor(parameters: Parameters, patterns: Patterns) {
    this.parameters = parameters
    this.patterns = patterns
  }

  /** What `effective` says may have changed if this has. */
  get version(): number {
    return this.parameters.version
  }

  /** What holds for a queue or an exchange; null: nothing. */
  effective(virtualHost: string, kind: PolicyKind, name: string): EffectivePolicy | null {
    const { policies, operatorPolicies } = this.rankedOf(virtualHost)
    const isFor = (policy: Policy): boolean => policy.kinds.includes(kind) && policy.matcher.matches(name)
    const policy = policies.find(isFor)
    const operatorPolicy = operatorPolicies.find(isFor)
    if (policy === undefined && operatorPolicy === undefined) return null
    return {
      policy: policy?.name ?? null,
      operatorPolicy: operatorPolicy?.name ?? null,
      definition: merged(policy?.definition ?? {}, operatorPolicy?.definition ?? {}),
    }
  }

  private rankedOf(virtualHost: string): Ranked {
    if (this.seenVersion !== this.version) this.hosts.clear()
    this.seenVersion = this.version
    let ranked = this.hosts.get(virtualHost)
    if (ranked === undefined) {
      const { parameters } = this
      ranked = {
        policies: this.rank(parameters.of(virtualHost, components.policy)),
        operatorPolicies: this.rank(parameters.of(virtualHost, components.operatorPolicy)),
      }
      this.hosts.set(virtualHost, ranked)
    }
    return ranked
  }

  private rank(parameters: Iterable<Parameter>): Policy[] {
    return [...parameters]
      .map(({ name, value }) => this.policyOf(name, value as JsonObject))
      .sort((one, other) => other.priority - one.priority || (one.name < other.name ? -1 : 1))
  }

  private policyOf(name: string, value: JsonObject): Policy {
    const { pattern, 'apply-to': applyTo, priority, definition } = value as unknown as StoredPolicy
    return {
      name,
      priority,
      kinds: policyTargets.get(applyTo) ?? [],
      matcher: this.patterns.compile(pattern),
      definition,
    }
  }
}

/** Of two limits the tighter one holds; anything else that both set is as the operator wants it. */
function merged(definition: JsonObject, operator: JsonObject): JsonObject {
  const result = new Map(Object.entries(definition))
  for (const [key, value] of Object.entries(operator)) {
    const own = result.get(key)
    result.set(key, typeof own === 'number' && typeof value === 'number' ? Math.min(own, value) : value)
  }
  return Object.fromEntries(result)
}
