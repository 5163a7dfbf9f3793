/**
 * The publishes of a channel that wait to be confirmed, as runs that became part of the same frame:
 *
 *     runs   { lsn 7, up to 40 }  { lsn 8, up to 55 }
 *
 * Frames become durable in order, so releasing is taking runs from the head, and one cumulative confirm covers them all.
 * A publish that needs no disk joins the run before it if there is one: confirms may be late, never early.
 */
import { Deque } from '../lib/deque.ts'

class Run {
  readonly lsn: number
  sequence: number

  constructor(lsn: number, sequence: number) {
    this.lsn = lsn
    this.sequence = sequence
  }
}

export class Confirms {
  private readonly runs = new Deque<Run>()
  private released = 0

  get isEmpty(): boolean {
    return this.runs.length === 0
  }

  /** Publish number `sequence` waits for the frame `lsn`; 0 = for none. */
  add(sequence: number, lsn: number): void {
    const last = this.runs.peekLast()
    if (last !== undefined && last.lsn >= lsn) last.sequence = sequence
    else this.runs.push(new Run(lsn, sequence))
  }

  /** The highest publish number that may be confirmed now, 0 if there is none. */
  release(answerableLsn: number): number {
    let sequence = 0
    for (let run = this.runs.peek(); run !== undefined && run.lsn <= answerableLsn; run = this.runs.peek()) {
      sequence = run.sequence
      this.runs.shift()
    }
    return sequence
  }

  /** Remembers that everything up to `sequence` was confirmed; true if that was more than one publish. */
  confirmedUpTo(sequence: number): boolean {
    const several = sequence - this.released > 1
    this.released = sequence
    return several
  }
}
