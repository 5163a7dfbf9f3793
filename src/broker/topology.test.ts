// Declaring, binding and deleting: the rules, and RabbitMQ's words where they are refused.
import { describe, expect, test } from 'vitest'
import { toTable } from '../model/field-table.ts'
import { ControlledStore } from '../testing/controlled-store.ts'
import {
  bindCommand,
  type Core,
  type CoreChannel,
  declareExchange,
  declareQueue,
  openCore,
} from '../testing/core-harness.ts'

const locked =
  "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on " +
  'another connection or the exclusive property value does not match that of the original declaration.'

async function open(): Promise<CoreChannel> {
  const core = await openCore()
  return core.channel()
}

describe('queue.declare', () => {
  test('answers with the name and how many messages are ready and consumers there are', async () => {
    const channel = await open()
    channel.declareQueue('q')
    for (const body of ['1', '2', '3']) channel.publish('', 'q', body)
    channel.get('q')
    channel.consume('q', { tag: 'c' })
    channel.qos(1)
    channel.takeLines()
    channel.declareQueue('q', { passive: true, durable: true, autoDelete: true })
    expect(channel.takeLines()).toEqual(['5 queue.declare-ok q 0 1'])
  })

  test('makes a name when it is given none, another one each time', async () => {
    const channel = await open()
    const names = [channel.declareQueue(''), channel.declareQueue('')].map((reply) => 'queue' in reply && reply.queue)
    expect(names[0]).toMatch(/^amq\.gen-[\w-]{22}$/)
    expect(names[0]).not.toBe(names[1])
  })

  test('passive, finds a queue without looking at its properties, and closes the channel if there is none', async () => {
    const channel = await open()
    channel.declareQueue('q', { autoDelete: true })
    channel.declareQueue('q', { passive: true, durable: true, arguments: { 'x-queue-type': 'quorum' } })
    expect(channel.refusal(declareQueue('missing', { passive: true }))).toBe(
      "NOT_FOUND - no queue 'missing' in vhost '/'",
    )
  })

  test.each([
    [{ durable: true }, {}, "durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"],
    [{}, { durable: true }, "durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"],
    [{}, { autoDelete: true }, "auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'"],
    [{ durable: true }, { autoDelete: true }, "durable' for queue"],
    [
      { arguments: { 'x-max-length': 2000 } },
      { arguments: { 'x-max-length': 1000 } },
      "x-max-length' for queue 'q' in vhost '/': received '1000' but current is '2000'",
    ],
    [
      { arguments: { 'x-dead-letter-exchange': 'a' } },
      {},
      "x-dead-letter-exchange' for queue 'q' in vhost '/': received none but current is the value 'a' of type 'longstr'",
    ],
    [
      {},
      { arguments: { 'x-single-active-consumer': true } },
      "received the value 'true' of type 'bool' but current is none",
    ],
  ])('refuses other properties than %j when given %j', async (first, second, text) => {
    const channel = await open()
    channel.declareQueue('q', first)
    const refusal = channel.refusal(declareQueue('q', second))
    expect(refusal).toContain('PRECONDITION_FAILED - inequivalent arg ')
    expect(refusal).toContain(text)
  })

  test('takes integers of another width, arguments that mean nothing and an explicit classic type as the same', async () => {
    const channel = await open()
    channel.declareQueue('q', { arguments: { 'x-expires': 60_000, comment: 'a', 'x-own': 1 } })
    channel.ask({
      ...(declareQueue('q') as object),
      arguments: new Map([['x-expires', { tag: 'I', value: 60_000 }]]),
    } as never)
    channel.declareQueue('q', { arguments: { 'x-expires': 60_000, 'x-queue-type': 'classic' } })
  })

  test.each([
    ['x-expires', 0, '{value_zero,0}'],
    ['x-expires', 'soon', '"expected integer, got longstr"'],
    ['x-message-ttl', -1, '{value_negative,-1}'],
    ['x-message-ttl', 315_360_000_001, '{value_too_large,315360000001}'],
    ['x-max-length', -1, '{value_negative,-1}'],
    ['x-max-length-bytes', true, '"expected integer, got bool"'],
    ['x-max-priority', 256, '{max_value_exceeded,256}'],
    ['x-max-length', 1.5, '"expected integer, got double"'],
    ['x-queue-mode', 'fast', `"unsupported queue mode 'fast'"`],
    ['x-queue-mode', 5, '{unacceptable_type,long}'],
    ['x-queue-version', 3, `"unsupported queue version '3'"`],
    ['x-overflow', 'drop-tail', 'invalid_overflow'],
    ['x-overflow', 1, '{unacceptable_type,long}'],
    ['x-single-active-consumer', 1, '{unacceptable_type,long}'],
    ['x-consumer-timeout', -1, '{value_negative,-1}'],
    ['x-queue-type', 1, '{unacceptable_type,long}'],
    ['x-queue-type', 'odd', `"unsupported queue type 'odd'"`],
    ['x-queue-type', 'stream', "there are no streams in Leveret: take 'classic' or 'quorum'"],
    ['x-leveret-delays-for', 'x', 'only the broker gives it'],
  ])('refuses %s = %j', async (name, value, reason) => {
    const channel = await open()
    expect(channel.refusal(declareQueue('q', { arguments: { [name]: value } }))).toBe(
      `PRECONDITION_FAILED - invalid arg '${name}' for queue 'q' in vhost '/': ${reason}`,
    )
    expect(channel.sibling().has('q')).toBe(false)
  })

  test.each([
    ['quorum', 'x-max-priority', 5],
    ['classic', 'x-delivery-limit', 5],
  ])('refuses for the type %s what only the other has: %s', async (type, name, value) => {
    const channel = await open()
    const table = { 'x-queue-type': type, [name]: value }
    expect(channel.refusal(declareQueue('q', { durable: true, arguments: table }))).toBe(
      `PRECONDITION_FAILED - invalid arg '${name}' for queue 'q' in vhost '/' of queue type rabbit_${type}_queue`,
    )
  })

  test.each([
    [{}, "invalid property 'non-durable'"],
    [{ durable: true, exclusive: true }, "invalid property 'exclusive-owner'"],
    [{ durable: true, autoDelete: true }, "invalid property 'auto-delete'"],
  ])('refuses the type quorum for a queue that is %j', async (options, reason) => {
    const channel = await open()
    expect(channel.refusal(declareQueue('q', { ...options, arguments: { 'x-queue-type': 'quorum' } }))).toBe(
      `PRECONDITION_FAILED - ${reason} for queue 'q' in vhost '/'`,
    )
  })

  test('makes no name for the type quorum, and none of one type is the same as one of the other', async () => {
    const channel = await open()
    const quorum = { durable: true, arguments: { 'x-queue-type': 'quorum' } }
    channel.declareQueue('q', quorum)
    expect(channel.sibling().refusal(declareQueue('q', { durable: true }))).toBe(
      "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': " +
        "received the value 'classic' of type 'longstr' but current is the value 'quorum' of type 'longstr'",
    )
    expect(channel.refusal(declareQueue('', quorum))).toBe(
      'PRECONDITION_FAILED - Cannot declare a server-named queue for type quorum',
    )
  })

  test('refuses a name that begins with amq., even one that exists, unless it is passive', async () => {
    const channel = await open()
    const made = channel.declareQueue('')
    const name = 'queue' in made ? made.queue : ''
    channel.declareQueue(name, { passive: true })
    expect(channel.refusal(declareQueue(name))).toBe(
      `ACCESS_REFUSED - queue name '${name}' contains reserved prefix 'amq.*'`,
    )
  })

  test('refuses a name of more than 255 bytes', async () => {
    const channel = await open()
    channel.declareQueue('ä'.repeat(127))
    expect(channel.refusal(declareQueue('ä'.repeat(128)))).toContain(
      'PRECONDITION_FAILED - the queue name has 256 bytes',
    )
  })
})

