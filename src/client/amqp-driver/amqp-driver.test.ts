// The client's driver against our server, in memory: with a driver behind it that writes down what it hears, and with a
// broker. What goes in on one side of the wire must come out on the other.
import { beforeEach, describe, expect, test } from 'vitest'
import { FakeDriver } from '../../../test/support/fake-driver.ts'
import { MemoryNetwork } from '../../../test/support/memory-network.ts'
import { Broker } from '../../broker/broker.ts'
import type { ChannelEvents, Driver, Session, SessionEvents } from '../../model/channel.ts'
import type { Command, Reply } from '../../model/command.ts'
import { BrokerError } from '../../model/errors.ts'
import { emptyTable, toTable } from '../../model/field-table.ts'
import { limits } from '../../model/limits.ts'
import { Message } from '../../model/message.ts'
import { emptyProperties, encodeProperties } from '../../model/properties.ts'
import type { Platform } from '../../platform/platform.ts'
import { AmqpServer } from '../../server/amqp-server.ts'
import { MemoryStore } from '../../store/memory-store.ts'
import { SimClock } from '../../testing/sim-clock.ts'
import { SimCrypto } from '../../testing/sim-crypto.ts'
import { SimRandom } from '../../testing/sim-random.ts'
import { AmqpDriver } from './amqp-driver.ts'

let clock: SimClock
let network: MemoryNetwork
let platform: Platform
let fake: FakeDriver

beforeEach(() => {
  clock = new SimClock()
  network = new MemoryNetwork(clock)
  fake = new FakeDriver()
  platform = {
    clock,
    network,
    host: { name: 'burrow' },
    random: new SimRandom(1),
    crypto: new SimCrypto(clock),
  } as unknown as Platform
})

/** Everything a channel hears, as text; what is an object also as it is. */
class Listener implements ChannelEvents {
  readonly heard: string[] = []
  readonly replies: Reply[] = []
  readonly messages: Message[] = []
  readonly errors: BrokerError[] = []

  replied(id: number, reply: Reply): void {
    this.replies.push(reply)
    this.heard.push(`${id} ${reply.type}`)
  }

  delivered(consumerTag: string, deliveryTag: number, redelivered: boolean, message: Message): void {
    this.messages.push(message)
    this.heard.push(`delivered ${consumerTag} ${deliveryTag} ${redelivered} ${message.body.toString()}`)
  }

  confirmed(sequence: number, multiple: boolean, accepted: boolean): void {
    this.heard.push(`confirmed ${sequence} ${multiple} ${accepted}`)
  }

  returned(message: Message, reason: string): void {
    this.messages.push(message)
    this.heard.push(`returned ${reason} ${message.body.toString()}`)
  }

  cancelled(consumerTag: string): void {
    this.heard.push(`cancelled ${consumerTag}`)
  }

  failed(id: number, error: BrokerError): void {
    this.errors.push(error)
    this.heard.push(`failed ${id} ${error.message}`)
  }

  flush(): void {
    if (this.heard.at(-1) !== 'flush') this.heard.push('flush')
  }

  take(): string[] {
    return this.heard.splice(0).filter((line) => line !== 'flush')
  }
}

class SessionListener implements SessionEvents {
  readonly heard: string[] = []

  blocked(reason: string): void {
    this.heard.push(`blocked ${reason}`)
  }

  unblocked(): void {
    this.heard.push('unblocked')
  }

  throttled(): void {
    this.heard.push('throttled')
  }

  resumed(): void {
    this.heard.push('resumed')
  }

