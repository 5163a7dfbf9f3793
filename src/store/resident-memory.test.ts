// How queues share the memory there is: each may hold what is still free.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ResidentMemory } from './resident-memory.ts'

const mebibyte = 1_048_576

/** Queues that take all they may, a kibibyte at a time and in turn, until none may take more. */
function fill(memory: ResidentMemory, queues: number[]): void {
  for (let isFull = false; !isFull; ) {
    isFull = true
    for (let which = 0; which < queues.length; which++) {
      if ((queues[which] as number) >= memory.windowShare) continue
      queues[which] = (queues[which] as number) + 1024
      memory.bytes += 1024
      isFull = false
    }
  }
}

describe('the memory for windows', () => {
  test('gives one busy queue half of it, and the next half of the rest', () => {
    const memory = new ResidentMemory(100 * mebibyte, mebibyte)
    const first = [0]
    fill(memory, first)
    expect(first).toEqual([mebibyte / 2])
    const second = [0]
    fill(memory, second)
    expect(second).toEqual([mebibyte / 4])
  })

  test('gives queues that come at the same time equal shares, and leaves one such share free', () => {
    const memory = new ResidentMemory(100 * mebibyte, mebibyte)
    const queues = [0, 0, 0]
    fill(memory, queues)
    expect(queues).toEqual([mebibyte / 4, mebibyte / 4, mebibyte / 4])
    expect(memory.windowShare).toBe(mebibyte / 4)
  })

  test('gives every queue a few messages, however little is free and however much too much is taken', () => {
    const memory = new ResidentMemory(100 * mebibyte, mebibyte)
    for (const bytes of [mebibyte - 1, mebibyte, 50 * mebibyte]) {
      memory.bytes = bytes
      expect(memory.windowShare).toBe(16_384)
    }
    const tiny = new ResidentMemory(100 * mebibyte, 4_000)
    tiny.bytes = mebibyte
    expect(tiny.windowShare).toBe(1_000)
  })

  test('never gives a queue more than what is free or that minimum, and less the more is taken', () => {
    fc.assert(
      fc.property(fc.nat(64 * mebibyte), fc.nat(64 * mebibyte), fc.nat(mebibyte), (windowBytesMax, bytes, more) => {
        const memory = new ResidentMemory(100 * mebibyte, windowBytesMax)
        memory.bytes = bytes
        const share = memory.windowShare
        expect(share).toBeLessThanOrEqual(Math.max(windowBytesMax - bytes, Math.min(16_384, windowBytesMax / 4)))
        memory.bytes += more
        expect(memory.windowShare).toBeLessThanOrEqual(share)
      }),
    )
  })

  test('is pressed when more than half of it is taken', () => {
    const memory = new ResidentMemory(100 * mebibyte, mebibyte)
    memory.bytes = mebibyte / 2
    expect(memory.isPressed).toBe(false)
    memory.bytes++
    expect(memory.isPressed).toBe(true)
  })

  test('is all that publishers are allowed, unless it is said otherwise', () => {
    expect(new ResidentMemory(1_000).windowBytesMax).toBe(1_000)
    expect(new ResidentMemory(1_000, 10).windowBytesMax).toBe(10)
  })

  test('lets publishers go on at nine tenths of where they were blocked, also of a limit set later', () => {
    const memory = new ResidentMemory(1_000)
    expect([memory.bytesMax, memory.bytesResume]).toEqual([1_000, 900])
    memory.setLimit(505)
    expect([memory.bytesMax, memory.bytesResume, memory.windowBytesMax]).toEqual([505, 454, 1_000])
  })
})
