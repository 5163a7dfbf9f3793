// A connection that is open: its mistakes, its heartbeats, its flow, its end.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FakeSession } from '../../test/support/fake-driver.ts'
import { ServedFake } from '../../test/support/served-fake.ts'
import type { WireClient } from '../../test/support/wire-client.ts'
import { BrokerError } from '../model/errors.ts'
import { emptyTable } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import { Message } from '../model/message.ts'
import { emptyProperties } from '../model/properties.ts'

let served: ServedFake

beforeEach(async () => {
  served = await ServedFake.start()
})

afterEach(() => {
  expect(served.errors).toEqual([])
  expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
})

const declareQ = { queue: 'q', passive: false, durable: true, exclusive: false, autoDelete: false, noWait: false }
const declare = { ...declareQ, arguments: emptyTable }

describe('the connection', () => {
  const close = { replyCode: 200, replyText: 'bye', classId: 0, methodId: 0 }

  test('close: the session ends first, then close-ok, then the client hangs up', async () => {
    const client = await served.opened()
    expect(await served.say(client.send(0, 'connection.close', close))).toEqual(['0 connection.close-ok'])
    expect(served.driver.session.isClosed).toBe(true)
    expect(client.isClosed).toBe(false)
    client.connection.end()
    await served.settle()
    expect(served.server.connectionCount).toBe(0)
  })

  test('close: who does not hang up is dropped after 30 s, without a heartbeat until then', async () => {
    const client = await served.opened()
    await served.say(client.send(0, 'connection.close', close))
    await served.clock.advance(29_000)
    expect(client.isClosed).toBe(false)
    await served.clock.advance(2_000)
    expect(client.isClosed).toBe(true)
    expect(client.names()).toEqual([])
  })

  test('close: each of several that were sent at once or later is answered, and nothing else', async () => {
    const client = await served.opened()
    const twice = client.send(0, 'connection.close', close).send(0, 'connection.close', close)
    expect(await served.say(twice)).toEqual(['0 connection.close-ok', '0 connection.close-ok'])
    client.send(1, 'channel.open', {}).send(0, 'connection.update-secret', { newSecret: Buffer.from('x'), reason: '' })
    expect(await served.say(client.frame(1, 0, Buffer.alloc(4)).send(0, 'connection.close', close))).toEqual([
      '0 connection.close-ok',
    ])
  })

  test('a lost socket ends the session', async () => {
    const client = await served.opened()
    client.connection.destroy()
    await served.settle()
    expect(served.driver.session.isClosed).toBe(true)
  })

  test('update-secret is taken', async () => {
    const client = await served.opened()
    const args = { newSecret: Buffer.from('x'), reason: 'renewed' }
    expect(await served.say(client.send(0, 'connection.update-secret', args))).toEqual([
      '0 connection.update-secret-ok',
    ])
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
      '503 COMMAND_INVALID - unimplemented method (60,11)',
    ],
    [
      'an answer to a question that was not asked',
      (c) => c.send(1, 'channel.flow-ok', { active: true }),
      '503 COMMAND_INVALID - unimplemented method (20,21)',
    ],
    [
      'arguments that are none',
      (c) => c.frame(1, 1, bytes('003c 0014 00')),
      '501 FRAME_ERROR - cannot decode <<0>> (60,20)',
    ],
    [
      'a short method frame',
      (c) => c.frame(1, 1, bytes('003c')),
      '501 FRAME_ERROR - type 1, all octets = <<0,60>>: unknown_frame (0,0)',
    ],
    [
      'a short method frame on channel 0',
      (c) => c.frame(1, 0, bytes('003c')),
      '501 FRAME_ERROR - type 1, all octets = <<0,60>>: unknown_frame (0,0)',
    ],
    ['a short ack', (c) => c.frame(1, 1, bytes('003c 0050 00')), '501 FRAME_ERROR - cannot decode <<0>> (60,80)'],
    [
      'a short publish',
      (c) => c.frame(1, 1, bytes('003c 0028 0000')),
      '501 FRAME_ERROR - cannot decode <<0,0>> (60,40)',
    ],
    [
      'a short content header',
      (c) => c.frame(1, 1, bytes('003c 0028 0000 00 00 00')).frame(2, 1, bytes('003c 0000 00')),
      '501 FRAME_ERROR - type 2, all octets = <<0,60,0,0,0>>: unknown_frame (0,0)',
    ],
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
      '505 UNEXPECTED_FRAME - type 3, all octets = <<0>> (0,0)',
    ],
    ['a heartbeat on a channel', (c) => c.frame(8, 1, Buffer.alloc(0)), '505 UNEXPECTED_FRAME'],
    [
      'a body without a header',
      (c) => c.frame(3, 1, Buffer.alloc(1)),
      '505 UNEXPECTED_FRAME - expected method frame, got non method frame instead',
    ],
    [
      'a body behind a whole message',
      (c) => c.publish(1, 'q', '').frame(3, 1, Buffer.alloc(0)),
      '505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0,0)',
    ],
    [
      'a header behind a whole message',
      (c) => c.publish(1, 'q', '').frame(2, 1, Buffer.alloc(14)),
      '505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0,0)',
    ],
    [
      'a frame too large behind a method',
      (c) => c.send(1, 'tx.select', {}).frame(3, 1, Buffer.alloc(131_073)),
      '501 FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131073,131064} (0,0)',
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
    const client = await served.opened()
    const said = await served.say(mistake(client).send(1, 'basic.recover', { requeue: true }))
    expect(
      said.map((line) => line.startsWith(`0 connection.close ${answer}`)),
      said.join(),
    ).toEqual([true])
    expect(served.driver.session.isClosed).toBe(true)
    await served.say(client.send(0, 'connection.close-ok', {}))
    await served.clock.advance(3_500)
    expect(client.isClosed).toBe(true)
    expect(served.server.connectionCount).toBe(0)
  })

  test('while it waits for close-ok it answers a close that crosses, and nothing else', async () => {
    const client = await served.opened(2)
    await served.say(client.tuneOk())
    const close = { replyCode: 200, replyText: '', classId: 0, methodId: 0 }
    expect(await served.say(client.send(2, 'basic.recover', { requeue: true }).publish(2, 'q', 'x'))).toEqual([])
    expect(await served.say(client.send(0, 'connection.close', close))).toEqual(['0 connection.close-ok'])
    await served.say(client.send(0, 'connection.close-ok', {}))
    expect(client.isClosed).toBe(true)
  })

  test('a client that never answers connection.close is dropped', async () => {
    const client = await served.opened()
    await served.say(client.tuneOk())
    await served.clock.advance(29_000)
    expect(client.isClosed).toBe(false)
    await served.clock.advance(2_000)
    expect(client.isClosed).toBe(true)
  })

  test('no more channels than agreed', async () => {
    const client = await served.connect()
    await served.say(client.header_())
    await served.say(client.startOk())
    await served.say(client.tuneOk(2).send(0, 'connection.open', { virtualHost: '/' }))
    expect(await served.say(client.send(9, 'channel.open', {}).send(65_535, 'channel.open', {}))).toHaveLength(2)
    expect(await served.say(client.send(1, 'channel.open', {}))).toEqual([
      '0 connection.close 530 NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2) (0,0)',
    ])
  })

  test('our own mistake costs one connection and is reported', async () => {
    const [client, other] = [await served.opened(), await served.opened()]
    ;(served.driver.sessions[0] as FakeSession).channels[0]!.execute = () => {
      throw new TypeError('a bug')
    }
    expect(await served.say(client.send(1, 'tx.select', {}))).toEqual([
      '0 connection.close 541 INTERNAL_ERROR - the server has failed; its log says how (0,0)',
    ])
    expect(served.errors.splice(0)).toEqual([new TypeError('a bug')])
    expect(await served.say(other.send(1, 'tx.select', {}))).toEqual(['1 tx.select-ok'])
  })

  test('the driver ends the session: its reason is told', async () => {
    const client = await served.opened()
    served.driver.session.events.closed(new BrokerError('INTERNAL_ERROR', 'the disk failed'))
    expect(await served.say(client)).toEqual(['0 connection.close 541 INTERNAL_ERROR - the disk failed (0,0)'])
  })

  test('a long text is cut to a short string, between characters', async () => {
    const client = await served.opened()
    served.driver.session.events.closed(new BrokerError('INTERNAL_ERROR', 'é'.repeat(300)))
    client.flush()
    await served.settle()
    const text = client.take()[0]?.args['replyText'] as string
    expect(Buffer.byteLength(text)).toBe(254)
    expect(text).toMatch(/é\.\.\.$/)
  })

  test('more connections than allowed are dropped', async () => {
    served = await ServedFake.start({ connectionsMax: 1 })
    const [first, second] = [await served.connect(), await served.connect()]
    await served.settle()
    expect([first.isClosed, second.isClosed]).toEqual([false, true])
    expect(served.server.connectionCount).toBe(1)
  })
})

