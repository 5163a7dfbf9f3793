/** Which messages of a queue that stay were handed out before: what the end of a broker tells the next one. */
import { isDelayedLane } from './delay-wheel.ts'
import type { Entry } from './entry.ts'
import { forEachEntry } from './index-page.ts'
import type { PageFiles } from './page-files.ts'
import type { QueueIndex } from './queue-index.ts'
import { RangeList } from './range-list.ts'

export function deliveredRanges(index: QueueIndex, pages: PageFiles): RangeList {
  const delivered = new RangeList()
  const note = (entry: Entry): void => {
    if (entry.logged && entry.deliveryCount > 0) delivered.add(entry.sequence)
  }
  index.forEachOutside(note)
  index.lanes.forEach((lane) => {
    // Nobody was handed what is hidden, and its pages say something else there.
    if (isDelayedLane(lane.number)) return
    lane.forEachEntry(note)
    lane.backlog?.forEachPage((page) => {
      const bytes = pages.need(page)
      if (bytes === null) return
      forEachEntry(page, bytes, ({ sequence, deliveryCount }) => {
        if (deliveryCount > 0 || sequence < index.suspectBelow) delivered.add(sequence)
      })
    })
  })
  return delivered
}
