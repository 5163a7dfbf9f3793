/**
 * A page of a queue's index: entries in ascending order of their sequences, each told by what it differs from the one
 * before, so that in a steady stream an entry is one byte. The same bytes are in memory, in a page file and in a
 * checkpoint.
 *
 *     entry   flags u8
 *             sequence, as the distance from the one before     varint   unless NEXT: that plus one
 *             segment id                                        varint   unless SAME_SEGMENT
 *             offset of the record                              varint   unless ADJACENT: where the last record ended
 *             record bytes, body bytes                          varints  unless SAME_SIZE
 *             delivery count                                    varint   if DELIVERED
 *             expiry, ms since 1970                             varint   if EXPIRES
 *             hash of the key                                   varint   if KEYED
 *
 * The first entry of a page differs from zeros. TRANSIENT: it does not survive a restart.
 */

const NEXT = 1
const SAME_SEGMENT = 2
const ADJACENT = 4
const SAME_SIZE = 8
const DELIVERED = 16
const TRANSIENT = 32
const EXPIRES = 64
const KEYED = 128

/** A page is full when it has that many bytes or entries: it is read and checked as a whole. */
const pageBytesFull = 16_000
const pageEntriesMax = 8_000
/** No entry is longer. */
const entryBytesMax = 64
const pageBytesMin = 256

/** Where a page is in a page file. */
export interface PagePlace {
  readonly file: number
  readonly position: number
}

/** What an index entry says, taken apart. */
export interface PageEntry {
  sequence: number
  segmentId: number
  offset: number
  recordBytes: number
  bodyBytes: number
  deliveryCount: number
  isTransient: boolean
  expiresAt: number
  keyHash: number
}

/**
 * Whoever adds many entries fills in the same one again and again. They are added and read on the way of every message of a
 * long queue: so all are made here, with one shape, and none is made for one message.
 */
export function blankEntry(): PageEntry {
  return {
    sequence: 0,
    segmentId: 0,
    offset: 0,
    recordBytes: 0,
    bodyBytes: 0,
    deliveryCount: 0,
    isTransient: false,
    expiresAt: 0,
    keyHash: 0,
  }
}

export class IndexPage {
  readonly queueId: number
  /** Null while the page is in its file only. */
  bytes: Buffer | null
  usedBytes = 0
  /** Entries, with those that were taken. */
  count = 0
  /** Entries that were taken, from the front; what follows is told of the others alone. */
  passed = 0
  bodyBytes = 0
  transientCount = 0
  firstSequence = 0
  lastSequence = 0
  /** Segments that its entries refer to, as id, count, id, count …, in the order they came; valid from `segmentsAt` on. */
  readonly segments: number[] = []
  segmentsAt = 0
  /** The bytes in memory belong to no page any more. */
  isDead = false
  /** Another took its place when one of its entries was withdrawn: what it says held until then. */
  isSuperseded = false
  /** Nothing is added any more. */
  isClosed = false
  /** Its queue took entries from it lately. */
  isTouched = false
  crc = 0
  place: PagePlace | null = null
  /** It is being written, or read. */
  isMoving = false
  private segmentId = 0
  private end = 0
  private recordBytes = 0
  private entryBody = 0

  constructor(queueId: number, bytes: Buffer | null = Buffer.allocUnsafeSlow(pageBytesMin)) {
    this.queueId = queueId
    this.bytes = bytes
  }

  get isFull(): boolean {
    return this.usedBytes >= pageBytesFull || this.count >= pageEntriesMax
  }

  /** How many bytes of memory it takes now. */
  get residentBytes(): number {
    return this.bytes === null ? 0 : this.bytes.length
  }

  add(entry: PageEntry): void {
    const { sequence, segmentId, offset, recordBytes, bodyBytes, deliveryCount, expiresAt, keyHash } = entry
    let bytes = this.bytes as Buffer
    if (this.usedBytes + entryBytesMax > bytes.length) bytes = this.grow()
    const start = this.usedBytes
    let at = start + 1
    let flags = 0
    if (this.count > 0 && sequence === this.lastSequence + 1) flags |= NEXT
    else at = writeVarint(bytes, at, sequence - this.lastSequence)
    if (segmentId === this.segmentId) flags |= SAME_SEGMENT
    else at = writeVarint(bytes, at, segmentId)
    if (segmentId === this.segmentId && offset === this.end) flags |= ADJACENT
    else at = writeVarint(bytes, at, offset)
    if (recordBytes === this.recordBytes && bodyBytes === this.entryBody) flags |= SAME_SIZE
    else {
      at = writeVarint(bytes, at, recordBytes)
      at = writeVarint(bytes, at, bodyBytes)
    }
    if (deliveryCount > 0) {
      flags |= DELIVERED
      at = writeVarint(bytes, at, deliveryCount)
    }
    if (entry.isTransient) {
      flags |= TRANSIENT
      this.transientCount++
    }
    if (expiresAt > 0) {
      flags |= EXPIRES
      at = writeVarint(bytes, at, expiresAt)
    }
    if (keyHash > 0) {
      flags |= KEYED
      at = writeVarint(bytes, at, keyHash)
    }
    bytes[start] = flags
    this.usedBytes = at
    if (this.count === 0) this.firstSequence = sequence
    this.lastSequence = sequence
    this.countSegment(segmentId)
    this.segmentId = segmentId
    this.end = offset + recordBytes
    this.recordBytes = recordBytes
    this.entryBody = bodyBytes
    this.count++
    this.bodyBytes += bodyBytes
  }