test('one address may have a hundred connections that have not logged in; the next is dropped, those of others are not', async () => {
  const known = await served.opened()
  const strangers: WireClient[] = []
  const connect = async (): Promise<WireClient> => {
    const client = await served.connect()
    await served.settle()
    return client
  }
  for (let count = 0; count < limits.strangersPerAddressMax; count++) strangers.push(await connect())
  expect((await connect()).isClosed).toBe(true)
  served.network.remoteAddress = '127.0.0.2'
  const other = await connect()
  served.network.remoteAddress = '127.0.0.1'
  expect([known, other, ...strangers].filter(({ isClosed }) => isClosed)).toEqual([])
  // Whoever logs in makes room, and whoever leaves.
  await served.login(strangers[0] as WireClient)
  strangers[1]?.connection.destroy()
  await served.settle()
  const more = [await connect(), await connect(), await connect()]
  expect(more.map(({ isClosed }) => isClosed)).toEqual([false, false, true])
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
    const client = await served.connect()
    await served.say(client.header_())
    await served.say(client.startOk())
    await served.say(client.tuneOk(2047, 131_072, seconds).send(0, 'connection.open', { virtualHost: '/' }))
    return client
  }

  test('are sent after half an interval of silence', async () => {
    const client = await withHeartbeat(10)
    await served.clock.advance(4_400)
    expect(client.names()).toEqual([])
    await served.clock.advance(1_200)
    expect(client.names()).toEqual(['0 heartbeat'])
    await served.say(client.send(1, 'channel.open', {}))
    await served.clock.advance(4_400)
    expect(client.names()).toEqual([])
  })

  test('leave no gap of a whole interval, which some clients take for a lost connection', async () => {
    const client = await withHeartbeat(1)
    client.names()
    let silentMs = 0
    let longestMs = 0
    for (let passedMs = 0; passedMs < 10_000; passedMs += 100) {
      client.frame(8, 0, Buffer.alloc(0)).flush()
      // Something else that is sent must not put the next heartbeat off for too long.
      if (passedMs === 5_100) client.send(1, 'channel.open', {}).flush()
      await served.clock.advance(100)
      silentMs = client.names().length > 0 ? 0 : silentMs + 100
      longestMs = Math.max(longestMs, silentMs)
    }
    expect(client.isClosed).toBe(false)
    expect(longestMs).toBeLessThan(700)
  })

  test('not heard for two intervals: the socket is dropped without a word', async () => {
    const client = await withHeartbeat(2)
    await served.clock.advance(3_400)
    expect(client.isClosed).toBe(false)
    await served.clock.advance(1_200)
    expect(client.isClosed).toBe(true)
    expect(client.names().every((name) => name === '0 heartbeat')).toBe(true)
    expect(served.driver.session.isClosed).toBe(true)
  })

  test('any octet counts, whole frame or not', async () => {
    const client = await withHeartbeat(2)
    for (let octet = 0; octet < 8; octet++) {
      await served.clock.advance(3_000)
      client.raw(Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce]).subarray(octet, octet + 1)).flush()
    }
    expect(client.isClosed).toBe(false)
  })

  test('0 turns them off', async () => {
    const client = await withHeartbeat(0)
    await served.clock.advance(130_000)
    expect(client.isClosed).toBe(false)
    expect(client.names()).toEqual([])
  })

  test('a process that stood still does not blame its clients', async () => {
    const client = await withHeartbeat(2)
    await served.clock.advance(1_000)
    served.clock.pause(30_000)
    await served.clock.advance(1_000)
    expect(client.isClosed).toBe(false)
    await served.clock.advance(4_000)
    expect(client.isClosed).toBe(true)
  })

  test('one timer serves all, and none is left when all have gone', async () => {
    const clients = [await withHeartbeat(2), await withHeartbeat(2), await withHeartbeat(0)]
    expect(served.clock.pendingEvents).toBe(1)
    for (const client of clients) client.connection.destroy()
    await served.clock.advance(600)
    expect(served.clock.pendingEvents).toBe(0)
  })
})

