// The client's AMQP driver against Debian's RabbitMQ: what our server answers it with is what RabbitMQ answers too.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { AmqpDriver } from '../../src/client/amqp-driver/amqp-driver.ts'
import type { Channel, ChannelEvents, Session, SessionEvents } from '../../src/model/channel.ts'
import type { Reply } from '../../src/model/command.ts'
import { BrokerError } from '../../src/model/errors.ts'
import { emptyTable, type Field, toTable } from '../../src/model/field-table.ts'
import { Message } from '../../src/model/message.ts'
import { emptyProperties, encodeProperties } from '../../src/model/properties.ts'
import { NodePlatform } from '../../src/platform/node-platform.ts'
import { startRabbitmq } from '../support/rabbitmq-process.ts'

let broker: Awaited<ReturnType<typeof startRabbitmq>>
let session: Session
let sessionEvents: SessionEvents & { error: BrokerError | null }
let queueCount = 0

beforeAll(async () => {
  broker = await startRabbitmq()
})

afterAll(async () => {
  await broker?.stop()
})

beforeEach(async () => {
  const driver = new AmqpDriver(new NodePlatform(), broker.url)
  sessionEvents = {
    error: null,
    blocked() {},
    unblocked() {},
    throttled() {},
    resumed() {},
    closed(error) {
      this.error = error
    },
  }
  session = await driver.openSession(driver.login, sessionEvents)
  return () => session.close()
})

/** Writes down what it hears, and lets a test wait for the next thing. */
class Listener implements ChannelEvents {
  readonly heard: string[] = []
  readonly messages: Message[] = []
  readonly replies: Reply[] = []
  private wake: () => void = () => {}

  replied(id: number, reply: Reply): void {
    this.replies.push(reply)
    if (reply.type === 'basic.get-ok') this.messages.push(reply.message)
    this.heard.push(`${id} ${reply.type}`)
  }

  delivered(_tag: string, deliveryTag: number, redelivered: boolean, message: Message): void {
    this.messages.push(message)
    this.heard.push(`delivered ${deliveryTag} ${redelivered} ${message.body.toString()}`)
  }

  confirmed(sequence: number, _multiple: boolean, accepted: boolean): void {
    this.heard.push(`confirmed ${sequence} ${accepted}`)
  }

  returned(message: Message, reason: string): void {
    this.heard.push(`returned ${reason} ${message.body.toString()}`)
  }

  cancelled(consumerTag: string): void {
    this.heard.push(`cancelled ${consumerTag}`)
  }

  failed(id: number, error: BrokerError): void {
    this.heard.push(`failed ${id} ${error.message}`)
  }

  flush(): void {
    this.wake()
  }

