/**
 * CRC-32 (the reflected polynomial 0xEDB88320 of zlib, IEEE 802.3), over a range of a buffer, with a seed.
 *
 * Below about 200 bytes a table walk in JavaScript (slicing-by-8) beats the call into zlib; above it zlib wins.
 */
import * as zlib from 'node:zlib'

const zlibBytesMin = 200

const table = new Int32Array(8 * 256)
for (let byte = 0; byte < 256; byte++) {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  table[byte] = value
}
for (let byte = 0; byte < 256; byte++) {
  let value = table[byte] as number
  for (let slice = 1; slice < 8; slice++) {
    value = (value >>> 8) ^ (table[value & 0xff] as number)
    table[slice * 256 + byte] = value
  }
}

// Node 20.15 brought zlib.crc32; engines says 20.19, so it is there.
const zlibCrc32 = zlib.crc32

/** The CRC-32 of `buffer[start, end)`, continued from `seed`, as an unsigned 32-bit number. */
export function crc32(buffer: Buffer, start: number, end: number, seed: number): number {
  if (end - start >= zlibBytesMin) return zlibCrc32(buffer.subarray(start, end), seed)
  const t = table
  let crc = ~seed
  let at = start
  const eightsEnd = end - 7
  while (at < eightsEnd) {
    crc ^=
      (buffer[at] as number) |
      ((buffer[at + 1] as number) << 8) |
      ((buffer[at + 2] as number) << 16) |
      ((buffer[at + 3] as number) << 24)
    crc =
      (t[1792 + (crc & 0xff)] as number) ^
      (t[1536 + ((crc >>> 8) & 0xff)] as number) ^
      (t[1280 + ((crc >>> 16) & 0xff)] as number) ^
      (t[1024 + (crc >>> 24)] as number) ^
      (t[768 + (buffer[at + 4] as number)] as number) ^
      (t[512 + (buffer[at + 5] as number)] as number) ^
      (t[256 + (buffer[at + 6] as number)] as number) ^
      (t[buffer[at + 7] as number] as number)
    at += 8
  }
  while (at < end) crc = (crc >>> 8) ^ (t[(crc ^ (buffer[at++] as number)) & 0xff] as number)
  return ~crc >>> 0
}
