// What the broker is asked in messages, by any client: the exchange leveret.control.
import { describe, expect, test } from 'vitest'
import { type Command, type Reply, zeroCounters } from '../model/command.ts'
import type { Field } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import { Message } from '../model/message.ts'
import { encodeProperties, type Properties } from '../model/properties.ts'
import { ControlledStore } from '../testing/controlled-store.ts'
import { bindCommand, type CoreChannel, declareExchange, declareQueue, openCore } from '../testing/core-harness.ts'

const control = 'leveret.control'

/** A channel, and a queue `answers` that nobody consumes. */
async function open(): Promise<CoreChannel> {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('answers', { exclusive: true })
  channel.takeLines()
  return channel
}

interface Answer {
  readonly properties: Properties
  readonly value: unknown
}

function answers(channel: CoreChannel): Answer[] {
  const found: Answer[] = []
  for (;;) {
    const reply: Reply = channel.get('answers', true)
    if (reply.type !== 'basic.get-ok') return found
    const { message } = reply
    expect([message.exchange, message.routingKey, message.persistent]).toEqual(['', 'answers', false])
    found.push({ properties: message.decodeProperties(), value: JSON.parse(message.body.toString()) as unknown })
  }
}

function ask(
  channel: CoreChannel,
  key: string,
  properties: Properties = { replyTo: 'answers' },
  mandatory = false,
): void {
  channel.post(control, key, 'request', { properties, mandatory })
}

describe('a request for queues', () => {
  test('is answered with all of them, in JSON, to where it says', async () => {
    const channel = await open()
    channel.declareQueue('jobs', { durable: true, autoDelete: true, arguments: { 'x-own': 1 } })
    channel.publish('', 'jobs', 'one')
    channel.publish('', 'jobs', 'three')
    channel.get('jobs')
    ask(channel, 'queues', { replyTo: 'answers', correlationId: 'c-1', deliveryMode: 2 })
    const [answer, ...others] = answers(channel)
    expect(others).toEqual([])
    expect(answer?.properties).toEqual({
      contentType: 'application/json',
      deliveryMode: 1,
      correlationId: 'c-1',
      type: 'leveret.queues-ok',
    })
    const counters = zeroCounters
    expect(answer?.value).toEqual([
      {
        name: 'answers',
        durable: false,
        durability: 'none',
        deliverAfter: 'accept',
        exclusive: true,
        autoDelete: false,
        paused: false,
        arguments: {},
        ready: 0,
        readyBytes: 0,
        unacked: 0,
        delayed: 0,
        consumers: 0,
        counters,
        flow: null,
      },
      {
        name: 'jobs',
        durable: true,
        durability: 'none',
        deliverAfter: 'accept',
        exclusive: false,
        autoDelete: true,
        paused: false,
        arguments: { 'x-own': 1 },
        ready: 1,
        readyBytes: 5,
        unacked: 1,
        delayed: 0,
        consumers: 0,
        counters: { ...counters, published: 2, publishedBytes: 8, delivered: 1, deliveredBytes: 3 },
        flow: expect.objectContaining({ arrivals: 2, waiting: 1, working: 0, servers: 0 }) as unknown,
      },
    ])
  })

  test('needs no correlation id', async () => {
    const channel = await open()
    ask(channel, 'queues')
    const [answer] = answers(channel)
    expect(answer?.properties.type).toBe('leveret.queues-ok')
    expect(answer?.properties).not.toHaveProperty('correlationId')
  })

  test('tells arguments of every type as plain values', async () => {
    const channel = await open()
    const fields: [string, Field][] = [
      ['bytes', { tag: 'x', value: Buffer.from('hare') }],
      ['large', { tag: 'l', value: 2n ** 60n }],
      ['time', { tag: 'T', value: 1_700_000_000 }],
      ['decimal', { tag: 'D', value: { scale: 2, value: 150 } }],
      ['nothing', { tag: 'V', value: null }],
      ['endless', { tag: 'd', value: Number.POSITIVE_INFINITY }],
      ['list', { tag: 'A', value: [{ tag: 't', value: true }] }],
      ['__proto__', { tag: 'F', value: new Map([['inner', { tag: 'S', value: 'text' }]]) }],
    ]
    channel.ask({ ...declareQueue('odd'), arguments: new Map(fields) } as ReturnType<typeof declareQueue>)
    ask(channel, 'queues')
    const queues = answers(channel)[0]?.value as { name: string; arguments: object }[]
    const found = queues.find(({ name }) => name === 'odd')?.arguments
    expect(JSON.stringify(found)).toBe(
      JSON.stringify({
        bytes: 'aGFyZQ==',
        large: '1152921504606846976',
        time: 1_700_000_000,
        decimal: 1.5,
        nothing: null,
        endless: null,
        list: [true],
        ['__proto__']: { inner: 'text' },
      }),
    )
  })

  test('is refused when the answer would be larger than a message may be', async () => {
    const channel = await open()
    const text = 'x'.repeat(1_000_000)
    for (let count = 0; count * text.length < limits.messageBytesMax; count++) {
      channel.declareQueue(`q${count}`, { arguments: { text } })
    }
    ask(channel, 'queues')
    const [answer] = answers(channel)
    expect(answer?.properties.type).toBe('leveret.error')
    expect(answer?.value).toEqual({
      code: 'RESOURCE_ERROR',
      text: `the description of 18 queues has more than ${limits.messageBytesMax} bytes`,
    })
  })

  test('in a transaction is answered at the commit, and after a rollback not at all', async () => {
    const channel = await open()
    channel.ask({ type: 'tx.select' })
    ask(channel, 'queues', { replyTo: 'answers', correlationId: 'rolled back' })
    channel.ask({ type: 'tx.rollback' })
    ask(channel, 'queues', { replyTo: 'answers', correlationId: 'committed' })
    ask(channel, 'queues', {}, true)
    expect(answers(channel)).toEqual([])
    channel.takeLines()
    channel.ask({ type: 'tx.commit' })
    expect(channel.takeLines()).toEqual(['return NO_ROUTE request', expect.stringMatching(/ ok$/)])
    expect(answers(channel).map(({ properties }) => properties.correlationId)).toEqual(['committed'])
  })
})

