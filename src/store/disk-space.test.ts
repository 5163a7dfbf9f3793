// A disk that runs full: when publishers are told to stop, and when they may go on.
import { describe, expect, test } from 'vitest'
import type { Platform } from '../platform/platform.ts'
import { SimClock } from '../testing/sim-clock.ts'
import { DiskSpace } from './disk-space.ts'

class Fixture {
  readonly clock = new SimClock()
  free = 1_000
  looks = 0
  readonly told: boolean[] = []
  readonly space: DiskSpace

  constructor(freeBytes?: () => Promise<number>) {
    const disk = {
      freeBytes: async () => {
        this.looks++
        return freeBytes === undefined ? this.free : freeBytes()
      },
    }
    const platform = { clock: this.clock, disk } as unknown as Platform
    this.space = new DiskSpace(platform, '/data', 100, 0, (isLow) => this.told.push(isLow))
  }

  async write(totalBytes = 0): Promise<void> {
    this.space.wrote(totalBytes)
    await this.clock.advance(0)
  }
}

describe('the room on a disk', () => {
  test('is looked at once a second at most, and not at all while nothing is written', async () => {
    const fixture = new Fixture()
    for (let count = 0; count < 5; count++) await fixture.write()
    expect(fixture.looks).toBe(1)
    await fixture.clock.advance(10_000)
    expect(fixture.looks).toBe(1)
    await fixture.write()
    expect(fixture.looks).toBe(2)
    expect(fixture.told).toEqual([])
  })

  test('is looked at again within the second when much was written', async () => {
    const fixture = new Fixture()
    for (const total of [0, 12, 13, 25, 26]) await fixture.write(total)
    expect(fixture.looks).toBe(3)
  })

  test('is told of when it falls below the bound, and when there is clearly more again', async () => {
    const fixture = new Fixture()
    fixture.free = 99
    await fixture.write()
    expect(fixture.told).toEqual([true])
    fixture.free = 110
    await fixture.clock.advance(1_000)
    expect(fixture.told).toEqual([true])
    fixture.free = 125
    await fixture.clock.advance(1_000)
    expect(fixture.told).toEqual([true, false])
    await fixture.clock.advance(10_000)
    expect(fixture.looks).toBe(3)
  })

  test('counts as enough where the system does not tell', async () => {
    const fixture = new Fixture(() => Promise.reject(new Error('ENOSYS')))
    await fixture.write()
    expect(fixture.told).toEqual([])
  })

  test('is nobody’s business any more after the end', async () => {
    const fixture = new Fixture()
    fixture.free = 1
    await fixture.write()
    void fixture.space.end()
    await fixture.clock.advance(10_000)
    expect(fixture.looks).toBe(1)
  })
})
