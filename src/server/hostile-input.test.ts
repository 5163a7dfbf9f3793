// Octets that no honest client sends: whatever comes, the server goes on, nothing of it is our mistake, and the neighbours
// notice nothing.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ServedFake } from '../../test/support/served-fake.ts'
import { capableClient, WireClient } from '../../test/support/wire-client.ts'
import { methodFrame } from '../amqp/content-heads.ts'
import { type MethodName, methods } from '../amqp/methods.ts'
import { emptyTable } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import { heldFrameBytes } from './held-frames.ts'

const names = Object.keys(methods) as MethodName[]

/** A frame of any method with arguments that are plausible for it. */
const methodBytes = fc
  .record({
    name: fc.constantFrom(...names),
    channel: fc.constantFrom(0, 1, 1, 1, 2, 3, 65_535),
    number: fc.oneof(fc.nat(3), fc.maxSafeNat()),
    text: fc.constantFrom('', 'q', 'x', 'amq.direct', 'q\n', 'x'.repeat(255)),
    bit: fc.boolean(),
  })
  .map(({ name, channel, number, text, bit }) => {
    const values: Record<string, unknown> = {
      octet: number % 256,
      short: number % 65_536,
      long: number % 2 ** 32,
      longlong: number,
      shortstr: text,
      longstr: text,
      bytes: Buffer.from(text),
      table: emptyTable,
      bit,
    }
    const args = Object.fromEntries(Object.entries(methods[name].fields).map(([field, type]) => [field, values[type]]))
    return methodFrame(channel, name, args as never)
  })

const otherBytes = fc
  .record({
    type: fc.constantFrom(1, 2, 3, 8, 9),
    channel: fc.constantFrom(0, 1, 2),
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      // A content header that announces so much.
      fc.nat(40).map((size) => Uint8Array.from([0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, size, 0, 0])),
    ),
  })
  .map(({ type, channel, payload }) => {
    const head = Buffer.from([type, channel >> 8, channel, 0, 0, 0, payload.length])
    return Buffer.concat([head, payload, Buffer.from([0xce])])
  })

const frames = fc.array(fc.oneof({ arbitrary: methodBytes, weight: 3 }, otherBytes), { minLength: 1, maxLength: 30 })
/** Where octets are overwritten, by what. */
const spoiled = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 })

async function attack(served: ServedFake, client: WireClient, bytes: Buffer, chunkBytesMax: number): Promise<void> {
  for (let at = 0; at < bytes.length; at += chunkBytesMax) client.raw(bytes.subarray(at, at + chunkBytesMax)).flush()
  await served.settle()
}

test.each(['before the login', 'after the login'])('frames of all kinds, some spoiled, %s', async (when) => {
  const served = await ServedFake.start()
  const neighbour = await served.opened()
  const property = fc.asyncProperty(
    frames,
    spoiled,
    fc.integer({ min: 1, max: 500 }),
    async (all, spoils, chunkBytes) => {
      const client = when === 'after the login' ? await served.opened(2) : await served.connect()
      if (when === 'before the login') client.header_()
      const bytes = Buffer.concat(all)
      for (const [at, value] of spoils) bytes[at % bytes.length] = value
      await attack(served, client, bytes, chunkBytes)
      client.connection.destroy()
      await served.settle()
      expect(served.errors).toEqual([])
      expect(served.server.connectionCount).toBe(1)
    },
  )
  await fc.assert(property, { numRuns: 300 })
  expect(await served.say(neighbour.send(1, 'tx.select', {}))).toEqual(['1 tx.select-ok'])
  expect(Object.keys(Object.prototype)).toEqual([])
})

test('plain noise, at every state of a connection', async () => {
  const served = await ServedFake.start()
  const property = fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.nat(3), async (noise, state) => {
    const client = await served.connect()
    if (state > 0) await served.say(client.header_())
    if (state > 1) await served.say(client.startOk(capableClient))
    if (state > 2) await served.say(client.tuneOk().send(0, 'connection.open', { virtualHost: '/' }))
    await attack(served, client, Buffer.from(noise), 100)
    client.connection.destroy()
    await served.settle()
    expect(served.errors).toEqual([])
    expect(served.server.connectionCount).toBe(0)
  })
  await fc.assert(property, { numRuns: 200 })
})

describe('frames that hold nothing', () => {
  const empty = Buffer.from([1, 0, 1, 0, 0, 0, 0, 0xce])
  const many = (count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => empty))

  test.each([
    ['as much as is allowed', 0, ['0 connection.tune']],
    ['one more', 1, []],
  ])('are held while it is not known who sent them, counted with the memory they take: %s', async (_, more, heard) => {
    const served = await ServedFake.start()
    const client = await served.connect()
    await served.say(client.header_())
    client.startOk(capableClient).raw(many(Math.floor(limits.strangerBytesMax / heldFrameBytes) + more))
    expect(await served.say(client)).toEqual(heard)
    await served.clock.advance(3_500)
    expect([client.isClosed, served.errors]).toEqual([true, []])
  })

  // Each mistake costs an error with its stack: a chunk of 64 KiB could hold the process for a tenth of a second.
  test.each([
    [98, 0],
    [99, 3_500],
  ])('%i of them behind connection.close: then a close-ok ends it within %i ms', async (mistakes, afterMs) => {
    const served = await ServedFake.start()
    const client = await served.opened()
    const unknown = client.frame.bind(client, 1, 0, Buffer.from([0, 99, 0, 99]))
    unknown()
    for (let count = 0; count < mistakes; count++) unknown()
    expect(await served.say(client)).toEqual([
      '0 connection.close 503 COMMAND_INVALID - unknown method: class 99, method 99 (99,99)',
    ])
    await served.say(client.send(0, 'connection.close-ok', {}))
    await served.settle()
    expect(client.isClosed).toBe(afterMs === 0)
    await served.clock.advance(afterMs)
    expect([client.isClosed, served.errors]).toEqual([true, []])
  })
})
