/**
 * A queue that gathers: a parent, which is the first message that it takes, and behind it the answers of the parent's children. When all of them are there the
 * parent goes on to the queue it is meant for, and the answers stay for whoever processes it.
 *
 *     queue.declare  x-leveret-gather: 3  x-leveret-gather-to: album
 *     parent, answer, answer, answer   →   answer, answer, answer      parent → album, with the header x-leveret-gathered
 */
import type { Message } from '../model/message.ts'
import type { Entry } from '../store/entry.ts'
import { type DepartedQueue, Departures } from './departures.ts'
import type { Tick } from './tick.ts'

export interface Gathers {
  /** Answers that the parent waits for. */
  readonly count: number
  /** The queue that the parent is meant for. */
  readonly to: string
}

/** Of the first message that a queue ever takes. */
const parentSequence = 1

export class Gathering {
  private readonly tick: Tick
  private readonly queue: DepartedQueue
  private readonly gathers: Gathers
  private readonly isThere: (name: string) => boolean
  private readonly leaving: Departures<null>
  /** The parent is not here any more. */
  private isOver = false

  /** `release` publishes the parent to the queue it is meant for, which `isThere`. */
  constructor(
    tick: Tick,
    queue: DepartedQueue,
    gathers: Gathers,
    isThere: (name: string) => boolean,
    release: (parent: Message, to: string) => void,
  ) {
    this.tick = tick
    this.queue = queue
    this.gathers = gathers
    this.isThere = isThere
    this.leaving = new Departures<null>(tick, queue, (entry) => this.leave(entry, release))
  }

  /** At the end of a turn in which something came. */
  look(): void {
    const { index } = this.queue
    const { count, to } = this.gathers
    // As long as nobody knows where the parent could go, it stays where it can be found.
    if (this.isOver || index.readyCount <= count || !this.isThere(to)) return
    const first = index.takeFirst()
    if (first === undefined) return
    if (first.sequence === parentSequence) this.leaving.add(first, null)
    // It has gone on before, or somebody took it: what is left are answers.
    else index.requeue(first)
    this.isOver = true
  }

  private leave(entry: Entry, release: (parent: Message, to: string) => void): void {
    if (entry.message !== null) release(entry.message, this.gathers.to)
    this.queue.index.settle(entry)
    this.tick.schedule()
  }
}