describe('an exclusive queue', () => {
  async function two(): Promise<[CoreChannel, CoreChannel, Core]> {
    const core = await openCore()
    const owner = await core.channel()
    const other = await core.channel()
    owner.declareQueue('q', { exclusive: true })
    owner.bind('q', 'amq.topic', 'bound')
    return [owner, other, core]
  }

  test.each([
    ['declared', declareQueue('q', { exclusive: true })],
    ['declared as shared', declareQueue('q')],
    ['declared passively', declareQueue('q', { passive: true })],
    ['bound', bindCommand('queue.bind', 'q', 'amq.fanout', '')],
    ['unbound', bindCommand('queue.unbind', 'q', 'amq.topic', 'bound')],
    ['purged', { type: 'queue.purge' as const, queue: 'q' }],
    ['deleted', { type: 'queue.delete' as const, queue: 'q', ifUnused: false, ifEmpty: false }],
    ['read', { type: 'basic.get' as const, queue: 'q', noAck: true }],
    [
      'consumed',
      {
        type: 'basic.consume' as const,
        queue: 'q',
        consumerTag: '',
        noAck: true,
        exclusive: false,
        arguments: toTable({}),
      },
    ],
  ])('cannot be %s by another connection', async (_what, command) => {
    const [owner, other] = await two()
    expect(other.refusal(command)).toBe(locked)
    expect(owner.has('q')).toBe(true)
  })

  test('can be unbound by anybody from what it is not bound to: nothing happens', async () => {
    const [, other] = await two()
    other.unbind('q', 'amq.topic', 'other')
  })

  test('can be published to by everybody and used on every channel of its connection', async () => {
    const [owner, other] = await two()
    other.publish('', 'q', 'x')
    expect(owner.sibling().getBody('q')).toBe('x')
  })

  test('may be declared again by its owner, durable or not, for it cannot outlive the connection anyway', async () => {
    const [owner] = await two()
    owner.declareQueue('q', { exclusive: true, durable: true })
    owner.declareQueue('q', { exclusive: true, durable: false })
  })

  test('may not be declared again as a shared one, not even by its owner', async () => {
    const [owner] = await two()
    expect(owner.refusal(declareQueue('q'))).toBe(locked)
  })

  test('is not what a shared queue becomes by declaring it exclusive', async () => {
    const channel = await open()
    channel.declareQueue('q')
    expect(channel.refusal(declareQueue('q', { exclusive: true }))).toBe(locked)
  })

  test('outlives the channel that declared it, and goes with the connection', async () => {
    const core = await openCore()
    const session = await core.session()
    const observer = await core.channel()
    const channel = session.channel()
    channel.declareQueue('q', { exclusive: true, durable: true })
    channel.close()
    expect(observer.has('q')).toBe(true)
    await session.close()
    expect(observer.has('q')).toBe(false)
  })
})

