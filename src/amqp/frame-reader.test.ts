// Frames cut anywhere, frames that are none.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../model/limits.ts'
import { FrameReader, type FrameSink } from './frame-reader.ts'

function frame(type: number, channel: number, payload: Buffer, end = 0xce): Buffer {
  const bytes = Buffer.alloc(payload.length + 8)
  bytes.writeUInt8(type, 0)
  bytes.writeUInt16BE(channel, 1)
  bytes.writeUInt32BE(payload.length, 3)
  payload.copy(bytes, 7)
  bytes.writeUInt8(end, payload.length + 7)
  return bytes
}

/** Writes down what came, body parts joined per frame. */
class Recorder implements FrameSink {
  readonly frames: string[] = []
  parts = 0
  private readonly body_: Buffer[] = []

  method(channel: number, buffer: Buffer, start: number, end: number): void {
    this.frames.push(`1 ${channel} ${buffer.toString('hex', start, end)}`)
  }

  header(channel: number, buffer: Buffer, start: number, end: number): void {
    this.frames.push(`2 ${channel} ${buffer.toString('hex', start, end)}`)
  }

  body(channel: number, buffer: Buffer, start: number, end: number, last: boolean): void {
    this.parts++
    this.body_.push(buffer.subarray(start, end))
    if (last) this.frames.push(`3 ${channel} ${Buffer.concat(this.body_.splice(0)).toString('hex')}`)
  }

  heartbeat(): void {
    this.frames.push('8')
  }
}

const anyFrame = fc.oneof(
  fc.constant({ type: 8, channel: 0, payload: Buffer.alloc(0) }),
  fc.record({
    type: fc.constantFrom(1, 2, 3),
    channel: fc.nat(65535),
    payload: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  }),
)

function shown({ type, channel, payload }: { type: number; channel: number; payload: Buffer }): string {
  return type === 8 ? '8' : `${type} ${channel} ${payload.toString('hex')}`
}

test('frames come out the same however the bytes are cut', () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 })
  fc.assert(
    fc.property(fc.array(anyFrame), cuts, (frames, sizes) => {
      const bytes = Buffer.concat(frames.map(({ type, channel, payload }) => frame(type, channel, payload)))
      const recorder = new Recorder()
      const reader = new FrameReader(recorder, 60)
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const size = sizes[turn % sizes.length] as number
        reader.push(bytes.subarray(at, at + size))
        at += size
      }
      expect(recorder.frames).toEqual(frames.map(shown))
    }),
    { numRuns: 500 },
  )
})

test('three frames cut at every pair of places', () => {
  const frames = [
    frame(1, 7, Buffer.from('method')),
    frame(2, 7, Buffer.from('head')),
    frame(3, 7, Buffer.from('body')),
  ]
  const bytes = Buffer.concat([...frames, frame(8, 0, Buffer.alloc(0))])
  for (let one = 0; one <= bytes.length; one++) {
    for (let two = one; two <= bytes.length; two++) {
      const recorder = new Recorder()
      const reader = new FrameReader(recorder, 100)
      reader.push(bytes.subarray(0, one))
      reader.push(bytes.subarray(one, two))
      reader.push(bytes.subarray(two))
      expect(recorder.frames).toEqual(['1 7 6d6574686f64', '2 7 68656164', '3 7 626f6479', '8'])
    }
  }
})

test('a whole frame is handed on without a copy', () => {
  const chunk = Buffer.concat([frame(3, 1, Buffer.from('one')), frame(1, 1, Buffer.from('two'))])
  const seen: Buffer[] = []
  const sink = {
    method: (_channel: number, buffer: Buffer) => seen.push(buffer),
    header: () => {},
    body: (_channel: number, buffer: Buffer) => seen.push(buffer),
    heartbeat: () => {},
  }
  new FrameReader(sink, 100).push(chunk)
  expect(seen.every((buffer) => buffer === chunk)).toBe(true)
  expect(seen).toHaveLength(2)
})

describe('what is no frame', () => {
  const push = (bytes: Buffer, payloadBytesMax: number = limits.frameBytesInitial): string => {
    const reader = new FrameReader(new Recorder(), payloadBytesMax)
    try {
      reader.push(bytes)
      return `${reader.broken}`
    } catch (error) {
      return `${reader.broken} ${(error as Error).message}`
    }
  }

  test('a payload may reach the limit, not exceed it, whether or not it is here', () => {
    expect(push(frame(3, 1, Buffer.alloc(100)), 100)).toBe('false')
    expect(push(frame(3, 1, Buffer.alloc(101)), 100)).toBe(
      'true FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,101,92}',
    )
    expect(push(frame(1, 1, Buffer.alloc(101)).subarray(0, 7), 100)).toContain('frame_too_large')
    expect(push(Buffer.from('010001ffffffff', 'hex'))).toContain('{frame_too_large,4294967295,8184}')
  })

  test('a wrong end octet', () => {
    expect(push(frame(1, 1, Buffer.from([1, 2]), 65))).toBe(
      'true FRAME_ERROR - type 1, all octets = <<1,2>>: {invalid_frame_end_marker,65}',
    )
    expect(push(frame(2, 1, Buffer.alloc(20), 65))).toContain('type 2, first 16 octets = <<0,0,')
  })

  test('a wrong end octet after a split', () => {
    for (const type of [1, 2, 3]) {
      const bytes = frame(type, 1, Buffer.from('abc'), 1)
      for (let cut = 1; cut < bytes.length; cut++) {
        const recorder = new Recorder()
        const reader = new FrameReader(recorder, 100)
        reader.push(bytes.subarray(0, cut))
        expect(() => reader.push(bytes.subarray(cut))).toThrow('invalid_frame_end_marker,1}')
        expect(recorder.frames).toEqual([])
      }
    }
  })

  test('an unknown type, and a heartbeat that is not empty or not on channel 0', () => {
    expect(push(frame(9, 0, Buffer.alloc(0)))).toContain('FRAME_ERROR - type 9, all octets = <<>>: unknown_frame')
    expect(push(frame(8, 0, Buffer.alloc(1)))).toContain('unknown_frame')
    expect(push(frame(8, 1, Buffer.alloc(0)))).toContain('false UNEXPECTED_FRAME')
  })
})

test('after an error of the sink the reader goes on with the next frame, also behind a split one', () => {
  const bytes = Buffer.concat([frame(1, 1, Buffer.from('bad')), frame(1, 2, Buffer.from('good'))])
  for (let cut = 0; cut < 11; cut++) {
    const recorder = new Recorder()
    const sink: FrameSink = {
      header: () => {},
      heartbeat: () => {},
      body: () => {},
      method: (channel, buffer, start, end) => {
        if (channel === 1) throw new Error('no')
        recorder.method(channel, buffer, start, end)
      },
    }
    const reader = new FrameReader(sink, 100)
    reader.push(bytes.subarray(0, cut))
    const rest = bytes.subarray(cut)
    expect(() => reader.push(rest)).toThrow('no')
    reader.push(rest, reader.next)
    expect(recorder.frames).toEqual(['1 2 676f6f64'])
  }
})

test('arbitrary octets never get past the limits', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
      const reader = new FrameReader(new Recorder(), 64)
      try {
        for (const chunk of chunks) if (!reader.broken) reader.push(Buffer.from(chunk))
      } catch (error) {
        expect((error as { code?: string }).code).toMatch(/^(FRAME_ERROR|UNEXPECTED_FRAME)$/)
      }
    }),
    { numRuns: 1000 },
  )
})