  closed(error: BrokerError): void {
    this.heard.push(error.message)
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await clock.advance(0)
}

async function serve(driver: Driver): Promise<AmqpServer> {
  const server = new AmqpServer(platform, driver, { onError: (error) => expect(error).toBeNull() })
  await server.listen('localhost', 5672)
  return server
}

async function openSession(
  address = 'amqp://localhost',
  events: SessionEvents = new SessionListener(),
): Promise<Session> {
  const driver = new AmqpDriver(platform, address, { version: '0.1.0' })
  return clock.run(driver.openSession(driver.login, events))
}

const declare = {
  type: 'queue.declare',
  queue: 'q',
  passive: false,
  durable: true,
  exclusive: false,
  autoDelete: false,
  arguments: emptyTable,
} as const
const consume = {
  type: 'basic.consume',
  queue: 'q',
  consumerTag: 'c',
  noAck: false,
  exclusive: false,
  arguments: emptyTable,
} as const

describe('the login', () => {
  test('says who we are', async () => {
    await serve(fake)
    await openSession('amqp://guest:guest@localhost/')
    expect(fake.session.login).toMatchObject({ credentials: { user: 'guest', password: 'guest' }, virtualHost: '/' })
    expect(fake.session.login.clientProperties.get('product')?.value).toBe('Leveret')
  })

  test('that is refused rejects with the broker’s error', async () => {
    await serve(fake)
    await expect(openSession('amqp://guest:wrong@localhost')).rejects.toMatchObject({ code: 'ACCESS_REFUSED' })
    await expect(openSession('amqp://localhost/nope')).rejects.toMatchObject({
      code: 'NOT_ALLOWED',
      text: 'vhost nope not found',
    })
    const driver = new AmqpDriver(platform, 'amqp://localhost')
    await clock.run(driver.authenticate(driver.login))
    const credentials = { user: 'guest', password: 'wrong' }
    await expect(clock.run(driver.authenticate({ ...driver.login, credentials }))).rejects.toThrow('Login was refused')
  })

  test('nobody there, nobody who answers, something else there', async () => {
    const failure = { code: 'E_CONNECT_FAILED' }
    await expect(openSession()).rejects.toMatchObject(failure)
    await network.listen('', 5672, (connection) => connection.attach({ received() {}, drained() {}, closed() {} }))
    await expect(openSession('amqp://localhost?connection_timeout=100')).rejects.toMatchObject(failure)
    expect(clock.monotonicMs()).toBe(100)
    await network.listen('', 5672, (connection) => {
      connection.attach({
        received: () => connection.write(Buffer.from('HTTP/1.1 400 Bad Request\r\n'), 26, null),
        drained() {},
        closed() {},
      })
    })
    await expect(openSession()).rejects.toMatchObject(failure)
    await network.listen('', 5672, (connection) => {
      connection.attach({ received: () => connection.destroy(), drained() {}, closed() {} })
    })
    await expect(openSession()).rejects.toThrow('closed the connection during the login')
  })

  test('a bad address is refused at once', () => {
    expect(() => new AmqpDriver(platform, 'http://u:secret@localhost')).toThrow('E_BAD_URL')
  })

  test('takes what the broker proposes, or less', async () => {
    await serve(fake)
    const session = await openSession('amqp://localhost?channel_max=2&frame_max=4096&heartbeat=0')
    const listener = new Listener()
    session.openChannel(listener)
    const channel = session.openChannel(listener)
    expect(() => session.openChannel(listener)).toThrow('all 2 channels')
    const body = Buffer.alloc(100_000, 'abc')
    channel.publish(Message.of('', 'q', emptyProperties, body), false)
    await settle()
    expect(fake.channel.messages[0]?.body.equals(body)).toBe(true)
    fake.channel.events.delivered('c', 1, false, Message.of('', 'q', emptyProperties, body))
    fake.channel.events.flush()
    await settle()
    expect(listener.messages[0]?.body.equals(body)).toBe(true)
    await clock.advance(200_000)
    expect(network.accepted[0]?.isClosed).toBe(false)
  })
})

describe('what is said on one side is heard on the other', () => {
  async function channelPair(): Promise<{ listener: Listener; channel: ReturnType<Session['openChannel']> }> {
    await serve(fake)
    const session = await openSession()
    const listener = new Listener()
    const channel = session.openChannel(listener)
    await settle()
    return { listener, channel }
  }

  test('commands', async () => {
    const { channel, listener } = await channelPair()
    const table = toTable({ 'x-a': 1 })
    const bind = { exchange: 'x', destination: 'y', routingKey: 'k', arguments: table }
    const commands: Command[] = [
      {
        type: 'exchange.declare',
        exchange: 'x',
        kind: 'topic',
        passive: true,
        durable: true,
        autoDelete: true,
        internal: true,
        arguments: table,
      },
      { type: 'exchange.bind', ...bind },
      { type: 'exchange.unbind', ...bind },
      { type: 'exchange.delete', exchange: 'x', ifUnused: true },
      { ...declare, arguments: table },
      { type: 'queue.bind', ...bind },
      { type: 'queue.unbind', ...bind },
      { type: 'queue.purge', queue: 'q' },
      { type: 'basic.qos', prefetchSize: 0, prefetchCount: 7, global: true },
      { ...consume, noAck: true, exclusive: true },
      { type: 'basic.cancel', consumerTag: 'c' },
      { type: 'basic.get', queue: 'q', noAck: true },
      { type: 'basic.recover', requeue: true },
      { type: 'queue.delete', queue: 'q', ifUnused: true, ifEmpty: true },
      { type: 'confirm.select' },
      { type: 'tx.select' },
      { type: 'tx.rollback' },
    ]
    commands.forEach((command, at) => channel.execute(at + 1, command))
    expect(listener.take()).toEqual([])
    await settle()
    expect(fake.channel.commands.map(({ command }) => command)).toEqual(commands)
    expect(listener.take()).toHaveLength(commands.length)
    expect(listener.replies.slice(0, 5).map(({ type }) => type)).toEqual(['ok', 'ok', 'ok', 'ok', 'queue.declare-ok'])
    expect(listener.replies[4]).toEqual({ type: 'queue.declare-ok', queue: 'q', messageCount: 3, consumerCount: 4 })
    expect(listener.replies.filter(({ type }) => type !== 'ok').map(({ type }) => type)).toEqual([
      'queue.declare-ok',
      'queue.purge-ok',
      'basic.consume-ok',
      'basic.cancel-ok',
      'basic.get-empty',
      'queue.delete-ok',
    ])
  })

  test('messages and settlements', async () => {
    const { channel } = await channelPair()
    const properties = encodeProperties({ messageId: 'm', headers: toTable({ a: 1 }) })
    expect(channel.publish(Message.of('x', 'k', properties, Buffer.from('one')), true)).toBe(0)
    channel.ack(1, false)
    channel.reject(2 ** 40, true, true)
    channel.reject(3, false, false)
    await settle()
    expect(fake.channel.log).toEqual([
      'publish x/k mandatory one',
      'ack 1 false',
      'reject 1099511627776 true true',
      'reject 3 false false',
    ])
    expect(fake.channel.messages[0]?.propertyBytes.equals(properties)).toBe(true)
  })

  test('events', async () => {
    const { listener, channel } = await channelPair()
    const { events } = fake.channel
    const message = Message.of('x', 'k', encodeProperties({ type: 't' }), Buffer.from('body'))
    channel.execute(9, { type: 'confirm.select' })
    expect(channel.publish(message, false)).toBe(1)
    expect(channel.publish(message, false)).toBe(2)
    await settle()
    events.delivered('c', 7, true, message)
    events.returned(message, 'NO_ROUTE')
    events.confirmed(2, true, true)
    events.confirmed(3, false, false)
    events.cancelled('c')
    events.flush()
    await settle()
    expect(listener.heard.at(-1)).toBe('flush')
    expect(listener.take()).toEqual([
      '9 ok',
      'delivered c 7 true body',
      'returned NO_ROUTE body',
      'confirmed 2 true true',
      'confirmed 3 false false',
      'cancelled c',
    ])
    expect(listener.messages.map(({ exchange, routingKey }) => `${exchange}/${routingKey}`)).toEqual(['x/k', 'x/k'])
    expect(listener.messages[0]?.decodeProperties()).toEqual({ type: 't' })
  })

  test('basic.get', async () => {
    const { listener, channel } = await channelPair()
    const message = Message.of('x', 'k', emptyProperties, Buffer.from('got'))
    Object.assign(fake.channel, {
      answers: () => ({ type: 'basic.get-ok', deliveryTag: 4, redelivered: true, message, messageCount: 9 }),
    })
    channel.execute(3, { type: 'basic.get', queue: 'q', noAck: false })
    await settle()
    expect(listener.replies[0]).toMatchObject({
      type: 'basic.get-ok',
      deliveryTag: 4,
      redelivered: true,
      messageCount: 9,
    })
  })

  test('content that comes in pieces ends in a flush', async () => {
    network.chunkBytesMax = 7
    const { listener } = await channelPair()
    await settle()
    listener.take()
    fake.channel.events.delivered('c', 1, false, Message.of('', 'q', emptyProperties, Buffer.alloc(50, 'x')))
    fake.channel.events.flush()
    await settle()
    expect(listener.heard).toEqual([`delivered c 1 false ${'x'.repeat(50)}`, 'flush'])
  })

  test('all of a turn is one write', async () => {
    const { channel } = await channelPair()
    const client = network.accepted[0]?.peer
    const before = client?.writes as number
    for (let count = 0; count < 500; count++)
      channel.publish(Message.of('', 'q', emptyProperties, Buffer.from('x')), false)
    channel.ack(1, true)
    expect(client?.writes).toBe(before)
    await settle()
    expect(client?.writes).toBe(before + 1)
    expect(fake.channel.messages).toHaveLength(500)
  })

  test('a commit is publishes, acks and tx.commit, and nothing comes between that and its answer', async () => {
    const { channel, listener } = await channelPair()
    const message = (text: string): Message => Message.of('', 'q', emptyProperties, Buffer.from(text))
    channel.execute(1, { type: 'tx.select' })
    await settle()
    Object.assign(fake.channel, { answers: null })
    channel.commit(2, [5, 6], [message('a'), message('b')])
    channel.ack(7, false)
    channel.commit(3, [8], [])
    await settle()
    const first = [
      'tx.select',
      'publish /q mandatory a',
      'publish /q mandatory b',
      'ack 5 false',
      'ack 6 false',
      'tx.commit',
    ]
    expect(fake.channel.log).toEqual(first)
    fake.channel.reply({ type: 'ok' })
    await settle()
    expect(fake.channel.log).toEqual([...first, 'ack 7 false', 'ack 8 false', 'tx.commit'])
    fake.channel.reply({ type: 'ok' })
    await settle()
    expect(listener.take()).toEqual(['1 ok', '2 ok', '3 ok'])
  })
})

describe('what goes wrong', () => {
  async function opened(): Promise<{ session: Session; events: SessionListener; listener: Listener }> {
    await serve(fake)
    const events = new SessionListener()
    return { session: await openSession('amqp://localhost?heartbeat=10', events), events, listener: new Listener() }
  }

  test('the broker closes the channel: the command it means fails, the number can be used again', async () => {
    const { session, listener, events } = await opened()
    const channel = session.openChannel(listener)
    await settle()
    Object.assign(fake.channel, { answers: null })
    channel.execute(1, declare)
    channel.execute(2, consume)
    await settle()
    fake.channel.events.failed(2, new BrokerError('NOT_FOUND', "no queue 'q' in vhost '/'"))
    fake.channel.events.flush()
    await settle()
    expect(listener.take()).toEqual(["failed 2 NOT_FOUND - no queue 'q' in vhost '/'"])
    expect(channel.publish(Message.of('', 'q', emptyProperties, Buffer.alloc(0)), false)).toBe(0)
    channel.close()
    const again = session.openChannel(listener)
    fake.answers = () => ({ type: 'ok' })
    again.execute(1, { type: 'confirm.select' })
    await settle()
    expect(fake.session.channels).toHaveLength(2)
    expect(events.heard).toEqual([])
  })

  test('a publish fails: no command is blamed', async () => {
    const { session, listener } = await opened()
    session.openChannel(listener).execute(1, { type: 'confirm.select' })
    await settle()
    fake.channel.events.failed(0, new BrokerError('NOT_FOUND', "no exchange 'x' in vhost '/'"))
    fake.channel.events.flush()
    await settle()
    expect(listener.take()).toEqual(['1 ok', "failed 0 NOT_FOUND - no exchange 'x' in vhost '/'"])
  })

  test('the broker closes the connection', async () => {
    const { session, listener, events } = await opened()
    const channel = session.openChannel(listener)
    await settle()
    Object.assign(fake.channel, { answers: null })
    channel.execute(1, consume)
    await settle()
    fake.channel.events.failed(1, new BrokerError('NOT_ALLOWED', "attempt to reuse consumer tag 'c'"))
    await settle()
    const text = "NOT_ALLOWED - attempt to reuse consumer tag 'c'"
    expect(listener.heard.at(-1)).toBe('flush')
    expect(listener.take()).toEqual([`failed 1 ${text}`])
    expect(events.heard).toEqual([text])
    expect(() => session.openChannel(listener)).toThrow('CONNECTION_FORCED')
    await session.close()
  })

  test('the connection is lost', async () => {
    const { session, listener, events } = await opened()
    session.openChannel(listener)
    network.accepted[0]?.close(new Error('read ECONNRESET'))
    await settle()
    expect(events.heard).toEqual(['CONNECTION_FORCED - the connection to the broker was lost: read ECONNRESET'])
    await clock.advance(60_000)
    expect(clock.pendingEvents).toBe(0)
  })

  test('the broker falls silent', async () => {
    const { events } = await opened()
    await clock.advance(60_000)
    expect(events.heard).toEqual([])
    const server = network.accepted[0]
    if (server !== undefined) server.write = () => true
    await clock.advance(21_000)
    expect(events.heard).toEqual(['CONNECTION_FORCED - the connection to the broker was lost: no heartbeat came'])
  })

  test('the broker shuts down', async () => {
    const server = await serve(fake)
    const events = new SessionListener()
    const session = await openSession('amqp://localhost', events)
    await clock.run(server.close())
    expect(events.heard).toEqual(["CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"])
    await session.close()
  })

  test('the broker talks nonsense', async () => {
    const { events } = await opened()
    network.accepted[0]?.write(Buffer.from('nonsense, at least 8 octets'), 27, null)
    await settle()
    expect(events.heard[0]).toMatch(/^FRAME_ERROR/)
  })

  test('a commit without tx.select, a name too long', async () => {
    const { session, listener } = await opened()
    session.openChannel(listener).commit(1, [], [])
    await settle()
    expect(listener.take()[0]).toContain('failed 1 PRECONDITION_FAILED')
    session.openChannel(listener).publish(Message.of('', 'x'.repeat(256), emptyProperties, Buffer.alloc(0)), false)
    await settle()
    expect(listener.take()[0]).toContain('failed 0 SYNTAX_ERROR')
    session.openChannel(listener).execute(3, { ...declare, queue: 'x'.repeat(256) })
    await settle()
    expect(listener.take()[0]).toContain('failed 3 SYNTAX_ERROR')
    session.openChannel(listener).execute(4, declare)
    await settle()
    expect(listener.take()).toEqual(['4 queue.declare-ok'])
  })

  test('after close nothing is heard, and closing twice is once', async () => {
    const { session, listener, events } = await opened()
    const channel = session.openChannel(listener)
    channel.execute(1, declare)
    channel.close()
    channel.close()
    await settle()
    expect(listener.heard).toEqual([])
    expect(fake.channel.isClosed).toBe(true)
    await clock.run(Promise.all([session.close(), session.close()]))
    expect(fake.session.isClosed).toBe(true)
    expect(events.heard).toEqual([])
  })
})

describe('flow', () => {
  test('alarms are passed on', async () => {
    await serve(fake)
    const events = new SessionListener()
    const session = await openSession('amqp://localhost', events)
    const channel = session.openChannel(new Listener())
    fake.session.events.blocked('low on disk')
    channel.publish(Message.of('', 'q', emptyProperties, Buffer.from('x')), false)
    await settle()
    fake.session.events.unblocked()
    await settle()
    expect(events.heard).toEqual(['blocked low on disk', 'unblocked'])
  })

  test('a publisher is asked to stop when the wire is full', async () => {
    await serve(fake)
    const events = new SessionListener()
    const session = await openSession('amqp://localhost', events)
    const channel = session.openChannel(new Listener())
    await settle()
    network.accepted[0]?.pause()
    const message = Message.of('', 'q', emptyProperties, Buffer.alloc(10_000))
    let sent = 0
    for (; events.heard.length === 0 && sent < 1000; sent++) {
      channel.publish(message, false)
      await settle()
    }
    expect(events.heard).toEqual(['throttled'])
    expect(sent * 10_000).toBeLessThan(limits.connectionPendingBytesMax + 100_000)
    network.accepted[0]?.resume()
    await settle()
    expect(events.heard).toEqual(['throttled', 'resumed'])
    expect(fake.channel.messages).toHaveLength(sent)
  })

  test('a receiver that is full makes us stop reading', async () => {
    await serve(fake)
    const listener = new Listener()
    const channel = (await openSession()).openChannel(listener)
    await settle()
    channel.pauseDeliveries()
    fake.channel.events.delivered('c', 1, false, Message.of('', 'q', emptyProperties, Buffer.from('x')))
    fake.channel.events.flush()
    await settle()
    expect(listener.take()).toEqual([])
    channel.resumeDeliveries()
    await settle()
    expect(listener.take()).toEqual(['delivered c 1 false x'])
  })
})

describe('with a broker behind the server', () => {
  test('a message goes all the way and back', async () => {
    const broker = await Broker.open(platform, new MemoryStore(), { memoryBytesMax: 1e9 })
    const server = await serve(broker)
    const listener = new Listener()
    const session = await openSession()
    const channel = session.openChannel(listener)
    channel.execute(1, declare)
    channel.execute(2, { type: 'confirm.select' })
    channel.execute(3, consume)
    channel.publish(Message.of('', 'q', emptyProperties, Buffer.from('there and back')), false)
    channel.publish(Message.of('', 'nobody', emptyProperties, Buffer.from('back')), true)
    await settle()
    const heard = listener.take()
    expect(heard.slice(0, 3)).toEqual(['1 queue.declare-ok', '2 ok', '3 basic.consume-ok'])
    expect(heard).toContain('delivered c 1 false there and back')
    expect(heard).toContain('returned NO_ROUTE back')
    expect(heard.at(-1)).toBe('confirmed 2 true true')
    channel.ack(1, false)
    channel.ack(1, false)
    await settle()
    expect(listener.take()).toEqual(['failed 0 PRECONDITION_FAILED - unknown delivery tag 1'])
    await clock.run(session.close())
    await clock.run(server.close())
  })
})
