// Contents must not overlap, and a slab must not cost more than what is in it by much.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Slab } from './slab.ts'

describe('a slab', () => {
  test('gives every content a place of its own', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.nat(64), fc.nat(5_000), fc.nat(100_000)), { maxLength: 100 }), (sizes) => {
        const slab = new Slab()
        const places = sizes.map((size, at) => {
          const buffer = slab.take(size)
          const place = buffer.subarray(slab.offset, slab.offset + size)
          expect(place.length).toBe(size)
          return place.fill(at & 255)
        })
        for (const [at, place] of places.entries()) expect(place.every((byte) => byte === (at & 255))).toBe(true)
      }),
    )
  })

  test('begins small, doubles up to 64 KiB, and gives large contents a buffer of their own', () => {
    const slab = new Slab()
    const sizes = new Set<number>()
    expect(slab.take(10).length).toBe(1_024)
    for (let at = 0; at < 20_000; at++) sizes.add(slab.take(20).length)
    expect([...sizes]).toEqual([1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536])
    expect(slab.take(20_000).length).toBe(20_000)
    expect(slab.offset).toBe(0)
    expect(slab.take(10).length).toBe(65_536)
  })
})