describe('queue.delete', () => {
  test('tells how many messages were ready, and that there were none if there is no such queue', async () => {
    const channel = await open()
    channel.declareQueue('q')
    for (const body of ['1', '2', '3']) channel.publish('', 'q', body)
    channel.get('q')
    expect(channel.deleteQueue('q')).toEqual({ type: 'queue.delete-ok', messageCount: 2 })
    expect(channel.deleteQueue('q')).toEqual({ type: 'queue.delete-ok', messageCount: 0 })
    channel.ack(1)
    expect(channel.error).toBe(null)
  })

  test('spares a queue in use or not empty if asked to, and looks at its messages first', async () => {
    const channel = await open()
    channel.declareQueue('q')
    const used = channel.sibling()
    used.consume('q', { tag: 'c' })
    expect(channel.refusal({ type: 'queue.delete', queue: 'q', ifUnused: true, ifEmpty: true })).toBe(
      "PRECONDITION_FAILED - queue 'q' in vhost '/' in use",
    )
    used.qos(1)
    used.cancel('c')
    used.publish('', 'q', '1')
    expect(used.sibling().refusal({ type: 'queue.delete', queue: 'q', ifUnused: true, ifEmpty: true })).toBe(
      "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty",
    )
    used.get('q')
    used.deleteQueue('q', true, true)
    expect(used.has('q')).toBe(false)
  })

  test('looks at messages before it looks at consumers', async () => {
    const channel = await open()
    channel.declareQueue('q')
    channel.qos(1)
    channel.consume('q')
    channel.publish('', 'q', '1')
    channel.publish('', 'q', '2')
    expect(channel.refusal({ type: 'queue.delete', queue: 'q', ifUnused: true, ifEmpty: true })).toContain('not empty')
  })

  test('ends the consumers of every channel, and on its own is answered before they are told', async () => {
    const channel = await open()
    const other = channel.sibling()
    channel.declareQueue('q')
    channel.consume('q', { tag: 'mine' })
    channel.consume('q', { tag: 'mine too' })
    other.consume('q', { tag: 'theirs' })
    channel.takeLines()
    channel.deleteQueue('q')
    expect(channel.takeLines()).toEqual(['4 queue.delete-ok 0', 'cancel mine', 'cancel mine too'])
    expect(other.takeLines()).toEqual(['1 basic.consume-ok theirs', 'cancel theirs'])
    channel.declareQueue('q')
    channel.consume('q', { tag: 'mine' })
    expect(channel.counts('q')?.consumers).toBe(1)
  })

  test('takes the bindings with it', async () => {
    const channel = await open()
    channel.declareQueue('q')
    channel.bind('q', 'amq.fanout')
    channel.deleteQueue('q')
    channel.declareQueue('q')
    channel.publish('amq.fanout', '', 'x')
    expect(channel.drain('q')).toEqual([])
  })
})

