/**
 * What the user of a session may do in its virtual host. Each answer is found once and remembered until users or permissions
 * change, so that no pattern is matched where messages pass.
 */
import { BrokerError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Matcher } from '../model/patterns.ts'
import type { Access, Permission, TopicPermission } from './access.ts'
import { limitIn } from './parameters.ts'
import type { Patterns } from './patterns.ts'

export type Right = keyof Permission

/** A name has one bit per right that is known, and three bits higher one per right that is given. */
const knownBits: Readonly<Record<Right, number>> = { configure: 1, write: 2, read: 4 }
const rights = ['configure', 'write', 'read'] as const

export class Grants {
  readonly user: string
  private readonly access: Access
  private readonly patterns: Patterns
  private readonly virtualHost: string
  private readonly names = new Map<string, number>()
  private readonly matchers = new Map<Right, Matcher | null>()
  private readonly topics = new Map<string, TopicGrants | null>()
  private seenVersion: number

  constructor(access: Access, patterns: Patterns, user: string, virtualHost: string) {
    this.access = access
    this.patterns = patterns
    this.user = user
    this.virtualHost = virtualHost
    this.seenVersion = access.version
  }

  /** What this says may have changed if this has. */
  get version(): number {
    return this.access.version
  }

  /** What the user is limited to, such as max-channels; infinity if he is not. */
  limit(name: string): number {
    return limitIn(this.access.users.get(this.user)?.limits, name)
  }

  hasTag(tag: string): boolean {
    return this.access.hasTag(this.user, tag)
  }

  /** Throws ACCESS_REFUSED. */
  check(right: Right, kind: 'exchange' | 'queue' | 'schedule', name: string): void {
    if (this.allows(right, name)) return
    throw this.refused(`${right} access to ${kind} '${shownName(name)}' in vhost '${this.virtualHost}'`)
  }

  /** Throws ACCESS_REFUSED unless one of the three rights is given. */
  checkAny(kind: 'exchange' | 'queue' | 'schedule', name: string): void {
    if (this.allowsAny(name)) return
    throw this.refused(`access to ${kind} '${shownName(name)}' in vhost '${this.virtualHost}'`)
  }

  allowsAny(name: string): boolean {
    return rights.some((right) => this.allows(right, name))
  }

  /** The default exchange is called `amq.default` here. */
  allows(right: Right, name: string): boolean {
    this.refresh()
    const known = knownBits[right]
    let bits = this.names.get(name) ?? 0
    if ((bits & known) === 0) {
      const isGiven = this.matcherOf(right)?.matches(shownName(name)) === true
      bits |= known | (isGiven ? known << 3 : 0)
      if (this.names.size >= limits.grantsMax) this.names.clear()
      this.names.set(name, bits)
    }
    return (bits & (known << 3)) !== 0
  }

  /** What routing keys the user may use at a topic exchange; null: any. It holds until `version` changes. */
  topicGrants(exchange: string): TopicGrants | null {
    this.refresh()
    let found = this.topics.get(exchange)
    if (found === undefined) {
      const permission = this.access.topicPermission(this.user, this.virtualHost, exchange)
      found = permission === undefined ? null : new TopicGrants(permission, (pattern) => this.topicMatcher(pattern))
      this.topics.set(exchange, found)
    }
    return found
  }

  /** Throws ACCESS_REFUSED. */
  checkTopic(grants: TopicGrants, right: 'write' | 'read', exchange: string, routingKey: string): void {
    if (grants.allows(right, routingKey)) return
    const where = `exchange '${shownName(exchange)}' in vhost '${this.virtualHost}'`
    throw this.refused(`${right} access to topic '${routingKey}' in ${where}`)
  }

  refused(what: string): BrokerError {
    return new BrokerError('ACCESS_REFUSED', `${what} refused for user '${this.user}'`)
  }

  private refresh(): void {
    if (this.seenVersion === this.access.version) return
    this.seenVersion = this.access.version
    this.names.clear()
    this.matchers.clear()
    this.topics.clear()
  }

  private matcherOf(right: Right): Matcher | null {
    const known = this.matchers.get(right)
    if (known !== undefined) return known
    const pattern = this.access.permission(this.user, this.virtualHost)?.[right]
    const matcher = pattern === undefined || pattern === '' ? null : this.patterns.compile(pattern)
    this.matchers.set(right, matcher)
    return matcher
  }

  private topicMatcher(pattern: string): Matcher | null {
    if (pattern === '') return null
    const values: Readonly<Record<string, string>> = { username: this.user, vhost: this.virtualHost }
    // A name stands for itself, whatever it is made of.
    return this.patterns.compile(
      pattern.replace(/\{(username|vhost)\}/g, (_all, key: string) => quoted(values[key] ?? '')),
    )
  }
}

/** What routing keys a user may use at one topic exchange. */
export class TopicGrants {
  private readonly matchers: Readonly<Record<'write' | 'read', Matcher | null>>
  private readonly keys = new Map<string, number>()

  constructor({ write, read }: TopicPermission, compile: (pattern: string) => Matcher | null) {
    this.matchers = { write: compile(write), read: compile(read) }
  }

  allows(right: 'write' | 'read', routingKey: string): boolean {
    const known = knownBits[right]
    let bits = this.keys.get(routingKey) ?? 0
    if ((bits & known) === 0) {
      bits |= known | (this.matchers[right]?.matches(routingKey) === true ? known << 3 : 0)
      if (this.keys.size >= limits.grantsMax) this.keys.clear()
      this.keys.set(routingKey, bits)
    }
    return (bits & (known << 3)) !== 0
  }
}

function shownName(name: string): string {
  return name === '' ? 'amq.default' : name
}

function quoted(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)
}
