/** What is summed up of the messages that go through one queue: see QueueFlow. */
import { Histogram } from '../lib/histogram.ts'
import { SpanCounts } from '../lib/span-counts.ts'
import type { FlowTimes } from '../model/queue-flow.ts'

export class TimeSums {
  private count = 0
  private samples = 0
  private seconds = 0
  private secondsSquared = 0
  private readonly histogram = new Histogram()

  /** One that stands for so many. */
  add(seconds: number, count: number): void {
    this.samples++
    this.count += count
    this.seconds += seconds * count
    this.secondsSquared += seconds * seconds * count
    this.histogram.record(seconds, count)
  }

  times(): FlowTimes {
    const { count, samples, seconds, secondsSquared } = this
    return { count, samples, seconds, secondsSquared, buckets: this.histogram.buckets() }
  }
}

export class FlowSums {
  readonly sinceMs: number
  arrivals = 0
  readonly wait: TimeSums = new TimeSums()
  readonly processing: TimeSums = new TimeSums()
  waitingSeconds = 0
  workingSeconds = 0
  private readonly spans: SpanCounts
  private gapSeconds = 0
  private gapSecondsSquared = 0
  /** When the last one came, and how many at that time. */
  private arrivedMs: number
  private arrivedAtOnce = 0

  constructor(nowMs: number) {
    this.sinceMs = nowMs
    this.arrivedMs = nowMs
    this.spans = new SpanCounts(nowMs)
  }

  /** So many came at once: between all but the first no time went by. */
  arrived(count: number, nowMs: number): void {
    if (nowMs !== this.arrivedMs) {
      if (this.arrivals > 0) {
        const seconds = (nowMs - this.arrivedMs) / 1000
        this.gapSeconds += seconds
        this.gapSecondsSquared += seconds * seconds
      }
      this.countArrived()
      this.arrivedMs = nowMs
    }
    this.arrivals += count
    this.arrivedAtOnce += count
  }

  gaps(): { readonly count: number; readonly seconds: number; readonly secondsSquared: number } {
    const { gapSeconds: seconds, gapSecondsSquared: secondsSquared } = this
    return { count: Math.max(0, this.arrivals - 1), seconds, secondsSquared }
  }

  /** Arrivals per span of time, until now. */
  spanSums(): number[] {
    this.countArrived()
    return this.spans.sums()
  }

  private countArrived(): void {
    if (this.arrivedAtOnce > 0) this.spans.add(this.arrivedMs, this.arrivedAtOnce)
    this.arrivedAtOnce = 0
  }
}