describe('back-pressure', () => {
  test('a throttled session is not read until it may go on', async () => {
    const client = await served.opened()
    served.driver.session.events.throttled()
    await served.say(client.publish(1, 'q', 'x'))
    expect(served.driver.channel.log).toEqual([])
    served.driver.session.events.resumed()
    await served.settle()
    expect(served.driver.channel.log).toEqual(['publish /q x'])
  })

  test('under an alarm a publisher is told and stopped, a consumer is not', async () => {
    const [publisher, consumer] = [await served.opened(), await served.opened()]
    for (const session of served.driver.sessions) session.events.blocked('low on memory')
    expect(await served.say(publisher.publish(1, 'q', 'x'))).toEqual(['0 connection.blocked'])
    expect(await served.say(consumer.send(1, 'basic.ack', { deliveryTag: 1, multiple: false }))).toEqual([])
    expect(served.driver.sessions.map((session) => session.channels[0]?.log)).toEqual([
      ['publish /q x'],
      ['ack 1 false'],
    ])
    await served.say(publisher.publish(1, 'q', 'y'))
    expect(served.network.accepted.map(({ isPaused }) => isPaused)).toEqual([true, false])
    for (const session of served.driver.sessions) session.events.unblocked()
    expect(await served.say(publisher)).toEqual(['0 connection.unblocked'])
    expect(await served.say(consumer)).toEqual([])
    expect(served.driver.sessions[0]?.channels[0]?.log).toEqual(['publish /q x', 'publish /q y'])
  })

  test('a client that does not know of alarms is stopped in silence', async () => {
    const client = await served.opened(1, emptyTable)
    served.driver.session.events.blocked('low on disk')
    expect(await served.say(client.publish(1, 'q', 'x'))).toEqual([])
    served.driver.session.events.unblocked()
    expect(await served.say(client)).toEqual([])
    expect(served.network.accepted[0]?.isPaused).toBe(false)
  })

  test('a consumer that does not read gets no more, and all of it when it reads', async () => {
    const client = await served.opened(2)
    client.connection.pause()
    const message = Message.of('', 'q', emptyProperties, Buffer.alloc(1000))
    const [one, two] = served.driver.session.channels
    let sent = 0
    while (one?.isPaused === false) one.events.delivered('c', ++sent, false, message)
    one?.events.flush()
    expect(two?.isPaused).toBe(true)
    expect(sent * 1000).toBeLessThan(limits.connectionPendingBytesMax + 100_000)
    await served.say(client.send(3, 'channel.open', {}))
    expect(served.driver.channel.isPaused).toBe(true)
    client.connection.resume()
    await served.settle()
    expect(served.driver.session.channels.map(({ isPaused }) => isPaused)).toEqual([false, false, false])
    expect(client.names().filter((name) => name === '1 basic.deliver')).toHaveLength(sent)
  })

  test('a client that asks and never reads the answers is read no more', async () => {
    const client = await served.opened()
    client.connection.pause()
    const declares = (): WireClient => {
      for (let count = 0; count < 1000; count++) client.send(1, 'queue.declare', { ...declare, queue: 'q'.repeat(200) })
      return client
    }
    const [connection] = served.network.accepted
    for (let round = 0; round < 100 && connection?.isPaused === false; round++) await served.say(declares())
    expect(connection?.isPaused).toBe(true)
    expect(connection?.pendingBytes).toBeLessThan(5 * limits.connectionPendingBytesMax)
    client.connection.resume()
    await served.settle()
    await served.settle()
    expect(connection?.isPaused).toBe(false)
  })
})

