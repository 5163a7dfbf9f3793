/**
 * What must be remembered. The broker decides; the store remembers its decisions, in memory or in a log on disk, behind
 * this one interface.
 *
 * Everything appended between two commits forms one frame, which is on disk as a whole or not at all. The core is
 * synchronous and commits at the end of a turn, so what belongs together (the publishes and acks of a transaction) never
 * straddles frames.
 */
import type { BodyStore } from '../model/bodies.ts'
import type { Durability } from '../model/durability.ts'
import type { Message } from '../model/message.ts'
import type { Entry } from './entry.ts'
import type { Notes } from './notes.ts'
import type { QueueIndex } from './queue-index.ts'
import type { TopologyRecord } from './record.ts'
import type { ResidentMemory } from './resident-memory.ts'

export interface Store {
  /** Whether records outlive the process; if not, every LSN is 0 and durable at once. */
  readonly persists: boolean
  readonly durability: Durability
  /** The number of the frame that is being filled. */
  readonly openLsn: number
  /** Every frame up to this number is on stable storage. */
  readonly durableLsn: number
  /** Every frame up to this number is as safe as the level of durability asks for: confirms and answers may leave. */
  readonly answerableLsn: number
  /** Bytes appended that are still in memory alone, or not yet as safe as that. */
  readonly unsyncedBytes: number
  /** What the messages of all queues take. */
  readonly memory: ResidentMemory
  /** What is remembered beside messages. What is put there is in the open frame. */
  readonly notes: Notes
  /** Where large bodies are; null: there are no files. */
  readonly bodies: BodyStore | null
  /** Where publishes are written. */
  readonly publishes: PublishLog

  /** Reads what is remembered: every topology record in order, before `queueIndex` is asked for. Once, first. */
  load(sink: (record: TopologyRecord) => void, events: StoreEvents, source: SnapshotSource): Promise<LoadReport>
  appendTopology(record: TopologyRecord): void
  /** The index of a queue, with the entries recovery found if it is one of those. */
  queueIndex(queueId: number, durable: boolean): QueueIndex
  /** Forgets a queue that was deleted, and whose index was dropped. */
  dropIndex(queueId: number): void
  /** Starts writing what was appended, unless a write is under way; then it follows by itself when that one is done. */
  commit(): void
  /**
   * The frame with which everything appended or settled so far is durable; it will be written with the next commit, so
   * that whoever waits for it does not wait for company.
   */
  barrier(): number
  /** Names where this broker is served, for whoever finds the folder in use. */
  announce(addresses: readonly string[]): Promise<void>
  /** Stores everything, marks the end as clean and lets the folder go. Rejects if the outcome is unknown. */
  close(): Promise<void>
}

/** A publish that must survive: begin, one addRoute per durable queue, end. */
export interface PublishLog {
  begin(message: Message, routeCount: number): void
  /** The entry is the one that the message has in that queue. */
  addRoute(queueId: number, entry: Entry): void
  end(): void
}

export interface StoreEvents {
  durable(lsn: number): void
  /** Frames are written that will be durable later: more may be answerable. */
  written(lsn: number): void
  /** A write failed and will be tried again; nothing is lost and nothing more is durable until `resumed`. */
  stalled(error: Error): void
  resumed(): void
  /** The disk has little room left: what fills it must stop. False: there is enough again. */
  lowOnDisk(isLow: boolean): void
  /** A sync failed: nothing will ever be durable again. */
  failed(error: Error): void
  /** A message cannot be read; its queue goes on without it. */
  damaged(error: Error): void
}

/** Where the store asks for the present state when it makes a checkpoint. */
export interface SnapshotSource {
  nextQueueId(): number
  /** Every durable exchange, queue and binding, as the records that make them. */
  durableTopology(visit: (record: TopologyRecord) => void): void
}

export interface LoadReport {
  /** The highest queue id that was ever given out, plus one. */
  readonly nextQueueId: number
  readonly messages: number
  /** False: the last run ended without saying so, and every message counts as redelivered. */
  readonly clean: boolean
  /** What recovery found and did, in words for people; empty when there is nothing to say. */
  readonly notes: readonly string[]
}
