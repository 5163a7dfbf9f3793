// A checkpoint file says what it was told, to the last bit, or it says nothing.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crc32 } from '../lib/crc32.ts'
import type { SegmentFacts } from '../log/log-start.ts'
import { emptyTable, toTable } from '../model/field-table.ts'
import { entryOf } from '../testing/page-entry.ts'
import {
  type Checkpoint,
  CheckpointEncoder,
  checkpointIdOf,
  checkpointName,
  decodeCheckpoint,
  type LogPosition,
} from './checkpoint-file.ts'
import { IndexPage, type PageEntry } from './index-page.ts'
import type { TopologyRecord } from './record.ts'

/** Writes all of it; the parts are taken out after every `sectionsPerPart` sections. */
function encode(checkpoint: Checkpoint, sectionsPerPart = 1_000_000): Buffer {
  const encoder = new CheckpointEncoder(checkpoint.id)
  const parts: Buffer[] = []
  let sections = 0
  const took = (): void => {
    if (++sections % sectionsPerPart === 0) parts.push(Buffer.from(encoder.take()))
  }
  const { start, topologyPosition, nextQueueId, epoch, isFinal } = checkpoint
  encoder.start(start, topologyPosition, nextQueueId, epoch, isFinal)
  took()
  encoder.topology(checkpoint.topology)
  took()
  if (checkpoint.notes.length > 0) encoder.notes(checkpoint.notes)
  took()
  encoder.bodies(checkpoint.nextBodyId, checkpoint.bodies)
  took()
  for (const { queueId, position, nextSequence, suspectBelow, mayExpire, lanes } of checkpoint.queues) {
    encoder.beginQueue(queueId, position, nextSequence, suspectBelow, mayExpire, lanes.length)
    for (const { number, pages } of lanes) {
      encoder.beginLane(number, pages.length)
      for (const page of pages) encoder.page(page)
    }
    encoder.endQueue()
    took()
  }
  encoder.cold(checkpoint.cold)
  took()
  encoder.finish(start.syncedLsn, checkpoint.pageFiles)
  parts.push(Buffer.from(encoder.take()))
  return Buffer.concat(parts)
}

/** What a page says, whatever it keeps beside. */
function factsOf(page: IndexPage): unknown {
  const { queueId, usedBytes, count, passed, bodyBytes, transientCount, firstSequence, lastSequence, place } = page
  const segments = page.segments.slice(page.segmentsAt)
  const content = place === null ? Buffer.from((page.bytes as Buffer).subarray(0, usedBytes)).toString('hex') : page.crc
  return {
    queueId,
    usedBytes,
    count,
    passed,
    bodyBytes,
    transientCount,
    firstSequence,
    lastSequence,
    segments,
    place,
    content,
  }
}

function comparable(checkpoint: Checkpoint): unknown {
  return {
    ...checkpoint,
    start: {
      ...checkpoint.start,
      segments: checkpoint.start.segments.map((facts) => ({ ...facts, salt: facts.salt.toString('hex') })),
    },
    cold: checkpoint.cold.map((facts) => ({ ...facts, salt: facts.salt.toString('hex') })),
    queues: checkpoint.queues.map((queue) => ({
      ...queue,
      lanes: queue.lanes.map(({ number, pages }) => ({ number, pages: pages.map(factsOf) })),
    })),
  }
}

/** The trailer is made to fit: what is wrong then is wrong although it is whole. */
function resealed(content: Buffer): Buffer {
  const sealed = Buffer.from(content)
  sealed.writeUInt32LE(crc32(sealed, 0, sealed.length - 8, 0), sealed.length - 8)
  return sealed
}

function fileOf(sections: Buffer): Buffer {
  const whole = encode(tiny)
  return resealed(Buffer.concat([whole.subarray(0, 16), sections, whole.subarray(-12)]))
}

const declared: TopologyRecord = {
  type: 'queue-declared',
  virtualHost: '/',
  name: 'q',
  queueId: 4,
  durable: true,
  autoDelete: false,
  arguments: emptyTable,
}

const facts: SegmentFacts = {
  id: 3,
  previousId: 1,
  previousBytes: 200,
  previousCrc: 5,
  epoch: 2,
  firstLsn: 6,
  salt: Buffer.from('0011223344556677', 'hex'),
  bytes: 1_024,
  lastCrc: 9,
  references: 300,
}

