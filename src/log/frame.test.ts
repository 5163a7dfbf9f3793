// Frames by themselves: what was sealed is valid, and nothing else is.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  checkRecord,
  findFrameFault,
  frameBytes,
  frameHeaderBytes,
  frameLsn,
  framePreviousCrc,
  frameRealtimeMs,
  frameSyncedLsn,
  isFrameHeader,
  readdressFrame,
  readU64,
  recordHeaderBytes,
  sealFrame,
  writeU64,
} from './frame.ts'

const lsnAny = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const u32 = fc.integer({ min: 0, max: 0xffffffff })

function makeFrame(
  payloads: readonly Uint8Array[],
  before: number,
  saltCrc: number,
  id: number,
  offset: number,
): Buffer {
  const bytes = payloads.reduce((sum, payload) => sum + recordHeaderBytes + payload.length, before + frameHeaderBytes)
  const buffer = Buffer.alloc(bytes)
  let at = before + frameHeaderBytes
  for (const payload of payloads) {
    buffer.writeUInt32LE(payload.length, at + 4)
    buffer.writeUInt32LE(payload.length >> 1, at + 12)
    buffer.set(payload, at + recordHeaderBytes)
    at += recordHeaderBytes + payload.length
  }
  readdressFrame(buffer, before, bytes, saltCrc, id, offset)
  return buffer
}

test('a sealed frame says what it was given, and has no fault, wherever it lies in a buffer', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 5 }),
      fc.nat(50),
      u32,
      u32,
      fc.nat(1_000_000),
      lsnAny,
      lsnAny,
      lsnAny,
      u32,
      (payloads, before, saltCrc, id, offset, lsn, syncedLsn, realtimeMs, previousCrc) => {
        const buffer = makeFrame(payloads, before, saltCrc, id, offset)
        sealFrame(buffer, before, buffer.length, saltCrc, lsn, syncedLsn, realtimeMs, previousCrc)
        expect(isFrameHeader(buffer, before, saltCrc)).toBe(true)
        expect(frameBytes(buffer, before)).toBe(buffer.length - before)
        expect(frameLsn(buffer, before)).toBe(lsn)
        expect(frameSyncedLsn(buffer, before)).toBe(syncedLsn)
        expect(frameRealtimeMs(buffer, before)).toBe(realtimeMs)
        expect(framePreviousCrc(buffer, before)).toBe(previousCrc)
        expect(findFrameFault(buffer, before, buffer.length, saltCrc, id, offset)).toBeNull()
        // Under another salt, in another segment, at another offset it is not the same frame.
        expect(isFrameHeader(buffer, before, saltCrc ^ 1)).toBe(false)
        expect(findFrameFault(buffer, before, buffer.length, saltCrc, id ^ 1, offset)).not.toBeNull()
        expect(findFrameFault(buffer, before, buffer.length, saltCrc, id, offset + 1)).not.toBeNull()
      },
    ),
  )
})

test('a flipped bit anywhere in a frame is a fault', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 60 }), { minLength: 1, maxLength: 4 }),
      fc.nat(),
      fc.nat(7),
      (payloads, where, bit) => {
        const buffer = makeFrame(payloads, 0, 99, 3, 1024)
        sealFrame(buffer, 0, buffer.length, 99, 5, 4, 1, 2)
        const at = where % buffer.length
        buffer[at] = buffer[at]! ^ (1 << bit)
        const isValid =
          isFrameHeader(buffer, 0, 99) && findFrameFault(buffer, 0, frameBytes(buffer, 0), 99, 3, 1024) === null
        expect(isValid).toBe(false)
      },
    ),
  )
})

test('lengths beyond the buffer are refused, not read', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 100 }), fc.nat(20), (bytes, at) => {
      const buffer = Buffer.from(bytes)
      if (at > buffer.length) return
      expect(checkRecord(buffer, at, buffer.length, 7, 1, 1024)).toBeGreaterThanOrEqual(-1)
    }),
  )
})

test('64-bit numbers keep all 53 bits', () => {
  fc.assert(
    fc.property(lsnAny, (value) => {
      const buffer = Buffer.alloc(8)
      writeU64(buffer, value, 0)
      expect(readU64(buffer, 0)).toBe(value)
      expect(buffer.readBigUInt64LE(0)).toBe(BigInt(value))
    }),
  )
})

test('a record of another history in its place is a fault, though its own checksum and address are right', () => {
  const one = makeFrame([Buffer.from('first'), Buffer.from('second')], 0, 99, 3, 1024)
  const other = makeFrame([Buffer.from('FIRST'), Buffer.from('second')], 0, 99, 3, 1024)
  sealFrame(one, 0, one.length, 99, 5, 4, 1, 2)
  other.copy(one, frameHeaderBytes, frameHeaderBytes, frameHeaderBytes + recordHeaderBytes + 5)
  expect(checkRecord(one, frameHeaderBytes, one.length, 99, 3, 1024 + frameHeaderBytes)).toBeGreaterThan(0)
  expect(findFrameFault(one, 0, one.length, 99, 3, 1024)).toBe('the checksum over the records is wrong')
})