describe('queue.purge', () => {
  test('removes what is ready, not what consumers hold', async () => {
    const channel = await open()
    channel.declareQueue('q')
    for (const body of ['1', '2', '3']) channel.publish('', 'q', body)
    channel.get('q')
    expect(channel.ask({ type: 'queue.purge', queue: 'q' })).toEqual({ type: 'queue.purge-ok', messageCount: 2 })
    expect(channel.counts('q')).toEqual({ ready: 0, unacked: 1, consumers: 0 })
    channel.reject(1, true)
    expect(channel.drain('q')).toEqual(['1!'])
    expect(channel.refusal({ type: 'queue.purge', queue: 'missing' })).toBe(
      "NOT_FOUND - no queue 'missing' in vhost '/'",
    )
  })
})

describe('an auto-delete queue', () => {
  test('lives until its last consumer leaves, but not before the first came; basic.get is none', async () => {
    const channel = await open()
    channel.declareQueue('q', { autoDelete: true })
    channel.get('q')
    channel.consume('q', { tag: '1' })
    channel.consume('q', { tag: '2' })
    channel.cancel('1')
    expect(channel.has('q')).toBe(true)
    channel.cancel('2')
    expect(channel.has('q')).toBe(false)
  })

  test.each(['closes', 'fails'])('goes when the channel of its consumers %s', async (how) => {
    const channel = await open()
    const other = channel.sibling()
    channel.declareQueue('q', { autoDelete: true })
    other.consume('q')
    other.consume('q')
    if (how === 'closes') other.close()
    else other.ack(99)
    expect(channel.has('q')).toBe(false)
  })

  test('does not go when it is another channel that closes', async () => {
    const channel = await open()
    const other = channel.sibling()
    channel.declareQueue('q', { autoDelete: true })
    channel.consume('q')
    other.consume('q')
    other.close()
    expect(channel.has('q')).toBe(true)
  })

  test('takes auto-delete exchanges with it', async () => {
    const channel = await open()
    channel.declareExchange('x', 'fanout', { autoDelete: true })
    channel.declareQueue('q', { autoDelete: true })
    channel.bind('q', 'x')
    channel.consume('q', { tag: 'c' })
    channel.cancel('c')
    expect(channel.refusal(declareExchange('x', '', { passive: true }))).toBe(
      "NOT_FOUND - no exchange 'x' in vhost '/'",
    )
  })
})

