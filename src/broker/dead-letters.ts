/**
 * The messages that one queue gets rid of and its dead-letter exchange gets. Each is published there and settled here in
 * one turn, hence in one frame of the log: after a crash it is in one of both places, never in both or in none.
 */
import type { QueueCounters } from '../model/command.ts'
import type { Message } from '../model/message.ts'
import type { Entry } from '../store/entry.ts'
import { type DepartedQueue, Departures } from './departures.ts'
import type { Tick } from './tick.ts'
import { Death, type DeathReason } from './x-death.ts'

/** A queue that gets rid of messages. */
export interface DyingQueue extends DepartedQueue {
  readonly name: string
  readonly counters: QueueCounters
}

export class DeadLetters {
  private readonly tick: Tick
  private readonly publish: (death: Death) => void
  private readonly queue: DyingQueue
  private readonly exchange: string
  private readonly routingKey: string | null
  private readonly departures: Departures<DeathReason>

  /** `routingKey` null: messages keep their own. */
  constructor(
    tick: Tick,
    publish: (death: Death) => void,
    queue: DyingQueue,
    exchange: string,
    routingKey: string | null,
  ) {
    this.tick = tick
    this.publish = publish
    this.queue = queue
    this.exchange = exchange
    this.routingKey = routingKey
    this.departures = new Departures(tick, queue, (entry, reason) => this.send(entry, reason))
  }

  get isFull(): boolean {
    return this.departures.room === 0
  }

  /** Takes an entry that is in nobody's hands any more. */
  add(entry: Entry, reason: DeathReason): void {
    this.departures.add(entry, reason)
  }

  /** Takes a message that never came in. */
  sendRefused(message: Message): void {
    const { queue, tick, exchange, routingKey } = this
    this.publish(new Death(message, queue.name, 'maxlen', tick.nowMs, exchange, routingKey))
    queue.counters.deadLettered++
  }

  private send(entry: Entry, reason: DeathReason): void {
    const { queue, tick, exchange, routingKey } = this
    const { message } = entry
    if (message !== null && !queue.deleted) {
      this.publish(new Death(message, queue.name, reason, tick.nowMs, exchange, routingKey))
      queue.counters.deadLettered++
    }
    queue.index.settle(entry)
    tick.schedule()
  }
}
