/**
 * A segment is one file, `log/%010d.log`, of the log. Little endian.
 *
 *        0  header              the same 64 bytes twice, in two sectors: one of them suffices
 *      512  header
 *     1024  frames, one after the other
 *
 *     header, 64 B
 *      0  8  magic 'LEVERET\n'                               40  8  sealed length of the previous segment
 *      8  2  format major                                    48  4  header CRC of the last frame before this segment
 *     10  2  format minor                                    52  4  key id (0: not encrypted)
 *     12  4  flags (2 = cold, 4 = see `deferredFlag`,        56  2  checksum algorithm (1 = CRC-32 of zlib)
 *            1 = encrypted, see below)
 *     16  4  id                                              58  2  ids left out between the previous segment and this
 *     20  4  epoch: how often the folder was opened          60  4  CRC of bytes 0..59
 *     24  8  LSN of the first frame
 *     32  8  salt
 *
 * Reserved for encryption at rest: a record's payload would be sealed under a key derived from the key of that id and the
 * salt, with the record's own address in the segment as the nonce. No nonce would be used twice, because nothing is: no
 * address of a segment is written twice under one salt. Checksums would be those of the sealed bytes, so that what needs no
 * content (verify, backup, recovery of the index) would need no key. A key id that is not 0 is refused by this version.
 *
 * A segment never says how long it is: its successor does, and what lies beyond that length does not count. A successor
 * is written only when all of its predecessor's frames are synced, so a valid header proves them durable.
 *
 * Addresses last: records that had to move (their segment could not be written on, or they were found unproven after a
 * crash) lie, in the same order and at the same distances, at the start of the following segment. So the address
 * (id, offset) with an offset at or beyond the sealed length means (id + 1, offset - sealed length + 1024). For that to
 * be unambiguous a roll leaves out one id: it is there for a predecessor whose last frame turns out to be unwritable.
 */
import { assert } from '../lib/assert.ts'
import { crc32 } from '../lib/crc32.ts'
import type { DiskFile } from '../platform/disk.ts'
import { readU64, writeU64 } from './frame.ts'

export const formatMajor = 1
export const formatMinor = 0

export const headerBytes = 64
export const headerCopyOffset = 512
export const framesStart = 1024

/**
 * Frames of the segment may have been written, and answered for, before those before them were synced: a power cut can
 * take several of its last frames, and leave some of those behind a lost one.
 */
export const deferredFlag = 4

const magic = Buffer.from('LEVERET\n', 'latin1')
const checksumCrc32 = 1

export interface SegmentHeader {
  major: number
  minor: number
  flags: number
  id: number
  /** 0: there was none before. */
  previousId: number
  epoch: number
  firstLsn: number
  salt: Buffer
  previousBytes: number
  previousCrc: number
  /** 0: not encrypted. */
  keyId: number
  checksum: number
}

/** What the caller of the log sees of a segment, and counts on it. */
export class Segment {
  readonly id: number
  readonly path: string
  /** References into this segment, counted by the caller alone. */
  live = 0
  /** How many there ever were, as far as anybody knows. */
  references = 0
  /** Only checkpoints from this number on do without it, although nothing in it lives: its records were copied. */
  neededBefore = 0
  /** How far the file is written and, unless syncing is put off, durable; for a sealed segment its length. */
  bytes: number = framesStart
  /** A successor is durable: nothing is added any more. */
  sealed = false
  /** Records counted on that segment have moved into this one: see `isRetirable`. */
  movedFrom: Segment | null = null

  // The rest is the log's own.
  /** Given up; its file goes when the frame that says so is durable. */
  isRetiring = false
  readonly flags: number
  readonly epoch: number
  salt: Buffer
  saltCrc: number
  firstLsn: number
  previousId: number
  previousBytes: number
  previousCrc: number
  /** The chain: header CRC of the last durable frame up to here. */
  lastCrc: number
  file: DiskFile | null = null
  /** The file is known to end, durably, where the segment is sealed. */
  isTrimmed = true
  /** Creating it was tried and failed: a file may be in the way. */
  mayExist = false