describe('shutdown', () => {
  test('says so, waits for the answers and ends all sessions', async () => {
    const [client, second] = [await served.opened(), await served.opened()]
    const young = await served.connect()
    const closing = served.server.close()
    await served.settle()
    const said = [
      "0 connection.close 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown' (0,0)",
    ]
    expect(client.names()).toEqual(said)
    expect(second.names()).toEqual(said)
    expect(young.isClosed).toBe(true)
    client.send(0, 'connection.close-ok', {}).flush()
    second.send(0, 'connection.close-ok', {}).flush()
    await served.clock.run(closing)
    expect(served.clock.monotonicMs()).toBeLessThan(1_000)
    expect(served.driver.sessions.map(({ isClosed }) => isClosed)).toEqual([true, true])
    await expect(served.network.connect('', 5672)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  test('does not wait for ever', async () => {
    const client = await served.opened()
    await served.clock.run(served.server.close('maintenance'))
    await served.settle()
    expect(client.names()[0]).toContain("reason 'maintenance'")
    expect(client.isClosed).toBe(true)
    expect(served.clock.monotonicMs()).toBeLessThan(3_000)
  })

  test('of a server without connections is at once', async () => {
    await served.server.close()
    expect(served.clock.monotonicMs()).toBe(0)
  })
})
