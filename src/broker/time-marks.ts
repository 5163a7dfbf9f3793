/**
 * When messages came, without a time for each: where some stay after a turn, the number of the first that came in it is marked with
 * the time.
 *
 *     marks    { 1, 10:00:00 }  { 40, 10:00:07 }  { 55, 10:00:09 }
 *
 * Number 42 came at 10:00:07, as all from 40 to 54. Where there are too many marks those go that say little: of marks that are about
 * as old as each other one is enough. So whatever waits, its age is known to within a sixteenth of it or so, in a bounded room.
 */

const marksMax = 512
/** Of two marks one is enough if what is between their neighbours is no more than this share of their age. */
const agePrecision = 1 / 16

export class TimeMarks {
  private readonly numbers: number[] = []
  private readonly timesMs: number[] = []
  /** Whoever was asked for last; most are asked for in order. */
  private hint = 0

  /** From that number on they came at that time. Neither goes back. */
  add(number: number, timeMs: number): void {
    const { numbers, timesMs } = this
    if (timesMs.at(-1) === timeMs) return
    if (numbers.length === marksMax) this.thin(timeMs)
    numbers.push(number)
    timesMs.push(timeMs)
  }

  /** Nothing that was marked is there any more. */
  clear(): void {
    if (this.numbers.length === 0) return
    this.numbers.length = 0
    this.timesMs.length = 0
    this.hint = 0
  }

  /** When it came, in ms; -1: nobody knows. */
  timeOf(number: number): number {
    const { numbers, timesMs } = this
    const { length } = numbers
    if (length === 0 || number < (numbers[0] as number)) return -1
    let at = this.hint
    if (at >= length || (numbers[at] as number) > number) at = 0
    // The next ones in order are here or one further; for all others half of what is left is left out each time.
    for (let step = 0; step < 2 && at + 1 < length && (numbers[at + 1] as number) <= number; step++) at++
    if (at + 1 < length && (numbers[at + 1] as number) <= number) {
      let high = length - 1
      while (at < high) {
        const middle = (at + high + 1) >>> 1
        if ((numbers[middle] as number) <= number) at = middle
        else high = middle - 1
      }
    }
    this.hint = at
    return timesMs[at] as number
  }

  /** Leaves out every mark without which the ages around it are still known well enough; at least every second one. */
  private thin(nowMs: number): void {
    if (!this.leaveOut(nowMs, agePrecision)) this.leaveOut(nowMs, Number.POSITIVE_INFINITY)
  }

  /** False if less than a quarter went. */
  private leaveOut(nowMs: number, precision: number): boolean {
    const { numbers, timesMs } = this
    const before = numbers.length
    let kept = 1
    let leftOut = false
    for (let at = 1; at < before; at++) {
      const next = at + 1 < before ? (timesMs[at + 1] as number) : nowMs
      const span = next - (timesMs[kept - 1] as number)
      const isEnough = span <= (nowMs - (timesMs[at] as number)) * precision
      leftOut = isEnough && (precision !== Number.POSITIVE_INFINITY || !leftOut)
      if (leftOut) continue
      numbers[kept] = numbers[at] as number
      timesMs[kept] = timesMs[at] as number
      kept++
    }
    numbers.length = kept
    timesMs.length = kept
    this.hint = 0
    return kept <= before * 0.75
  }
}
