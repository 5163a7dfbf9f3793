/** A simulated clock that also looks at a real one: how long does the longest thing take that happens in one go? */
import type { Clock } from '../../platform/clock.ts'
import { SimClock } from '../sim-clock.ts'

/** A case has some ten thousand; one that has so many never ends. */
const eventsMax = 1_000_000

export class MeteredClock extends SimClock {
  private happened = 0
  longestMs = 0
  private othersMs = 0
  private readonly real: Pick<Clock, 'monotonicMs'>

  constructor(real: Pick<Clock, 'monotonicMs'>) {
    super()
    this.real = real
  }

  override setTimer(delayMs: number, callback: () => void): () => void {
    return super.setTimer(delayMs, () => this.measure(callback))
  }

  override defer(callback: () => void): void {
    super.defer(() => this.measure(callback))
  }

  override after(delayMs: number, callback: () => void): void {
    super.after(delayMs, () => this.measure(callback))
  }

  /** What is not the code under test does not count. */
  uncounted(work: () => void): void {
    const begunMs = this.real.monotonicMs()
    work()
    this.othersMs += this.real.monotonicMs() - begunMs
  }

  private measure(callback: () => void): void {
    if (++this.happened > eventsMax) throw new Error('it never comes to rest')
    const begunMs = this.real.monotonicMs()
    this.othersMs = 0
    callback()
    this.longestMs = Math.max(this.longestMs, this.real.monotonicMs() - begunMs - this.othersMs)
  }
}
