/** A session: AMQP's connection. It owns channels and exclusive queues, and ends with both. */
import type { ChannelEvents, Channel as ChannelPort, SessionEvents, Session as SessionPort } from '../model/channel.ts'
import { BrokerError } from '../model/errors.ts'
import { Channel, type ChannelOwner } from './channel.ts'
import type { Grants } from './grants.ts'
import type { BrokerParts } from './parts.ts'
import type { Queue } from './queue.ts'
import type { VirtualHost } from './virtual-host.ts'

export class Session implements SessionPort, ChannelOwner {
  readonly virtualHost: VirtualHost
  readonly user: string | null
  readonly grants: Grants | null
  readonly events: SessionEvents
  readonly exclusiveQueues: Set<Queue> = new Set()
  readonly channels: Set<Channel> = new Set()
  /** Told to stop publishing until more is on disk. */
  throttled = false
  private readonly parts: BrokerParts<Session>
  private closed = false

  constructor(parts: BrokerParts<Session>, virtualHost: VirtualHost, grants: Grants | null, events: SessionEvents) {
    this.parts = parts
    this.virtualHost = virtualHost
    this.user = grants === null ? null : grants.user
    this.grants = grants
    this.events = events
  }

  /** Throws CONNECTION_FORCED if the session has ended, NOT_ALLOWED if its user has as many as he may. */
  openChannel(events: ChannelEvents): ChannelPort {
    if (this.closed) throw new BrokerError('CONNECTION_FORCED', 'the session is closed')
    this.parts.channelOpens(this)
    const channel = new Channel(this.parts, this, events)
    this.channels.add(channel)
    return channel
  }

  async close(): Promise<void> {
    this.end()
  }

  /** Ends the session from the broker's side and says why. */
  abort(error: BrokerError): void {
    if (this.closed) return
    this.end()
    this.events.closed(error)
  }

  /** Consumers end whose queue the user may not read any more. */
  accessChanged(): void {
    const { grants } = this
    if (grants !== null) for (const channel of this.channels) channel.accessChanged(grants)
  }

  private end(): void {
    if (this.closed) return
    this.closed = true
    for (const channel of this.channels) channel.close()
    this.channels.clear()
    for (const queue of this.exclusiveQueues) this.parts.deleteQueue(this.virtualHost, queue)
    this.exclusiveQueues.clear()
    this.parts.sessionEnded(this)
  }
}
