// Ids are UUIDs of version 7: unique, sorted by time, the same as text and as bytes.
import { describe, expect, it } from 'vitest'
import type { Platform } from '../platform/platform.ts'
import { SimClock } from '../testing/sim-clock.ts'
import { SimRandom } from '../testing/sim-random.ts'
import { IdSource, idLength } from './ids.ts'

function source(seed = 1): { ids: IdSource; clock: SimClock } {
  const clock = new SimClock()
  return { ids: new IdSource({ clock, random: new SimRandom(seed) } as unknown as Platform), clock }
}

function next(ids: IdSource): string {
  ids.advance()
  return ids.text()
}

describe('IdSource', () => {
  it('makes UUIDs of version 7 that carry the time', () => {
    const { ids, clock } = source()
    const id = next(ids)
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)).toBe(clock.realtimeMs())
  })

  it('makes each once, in order within a millisecond and from one to the next', () => {
    const { ids, clock } = source()
    ids.counter = 0x1000
    const all: string[] = []
    for (let count = 0; count < 3_000; count++) {
      all.push(next(ids))
      if (count % 100 === 0) clock.pause(1)
    }
    expect(new Set(all).size).toBe(all.length)
    expect([...all].sort()).toEqual(all)
  })

  it('does not go back with the clock', () => {
    const { ids, clock } = source()
    ids.counter = 5
    const before = next(ids)
    clock.jumpRealtime(-3_600_000)
    expect(next(ids) > before).toBe(true)
  })

  it('goes on when its counter begins anew', () => {
    const { ids } = source()
    ids.counter = 0xffffffff
    expect(next(ids).endsWith('00000000')).toBe(true)
    expect(next(ids).endsWith('00000001')).toBe(true)
  })

  it('differs from bus to bus', () => expect(next(source(1).ids).slice(13)).not.toBe(next(source(2).ids).slice(13)))

  it('writes the same bytes as its text', () => {
    const { ids } = source()
    const target = Buffer.alloc(idLength + 2, 0x2e)
    ids.advance()
    ids.writeTo(target, 1)
    expect(target.toString()).toBe(`.${ids.text()}.`)
  })
})
