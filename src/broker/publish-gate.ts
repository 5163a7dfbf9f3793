/**
 * Where messages of one channel come in: the exchange that one goes to, if the user may publish there and nothing is wrong with
 * the message. The last exchange is remembered, because publishers repeat themselves.
 */
import { BrokerError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import { authorizePublish } from './authorize.ts'
import type { Exchange } from './exchange.ts'
import type { Grants, TopicGrants } from './grants.ts'
import { checkMessage } from './message-check.ts'
import { findExchange } from './topology.ts'
import type { VirtualHost } from './virtual-host.ts'

/** Whoever publishes. */
interface Publishing {
  readonly virtualHost: VirtualHost
  /** Null: everything is allowed. */
  readonly grants: Grants | null
}

export class PublishGate {
  private readonly session: Publishing
  private last: Exchange | null = null
  private topologyVersion = -1
  private grantsVersion = -1
  /** What the user may write to the last exchange, if that is not everything. */
  private topics: TopicGrants | null = null

  constructor(session: Publishing) {
    this.session = session
  }

  /** Throws ACCESS_REFUSED, NOT_FOUND or PRECONDITION_FAILED; nothing has changed then. */
  exchangeFor(message: Message): Exchange {
    const exchange = this.open(message.exchange)
    const { grants } = this.session
    checkMessage(message, grants)
    // The broker publishes to the default exchange for whoever wants to be told.
    if (message.mayTell) authorizePublish(grants, '')
    if (this.topics !== null) grants?.checkTopic(this.topics, 'write', exchange.name, message.routingKey)
    return exchange
  }

  private open(name: string): Exchange {
    const { last } = this
    const { grants, virtualHost } = this.session
    const grantsVersion = grants === null ? 0 : grants.version
    if (
      last !== null &&
      last.name === name &&
      this.topologyVersion === virtualHost.topologyVersion &&
      this.grantsVersion === grantsVersion
    ) {
      return last
    }
    authorizePublish(grants, name)
    const exchange = findExchange(virtualHost, name)
    if (exchange.internal) {
      const text = `cannot publish to internal exchange '${name}' in vhost '${virtualHost.name}'`
      throw new BrokerError('ACCESS_REFUSED', text)
    }
    this.last = exchange
    this.topologyVersion = virtualHost.topologyVersion
    this.grantsVersion = grantsVersion
    this.topics = grants === null || exchange.routerKind !== 'topic' ? null : grants.topicGrants(name)
    return exchange
  }
}
