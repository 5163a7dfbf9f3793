// What recovery makes of a checkpoint and a log, record by record: what lives, in which order, and what is told twice.
import { describe, expect, test } from 'vitest'
import { ByteWriter } from '../lib/byte-writer.ts'
import { recordHeaderBytes } from '../log/frame.ts'
import { Segment } from '../log/segment.ts'
import { emptyTable } from '../model/field-table.ts'
import type { Platform } from '../platform/platform.ts'
import { makeMessage } from '../testing/core-harness.ts'
import { entryOf } from '../testing/page-entry.ts'
import { BodyRefs } from './body-refs.ts'
import type { Checkpoint, LogPosition } from './checkpoint-file.ts'
import { IndexPage } from './index-page.ts'
import { type Note, Notes } from './notes.ts'
import { PageFiles } from './page-files.ts'
import { QueueIndex } from './queue-index.ts'
import type { IndexBacking } from './queue-index-backing.ts'
import { RangeList } from './range-list.ts'
import { criticalFlag, encodeNote, encodeTopology, recordTypes, type TopologyRecord } from './record.ts'
import { Replay } from './replay.ts'
import { ResidentMemory } from './resident-memory.ts'

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
    keyId: 0,
    checksum: 1,
  })
}

const memory = new ResidentMemory(Number.MAX_SAFE_INTEGER)

/** A log whose one segment is there, and nothing else. */
class Backing implements IndexBacking {
  readonly pages: PageFiles
  readonly gate = null
  readonly bodyRefs = null
  private readonly only: Segment

  constructor(only: Segment) {
    this.only = only
    const platform = { disk: null, clock: null } as unknown as Platform
    const options = { pageBytesMax: Number.MAX_SAFE_INTEGER, pageFileBytesMax: 1 }
    this.pages = new PageFiles(platform, 'idx', options, () => {})
  }

  segment(): Segment {
    return this.only
  }

  settlementsPending(): void {}
  purged(): void {}
  fetch(): void {}

  overflow(): boolean {
    return false
  }
}

function noteOf(key: string, value: string): Note {
  return { namespace: 1, key, value, expiresAt: 1_000, logged: true }
}

/** What a checkpoint says of a queue. */
interface Told {
  readonly queueId: number
  readonly position: LogPosition
  readonly nextSequence: number
  readonly suspectBelow?: number
  readonly bodies: readonly [sequence: number, body: string, deliveryCount: number][]
}

/** Writes records the way the log does, and hands them to recovery. */
class Tape {
  readonly segment = segment()
  private readonly backing = new Backing(this.segment)
  readonly notes: Notes = new Notes(null)
  readonly bodyRefs: BodyRefs = BodyRefs.reading()
  readonly replay: Replay = new Replay(
    (queueId) => new QueueIndex(queueId, true, memory, this.backing),
    this.notes,
    this.bodyRefs,
  )
  /** Bodies by queue and sequence: recovery does not keep them. */
  private readonly bodies = new Map<string, string>()
  lastRecordBytes = 0
  /** The frame whose records are being written. */
  lsn = 1

