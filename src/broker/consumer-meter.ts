/**
 * How long a consumer works on messages, as far as the broker can tell. It works on so many at once and begins with them in the order
 * in which it got them, so what it was handed beyond that begins when one before it is settled:
 *
 *     handed     1  2  3  4  5  6         works on 2 at once
 *     settled    1  2                     so 3 and 4 have begun, when 1 and 2 were settled; 5 and 6 wait
 *
 * Only some deliveries are followed, each 1st, 2nd, 4th, … tag, fewer the more there are: about a thousand in a second. The times of a
 * broker are those of its turns. Where more is settled in a turn than the consumer works on at once, it did some of it one after
 * the other, and the time since the turn before is divided among them.
 */
import { Deque } from '../lib/deque.ts'
import type { Entry } from '../store/entry.ts'
import type { QueueMeter } from './queue-meter.ts'

const concurrencyMax = 1_000_000_000

/** A delivery that is followed. */
interface Sample {
  /** How many the consumer has settled when its turn comes. */
  readonly begins: number
  /** For how many it stands. */
  readonly count: number
  /** When the message became ready, in ms; -1: nobody knows, or it was handed out before. */
  readonly cameMs: number
  /** When work on it began; -1: it has not. */
  beganMs: number
}

/** What a channel has handed out, by places. */
interface Deliveries {
  tagAt(slot: number): number
}

export class ConsumerMeter {
  private readonly queue: QueueMeter
  private readonly concurrency: number
  private held = 0
  private handedCount = 0
  private settledCount = 0
  private readonly samples = new Map<number, Sample>()
  private followed = 0
  /** Each tag that is followed has none of these bits. */
  private followedMask = 0
  /** Samples that have not begun, in order, and how many are settled when the first of them does; -1: there are none. */
  private readonly waiting = new Deque<Sample>(2)
  private nextBegins = -1
  /** The turn in which something was settled last: when it was, and how many had been settled before it. */
  private turn = -1
  private turnMs = -1
  private settledBefore = 0
  /** For how long it had worked by then since the turn before, or since it had something to do. */
  private turnTookMs = 0
  private busySinceMs = -1
  /** Samples that were settled in that turn. */
  private readonly ended: Sample[] = []

  /** `concurrency`: how many it works on at once; infinity: all that it has. */
  constructor(queue: QueueMeter, concurrency: number) {
    this.queue = queue
    // All that are compared for each message are small integers.
    this.concurrency = Math.min(concurrency, concurrencyMax)
  }

  handed(tag: number, entry: Entry): void {
    const { queue } = this
    if (this.held === 0) this.busySinceMs = queue.nowMs
    if (this.held++ < this.concurrency) queue.working++
    else queue.unstarted++
    this.handedCount++
    if ((tag & queue.sampleMask) === 0) this.follow(tag, entry)
  }

  /** It is done with, one way or the other. Short, for it is a part of what is done for each message. */
  settled(deliveries: Deliveries, slot: number): void {
    const { queue } = this
    if (queue.clock.monotonicMs !== queue.nowMs || queue.turn !== this.turn) this.newTurn()
    if (--this.held < this.concurrency) queue.working--
    else queue.unstarted--
    if (++this.settledCount === this.nextBegins) this.beginNext()
    if (this.followed > 0) {
      const tag = deliveries.tagAt(slot)
      if ((tag & this.followedMask) === 0) this.end(tag)
    }
  }

  /** What it has now will be given back unfinished. */
  followNone(): void {
    this.samples.clear()
    this.followed = 0
    this.waiting.clear()
    this.nextBegins = -1
  }

  private follow(tag: number, entry: Entry): void {
    const { queue, concurrency, handedCount, held } = this
    const count = queue.sampled()
    const cameMs = entry.deliveryCount > 1 ? -1 : queue.cameAt(entry.sequence)
    const hasBegun = held <= concurrency
    const sample: Sample = { begins: handedCount - concurrency, count, cameMs, beganMs: hasBegun ? queue.nowMs : -1 }
    this.samples.set(tag, sample)
    this.followedMask = this.followed++ === 0 ? queue.sampleMask : this.followedMask & queue.sampleMask
    if (hasBegun) queue.waited(cameMs, count)
    else {
      this.waiting.push(sample)
      this.nextBegins = (this.waiting.peek() as Sample).begins
    }
  }

  /** The turn of samples that wait has come. */
  private beginNext(): void {
    const { queue, waiting, settledCount } = this
    for (let next = waiting.peek(); next !== undefined && next.begins <= settledCount; next = waiting.peek()) {
      next.beganMs = queue.nowMs
      queue.waited(next.cameMs, next.count)
      waiting.shift()
    }
    this.nextBegins = waiting.peek()?.begins ?? -1
  }

  private end(tag: number): void {
    const sample = this.samples.get(tag)
    if (sample === undefined) return
    this.samples.delete(tag)
    this.followed--
    // It was settled before its turn.
    if (sample.beganMs < 0) return
    if (this.ended.length === 0) this.queue.hasEnded(this)
    this.ended.push(sample)
  }

  private newTurn(): void {
    const { queue } = this
    queue.touch()
    if (queue.turn !== this.turn) this.beginTurn(queue.nowMs)
  }

  private beginTurn(nowMs: number): void {
    this.turnTookMs = nowMs - Math.max(this.turnMs, this.busySinceMs)
    this.turn = this.queue.turn
    this.turnMs = nowMs
    this.settledBefore = this.settledCount
  }

  /** What was settled in the turn is known now. */
  sumUp(): void {
    const { ended, queue, concurrency } = this
    const settled = this.settledCount - this.settledBefore
    const eachMs = (this.turnTookMs * concurrency) / settled
    for (const { beganMs, count } of ended) {
      queue.worked(settled > concurrency ? eachMs : this.turnMs - beganMs, count)
    }
    ended.length = 0
  }
}