function tinyPages(): IndexPage[] {
  const here = new IndexPage(4)
  const size = { segmentId: 3, recordBytes: 50, bodyBytes: 7 }
  here.add(entryOf({ ...size, sequence: 10, offset: 1_100 }))
  here.add(entryOf({ ...size, sequence: 11, offset: 1_150, deliveryCount: 2 }))
  here.isClosed = true
  const elsewhere = here.freeze(true)
  elsewhere.place = { file: 1, position: 32 }
  elsewhere.crc = 0x81
  return [elsewhere, here]
}

const tiny: Checkpoint = {
  id: 7,
  start: { segments: [facts], offset: 1_024, lsn: 5, crc: 3, syncedLsn: 8 },
  topologyPosition: { lsn: 7, records: 1 },
  nextQueueId: 5,
  epoch: 2,
  isFinal: true,
  topology: [declared],
  notes: [{ namespace: 1, key: '4 k', value: 'id', expiresAt: 300, logged: true }],
  nextBodyId: 9,
  bodies: [{ queueId: 4, sequence: 300, bodyId: 8 }],
  queues: [
    {
      queueId: 4,
      position: { lsn: 7, records: 2 },
      nextSequence: 12,
      suspectBelow: 11,
      mayExpire: true,
      lanes: [{ number: 0, pages: tinyPages() }],
    },
  ],
  cold: [{ number: 2, epoch: 1, salt: Buffer.from('8899aabbccddeeff', 'hex'), bytes: 4_096, references: 6 }],
  pageFiles: [1, 300],
}

// ---------------------------------------------------------------------------------------------- any checkpoint at all

const number: fc.Arbitrary<number> = fc.oneof(fc.nat(200), fc.nat(0x7fffffff), fc.maxSafeNat())
const crc: fc.Arbitrary<number> = fc.nat(0xffffffff)
const position: fc.Arbitrary<LogPosition> = fc.record({ lsn: number, records: fc.nat(100_000) })

const salt = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => Buffer.from(bytes))
const segmentFacts: fc.Arbitrary<SegmentFacts> = fc.record({
  id: number,
  previousId: number,
  previousBytes: number,
  previousCrc: crc,
  epoch: number,
  firstLsn: number,
  salt,
  bytes: number,
  lastCrc: crc,
  references: number,
})

const name = fc.string({ maxLength: 40, unit: 'grapheme' })
const table = fc.dictionary(fc.string({ maxLength: 10 }), fc.integer({ min: -1000, max: 1000 })).map(toTable)
const binding = {
  virtualHost: name,
  source: name,
  destination: name,
  destinationKind: fc.constantFrom('queue' as const, 'exchange' as const),
  routingKey: name,
  arguments: table,
}

const topology: fc.Arbitrary<TopologyRecord> = fc.oneof(
  fc.record({
    type: fc.constant('exchange-declared' as const),
    virtualHost: name,
    name,
    kind: name,
    durable: fc.boolean(),
    autoDelete: fc.boolean(),
    internal: fc.boolean(),
    arguments: table,
  }),
  fc.record({
    type: fc.constant('queue-declared' as const),
    virtualHost: name,
    name,
    queueId: fc.nat(0xffffffff),
    durable: fc.boolean(),
    autoDelete: fc.boolean(),
    arguments: table,
  }),
  fc.record({ type: fc.constant('bound' as const), ...binding }),
)

const place = fc.option(fc.record({ file: fc.nat(0x7fffffff), position: number }))

/** Entries in ascending order, some of which were taken already. */
const pageSpec = fc.record({
  first: fc.integer({ min: 1, max: 2 ** 47 }),
  entries: fc.array(
    fc.tuple(
      fc.integer({ min: 1, max: 1_000 }),
      fc.integer({ min: 1, max: 3 }),
      fc.nat(0x7fffffff),
      fc.nat(5_000),
      fc.nat(5),
      fc.boolean(),
      fc.constantFrom(0, 0, 1_800_000_000_000),
    ),
    { minLength: 1, maxLength: 40 },
  ),
  taken: fc.nat(39),
  place,
  crc,
})

type PageSpec = typeof pageSpec extends fc.Arbitrary<infer Spec> ? Spec : never

