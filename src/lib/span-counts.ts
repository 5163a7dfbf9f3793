/**
 * How many things happen in a span of time, for spans of 1, 2, 4, … ms up to a minute at once: how even or how bursty a stream is,
 * over which time.
 *
 *     things    · ··    ·   ·······    ·
 *     1 ms     |1|2|0|0|1|0|1|4|2|0|0|1|       spans, Σn, Σn² …
 *     2 ms     |  3|  0|  1|  5|  2|  1|       … of each length
 *     4 ms     |      3|      6|      3|
 *
 * A span is counted when the next one has begun, and then added to the longer one it is part of. Sums only ever grow, so that two
 * looks give what was between them.
 */

const levels = 17
const shortestMs = 1

/** Of all spans of one length that are over. */
export interface SpanLevel {
  readonly spanSeconds: number
  /** How many spans there were, empty ones among them. */
  readonly spans: number
  /** How many things happened in them: Σn. */
  readonly counted: number
  /** Σn². */
  readonly squares: number
}

export class SpanCounts {
  private readonly startMs: number
  private readonly index: Float64Array
  private readonly open: Float64Array
  private readonly spans: Float64Array
  private readonly counted: Float64Array
  private readonly squares: Float64Array

  /** The first span of each length begins at `startMs`. */
  constructor(startMs: number) {
    this.startMs = startMs
    // One piece of memory: there may be thousands of these.
    const all = new Float64Array(levels * 5)
    const part = (at: number): Float64Array => all.subarray(levels * at, levels * (at + 1))
    this.index = part(0)
    this.open = part(1)
    this.spans = part(2)
    this.counted = part(3)
    this.squares = part(4)
  }

  /** Times must not go back. */
  add(nowMs: number, count: number): void {
    const { index, open } = this
    let at = Math.floor((nowMs - this.startMs) / shortestMs)
    let more = count
    for (let level = 0; level < levels; level++) {
      const current = index[level] as number
      const held = open[level] as number
      if (at === current) {
        open[level] = held + more
        return
      }
      this.close(level, at - current, held)
      index[level] = at
      open[level] = more
      // What is over here was part of a longer span, which may be over as well.
      at = Math.floor(current / 2)
      more = held
    }
  }

  /** Spans, Σn and Σn² of each length in turn, the shortest first, as long as any is over. */
  sums(): number[] {
    const { spans, counted, squares } = this
    const sums: number[] = []
    for (let level = 0; level < levels && (spans[level] as number) > 0; level++) {
      sums.push(spans[level] as number, counted[level] as number, squares[level] as number)
    }
    return sums
  }

  /** So many spans are over, of which the first had `held` and the others nothing. */
  private close(level: number, count: number, held: number): void {
    this.spans[level] = (this.spans[level] as number) + count
    this.counted[level] = (this.counted[level] as number) + held
    this.squares[level] = (this.squares[level] as number) + held * held
  }
}

/** What was counted between two looks; `older` empty: from the beginning. */
export function spanLevelsBetween(older: readonly number[], newer: readonly number[]): SpanLevel[] {
  const found: SpanLevel[] = []
  const since = (at: number): number => (newer[at] as number) - (older[at] ?? 0)
  for (let at = 0; at + 2 < newer.length; at += 3) {
    const spanSeconds = (shortestMs * 2 ** (at / 3)) / 1000
    found.push({ spanSeconds, spans: since(at), counted: since(at + 1), squares: since(at + 2) })
  }
  return found
}
