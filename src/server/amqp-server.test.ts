// The server between a client that says exactly what we want and a driver that writes down what it hears. No sockets.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeDriver, type FakeSession } from '../../test/support/fake-driver.ts'
import { MemoryNetwork } from '../../test/support/memory-network.ts'
import { capableClient, WireClient } from '../../test/support/wire-client.ts'
import { BrokerError } from '../model/errors.ts'
import { emptyTable, fromTable, toTable } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import { Message } from '../model/message.ts'
import { emptyProperties, encodeProperties } from '../model/properties.ts'
import type { Platform } from '../platform/platform.ts'
import { SimClock } from '../testing/sim-clock.ts'
import { AmqpServer } from './amqp-server.ts'

let clock: SimClock
let network: MemoryNetwork
let driver: FakeDriver
let server: AmqpServer
let errors: unknown[]

beforeEach(async () => {
  clock = new SimClock()
  network = new MemoryNetwork(clock)
  driver = new FakeDriver()
  errors = []
  const platform = { clock, network, host: { name: 'burrow' } } as unknown as Platform
  server = new AmqpServer(platform, driver, { version: '0.1.0', onError: (error) => errors.push(error) })
  await server.listen('127.0.0.1', 5672)
})

afterEach(() => {
  expect(errors).toEqual([])
  expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
})

