// The bounds of a connection, each at its last value that is taken and the first that is not.
import { expect, test } from 'vitest'
import { ServedFake } from '../../test/support/served-fake.ts'
import { capableClient, type WireClient } from '../../test/support/wire-client.ts'
import { encodeMethod } from '../amqp/methods.ts'
import { ByteWriter } from '../lib/byte-writer.ts'
import { toTable } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'

async function started(served: ServedFake): Promise<WireClient> {
  const client = await served.connect()
  await served.say(client.header_())
  return client
}

/** A start-ok whose payload has so many octets. */
function startOkOf(bytes: number): Buffer {
  const payload = (padding: number): Buffer => {
    const writer = new ByteWriter()
    encodeMethod(writer, 'connection.start-ok', {
      clientProperties: toTable({ padding: 'x'.repeat(padding) }),
      mechanism: 'PLAIN',
      response: Buffer.from('\0guest\0guest'),
      locale: 'en_US',
    })
    return writer.toBuffer()
  }
  return payload(bytes - payload(0).length)
}

test.each([
  [limits.frameBytesInitial, ['0 connection.tune']],
  [limits.frameBytesInitial + 1, []],
])('before tuning a frame has at most 8,192 octets: %i', async (bytes, heard) => {
  const served = await ServedFake.start()
  const client = await started(served)
  expect(await served.say(client.frame(1, 0, startOkOf(bytes)))).toEqual(heard)
  expect(served.errors).toEqual([])
})

test.each([
  [1, limits.frameBytesMin, '0 connection.open-ok'],
  [limits.channelsMax, limits.frameBytesMax, '0 connection.open-ok'],
  [0, limits.frameBytesMax, '0 connection.close 530'],
  [limits.channelsMax + 1, limits.frameBytesMax, '0 connection.close 530'],
  [limits.channelsMax, limits.frameBytesMin - 1, '0 connection.close 530'],
  [limits.channelsMax, limits.frameBytesMax + 1, '0 connection.close 530'],
  [limits.channelsMax, 0, '0 connection.close 530'],
  [limits.channelsMax, 2 ** 32 - 1, '0 connection.close 530'],
])('tune-ok with %i channels and frames of %i octets is answered by %s', async (channelMax, frameMax, answer) => {
  const served = await ServedFake.start()
  const client = await started(served)
  await served.say(client.startOk(capableClient))
  const open = client.tuneOk(channelMax, frameMax).send(0, 'connection.open', { virtualHost: '/' })
  expect((await served.say(open))[0]?.slice(0, answer.length)).toBe(answer)
})

test.each([
  [4096, 4096, []],
  [4096, 4097, ['0 connection.close 501']],
])('behind frame_max %i a frame with a payload of %i octets', async (frameMax, bytes, heard) => {
  const served = await ServedFake.start()
  const client = await started(served)
  await served.say(client.startOk(capableClient))
  await served.say(client.tuneOk(2047, frameMax).send(0, 'connection.open', { virtualHost: '/' }))
  await served.say(client.send(1, 'channel.open', {}))
  client.send(1, 'basic.publish', { exchange: '', routingKey: 'q', mandatory: false, immediate: false })
  client.frame(2, 1, Buffer.from([0, 60, 0, 0, 0, 0, 0, 0, 0, 0, bytes >> 8, bytes & 255, 0, 0]))
  const answers = await served.say(client.frame(3, 1, Buffer.alloc(bytes)))
  expect(answers.map((answer) => answer.slice(0, 22))).toEqual(heard)
  expect(served.driver.channel.messages).toHaveLength(heard.length === 0 ? 1 : 0)
})

test.each([
  [1_000, []],
  [1_001, ['1 channel.close 406']],
])('where messages have at most 1,000 octets: one of %i', async (bytes, heard) => {
  const served = await ServedFake.start({ messageBytesMax: 1_000 })
  const client = await served.opened()
  const answers = await served.say(client.publish(1, 'q', Buffer.alloc(bytes)))
  expect(answers.map((answer) => answer.slice(0, 19))).toEqual(heard)
})

test.each([2, 3])('of %i channels the third is one too many where two were agreed', async (channels) => {
  const served = await ServedFake.start()
  const client = await started(served)
  await served.say(client.startOk(capableClient))
  await served.say(client.tuneOk(2).send(0, 'connection.open', { virtualHost: '/' }))
  for (let channel = 1; channel <= channels; channel++) client.send(channel * 100, 'channel.open', {})
  const last = (await served.say(client)).at(-1) ?? ''
  expect(last).toMatch(
    channels === 2 ? /^200 channel.open-ok/ : /^0 connection.close 530 NOT_ALLOWED - number of channels/,
  )
})

test('a login may take ten seconds, a look at the clock more or less', async () => {
  const served = await ServedFake.start()
  const client = await started(served)
  await served.clock.advance(limits.handshakeMs - 1_000)
  expect(client.isClosed).toBe(false)
  await served.clock.advance(1_500)
  expect(client.isClosed).toBe(true)
})
