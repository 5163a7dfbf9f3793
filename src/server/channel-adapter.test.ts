// What a client says on a channel reaches the driver, and what the driver says reaches the client.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ServedFake } from '../../test/support/served-fake.ts'
import { failedOn } from '../model/channel.ts'
import { BrokerError } from '../model/errors.ts'
import { emptyTable, toTable } from '../model/field-table.ts'
import { Message } from '../model/message.ts'
import { emptyProperties, encodeProperties } from '../model/properties.ts'

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
const bindQ = { destination: '', exchange: 'x', routingKey: '', noWait: false, arguments: emptyTable }
const consumeQ = { queue: 'q', consumerTag: 'c', noLocal: false, noAck: false, exclusive: false, noWait: false }
const consume = { ...consumeQ, arguments: emptyTable }

describe('commands', () => {
  test('reach the driver as they were said, and their answers the client', async () => {
    const client = await served.opened()
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
    expect(await served.say(client)).toEqual(
      [
        'channel.flow-ok access.request-ok exchange.declare-ok exchange.bind-ok exchange.unbind-ok exchange.delete-ok',
        'queue.declare-ok queue.bind-ok queue.unbind-ok queue.purge-ok basic.qos-ok basic.consume-ok basic.cancel-ok',
        'basic.get-empty basic.recover-ok queue.delete-ok confirm.select-ok',
      ]
        .join(' ')
        .split(' ')
        .map((name) => `1 ${name}`),
    )
    expect(served.driver.channel.commands.map(({ command }) => command)).toEqual([
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
    const client = await served.opened()
    client.send(1, 'queue.declare', declare).send(1, 'queue.purge', { queue: 'q', noWait: false })
    client.send(1, 'queue.delete', { queue: 'q', ifUnused: false, ifEmpty: false, noWait: false })
    client.send(1, 'basic.consume', { ...consume, consumerTag: '' }).flush()
    await served.settle()
    expect(client.take().map(({ args }) => args)).toEqual([
      { queue: 'q', messageCount: 3, consumerCount: 4 },
      { messageCount: 5 },
      { messageCount: 6 },
      { consumerTag: 'amq.ctag-1' },
    ])
  })

  test('noWait and recover-async suppress the answer', async () => {
    const client = await served.opened()
    client.send(1, 'queue.declare', { ...declare, noWait: true }).send(1, 'confirm.select', { noWait: true })
    client.send(1, 'basic.consume', { ...consume, noWait: true }).send(1, 'basic.recover-async', { requeue: true })
    expect(await served.say(client.send(1, 'tx.select', {}))).toEqual(['1 tx.select-ok'])
    expect(served.driver.channel.commands).toHaveLength(5)
  })

  test('nothing may come between tx.commit and commit-ok', async () => {
    const client = await served.opened()
    expect(await served.say(client.send(1, 'tx.select', {}).send(1, 'tx.commit', {}))).toHaveLength(2)
    expect(await served.say(client.send(1, 'tx.commit', {}).send(1, 'tx.select', {}))).toEqual([
      "0 connection.close 504 CHANNEL_ERROR - unexpected command while processing 'tx.commit' (90,10)",
    ])
  })
})

describe('the queue declared last', () => {
  const last = (): unknown[] =>
    served.driver.channel.commands.map(({ command }) => ('queue' in command ? command.queue : command))

  test('stands for an empty name, in each method that has one', async () => {
    const client = await served.opened()
    client.send(1, 'queue.declare', { ...declare, queue: 'a\r\nb' })
    client.send(1, 'queue.bind', bindQ).send(1, 'queue.bind', { ...bindQ, routingKey: 'k' })
    client.send(1, 'queue.bind', { ...bindQ, destination: 'other' })
    client.send(1, 'queue.purge', { queue: '', noWait: false }).send(1, 'basic.get', { queue: '', noAck: true })
    client.send(1, 'basic.consume', { ...consume, queue: '' })
    client.send(1, 'queue.delete', { queue: '', ifUnused: false, ifEmpty: false, noWait: false })
    expect(await served.say(client)).toHaveLength(8)
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
    const client = await served.opened(2)
    await served.say(client.send(2, 'queue.declare', declare))
    expect(await served.say(client.send(1, 'queue.bind', bindQ))).toEqual([
      '1 channel.close 404 NOT_FOUND - no previously declared queue (50,20)',
    ])
    expect((served.driver.session.channels[0] as { isClosed: boolean }).isClosed).toBe(true)
  })

  test('a name loses its line ends where it is declared, bound and deleted, and nowhere else', async () => {
    const client = await served.opened()
    const queue = 'a\r\nb'
    client.send(1, 'queue.declare', { ...declare, queue }).send(1, 'queue.bind', { ...bindQ, destination: queue })
    client.send(1, 'queue.delete', { queue, ifUnused: false, ifEmpty: false, noWait: false })
    client.send(1, 'queue.purge', { queue, noWait: false }).send(1, 'basic.get', { queue, noAck: true })
    await served.say(client.send(1, 'basic.consume', { ...consume, queue }))
    const bind = { type: 'queue.bind', destination: 'ab', exchange: 'x', routingKey: '', arguments: emptyTable }
    expect(last()).toEqual(['ab', bind, 'ab', queue, queue, queue])
  })

  test('waits for a name that the broker makes, and what follows waits too', async () => {
    const client = await served.opened()
    served.driver.answers = null
    const { channel } = served.driver
    Object.assign(channel, { answers: null })
    client.send(1, 'queue.declare', { ...declare, queue: '' }).send(1, 'queue.bind', bindQ)
    client.publish(1, 'k', 'after', false, 'x').send(1, 'basic.ack', { deliveryTag: 1, multiple: false })
    expect(await served.say(client)).toEqual([])
    expect(channel.log).toEqual(['queue.declare'])
    channel.reply({ type: 'queue.declare-ok', queue: 'amq.gen-7', messageCount: 0, consumerCount: 0 })
    await served.settle()
    expect(client.names()).toEqual(['1 queue.declare-ok'])
    expect(channel.log).toEqual(['queue.declare', 'queue.bind', 'publish x/k after', 'ack 1 false'])
    expect(channel.commands[1]?.command).toMatchObject({ destination: 'amq.gen-7', routingKey: 'amq.gen-7' })
  })

  test('an error among what waited closes the channel', async () => {
    const client = await served.opened()
    Object.assign(served.driver.channel, { answers: null })
    client.send(1, 'queue.declare', { ...declare, queue: '' }).send(1, 'queue.bind', bindQ)
    await served.say(client.send(1, 'basic.recover', { requeue: false }))
    served.driver.channel.reply({ type: 'queue.declare-ok', queue: 'g', messageCount: 0, consumerCount: 0 })
    expect((await served.say(client)).at(-1)).toBe('0 connection.close 540 NOT_IMPLEMENTED - requeue=false (60,110)')
  })

  test('a client that sends much while it waits is not read', async () => {
    const client = await served.opened()
    const { channel } = served.driver
    Object.assign(channel, { answers: null })
    client.send(1, 'queue.declare', { ...declare, queue: '' }).send(1, 'queue.bind', bindQ)
    for (let count = 0; count < 100; count++) client.publish(1, 'k', Buffer.alloc(10_000))
    await served.say(client)
    expect(served.network.accepted[0]?.isPaused).toBe(true)
    channel.reply({ type: 'queue.declare-ok', queue: 'g', messageCount: 0, consumerCount: 0 })
    await served.settle()
    expect(served.network.accepted[0]?.isPaused).toBe(false)
    expect(channel.messages).toHaveLength(100)
  })

  test('a client is not read as long as any of its channels holds too much', async () => {
    const client = await served.opened(2)
    const [one, two] = served.driver.session.channels
    for (const channel of [one, two]) Object.assign(channel as object, { answers: null })
    for (const number of [1, 2])
      client.send(number, 'queue.declare', { ...declare, queue: '' }).send(number, 'queue.bind', bindQ)
    for (let count = 0; count < 28; count++) client.publish(1 + (count % 2), 'k', Buffer.alloc(10_000))
    await served.say(client)
    one?.reply({ type: 'queue.declare-ok', queue: 'g', messageCount: 0, consumerCount: 0 })
    await served.settle()
    expect(served.network.accepted[0]?.isPaused).toBe(true)
    two?.reply({ type: 'queue.declare-ok', queue: 'h', messageCount: 0, consumerCount: 0 })
    await served.settle()
    expect(served.network.accepted[0]?.isPaused).toBe(false)
    expect([one?.messages.length, two?.messages.length]).toEqual([14, 14])
  })
})

describe('messages', () => {
  test('are published with their flags, settled one by one or many', async () => {
    const client = await served.opened()
    client.publish(1, 'q', 'one').publish(1, 'k', 'two', true, 'x').publish(1, 'q', '')
    client.send(1, 'basic.ack', { deliveryTag: 2 ** 33 + 5, multiple: true })
    client.send(1, 'basic.nack', { deliveryTag: 1, multiple: true, requeue: false })
    client.send(1, 'basic.nack', { deliveryTag: 1, multiple: false, requeue: true })
    client.send(1, 'basic.reject', { deliveryTag: 3, requeue: true })
    await served.say(client)
    expect(served.driver.channel.log).toEqual([
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
    const client = await served.opened(2)
    const properties = encodeProperties({ messageId: 'm', headers: toTable({ a: 1 }) })
    const message = Message.of('x', 'key', properties, Buffer.from('body'))
    const writes = served.network.accepted[0]?.writes as number
    const [one, two] = served.driver.session.channels.map((channel) => channel.events)
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
    await served.settle()
    expect((served.network.accepted[0]?.writes as number) - writes).toBe(1)
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
    const client = await served.opened()
    const message = Message.of('x', 'k', emptyProperties, Buffer.from('b'))
    served.driver.answers = () => ({
      type: 'basic.get-ok',
      deliveryTag: 4,
      redelivered: true,
      message,
      messageCount: 9,
    })
    await served.say(client.send(2, 'channel.open', {}))
    client.send(2, 'basic.get', { queue: 'q', noAck: false }).flush()
    await served.settle()
    const [got] = client.take()
    expect(got?.args).toEqual({ deliveryTag: 4, redelivered: true, exchange: 'x', routingKey: 'k', messageCount: 9 })
    expect(got?.message?.body.toString()).toBe('b')
  })

  test('a large body is cut into frames of the agreed size', async () => {
    const client = await served.connect()
    await served.say(client.header_())
    await served.say(client.startOk())
    await served.say(
      client.tuneOk(1, 4096).send(0, 'connection.open', { virtualHost: '/' }).send(1, 'channel.open', {}),
    )
    const body = Buffer.alloc(300_000, 'abc')
    const parts: number[] = []
    const original = client.body.bind(client)
    client.body = (channel, buffer, start, end, last) => {
      parts.push(end - start)
      original(channel, buffer, start, end, last)
    }
    served.driver.channel.events.delivered('c', 1, false, Message.of('', 'q', emptyProperties, body))
    served.driver.channel.events.flush()
    await served.settle()
    expect(client.take()[0]?.message?.body.equals(body)).toBe(true)
    expect(Math.max(...parts)).toBeLessThanOrEqual(4088)
  })

  test('a consumer’s end is not told to a client that does not know of it', async () => {
    const client = await served.opened(1, emptyTable)
    served.driver.channel.events.cancelled('c')
    served.driver.channel.events.flush()
    expect(await served.say(client)).toEqual([])
  })

  test('a message too large closes its channel after it was read, the next channel goes on', async () => {
    served = await ServedFake.start({ messageBytesMax: 1000 })
    const client = await served.opened(2)
    expect(
      await served.say(client.publish(1, 'q', Buffer.alloc(1001)).publish(1, 'q', 'lost').publish(2, 'q', 'kept')),
    ).toEqual([
      '1 channel.close 406 PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000 (60,40)',
    ])
    expect(served.driver.session.channels.map(({ log }) => log)).toEqual([['close'], ['publish /q kept']])
  })
})

describe('channels', () => {
  test('close: the channel’s end first, then close-ok; the number is free', async () => {
    const client = await served.opened()
    const close = { replyCode: 200, replyText: '', classId: 0, methodId: 0 }
    expect(await served.say(client.send(1, 'channel.close', close).send(1, 'channel.open', {}))).toEqual([
      '1 channel.close-ok',
      '1 channel.open-ok',
    ])
    expect(served.driver.session.channels.map(({ isClosed }) => isClosed)).toEqual([true, false])
  })

  test('answers that are on their way leave before close-ok', async () => {
    const client = await served.opened()
    const close = { replyCode: 200, replyText: '', classId: 0, methodId: 0 }
    expect(await served.say(client.send(1, 'queue.declare', declare).send(1, 'channel.close', close))).toEqual([
      '1 queue.declare-ok',
      '1 channel.close-ok',
    ])
    expect(served.driver.channel.isClosed).toBe(true)
  })

  test('an error closes it, what follows is dropped until close-ok, then the number is free', async () => {
    const client = await served.opened()
    served.driver.channel.commands.push({ id: 1, command: { type: 'tx.select' } })
    Object.assign(served.driver.channel, { answers: null })
    await served.say(client.send(1, 'queue.declare', declare))
    served.driver.channel.events.failed(1, new BrokerError('PRECONDITION_FAILED', 'inequivalent arg'))
    served.driver.channel.events.flush()
    expect(await served.say(client)).toEqual(['1 channel.close 406 PRECONDITION_FAILED - inequivalent arg (50,10)'])
    const close = { replyCode: 200, replyText: '', classId: 0, methodId: 0 }
    client.publish(1, 'q', 'dropped').send(1, 'queue.declare', declare)
    expect(await served.say(client.send(1, 'channel.close', close))).toEqual(['1 channel.close-ok'])
    expect(served.driver.channel.log).toEqual(['queue.declare'])
    client.send(1, 'channel.close-ok', {}).send(1, 'channel.open', {})
    expect(await served.say(client)).toEqual(['1 channel.open-ok'])
  })

  test('a channel.open before close-ok closes the connection', async () => {
    const client = await served.opened()
    await served.say(client.send(1, 'queue.purge', { queue: '', noWait: false }))
    expect(await served.say(client.send(1, 'channel.open', {}))).toEqual([
      "0 connection.close 504 CHANNEL_ERROR - second 'channel.open' seen (20,10)",
    ])
  })

  test('an error without a command names publish, the kind of settlement, or nothing', async () => {
    const client = await served.opened(3)
    await served.say(client.send(1, 'basic.nack', { deliveryTag: 5, multiple: false, requeue: false }))
    const [one, two, three] = served.driver.session.channels
    one?.events.failed(failedOn.settlement, new BrokerError('PRECONDITION_FAILED', 'unknown delivery tag 5'))
    two?.events.failed(failedOn.publish, new BrokerError('NOT_FOUND', "no exchange 'x' in vhost '/'"))
    three?.events.failed(failedOn.nothing, new BrokerError('PRECONDITION_FAILED', 'timed out'))
    three?.events.flush()
    expect(await served.say(client)).toEqual([
      '1 channel.close 406 PRECONDITION_FAILED - unknown delivery tag 5 (60,120)',
      "2 channel.close 404 NOT_FOUND - no exchange 'x' in vhost '/' (60,40)",
      '3 channel.close 406 PRECONDITION_FAILED - timed out (0,0)',
    ])
  })

  test('a hard error closes the connection', async () => {
    const client = await served.opened()
    Object.assign(served.driver.channel, { answers: null })
    await served.say(client.send(1, 'basic.consume', consume))
    served.driver.channel.events.failed(1, new BrokerError('NOT_ALLOWED', "attempt to reuse consumer tag 'c'"))
    expect(await served.say(client)).toEqual([
      "0 connection.close 530 NOT_ALLOWED - attempt to reuse consumer tag 'c' (60,20)",
    ])
  })
})
