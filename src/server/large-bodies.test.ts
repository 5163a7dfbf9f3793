// Bodies that go by in pieces: what else is said meanwhile, and what happens when a channel ends in the middle of one.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeBodies } from '../../test/support/fake-bodies.ts'
import type { MemoryConnection } from '../../test/support/memory-network.ts'
import { ServedFake } from '../../test/support/served-fake.ts'
import type { WireClient } from '../../test/support/wire-client.ts'
import { BrokerError } from '../model/errors.ts'
import { emptyTable } from '../model/field-table.ts'
import type { Message } from '../model/message.ts'

let served: ServedFake
let bodies: FakeBodies

beforeEach(async () => {
  served = await ServedFake.start()
  bodies = new FakeBodies()
  served.driver.bodies = bodies
})

afterEach(() => {
  expect(served.errors).toEqual([])
  expect(bodies.holds).toBe(0)
})

/** The server's end of the connection. */
function serverEnd(): MemoryConnection {
  return served.network.accepted.at(-1) as MemoryConnection
}

const closing = { replyCode: 200, replyText: '', classId: 0, methodId: 0 }
const get = { queue: 'q', noAck: false }
const declare = {
  queue: 'q',
  passive: false,
  durable: true,
  exclusive: false,
  autoDelete: false,
  noWait: false,
  arguments: emptyTable,
}
const body = Buffer.alloc(5_000, 'b')

function gotten(message: Message) {
  return {
    type: 'basic.get-ok',
    deliveryTag: 1,
    redelivered: false,
    message,
    messageCount: 0,
  } as const
}

/** The frames of a body of which only a part has come. */
function publishHalf(client: WireClient, bytes: number): WireClient {
  const header = Buffer.alloc(14)
  header.writeUInt16BE(60, 0)
  header.writeUInt32BE(1_000_000, 8)
  const publish = { exchange: '', routingKey: 'q', mandatory: false, immediate: false }
  return client.send(1, 'basic.publish', publish).frame(2, 1, header).frame(3, 1, Buffer.alloc(bytes))
}

describe('a connection is read again', () => {
  test('when the channel on which too much of a body waited to be written has failed', async () => {
    const client = await served.opened()
    publishHalf(client, 1_500).flush()
    await served.settle()
    bodies.sink.isFull = true
    client.frame(3, 1, Buffer.alloc(1_500)).flush()
    await served.settle()
    expect(serverEnd().isPaused).toBe(true)
    served.driver.channel.events.failed(0, new BrokerError('NOT_FOUND', 'no exchange'))
    served.driver.channel.events.flush()
    await served.settle()
    expect(bodies.sink.isAbandoned).toBe(true)
    expect(client.names()).toEqual(['1 channel.close 404 NOT_FOUND - no exchange (60,40)'])
    expect(await served.say(client.send(1, 'channel.close-ok', {}).send(1, 'channel.open', {}))).toEqual([
      '1 channel.open-ok',
    ])
  })

  test('when the channel has failed whose frames waited behind a body, and it hears that it is closed', async () => {
    const client = await served.opened()
    client.publish(1, 'q', body).flush()
    await served.settle()
    expect(bodies.sink.isEnded).toBe(true)
    for (let at = 0; at < 200; at++) client.publish(1, 'q', Buffer.alloc(900))
    client.send(1, 'channel.close', closing).flush()
    await served.settle()
    expect(serverEnd().isPaused).toBe(true)
    served.driver.channel.events.failed(0, new BrokerError('NOT_FOUND', 'no exchange'))
    served.driver.channel.events.flush()
    await served.settle()
    const said = client.names()
    expect(said[0]).toBe('1 channel.close 404 NOT_FOUND - no exchange (60,40)')
    expect(said[1]).toBe('1 channel.close-ok')
    expect(await served.say(client.send(1, 'channel.close-ok', {}).send(1, 'channel.open', {}))).toEqual([
      '1 channel.open-ok',
    ])
  })
})

describe('while a large body goes out', () => {
  test('its channel does not end, even if the client said so before', async () => {
    served.driver.answers = null
    const client = await served.opened()
    expect(await served.say(client.send(1, 'basic.get', get).send(1, 'channel.close', closing))).toEqual([])
    served.driver.channel.reply(gotten(FakeBodies.message(body.length)))
    await served.settle()
    bodies.source.give(body)
    bodies.source.give(null)
    await served.settle()
    const said = client.take()
    expect(said.map(({ name }) => name)).toEqual(['basic.get-ok', 'channel.close-ok'])
    expect(said[0]?.message?.body.equals(body)).toBe(true)
  })

  test('a client that says more than it reads is not read', async () => {
    const client = await served.opened()
    served.driver.channel.events.delivered('c', 1, false, FakeBodies.message(body.length))
    await served.settle()
    let sent = 0
    for (; sent < 100_000 && !serverEnd().isPaused; sent += 100) {
      for (let at = 0; at < 100; at++) client.send(1, 'queue.declare', declare)
      client.flush()
      await served.settle()
    }
    expect(sent).toBeLessThan(20_000)
    bodies.source.give(body)
    bodies.source.give(null)
    await served.settle()
    const said = client.take()
    expect(said[0]?.message?.body.equals(body)).toBe(true)
    expect(said.length).toBe(1 + sent)
    expect(serverEnd().isPaused).toBe(false)
  })
})
