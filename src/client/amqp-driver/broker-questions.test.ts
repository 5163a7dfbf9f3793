// What AMQP has no method for, asked of a Leveret over the wire: of a broker that answers, of one that answers nonsense,
// and of a broker that is no Leveret.
import { beforeEach, describe, expect, test } from 'vitest'
import { type FakeChannel, FakeDriver } from '../../../test/support/fake-driver.ts'
import { MemoryNetwork } from '../../../test/support/memory-network.ts'
import { Broker } from '../../broker/broker.ts'
import type { Channel, ChannelEvents, Driver, SessionEvents } from '../../model/channel.ts'
import type { Command, QueueInfo, Reply } from '../../model/command.ts'
import { BrokerError } from '../../model/errors.ts'
import { toField, toTable } from '../../model/field-table.ts'
import { limits } from '../../model/limits.ts'
import { Message } from '../../model/message.ts'
import { emptyProperties, encodeProperties } from '../../model/properties.ts'
import type { PeekedMessage } from '../../model/queue-command.ts'
import type { Platform } from '../../platform/platform.ts'
import { AmqpServer } from '../../server/amqp-server.ts'
import { MemoryStore } from '../../store/memory-store.ts'
import { SimClock } from '../../testing/sim-clock.ts'
import { SimCrypto } from '../../testing/sim-crypto.ts'
import { SimRandom } from '../../testing/sim-random.ts'
import { openBus } from '../bus.ts'
import { AmqpDriver } from './amqp-driver.ts'
import type { AmqpSession } from './amqp-session.ts'

const queues: Command = { type: 'leveret.queues' }

let clock: SimClock
let network: MemoryNetwork
let platform: Platform

beforeEach(() => {
  clock = new SimClock()
  network = new MemoryNetwork(clock)
  platform = {
    clock,
    network,
    host: { name: 'burrow' },
    random: new SimRandom(1),
    crypto: new SimCrypto(clock),
  } as unknown as Platform
})

/** What a channel is told, as text; queues by their names. */
class Listener implements ChannelEvents {
  heard: string[] = []
  queues: readonly QueueInfo[] = []
  messages: readonly PeekedMessage[] = []
  flushes = 0

  replied(id: number, reply: Reply): void {
    if (reply.type === 'leveret.queues-ok') this.queues = reply.queues
    if (reply.type === 'leveret.messages') this.messages = reply.messages
    const count = reply.type === 'leveret.cancelled' ? ` ${reply.count}` : ''
    const names = reply.type === 'leveret.queues-ok' ? reply.queues.map(({ name }) => ` ${name}`).join('') : ''
    this.heard.push(`${id} ${reply.type}${names}${count}`)
  }

  failed(id: number, error: BrokerError): void {
    this.heard.push(`failed ${id} ${error.message}`)
  }

  delivered(): void {}

  confirmed(sequence: number): void {
    this.heard.push(`confirmed ${sequence}`)
  }

  returned(): void {
    this.heard.push('returned')
  }

  cancelled(): void {}

  flush(): void {
    this.flushes++
  }

  take(): string[] {
    const { heard } = this
    this.heard = []
    return heard
  }
}

class SessionListener implements SessionEvents {
  readonly heard: string[] = []

  blocked(): void {}

  unblocked(): void {}

  throttled(): void {}

  resumed(): void {}

  closed(error: BrokerError): void {
    this.heard.push(error.message)
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 6; turn++) await clock.advance(0)
}

async function serve(driver: Driver): Promise<AmqpServer> {
  const server = new AmqpServer(platform, driver, { onError: (error) => expect(error).toBeNull() })
  await server.listen('localhost', 5672)
  return server
}

async function openBroker(): Promise<Broker> {
  return await clock.run(Broker.open(platform, new MemoryStore(), { memoryBytesMax: 1e9 }))
}

/** From now on who is connected to calls itself something else than Leveret. */
function rename(product: 'Rabbits'): void {
  const connect = network.connect.bind(network)
  network.connect = async (host, port) => {
    const connection = await connect(host, port)
    const attach = connection.attach.bind(connection)
    connection.attach = (events) => {
      const received = (chunk: Buffer): void => {
        for (const [ours, theirs] of [
          ['Leveret', product],
          ['leveret_', 'rabbits_'],
        ] as const) {
          for (let at = chunk.indexOf(ours); at >= 0; at = chunk.indexOf(ours)) chunk.write(theirs, at)
        }
        events.received(chunk)
      }
      attach({ received, drained: () => events.drained(), closed: (error) => events.closed(error) })
    }
    return connection
  }
}