describe('exchange.declare', () => {
  test('finds the predeclared exchanges', async () => {
    const channel = await open()
    for (const kind of ['direct', 'fanout', 'topic', 'headers']) {
      channel.declareExchange(`amq.${kind}`, kind, { durable: true })
    }
    channel.declareExchange('amq.match', 'headers', { durable: true })
    channel.declareExchange('amq.match', 'nonsense', { passive: true })
  })

  test.each([
    ['fanout', {}, "'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'"],
    ['direct', { durable: true }, "'durable' for exchange 'x' in vhost '/': received 'true' but current is 'false'"],
    ['direct', { autoDelete: true }, "'auto_delete' for exchange 'x' in vhost '/': received 'true'"],
    ['direct', { internal: true }, "'internal' for exchange 'x' in vhost '/': received 'true'"],
    ['fanout', { durable: true, internal: true }, "'type' for exchange"],
  ])('refuses to change an exchange to %s %j', async (kind, options, text) => {
    const channel = await open()
    channel.declareExchange('x', 'direct')
    channel.declareExchange('x', 'direct', { arguments: { 'x-own': 1 } })
    const refusal = channel.refusal(declareExchange('x', kind, options))
    expect(refusal).toContain('PRECONDITION_FAILED - inequivalent arg ')
    expect(refusal).toContain(text)
  })

  test.each([
    [declareExchange('x', 'x-odd'), "PRECONDITION_FAILED - unknown exchange type 'x-odd'"],
    [declareExchange('', 'x-odd'), "PRECONDITION_FAILED - unknown exchange type 'x-odd'"],
    [declareExchange('', 'direct'), 'ACCESS_REFUSED - operation not permitted on the default exchange'],
    [declareExchange('', '', { passive: true }), 'ACCESS_REFUSED - operation not permitted on the default exchange'],
    [declareExchange('amq.own', 'direct'), "ACCESS_REFUSED - exchange name 'amq.own' contains reserved prefix 'amq.*'"],
    [declareExchange('x', 'direct', { passive: true }), "NOT_FOUND - no exchange 'x' in vhost '/'"],
    [
      declareExchange('x'.repeat(256), 'direct'),
      'PRECONDITION_FAILED - the exchange name has 256 bytes, at most 255 fit',
    ],
    [
      declareExchange('x', 'direct', { arguments: { 'alternate-exchange': 5 } }),
      "PRECONDITION_FAILED - invalid type 'long' for arg 'alternate-exchange' in exchange 'x' in vhost '/'",
    ],
    [
      declareExchange('x', 'x-delayed-message'),
      "PRECONDITION_FAILED - invalid arg 'x-delayed-type' for exchange 'x' in vhost '/': must be an existing exchange type",
    ],
    [
      declareExchange('x', 'x-consistent-hash', { arguments: { 'hash-property': 'type' } }),
      'PRECONDITION_FAILED - Unsupported property type, it must be one of correlation_id, message_id, timestamp',
    ],
  ])('refuses %j', async (command, text) => {
    const channel = await open()
    expect(channel.refusal(command)).toBe(text)
  })

  test('refuses another alternate exchange for one that exists', async () => {
    const channel = await open()
    channel.declareExchange('x', 'direct', { arguments: { 'alternate-exchange': 'one' } })
    channel.declareExchange('x', 'direct', { arguments: { 'alternate-exchange': 'one', 'x-own': 2 } })
    expect(channel.refusal(declareExchange('x', 'direct', { arguments: { 'alternate-exchange': 'two' } }))).toBe(
      "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': " +
        "received 'two' but current is 'one'",
    )
  })
})

