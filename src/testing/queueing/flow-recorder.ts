/** Notes what happens in a simulated queue as a broker would: the same sums, from another's events. */
import { Histogram } from '../../lib/histogram.ts'
import { SpanCounts } from '../../lib/span-counts.ts'
import type { FlowTimes, QueueFlow } from '../../model/queue-flow.ts'
import type { QueueWatcher, SimulatedQueue } from './queue-simulation.ts'

class Times {
  private readonly histogram = new Histogram()
  private count = 0
  private seconds = 0
  private secondsSquared = 0

  add(seconds: number): void {
    this.count++
    this.seconds += seconds
    this.secondsSquared += seconds * seconds
    this.histogram.record(seconds)
  }

  sums(): FlowTimes {
    const { count, seconds, secondsSquared } = this
    return { count, samples: count, seconds, secondsSquared, buckets: this.histogram.buckets() }
  }
}

export class FlowRecorder implements QueueWatcher {
  private readonly gaps = new Times()
  private readonly wait = new Times()
  private readonly processing = new Times()
  private spans: SpanCounts | null = null
  private arrivals = 0
  private lastSeconds = 0

  arrived(atSeconds: number): void {
    this.spans ??= new SpanCounts(atSeconds * 1000)
    this.spans.add(atSeconds * 1000, 1)
    if (this.arrivals++ > 0) this.gaps.add(atSeconds - this.lastSeconds)
    this.lastSeconds = atSeconds
  }

  began(waitSeconds: number, _atSeconds: number, serviceSeconds: number): void {
    this.wait.add(waitSeconds)
    this.processing.add(serviceSeconds)
  }

  flow({ seconds, waiting, working }: SimulatedQueue, servers: number): QueueFlow {
    return {
      atSeconds: seconds,
      sinceSeconds: 0,
      arrivals: this.arrivals,
      returns: 0,
      gaps: this.gaps.sums(),
      spans: this.spans?.sums() ?? [],
      wait: this.wait.sums(),
      processing: this.processing.sums(),
      waitingSeconds: waiting * seconds,
      workingSeconds: working * seconds,
      waiting: 0,
      working: 0,
      oldestSeconds: null,
      servers,
      isGuessed: false,
      holdingAhead: 0,
      unacknowledging: 0,
      lengthMax: null,
      isKeyed: false,
    }
  }
}
