/**
 * Cold segments hold copies of records whose own segments were nearly empty: `cold/%010d.cold`, a header like a segment's
 * (segment.ts, flags 2), then records as in frame.ts, one behind the other, with their new addresses and the checksums of
 * the new salt. There are no frames: a cold segment is written once, synced, and never changed.
 *
 * Their ids are those of their files with the highest bit set, so that an address tells in which kind of segment it lies.
 */
import { crc32 } from '../lib/crc32.ts'
import { recordHeaderBytes } from './frame.ts'
import { Segment } from './segment.ts'

const coldBit = 0x8000_0000
export const coldFlags = 2

export function isColdId(id: number): boolean {
  return id >= coldBit
}

export function coldIdOf(number: number): number {
  return coldBit + number
}

export function coldNumberOf(id: number): number {
  return id - coldBit
}

export function coldName(number: number): string {
  return `${String(number).padStart(10, '0')}.cold`
}

/** The number in a cold segment's file name; 0 if it is not one. */
export function coldNumberIn(name: string): number {
  return /^\d{10}\.cold$/.test(name) ? Number(name.slice(0, 10)) : 0
}

export function makeColdSegment(directory: string, number: number, epoch: number, salt: Buffer): Segment {
  const header = {
    major: 0,
    minor: 0,
    flags: coldFlags,
    keyId: 0,
    checksum: 0,
    id: coldIdOf(number),
    previousId: coldIdOf(number) - 1,
    epoch,
    firstLsn: 0,
    salt,
    previousBytes: 0,
    previousCrc: 0,
  }
  return new Segment(directory, header, coldName(number))
}

/** Copies the record `source[start, end)` to `target[at …)` for `offset` of the cold segment; its checksum was right. */
export function copyRecord(
  source: Buffer,
  start: number,
  end: number,
  target: Buffer,
  at: number,
  segment: Segment,
  offset: number,
): void {
  source.copy(target, at, start, end)
  target.writeUInt32LE(segment.id, at + recordHeaderBytes - 8)
  target.writeUInt32LE(offset, at + recordHeaderBytes - 4)
  target.writeUInt32LE(crc32(target, at + 4, at + end - start, segment.saltCrc), at)
}
