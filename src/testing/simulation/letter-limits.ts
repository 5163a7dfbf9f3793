/**
 * Which letters a queue that holds only so much may have dropped. Who is ready at a moment is not known: somebody may have
 * expired into the queue, or out of it. So this takes in everybody who may be there, and a letter may have been dropped if
 * too many of these are not before it for sure. The newest of a queue where nothing is in doubt is never among them.
 */
import { type Letter, type LetterQueue, rankOf, type Station } from './letter.ts'

interface Ready {
  readonly letter: Letter
  readonly station: Station
}

export function isLimited({ rules }: LetterQueue): boolean {
  return Math.min(rules.messagesMax, rules.bytesMax) < Number.POSITIVE_INFINITY
}

/** Marks what may have been dropped between those times; what was dropped in one queue may be too much in the next. */
export function markDropped(
  letters: readonly Letter[],
  queues: readonly LetterQueue[],
  fromMs: number,
  nowMs: number,
): void {
  for (let isChanged = true; isChanged; ) {
    isChanged = false
    for (const queue of queues) if (markIn(queue, letters, fromMs, nowMs)) isChanged = true
  }
}

/** Whether one more letter may be too much for a queue that refuses. */
export function mayBeFull(queue: LetterQueue, letters: readonly Letter[], bodyBytes: number, nowMs: number): boolean {
  const others = new Set(readyIn(queue, letters, nowMs).map(({ letter }) => letter))
  return isTooMuch(queue, others, bodyBytes)
}

function markIn(queue: LetterQueue, letters: readonly Letter[], fromMs: number, nowMs: number): boolean {
  const ready = readyIn(queue, letters, nowMs)
  let isChanged = false
  for (const one of ready) {
    const { letter, station } = one
    if (station.droppedMs < Number.POSITIVE_INFINITY) continue
    const others = ready.filter((other) => other.letter !== letter && !isAhead(other, one))
    if (!isTooMuch(queue, new Set(others.map((other) => other.letter)), letter.bodyBytes)) continue
    station.droppedMs = fromMs
    isChanged = true
  }
  return isChanged
}

function isTooMuch({ rules }: LetterQueue, others: ReadonlySet<Letter>, bodyBytes: number): boolean {
  const bytes = [...others].reduce((sum, other) => sum + other.bodyBytes, bodyBytes)
  return others.size + 1 > rules.messagesMax || bytes > rules.bytesMax
}

function readyIn(queue: LetterQueue, letters: readonly Letter[], nowMs: number): Ready[] {
  const ready: Ready[] = []
  const never = Number.POSITIVE_INFINITY
  for (const letter of letters) {
    if (!letter.hasArrived || letter.isGone || letter.isHeld || letter.place.ackedLsn < never) continue
    for (const station of letter.possible(Number.MAX_SAFE_INTEGER, nowMs).stations) {
      if (station.queue !== queue || station.isHidden || station.rejectedMs < never) continue
      ready.push({ letter, station })
    }
  }
  return ready
}

/** Whether the one leaves the queue first, whatever happened. */
function isAhead(one: Ready, other: Ready): boolean {
  const { queue } = one.station
  const isKnown = ({ letter, station }: Ready): boolean => station.deaths.length === 0 && !letter.isDelayed
  if (queue.keyed > 0 || !isKnown(one) || !isKnown(other)) return false
  const [rank, otherRank] = [rankOf(one.letter, queue), rankOf(other.letter, queue)]
  return rank === otherRank ? one.letter.arrival < other.letter.arrival : rank > otherRank
}