interface Asking {
  readonly session: AmqpSession
  readonly events: SessionListener
  readonly listener: Listener
  readonly channel: Channel
}

async function openAsking(address = 'amqp://localhost'): Promise<Asking> {
  const driver = new AmqpDriver(platform, address)
  const events = new SessionListener()
  const session = await clock.run(driver.openSession(driver.login, events))
  const listener = new Listener()
  return { session, events, listener, channel: session.openChannel(listener) }
}

function declare(queue: string, values: Parameters<typeof toTable>[0] = {}): Command {
  const flags = { passive: false, durable: true, exclusive: false, autoDelete: false }
  return { type: 'queue.declare', queue, ...flags, arguments: toTable(values) }
}

describe('asked of a Leveret', () => {
  test('the queues are told, and the one that carries the answer is none of them', async () => {
    await serve(await openBroker())
    const { channel, listener } = await openAsking()
    channel.execute(1, declare('jobs', { 'x-own': { deep: [1, 'two', true, null] } }))
    channel.publish(Message.of('', 'jobs', emptyProperties, Buffer.from('three')), false)
    channel.execute(2, queues)
    expect(listener.heard).toEqual([])
    await settle()
    expect(listener.take()).toEqual(['1 queue.declare-ok', '2 leveret.queues-ok jobs'])
    expect(listener.queues).toEqual([
      {
        name: 'jobs',
        durable: true,
        durability: 'none',
        deliverAfter: 'accept',
        exclusive: false,
        autoDelete: false,
        paused: false,
        arguments: [['x-own', toField({ deep: [1, 'two', true, null] })]],
        ready: 1,
        readyBytes: 5,
        unacked: 0,
        delayed: 0,
        consumers: 0,
        counters: {
          published: 1,
          publishedBytes: 5,
          delivered: 0,
          deliveredBytes: 0,
          redelivered: 0,
          settled: 0,
          settledBytes: 0,
          expired: 0,
          dropped: 0,
          refused: 0,
          deadLettered: 0,
        },
        flow: expect.objectContaining({ arrivals: 1, waiting: 1, working: 0, oldestSeconds: 0 }) as unknown,
      },
    ])
  })

  test('several questions of several channels are answered each to its own, in order', async () => {
    await serve(await openBroker())
    const { session, channel, listener } = await openAsking('amqp://localhost?channel_max=3')
    const other = new Listener()
    const otherChannel = session.openChannel(other)
    for (let id = 1; id <= 3; id++) channel.execute(id, queues)
    otherChannel.execute(1, queues)
    await settle()
    channel.execute(4, queues)
    const { flushes } = listener
    await settle()
    const answersTo = (ids: number[]): string[] => ids.map((id) => `${id} leveret.queues-ok`)
    expect([listener.take(), other.take()]).toEqual([answersTo([1, 2, 3, 4]), answersTo([1])])
    expect(listener.flushes).toBeGreaterThan(flushes)
  })

  test('it disturbs neither confirms nor a transaction of the channel', async () => {
    await serve(await openBroker())
    const { session, channel, listener } = await openAsking()
    channel.execute(1, { type: 'confirm.select' })
    channel.execute(2, queues)
    expect(channel.publish(Message.of('', 'nobody', emptyProperties, Buffer.alloc(0)), true)).toBe(1)
    await settle()
    expect(listener.take()).toEqual(['1 ok', 'returned', 'confirmed 1', '2 leveret.queues-ok'])
    const transactional = new Listener()
    const other = session.openChannel(transactional)
    other.execute(1, { type: 'tx.select' })
    other.execute(2, { type: 'tx.commit' })
    other.execute(3, queues)
    await settle()
    expect(transactional.take()).toEqual(['1 ok', '2 ok', '3 leveret.queues-ok'])
  })

  test('a queue pauses and goes on, and one that is not there is refused', async () => {
    const broker = await openBroker()
    await serve(broker)
    const { channel, listener } = await openAsking()
    channel.execute(1, declare('jobs'))
    channel.execute(2, { type: 'leveret.pause', queue: 'jobs', paused: true })
    channel.publish(Message.of('', 'jobs', emptyProperties, Buffer.from('one')), false)
    await settle()
    channel.execute(3, { type: 'basic.get', queue: 'jobs', noAck: true })
    await settle()
    channel.execute(4, { type: 'leveret.pause', queue: 'jobs', paused: false })
    await settle()
    channel.execute(5, { type: 'basic.get', queue: 'jobs', noAck: true })
    await settle()
    const answered = ['1 queue.declare-ok', '2 ok', '3 basic.get-empty', '4 ok', '5 basic.get-ok']
    expect(listener.take()).toEqual(answered)
    channel.execute(6, { type: 'leveret.pause', queue: 'none', paused: true })
    await settle()
    expect(listener.take()).toEqual(["failed 6 NOT_FOUND - no queue 'none' in vhost '/'"])
  })

  test('messages are looked at as they are', async () => {
    await serve(await openBroker())
    const { channel, listener } = await openAsking()
    channel.execute(1, declare('jobs'))
    const headers = toTable({ 'x-leveret-key': 'k', n: 3 })
    const properties = { contentType: 'text/plain', headers, priority: 2, messageId: 'm-1', timestamp: 9 }
    channel.publish(Message.of('', 'jobs', encodeProperties(properties), Buffer.from([0, 255, 7])), false)
    channel.publish(Message.of('', 'jobs', emptyProperties, Buffer.alloc(limits.bodyInlineBytesMax + 1)), false)
    channel.execute(2, { type: 'leveret.peek', queue: 'jobs', limit: 10, state: 'ready' })
    await settle()
    await settle()
    expect(listener.take()).toEqual(['1 queue.declare-ok', '2 leveret.messages'])
    const [one, two, ...others] = listener.messages
    expect(others).toEqual([])
    expect(one?.message.decodeProperties()).toEqual(properties)
    expect([one?.message.exchange, one?.message.routingKey, one?.message.body]).toEqual([
      '',
      'jobs',
      Buffer.from([0, 255, 7]),
    ])
    expect(one).toMatchObject({ hasBody: true, bodyBytes: 3, sequence: 1, state: 'ready', deliveryCount: 0 })
    expect(two).toMatchObject({ hasBody: false, bodyBytes: limits.bodyInlineBytesMax + 1, sequence: 2 })
    channel.execute(3, { type: 'leveret.peek', queue: 'jobs', limit: 1, skip: 1, state: 'ready' })
    await settle()
    expect(listener.messages.map(({ sequence }) => sequence)).toEqual([2])
    channel.execute(4, { type: 'leveret.peek', queue: 'jobs', limit: 10, state: 'delayed' })
    await settle()
    expect(listener.messages).toEqual([])
    channel.execute(5, { type: 'leveret.peek', queue: 'jobs', limit: 0, state: 'ready' })
    await settle()
    expect(listener.take().at(-1)).toBe('failed 5 PRECONDITION_FAILED - peek: limit is 0, and must be from 1 to 1000')
  })

  test('messages are removed by their id', async () => {
    await serve(await openBroker())
    const { channel, listener } = await openAsking()
    channel.execute(1, declare('jobs'))
    for (const messageId of ['a', 'b', 'a']) {
      channel.publish(Message.of('', 'jobs', encodeProperties({ messageId }), Buffer.from(messageId)), false)
    }
    for (const [at, messageId] of ['a', 'none'].entries()) {
      channel.execute(2 + at, { type: 'leveret.cancel', queue: 'jobs', messageId })
      await settle()
    }
    expect(listener.take()).toEqual(['1 queue.declare-ok', '2 leveret.cancelled 2', '3 leveret.cancelled 0'])
  })

  test('a channel that was closed meanwhile hears nothing', async () => {
    await serve(await openBroker())
    const { channel, listener, events } = await openAsking()
    channel.execute(1, queues)
    channel.close()
    await settle()
    expect([listener.heard, events.heard]).toEqual([[], []])
  })

  test('no channel is left to carry it: it fails, later', async () => {
    await serve(await openBroker())
    const { channel, listener } = await openAsking('amqp://localhost?channel_max=1')
    channel.execute(1, queues)
    expect(listener.heard).toEqual([])
    await settle()
    expect(listener.take()).toEqual(['failed 1 NOT_ALLOWED - all 1 channels of the connection are in use'])
  })

  test('a bus has its statistics', async () => {
    await serve(await openBroker())
    const driver = new AmqpDriver(platform, 'amqp://localhost')
    const wiring = {
      platform,
      driver,
      login: driver.login,
      commits: 'tx' as const,
      inMemory: false,
      statistics: () => driver.isLeveret,
      messageBytesMax: 1_000_000,
      notes: [],
      onFailure: () => {},
      onDamage: () => {},
      serve: null,
    }
    const bus = await clock.run(openBus(wiring, {}))
    const jobs = await clock.run(bus.createQueue('jobs'))
    await clock.run(jobs.send('work'))
    await clock.advance(1_000)
    expect(await clock.run(jobs.stats())).toMatchObject({ name: 'jobs', ready: 1, readyBytes: 6, unacked: 0 })
    expect((await clock.run(bus.stats())).map(({ name }) => name)).toEqual(['jobs'])
    await clock.run(bus.close())
  })
})

