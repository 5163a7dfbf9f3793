// What a channel has handed out, against a plain map by tag.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Entry } from '../store/entry.ts'
import type { Consumer } from './consumer.ts'
import type { Queue } from './queue.ts'
import { UnackedRing } from './unacked-ring.ts'

interface Row {
  tag: number
  entry: Entry
  queue: Queue
  consumer: Consumer | null
}

function makeRow(tag: number): Row {
  const consumer = tag % 3 === 0 ? null : ({ tag } as unknown as Consumer)
  return { tag, entry: { tag } as unknown as Entry, queue: { tag } as unknown as Queue, consumer }
}

function rows(ring: UnackedRing): Row[] {
  const found: Row[] = []
  for (let slot = 0; slot < ring.slots; slot++) {
    const entry = ring.entryAt(slot)
    if (entry === null) continue
    found.push({ tag: ring.tagAt(slot), entry, queue: ring.queueAt(slot), consumer: ring.consumerAt(slot) })
  }
  return found
}

describe('an unacked ring', () => {
  test('knows exactly what is outstanding, in order, whatever is settled when', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('push' as const), value: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant('push' as const), value: fc.constant(1) }),
      fc.record({ kind: fc.constant('settle' as const), value: fc.nat(1_000) }),
      fc.record({ kind: fc.constant('settle up to' as const), value: fc.nat(1_000) }),
      fc.record({ kind: fc.constant('trim' as const), value: fc.constant(0) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const ring = new UnackedRing()
        let model: Row[] = []
        let tag = 0
        for (const { kind, value } of steps) {
          if (kind === 'push') {
            tag += value
            const row = makeRow(tag)
            ring.push(tag, row.entry, row.queue, row.consumer)
            model.push(row)
          } else if (kind === 'trim') ring.trim()
          else if (model.length > 0) {
            const chosen = model[value % model.length] as Row
            const last = ring.find(chosen.tag)
            for (let slot = kind === 'settle' ? last : 0; slot <= last; slot++) {
              if (ring.entryAt(slot) !== null) ring.clear(slot)
            }
            model = model.filter((row) => (kind === 'settle' ? row !== chosen : row.tag > chosen.tag))
          }
          expect(ring.count).toBe(model.length)
        }
        expect(rows(ring)).toEqual(model)
        for (let probe = 0; probe <= tag + 1; probe++) {
          const slot = ring.find(probe)
          expect(slot >= 0, `tag ${probe}`).toBe(model.some((row) => row.tag === probe))
          if (slot >= 0) expect(ring.tagAt(slot)).toBe(probe)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('is packed without mixing up tags, entries, queues and consumers', () => {
    const ring = new UnackedRing()
    const kept: Row[] = []
    for (let tag = 2; tag <= 2_000; tag += tag % 5 === 0 ? 3 : 1) {
      const row = makeRow(tag)
      ring.push(tag, row.entry, row.queue, row.consumer)
      if (tag === 2 || tag % 97 === 0) kept.push(row)
    }
    for (let slot = 0; slot < ring.slots; slot++) {
      if (!kept.some((row) => row.tag === ring.tagAt(slot))) ring.clear(slot)
    }
    ring.trim()
    expect(ring.slots).toBe(kept.length)
    expect(rows(ring)).toEqual(kept)
    for (const row of kept) expect(ring.tagAt(ring.find(row.tag))).toBe(row.tag)
    expect(ring.find(3)).toBe(-1)
  })

  test('gives room back while one old delivery stays unsettled for hours', () => {
    const ring = new UnackedRing()
    let most = 0
    for (let tag = 1; tag <= 100_000; tag++) {
      const { entry, queue } = makeRow(tag)
      ring.push(tag, entry, queue, null)
      if (tag === 1) continue
      ring.clear(ring.find(tag))
      ring.trim()
      most = Math.max(most, ring.slots)
    }
    expect(ring.count).toBe(1)
    expect(ring.find(1)).toBe(0)
    expect(most).toBeLessThan(1_000)
  })
})