describe('exchange.delete', () => {
  test('is content if there is nothing to delete, and spares an exchange in use if asked to', async () => {
    const channel = await open()
    channel.deleteExchange('missing')
    channel.declareExchange('x', 'direct')
    channel.declareQueue('q')
    channel.bind('q', 'x', 'k')
    channel.bindExchange('x', 'amq.fanout')
    expect(channel.refusal({ type: 'exchange.delete', exchange: 'x', ifUnused: true })).toBe(
      "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use",
    )
    const other = channel.sibling()
    other.unbind('q', 'x', 'k')
    // What counts as use are the bindings it is the source of.
    other.deleteExchange('x', true)
    other.publish('x', '', '1')
    expect(other.error?.message).toBe("NOT_FOUND - no exchange 'x' in vhost '/'")
  })

  test.each([
    ['', 'ACCESS_REFUSED - operation not permitted on the default exchange'],
    ['amq.fanout', "ACCESS_REFUSED - deletion of system exchange 'amq.fanout' in vhost '/' not allowed"],
  ])("refuses to delete '%s'", async (exchange, text) => {
    const channel = await open()
    expect(channel.refusal({ type: 'exchange.delete', exchange, ifUnused: false })).toBe(text)
  })
})

describe('bind and unbind', () => {
  test.each([
    [bindCommand('queue.bind', 'q', 'missing', ''), "NOT_FOUND - no exchange 'missing' in vhost '/'"],
    [bindCommand('queue.bind', 'missing', 'amq.fanout', ''), "NOT_FOUND - no queue 'missing' in vhost '/'"],
    [bindCommand('exchange.bind', 'missing', 'amq.fanout', ''), "NOT_FOUND - no exchange 'missing' in vhost '/'"],
    [bindCommand('queue.bind', 'q', '', 'k'), 'ACCESS_REFUSED - operation not permitted on the default exchange'],
    [bindCommand('queue.unbind', 'q', '', 'q'), 'ACCESS_REFUSED - operation not permitted on the default exchange'],
    [
      bindCommand('exchange.bind', '', 'amq.fanout', ''),
      'ACCESS_REFUSED - operation not permitted on the default exchange',
    ],
    [
      bindCommand('exchange.unbind', '', 'amq.fanout', ''),
      'ACCESS_REFUSED - operation not permitted on the default exchange',
    ],
  ])('refuse %j', async (command, text) => {
    const channel = await open()
    channel.declareQueue('q')
    expect(channel.refusal(command)).toBe(text)
  })

  test('are content with what is there already, or is not there at all', async () => {
    const channel = await open()
    channel.declareQueue('q')
    channel.bind('q', 'amq.direct', 'k', { a: 1, b: 2 })
    channel.bind('q', 'amq.direct', 'k', { b: 2, a: 1 })
    channel.unbind('q', 'amq.direct', 'other')
    channel.unbind('q', 'missing', 'k')
    channel.unbind('missing', 'amq.direct', 'k')
    channel.unbindExchange('missing', 'amq.direct', 'k')
    channel.publish('amq.direct', 'k', 'x')
    expect(channel.drain('q')).toEqual(['x'])
    channel.unbind('q', 'amq.direct', 'k', { b: 2, a: 1 })
    channel.publish('amq.direct', 'k', 'x')
    expect(channel.drain('q')).toEqual([])
  })
})

