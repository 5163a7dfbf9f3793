/** An entry of an index page, for tests that care for some of its facts only. */
import { blankEntry, type PageEntry } from '../store/index-page.ts'

/** Of a message of 64 bytes in segment 1, but for what is said of it. */
export function entryOf(facts: Partial<PageEntry>): PageEntry {
  return { ...blankEntry(), segmentId: 1, recordBytes: 100, bodyBytes: 64, ...facts }
}
