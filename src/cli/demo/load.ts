/**
 * How much is sent when: calm, a rush that the workers cannot keep up with, calm again until the line is gone, and then
 * nothing, so that what was sent is done at the end.
 */

export interface Phase {
  readonly name: 'calm' | 'rush' | 'calm again' | 'nothing more'
  /** Up to this share of the time. */
  readonly until: number
  readonly perSecond: number
}

/** Four workers that take 40 ms on average manage 100 a second. */
export const workerCount = 4
export const workMsMin = 20
export const workMsMax = 60

const phases: readonly Phase[] = [
  { name: 'calm', until: 0.25, perSecond: 40 },
  { name: 'rush', until: 0.5, perSecond: 150 },
  { name: 'calm again', until: 0.85, perSecond: 40 },
  { name: 'nothing more', until: Number.POSITIVE_INFINITY, perSecond: 0 },
]

export function phaseAt(elapsedMs: number, durationMs: number): Phase {
  const share = elapsedMs / durationMs
  return phases.find(({ until }) => share < until) as Phase
}

/** Whether a photo cannot be read at all, however often it is tried. */
export function isCorrupt(number: number): boolean {
  return number % 97 === 20
}

/** Whether the first attempt at it fails, and the next one does not. */
export function isUnlucky(number: number): boolean {
  return number % 23 === 7
}
