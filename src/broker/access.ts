/**
 * Who there is, and what each may do in which virtual host. It holds what was decided; `Grants` answers for a session.
 *
 * A broker that was told nothing else has the user every AMQP client tries first: guest with the password guest, from this
 * machine alone. Nothing is remembered of that; what is remembered is that it was changed, or deleted.
 */
import type { Hashing } from '../model/administration.ts'

/** What a name must match for each right; '' is nothing. */
export interface Permission {
  readonly configure: string
  readonly write: string
  readonly read: string
}

/** What a routing key must match at a topic exchange. */
export interface TopicPermission {
  readonly write: string
  readonly read: string
}

export type Limits = Readonly<Record<string, number>>

export interface User {
  readonly name: string
  /** Empty: nobody can log in with a password. */
  readonly passwordHash: string
  readonly hashing: Hashing
  readonly tags: readonly string[]
  readonly limits: Limits
}

const guest: User = {
  name: 'guest',
  passwordHash: 'guest',
  hashing: 'initial',
  tags: ['administrator'],
  limits: {},
}

const everything: Permission = { configure: '.*', write: '.*', read: '.*' }

export class Access {
  readonly users: Map<string, User> = new Map([[guest.name, guest]])
  /** Grows with every change of users and permissions. */
  version = 0
  /** By user, then by virtual host. */
  private readonly permissions = new Map<string, Map<string, Permission>>([[guest.name, new Map([['/', everything]])]])
  /** By user, then by virtual host, then by exchange. */
  private readonly topics = new Map<string, Map<string, Map<string, TopicPermission>>>()

  permission(user: string, virtualHost: string): Permission | undefined {
    return this.permissions.get(user)?.get(virtualHost)
  }

  topicPermission(user: string, virtualHost: string, exchange: string): TopicPermission | undefined {
    return this.topics.get(user)?.get(virtualHost)?.get(exchange)
  }

  hasTag(user: string, tag: string): boolean {
    return this.users.get(user)?.tags.includes(tag) === true
  }

  putUser(user: User): void {
    this.version++
    this.users.set(user.name, user)
  }

  deleteUser(name: string): void {
    this.version++
    this.users.delete(name)
    this.permissions.delete(name)
    this.topics.delete(name)
  }

  putPermission(user: string, virtualHost: string, permission: Permission): void {
    this.version++
    inner(this.permissions, user).set(virtualHost, permission)
  }

  deletePermission(user: string, virtualHost: string): void {
    this.version++
    this.permissions.get(user)?.delete(virtualHost)
  }

  putTopicPermission(user: string, virtualHost: string, exchange: string, permission: TopicPermission): void {
    this.version++
    inner(inner(this.topics, user), virtualHost).set(exchange, permission)
  }

  deleteTopicPermission(user: string, virtualHost: string, exchange: string): void {
    this.version++
    this.topics.get(user)?.get(virtualHost)?.delete(exchange)
  }

  deleteVirtualHost(name: string): void {
    this.version++
    for (const permissions of this.permissions.values()) permissions.delete(name)
    for (const topics of this.topics.values()) topics.delete(name)
  }

  forEachPermission(visit: (user: string, virtualHost: string, permission: Permission) => void): void {
    for (const [user, hosts] of this.permissions) for (const [host, permission] of hosts) visit(user, host, permission)
  }

  forEachTopicPermission(
    visit: (user: string, virtualHost: string, exchange: string, permission: TopicPermission) => void,
  ): void {
    for (const [user, hosts] of this.topics) {
      for (const [host, exchanges] of hosts) {
        for (const [exchange, permission] of exchanges) visit(user, host, exchange, permission)
      }
    }
  }

  /** Every pattern that may have to be compiled. */
  *patterns(): Generator<string> {
    for (const hosts of this.permissions.values()) {
      for (const { configure, write, read } of hosts.values()) yield* [configure, write, read]
    }
    for (const hosts of this.topics.values()) {
      for (const exchanges of hosts.values()) {
        for (const { write, read } of exchanges.values()) yield* [write, read]
      }
    }
  }
}

/** As nobody has changed it. */
export function isInitialUser(user: User): boolean {
  return user === guest
}

export function isInitialPermission(user: string, virtualHost: string, permission: Permission): boolean {
  return user === guest.name && virtualHost === '/' && permission === everything
}

function inner<Key, Value>(outer: Map<Key, Map<string, Value>>, key: Key): Map<string, Value> {
  let found = outer.get(key)
  if (found === undefined) {
    found = new Map()
    outer.set(key, found)
  }
  return found
}
