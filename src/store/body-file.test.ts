// The file of a body: what goes in comes out, and nothing else does.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SimFolder } from '../testing/sim-folder.ts'
import { BodyDamage, BodyReader, BodyWriter, bodyIdIn, bodyName, partsOf } from './body-file.ts'

const path = '/data/body/0000000007.body'

class Store {
  readonly folder: SimFolder = new SimFolder()
  readonly told: string[] = []

  async begin(): Promise<this> {
    await this.folder.clock.run(this.folder.disk.makeDirectory('/data/body'))
    return this
  }

  writer(bytes: number, chunkBytes = 1_000): BodyWriter {
    const events = { drained: () => this.told.push('drained'), stored: () => this.told.push('stored') }
    return new BodyWriter(this.folder.platform, path, 7, bytes, chunkBytes, events, {
      folderMade: () => Promise.resolve(),
      syncFailed: (error) => this.told.push(`sync failed: ${String(error)}`),
      settled: (_writer, isThere) => this.told.push(isThere ? 'there' : 'gone'),
      wrote: () => {},
      stalled: () => {},
    })
  }

  async write(body: Buffer, pieces: readonly number[] = [body.length], chunkBytes = 1_000): Promise<void> {
    const writer = this.writer(body.length, chunkBytes)
    let at = 0
    for (const piece of [...pieces, body.length]) {
      const end = Math.min(body.length, at + piece)
      // What is handed over may be anything else a moment later.
      const chunk = Buffer.concat([Buffer.from('..'), body.subarray(at, end)])
      writer.write(chunk, 2, chunk.length)
      chunk.fill(0xee)
      at = end
    }
    writer.end()
    await this.folder.clock.advance(1_000)
  }

  async read(bytes: number, id = 7): Promise<Buffer> {
    const events = { damaged: ({ offset }: BodyDamage) => this.told.push(`damaged at ${offset}`), closed: () => {} }
    const reader = new BodyReader(this.folder.platform, path, id, bytes, events)
    const run = async (): Promise<Buffer> => {
      const pieces: Buffer[] = []
      for (let piece = await reader.next(); piece !== null; piece = await reader.next()) pieces.push(Buffer.from(piece))
      return Buffer.concat(pieces)
    }
    return await this.folder.clock.run(run().finally(() => reader.close()))
  }
}

function pattern(bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, (_, at) => (at * 31 + (at >> 8)) & 255))
}

describe('a body', () => {
  test('comes out as it went in, however it was cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 7_000 }),
        fc.array(fc.integer({ min: 1, max: 3_000 }), { maxLength: 8 }),
        fc.integer({ min: 100, max: 2_500 }),
        async (bytes, pieces, chunkBytes) => {
          const store = await new Store().begin()
          const body = pattern(bytes)
          await store.write(body, pieces, chunkBytes)
          expect(store.told.filter((line) => line !== 'drained')).toEqual(['there', 'stored'])
          expect((await store.read(bytes)).equals(body)).toBe(true)
          store.folder.kill(true)
          expect((await store.read(bytes)).equals(body)).toBe(true)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('with any bit changed is not given out: what was read before that is right', async () => {
    const store = await new Store().begin()
    const body = pattern(2_500)
    await store.write(body)
    const { length } = store.folder.disk.contents(path)
    for (let bit = 0; bit < length * 8; bit += 37) {
      store.folder.disk.flipBit(path, bit >> 3, bit & 7)
      await expect(store.read(2_500), `bit ${bit}`).rejects.toBeInstanceOf(BodyDamage)
      expect(await store.folder.clock.run(faultsOf(store)), `bit ${bit}`).toBe(1)
      store.folder.disk.flipBit(path, bit >> 3, bit & 7)
    }
    expect(await store.folder.clock.run(faultsOf(store))).toBe(0)
  })

  test('that is cut short, has another id or another length is not given out', async () => {
    const store = await new Store().begin()
    const body = pattern(2_500)
    await store.write(body)
    await expect(store.read(2_501)).rejects.toThrow(/that of another one/)
    await expect(store.read(2_500, 8)).rejects.toThrow(/that of another one/)
    const contents = store.folder.disk.contents(path)
    for (const length of [0, 20, 48, 500, 2_000, contents.length - 1]) {
      store.folder.disk.setContents(path, contents.subarray(0, length))
      await expect(store.read(2_500), `${length} bytes`).rejects.toBeInstanceOf(BodyDamage)
      expect(await store.folder.clock.run(faultsOf(store)), `${length} bytes`).toBe(1)
    }
    store.folder.disk.setContents(path, Buffer.concat([contents, Buffer.from('x')]))
    expect(await store.folder.clock.run(faultsOf(store))).toBe(1)
  })

  test('that is not wanted any more leaves nothing, at whatever moment that is', async () => {
    for (let ms = 0; ms < 40; ms++) {
      const store = await new Store().begin()
      const writer = store.writer(5_000)
      writer.write(pattern(5_000), 0, 5_000)
      if (ms % 2 === 0) writer.end()
      await store.folder.clock.advance(ms)
      const isStored = store.told.includes('stored')
      writer.abandon()
      await store.folder.clock.advance(3_000)
      expect(store.folder.files(), `after ${ms} ms`).toEqual(isStored ? ['body/0000000007.body'] : [])
      expect(store.told.includes('stored')).toBe(isStored)
    }
  })

  test('says when more should not come, and when it may again', async () => {
    const store = await new Store().begin()
    const writer = store.writer(9_000)
    writer.write(pattern(2_900), 0, 2_900)
    expect(writer.isFull).toBe(false)
    writer.write(pattern(3_000), 0, 3_000)
    expect(writer.isFull).toBe(true)
    await store.folder.clock.advance(1_000)
    expect([writer.isFull, store.told]).toEqual([false, ['drained']])
  })

  test('has the bytes that its comment draws', async () => {
    const store = await new Store().begin()
    await store.write(Buffer.from('abcde'), [5], 3)
    const file = store.folder.disk.contents(path)
    expect(file.subarray(0, 32).toString('hex')).toBe(
      ['4c565254424f4459', '0100', '0000', '03000000', '0700000000000000', '0500000000000000'].join(''),
    )
    expect(file.subarray(40, 44).toString('hex')).toBe('00000000')
    expect(file.subarray(48, 51).toString()).toBe('abc')
    expect(file.subarray(55, 57).toString()).toBe('de')
    expect(file.length).toBe(61)
  })

  test('is named by its id, and nothing else is named so', () => {
    expect([bodyName(42), bodyIdIn(bodyName(42)), bodyIdIn(bodyName(12_345_678_901))]).toEqual([
      '0000000042.body',
      42,
      12_345_678_901,
    ])
    for (const other of ['42.body', '0000000042.cold', 'x0000000042.body', '0000000042.body.tmp']) {
      expect(bodyIdIn(other)).toBe(0)
    }
  })
})

async function faultsOf({ folder }: Store): Promise<number> {
  const file = await folder.disk.open(path, 'read')
  let faults = 0
  for await (const { fault } of partsOf(file)) if (fault !== null) faults++
  await file.close()
  return faults
}