  constructor(directory: string, header: SegmentHeader, name: string = segmentName(header.id)) {
    this.id = header.id
    this.path = `${directory}/${name}`
    this.flags = header.flags
    this.epoch = header.epoch
    this.salt = header.salt
    this.saltCrc = crc32(header.salt, 0, header.salt.length, 0)
    this.firstLsn = header.firstLsn
    this.previousId = header.previousId
    this.previousBytes = header.previousBytes
    this.previousCrc = header.previousCrc
    this.lastCrc = header.previousCrc
  }

  /** Whether nothing needs the file any more. A record that moved here may still be counted where it came from. */
  get isDeferred(): boolean {
    return (this.flags & deferredFlag) !== 0
  }

  get isRetirable(): boolean {
    return this.sealed && !this.isRetiring && !this.isReferred
  }

  private get isReferred(): boolean {
    return this.live > 0 || (this.movedFrom !== null && this.movedFrom.isReferred)
  }

  /** A new salt, for a second try: no two different frames are ever written under one salt and LSN. */
  renewSalt(salt: Buffer): void {
    this.salt = salt
    this.saltCrc = crc32(salt, 0, salt.length, 0)
  }

  /** States what lies before: only known when the segment is about to be written. */
  follow(previous: Segment, firstLsn: number): void {
    assert(previous.id < this.id, 'segments follow in the order of their ids')
    this.previousId = previous.id
    this.previousBytes = previous.bytes
    this.previousCrc = previous.lastCrc
    this.lastCrc = previous.lastCrc
    this.firstLsn = firstLsn
  }
}

export function segmentName(id: number): string {
  return `${String(id).padStart(10, '0')}.log`
}

/** The id in a segment's file name; 0 if it is not one. */
export function segmentIdOf(name: string): number {
  return /^\d{10}\.log$/.test(name) ? Number(name.slice(0, 10)) : 0
}

/** Writes both copies of the header into `target[0, 1024)`. */
export function encodeSegmentHeader(segment: Segment, target: Buffer, flags: number = segment.flags): void {
  assert(target.length >= framesStart, 'both copies of the header fit')
  target.fill(0, 0, framesStart)
  magic.copy(target, 0)
  target.writeUInt16LE(formatMajor, 8)
  target.writeUInt16LE(formatMinor, 10)
  target.writeUInt32LE(flags, 12)
  target.writeUInt32LE(segment.id, 16)
  target.writeUInt32LE(segment.epoch, 20)
  writeU64(target, segment.firstLsn, 24)
  segment.salt.copy(target, 32, 0, 8)
  writeU64(target, segment.previousBytes, 40)
  target.writeUInt32LE(segment.previousCrc, 48)
  target.writeUInt16LE(checksumCrc32, 56)
  target.writeUInt16LE(segment.id - segment.previousId - 1, 58)
  target.writeUInt32LE(crc32(target, 0, 60, 0), 60)
  target.copy(target, headerCopyOffset, 0, headerBytes)
}

/** The header at `at`, or null if its magic or CRC is wrong. Whether this version can read it is another question. */
export function decodeSegmentHeader(source: Buffer, at: number): SegmentHeader | null {
  if (at + headerBytes > source.length) return null
  if (source.compare(magic, 0, 8, at, at + 8) !== 0) return null
  if (source.readUInt32LE(at + 60) !== crc32(source, at, at + 60, 0)) return null
  const id = source.readUInt32LE(at + 16)
  return {
    major: source.readUInt16LE(at + 8),
    minor: source.readUInt16LE(at + 10),
    flags: source.readUInt32LE(at + 12),
    id,
    previousId: id - source.readUInt16LE(at + 58) - 1,
    epoch: source.readUInt32LE(at + 20),
    firstLsn: readU64(source, at + 24),
    salt: Buffer.from(source.subarray(at + 32, at + 40)),
    previousBytes: readU64(source, at + 40),
    previousCrc: source.readUInt32LE(at + 48),
    keyId: source.readUInt32LE(at + 52),
    checksum: source.readUInt16LE(at + 56),
  }
}

/** Why this version must not read a segment with this header; null if it may. */
export function findUnsupported(header: SegmentHeader): string | null {
  if (header.major !== formatMajor) return `segments of major format ${header.major} are unknown`
  if ((header.flags & ~deferredFlag) !== 0) return `segment flags ${header.flags} are unknown`
  if (header.keyId !== 0) return `it is encrypted with the key ${header.keyId}, and encryption is unknown`
  if (header.checksum !== checksumCrc32) return `checksum algorithm ${header.checksum} is unknown`
  return null
}
