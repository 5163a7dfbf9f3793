// What a queue remembers: order, what was settled, and how many live entries each segment still has.
import { describe, expect, test } from 'vitest'
import { ByteReader } from '../lib/byte-reader.ts'
import { ByteWriter } from '../lib/byte-writer.ts'
import type { Residence } from '../model/message.ts'
import { makeMessage } from '../testing/core-harness.ts'
import { Entry } from './entry.ts'
import { QueueIndex } from './queue-index.ts'
import { readRanges } from './range-list.ts'

function settled(index: QueueIndex): number[] {
  const writer = new ByteWriter()
  index.settled.encode(writer)
  return readRanges(new ByteReader(writer.toBuffer()))
}

function push(index: QueueIndex, body: string, residence: Residence | null = null): Entry {
  const message = makeMessage('', 'q', body)
  message.residence = residence
  return index.push(message, residence !== null)
}

describe('a queue index', () => {
  test('gives sequences from 1 and entries in their order, requeued ones in their old place', () => {
    const index = new QueueIndex(1, null)
    const entries = ['a', 'b', 'c', 'd'].map((body) => push(index, body))
    expect(entries.map((entry) => entry.sequence)).toEqual([1, 2, 3, 4])
    const [a, b, c] = [index.shift(), index.shift(), index.shift()] as [Entry, Entry, Entry]
    index.requeue(c)
    index.requeue(a)
    push(index, 'e')
    expect(index.shift()).toBe(a)
    index.requeue(b)
    const rest: number[] = []
    for (let entry = index.shift(); entry !== undefined; entry = index.shift()) rest.push(entry.sequence)
    expect(rest).toEqual([2, 3, 4, 5])
  })

  test('counts what is ready, and its body bytes', () => {
    const index = new QueueIndex(1, null)
    for (const body of ['a', 'bb', 'ccc']) push(index, body)
    const entry = index.shift() as Entry
    expect([index.readyCount, index.readyBytes]).toEqual([2, 5])
    index.requeue(entry)
    expect([index.readyCount, index.readyBytes]).toEqual([3, 6])
    index.shift()
    index.restore(new Entry(makeMessage('', 'q', 'dddd'), 9, true))
    expect([index.readyCount, index.readyBytes, index.nextSequence]).toEqual([3, 9, 10])
  })

  test('tells its listener once that there are settlements, of logged entries only, and lets their segment go', () => {
    const told: QueueIndex[] = []
    const index = new QueueIndex(1, { settlementsPending: (which) => told.push(which) })
    const segment = { live: 3 }
    for (let number = 0; number < 3; number++) push(index, 'x', segment)
    push(index, 'transient')
    for (let number = 0; number < 4; number++) index.settle(index.shift() as Entry)
    expect(told).toEqual([index])
    expect(settled(index)).toEqual([1, 3])
    expect(segment.live).toBe(0)
    index.settled.clear()
    push(index, 'x', segment)
    segment.live = 1
    index.settle(index.shift() as Entry)
    expect(told).toEqual([index, index])
    expect(settled(index)).toEqual([5, 5])
  })

  test('that is dropped, lets go of its segments at once for what is ready and later for what consumers hold', () => {
    const told: QueueIndex[] = []
    const index = new QueueIndex(1, { settlementsPending: (which) => told.push(which) })
    const segment = { live: 3 }
    for (let number = 0; number < 3; number++) push(index, 'x', segment)
    const held = index.shift() as Entry
    index.drop()
    expect([segment.live, index.readyCount]).toEqual([1, 0])
    index.settle(held)
    expect(segment.live).toBe(0)
    expect(told).toEqual([])
    expect(index.settled.isEmpty).toBe(true)
  })

  test('shows its ready entries, and the newest of them from behind', () => {
    const index = new QueueIndex(1, null)
    for (const body of ['a', 'b', 'c']) push(index, body)
    index.requeue(index.shift() as Entry)
    const seen: number[] = []
    index.forEachReady((entry) => seen.push(entry.sequence))
    expect(seen).toEqual([1, 2, 3])
    expect([0, 1, 2].map((behind) => index.newestReady(behind)?.sequence)).toEqual([3, 2, undefined])
  })
})
