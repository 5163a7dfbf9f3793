/** What there is to see of a demonstration: plain numbers and words, which the screen, the lines and the summary are made of. */
import type { Platform } from '../../platform/platform.ts'
import type { Phase } from './load.ts'

/** What a demonstration needs of the world besides a bus. */
export type DemoPlatform = Pick<Platform, 'clock' | 'random'>

export interface DemoState {
  /** Where the messages are, as a user would type it: 'memory:' or a folder. */
  readonly where: string
  readonly durationMs: number
  readonly elapsedMs: number
  readonly phase: Phase
  readonly queue: QueueFigures
  /** Every 100 ms one, from the start; it grows while the demonstration goes on. */
  readonly history: readonly Sample[]
  readonly callbacks: CallbackFigures
  readonly events: EventFigures
  readonly calls: CallFigures
}

export interface QueueFigures {
  readonly name: string
  /** In the queue when the demonstration began, from one that was stopped. */
  readonly found: number
  readonly sent: number
  readonly processed: number
  readonly retried: number
  readonly deadLettered: number
}

/** One look at the queue; rates are messages per second over the last second. */
export interface Sample {
  readonly atMs: number
  readonly ready: number
  readonly unacked: number
  readonly delayed: number
  readonly sendRate: number
  readonly receiveRate: number
  readonly processingRate: number
  /** From its send to the begin of its handler, on average, of messages that began in the last second. */
  readonly waitMs: number
}

/** L and all that is hidden: what was sent and is not done. */
export function lengthOf({ ready, unacked, delayed }: Sample): number {
  return ready + unacked + delayed
}

export interface CallbackFigures {
  readonly processed: number
  readonly deadLettered: number
  /** From its send to the callback, over all that were told. */
  readonly totalMs: number
  /** The message that is followed now. */
  readonly followed: Followed | null
}

/** What its sender has been told of one message; times are milliseconds since its send, null: not yet. */
export interface Followed {
  readonly name: string
  readonly storedMs: number | null
  readonly deliveredMs: number | null
  /** From 0 to 1. */
  readonly progress: number
  readonly endedMs: number | null
  /** What the end was: the result, or what the error says. */
  readonly end: { readonly isGood: boolean; readonly text: string } | null
}

export interface EventFigures {
  readonly emitted: number
  readonly listeners: readonly ListenerFigures[]
}

export interface ListenerFigures {
  readonly name: string
  readonly pattern: string
  readonly heard: number
  /** Of the last event, what it was about. */
  readonly last: string
}

export interface CallFigures {
  readonly answered: number
  readonly totalMs: number
  /** The last question and its answer; null: there was none yet. */
  readonly last: { readonly question: string; readonly answer: string; readonly ms: number } | null
}
