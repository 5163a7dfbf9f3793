/**
 * A frame is one commit: written in one piece, valid or void in one piece. Little endian.
 *
 *     frame header, 48 B                                     record header, 24 B
 *      0  4  magic 'LVF1'                                     0  4  CRC of all that follows it in the record
 *      4  4  CRC of bytes 8..47                               4  4  payload length
 *      8  4  bytes of all records                             8  1  type
 *     12  4  number of records                                9  1  flags (bit 7: critical)
 *     16  8  LSN: the number of the frame                    10  2  reserved
 *     24  8  synced LSN: the highest known to be durable     12  4  header length, the caller's split of the payload
 *     32  8  wall clock, ms                                  16  4  own segment id
 *     40  4  header CRC of the frame before (chain)          20  4  own offset in that segment's file
 *     44  4  CRC over the list of record CRCs                24  …  payload
 *
 * Every CRC but the one over the list starts from the CRC of the segment's salt, so bytes of another segment, even of an
 * earlier one in the same blocks of the disk, never pass for this one's. A frame is valid if magic, lengths, both CRCs,
 * every record's CRC and own address are right, its chain names the frame before, and its LSN is that one's plus one.
 */
import { crc32 } from '../lib/crc32.ts'

export const frameHeaderBytes = 48
export const recordHeaderBytes = 24

/** A reader that does not know the type of a critical record must refuse the log. */
export const recordFlagCritical = 0x80

/** Types from here on are the log's own. */
export const ownRecordTypeMin = 240
/** The segments that exist as of this frame: n × (id u32, sealed bytes u32 or 0, CRC of its last frame header u32). */
export const recordTypeRetained = 250
/** Empty: a frame of it proves that the frame before it was synced. */
export const recordTypeSynced = 251

const frameMagic = 0x3146564c
export const frameMagicBytes: Buffer = Buffer.from('LVF1', 'latin1')

/** Fills in the header of the frame whose records lie complete in `buffer[start + 48, end)`; returns the header's CRC. */
export function sealFrame(
  buffer: Buffer,
  start: number,
  end: number,
  saltCrc: number,
  lsn: number,
  syncedLsn: number,
  realtimeMs: number,
  previousCrc: number,
): number {
  let recordCount = 0
  let listCrc = 0
  for (let at = start + frameHeaderBytes; at < end; at += recordHeaderBytes + buffer.readUInt32LE(at + 4)) {
    listCrc = crc32(buffer, at, at + 4, listCrc)
    recordCount++
  }
  buffer.writeUInt32LE(frameMagic, start)
  buffer.writeUInt32LE(end - start - frameHeaderBytes, start + 8)
  buffer.writeUInt32LE(recordCount, start + 12)
  writeU64(buffer, lsn, start + 16)
  writeU64(buffer, syncedLsn, start + 24)
  writeU64(buffer, Math.max(0, Math.floor(realtimeMs)), start + 32)
  buffer.writeUInt32LE(previousCrc, start + 40)
  buffer.writeUInt32LE(listCrc, start + 44)
  const crc = crc32(buffer, start + 8, start + frameHeaderBytes, saltCrc)
  buffer.writeUInt32LE(crc, start + 4)
  return crc
}

/** Gives every record of `buffer[start, end)` its address for a frame at `offset` of another segment, and its CRC. */
export function readdressFrame(
  buffer: Buffer,
  start: number,
  end: number,
  saltCrc: number,
  segmentId: number,
  offset: number,
): void {
  let at = start + frameHeaderBytes
  while (at < end) {
    const recordEnd = at + recordHeaderBytes + buffer.readUInt32LE(at + 4)
    buffer.writeUInt32LE(segmentId, at + 16)
    buffer.writeUInt32LE(offset + at - start, at + 20)
    buffer.writeUInt32LE(crc32(buffer, at + 4, recordEnd, saltCrc), at)
    at = recordEnd
  }
}

/** Whether a frame header stands at `at`: magic and salted CRC, 64 bits that do not agree by chance. */
export function isFrameHeader(buffer: Buffer, at: number, saltCrc: number): boolean {
  return (
    buffer.readUInt32LE(at) === frameMagic &&
    buffer.readUInt32LE(at + 4) === crc32(buffer, at + 8, at + frameHeaderBytes, saltCrc)
  )
}

export function hasFrameMagic(buffer: Buffer, at: number): boolean {
  return buffer.readUInt32LE(at) === frameMagic
}

export function frameBytes(buffer: Buffer, at: number): number {
  return frameHeaderBytes + buffer.readUInt32LE(at + 8)
}

export function frameCrc(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at + 4)
}

export function frameLsn(buffer: Buffer, at: number): number {
  return readU64(buffer, at + 16)
}

export function frameSyncedLsn(buffer: Buffer, at: number): number {
  return readU64(buffer, at + 24)
}

export function frameRealtimeMs(buffer: Buffer, at: number): number {
  return readU64(buffer, at + 32)
}

export function framePreviousCrc(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at + 40)
}

/** The offset in its segment's file of the record whose payload starts there: half of its address. */
export function recordOffset(buffer: Buffer, payloadStart: number): number {
  return buffer.readUInt32LE(payloadStart - 4)
}

/**
 * Where the record at `at` ends, if its CRC is right and it stands where it says it does (`segmentId`, `offset`);
 * else -1. `end` bounds it.
 */
export function checkRecord(
  buffer: Buffer,
  at: number,
  end: number,
  saltCrc: number,
  segmentId: number,
  offset: number,
): number {
  if (at + recordHeaderBytes > end) return -1
  if (buffer.readUInt32LE(at + 16) !== segmentId || buffer.readUInt32LE(at + 20) !== offset) return -1
  const payloadBytes = buffer.readUInt32LE(at + 4)
  const recordEnd = at + recordHeaderBytes + payloadBytes
  if (recordEnd > end || buffer.readUInt32LE(at + 12) > payloadBytes) return -1
  return buffer.readUInt32LE(at) === crc32(buffer, at + 4, recordEnd, saltCrc) ? recordEnd : -1
}

/**
 * What is wrong with the records of the frame in `buffer[start, end)`, whose header is valid and which stands at `offset`
 * of the segment's file; null if nothing is.
 */
export function findFrameFault(
  buffer: Buffer,
  start: number,
  end: number,
  saltCrc: number,
  segmentId: number,
  offset: number,
): string | null {
  let recordCount = 0
  let listCrc = 0
  let at = start + frameHeaderBytes
  while (at < end) {
    const recordEnd = checkRecord(buffer, at, end, saltCrc, segmentId, offset + at - start)
    if (recordEnd === -1) return `record ${recordCount} of the frame does not match its checksum and address`
    listCrc = crc32(buffer, at, at + 4, listCrc)
    recordCount++
    at = recordEnd
  }
  if (recordCount !== buffer.readUInt32LE(start + 12)) return 'the number of records is wrong'
  if (listCrc !== buffer.readUInt32LE(start + 44)) return 'the checksum over the records is wrong'
  return null
}

/** LSNs and times stay below 2^53. */
export function writeU64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32LE(value >>> 0, at)
  buffer.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4)
}

export function readU64(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at + 4) * 2 ** 32 + buffer.readUInt32LE(at)
}
