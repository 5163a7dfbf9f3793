/**
 * The publishes of a channel that wait to be confirmed, as runs that became part of the same frame:
 *
 *     runs   { lsn 7, up to 40 }  { lsn 8, up to 55 }
 *
 * Frames become durable in order, so releasing is taking runs from the head, and one cumulative confirm covers them all.
 * A publish that needs no disk joins the run before it if there is one: confirms may be late, never early.
 *
 * A publish that was refused is a run of its own and is answered alone, in its turn.
 */
import { Deque } from '../lib/deque.ts'

class Run {
  readonly lsn: number
  sequence: number
  readonly accepted: boolean

  constructor(lsn: number, sequence: number, accepted: boolean) {
    this.lsn = lsn
    this.sequence = sequence
    this.accepted = accepted
  }
}

export class Confirms {
  private readonly runs = new Deque<Run>()
  /** What `release` found out beside the number: whether it was taken, and whether it stands for more than one. */
  accepted = true
  multiple = false
  private released = 0

  get isEmpty(): boolean {
    return this.runs.length === 0
  }

  /** Publish number `sequence` waits for the frame `lsn`; 0 = for none. */
  add(sequence: number, lsn: number, accepted = true): void {
    const last = this.runs.peekLast()
    if (last !== undefined && last.lsn >= lsn) {
      if (accepted && last.accepted) last.sequence = sequence
      else this.runs.push(new Run(last.lsn, sequence, accepted))
    } else this.runs.push(new Run(lsn, sequence, accepted))
  }

  /** The next publish numbers that may be answered now, as the highest of them; 0 if there are none. Call it until then. */
  release(answerableLsn: number): number {
    let sequence = 0
    for (let run = this.runs.peek(); run !== undefined && run.lsn <= answerableLsn; run = this.runs.peek()) {
      if (!run.accepted && sequence !== 0) break
      sequence = run.sequence
      this.accepted = run.accepted
      this.runs.shift()
      if (!run.accepted) break
    }
    if (sequence === 0) return 0
    this.multiple = sequence - this.released > 1
    this.released = sequence
    return sequence
  }
}
