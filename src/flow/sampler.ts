/**
 * Rates from counters: R = m/t, where m is what a counter grew by and t the time in between.
 *
 *     samples   s0   s1   s2   s3   s4          one every interval, the counters and when
 *               └──────── window ────┘          rate = (s4 − s0) / (t4 − t0)
 *
 * Pure: counters and times come in, rates go out. The oldest sample kept is the last one that is at least a window old, so
 * the window is covered whole and memory is bounded by window / interval.
 */
import { assert } from '../lib/assert.ts'
import { Deque } from '../lib/deque.ts'
import type { QueueCounters } from '../model/command.ts'

/** Per second. Bytes are body bytes. */
export interface QueueRates {
  /** Accepted publishes, in messages/s. */
  readonly sendRate: number
  /** Accepted publishes, in bytes/s. */
  readonly sendBytesRate: number
  /** First deliveries to consumers, in messages/s; redeliveries are apart. */
  readonly receiveRate: number
  /** First deliveries, in bytes/s. */
  readonly receiveBytesRate: number
  /** Redeliveries, in messages/s. */
  readonly redeliveryRate: number
  /** Settlements (acknowledged, or removed by a reject), in messages/s. */
  readonly processingRate: number
  /** Settlements, in bytes/s. */
  readonly processingBytesRate: number
  /** t in R = m/t: how long the time is that the rates were taken over, in seconds. */
  readonly windowSeconds: number
}

interface Sample {
  readonly timeMs: number
  readonly counters: Readonly<QueueCounters>
}

export class Sampler {
  private readonly windowMs: number
  private readonly samples = new Deque<Sample>()

  /** `base` is what the counters were at `timeMs`, where the first rates begin. */
  constructor(windowMs: number, timeMs: number, base: Readonly<QueueCounters>) {
    assert(windowMs > 0, 'a window has a length')
    this.windowMs = windowMs
    this.samples.push({ timeMs, counters: { ...base } })
  }

  /** Times must not go back; a second sample at the same time replaces the first. */
  add(timeMs: number, counters: Readonly<QueueCounters>): void {
    const { samples } = this
    const newest = samples.peekLast() as Sample
    assert(timeMs >= newest.timeMs, 'samples come in the order of time')
    // A queue that was deleted and made again counts from zero: what was before it says nothing about it.
    if (counters.published < newest.counters.published) samples.clear()
    else if (timeMs === newest.timeMs && samples.length > 1) samples.pop()
    samples.push({ timeMs, counters: { ...counters } })
    while (samples.length > 2 && timeMs - (samples.get(1) as Sample).timeMs >= this.windowMs) samples.shift()
  }

  /** Over the window, or over the time there are samples for if that is less. All zero as long as no time has passed. */
  rates(): QueueRates {
    const oldest = this.samples.peek() as Sample
    const newest = this.samples.peekLast() as Sample
    const seconds = (newest.timeMs - oldest.timeMs) / 1000
    const rate = (name: keyof QueueCounters): number =>
      seconds === 0 ? 0 : (newest.counters[name] - oldest.counters[name]) / seconds
    return {
      sendRate: rate('published'),
      sendBytesRate: rate('publishedBytes'),
      receiveRate: rate('delivered'),
      receiveBytesRate: rate('deliveredBytes'),
      redeliveryRate: rate('redelivered'),
      processingRate: rate('settled'),
      processingBytesRate: rate('settledBytes'),
      windowSeconds: seconds,
    }
  }
}
