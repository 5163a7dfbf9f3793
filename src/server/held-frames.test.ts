// Frames that wait: in order, once, and at a price that does not grow with what is behind them.
import { expect, test } from 'vitest'
import type { FrameSink } from '../amqp/frame-reader.ts'
import { HeldFrames } from './held-frames.ts'

/** Every second frame must wait for the one before it, as where a client declares a queue without a name and binds it. */
class Waiting implements FrameSink {
  readonly held = new HeldFrames()
  readonly done: number[] = []
  given = 0
  private isWaiting = true

  method(channel: number, buffer: Buffer, start: number, end: number): void {
    this.given++
    const number = buffer.readUInt16BE(start)
    if (this.isWaiting) return this.held.add(1, channel, buffer, start, end, true)
    this.done.push(number)
    this.isWaiting = number % 2 === 1
  }

  header(): void {}
  body(): void {}
  heartbeat(): void {}

  answer(): void {
    this.isWaiting = false
    this.held.replay(this, () => {})
  }
}

test('each frame is looked at twice at most, however many wait and however often', () => {
  const waiting = new Waiting()
  const count = 1_000
  const payload = Buffer.alloc(2)
  for (let number = 0; number < count; number++) {
    payload.writeUInt16BE(number)
    waiting.method(1, payload, 0, 2)
  }
  waiting.given = 0
  for (let answers = 0; waiting.done.length < count; answers++) {
    expect(answers).toBeLessThan(count)
    waiting.answer()
  }
  expect(waiting.done).toEqual(Array.from({ length: count }, (_, number) => number))
  expect(waiting.given).toBeLessThanOrEqual(2 * count)
  expect([waiting.held.bytes, waiting.held.isTooMuch]).toEqual([0, false])
})

test('those behind one that is refused are handed over all the same', () => {
  const held = new HeldFrames()
  const seen: string[] = []
  const sink: FrameSink = {
    method: (channel) => {
      seen.push(`method ${channel}`)
      if (channel === 1) throw new Error('refused')
    },
    header: (channel) => void seen.push(`header ${channel}`),
    body: (channel, _buffer, _start, _end, last) => void seen.push(`body ${channel} ${last}`),
    heartbeat: () => {},
  }
  held.add(1, 1, Buffer.alloc(1), 0, 1, true)
  held.add(2, 2, Buffer.alloc(1), 0, 1, true)
  held.add(3, 3, Buffer.alloc(1), 0, 1, false)
  held.replay(sink, (error) => void seen.push((error as Error).message))
  expect(seen).toEqual(['method 1', 'refused', 'header 2', 'body 3 false'])
})