describe('asked of one that does not answer as it should', () => {
  /** A broker in a test's hand; the request that came, and a way to answer it. */
  async function openFake(): Promise<
    Asking & { fake: FakeDriver; answer: (type: string, body: string) => Promise<void> }
  > {
    const fake = new FakeDriver()
    await serve(fake)
    const asking = await openAsking()
    asking.channel.execute(1, queues)
    await settle()
    const answer = async (type: string, body: string): Promise<void> => {
      const carrier = fake.session.channels.findLast(({ messages }) => messages.length > 0) as FakeChannel
      const { correlationId = '' } = carrier.messages.at(-1)?.decodeProperties() ?? {}
      const encoded = encodeProperties({ type, correlationId })
      carrier.events.delivered('amq.ctag-1', 1, false, Message.of('', 'amq.gen-1', encoded, Buffer.from(body)))
      carrier.events.flush()
      await settle()
    }
    return { ...asking, fake, answer }
  }

  test('the request is one message on a channel of its own', async () => {
    const { fake } = await openFake()
    expect(fake.session.channels).toHaveLength(2)
    expect(fake.channel.log).toEqual(['queue.declare', 'basic.consume', 'publish leveret.control/queues mandatory '])
    expect(fake.channel.commands[0]?.command).toMatchObject({ queue: '', exclusive: true, durable: false })
    expect(fake.channel.commands[1]?.command).toMatchObject({ queue: 'amq.gen-1', noAck: true })
    expect(fake.channel.messages[0]?.decodeProperties()).toEqual({ replyTo: 'amq.gen-1', correlationId: '1' })
  })

  const whole = {
    name: 'q',
    durable: true,
    durability: 'write',
    deliverAfter: 'sync',
    exclusive: false,
    autoDelete: false,
    paused: true,
    arguments: {},
    ready: 0,
    readyBytes: 0,
    unacked: 0,
    delayed: 0,
    consumers: 0,
    flow: null,
    counters: {
      published: 0,
      publishedBytes: 0,
      delivered: 0,
      deliveredBytes: 0,
      redelivered: 0,
      settled: 0,
      settledBytes: 0,
      expired: 0,
      dropped: 0,
      refused: 0,
      deadLettered: 0,
    },
  }

  test('what a later version adds is left alone', async () => {
    const { answer, listener } = await openFake()
    await answer('leveret.queues-ok', JSON.stringify([{ ...whole, later: true }]))
    expect(listener.take()).toEqual(['1 leveret.queues-ok q'])
    expect(listener.queues).toEqual([{ ...whole, arguments: [] }])
  })

  test('what an earlier version does not say of a queue is as it was there', async () => {
    const { answer, listener } = await openFake()
    const { paused: _paused, durability: _durability, deliverAfter: _deliverAfter, ...early } = whole
    await answer('leveret.queues-ok', JSON.stringify([early]))
    expect(listener.take()).toEqual(['1 leveret.queues-ok q'])
    expect(listener.queues).toMatchObject([{ paused: false, durability: 'fsync', deliverAfter: 'accept' }])
  })

  test.each([
    ['leveret.queues-ok', 'no JSON', 'Unexpected token'],
    ['leveret.queues-ok', '{}', 'it is no array'],
    ['leveret.queues-ok', '[1]', 'a queue is no object'],
    ['leveret.queues-ok', JSON.stringify([{ ...whole, name: 1 }]), 'a queue has no name'],
    ['leveret.queues-ok', JSON.stringify([{ ...whole, durable: 1 }]), 'durable is no boolean'],
    ['leveret.queues-ok', JSON.stringify([{ ...whole, ready: -1 }]), 'ready is no count'],
    ['leveret.queues-ok', JSON.stringify([{ ...whole, arguments: [] }]), 'arguments is no object'],
    ['leveret.queues-ok', JSON.stringify([{ ...whole, counters: null }]), 'counters is no object'],
    ['leveret.queues-ok', JSON.stringify([{ ...whole, counters: {} }]), 'published is no count'],
    [
      'leveret.queues-ok',
      `[${JSON.stringify(whole).replace('{}', `{"a":${'['.repeat(40)}${']'.repeat(40)}}`)}]`,
      'deep',
    ],
    ['leveret.other', '[]', "its type is 'leveret.other'"],
    ['leveret.messages', '[]', 'the answer is no object'],
    ['leveret.cancelled', '[]', 'the answer is no object'],
    ['leveret.cancelled', '{"count":"1"}', 'count is no count'],
    ['leveret.messages', '{"more":false}', 'messages is no array'],
    ['leveret.messages', '{"messages":[1],"more":false}', 'a message is no object'],
    ['leveret.messages', '{"messages":[{"body":1}],"more":false}', 'body is no text'],
    ['leveret.messages', '{"messages":[{"body":"","properties":{"type":1}}],"more":false}', 'type is no text'],
    ['leveret.messages', '{"messages":[{"body":"","properties":null}],"more":false}', 'exchange is no text'],
  ])('%s %s is not believed', async (type, body, text) => {
    const { answer, listener, events } = await openFake()
    await answer(type, body)
    const [line, ...others] = listener.take()
    expect(line).toMatch(/^failed 1 INTERNAL_ERROR - the broker's answer cannot be understood: /)
    expect(line).toContain(text)
    expect([others, events.heard]).toEqual([[], []])
  })

  test.each([
    ['{"code":"NOT_IMPLEMENTED","text":"there is no command"}', 'NOT_IMPLEMENTED - there is no command'],
    ['{"code":"toString","text":1}', 'INTERNAL_ERROR - the broker gave no reason'],
  ])('its error %s is passed on', async (body, text) => {
    const { answer, listener } = await openFake()
    await answer('leveret.error', body)
    expect(listener.take()).toEqual([`failed 1 ${text}`])
  })

  test('an answer to nobody is dropped', async () => {
    const { answer, listener } = await openFake()
    await answer('leveret.queues-ok', '[]')
    await answer('leveret.queues-ok', '[]')
    expect(listener.take()).toEqual(['1 leveret.queues-ok'])
  })

  test.each<[string, string, (carrier: FakeChannel) => void]>([
    [
      'the request comes back',
      "the queue for the answer of 'queues' is gone",
      ({ events, messages }) => events.returned(messages[0] as Message, 'NO_ROUTE'),
    ],
    [
      'the queue for answers is deleted',
      "the queue for answers, 'amq.gen-1', is gone",
      ({ events }) => events.cancelled('amq.ctag-1'),
    ],
    [
      'the exchange is missing',
      "no exchange 'leveret.control' in vhost '/'",
      ({ events }) => events.failed(0, new BrokerError('NOT_FOUND', "no exchange 'leveret.control' in vhost '/'")),
    ],
  ])('%s: the question fails, and the next one is answered', async (_what, text, goWrong) => {
    const { fake, listener, session, answer } = await openFake()
    goWrong(fake.channel)
    fake.channel.events.flush()
    await settle()
    expect(listener.take()).toEqual([`failed 1 NOT_FOUND - ${text}`])
    const again = new Listener()
    session.openChannel(again).execute(1, queues)
    await settle()
    await answer('leveret.queues-ok', '[]')
    expect(again.take()).toEqual(['1 leveret.queues-ok'])
  })

  test('the connection is lost: the session says so, as for every command', async () => {
    const { events, listener } = await openFake()
    network.accepted[0]?.close(new Error('read ECONNRESET'))
    await settle()
    expect(events.heard).toEqual(['CONNECTION_FORCED - the connection to the broker was lost: read ECONNRESET'])
    expect(listener.take()).toEqual([])
  })
})

describe('asked of another broker', () => {
  test('it fails, later, and nothing is sent that it does not know', async () => {
    const fake = new FakeDriver()
    await serve(fake)
    rename('Rabbits')
    const { session, channel, listener, events } = await openAsking()
    expect(session.isLeveret).toBe(false)
    // What it takes at most is for it to say.
    expect(session.messageBytesMax).toBe(512 << 20)
    channel.execute(5, queues)
    expect(listener.heard).toEqual([])
    await settle()
    expect(listener.take()).toEqual([
      "failed 5 NOT_IMPLEMENTED - leveret.queues is understood by Leveret alone, and this broker calls itself 'Rabbits'",
    ])
    expect(fake.session.channels).toHaveLength(1)
    expect(events.heard).toEqual([])
  })
})