/** Lets everything happen that is due now, also what the fake driver answers in a turn of its own. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await clock.advance(0)
}

async function connect(): Promise<WireClient> {
  return new WireClient(await network.connect('127.0.0.1', 5672))
}

async function say(client: WireClient): Promise<string[]> {
  client.flush()
  await settle()
  return client.names()
}

async function login(client: WireClient, properties = capableClient): Promise<string[]> {
  return [
    ...(await say(client.header_())),
    ...(await say(client.startOk(properties))),
    ...(await say(client.tuneOk().send(0, 'connection.open', { virtualHost: '/' }))),
  ]
}

async function opened(channels = 1, properties = capableClient): Promise<WireClient> {
  const client = await connect()
  await login(client, properties)
  for (let channel = 1; channel <= channels; channel++) await say(client.send(channel, 'channel.open', {}))
  return client
}

const declareQ = { queue: 'q', passive: false, durable: true, exclusive: false, autoDelete: false, noWait: false }
const declare = { ...declareQ, arguments: emptyTable }
const bindQ = { destination: '', exchange: 'x', routingKey: '', noWait: false, arguments: emptyTable }
const consumeQ = { queue: 'q', consumerTag: 'c', noLocal: false, noAck: false, exclusive: false, noWait: false }
const consume = { ...consumeQ, arguments: emptyTable }

describe('the handshake', () => {
  test('goes through, one octet at a time too', async () => {
    for (const size of [65_536, 1]) {
      network.chunkBytesMax = size
      const client = await connect()
      expect(await login(client)).toEqual(['0 connection.start', '0 connection.tune', '0 connection.open-ok'])
      expect(driver.session.login).toMatchObject({
        credentials: { user: 'guest', password: 'guest' },
        virtualHost: '/',
        remoteAddress: '127.0.0.1',
      })
    }
    expect(server.connectionCount).toBe(2)
  })

  test('tells who we are and what we can', async () => {
    const client = await connect()
    client.header_().flush()
    await settle()
    const [start] = client.take()
    const properties = fromTable(start?.args['serverProperties'] as typeof emptyTable)
    expect(properties).toMatchObject({
      product: 'Leveret',
      version: '4.2.0',
      leveret_version: '0.1.0',
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
    await settle()
    expect(client.take()[0]?.args).toEqual({ channelMax: 2047, frameMax: 131_072, heartbeat: 60 })
  })

  test('also begins with the header of AMQP 0-9', async () => {
    expect(await say((await connect()).raw('AMQP\x01\x01\0\x09'))).toEqual(['0 connection.start'])
  })

  test.each(['AMQP\0\0\x09\0', 'AMQP\x03\x01\0\0', 'GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03'])(
    '%j is answered with our header and the end',
    async (header) => {
      const client = await connect()
      await say(client.raw(header))
      expect(client.bytes.toString('latin1')).toBe('AMQP\0\0\x09\x01')
      await clock.advance(3_500)
      expect(client.isClosed).toBe(true)
      expect(server.connectionCount).toBe(0)
    },
  )

  test('a connection that closes without a word, or stays without one', async () => {
    const [quiet, gone] = [await connect(), await connect()]
    gone.connection.destroy()
    await settle()
    expect(server.connectionCount).toBe(1)
    await clock.advance(limits.handshakeMs + 500)
    expect(quiet.isClosed).toBe(true)
    expect(quiet.bytes).toHaveLength(0)
  })

  test('a wrong password is told to clients that understand it', async () => {
    const client = await connect()
    await say(client.header_())
    expect(await say(client.startOk(capableClient, 'wrong'))).toEqual([
      '0 connection.close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile. (0,0)',
    ])
    await say(client.send(0, 'connection.close-ok', {}))
    await clock.advance(500)
    expect(server.connectionCount).toBe(0)
  })

  test('to others it is three seconds of silence', async () => {
    const client = await connect()
    await say(client.header_())
    expect(await say(client.startOk(emptyTable, 'wrong'))).toEqual([])
    await clock.advance(2_400)
    expect(client.isClosed).toBe(false)
    await clock.advance(1_100)
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
    const client = await connect()
    await say(client.header_())
    expect(await say(mistake(client))).toEqual([])
    await clock.advance(3_500)
    expect(client.isClosed).toBe(true)
  })

  test('AMQPLAIN', async () => {
    const client = await connect()
    await say(client.header_())
    const hex = '054c4f47494e' + '5300000005' + '6775657374' + '0850415353574f5244' + '7800000005' + '6775657374'
    const response = Buffer.from(hex, 'hex')
    const args = { clientProperties: emptyTable, mechanism: 'AMQPLAIN', response, locale: '' }
    expect(await say(client.send(0, 'connection.start-ok', args))).toEqual(['0 connection.tune'])
  })

  test.each([
    [2047, 4095, 'negotiated frame_max = 4095 is lower than the minimum allowed value (4096)'],
    [2047, 131_073, 'negotiated frame_max = 131073 is higher than the maximum allowed value (131072)'],
    [2047, 0, 'negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)'],
    [0, 131_072, 'negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)'],
    [2048, 131_072, 'negotiated channel_max = 2048 is higher than the maximum allowed value (2047)'],
  ])('tune-ok with channel_max %i and frame_max %i is refused', async (channelMax, frameMax, text) => {
    const client = await connect()
    await say(client.header_())
    await say(client.startOk())
    expect(await say(client.tuneOk(channelMax, frameMax))).toEqual([
      `0 connection.close 530 NOT_ALLOWED - ${text} (10,30)`,
    ])
  })

  test('a virtual host that is not there', async () => {
    const client = await connect()
    await say(client.header_())
    await say(client.startOk())
    expect(await say(client.tuneOk().send(0, 'connection.open', { virtualHost: 'nope' }))).toEqual([
      '0 connection.close 530 NOT_ALLOWED - vhost nope not found (10,40)',
    ])
  })

  test('a session that opens when its client has left is closed', async () => {
    const client = await connect()
    await say(client.header_())
    await say(client.startOk())
    const openSession = driver.openSession.bind(driver)
    let open: (() => void) | undefined
    driver.openSession = (...args) =>
      new Promise<FakeSession>((resolve, reject) => {
        open = () => void openSession(...args).then(resolve, reject)
      })
    await say(client.tuneOk().send(0, 'connection.open', { virtualHost: '/' }))
    client.connection.destroy()
    await settle()
    open?.()
    await settle()
    expect(driver.session.isClosed).toBe(true)
  })
})

describe('the connection', () => {
  test('close: the session ends first, then close-ok, then the socket', async () => {
    const client = await opened()
    const close = { replyCode: 200, replyText: 'bye', classId: 0, methodId: 0 }
    expect(await say(client.send(0, 'connection.close', close))).toEqual(['0 connection.close-ok'])
    expect(driver.session.isClosed).toBe(true)
    expect(client.isClosed).toBe(true)
    expect(server.connectionCount).toBe(0)
  })

  test('a lost socket ends the session', async () => {
    const client = await opened()
    client.connection.destroy()
    await settle()
    expect(driver.session.isClosed).toBe(true)
  })

  test('update-secret is taken', async () => {
    const client = await opened()
    const args = { newSecret: Buffer.from('x'), reason: 'renewed' }
    expect(await say(client.send(0, 'connection.update-secret', args))).toEqual(['0 connection.update-secret-ok'])
  })

  const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex')
  test.each<[string, (client: WireClient) => WireClient, string]>([
    [
      'a method out of turn',
      (c) => c.tuneOk(),
      '504 CHANNEL_ERROR - unexpected method in connection state running (10,31)',
    ],
    [
      'an unknown method',
      (c) => c.frame(1, 0, bytes('000a 0063')),
      '503 COMMAND_INVALID - unknown method: class 10, method 99 (10,99)',
    ],
    [
      'an unknown method on a channel',
      (c) => c.frame(1, 1, bytes('0063 0001')),
      '503 COMMAND_INVALID - unknown method: class 99, method 1 (99,1)',
    ],
    [
      'a method of the server',
      (c) => c.send(1, 'basic.qos-ok', {}),
      '503 COMMAND_INVALID - unexpected method basic.qos-ok (60,11)',
    ],
    ['arguments that are none', (c) => c.frame(1, 1, bytes('003c 0014 00')), '502 SYNTAX_ERROR'],
    ['a short method frame', (c) => c.frame(1, 1, bytes('003c')), '502 SYNTAX_ERROR'],
    ['a short ack', (c) => c.frame(1, 1, bytes('003c 0050 00')), '502 SYNTAX_ERROR'],
    ['a short publish', (c) => c.frame(1, 1, bytes('003c 0028 0000')), '502 SYNTAX_ERROR'],
    [
      'an unopened channel',
      (c) => c.send(7, 'basic.recover', { requeue: true }),
      "504 CHANNEL_ERROR - expected 'channel.open' (60,110)",
    ],
    ['content on an unopened channel', (c) => c.frame(2, 7, Buffer.alloc(14)), '505 UNEXPECTED_FRAME'],
    [
      'a channel opened twice',
      (c) => c.send(1, 'channel.open', {}),
      "504 CHANNEL_ERROR - second 'channel.open' seen (20,10)",
    ],
    [
      'content on channel 0',
      (c) => c.frame(3, 0, Buffer.alloc(1)),
      '505 UNEXPECTED_FRAME - type 3, all octets = <<>> (0,0)',
    ],
    ['a heartbeat on a channel', (c) => c.frame(8, 1, Buffer.alloc(0)), '505 UNEXPECTED_FRAME'],
    [
      'a body without a header',
      (c) => c.frame(3, 1, Buffer.alloc(1)),
      '505 UNEXPECTED_FRAME - expected method frame, got non method frame instead',
    ],
    [
      'a frame type nobody knows',
      (c) => c.frame(9, 1, Buffer.alloc(0)),
      '501 FRAME_ERROR - type 9, all octets = <<>>: unknown_frame',
    ],
    [
      'a frame too large',
      (c) => c.frame(1, 1, Buffer.alloc(131_073)),
      '501 FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,131073,131064}',
    ],
    [
      'immediate',
      (c) => c.send(1, 'basic.publish', { exchange: '', routingKey: '', mandatory: false, immediate: true }),
      '540 NOT_IMPLEMENTED - immediate=true (60,40)',
    ],
    ['flow off', (c) => c.send(1, 'channel.flow', { active: false }), '540 NOT_IMPLEMENTED - active=false (20,20)'],
    [
      'recover without requeue',
      (c) => c.send(1, 'basic.recover', { requeue: false }),
      '540 NOT_IMPLEMENTED - requeue=false (60,110)',
    ],
    [
      'a prefetch size',
      (c) => c.send(1, 'basic.qos', { prefetchSize: 1, prefetchCount: 1, global: false }),
      '540 NOT_IMPLEMENTED - prefetch_size!=0 (1) (60,10)',
    ],
    [
      'headers that nest without end',
      (c) => c.frame(1, 1, nestedDeclare()),
      '502 SYNTAX_ERROR - a field table nests deeper than 32',
    ],
    [
      'a name that is not UTF-8',
      (c) => c.frame(1, 1, bytes('003c 001e 02 c328 00')),
      '501 FRAME_ERROR - Malformed UTF-8 in shortstr (60,30)',
    ],
  ])('%s closes it', async (_name, mistake, answer) => {
    const client = await opened()
    const said = await say(mistake(client).send(1, 'basic.recover', { requeue: true }))
    expect(
      said.map((line) => line.startsWith(`0 connection.close ${answer}`)),
      said.join(),
    ).toEqual([true])
    expect(driver.session.isClosed).toBe(true)
    await say(client.send(0, 'connection.close-ok', {}))
    await clock.advance(3_500)
    expect(client.isClosed).toBe(true)
    expect(server.connectionCount).toBe(0)
  })

  test('while it waits for close-ok it answers a close that crosses, and nothing else', async () => {
    const client = await opened(2)
    await say(client.tuneOk())
    const close = { replyCode: 200, replyText: '', classId: 0, methodId: 0 }
    expect(await say(client.send(2, 'basic.recover', { requeue: true }).publish(2, 'q', 'x'))).toEqual([])
    expect(await say(client.send(0, 'connection.close', close))).toEqual(['0 connection.close-ok'])
    await say(client.send(0, 'connection.close-ok', {}))
    expect(client.isClosed).toBe(true)
  })

  test('a client that never answers connection.close is dropped', async () => {
    const client = await opened()
    await say(client.tuneOk())
    await clock.advance(29_000)
    expect(client.isClosed).toBe(false)
    await clock.advance(2_000)
    expect(client.isClosed).toBe(true)
  })

  test('no more channels than agreed', async () => {
    const client = await connect()
    await say(client.header_())
    await say(client.startOk())
    await say(client.tuneOk(2).send(0, 'connection.open', { virtualHost: '/' }))
    expect(await say(client.send(9, 'channel.open', {}).send(65_535, 'channel.open', {}))).toHaveLength(2)
    expect(await say(client.send(1, 'channel.open', {}))).toEqual([
      '0 connection.close 530 NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2) (20,10)',
    ])
  })

  test('our own mistake costs one connection and is reported', async () => {
    const [client, other] = [await opened(), await opened()]
    ;(driver.sessions[0] as FakeSession).channels[0]!.execute = () => {
      throw new TypeError('a bug')
    }
    expect(await say(client.send(1, 'tx.select', {}))).toEqual([
      '0 connection.close 541 INTERNAL_ERROR - the server has failed; its log says how (0,0)',
    ])
    expect(errors.splice(0)).toEqual([new TypeError('a bug')])
    expect(await say(other.send(1, 'tx.select', {}))).toEqual(['1 tx.select-ok'])
  })

  test('the driver ends the session: its reason is told', async () => {
    const client = await opened()
    driver.session.events.closed(new BrokerError('INTERNAL_ERROR', 'the disk failed'))
    expect(await say(client)).toEqual(['0 connection.close 541 INTERNAL_ERROR - the disk failed (0,0)'])
  })

  test('a long text is cut to a short string, between characters', async () => {
    const client = await opened()
    driver.session.events.closed(new BrokerError('INTERNAL_ERROR', 'é'.repeat(300)))
    client.flush()
    await settle()
    const text = client.take()[0]?.args['replyText'] as string
    expect(Buffer.byteLength(text)).toBe(255)
    expect(text).toMatch(/é$/)
  })

  test('more connections than allowed are dropped', async () => {
    const platform = { clock, network, host: { name: 'burrow' } } as unknown as Platform
    const small = new AmqpServer(platform, driver, { connectionsMax: 1 })
    await small.listen('127.0.0.1', 1)
    await network.connect('', 1)
    const second = new WireClient(await network.connect('', 1))
    await settle()
    expect(second.isClosed).toBe(true)
    expect(small.connectionCount).toBe(1)
  })
})

function nestedDeclare(): Buffer {
  let table = Buffer.alloc(0)
  for (let level = 0; level < 10_000; level++) {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(table.length)
    table = Buffer.concat([Buffer.from([0, 0x46]), length, table])
  }
  const length = Buffer.alloc(4)
  length.writeUInt32BE(table.length)
  return Buffer.concat([Buffer.from('0032000a0000017100', 'hex'), length, table])
}

describe('heartbeats', () => {
  async function withHeartbeat(seconds: number): Promise<WireClient> {
    const client = await connect()
    await say(client.header_())
    await say(client.startOk())
    await say(client.tuneOk(2047, 131_072, seconds).send(0, 'connection.open', { virtualHost: '/' }))
    return client
  }

  test('are sent after half an interval of silence', async () => {
    const client = await withHeartbeat(10)
    await clock.advance(4_400)
    expect(client.names()).toEqual([])
    await clock.advance(1_200)
    expect(client.names()).toEqual(['0 heartbeat'])
    await say(client.send(1, 'channel.open', {}))
    await clock.advance(4_400)
    expect(client.names()).toEqual([])
  })

  test('not heard for two intervals: the socket is dropped without a word', async () => {
    const client = await withHeartbeat(2)
    await clock.advance(3_400)
    expect(client.isClosed).toBe(false)
    await clock.advance(1_200)
    expect(client.isClosed).toBe(true)
    expect(client.names().every((name) => name === '0 heartbeat')).toBe(true)
    expect(driver.session.isClosed).toBe(true)
  })

  test('any octet counts, whole frame or not', async () => {
    const client = await withHeartbeat(2)
    for (let octet = 0; octet < 8; octet++) {
      await clock.advance(3_000)
      client.raw(Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce]).subarray(octet, octet + 1)).flush()
    }
    expect(client.isClosed).toBe(false)
  })

  test('0 turns them off', async () => {
    const client = await withHeartbeat(0)
    await clock.advance(600_000)
    expect(client.isClosed).toBe(false)
    expect(client.names()).toEqual([])
  })

  test('a process that stood still does not blame its clients', async () => {
    const client = await withHeartbeat(2)
    await clock.advance(1_000)
    clock.pause(30_000)
    await clock.advance(1_000)
    expect(client.isClosed).toBe(false)
    await clock.advance(4_000)
    expect(client.isClosed).toBe(true)
  })

  test('one timer serves all, and none is left when all have gone', async () => {
    const clients = [await withHeartbeat(2), await withHeartbeat(2), await withHeartbeat(0)]
    expect(clock.pendingEvents).toBe(1)
    for (const client of clients) client.connection.destroy()
    await clock.advance(600)
    expect(clock.pendingEvents).toBe(0)
  })
})

describe('commands', () => {
  test('reach the driver as they were said, and their answers the client', async () => {
    const client = await opened()
    const table = toTable({ 'x-a': 1 })
    client
      .send(1, 'exchange.declare', {
        exchange: 'x',
        kind: 'topic',
        passive: false,
        durable: true,
        autoDelete: true,
        internal: false,
        noWait: false,
        arguments: table,
      })
      .send(1, 'exchange.bind', { destination: 'y', exchange: 'x', routingKey: 'k', noWait: false, arguments: table })
      .send(1, 'exchange.unbind', { destination: 'y', exchange: 'x', routingKey: 'k', noWait: false, arguments: table })
      .send(1, 'exchange.delete', { exchange: 'x', ifUnused: true, noWait: false })
      .send(1, 'queue.declare', { ...declare, arguments: table })
      .send(1, 'queue.bind', { destination: 'q', exchange: 'x', routingKey: '', noWait: false, arguments: table })
      .send(1, 'queue.unbind', { destination: 'q', exchange: 'x', routingKey: '', arguments: table })
      .send(1, 'queue.purge', { queue: 'q', noWait: false })
      .send(1, 'basic.qos', { prefetchSize: 0, prefetchCount: 7, global: true })
      .send(1, 'basic.consume', { ...consume, noAck: true })
      .send(1, 'basic.cancel', { consumerTag: 'c', noWait: false })
      .send(1, 'basic.get', { queue: 'q', noAck: true })
      .send(1, 'basic.recover', { requeue: true })
      .send(1, 'queue.delete', { queue: 'q', ifUnused: false, ifEmpty: true, noWait: false })
      .send(1, 'confirm.select', { noWait: false })
      .send(1, 'channel.flow', { active: true })
      .send(1, 'access.request', { realm: '/', exclusive: true, passive: true, active: true, write: true, read: true })
    // The last two are answered by the server itself, and so at once.
    expect(await say(client)).toEqual(
      [
        'channel.flow-ok access.request-ok exchange.declare-ok exchange.bind-ok exchange.unbind-ok exchange.delete-ok',
        'queue.declare-ok queue.bind-ok queue.unbind-ok queue.purge-ok basic.qos-ok basic.consume-ok basic.cancel-ok',
        'basic.get-empty basic.recover-ok queue.delete-ok confirm.select-ok',
      ]
        .join(' ')
        .split(' ')
        .map((name) => `1 ${name}`),
    )
    expect(driver.channel.commands.map(({ command }) => command)).toEqual([
      {
        type: 'exchange.declare',
        exchange: 'x',
        kind: 'topic',
        passive: false,
        durable: true,
        autoDelete: true,
        internal: false,
        arguments: table,
      },
      { type: 'exchange.bind', destination: 'y', exchange: 'x', routingKey: 'k', arguments: table },
      { type: 'exchange.unbind', destination: 'y', exchange: 'x', routingKey: 'k', arguments: table },
      { type: 'exchange.delete', exchange: 'x', ifUnused: true },
      {
        type: 'queue.declare',
        queue: 'q',
        passive: false,
        durable: true,
        exclusive: false,
        autoDelete: false,
        arguments: table,
      },
      { type: 'queue.bind', destination: 'q', exchange: 'x', routingKey: '', arguments: table },
      { type: 'queue.unbind', destination: 'q', exchange: 'x', routingKey: '', arguments: table },
      { type: 'queue.purge', queue: 'q' },
      { type: 'basic.qos', prefetchSize: 0, prefetchCount: 7, global: true },
      { type: 'basic.consume', queue: 'q', consumerTag: 'c', noAck: true, exclusive: false, arguments: emptyTable },
      { type: 'basic.cancel', consumerTag: 'c' },
      { type: 'basic.get', queue: 'q', noAck: true },
      { type: 'basic.recover', requeue: true },
      { type: 'queue.delete', queue: 'q', ifUnused: false, ifEmpty: true },
      { type: 'confirm.select' },
    ])
  })

  test('answers carry what the driver said', async () => {
    const client = await opened()
    client.send(1, 'queue.declare', declare).send(1, 'queue.purge', { queue: 'q', noWait: false })
    client.send(1, 'queue.delete', { queue: 'q', ifUnused: false, ifEmpty: false, noWait: false })
    client.send(1, 'basic.consume', { ...consume, consumerTag: '' }).flush()
    await settle()
    expect(client.take().map(({ args }) => args)).toEqual([
      { queue: 'q', messageCount: 3, consumerCount: 4 },
      { messageCount: 5 },
      { messageCount: 6 },
      { consumerTag: 'amq.ctag-1' },
    ])
  })

  test('noWait and recover-async suppress the answer', async () => {
    const client = await opened()
    client.send(1, 'queue.declare', { ...declare, noWait: true }).send(1, 'confirm.select', { noWait: true })
    client.send(1, 'basic.consume', { ...consume, noWait: true }).send(1, 'basic.recover-async', { requeue: true })
    expect(await say(client.send(1, 'tx.select', {}))).toEqual(['1 tx.select-ok'])
    expect(driver.channel.commands).toHaveLength(5)
  })

  test('nothing may come between tx.commit and commit-ok', async () => {
    const client = await opened()
    expect(await say(client.send(1, 'tx.select', {}).send(1, 'tx.commit', {}))).toHaveLength(2)
    expect(await say(client.send(1, 'tx.commit', {}).send(1, 'tx.select', {}))).toEqual([
      "0 connection.close 504 CHANNEL_ERROR - unexpected command while processing 'tx.commit' (90,10)",
    ])
  })
})

describe('the queue declared last', () => {
  const last = (): unknown[] =>
    driver.channel.commands.map(({ command }) => ('queue' in command ? command.queue : command))

  test('stands for an empty name, in each method that has one', async () => {
    const client = await opened()
    client.send(1, 'queue.declare', { ...declare, queue: 'a\r\nb' })
    client.send(1, 'queue.bind', bindQ).send(1, 'queue.bind', { ...bindQ, routingKey: 'k' })
    client.send(1, 'queue.bind', { ...bindQ, destination: 'other' })
    client.send(1, 'queue.purge', { queue: '', noWait: false }).send(1, 'basic.get', { queue: '', noAck: true })
    client.send(1, 'basic.consume', { ...consume, queue: '' })
    client.send(1, 'queue.delete', { queue: '', ifUnused: false, ifEmpty: false, noWait: false })
    expect(await say(client)).toHaveLength(8)
    const bind = { type: 'queue.bind', destination: 'ab', exchange: 'x', routingKey: 'ab', arguments: emptyTable }
    expect(last()).toEqual([
      'ab',
      bind,
      { ...bind, routingKey: 'k' },
      { ...bind, destination: 'other', routingKey: '' },
      'ab',
      'ab',
      'ab',
      'ab',
    ])
  })

  test('there is none', async () => {
    const client = await opened(2)
    await say(client.send(2, 'queue.declare', declare))
    expect(await say(client.send(1, 'queue.bind', bindQ))).toEqual([
      '1 channel.close 404 NOT_FOUND - no previously declared queue (50,20)',
    ])
    expect((driver.session.channels[0] as { isClosed: boolean }).isClosed).toBe(true)
  })

  test('waits for a name that the broker makes, and what follows waits too', async () => {
    const client = await opened()
    driver.answers = null
    const { channel } = driver
    Object.assign(channel, { answers: null })
    client.send(1, 'queue.declare', { ...declare, queue: '' }).send(1, 'queue.bind', bindQ)
    client.publish(1, 'k', 'after', false, 'x').send(1, 'basic.ack', { deliveryTag: 1, multiple: false })
    expect(await say(client)).toEqual([])
    expect(channel.log).toEqual(['queue.declare'])
    channel.reply({ type: 'queue.declare-ok', queue: 'amq.gen-7', messageCount: 0, consumerCount: 0 })
    await settle()
    expect(client.names()).toEqual(['1 queue.declare-ok'])
    expect(channel.log).toEqual(['queue.declare', 'queue.bind', 'publish x/k after', 'ack 1 false'])
    expect(channel.commands[1]?.command).toMatchObject({ destination: 'amq.gen-7', routingKey: 'amq.gen-7' })
  })

  test('an error among what waited closes the channel', async () => {
    const client = await opened()
    Object.assign(driver.channel, { answers: null })
    client.send(1, 'queue.declare', { ...declare, queue: '' }).send(1, 'queue.bind', bindQ)
    await say(client.send(1, 'basic.recover', { requeue: false }))
    driver.channel.reply({ type: 'queue.declare-ok', queue: 'g', messageCount: 0, consumerCount: 0 })
    expect((await say(client)).at(-1)).toBe('0 connection.close 540 NOT_IMPLEMENTED - requeue=false (60,110)')
  })

  test('a client that sends much while it waits is not read', async () => {
    const client = await opened()
    const { channel } = driver
    Object.assign(channel, { answers: null })
    client.send(1, 'queue.declare', { ...declare, queue: '' }).send(1, 'queue.bind', bindQ)
    for (let count = 0; count < 100; count++) client.publish(1, 'k', Buffer.alloc(10_000))
    await say(client)
    expect(network.accepted[0]?.isPaused).toBe(true)
    channel.reply({ type: 'queue.declare-ok', queue: 'g', messageCount: 0, consumerCount: 0 })
    await settle()
    expect(network.accepted[0]?.isPaused).toBe(false)
    expect(channel.messages).toHaveLength(100)
  })
})

describe('messages', () => {
  test('are published with their flags, settled one by one or many', async () => {
    const client = await opened()
    client.publish(1, 'q', 'one').publish(1, 'k', 'two', true, 'x').publish(1, 'q', '')
    client.send(1, 'basic.ack', { deliveryTag: 2 ** 33 + 5, multiple: true })
    client.send(1, 'basic.nack', { deliveryTag: 1, multiple: true, requeue: false })
    client.send(1, 'basic.nack', { deliveryTag: 1, multiple: false, requeue: true })
    client.send(1, 'basic.reject', { deliveryTag: 3, requeue: true })
    await say(client)
    expect(driver.channel.log).toEqual([
      'publish /q one',
      'publish x/k mandatory two',
      'publish /q ',
      'ack 8589934597 true',
      'reject 1 true false',
      'reject 1 false true',
      'reject 3 false true',
    ])
  })

  test('are delivered with tag, flag, properties and body, all channels in one write', async () => {
    const client = await opened(2)
    const properties = encodeProperties({ messageId: 'm', headers: toTable({ a: 1 }) })
    const message = Message.of('x', 'key', properties, Buffer.from('body'))
    const writes = network.accepted[0]?.writes as number
    const [one, two] = driver.session.channels.map((channel) => channel.events)
    one?.delivered('c1', 1, false, message)
    one?.delivered('c2', 2, true, Message.of('', 'q', emptyProperties, Buffer.alloc(0)))
    one?.delivered('c1', 3, false, message)
    two?.delivered('c1', 2 ** 32, false, message)
    two?.confirmed(7, true, true)
    two?.confirmed(9, false, false)
    two?.returned(message, 'NO_ROUTE')
    one?.cancelled('c1')
    one?.flush()
    two?.flush()
    await settle()
    expect((network.accepted[0]?.writes as number) - writes).toBe(1)
    const received = client.take()
    expect(received.map(({ channel, name, args }) => ({ channel, name, args }))).toEqual([
      {
        channel: 1,
        name: 'basic.deliver',
        args: { consumerTag: 'c1', deliveryTag: 1, redelivered: false, exchange: 'x', routingKey: 'key' },
      },
      {
        channel: 1,
        name: 'basic.deliver',
        args: { consumerTag: 'c2', deliveryTag: 2, redelivered: true, exchange: '', routingKey: 'q' },
      },
      {
        channel: 1,
        name: 'basic.deliver',
        args: { consumerTag: 'c1', deliveryTag: 3, redelivered: false, exchange: 'x', routingKey: 'key' },
      },
      {
        channel: 2,
        name: 'basic.deliver',
        args: { consumerTag: 'c1', deliveryTag: 2 ** 32, redelivered: false, exchange: 'x', routingKey: 'key' },
      },
      { channel: 2, name: 'basic.ack', args: { deliveryTag: 7, multiple: true } },
      { channel: 2, name: 'basic.nack', args: { deliveryTag: 9, multiple: false, requeue: false } },
      {
        channel: 2,
        name: 'basic.return',
        args: { replyCode: 312, replyText: 'NO_ROUTE', exchange: 'x', routingKey: 'key' },
      },
      { channel: 1, name: 'basic.cancel', args: { consumerTag: 'c1', noWait: true } },
    ])
    expect(received.filter(({ message: body }) => body?.body.toString() === 'body')).toHaveLength(4)
    expect(received[3]?.message?.propertyBytes.equals(properties)).toBe(true)
  })

  test('got one by one', async () => {
    const client = await opened()
    const message = Message.of('x', 'k', emptyProperties, Buffer.from('b'))
    driver.answers = () => ({ type: 'basic.get-ok', deliveryTag: 4, redelivered: true, message, messageCount: 9 })
    await say(client.send(2, 'channel.open', {}))
    client.send(2, 'basic.get', { queue: 'q', noAck: false }).flush()
    await settle()
    const [got] = client.take()
    expect(got?.args).toEqual({ deliveryTag: 4, redelivered: true, exchange: 'x', routingKey: 'k', messageCount: 9 })
    expect(got?.message?.body.toString()).toBe('b')
  })

  test('a large body is cut into frames of the agreed size', async () => {
    const client = await connect()
    await say(client.header_())
    await say(client.startOk())
    await say(client.tuneOk(1, 4096).send(0, 'connection.open', { virtualHost: '/' }).send(1, 'channel.open', {}))
    const body = Buffer.alloc(300_000, 'abc')
    const parts: number[] = []
    const original = client.body.bind(client)
    client.body = (channel, buffer, start, end, last) => {
      parts.push(end - start)
      original(channel, buffer, start, end, last)
    }
    driver.channel.events.delivered('c', 1, false, Message.of('', 'q', emptyProperties, body))
    driver.channel.events.flush()
    await settle()
    expect(client.take()[0]?.message?.body.equals(body)).toBe(true)
    expect(Math.max(...parts)).toBeLessThanOrEqual(4088)
  })

  test('a consumer’s end is not told to a client that does not know of it', async () => {
    const client = await opened(1, emptyTable)
    driver.channel.events.cancelled('c')
    driver.channel.events.flush()
    expect(await say(client)).toEqual([])
  })

  test('a message too large closes its channel after it was read, the next channel goes on', async () => {
    const platform = { clock, network, host: { name: 'burrow' } } as unknown as Platform
    await new AmqpServer(platform, driver, { messageBytesMax: 1000 }).listen('127.0.0.1', 5672)
    const client = await opened(2)
    expect(
      await say(client.publish(1, 'q', Buffer.alloc(1001)).publish(1, 'q', 'lost').publish(2, 'q', 'kept')),
    ).toEqual([
      '1 channel.close 406 PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000 (60,40)',
    ])
    expect(driver.session.channels.map(({ log }) => log)).toEqual([['close'], ['publish /q kept']])
  })
})

describe('channels', () => {
  test('close: the channel’s end first, then close-ok; the number is free', async () => {
    const client = await opened()
    const close = { replyCode: 200, replyText: '', classId: 0, methodId: 0 }
    expect(await say(client.send(1, 'channel.close', close).send(1, 'channel.open', {}))).toEqual([
      '1 channel.close-ok',
      '1 channel.open-ok',
    ])
    expect(driver.session.channels.map(({ isClosed }) => isClosed)).toEqual([true, false])
  })

  test('answers that are on their way leave before close-ok', async () => {
    const client = await opened()
    const close = { replyCode: 200, replyText: '', classId: 0, methodId: 0 }
    expect(await say(client.send(1, 'queue.declare', declare).send(1, 'channel.close', close))).toEqual([
      '1 queue.declare-ok',
      '1 channel.close-ok',
    ])
    expect(driver.channel.isClosed).toBe(true)
  })

  test('an error closes it, what follows is dropped until close-ok, then the number is free', async () => {
    const client = await opened()
    driver.channel.commands.push({ id: 1, command: { type: 'tx.select' } })
    Object.assign(driver.channel, { answers: null })
    await say(client.send(1, 'queue.declare', declare))
    driver.channel.events.failed(1, new BrokerError('PRECONDITION_FAILED', 'inequivalent arg'))
    driver.channel.events.flush()
    expect(await say(client)).toEqual(['1 channel.close 406 PRECONDITION_FAILED - inequivalent arg (50,10)'])
    const close = { replyCode: 200, replyText: '', classId: 0, methodId: 0 }
    client.publish(1, 'q', 'dropped').send(1, 'queue.declare', declare)
    expect(await say(client.send(1, 'channel.close', close))).toEqual(['1 channel.close-ok'])
    expect(driver.channel.log).toEqual(['queue.declare'])
    client.send(1, 'channel.close-ok', {}).send(1, 'channel.open', {})
    expect(await say(client)).toEqual(['1 channel.open-ok'])
  })

  test('an error without a command names publish, or the kind of settlement', async () => {
    const client = await opened(2)
    await say(client.send(1, 'basic.nack', { deliveryTag: 5, multiple: false, requeue: false }))
    const [one, two] = driver.session.channels
    one?.events.failed(0, new BrokerError('PRECONDITION_FAILED', 'unknown delivery tag 5'))
    two?.events.failed(0, new BrokerError('NOT_FOUND', "no exchange 'x' in vhost '/'"))
    two?.events.flush()
    expect(await say(client)).toEqual([
      '1 channel.close 406 PRECONDITION_FAILED - unknown delivery tag 5 (60,120)',
      "2 channel.close 404 NOT_FOUND - no exchange 'x' in vhost '/' (60,40)",
    ])
  })

  test('a hard error closes the connection', async () => {
    const client = await opened()
    Object.assign(driver.channel, { answers: null })
    await say(client.send(1, 'basic.consume', consume))
    driver.channel.events.failed(1, new BrokerError('NOT_ALLOWED', "attempt to reuse consumer tag 'c'"))
    expect(await say(client)).toEqual([
      "0 connection.close 530 NOT_ALLOWED - attempt to reuse consumer tag 'c' (60,20)",
    ])
  })
})

describe('back-pressure', () => {
  test('a throttled session is not read until it may go on', async () => {
    const client = await opened()
    driver.session.events.throttled()
    await say(client.publish(1, 'q', 'x'))
    expect(driver.channel.log).toEqual([])
    driver.session.events.resumed()
    await settle()
    expect(driver.channel.log).toEqual(['publish /q x'])
  })

  test('under an alarm a publisher is told and stopped, a consumer is not', async () => {
    const [publisher, consumer] = [await opened(), await opened()]
    for (const session of driver.sessions) session.events.blocked('low on memory')
    expect(await say(publisher.publish(1, 'q', 'x'))).toEqual(['0 connection.blocked'])
    expect(await say(consumer.send(1, 'basic.ack', { deliveryTag: 1, multiple: false }))).toEqual([])
    expect(driver.sessions.map((session) => session.channels[0]?.log)).toEqual([['publish /q x'], ['ack 1 false']])
    await say(publisher.publish(1, 'q', 'y'))
    expect(network.accepted.map(({ isPaused }) => isPaused)).toEqual([true, false])
    for (const session of driver.sessions) session.events.unblocked()
    expect(await say(publisher)).toEqual(['0 connection.unblocked'])
    expect(await say(consumer)).toEqual([])
    expect(driver.sessions[0]?.channels[0]?.log).toEqual(['publish /q x', 'publish /q y'])
  })

  test('a client that does not know of alarms is stopped in silence', async () => {
    const client = await opened(1, emptyTable)
    driver.session.events.blocked('low on disk')
    expect(await say(client.publish(1, 'q', 'x'))).toEqual([])
    driver.session.events.unblocked()
    expect(await say(client)).toEqual([])
    expect(network.accepted[0]?.isPaused).toBe(false)
  })

  test('a consumer that does not read gets no more, and all of it when it reads', async () => {
    const client = await opened(2)
    client.connection.pause()
    const message = Message.of('', 'q', emptyProperties, Buffer.alloc(1000))
    const [one, two] = driver.session.channels
    let sent = 0
    while (one?.isPaused === false) one.events.delivered('c', ++sent, false, message)
    one?.events.flush()
    expect(two?.isPaused).toBe(true)
    expect(sent * 1000).toBeLessThan(limits.connectionPendingBytesMax + 100_000)
    await say(client.send(3, 'channel.open', {}))
    expect(driver.channel.isPaused).toBe(true)
    client.connection.resume()
    await settle()
    expect(driver.session.channels.map(({ isPaused }) => isPaused)).toEqual([false, false, false])
    expect(client.names().filter((name) => name === '1 basic.deliver')).toHaveLength(sent)
  })

  test('a client that asks and never reads the answers is read no more', async () => {
    const client = await opened()
    client.connection.pause()
    const declares = (): WireClient => {
      for (let count = 0; count < 1000; count++) client.send(1, 'queue.declare', { ...declare, queue: 'q'.repeat(200) })
      return client
    }
    const [connection] = network.accepted
    for (let round = 0; round < 100 && connection?.isPaused === false; round++) await say(declares())
    expect(connection?.isPaused).toBe(true)
    expect(connection?.pendingBytes).toBeLessThan(5 * limits.connectionPendingBytesMax)
    client.connection.resume()
    await settle()
    await settle()
    expect(connection?.isPaused).toBe(false)
  })
})

describe('shutdown', () => {
  test('says so, waits for the answers and ends all sessions', async () => {
    const [client, second] = [await opened(), await opened()]
    const young = await connect()
    const closing = server.close()
    await settle()
    const said = [
      "0 connection.close 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown' (0,0)",
    ]
    expect(client.names()).toEqual(said)
    expect(second.names()).toEqual(said)
    expect(young.isClosed).toBe(true)
    client.send(0, 'connection.close-ok', {}).flush()
    second.send(0, 'connection.close-ok', {}).flush()
    await clock.run(closing)
    expect(clock.monotonicMs()).toBeLessThan(1_000)
    expect(driver.sessions.map(({ isClosed }) => isClosed)).toEqual([true, true])
    await expect(network.connect('', 5672)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  test('does not wait for ever', async () => {
    const client = await opened()
    await clock.run(server.close('maintenance'))
    await settle()
    expect(client.names()[0]).toContain("reason 'maintenance'")
    expect(client.isClosed).toBe(true)
    expect(clock.monotonicMs()).toBeLessThan(3_000)
  })

  test('of a server without connections is at once', async () => {
    await server.close()
    expect(clock.monotonicMs()).toBe(0)
  })
})