describe('a request that cannot be answered', () => {
  test('for its command is told so', async () => {
    const channel = await open()
    ask(channel, 'exchanges', { replyTo: 'answers', correlationId: '7' })
    const [answer] = answers(channel)
    expect(answer?.properties).toMatchObject({ type: 'leveret.error', correlationId: '7' })
    expect(answer?.value).toEqual({
      code: 'NOT_IMPLEMENTED',
      text: "there is no command 'exchanges', see docs/protocol.md for those there are",
    })
  })

  test('for want of a queue to answer to is unroutable: returned if mandatory, confirmed as usual', async () => {
    const channel = await open()
    channel.ask({ type: 'confirm.select' })
    channel.takeLines()
    ask(channel, 'queues', {})
    ask(channel, 'nonsense', {}, true)
    ask(channel, 'queues', { replyTo: 'nowhere' }, true)
    ask(channel, 'queues', { replyTo: 'answers' }, true)
    channel.declareQueue('settled')
    expect(channel.takeLines()).toEqual([
      'return NO_ROUTE request',
      'return NO_ROUTE request',
      '3 queue.declare-ok settled 0 0',
      'confirm up to 4',
    ])
    expect(channel.error).toBeNull()
    expect(answers(channel)).toHaveLength(1)
  })

  test('for properties that cannot be read harms nobody', async () => {
    const channel = await open()
    const whole = encodeProperties({ headers: new Map([['a', { tag: 'S', value: 'b' }]]), replyTo: 'answers' })
    whole[whole.indexOf('S'.charCodeAt(0))] = '?'.charCodeAt(0)
    channel.port.publish(Message.of(control, 'queues', whole, Buffer.from('unreadable')), true)
    const wide = encodeProperties({ correlationId: 'x'.repeat(200), replyTo: 'answers' })
    wide.fill(0xff, 3, 203)
    channel.port.publish(Message.of(control, 'queues', wide, Buffer.from('unwritable')), true)
    expect(answers(channel)).toEqual([])
    expect(channel.takeLines().slice(0, 2)).toEqual(['return NO_ROUTE unreadable', 'return NO_ROUTE unwritable'])
  })
})

describe('the exchange leveret.control', () => {
  test('is there, also for whoever declares it as it is', async () => {
    const channel = await open()
    channel.declareExchange(control, '', { passive: true })
    channel.declareExchange(control, 'direct', { durable: true })
  })

  test.each<[Command, string]>([
    [declareExchange(control, 'fanout', { durable: true }), 'PRECONDITION_FAILED - inequivalent arg '],
    [declareExchange(control, 'direct'), 'PRECONDITION_FAILED - inequivalent arg '],
    [
      declareExchange('leveret.own', 'direct'),
      "ACCESS_REFUSED - exchange name 'leveret.own' contains reserved prefix 'leveret.*'",
    ],
    [
      { type: 'exchange.delete' as const, exchange: control, ifUnused: false },
      `ACCESS_REFUSED - deletion of system exchange '${control}' in vhost '/' not allowed`,
    ],
    ...(['bind', 'unbind'] as const).flatMap((verb) =>
      [
        bindCommand(`queue.${verb}`, 'answers', control, 'queues'),
        bindCommand(`exchange.${verb}`, 'amq.fanout', control, 'queues'),
        bindCommand(`exchange.${verb}`, control, 'amq.fanout', ''),
      ].map((command): [Command, string] => [
        command,
        `ACCESS_REFUSED - operation not permitted on the exchange '${control}'`,
      ]),
    ),
  ])('refuses %j', async (command, text) => {
    const channel = await open()
    expect(channel.refusal(command)).toContain(text)
  })

  test('takes its name from no queue', async () => {
    const channel = await open()
    channel.declareQueue(control)
    channel.bind(control, 'amq.fanout')
    channel.publish('amq.fanout', '', 'for the queue')
    channel.unbind(control, 'amq.fanout')
    expect(channel.drain(control)).toEqual(['for the queue'])
  })

  test('and its traffic are nothing to remember', async () => {
    const store = new ControlledStore()
    const core = await openCore({ store })
    const channel = await core.channel()
    channel.ask(declareQueue('answers'))
    channel.publish(control, 'queues', '', { persistent: true, properties: { replyTo: 'answers' } })
    store.commit()
    expect(store.frames.flat()).toEqual([])
    const remembered: string[] = []
    core.broker.durableTopology(({ type }) => remembered.push(type))
    expect(remembered).toEqual([])
  })
})

