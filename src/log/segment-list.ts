/** Finding a segment, and a record's home, in a list of segments in the order of their ids. */
import { framesStart, type Segment } from './segment.ts'

export function findSegment(list: readonly Segment[], id: number): Segment | null {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((list[middle] as Segment).id < id) low = middle + 1
    else high = middle
  }
  const segment = list[low]
  return segment !== undefined && segment.id === id ? segment : null
}

/** The segment that holds the record with the address (segmentId, offset), which may have moved (segment.ts). */
export function findHome(list: readonly Segment[], segmentId: number, offset: number): Segment | null {
  let id = segmentId
  let at = offset
  for (;;) {
    const next = findSegment(list, id + 1)
    if (next === null || next.previousId !== id || at < next.previousBytes) return findSegment(list, id)
    at += framesStart - next.previousBytes
    id++
  }
}

/** Where in it. */
export function findHomeOffset(list: readonly Segment[], segmentId: number, offset: number): number {
  let id = segmentId
  let at = offset
  for (;;) {
    const next = findSegment(list, id + 1)
    if (next === null || next.previousId !== id || at < next.previousBytes) return at
    at += framesStart - next.previousBytes
    id++
  }
}

/** Puts a segment in its place: one for a batch that had to move goes before the one that was planned behind it. */
export function insertSegment(list: Segment[], segment: Segment): void {
  let index = list.length
  while (index > 0 && (list[index - 1] as Segment).id > segment.id) index--
  list.splice(index, 0, segment)
}