  /** The page as it is now, to be told of later: with the bytes that are in memory, if `withBytes` as a copy. */
  freeze(withBytes: boolean): IndexPage {
    const bytes = this.bytes === null ? null : this.bytes.subarray(0, this.usedBytes)
    const frozen = new IndexPage(this.queueId, withBytes && bytes !== null ? Buffer.from(bytes) : bytes)
    frozen.usedBytes = this.usedBytes
    frozen.count = this.count
    frozen.passed = this.passed
    frozen.bodyBytes = this.bodyBytes
    frozen.transientCount = this.transientCount
    frozen.firstSequence = this.firstSequence
    frozen.lastSequence = this.lastSequence
    for (let at = this.segmentsAt; at < this.segments.length; at++) frozen.segments.push(this.segments[at] as number)
    frozen.isClosed = this.isClosed
    frozen.crc = this.crc
    frozen.place = this.place
    return frozen
  }

  /** The first entry is taken. */
  pass(entry: PageEntry): void {
    const { segments } = this
    this.passed++
    this.bodyBytes -= entry.bodyBytes
    if (entry.isTransient) this.transientCount--
    const left = (segments[this.segmentsAt + 1] as number) - 1
    segments[this.segmentsAt + 1] = left
    if (left === 0) this.segmentsAt += 2
  }

  private countSegment(segmentId: number): void {
    const { segments } = this
    if (segments.length > this.segmentsAt && segments[segments.length - 2] === segmentId) {
      segments[segments.length - 1] = (segments[segments.length - 1] as number) + 1
    } else segments.push(segmentId, 1)
  }

  private grow(): Buffer {
    const grown = Buffer.allocUnsafeSlow((this.bytes as Buffer).length * 2)
    ;(this.bytes as Buffer).copy(grown, 0, 0, this.usedBytes)
    this.bytes = grown
    return grown
  }
}

/** Reads a page from its first entry on; the page's bytes may come and go meanwhile, they are given at each step. */
export class PageCursor {
  /** How many entries were read. */
  passed = 0
  /** The one that was read last; what the next one says of itself is told by what it differs from it. */
  readonly entry: PageEntry = blankEntry()
  private at = 0

  reset(): void {
    const { entry } = this
    this.passed = 0
    entry.sequence = 0
    entry.segmentId = 0
    entry.offset = 0
    entry.recordBytes = 0
    entry.bodyBytes = 0
    this.at = 0
  }

  /** Takes the next entry; the caller knows that there is one. */
  next(bytes: Buffer): void {
    const { entry } = this
    const flags = bytes[this.at++] as number
    entry.sequence += flags & NEXT ? 1 : this.varint(bytes)
    if ((flags & SAME_SEGMENT) === 0) entry.segmentId = this.varint(bytes)
    entry.offset = flags & ADJACENT ? entry.offset + entry.recordBytes : this.varint(bytes)
    if ((flags & SAME_SIZE) === 0) {
      entry.recordBytes = this.varint(bytes)
      entry.bodyBytes = this.varint(bytes)
    }
    entry.deliveryCount = flags & DELIVERED ? this.varint(bytes) : 0
    entry.isTransient = (flags & TRANSIENT) !== 0
    entry.expiresAt = flags & EXPIRES ? this.varint(bytes) : 0
    entry.keyHash = flags & KEYED ? this.varint(bytes) : 0
    this.passed++
  }

  private varint(bytes: Buffer): number {
    let byte = bytes[this.at++] as number
    if (byte < 128) return byte
    let value = byte & 127
    let scale = 128
    do {
      byte = bytes[this.at++] as number
      value += (byte & 127) * scale
      scale *= 128
    } while (byte >= 128)
    return value
  }
}

/** Visits the entries of a page that were not taken. The object is the same each time, and not to be changed. */
export function forEachEntry(page: IndexPage, bytes: Buffer, visit: (entry: PageEntry) => void): void {
  const cursor = new PageCursor()
  while (cursor.passed < page.count) {
    cursor.next(bytes)
    if (cursor.passed > page.passed) visit(cursor.entry)
  }
}

function writeVarint(target: Buffer, start: number, value: number): number {
  let at = start
  let rest = value
  while (rest >= 128) {
    target[at++] = (rest % 128) | 128
    rest = Math.floor(rest / 128)
  }
  target[at++] = rest
  return at
}