function pageOf(queueId: number, { first, entries, taken, place, crc }: PageSpec): IndexPage {
  const page = new IndexPage(queueId)
  const added: PageEntry[] = []
  let sequence = first
  let segmentId = 1
  for (const [gap, segments, offset, bodyBytes, deliveryCount, isTransient, expiresAt] of entries) {
    sequence += gap
    segmentId += segments - 1
    const recordBytes = bodyBytes + 40
    const facts = { sequence, segmentId, offset, recordBytes, bodyBytes, deliveryCount, isTransient, expiresAt }
    const entry = entryOf(facts)
    page.add(entry)
    added.push(entry)
  }
  for (const entry of added.slice(0, Math.min(taken, added.length - 1))) page.pass(entry)
  page.isClosed = true
  page.place = place
  page.crc = crc
  return page
}

const queue = fc
  .record({
    queueId: fc.nat(0xffffffff),
    position,
    nextSequence: number,
    suspectBelow: number,
    mayExpire: fc.boolean(),
    lanes: fc.array(fc.record({ number: fc.nat(70_000), pages: fc.array(pageSpec, { maxLength: 4 }) }), {
      maxLength: 3,
    }),
  })
  .map(({ lanes, ...rest }) => ({
    ...rest,
    lanes: lanes.map(({ number, pages }) => ({ number, pages: pages.map((spec) => pageOf(rest.queueId, spec)) })),
  }))

const note = fc.record({
  namespace: fc.nat(255),
  key: fc.string({ unit: 'grapheme', maxLength: 50 }),
  value: fc.string({ unit: 'grapheme', maxLength: 50 }),
  expiresAt: number,
  logged: fc.constant(true),
})

const checkpoints: fc.Arbitrary<Checkpoint> = fc.record({
  id: fc.nat(0xffffffff),
  start: fc.record({
    segments: fc.array(segmentFacts, { maxLength: 5 }),
    offset: number,
    lsn: number,
    crc,
    syncedLsn: number,
  }),
  topologyPosition: position,
  nextQueueId: number,
  epoch: number,
  isFinal: fc.boolean(),
  topology: fc.array(topology, { maxLength: 5 }),
  notes: fc.array(note, { maxLength: 5 }),
  nextBodyId: number,
  bodies: fc.array(fc.record({ queueId: number, sequence: number, bodyId: number }), { maxLength: 5 }),
  queues: fc.array(queue, { maxLength: 5 }),
  cold: fc.array(fc.record({ number: fc.nat(0x7fffffff), epoch: number, salt, bytes: number, references: number }), {
    maxLength: 5,
  }),
  pageFiles: fc.array(number, { maxLength: 5 }),
})

