/** What the reference keeps per session, channel, consumer and queue. Plain data; `reference.ts` has the rules. */
import type { ReplyCode } from '../../model/errors.ts'
import type { ModelEntry, Publication, QueueFacts } from './facts.ts'

export class ModelSession {
  readonly name: string
  readonly channels: Set<ModelChannel> = new Set()
  readonly exclusiveQueues: Set<ModelQueue> = new Set()
  isClosed = false

  constructor(name: string) {
    this.name = name
  }
}

export interface ModelConsumer {
  readonly tag: string
  readonly channel: ModelChannel
  readonly queue: ModelQueue
  readonly noAck: boolean
  readonly isExclusive: boolean
  readonly prefetch: number
  readonly priority: number
  unacked: number
  /** consume-ok was said. */
  isAnnounced: boolean
}

export class ModelQueue {
  /** Empty until the broker has told the name it made. */
  name: string
  readonly facts: QueueFacts
  readonly owner: ModelSession | null
  /** Ascending by rank. */
  readonly ready: ModelEntry[] = []
  readonly consumers: ModelConsumer[] = []
  /** Who alone is served, if only one is. */
  active: ModelConsumer | null = null
  nextPosition = 1
  isDeleted = false
  /** The frame with its declaration; 0 = older than this life of the broker. */
  lsn = 0

  constructor(facts: QueueFacts, owner: ModelSession | null) {
    this.name = facts.name
    this.facts = facts
    this.owner = owner
  }

  /** Whether so many more messages with so many bytes are too much. */
  refuses(messages: number, bytes: number): boolean {
    const { messagesMax, bytesMax } = this.facts.rules
    const readyBytes = this.ready.reduce((sum, { publication }) => sum + publication.bodyBytes, 0)
    return this.ready.length + messages > messagesMax || readyBytes + bytes > bytesMax
  }

  add(consumer: ModelConsumer): void {
    this.consumers.push(consumer)
    if (this.facts.rules.singleActive) this.active ??= consumer
  }

  remove(consumer: ModelConsumer): void {
    const at = this.consumers.indexOf(consumer)
    if (at < 0) return
    this.consumers.splice(at, 1)
    if (this.active !== consumer) return
    const highest = Math.max(...this.consumers.map(({ priority }) => priority))
    this.active = this.consumers.find(({ priority }) => priority === highest) ?? null
  }

  /** Who was to be served before that consumer, or in its place; null if it is its turn. */
  rivalOf(consumer: ModelConsumer): ModelConsumer | null {
    if (this.facts.rules.singleActive) return this.active === consumer ? null : this.active
    return this.consumers.find((other) => other.priority > consumer.priority && hasCredit(other)) ?? null
  }

  /** Back to its original position. */
  requeue(entry: ModelEntry): void {
    let at = this.ready.length
    while (at > 0 && (this.ready[at - 1] as ModelEntry).rank > entry.rank) at--
    this.ready.splice(at, 0, entry)
  }
}

function hasCredit({ channel, noAck, prefetch, unacked }: ModelConsumer): boolean {
  if (channel.isPaused || channel.isFailed || channel.expected.length > 0) return false
  if (noAck) return true
  if (prefetch > 0 && unacked >= prefetch) return false
  return channel.prefetchGlobal === 0 || channel.unackedByConsumers < channel.prefetchGlobal
}

/** What a channel must say next, in this order, besides deliveries and confirms. */
export type Expected =
  | {
      readonly type: 'replied'
      readonly id: number
      /** The frame that has to be durable first; 0 = none. */
      readonly lsn: number
      /** Fields of the reply that are known. */
      readonly reply: Readonly<Record<string, unknown>>
      readonly entry: ModelEntry | null
      readonly done: ((reply: Readonly<Record<string, unknown>>) => void) | null
    }
  | { readonly type: 'returned'; readonly publication: Publication; readonly sequence: number }
  | { readonly type: 'cancelled'; readonly consumerTag: string }
  | { readonly type: 'failed'; readonly id: number; readonly code: ReplyCode }

/** A publish that waits for its confirm. */
export interface OpenPublish {
  readonly sequence: number
  readonly publication: Publication
  readonly entries: readonly ModelEntry[]
  /** Some queue had no room. */
  readonly isRefused: boolean
}

export interface Held {
  readonly entry: ModelEntry
  readonly queue: ModelQueue
  /** Null: taken by basic.get. */
  readonly consumer: ModelConsumer | null
}

export interface ModelTransaction {
  publishes: { readonly publication: Publication; readonly isMandatory: boolean }[]
  settlements: { readonly tag: number; readonly requeue: boolean }[]
  readonly settledTags: Set<number>
}

export class ModelChannel {
  readonly session: ModelSession
  readonly name: string
  isConfirming = false
  publishSequence = 0
  confirmedSequence = 0
  openPublishes: OpenPublish[] = []
  nextTag = 1
  /** By delivery tag, ascending. */
  readonly unacked: Map<number, Held> = new Map()
  unackedByConsumers = 0
  readonly consumers: Map<string, ModelConsumer> = new Map()
  prefetch = 0
  prefetchGlobal = 0
  transaction: ModelTransaction | null = null
  readonly expected: Expected[] = []
  isPaused = false
  /** It failed: it takes no commands, but has still something to say. */
  isFailed = false
  /** Its owner closed it: it says nothing any more. */
  isSilent = false

  constructor(session: ModelSession, name: string) {
    this.session = session
    this.name = name
  }
}
