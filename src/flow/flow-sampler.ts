/**
 * A sliding window over what a broker measures of a queue:
 *
 *     looks   f0 ─ f1 ─ f2 ─ f3 ─ f4           one now and then, and what happened between two of them is known
 *             └─────── window ──────┘
 *
 * Until looks cover a whole window it is all since measuring began. Pure: looks come in, what happened comes out.
 */
import { assert } from '../lib/assert.ts'
import { Deque } from '../lib/deque.ts'
import type { QueueFlow } from '../model/queue-flow.ts'
import { type FlowWindow, flowBetween } from './flow-window.ts'

/** So many looks cover a window. */
const looksPerWindow = 20

export class FlowSampler {
  private readonly windowSeconds: number
  /** What windows begin with. */
  private readonly looks = new Deque<QueueFlow>()
  private newest: QueueFlow | null = null

  constructor(windowSeconds: number) {
    assert(windowSeconds > 0, 'a window has a length')
    this.windowSeconds = windowSeconds
  }

  /** Null: nothing is measured, or not any more. */
  add(flow: QueueFlow | null): void {
    const { looks, newest } = this
    // A queue that was deleted and made again, or another broker, begins anew.
    const isOther = flow === null || newest === null || flow.sinceSeconds !== newest.sinceSeconds
    if (isOther || flow.arrivals < newest.arrivals) looks.clear()
    this.newest = flow
    if (flow === null) return
    const last = looks.peekLast()
    if (last === undefined || flow.atSeconds - last.atSeconds >= this.windowSeconds / looksPerWindow) looks.push(flow)
    const begin = flow.atSeconds - this.windowSeconds
    while (looks.length > 1 && (looks.get(1) as QueueFlow).atSeconds <= begin) looks.shift()
  }

  /** Null: nothing is measured. */
  window(): FlowWindow | null {
    const { newest, oldest } = this
    return newest === null ? null : flowBetween(oldest, newest)
  }

  /** Whether consumers came or went in the window, as far as looks show it. */
  get serversChanged(): boolean {
    const { looks, newest } = this
    for (let at = 0; at < looks.length; at++) if (looks.get(at)?.servers !== newest?.servers) return true
    return false
  }

  /** Where the window begins; null: where measuring did. */
  private get oldest(): QueueFlow | null {
    const first = this.looks.peek() ?? null
    const { newest } = this
    if (first === null || newest === null) return null
    return first.atSeconds <= newest.atSeconds - this.windowSeconds ? first : null
  }
}
