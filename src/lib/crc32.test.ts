// Our table walk and zlib must agree, for the same log is written by one and read by the other.
import * as zlib from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { crc32 } from './crc32.ts'
import { Prng } from './prng.ts'

describe('crc32', () => {
  const bytes = Buffer.alloc(400)
  new Prng(7).fill(bytes)

  test('agrees with zlib for every length from 0 to 300, at every alignment, with every kind of seed', () => {
    for (const seed of [0, 1, 0x7fffffff, 0x80000000, 0xdeadbeef, 0xffffffff]) {
      for (let length = 0; length <= 300; length++) {
        const start = length % 9
        const expected = zlib.crc32(bytes.subarray(start, start + length), seed)
        expect(crc32(bytes, start, start + length, seed), `length ${length}, seed ${seed}`).toBe(expected)
      }
    }
  })

  test('is 0xCBF43926 for the nine digits that everybody checks with', () => {
    expect(crc32(Buffer.from('123456789'), 0, 9, 0)).toBe(0xcbf43926)
  })

  test('goes on where it stopped: the CRC of two parts is that of the whole', () => {
    for (const cut of [0, 1, 7, 8, 100, 199, 200, 201, 399, 400]) {
      expect(crc32(bytes, cut, 400, crc32(bytes, 0, cut, 0))).toBe(crc32(bytes, 0, 400, 0))
    }
  })
})