describe('a checkpoint file', () => {
  test('gives back every checkpoint that was written into it, however it was cut into writes', () => {
    fc.assert(
      fc.property(checkpoints, fc.integer({ min: 1, max: 4 }), (checkpoint, sectionsPerPart) => {
        const content = encode(checkpoint)
        expect(encode(checkpoint, sectionsPerPart).equals(content)).toBe(true)
        const decoded = decodeCheckpoint(content)
        expect(decoded).not.toBeNull()
        expect(comparable(decoded as Checkpoint)).toEqual(comparable(checkpoint))
      }),
      { numRuns: 300 },
    )
  })

  test('gives pages to which nothing more is added, with their bytes only where they are in no file', () => {
    const decoded = decodeCheckpoint(encode(tiny))
    const [elsewhere, here] = (decoded as Checkpoint).queues[0]?.lanes[0]?.pages.slice() ?? []
    expect([elsewhere?.isClosed, here?.isClosed, elsewhere?.bytes]).toEqual([true, true, null])
    expect(here?.bytes?.length).toBe(here?.usedBytes)
    expect([elsewhere?.place, elsewhere?.crc, here?.place]).toEqual([{ file: 1, position: 32 }, 0x81, null])
  })

  test('has the bytes that its comment draws', () => {
    const pages = '09 02 00 0e 00 0a 01 01 03 02'
    const sections = [
      // START: offset 1024, LSN 5, CRC 3 | frame 7, 1 record | next queue id 5 | epoch 2 | final
      '01 09000000 8008 05 03 07 01 05 02 01',
      // SEGMENTS: id 3 after 1, which had 200 bytes and CRC 5 | epoch 2 | LSN 6 | salt | 1024 bytes, CRC 9, 300 references
      '02 14000000 03 01 c801 05 02 06 0011223344556677 8008 09 ac02',
      // TOPOLOGY: 12 bytes: declared, '/', 'q', queue 4, durable, no arguments
      '03 0c000000 0b 03 012f 0171 04 01 00000000',
      // NOTES: 11 bytes: namespace 1, until 300, '4 k' is 'id'
      '06 0b000000 0a 01 ac02 0334206b 026964',
      // BODIES: next id 9 | message 300 of queue 4 has body 8
      '07 05000000 09 04 ac02 08',
      // QUEUE: id 4 | frame 7, 2 records | next 12, suspect below 11, something may expire | 1 lane: priority 0, 2 pages
      '04 2b000000 04 07 02 0c 0b 01 01 00 02',
      // each 9 bytes, 2 entries, none taken, 14 body bytes, none transient, from 10 on, 1 more; segment 3: 2 entries
      `${pages} 02 20 8101`,
      `${pages} 00 000a03cc083207 1f02`,
      // COLD: number 2, epoch 1 | salt | 4096 bytes, 6 references
      '05 0d000000 02 01 8899aabbccddeeff 8020 06',
      // END: frame 8 | page files 1 and 300
      '09 04000000 08 01 ac02',
    ].map((text) => text.replaceAll(' ', ''))
    const header = '4c565254434b5054 0100 0000 07000000'.replaceAll(' ', '')
    // The last section has 9 bytes with its head.
    const body = Buffer.from(`${header}${sections.join('')}09000000`, 'hex')
    const trailer = Buffer.alloc(8)
    trailer.writeUInt32LE(crc32(body, 0, body.length, 0))
    trailer.write('LVCE', 4, 'latin1')
    expect(encode(tiny).toString('hex')).toBe(Buffer.concat([body, trailer]).toString('hex'))
  })

  test('says nothing if any bit of it is another', () => {
    const content = encode(tiny)
    for (let offset = 0; offset < content.length; offset++) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = Buffer.from(content)
        flipped[offset] = (flipped[offset] as number) ^ (1 << bit)
        expect(decodeCheckpoint(flipped), `bit ${bit} of byte ${offset}`).toBeNull()
      }
    }
    expect(decodeCheckpoint(content)).not.toBeNull()
  })

  test('says nothing if it was cut anywhere, or goes on', () => {
    const content = encode(tiny)
    for (let length = 0; length < content.length; length++) {
      expect(decodeCheckpoint(content.subarray(0, length)), `cut to ${length} bytes`).toBeNull()
    }
    for (const more of [Buffer.from([0]), content]) expect(decodeCheckpoint(Buffer.concat([content, more]))).toBeNull()
    expect(decodeCheckpoint(content.subarray(1))).toBeNull()
  })

  test('says nothing if it is whole, but no checkpoint that this version knows', () => {
    const whole = encode(tiny)
    expect(decodeCheckpoint(fileOf(whole.subarray(16, -12)))).not.toBeNull()
    const later = Buffer.from(whole)
    later.writeUInt16LE(2, 8)
    expect(decodeCheckpoint(resealed(later))).toBeNull()
    for (const [what, hex] of [
      ['an unknown section', '0501000000ff'],
      ['a section longer than the file', '03ff00000001'],
      ['a section cut short', '010200000001ff'],
      ['a queue whose pages are missing', '0409000000040702000b00010001'],
      ['a topology record of no known kind', '03020000000163'],
      ['half a head of a section', '0904'],
    ] as const) {
      expect(decodeCheckpoint(fileOf(Buffer.from(hex, 'hex'))), what).toBeNull()
    }
  })

  test('is named by a number, and nothing else is named so', () => {
    expect(checkpointName(42)).toBe('0000000042.ckpt')
    expect(checkpointIdOf(checkpointName(4_294_967_295))).toBe(4_294_967_295)
    for (const other of ['0000000042.ckpt.tmp', '42.ckpt', '0000000042.idx', 'x0000000042.ckpt', '']) {
      expect(checkpointIdOf(other)).toBe(0)
    }
  })
})