describe('what administrators ask', () => {
  const administered = async (key: string, body: object | string, user: string | null = null) => {
    const core = await openCore()
    const host = await core.channel()
    const put = { type: 'leveret.put-user', user: 'u', passwordHash: '', hashing: 'sha256' } as const
    host.ask({ ...put, tags: [] })
    const everything = { configure: '.*', write: '.*', read: '.*' }
    host.ask({ type: 'leveret.put-permission', user: 'u', virtualHost: '/', ...everything })
    const channel = user === null ? await core.channel() : await core.channelOf(user)
    channel.declareQueue('answers', { exclusive: true })
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const properties = { replyTo: 'answers', correlationId: '7' }
    channel.post(control, key, text, { properties, mandatory: true })
    for (let turn = 0; turn < 5; turn++) {
      await Promise.resolve()
      core.settle()
    }
    return { core, channel, host }
  }

  test('is done, and they are told', async () => {
    const { core, channel } = await administered('put-virtual-host', { virtualHost: 'h', metadata: {} })
    const [answer] = answers(channel)
    expect(answer?.properties).toMatchObject({ type: 'leveret.ok', correlationId: '7' })
    expect(answer?.value).toEqual({})
    await core.session(null, 'h')
  })

  test('is answered with definitions, if they want those', async () => {
    const { channel } = await administered('export-definitions', { virtualHost: null, withHashes: false })
    const [answer] = answers(channel)
    expect(answer?.properties).toMatchObject({ type: 'leveret.definitions' })
    expect(answer?.value).toMatchObject({ users: [{ name: 'guest' }, { name: 'u' }] })
  })

  test.each([
    ['put-virtual-host', '{', 'PRECONDITION_FAILED', 'put-virtual-host: its body is no JSON'],
    ['delete-user', { user: 'nobody' }, 'NOT_FOUND', "user 'nobody' not found"],
  ])('is refused with the reason: %s %j', async (key, body, code, text) => {
    const { channel } = await administered(key, body)
    expect(answers(channel).map(({ value }) => value)).toEqual([{ code, text }])
    expect(channel.error).toBeNull()
  })

  test('is refused to others, whose channels go on', async () => {
    const { channel, host } = await administered('delete-user', { user: 'guest' }, 'u')
    const text = "the command 'leveret.delete-user' refused for user 'u'"
    expect(answers(channel).map(({ value }) => value)).toEqual([{ code: 'ACCESS_REFUSED', text }])
    expect(channel.error).toBeNull()
    expect(host.refusal({ type: 'leveret.delete-user', user: 'guest' })).toBe('')
  })

  test('is not done if nobody can be answered', async () => {
    const core = await openCore()
    const channel = await core.channel()
    const body = JSON.stringify({ user: 'guest' })
    channel.post(control, 'delete-user', body, { properties: { replyTo: 'missing' }, mandatory: true })
    channel.post(control, 'delete-user', body, { mandatory: true })
    await Promise.resolve()
    core.settle()
    expect(channel.takeLines().filter((line) => line.startsWith('return'))).toHaveLength(2)
    await core.session({ user: 'guest', password: 'guest' })
  })

  test('is answered when it is on the disk, not before', async () => {
    const store = new ControlledStore()
    const core = await openCore({ store })
    const channel = await core.channel()
    channel.declareQueue('answers', { exclusive: true })
    const body = JSON.stringify({ virtualHost: 'h', metadata: {} })
    channel.post(control, 'put-virtual-host', body, { properties: { replyTo: 'answers' } })
    for (let turn = 0; turn < 5; turn++) {
      await Promise.resolve()
      core.settle()
    }
    expect(answers(channel)).toEqual([])
    store.sync()
    core.settle()
    expect(answers(channel).map(({ properties }) => properties.type)).toEqual(['leveret.ok'])
  })
})