  publish(body: string, ...routes: [queueId: number, sequence: number][]): this {
    const message = makeMessage('exchange', 'key', body, { persistent: true })
    const writer = new ByteWriter(4)
    for (const name of [message.exchange, message.routingKey]) {
      writer.u8(name.length)
      writer.bytes(Buffer.from(name))
    }
    writer.u32le(routes.length)
    for (const [queueId, sequence] of routes) {
      this.bodies.set(`${queueId}:${sequence}`, body)
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
    return this.ranges(recordTypes.settled, queueId, sequences, (writer) => writer.u8(0))
  }

  purged(queueId: number, nextSequence: number, ...held: number[]): this {
    return this.ranges(recordTypes.purged, queueId, held, (writer) => writer.varint(nextSequence))
  }

  delivered(queueId: number, ...sequences: number[]): this {
    return this.ranges(recordTypes.delivered, queueId, sequences, () => {})
  }

  live(queueId: number, nextSequence: number, ...sequences: number[]): this {
    return this.ranges(recordTypes.live, queueId, sequences, (writer) => writer.varint(nextSequence))
  }

  snapshot(nextQueueId: number): this {
    const writer = new ByteWriter(4)
    writer.varint(nextQueueId)
    return this.give(recordTypes.snapshot, writer)
  }

  note(key: string, value: string): this {
    const writer = new ByteWriter(4)
    encodeNote(writer, noteOf(key, value))
    return this.give(recordTypes.note, writer)
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

  /** Begins with a checkpoint of these queues; the next record is the first of frame `lsn`. */
  checkpoint(lsn: number, queues: readonly Told[], more: Partial<Checkpoint> = {}, isOutdated = false): this {
    const start = { segments: [], offset: 1_024, lsn: lsn - 1, crc: 0, syncedLsn: lsn - 1 }
    const facts = queues.map(({ queueId, position, bodies, nextSequence, suspectBelow = 0 }) => {
      const page = new IndexPage(queueId)
      page.isClosed = true
      for (const [at, [sequence, body, deliveryCount]] of bodies.entries()) {
        this.bodies.set(`${queueId}:${sequence}`, body)
        page.add(entryOf({ sequence, offset: 2_000 + at * 100, bodyBytes: body.length, deliveryCount }))
      }
      return {
        queueId,
        position,
        nextSequence,
        suspectBelow,
        mayExpire: false,
        lanes: [{ number: 0, pages: [page] }],
      }
    })
    const checkpoint: Checkpoint = {
      id: 1,
      start,
      topologyPosition: { lsn, records: 0 },
      nextQueueId: 1,
      epoch: 1,
      isFinal: false,
      topology: [],
      notes: [],
      nextBodyId: 1,
      bodies: [],
      queues: facts,
      cold: [],
      pageFiles: [],
      ...more,
    }
    this.replay.begin(checkpoint, isOutdated)
    this.lsn = lsn
    return this
  }

  frameEnd(): this {
    this.replay.frameEnd()
    this.lsn++
    return this
  }

  give(type: number, writer: ByteWriter, headerEnd = writer.length, flags: number = criticalFlag): this {
    // In the middle of a buffer that is read over afterwards, as recovery's is.
    const buffer = Buffer.concat([Buffer.alloc(7, 0xee), writer.toBuffer(), Buffer.alloc(5, 0xee)])
    // The record's offset in its segment is the last thing of its header.
    buffer.writeUInt32LE(4_000, 3)
    this.lastRecordBytes = recordHeaderBytes + writer.length
    this.replay.record(type, flags, buffer, 7, 7 + headerEnd, 7 + writer.length, this.segment, this.lsn)
    buffer.fill(0xdd)
    return this
  }

  /** A record that names messages of one queue, with something else before them. */
  private ranges(
    type: number,
    queueId: number,
    sequences: readonly number[],
    writeBefore: (writer: ByteWriter) => void,
  ): this {
    const writer = new ByteWriter(4)
    writer.u32le(queueId)
    writeBefore(writer)
    const ranges = new RangeList()
    for (const sequence of sequences) ranges.add(sequence)
    ranges.encode(writer)
    return this.give(type, writer)
  }

  /** What lives, as `queueId: bodies`, with `!` behind what counts as delivered. */
  finish(epoch = 2): { queues: Record<number, string>; indexes: Map<number, QueueIndex> } {
    const indexes = new Map<number, QueueIndex>()
    this.replay.finish(epoch, 0, indexes)
    const queues: Record<number, string> = {}
    for (const [queueId, index] of indexes) {
      const found: string[] = []
      for (let entry = index.take(); entry !== undefined; entry = index.take()) {
        found.push(`${this.bodies.get(`${queueId}:${entry.sequence}`)}${entry.deliveryCount > 0 ? '!' : ''}`)
      }
      queues[queueId] = found.join(' ')
    }
    return { queues, indexes }
  }
}

describe('replaying a log', () => {
  test('leaves what was published and not settled, in order, with every part of the message', () => {
    const tape = new Tape().publish('a', [1, 1]).publish('b', [1, 2], [2, 1]).publish('c', [1, 3]).settled(1, 2)
    const { queues, indexes } = tape.clean(1).finish()
    expect(queues).toEqual({ 1: 'a c', 2: 'b' })
    expect(tape.segment.live).toBe(3)
    expect([...indexes.values()].map((index) => index.queueId)).toEqual([1, 2])
  })

  test('knows where each message lies, and how long its record and its body are', () => {
    const indexes = new Map<number, QueueIndex>()
    const tape = new Tape().publish('abc', [1, 1])
    tape.replay.finish(2, 0, indexes)
    const entry = indexes.get(1)?.take()
    expect([entry?.segment, entry?.offset, entry?.bodyBytes, entry?.message]).toEqual([tape.segment, 4_000, 3, null])
    expect(entry?.recordBytes).toBe(tape.lastRecordBytes)
  })

  test('takes everything out that a purge did not spare, and gives no number again', () => {
    const tape = new Tape().publish('a', [1, 1]).publish('b', [1, 2]).publish('c', [1, 3]).purged(1, 9, 2)
    tape.publish('d', [1, 9]).clean(1)
    expect(tape.finish().queues).toEqual({ 1: 'b d' })
    expect(new Tape().purged(1, 9).finish().indexes.get(1)?.nextSequence).toBe(9)
  })

  test('leaves out a message that is there for its content alone', () => {
    expect(new Tape().publish('a').publish('b', [1, 1]).clean(1).finish().queues).toEqual({ 1: 'b' })
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

describe('replaying a log from a checkpoint', () => {
  const at = (lsn: number, records: number): LogPosition => ({ lsn, records })

  /** Of queue 1, up to that position of the log. */
  function told(position: LogPosition, nextSequence: number, bodies: Told['bodies'], more: Partial<Told> = {}): Told {
    return { queueId: 1, position, nextSequence, bodies, ...more }
  }

  test('begins with what it says lives, and goes on from there', () => {
    const q = told(at(5, 0), 9, [
      [3, 'a', 0],
      [8, 'b', 2],
    ])
    const tape = new Tape().checkpoint(5, [q], { nextQueueId: 7 }).publish('c', [1, 9]).settled(1, 3).clean(1)
    const { queues, indexes } = tape.finish()
    expect(queues).toEqual({ 1: 'b! c' })
    expect([indexes.get(1)?.nextSequence, tape.replay.nextQueueId]).toEqual([10, 7])
  })

  test('gives no number again that it names, though nothing of the queue is left', () => {
    const tape = new Tape().checkpoint(5, [told(at(5, 0), 50, [])])
    expect(tape.finish().indexes.get(1)?.nextSequence).toBe(50)
  })

  test('applies nothing again to a queue that comes before its position, whatever the record, and all that comes after', () => {
    const queue = told(at(6, 3), 5, [
      [2, 'b', 0],
      [4, 'd', 0],
    ])
    const tape = new Tape().checkpoint(5, [queue])
    // The frame before: everything in it is in the checkpoint.
    tape.publish('a', [1, 1]).publish('b', [1, 2]).publish('c', [1, 3]).settled(1, 1).purged(1, 2).frameEnd()
    // The first three records of the frame are, too.
    tape.publish('d', [1, 4]).settled(1, 3).purged(1, 1, 4)
    tape.publish('e', [1, 5]).settled(1, 2).frameEnd()
    tape.publish('f', [1, 6]).settled(1, 5).frameEnd().clean(1)
    expect(tape.finish().queues).toEqual({ 1: 'd f' })
    expect(tape.segment.live).toBe(2)
  })

  test('applies a purge that comes after its position', () => {
    const queue = told(at(5, 1), 3, [
      [1, 'a', 0],
      [2, 'b', 0],
    ])
    const tape = new Tape().checkpoint(5, [queue]).publish('b', [1, 2]).purged(1, 3, 2).publish('c', [1, 3]).clean(1)
    expect(tape.finish().queues).toEqual({ 1: 'b c' })
  })

  test('takes a message for the queues alone that had not been looked at when it came', () => {
    const early = told(at(5, 1), 2, [[1, 'a', 0]])
    const late = told(
      at(5, 2),
      3,
      [
        [1, 'a', 0],
        [2, 'b', 0],
      ],
      { queueId: 2 },
    )
    const tape = new Tape().checkpoint(5, [early, late])
    tape.publish('a', [1, 1], [2, 1]).publish('b', [1, 2], [2, 2]).publish('c', [1, 3], [2, 3]).clean(1)
    expect(tape.finish().queues).toEqual({ 1: 'a b c', 2: 'a b c' })
  })

  test('counts records of each frame from its beginning', () => {
    const queue = told(at(6, 1), 3, [[2, 'b', 0]])
    const tape = new Tape().checkpoint(4, [queue]).publish('x', [9, 1]).publish('a', [1, 1]).frameEnd()
    // A frame may be missing here: SYNCED frames are the log's own.
    tape.lsn = 6
    tape.settled(1, 1).publish('c', [1, 3]).frameEnd().publish('d', [1, 4]).frameEnd().clean(1)
    expect(tape.finish().queues[1]).toBe('b c d')
  })

  test('leaves a queue without a position, which was declared since, all its records', () => {
    const tape = new Tape().checkpoint(5, [], { topologyPosition: at(5, 0) })
    tape.declare('new', 3).publish('a', [3, 1]).frameEnd().clean(1)
    expect(tape.finish().queues).toEqual({ 3: 'a' })
    expect([tape.replay.topology.length, tape.replay.nextQueueId]).toEqual([1, 4])
  })

  test('takes no topology record twice: those before its position are in it, those after it are not', () => {
    const known = new Tape().declare('known', 1).declare('again', 4).replay.topology
    const queue = told(at(6, 9), 2, [[1, 'a', 0]])
    const again = told(at(6, 9), 2, [[1, 'b', 0]], { queueId: 4 })
    const options = { topology: known, topologyPosition: at(6, 2), nextQueueId: 5 }
    const tape = new Tape().checkpoint(5, [queue, again], options)
    // What was deleted and declared again before the position is there, in its second life.
    tape.declare('known', 1).declare('again', 2).frameEnd()
    tape.delete('again', 2).declare('again', 4).delete('known', 1).declare('late', 5).frameEnd().clean(1)
    expect(tape.finish().queues).toEqual({ 4: 'b' })
    expect(tape.replay.topology.map((record) => record.type)).toEqual([
      'queue-declared',
      'queue-declared',
      'queue-deleted',
      'queue-declared',
    ])
    expect(tape.replay.nextQueueId).toBe(6)
  })

  test('takes notes as its topology: those before its position are in it, those after it are not', () => {
    const notes = [noteOf('in it', '2')]
    const tape = new Tape().checkpoint(5, [], { notes, topologyPosition: at(5, 2) })
    tape.note('forgotten', '1').note('in it', '1').note('after it', '3').frameEnd().note('in it', '4')
    expect(tape.notes.logged()).toEqual([noteOf('after it', '3'), noteOf('in it', '4')])
  })

  test('believes a final one that nothing was handed out since, unless another opening or another record came', () => {
    const bodies: Told['bodies'] = [
      [1, 'a', 0],
      [2, 'b', 3],
    ]
    const queue = told(at(5, 0), 3, bodies)
    const final = { isFinal: true, epoch: 3 }
    const found = (more: Partial<Checkpoint>, epoch: number, isOutdated = false, lsn = 0): string | undefined => {
      const tape = new Tape().checkpoint(5, [queue], more, isOutdated)
      if (lsn > 0) {
        tape.lsn = lsn
        tape.settled(9, 1)
      }
      return tape.finish(epoch).queues[1]
    }
    expect(found(final, 4)).toBe('a b!')
    expect(found(final, 4, false, 4)).toBe('a b!')
    expect(found(final, 4, false, 5)).toBe('a! b!')
    expect(found(final, 5)).toBe('a! b!')
    expect(found(final, 4, true)).toBe('a! b!')
    expect(found({ isFinal: false, epoch: 3 }, 4)).toBe('a! b!')
  })

  test('goes on suspecting after a clean end what an earlier end left in doubt', () => {
    const bodies: Told['bodies'] = [
      [1, 'a', 0],
      [2, 'b', 0],
    ]
    const queue = told(at(5, 0), 3, bodies, { suspectBelow: 2 })
    expect(new Tape().checkpoint(5, [queue]).clean(1).finish().queues).toEqual({ 1: 'a! b' })
  })

  test('counts no message of a queue that was deleted before its topology was written down', () => {
    const tape = new Tape().checkpoint(5, [], { topologyPosition: at(5, 3) })
    tape.declare('gone', 1).publish('a', [1, 1]).delete('gone', 1).frameEnd()
    expect(tape.replay.finish(2, 0, new Map()).messages).toBe(0)
  })
})
