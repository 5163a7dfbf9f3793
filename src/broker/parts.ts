/** What channels and sessions need of the broker they belong to. */
import type { Store } from '../store/store.ts'
import type { DeferrableCommands } from './deferrable-commands.ts'
import type { Publisher } from './publisher.ts'
import type { Queue } from './queue.ts'
import type { QueueCommands } from './queue-commands.ts'
import type { Tick } from './tick.ts'
import type { TimedChannel } from './time-watch.ts'
import type { Topology } from './topology.ts'
import type { VirtualHost } from './virtual-host.ts'

/** Whoever publishes and can be told to wait. */
export interface PublishingSession {
  throttled: boolean
}

export interface BrokerParts<Session extends PublishingSession = PublishingSession> {
  readonly store: Store
  readonly tick: Tick
  readonly topology: Topology
  readonly publisher: Publisher
  readonly deferrable: DeferrableCommands
  readonly queueCommands: QueueCommands
  /** Removes a queue, ends its consumers, and returns how many messages were ready. */
  deleteQueue(host: VirtualHost, queue: Queue): number
  /** The session has published: look whether it must wait. */
  published(session: Session): void
  /** Throws NOT_ALLOWED if the session's user has as many channels as he may. */
  channelOpens(session: Session): void
  sessionEnded(session: Session): void
  /** Looks from time to time whether the channel's consumers hold messages for too long. */
  watchTime(channel: TimedChannel): void
}
