/**
 * The ready entries of a queue that are not in its window, oldest first, as pages:
 *
 *     [ page | page | … | page being filled ]
 *        ^cursor                            ^add
 *
 * Entries are added at the end and taken at the front. One that is withdrawn leaves another page behind, without it.
 */
import { Deque } from '../lib/deque.ts'
import type { Residence } from '../model/message.ts'
import { Entry, RecordPlace } from './entry.ts'
import { blankEntry, forEachEntry, IndexPage, PageCursor, type PageEntry } from './index-page.ts'
import type { PageFiles } from './page-files.ts'

/** What a backlog needs to know of the log. */
export interface SegmentDirectory {
  /** The segment with that id, which has live entries and so is there. */
  segment(id: number): Residence
}

/** A segment to which records were copied, and where in it they are. */
export interface Relocation {
  readonly segment: Residence
  /** Where the record of that address is now; -1 if it was not copied. */
  find(segmentId: number, offset: number): number
}

export class Backlog {
  count = 0
  bodyBytes = 0
  private readonly queueId: number
  private readonly priority: number
  private readonly files: PageFiles
  private readonly directory: SegmentDirectory
  private readonly pages = new Deque<IndexPage>()
  private readonly cursor = new PageCursor()
  private lastSegment: Residence | null = null

  constructor(queueId: number, priority: number, files: PageFiles, directory: SegmentDirectory) {
    this.queueId = queueId
    this.priority = priority
    this.files = files
    this.directory = directory
  }

  add(entry: PageEntry): void {
    let page = this.pages.peekLast()
    const isNew = page === undefined || page.isClosed
    if (page === undefined || page.isClosed) {
      page = new IndexPage(this.queueId)
      this.pages.push(page)
    }
    const before = page.residentBytes
    page.add(entry)
    if (page.isFull) page.isClosed = true
    // Memory may be made by closing this very page, so it is counted when it has its entry.
    if (isNew) this.files.arrived(page)
    else if (page.residentBytes !== before) this.files.resized(page.residentBytes - before)
    this.count++
    this.bodyBytes += entry.bodyBytes
  }

  /** Recovery: adds a page that a checkpoint told of, whose entries come after all others. */
  addPage(page: IndexPage): void {
    this.files.recovered(page)
    this.keepPage(page)
  }

  private keepPage(page: IndexPage): void {
    this.pages.push(page)
    this.count += page.count - page.passed
    this.bodyBytes += page.bodyBytes
  }

  /** Moves up to `max` entries to the end of `target`, without their messages; returns how many. */
  take(target: Deque<Entry>, max: number, suspectBelow: number): number {
    const { cursor, pages } = this
    let taken = 0
    while (taken < max && this.count > 0) {
      const page = pages.peek() as IndexPage
      page.isTouched = true
      const bytes = this.files.need(page)
      if (bytes === null) break
      while (cursor.passed < page.passed) cursor.next(bytes)
      while (taken < max && cursor.passed < page.count) {
        cursor.next(bytes)
        page.pass(cursor.entry)
        target.push(this.makeEntry(cursor.entry, suspectBelow))
        taken++
        this.count--
        this.bodyBytes -= cursor.entry.bodyBytes
      }
      if (page.passed === page.count) this.dropFirst()
      else if (page.passed * 2 > page.count && pages.length > 1) this.files.prefetch(pages.get(1) as IndexPage)
    }
    return taken
  }

  /** As Lane.list, of what is here. Pages that are left out as a whole are not read. */
  list(after: number, skip: number, max: number, suspectBelow: number, into: Entry[]): number {
    let left = skip
    const end = into.length + max
    for (let at = 0; at < this.pages.length && into.length < end; at++) {
      const page = this.pages.get(at) as IndexPage
      if (page.lastSequence <= after) continue
      const waiting = page.count - page.passed
      if (left >= waiting && after < page.firstSequence) {
        left -= waiting
        continue
      }
      const bytes = this.files.need(page)
      if (bytes === null) break
      const cursor = new PageCursor()
      while (cursor.passed < page.count && into.length < end) {
        cursor.next(bytes)
        if (cursor.passed <= page.passed || cursor.entry.sequence <= after) continue
        if (left > 0) left--
        else into.push(this.makeEntry(cursor.entry, suspectBelow))
      }
    }
    return left
  }

