// What recovery makes of a log, record by record: what lives, in which order, and what a snapshot makes of the rest.
import { describe, expect, test } from 'vitest'
import { ByteWriter } from '../lib/byte-writer.ts'
import { Segment } from '../log/segment.ts'
import { emptyTable } from '../model/field-table.ts'
import { makeMessage } from '../testing/core-harness.ts'
import { QueueIndex } from './queue-index.ts'
import { RangeList } from './range-list.ts'
import { criticalFlag, encodeTopology, recordTypes, type TopologyRecord } from './record.ts'
import { Replay } from './replay.ts'

function segment(): Segment {
  return new Segment('log', {
    major: 1,
    minor: 0,
    flags: 0,
    id: 1,
    previousId: 0,
    epoch: 1,
    firstLsn: 1,
    salt: Buffer.alloc(8),
    previousBytes: 0,
    previousCrc: 0,
    checksum: 1,
  })
}

/** Writes records the way the log does, and hands them to recovery. */
class Tape {
  readonly replay = new Replay()
  readonly segment = segment()

  publish(body: string, ...routes: [queueId: number, sequence: number][]): this {
    const message = makeMessage('exchange', 'key', body, { persistent: true })
    const writer = new ByteWriter(4)
    for (const name of [message.exchange, message.routingKey]) {
      writer.u8(name.length)
      writer.bytes(Buffer.from(name))
    }
    writer.u32le(routes.length)
    for (const [queueId, sequence] of routes) {
      writer.u32le(queueId)
      writer.u32le(sequence % 2 ** 32)
      writer.u8(Math.floor(sequence / 2 ** 32) & 255)
      writer.u8(Math.floor(sequence / 2 ** 40))
      writer.u8(0)
      writer.u8(0)
    }
    writer.bytes(message.propertyBytes)
    const headerEnd = writer.length
    writer.bytes(message.body)
    return this.give(recordTypes.publish, writer, headerEnd)
  }

  settled(queueId: number, ...sequences: number[]): this {
    const writer = new ByteWriter(4)
    writer.u32le(queueId)
    writer.u8(0)
    encodeRanges(writer, sequences)
    return this.give(recordTypes.settled, writer)
  }

  delivered(queueId: number, ...sequences: number[]): this {
    const writer = new ByteWriter(4)
    writer.u32le(queueId)
    encodeRanges(writer, sequences)
    return this.give(recordTypes.delivered, writer)
  }

  live(queueId: number, nextSequence: number, ...sequences: number[]): this {
    const writer = new ByteWriter(4)
    writer.u32le(queueId)
    writer.varint(nextSequence)
    encodeRanges(writer, sequences)
    return this.give(recordTypes.live, writer)
  }

  snapshot(nextQueueId: number): this {
    const writer = new ByteWriter(4)
    writer.varint(nextQueueId)
    return this.give(recordTypes.snapshot, writer)
  }

  clean(epoch: number): this {
    const writer = new ByteWriter(4)
    writer.varint(epoch)
    return this.give(recordTypes.clean, writer)
  }

  topology(record: TopologyRecord): this {
    const writer = new ByteWriter(4)
    encodeTopology(writer, record)
    return this.give(recordTypes.topology, writer)
  }

  declare(name: string, queueId: number): this {
    const table = emptyTable
    return this.topology({
      type: 'queue-declared',
      virtualHost: '/',
      name,
      queueId,
      durable: true,
      autoDelete: false,
      arguments: table,
    })
  }

  delete(name: string, queueId: number): this {
    return this.topology({ type: 'queue-deleted', virtualHost: '/', name, queueId })
  }

  frameEnd(): this {
    this.replay.frameEnd()
    return this
  }

  give(type: number, writer: ByteWriter, headerEnd = writer.length, flags: number = criticalFlag): this {
    // In the middle of a buffer that is read over afterwards, as recovery's is.
    const buffer = Buffer.concat([Buffer.alloc(7, 0xee), writer.toBuffer(), Buffer.alloc(5, 0xee)])
    this.replay.record(type, flags, buffer, 7, 7 + headerEnd, 7 + writer.length, this.segment)
    buffer.fill(0xdd)
    return this
  }

  /** What lives, as `queueId: bodies`, with `!` behind what counts as delivered. */
  finish(epoch = 2): { queues: Record<number, string>; indexes: Map<number, QueueIndex> } {
    const indexes = new Map<number, QueueIndex>()
    this.replay.finish(epoch, (queueId) => new QueueIndex(queueId, null), indexes)
    const queues: Record<number, string> = {}
    for (const [queueId, index] of indexes) {
      const bodies: string[] = []
      index.forEachReady((entry) => {
        bodies.push(`${entry.message.body.toString()}${entry.deliveryCount > 0 ? '!' : ''}`)
      })
      queues[queueId] = bodies.join(' ')
    }
    return { queues, indexes }
  }
}

function encodeRanges(writer: ByteWriter, sequences: readonly number[]): void {
  const ranges = new RangeList()
  for (const sequence of sequences) ranges.add(sequence)
  ranges.encode(writer)
}

