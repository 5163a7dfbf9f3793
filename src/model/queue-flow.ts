/**
 * What a broker measures of the messages that go through a queue, beside counting them: sums that only ever grow, so that two
 * looks say what happened between them. Times are in seconds.
 *
 *     a message     arrives ──── wait ────▶ begins ──── processing ────▶ is settled
 *     it is         ready, or ahead of its    in one of the places of
 *                   turn with a consumer      a consumer
 *
 * A consumer that says how many messages it works on at once begins with those that came to it first, each when one before it was
 * settled; what it was handed beyond that still waits. One that does not say is taken to work on all that it was handed. Of what
 * basic.get takes, or a consumer that does not acknowledge, the wait is known and no processing.
 */

/** How long something took, of many. Where they are more than a thousand or so in a second, some stand for all. */
export interface FlowTimes {
  readonly count: number
  /** How many of them were looked at. */
  readonly samples: number
  /** Σx. */
  readonly seconds: number
  /** Σx². */
  readonly secondsSquared: number
  /** A histogram: see lib/histogram.ts. */
  readonly buckets: readonly number[]
}

export interface QueueFlow {
  /** When this was said, by a clock that never goes back. */
  readonly atSeconds: number
  /** From when on this was measured, by the same clock. */
  readonly sinceSeconds: number
  /** Messages that became ready: sent, or due after a delay. */
  readonly arrivals: number
  /** Deliveries of messages that were handed out before: given back, or due after a retry that keeps its place. */
  readonly returns: number
  /** Times between arrivals, all but the first. */
  readonly gaps: Omit<FlowTimes, 'buckets' | 'samples'>
  /** Arrivals in spans of 1, 2, 4, … ms: see lib/span-counts.ts. */
  readonly spans: readonly number[]
  /** From arrival until somebody begins with it, of messages that nobody had before. */
  readonly wait: FlowTimes
  /** From then until it is settled or given back. */
  readonly processing: FlowTimes
  /** How many wait, integrated over time: message-seconds. */
  readonly waitingSeconds: number
  /** How many are worked on, integrated over time. */
  readonly workingSeconds: number
  /** How many wait now, and are worked on. */
  readonly waiting: number
  readonly working: number
  /** How long the first ready message has been ready; null: there is none, or it came before this broker was started. */
  readonly oldestSeconds: number | null
  /** How many messages all consumers together work on at once; null: as many as they are handed. */
  readonly servers: number | null
  /** Whether some of them did not say so, and it is taken from their prefetch. */
  readonly isGuessed: boolean
  /** Consumers that are handed more than they work on: what waits with one is not for others, who may have nothing to do. */
  readonly holdingAhead: number
  /** Consumers that take messages without acknowledging them: nobody knows when they are done. */
  readonly unacknowledging: number
  /** How many messages it may hold; null: any number. */
  readonly lengthMax: number | null
  /** Messages of one key wait for one another, so that a free server may find nothing to do. */
  readonly isKeyed: boolean
}
