/**
 * One queue, in the plainest data there is: a sorted array of what is ready and a map of what is out. It is told what a
 * broker did and throws as soon as that was wrong: out of order, a wrong redelivered flag, something that was never
 * published, or twice the same.
 *
 * A holder is whoever an entry is out with, named by the test: channel and delivery tag, say.
 */
import { assert } from '../lib/assert.ts'

export interface ReferenceEntry {
  readonly body: string
  /** Its place among all that was ever published here, from 1. */
  readonly position: number
  deliveries: number
}

export class ReferenceQueue {
  /** By position. */
  ready: ReferenceEntry[] = []
  readonly unacked: Map<string, ReferenceEntry> = new Map()
  published = 0
  /** Settled or purged. */
  gone = 0

  publish(body: string): void {
    this.ready.push({ body, position: ++this.published, deliveries: 0 })
  }

  /** The broker hands out `body`; it stays with `holder`, or is gone at once if there is none. */
  handOut(holder: string | null, body: string, redelivered: boolean): void {
    const entry = this.ready.shift()
    assert(entry !== undefined, `'${body}' is handed out and nothing is ready`)
    assert(entry.body === body, `'${body}' is handed out before '${entry.body}'`)
    assert(redelivered === entry.deliveries > 0, `'${body}' was handed out ${entry.deliveries} times before`)
    entry.deliveries++
    if (holder === null) this.gone++
    else {
      assert(!this.unacked.has(holder), `${holder} holds one thing only`)
      this.unacked.set(holder, entry)
    }
  }

  settle(holder: string): void {
    assert(this.unacked.delete(holder), `${holder} holds something`)
    this.gone++
  }

  requeue(holder: string): void {
    const entry = this.unacked.get(holder)
    assert(entry !== undefined, `${holder} holds something`)
    this.unacked.delete(holder)
    this.ready.push(entry)
    this.ready.sort((left, right) => left.position - right.position)
  }

  /** Removes what is ready and returns how many that were. */
  purge(): number {
    const count = this.ready.length
    this.ready = []
    this.gone += count
    return count
  }

  /** Everybody who held something is gone, and after an end that nobody announced everything may have been seen. */
  restart(wasClean: boolean): void {
    for (const holder of this.unacked.keys()) this.requeue(holder)
    if (!wasClean) for (const entry of this.ready) entry.deliveries++
  }

  /** What is ready as text, with `!` behind what was handed out before. */
  get readyText(): string[] {
    return this.ready.map((entry) => entry.body + (entry.deliveries > 0 ? '!' : ''))
  }

  /** Nothing was lost and nothing came twice. */
  check(): void {
    const there = this.ready.length + this.unacked.size + this.gone
    assert(there === this.published, `${this.published} were published and ${there} are known`)
  }
}