describe('replaying a log', () => {
  test('leaves what was published and not settled, in order, with every part of the message', () => {
    const tape = new Tape().publish('a', [1, 1]).publish('b', [1, 2], [2, 1]).publish('c', [1, 3]).settled(1, 2)
    const { queues, indexes } = tape.clean(1).finish()
    expect(queues).toEqual({ 1: 'a c', 2: 'b' })
    expect(tape.segment.live).toBe(3)
    const message = indexes.get(1)?.shift()?.message
    expect([message?.exchange, message?.routingKey, message?.persistent, message?.owned]).toEqual([
      'exchange',
      'key',
      true,
      true,
    ])
    expect(message?.residence).toBe(tape.segment)
  })

  test('shares one message among the queues of a fan-out', () => {
    const { indexes } = new Tape().publish('a', [1, 1], [2, 7]).finish()
    expect(indexes.get(1)?.shift()?.message).toBe(indexes.get(2)?.shift()?.message)
  })

  test('never gives a sequence twice, also one above 2^32 whose message is gone', () => {
    const tape = new Tape().publish('a', [1, 2 ** 40 + 3]).settled(1, 2 ** 40 + 3)
    expect(tape.finish().indexes.get(1)?.nextSequence).toBe(2 ** 40 + 4)
  })

  test('counts everything as delivered unless the last run said that it had ended', () => {
    expect(new Tape().publish('a', [1, 1]).finish().queues).toEqual({ 1: 'a!' })
    expect(new Tape().publish('a', [1, 1]).clean(1).finish().queues).toEqual({ 1: 'a' })
    expect(new Tape().publish('a', [1, 1]).clean(1).publish('b', [1, 2]).finish().queues).toEqual({ 1: 'a! b!' })
  })

  test('counts everything as delivered after a run that opened the folder and died without a word', () => {
    const tape = new Tape().publish('a', [1, 1]).clean(1)
    expect(tape.finish(3).queues).toEqual({ 1: 'a!' })
    expect(tape.replay.clean).toBe(false)
  })

  test('knows after a clean end which of the messages were handed out', () => {
    const tape = new Tape()
      .publish('a', [1, 1])
      .publish('b', [1, 2])
      .publish('c', [1, 3])
      .delivered(1, 1, 3, 9)
      .clean(1)
    expect(tape.finish().queues).toEqual({ 1: 'a! b c!' })
    expect(tape.replay.clean).toBe(true)
  })

  test('forgets the messages of a queue that was deleted, and never gives its id again', () => {
    const tape = new Tape().declare('q', 8).publish('a', [8, 1]).delete('q', 8)
    expect(tape.finish().queues).toEqual({})
    expect(tape.replay.nextQueueId).toBe(9)
    expect(tape.replay.topology.map((record) => record.type)).toEqual(['queue-declared', 'queue-deleted'])
  })

  test('is ended by a snapshot: only what it names lives on, and only its topology counts', () => {
    const tape = new Tape()
      .declare('old', 1)
      .declare('q', 2)
      .publish('a', [1, 1])
      .publish('b', [2, 1])
      .publish('c', [2, 2])
    tape.frameEnd().snapshot(12).declare('q', 2).live(2, 40, 2).frameEnd()
    const { queues, indexes } = tape.finish()
    expect(queues).toEqual({ 2: 'c!' })
    expect(indexes.get(2)?.nextSequence).toBe(40)
    expect(tape.replay.nextQueueId).toBe(12)
    expect(tape.replay.topology).toHaveLength(1)
  })

  test('goes on after a snapshot', () => {
    const tape = new Tape().publish('a', [2, 1]).publish('b', [2, 2])
    tape.snapshot(3).live(2, 3, 1, 2).frameEnd().publish('c', [2, 3]).settled(2, 1).publish('d', [5, 1]).frameEnd()
    expect(tape.finish().queues).toEqual({ 2: 'b! c!', 5: 'd!' })
  })

  test('keeps a queue that was declared in the frame of the snapshot, after it', () => {
    const tape = new Tape().publish('a', [2, 1]).snapshot(3).declare('q', 2).live(2, 2, 1)
    tape.declare('new', 3).publish('b', [3, 1]).publish('c', [2, 2]).frameEnd()
    expect(tape.finish().queues).toEqual({ 2: 'a! c!', 3: 'b!' })
    expect(tape.replay.topology).toHaveLength(2)
  })

  test('keeps what was published in the frame of the snapshot, before it', () => {
    const tape = new Tape().publish('a', [2, 1]).declare('q', 2).snapshot(3).declare('q', 2).live(2, 2, 1).frameEnd()
    expect(tape.finish().queues).toEqual({ 2: 'a!' })
  })

  test('notes a message that a snapshot names and the log does not have', () => {
    const tape = new Tape().publish('a', [2, 1]).snapshot(3).live(2, 9, 1, 4, 5).frameEnd()
    expect(tape.finish().queues).toEqual({ 2: 'a!' })
    expect(tape.replay.notes).toEqual(['2 messages of queue 2 are named by a snapshot and not in the log'])
  })

  test('keeps through a snapshot what it knows to be delivered', () => {
    const tape = new Tape().publish('a', [2, 1]).publish('b', [2, 2]).delivered(2, 1)
    tape.snapshot(3).live(2, 3, 1, 2).frameEnd().clean(1)
    expect(tape.finish().queues).toEqual({ 2: 'a! b' })
  })

  test('passes over an unknown record, unless it says that it must not', () => {
    const tape = new Tape().give(99, new ByteWriter(), 0, 0)
    expect(() => tape.give(99, new ByteWriter(), 0, criticalFlag)).toThrow(
      'E_FORMAT_UNSUPPORTED: the log has a record of type 99 that this version does not know',
    )
  })

  test('refuses a publish whose routes do not fit', () => {
    const writer = new ByteWriter()
    for (const octet of [0, 0]) writer.u8(octet)
    writer.u32le(1_000)
    expect(() => new Tape().give(recordTypes.publish, writer)).toThrow('bytes wanted')
    const short = new ByteWriter()
    for (const octet of [0, 0]) short.u8(octet)
    short.u32le(1)
    short.bytes(Buffer.alloc(14))
    expect(() => new Tape().give(recordTypes.publish, short, 10)).toThrow('inside its routes')
  })
})