  /** Visits what is here, as it is; the object is the same each time, and not to be changed. `entryOf` makes an entry of it. */
  forEachEntry(visit: (entry: PageEntry) => void): void {
    this.forEachPage((page) => {
      const bytes = this.files.need(page)
      if (bytes !== null) forEachEntry(page, bytes, visit)
    })
  }

  entryOf(from: PageEntry): Entry {
    return this.makeEntry(from, 0)
  }

  /** Takes the entry with that sequence out, which counts in its segment no more; null if it is not here. */
  withdraw(sequence: number): Entry | null {
    const at = this.pageWith(sequence)
    const page = this.pages.get(at)
    const bytes = page === undefined ? null : this.files.need(page)
    if (page === undefined || bytes === null) return null
    const rest = new IndexPage(this.queueId)
    let found: Entry | null = null
    forEachEntry(page, bytes, (entry) => {
      if (entry.sequence === sequence) found = this.makeEntry(entry, 0)
      else rest.add(entry)
    })
    if (found === null) return null
    const { bodyBytes, segment } = found as Entry
    ;(segment as Residence).live--
    this.count--
    this.bodyBytes -= bodyBytes
    rest.isClosed = page.isClosed
    if (rest.count > 0) this.pages.set(at, rest)
    else {
      for (let behind = at + 1; behind < this.pages.length; behind++) {
        this.pages.set(behind - 1, this.pages.get(behind) as IndexPage)
      }
      this.pages.pop()
    }
    if (at === 0) this.cursor.reset()
    page.isSuperseded = true
    this.files.discard(page)
    if (rest.count > 0) this.files.arrived(rest)
    return found
  }

  /** Lets go of everything. Without reading it: pages know which segments they refer to. */
  clear(): void {
    while (this.pages.length > 0) {
      const { segments, segmentsAt } = this.pages.peek() as IndexPage
      for (let at = segmentsAt; at < segments.length; at += 2) {
        this.segment(segments[at] as number).live -= segments[at + 1] as number
      }
      this.dropFirst()
    }
    this.count = 0
    this.bodyBytes = 0
  }

  /** As `clear`, before the segments know of any entry. */
  discard(): void {
    while (this.pages.length > 0) this.dropFirst()
    this.count = 0
    this.bodyBytes = 0
  }

  /** Counts every entry in its segment: recovery does so once it knows what lives. */
  countLive(): void {
    this.forEachPage(({ segments, segmentsAt }) => {
      for (let at = segmentsAt; at < segments.length; at += 2) {
        this.segment(segments[at] as number).live += segments[at + 1] as number
      }
    })
  }

  forEachPage(visit: (page: IndexPage) => void): void {
    for (let at = 0; at < this.pages.length; at++) visit(this.pages.get(at) as IndexPage)
  }

  /** Lets the entries of a page say where their records were copied to. The page is replaced by another. */
  rewrite(page: IndexPage, copy: Relocation): void {
    const at = this.find(page)
    const bytes = at === -1 ? null : this.files.need(page)
    if (bytes === null) return
    const moved = new IndexPage(this.queueId)
    const entry = blankEntry()
    forEachEntry(page, bytes, (old) => {
      copyEntry(old, entry)
      const newOffset = copy.find(old.segmentId, old.offset)
      if (newOffset !== -1) {
        this.segment(old.segmentId).live--
        copy.segment.live++
        copy.segment.references++
        entry.segmentId = copy.segment.id
        entry.offset = newOffset
      }
      moved.add(entry)
    })
    moved.isClosed = page.isClosed
    this.pages.set(at, moved)
    if (at === 0) this.cursor.reset()
    this.files.discard(page)
    this.files.arrived(moved)
  }

  /** Salvage: visits the entries whose segment is one of those. */
  forEachEntryIn(isOne: (segmentId: number) => boolean, visit: (entry: PageEntry) => void): void {
    this.forEachPage((page) => {
      const ids = page.segments.filter((_, at) => at >= page.segmentsAt && (at - page.segmentsAt) % 2 === 0)
      const bytes = ids.some(isOne) ? this.files.need(page) : null
      if (bytes === null) return
      forEachEntry(page, bytes, (entry) => {
        if (isOne(entry.segmentId)) visit(entry)
      })
    })
  }