describe('what is declared durable', () => {
  async function durable(): Promise<[CoreChannel, ControlledStore]> {
    const store = new ControlledStore()
    const core = await openCore({ store })
    return [await core.channel(), store]
  }

  test('is recorded, and what is not is not; a binding is as durable as both its ends', async () => {
    const [channel, store] = await durable()
    channel.give(declareQueue('durable', { durable: true }))
    channel.give(declareQueue('transient'))
    channel.give(declareQueue('exclusive', { durable: true, exclusive: true }))
    channel.give(declareExchange('x', 'fanout', { durable: true }))
    channel.give(declareExchange('y', 'fanout'))
    channel.give(bindCommand('queue.bind', 'durable', 'x', ''))
    channel.give(bindCommand('queue.bind', 'transient', 'x', ''))
    channel.give(bindCommand('queue.bind', 'durable', 'y', ''))
    channel.give(bindCommand('exchange.bind', 'amq.topic', 'x', ''))
    channel.give(bindCommand('queue.unbind', 'transient', 'x', ''))
    channel.give(bindCommand('queue.unbind', 'durable', 'x', ''))
    channel.sibling().give({ type: 'queue.delete', queue: 'transient', ifUnused: false, ifEmpty: false })
    channel.sibling().give({ type: 'queue.delete', queue: 'durable', ifUnused: false, ifEmpty: false })
    channel.sibling().give({ type: 'exchange.delete', exchange: 'x', ifUnused: false })
    channel.sibling().give({ type: 'exchange.delete', exchange: 'y', ifUnused: false })
    store.commit()
    expect(store.frames).toEqual([
      [
        'queue-declared durable',
        'exchange-declared x',
        'bound durable',
        'bound amq.topic',
        'unbound durable',
        'queue-deleted durable',
        'exchange-deleted x',
      ],
    ])
  })

  test.each([
    ['a queue', declareQueue('q', { durable: true })],
    ['an exchange', declareExchange('x', 'fanout', { durable: true })],
    ['a binding', bindCommand('queue.bind', 'known', 'amq.fanout', 'k')],
    ['a binding between exchanges', bindCommand('exchange.bind', 'amq.topic', 'amq.fanout', 'k')],
  ])('is answered when it is on disk: %s, also to the one who declares it a moment later', async (_what, command) => {
    const [channel, store] = await durable()
    channel.give(declareQueue('known', { durable: true }))
    store.commit()
    store.sync()
    channel.takeLines()
    const later = channel.sibling()
    channel.give(command)
    later.give(command)
    channel.sibling().ask({ type: 'leveret.queues' })
    expect([channel.takeLines(), later.takeLines()]).toEqual([[], []])
    store.sync()
    expect([channel.takeLines().length, later.takeLines().length]).toEqual([1, 1])
    later.ask(command)
  })

  test.each([
    ['queue.delete', { type: 'queue.delete' as const, queue: 'q', ifUnused: false, ifEmpty: false }],
    ['exchange.delete', { type: 'exchange.delete' as const, exchange: 'x', ifUnused: false }],
    ['queue.unbind', bindCommand('queue.unbind', 'q', 'x', '')],
    ['queue.purge', { type: 'queue.purge' as const, queue: 'q' }],
  ])('is gone when %s is answered, also for the one who asks a moment later', async (_what, command) => {
    const [channel, store] = await durable()
    channel.give(declareQueue('q', { durable: true }))
    channel.give(declareExchange('x', 'fanout', { durable: true }))
    channel.give(bindCommand('queue.bind', 'q', 'x', ''))
    channel.post('', 'q', 'x', { persistent: true })
    store.commit()
    store.sync()
    channel.takeLines()
    const later = channel.sibling()
    channel.give(command)
    if (command.type !== 'queue.purge') later.give(command)
    channel.sibling().ask({ type: 'leveret.queues' })
    expect([channel.takeLines(), later.takeLines()]).toEqual([[], []])
    store.sync()
    expect(channel.takeLines()).toHaveLength(1)
    if (command.type !== 'queue.purge') expect(later.takeLines()).toHaveLength(1)
  })

  test('is recorded as gone when an auto-delete queue ends with the session of its consumer', async () => {
    const store = new ControlledStore()
    const core = await openCore({ store })
    const session = await core.session()
    const channel = session.channel()
    channel.give(declareQueue('q', { durable: true, autoDelete: true }))
    core.settle()
    store.sync()
    channel.consume('q')
    await session.close()
    expect(store.frames.at(-1)).toEqual(['queue-deleted q'])
  })
})