  /** What was heard up to and including the line that begins so. */
  async until(line: string): Promise<string[]> {
    while (!this.heard.some((heard) => heard.startsWith(line))) {
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
    return this.heard.splice(0, this.heard.findIndex((heard) => heard.startsWith(line)) + 1)
  }
}

function open(): { channel: Channel; listener: Listener; queue: string } {
  const listener = new Listener()
  return { channel: session.openChannel(listener), listener, queue: `q-${++queueCount}` }
}

const flags = { passive: false, durable: false, exclusive: true, autoDelete: false, arguments: emptyTable }
const message = (queue: string, body: string, properties = emptyProperties): Message =>
  Message.of('', queue, properties, Buffer.from(body))

test('declare, publish with confirms, consume, acknowledge, get, cancel, delete', async () => {
  const { channel, listener, queue } = open()
  channel.execute(1, { type: 'queue.declare', queue, ...flags })
  channel.execute(2, { type: 'confirm.select' })
  channel.execute(3, { type: 'basic.qos', prefetchSize: 0, prefetchCount: 10, global: false })
  expect(channel.publish(message(queue, 'one'), false)).toBe(1)
  expect(channel.publish(message('nobody', 'two'), true)).toBe(2)
  expect(await listener.until('confirmed 2')).toEqual(expect.arrayContaining(['3 ok', 'returned NO_ROUTE two']))
  channel.execute(4, {
    type: 'basic.consume',
    queue,
    consumerTag: 'c',
    noAck: false,
    exclusive: false,
    arguments: emptyTable,
  })
  expect(await listener.until('delivered')).toEqual(
    expect.arrayContaining(['4 basic.consume-ok', 'delivered 1 false one']),
  )
  channel.execute(5, { type: 'basic.cancel', consumerTag: 'c' })
  channel.reject(1, false, true)
  await listener.until('5 basic.cancel-ok')
  channel.execute(6, { type: 'basic.get', queue, noAck: false })
  channel.ack(2, false)
  channel.execute(7, { type: 'basic.get', queue, noAck: true })
  expect(await listener.until('7')).toEqual(['6 basic.get-ok', '7 basic.get-empty'])
  expect(listener.replies.find(({ type }) => type === 'basic.get-ok')).toMatchObject({
    redelivered: true,
    messageCount: 0,
  })
  channel.execute(8, { type: 'queue.delete', queue, ifUnused: false, ifEmpty: true })
  expect(await listener.until('8')).toEqual(['8 queue.delete-ok'])
})

test('properties and large bodies come back as they were sent', async () => {
  const { channel, listener, queue } = open()
  const fields: [string, Field][] = [
    ['b', { tag: 'b', value: -1 }],
    ['s', { tag: 's', value: -300 }],
    ['I', { tag: 'I', value: 1 }],
    ['l', { tag: 'l', value: 2n ** 60n }],
    ['d', { tag: 'd', value: 1.5 }],
    ['T', { tag: 'T', value: 1_700_000_000 }],
    ['F', { tag: 'F', value: toTable({ nested: [true, null, Buffer.from('x')] }) }],
  ]
  const properties = {
    headers: new Map(fields),
    messageId: 'm',
    timestamp: 1_700_000_000,
    priority: 3,
    deliveryMode: 2,
  }
  const body = 'x'.repeat(1_000_000)
  channel.execute(1, { type: 'queue.declare', queue, ...flags })
  channel.publish(message(queue, body, encodeProperties(properties)), false)
  channel.execute(2, { type: 'basic.get', queue, noAck: true })
  await listener.until('2')
  expect(listener.messages[0]?.decodeProperties()).toEqual(properties)
  expect(listener.messages[0]?.body.toString()).toBe(body)
})

test('a transaction: nothing before its commit, all after it', async () => {
  const { channel, listener, queue } = open()
  channel.execute(1, { type: 'queue.declare', queue, ...flags })
  channel.execute(2, {
    type: 'basic.consume',
    queue,
    consumerTag: 'c',
    noAck: false,
    exclusive: false,
    arguments: emptyTable,
  })
  channel.publish(message(queue, 'one'), false)
  await listener.until('delivered 1')
  channel.execute(3, { type: 'tx.select' })
  channel.commit(4, [1], [message(queue, 'two'), message(queue, 'three')])
  // In the same turn: has to wait for commit-ok, or RabbitMQ closes the connection.
  channel.execute(5, { type: 'basic.qos', prefetchSize: 0, prefetchCount: 1, global: false })
  await listener.until('5 ok')
  channel.execute(6, { type: 'queue.declare', queue, ...flags, passive: true })
  await listener.until('6')
  expect(listener.replies.at(-1)).toMatchObject({ messageCount: 0, consumerCount: 1 })
  expect(sessionEvents.error).toBeNull()
})

describe('errors', () => {
  test('of a command close the channel and name it; the number can be used again', async () => {
    const { channel, listener } = open()
    channel.execute(1, { type: 'confirm.select' })
    channel.execute(2, { type: 'queue.declare', queue: 'nowhere', ...flags, passive: true })
    expect(await listener.until('failed')).toEqual(['1 ok', "failed 2 NOT_FOUND - no queue 'nowhere' in vhost '/'"])
    const again = open()
    again.channel.execute(1, { type: 'confirm.select' })
    expect(await again.listener.until('1')).toEqual(['1 ok'])
  })

  test('of a publish or a settlement name no command', async () => {
    const [one, two] = [open(), open()]
    one.channel.publish(Message.of('nowhere', 'k', emptyProperties, Buffer.alloc(0)), false)
    two.channel.ack(5, false)
    expect(await one.listener.until('failed')).toEqual(["failed 0 NOT_FOUND - no exchange 'nowhere' in vhost '/'"])
    expect(await two.listener.until('failed')).toEqual(['failed 0 PRECONDITION_FAILED - unknown delivery tag 5'])
  })

  test('that are hard close the session', async () => {
    const { channel, listener, queue } = open()
    const consume = {
      type: 'basic.consume',
      queue,
      consumerTag: 'c',
      noAck: false,
      exclusive: false,
      arguments: emptyTable,
    } as const
    channel.execute(1, { type: 'queue.declare', queue, ...flags })
    channel.execute(2, consume)
    await listener.until('2')
    channel.execute(3, consume)
    expect(await listener.until('failed')).toEqual(["failed 3 NOT_ALLOWED - attempt to reuse consumer tag 'c'"])
    expect(sessionEvents.error?.code).toBe('NOT_ALLOWED')
  })

  test('of the login', async () => {
    const platform = new NodePlatform()
    const refused = new AmqpDriver(
      platform,
      broker.url.replace('guest:guest', 'guest:wrong').replace(/\/\/(?!guest)/, '//guest:wrong@'),
    )
    await expect(refused.openSession(refused.login, sessionEvents)).rejects.toMatchObject({ code: 'ACCESS_REFUSED' })
    const lost = new AmqpDriver(platform, `${broker.url.replace(/\/$/, '')}/nowhere`)
    await expect(lost.openSession(lost.login, sessionEvents)).rejects.toMatchObject({ code: 'NOT_ALLOWED' })
  })
})

test('a queue that goes takes its consumer along', async () => {
  const { channel, listener, queue } = open()
  channel.execute(1, { type: 'queue.declare', queue, ...flags })
  channel.execute(2, {
    type: 'basic.consume',
    queue,
    consumerTag: 'c',
    noAck: false,
    exclusive: false,
    arguments: emptyTable,
  })
  await listener.until('2')
  const other = open()
  other.channel.execute(1, { type: 'queue.delete', queue, ifUnused: false, ifEmpty: false })
  expect(await listener.until('cancelled')).toEqual(['cancelled c'])
})
