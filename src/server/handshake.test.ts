// How a connection begins, and all the ways in which it does not.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FakeSession } from '../../test/support/fake-driver.ts'
import { ServedFake } from '../../test/support/served-fake.ts'
import { capableClient, type WireClient } from '../../test/support/wire-client.ts'
import { emptyTable, fromTable } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'

let served: ServedFake

beforeEach(async () => {
  served = await ServedFake.start()
})

afterEach(() => {
  expect(served.errors).toEqual([])
  expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
})

describe('the handshake', () => {
  test('goes through, one octet at a time too', async () => {
    for (const size of [65_536, 1]) {
      served.network.chunkBytesMax = size
      const client = await served.connect()
      expect(await served.login(client)).toEqual(['0 connection.start', '0 connection.tune', '0 connection.open-ok'])
      expect(served.driver.session.login).toMatchObject({
        credentials: { user: 'guest', password: 'guest' },
        virtualHost: '/',
        remoteAddress: '127.0.0.1',
      })
    }
    expect(served.server.connectionCount).toBe(2)
  })

  test('tells who we are and what we can', async () => {
    const client = await served.connect()
    client.header_().flush()
    await served.settle()
    const [start] = client.take()
    const properties = fromTable(start?.args['serverProperties'] as typeof emptyTable)
    expect(properties).toMatchObject({
      product: 'Leveret',
      version: '4.2.0',
      leveret_version: '0.1.0',
      leveret_message_bytes_max: 16_777_216,
      cluster_name: 'leveret@burrow',
      capabilities: { publisher_confirms: true, 'basic.nack': true, 'connection.blocked': true },
    })
    expect(start?.args).toMatchObject({
      mechanisms: 'PLAIN AMQPLAIN',
      locales: 'en_US',
      versionMajor: 0,
      versionMinor: 9,
    })
    client.startOk().flush()
    await served.settle()
    expect(client.take()[0]?.args).toEqual({ channelMax: 2047, frameMax: 131_072, heartbeat: 60 })
  })

  test('may be said in one breath, with what follows it', async () => {
    for (const size of [65_536, 1]) {
      served.network.chunkBytesMax = size
      const client = await served.connect()
      client.header_().startOk().tuneOk().send(0, 'connection.open', { virtualHost: '/' }).send(1, 'channel.open', {})
      expect(await served.say(client.publish(1, 'q', 'first').send(1, 'tx.select', {}))).toEqual([
        '0 connection.start',
        '0 connection.tune',
        '0 connection.open-ok',
        '1 channel.open-ok',
        '1 tx.select-ok',
      ])
      expect(served.driver.channel.log).toEqual(['publish /q first', 'tx.select'])
    }
  })

  test('a mistake behind a refused login is not heard', async () => {
    const client = await served.connect()
    client.header_().startOk(capableClient, 'wrong').tuneOk(0, 0).publish(1, 'q', 'x')
    expect((await served.say(client)).at(-1)).toContain('403 ACCESS_REFUSED')
    await served.clock.advance(40_000)
    expect(client.isClosed).toBe(true)
  })

  test('also begins with the header of AMQP 0-9', async () => {
    expect(await served.say((await served.connect()).raw('AMQP\x01\x01\0\x09'))).toEqual(['0 connection.start'])
  })

  test.each(['AMQP\0\0\x09\0', 'AMQP\x03\x01\0\0', 'GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03'])(
    '%j is answered with our header and the end',
    async (header) => {
      const client = await served.connect()
      await served.say(client.raw(header))
      expect(client.bytes.toString('latin1')).toBe('AMQP\0\0\x09\x01')
      await served.clock.advance(3_500)
      expect(client.isClosed).toBe(true)
      expect(served.server.connectionCount).toBe(0)
    },
  )

  test('a connection that closes without a word, or stays without one', async () => {
    const [quiet, gone] = [await served.connect(), await served.connect()]
    gone.connection.destroy()
    await served.settle()
    expect(served.server.connectionCount).toBe(1)
    await served.clock.advance(limits.handshakeMs + 500)
    expect(quiet.isClosed).toBe(true)
    expect(quiet.bytes).toHaveLength(0)
  })

  test('a wrong password is told to clients that understand it', async () => {
    const client = await served.connect()
    await served.say(client.header_())
    expect(await served.say(client.startOk(capableClient, 'wrong'))).toEqual([
      '0 connection.close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile. (0,0)',
    ])
    await served.say(client.send(0, 'connection.close-ok', {}))
    await served.clock.advance(500)
    expect(served.server.connectionCount).toBe(0)
  })

  test('to others it is three seconds of silence', async () => {
    const client = await served.connect()
    await served.say(client.header_())
    expect(await served.say(client.startOk(emptyTable, 'wrong'))).toEqual([])
    await served.clock.advance(2_400)
    expect(client.isClosed).toBe(false)
    await served.clock.advance(1_100)
    expect(client.isClosed).toBe(true)
  })

  test.each([
    ['an unknown mechanism', (client: WireClient) => client.startOk(capableClient, 'guest', 'EXTERNAL')],
    ['a malformed response', (client: WireClient) => client.startOk(capableClient, 'a\0b')],
    ['a method out of turn', (client: WireClient) => client.tuneOk()],
    ['a channel before its time', (client: WireClient) => client.send(1, 'channel.open', {})],
    ['an unknown method', (client: WireClient) => client.frame(1, 0, Buffer.from('000a0063', 'hex'))],
    ['content', (client: WireClient) => client.publish(1, 'q', 'x')],
    ['no frame', (client: WireClient) => client.raw('\x01\0\0\xff\xff\xff\xff\0')],
    ['a frame beyond 8 KiB', (client: WireClient) => client.frame(1, 0, Buffer.alloc(8_193))],
  ])('%s is three seconds of silence', async (_name, mistake) => {
    const client = await served.connect()
    await served.say(client.header_())
    expect(await served.say(mistake(client))).toEqual([])
    await served.clock.advance(3_500)
    expect(client.isClosed).toBe(true)
  })

  test.each<[string, (client: WireClient) => WireClient, string]>([
    [
      'a method out of turn',
      (client) => client.tuneOk(),
      '504 CHANNEL_ERROR - unexpected method in connection state opening (10,31)',
    ],
    [
      'a channel',
      (client) => client.send(1, 'channel.open', {}),
      '505 UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>> (0,0)',
    ],
    [
      'content',
      (client) => client.frame(3, 1, Buffer.from('A')),
      '505 UNEXPECTED_FRAME - type 3, all octets = <<"A">> (0,0)',
    ],
  ])('%s between tune-ok and open is told', async (_name, mistake, answer) => {
    const client = await served.connect()
    await served.say(client.header_())
    await served.say(client.startOk())
    await served.say(client.tuneOk())
    expect(await served.say(mistake(client))).toEqual([`0 connection.close ${answer}`])
  })

  test('AMQPLAIN', async () => {
    const client = await served.connect()
    await served.say(client.header_())
    const hex = '054c4f47494e' + '5300000005' + '6775657374' + '0850415353574f5244' + '7800000005' + '6775657374'
    const response = Buffer.from(hex, 'hex')
    const args = { clientProperties: emptyTable, mechanism: 'AMQPLAIN', response, locale: '' }
    expect(await served.say(client.send(0, 'connection.start-ok', args))).toEqual(['0 connection.tune'])
  })

  test.each([
    [2047, 4095, 'negotiated frame_max = 4095 is lower than the minimum allowed value (4096)'],
    [2047, 131_073, 'negotiated frame_max = 131073 is higher than the maximum allowed value (131072)'],
    [2047, 0, 'negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)'],
    [0, 131_072, 'negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)'],
    [2048, 131_072, 'negotiated channel_max = 2048 is higher than the maximum allowed value (2047)'],
  ])('tune-ok with channel_max %i and frame_max %i is refused', async (channelMax, frameMax, text) => {
    const client = await served.connect()
    await served.say(client.header_())
    await served.say(client.startOk())
    expect(await served.say(client.tuneOk(channelMax, frameMax))).toEqual([
      `0 connection.close 530 NOT_ALLOWED - ${text} (10,30)`,
    ])
  })

  test('a virtual host that is not there', async () => {
    const client = await served.connect()
    await served.say(client.header_())
    await served.say(client.startOk())
    expect(await served.say(client.tuneOk().send(0, 'connection.open', { virtualHost: 'nope' }))).toEqual([
      '0 connection.close 530 NOT_ALLOWED - vhost nope not found (10,40)',
    ])
  })

  test('a session that opens when its client has left is closed', async () => {
    const client = await served.connect()
    await served.say(client.header_())
    await served.say(client.startOk())
    const openSession = served.driver.openSession.bind(served.driver)
    let open: (() => void) | undefined
    served.driver.openSession = (...args) =>
      new Promise<FakeSession>((resolve, reject) => {
        open = () => void openSession(...args).then(resolve, reject)
      })
    await served.say(client.tuneOk().send(0, 'connection.open', { virtualHost: '/' }))
    client.connection.destroy()
    await served.settle()
    open?.()
    await served.settle()
    expect(served.driver.session.isClosed).toBe(true)
  })
})
