/**
 * The messages that one queue gets rid of: its dead-letter exchange gets them, and their senders are told. Each is published there and settled here in
 * one turn, hence in one frame of the log: after a crash it is in one of both places, never in both or in none.
 */
import type { QueueCounters } from '../model/command.ts'
import type { Message } from '../model/message.ts'
import type { Entry } from '../store/entry.ts'
import { type DepartureReason, isDeath } from './departure-reason.ts'
import { type DepartedQueue, Departures } from './departures.ts'
import type { Tick } from './tick.ts'
import { Death } from './x-death.ts'

/** A queue that gets rid of messages. */
export interface DyingQueue extends DepartedQueue {
  readonly name: string
  readonly counters: QueueCounters
  /** The message has left the queue: its sender may want to know. `isKept`: the dead-letter exchange has it. */
  tellSender(message: Message, reason: DepartureReason, isKept: boolean): void
}

export class DeadLetters {
  private readonly tick: Tick
  private readonly publish: (death: Death) => void
  private readonly queue: DyingQueue
  private readonly exchange: string | null
  private readonly routingKey: string | null
  private readonly departures: Departures<DepartureReason>

  /** `exchange` null: messages go nowhere, and their senders are told. `routingKey` null: they keep their own. */
  constructor(
    tick: Tick,
    publish: (death: Death) => void,
    queue: DyingQueue,
    exchange: string | null,
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
  add(entry: Entry, reason: DepartureReason): void {
    this.departures.add(entry, reason)
  }

  /** Takes a message that never came in. */
  sendRefused(message: Message): void {
    const { queue, tick, exchange, routingKey } = this
    if (exchange === null) return
    this.publish(new Death(message, queue.name, 'maxlen', tick.nowMs, exchange, routingKey))
    queue.counters.deadLettered++
  }

  private send(entry: Entry, reason: DepartureReason): void {
    const { queue, tick, exchange, routingKey } = this
    const { message } = entry
    if (message !== null && !queue.deleted) {
      const isKept = exchange !== null && isDeath(reason)
      if (isKept) {
        this.publish(new Death(message, queue.name, reason, tick.nowMs, exchange, routingKey))
        queue.counters.deadLettered++
      }
      if (message.mayTell) queue.tellSender(message, reason, isKept)
    }
    queue.index.settle(entry)
    tick.schedule()
  }
}
