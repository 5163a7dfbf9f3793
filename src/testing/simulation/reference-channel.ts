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
  nextPosition = 1
  isDeleted = false
  /** The frame with its declaration; 0 = older than this life of the broker. */
  lsn = 0

  constructor(facts: QueueFacts, owner: ModelSession | null) {
    this.name = facts.name
    this.facts = facts
    this.owner = owner
  }

  /** Back to its original position. */
  requeue(entry: ModelEntry): void {
    let at = this.ready.length
    while (at > 0 && (this.ready[at - 1] as ModelEntry).rank > entry.rank) at--
    this.ready.splice(at, 0, entry)
  }
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
