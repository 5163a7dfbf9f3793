// The header of a segment: its bytes are a promise to later versions.
import { expect, test } from 'vitest'
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  findUnsupported,
  framesStart,
  headerBytes,
  headerCopyOffset,
  Segment,
  type SegmentHeader,
  segmentIdOf,
  segmentName,
} from './segment.ts'

const header: SegmentHeader = {
  major: 1,
  minor: 0,
  flags: 0,
  id: 7,
  previousId: 5,
  epoch: 3,
  firstLsn: 2 ** 40 + 9,
  salt: Buffer.from('0102030405060708', 'hex'),
  previousBytes: 65_536,
  previousCrc: 0xdeadbeef,
  keyId: 0,
  checksum: 1,
}

function encoded(): Buffer {
  const target = Buffer.alloc(framesStart, 0xff)
  encodeSegmentHeader(new Segment('/data/log', header), target)
  return target
}

test('the header stands twice, in two sectors, and decodes to what it was', () => {
  const target = encoded()
  expect(decodeSegmentHeader(target, 0)).toEqual(header)
  expect(decodeSegmentHeader(target, headerCopyOffset)).toEqual(header)
})

test('the bytes of a header are fixed', () => {
  expect(encoded().toString('hex', 0, headerBytes)).toBe(
    '4c455645524554' + // LEVERET
      '0a' + // newline
      '01000000' + // major, minor
      '00000000' + // flags
      '07000000' + // id
      '03000000' + // epoch
      '0900000000010000' + // first LSN
      '0102030405060708' + // salt
      '0000010000000000' + // sealed length of the previous segment
      'efbeadde' + // CRC of its last frame header
      '00000000' + // key id
      '0100' + // checksum algorithm
      '0100' + // ids left out
      encoded().toString('hex', 60, 64),
  )
})

test('any flipped bit makes a header invalid', () => {
  for (let bit = 0; bit < headerBytes * 8; bit++) {
    const target = encoded()
    target[bit >> 3] = target[bit >> 3]! ^ (1 << (bit & 7))
    expect(decodeSegmentHeader(target, 0)).toBeNull()
  }
})

test('formats, flags and checksums of the future are named', () => {
  expect(findUnsupported(header)).toBeNull()
  expect(findUnsupported({ ...header, major: 2 })).toContain('major format 2')
  expect(findUnsupported({ ...header, flags: 1 })).toContain('flags 1')
  expect(findUnsupported({ ...header, checksum: 3 })).toContain('algorithm 3')
  expect(findUnsupported({ ...header, keyId: 7 })).toContain('encrypted with the key 7')
})

test('file names and ids belong together', () => {
  expect(segmentName(12)).toBe('0000000012.log')
  expect(segmentIdOf('0000000012.log')).toBe(12)
  for (const name of ['12.log', '0000000012.log.tmp', 'x0000000012.log', '']) expect(segmentIdOf(name)).toBe(0)
})
