/**
 * The port: how anybody talks to a broker. The AMQP server drives it for remote clients, the typed client drives it in
 * process, and the client's AMQP driver implements it over the wire; none of them knows what is on the other side.
 *
 * A channel answers in one order: replies, deliveries and returns leave through its events in the order AMQP demands
 * (consume-ok before the first delivery, returns before the confirm and before commit-ok). Confirms alone travel beside
 * the rest, because they wait for the disk. Nothing is called back inside the call that caused it, but for `delivered`: a full
 * queue hands out before it refuses. Receivers put deliveries away, and act in `flush`.
 */
import type { BodyStore } from './bodies.ts'
import type { Command, Reply } from './command.ts'
import type { BrokerError } from './errors.ts'
import type { FieldTable } from './field-table.ts'
import type { Message } from './message.ts'

export interface Credentials {
  readonly user: string
  /** Null: somebody else vouches for him, as a certificate does. */
  readonly password: string | null
}

export interface Login {
  /** Null: the host process itself, which needs none. */
  readonly credentials: Credentials | null
  readonly virtualHost: string
  /** The peer's address; empty for the host process. */
  readonly remoteAddress: string
  readonly clientProperties: FieldTable
}

export interface Driver {
  /** Rejects with ACCESS_REFUSED if the credentials do not hold for that peer. Looks at nothing else. */
  authenticate(login: Login): Promise<void>
  /** Rejects with NOT_ALLOWED if the virtual host is missing or closed to this user. */
  openSession(login: Login, events: SessionEvents): Promise<Session>
  close(): Promise<void>
  /** Where large bodies are; without it the driver takes and gives messages whole. */
  readonly bodies?: BodyStore | null
}

/** A session is AMQP's connection: it owns exclusive queues and channels. */
export interface Session {
  openChannel(events: ChannelEvents): Channel
  /** Requeues what is unacknowledged and deletes exclusive queues before it resolves. */
  close(): Promise<void>
}

export interface SessionEvents {
  /** An alarm: whoever publishes waits. `reason` is 'low on memory' or 'low on disk'. */
  blocked(reason: string): void
  unblocked(): void
  /** Flow control: more is unsynced than the broker wants to hold. Publish no more until `resumed`. */
  throttled(): void
  resumed(): void
  /** The broker ended the session: shutdown (CONNECTION_FORCED), an operator, a failed disk (INTERNAL_ERROR), a lost connection. */
  closed(error: BrokerError): void
}

export interface Channel {
  /** Answered by `replied(id, …)` in the channel's one order. */
  execute(id: number, command: Command): void
  /**
   * After confirm.select it returns the sequence number that `confirmed` answers (1, 2, …), else 0. In tx mode the message
   * waits for tx.commit. What is wrong with it closes the channel. A body that is elsewhere is the channel's from now on.
   */
  publish(message: Message, mandatory: boolean): number
  /** Tag 0 with `multiple` means everything outstanding. In tx mode it waits for tx.commit. */
  ack(deliveryTag: number, multiple: boolean): void
  reject(deliveryTag: number, multiple: boolean, requeue: boolean): void
  /**
   * Publishes and acknowledges as one unit, all or nothing, stored when `replied(id)` comes. Refused with NOT_FOUND where a message for
   * a queue has none and is no answer; where the broker is no Leveret it is returned, and the rest takes effect.
   */
  commit(id: number, acks: readonly number[], publishes: readonly Message[]): void
  /** The receiver is full: hand it no message more, for basic.get neither, until `resumeDeliveries`. */
  pauseDeliveries(): void
  resumeDeliveries(): void
  /** Requeues what is unacknowledged, removes consumers, rolls a transaction back. No event comes after it. */
  close(): void
}

/** What went wrong if it was not a command: the `id` that `failed` is told instead of one. */
export const failedOn = {
  publish: 0,
  settlement: -1,
  /** Nothing that was asked for: too much time went by, or rights were taken away. */
  nothing: -2,
} as const

/** One object per channel, called outside the calls above; no closure per message. */
export interface ChannelEvents {
  /** What the other side calls the channel; texts for people name it. */
  readonly number?: number
  replied(id: number, reply: Reply): void
  delivered(consumerTag: string, deliveryTag: number, redelivered: boolean, message: Message): void
  /** `accepted` false is a nack. With `multiple` it covers every number up to `sequence` that is still open. */
  confirmed(sequence: number, multiple: boolean, accepted: boolean): void
  returned(message: Message, reason: 'NO_ROUTE' | 'NO_CONSUMERS'): void
  /** The broker ended a consumer, because its queue is gone. */
  cancelled(consumerTag: string): void
  /**
   * Something was wrong with the command `id`, or with what `failedOn` names. The channel is closed, or with error.scope
   * 'connection' the session has to be.
   */
  failed(id: number, error: BrokerError): void
  /** The end of a turn in which something was said: write it out. */
  flush(): void
}