  /** Salvage: another page takes the place of one that cannot be read. Before anything was taken. */
  replace(page: IndexPage, rescued: IndexPage): void {
    const at = this.find(page)
    if (at === -1) return
    this.pages.set(at, rescued)
    this.count += rescued.count - (page.count - page.passed)
    this.bodyBytes += rescued.bodyBytes - page.bodyBytes
    this.files.discard(page)
    this.files.arrived(rescued)
  }

  /** Where in the ring the page is; -1 if it was taken from the queue meanwhile. Their first sequences ascend. */
  private find(page: IndexPage): number {
    const at = this.pageWith(page.firstSequence)
    return this.pages.get(at) === page ? at : -1
  }

  /** Where in the ring the page is that may have the entry with that sequence; -1 if it is before all of them. */
  private pageWith(sequence: number): number {
    let low = 0
    let high = this.pages.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.pages.get(middle) as IndexPage).firstSequence <= sequence) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  /**
   * Leaves out entries: those whose sequence is in `gone` (ranges as start, end, start, end …, ascending), and with
   * `withoutTransient` those that do not survive a restart; counts those in `seen` as handed out. Only in recovery, before
   * anything was taken.
   */
  sift(gone: readonly number[], seen: readonly number[], withoutTransient: boolean): void {
    const old: IndexPage[] = []
    for (let page = this.pages.shift(); page !== undefined; page = this.pages.shift()) old.push(page)
    this.cursor.reset()
    this.count = 0
    this.bodyBytes = 0
    const entry = blankEntry()
    let goneAt = 0
    let seenAt = 0
    for (const page of old) {
      while (goneAt < gone.length && (gone[goneAt + 1] as number) < page.firstSequence) goneAt += 2
      while (seenAt < seen.length && (seen[seenAt + 1] as number) < page.firstSequence) seenAt += 2
      const isWhole =
        (gone[goneAt] ?? Number.POSITIVE_INFINITY) > page.lastSequence &&
        (seen[seenAt] ?? Number.POSITIVE_INFINITY) > page.lastSequence &&
        (page.transientCount === 0 || !withoutTransient)
      const isGone =
        (gone[goneAt] ?? Number.POSITIVE_INFINITY) <= page.firstSequence &&
        (gone[goneAt + 1] as number) >= page.lastSequence
      if (isWhole) {
        page.isClosed = true
        this.keepPage(page)
        continue
      }
      const bytes = isGone ? null : this.files.need(page)
      if (bytes !== null) {
        let atGone = goneAt
        let atSeen = seenAt
        forEachEntry(page, bytes, (old) => {
          const { sequence } = old
          if (old.isTransient && withoutTransient) return
          while (atGone < gone.length && (gone[atGone + 1] as number) < sequence) atGone += 2
          if (atGone < gone.length && (gone[atGone] as number) <= sequence) return
          while (atSeen < seen.length && (seen[atSeen + 1] as number) < sequence) atSeen += 2
          const isSeen = atSeen < seen.length && (seen[atSeen] as number) <= sequence
          copyEntry(old, entry)
          if (isSeen && old.deliveryCount === 0) entry.deliveryCount = 1
          this.add(entry)
        })
      }
      this.files.discard(page)
    }
  }

  private dropFirst(): void {
    const page = this.pages.shift() as IndexPage
    this.files.discard(page)
    this.cursor.reset()
  }

  private makeEntry(from: PageEntry, suspectBelow: number): Entry {
    const { sequence, segmentId, offset, recordBytes, isTransient, bodyBytes, deliveryCount, expiresAt, keyHash } = from
    const entry = new Entry(null, sequence, !isTransient, bodyBytes, this.priority, expiresAt, keyHash)
    entry.place = new RecordPlace(this.segment(segmentId), offset, recordBytes)
    entry.deliveryCount = deliveryCount === 0 && sequence < suspectBelow ? 1 : deliveryCount
    return entry
  }

  private segment(id: number): Residence {
    if (this.lastSegment === null || this.lastSegment.id !== id) this.lastSegment = this.directory.segment(id)
    return this.lastSegment
  }
}

function copyEntry(from: PageEntry, into: PageEntry): void {
  into.sequence = from.sequence
  into.segmentId = from.segmentId
  into.offset = from.offset
  into.recordBytes = from.recordBytes
  into.bodyBytes = from.bodyBytes
  into.deliveryCount = from.deliveryCount
  into.isTransient = from.isTransient
  into.expiresAt = from.expiresAt
  into.keyHash = from.keyHash
}
