// One conversation with the broker: settling by tag, what closes a channel, and the one order in which it is told things.
import { describe, expect, test } from 'vitest'
import { toTable } from '../model/field-table.ts'
import { limits } from '../model/limits.ts'
import { ControlledStore } from '../testing/controlled-store.ts'
import { type CoreChannel, consume, declareQueue, makeMessage, openCore } from '../testing/core-harness.ts'

async function open(count = 0): Promise<CoreChannel> {
  const core = await openCore()
  const channel = await core.channel()
  channel.declareQueue('q')
  for (let number = 1; number <= count; number++) channel.publish('', 'q', String(number))
  return channel
}

describe('ack, nack and reject', () => {
  test('settle the one delivery that the tag names', async () => {
    const channel = await open(3)
    channel.consume('q', { tag: 'c' })
    channel.ack(2)
    channel.reject(3, false)
    channel.close()
    const after = channel.sibling()
    expect(after.drain('q')).toEqual(['1!'])
  })

  test('with multiple, settle all up to the tag that are still out, over all queues of the channel', async () => {
    const channel = await open(4)
    channel.declareQueue('r')
    channel.consume('q', { tag: 'c' })
    channel.consume('r', { tag: 'd' })
    channel.publish('', 'r', 'r1')
    channel.publish('', 'r', 'r2')
    channel.ack(2)
    channel.ack(5, true)
    expect([channel.counts('q')?.unacked, channel.counts('r')?.unacked]).toEqual([0, 1])
    channel.ack(6)
    expect(channel.error).toBe(null)
  })

  test('with tag 0 and multiple, settle everything that is out, and are content with nothing', async () => {
    const channel = await open(3)
    channel.ack(0, true)
    channel.reject(0, true, true)
    channel.consume('q', { tag: 'c' })
    channel.ack(0, true)
    expect(channel.counts('q')).toEqual({ ready: 0, unacked: 0, consumers: 1 })
    expect(channel.error).toBe(null)
  })

  test('with multiple and requeue, give back everything', async () => {
    const channel = await open(3)
    for (let number = 0; number < 3; number++) channel.get('q')
    channel.reject(0, true, true)
    expect(channel.drain('q')).toEqual(['1!', '2!', '3!'])
  })

  test.each([
    ['a tag never given out', 9, false],
    ['a tag never given out, with multiple', 9, true],
    ['tag 0 without multiple', 0, false],
    ['a tag that is settled', 2, false],
    ['a tag that is settled, with multiple', 2, true],
    ['the tag of a delivery that needs no acknowledgement', 4, false],
  ])('close the channel for %s', async (_what, tag, multiple) => {
    const channel = await open(3)
    channel.consume('q', { tag: 'c' })
    channel.declareQueue('r')
    channel.consume('r', { tag: 'd', noAck: true })
    channel.publish('', 'r', 'r1')
    channel.ack(2)
    channel.takeLines()
    channel.ack(tag, multiple)
    expect(channel.takeLines()).toEqual([`-1 failed: PRECONDITION_FAILED - unknown delivery tag ${tag}`])
    // And everything that was out is back.
    expect(channel.sibling().drain('q')).toEqual(['1!', '3!'])
  })

  test('are accepted for a queue that is gone', async () => {
    const channel = await open(3)
    channel.consume('q', { tag: 'c' })
    channel.deleteQueue('q')
    channel.ack(1)
    channel.reject(2, true)
    channel.reject(3, false)
    expect(channel.error).toBe(null)
  })

  test('count tags for the channel, from 1, also for what needs no acknowledgement', async () => {
    const channel = await open(2)
    channel.get('q', true)
    channel.get('q', true)
    channel.consume('q', { tag: 'c', noAck: true })
    channel.publish('', 'q', '3')
    channel.cancel('c')
    channel.publish('', 'q', '4')
    const reply = channel.get('q')
    expect(channel.deliveries[0]?.tag).toBe(3)
    expect(reply.type === 'basic.get-ok' && reply.deliveryTag).toBe(4)
    expect(channel.sibling().get('q').type).toBe('basic.get-empty')
  })
})

describe('basic.get', () => {
  test('takes the first message and tells how many are left behind it', async () => {
    const channel = await open(3)
    channel.takeLines()
    channel.get('q', true)
    channel.get('q')
    channel.reject(2, true)
    channel.get('q')
    channel.get('q')
    channel.get('q')
    expect(channel.takeLines()).toEqual([
      '2 basic.get-ok 1 1 2',
      '3 basic.get-ok 2 2 1',
      '4 basic.get-ok 3 2 redelivered 1',
      '5 basic.get-ok 4 3 0',
      '6 basic.get-empty',
    ])
    expect(channel.refusal({ type: 'basic.get', queue: 'missing', noAck: true })).toBe(
      "NOT_FOUND - no queue 'missing' in vhost '/'",
    )
  })
})

describe('basic.consume', () => {
  test('answers before the first delivery, with the tag or one of its own making', async () => {
    const channel = await open(1)
    channel.takeLines()
    channel.consume('q', { tag: 'c' })
    expect(channel.takeLines()).toEqual(['2 basic.consume-ok c', 'deliver c 1 1'])
    const reply = channel.consume('q')
    expect(reply.type === 'basic.consume-ok' && reply.consumerTag).toMatch(/^amq\.ctag-[\w-]{22}$/)
  })

  test('refuses a priority that is no integer', async () => {
    const channel = await open()
    const command = { ...consume('q'), arguments: toTable({ 'x-priority': 'high' }) }
    expect(channel.refusal(command)).toBe(
      `PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': "expected integer, got longstr"`,
    )
  })

  test('refuses a tag that is taken on this channel, with an error of the connection', async () => {
    const channel = await open()
    channel.consume('q', { tag: 'c' })
    channel.sibling().consume('q', { tag: 'c' })
    expect(channel.refusal(consume('q', { tag: 'c' }))).toBe("NOT_ALLOWED - attempt to reuse consumer tag 'c'")
    expect(channel.error?.scope).toBe('connection')
  })

  test('frees a tag that is cancelled', async () => {
    const channel = await open()
    channel.consume('q', { tag: 'c' })
    channel.cancel('c')
    channel.consume('q', { tag: 'c' })
    expect(channel.counts('q')?.consumers).toBe(1)
  })

  test('refuses an exclusive consumer beside others, and others beside an exclusive one', async () => {
    const text = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"
    const channel = await open()
    channel.consume('q', { tag: 'c' })
    expect(channel.sibling().refusal(consume('q', { exclusive: true }))).toBe(text)
    channel.cancel('c')
    channel.consume('q', { tag: 'c', exclusive: true })
    expect(channel.sibling().refusal(consume('q'))).toBe(text)
    expect(channel.sibling().refusal(consume('q', { exclusive: true }))).toBe(text)
    channel.cancel('c')
    channel.sibling().consume('q')
  })

  test('refuses a queue that is not there', async () => {
    const channel = await open()
    expect(channel.refusal(consume('missing'))).toBe("NOT_FOUND - no queue 'missing' in vhost '/'")
  })

  test('delivers to the channel that published it too', async () => {
    const channel = await open()
    channel.consume('q', { tag: 'c', noAck: true })
    channel.publish('', 'q', 'x')
    expect(channel.takeBodies()).toEqual(['x'])
    expect(channel.counts('q')).toEqual({ ready: 0, unacked: 0, consumers: 1 })
  })
})

describe('basic.cancel', () => {
  test('answers after the last delivery, leaves what is out with the channel, and knows no wrong tag', async () => {
    const channel = await open(2)
    channel.consume('q', { tag: 'c' })
    channel.takeLines()
    channel.cancel('c')
    channel.publish('', 'q', '3')
    channel.cancel('never there')
    expect(channel.takeLines()).toEqual(['3 basic.cancel-ok c', '4 basic.cancel-ok never there'])
    expect(channel.counts('q')).toEqual({ ready: 1, unacked: 2, consumers: 0 })
    channel.ack(1)
    channel.close()
    expect(channel.sibling().drain('q')).toEqual(['2!', '3'])
  })
})

describe('basic.recover', () => {
  test('gives back everything that is out, answers, and then hands it out again', async () => {
    const channel = await open(3)
    channel.qos(2)
    channel.consume('q', { tag: 'c' })
    channel.takeLines()
    channel.ask({ type: 'basic.recover', requeue: true })
    expect(channel.takeLines()).toEqual(['4 ok', 'deliver c 3 1 redelivered', 'deliver c 4 2 redelivered'])
    channel.ack(1)
    expect(channel.error?.message).toBe('PRECONDITION_FAILED - unknown delivery tag 1')
  })

  test('without requeue is refused with NOT_IMPLEMENTED', async () => {
    const channel = await open()
    expect(channel.refusal({ type: 'basic.recover', requeue: false })).toContain('NOT_IMPLEMENTED')
  })
})

describe('publishing', () => {
  test.each([
    ['to no exchange', makeMessage('missing', 'q', 'x'), "NOT_FOUND - no exchange 'missing' in vhost '/'"],
    [
      'with an expiration that is no time',
      makeMessage('', 'q', 'x', { properties: { expiration: 'soon' } }),
      "PRECONDITION_FAILED - invalid expiration 'soon': no_integer",
    ],
    [
      'with an expiration that is a time and more',
      makeMessage('', 'q', 'x', { properties: { expiration: '5m' } }),
      'PRECONDITION_FAILED - invalid expiration \'5m\': {leftover_string,"m"}',
    ],
    [
      'with an expiration in the past',
      makeMessage('', 'q', 'x', { properties: { expiration: '-5' } }),
      "PRECONDITION_FAILED - invalid expiration '-5': {value_negative,-5}",
    ],
    [
      'with an expiration in more than ten years',
      makeMessage('', 'q', 'x', { properties: { expiration: '315360000001' } }),
      "PRECONDITION_FAILED - invalid expiration '315360000001': {value_too_large,315360000001}",
    ],
    [
      'with copies that are no list',
      makeMessage('', 'q', 'x', { properties: { headers: toTable({ CC: 'a' }) } }),
      'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}',
    ],
    [
      'with hidden copies that are no list',
      makeMessage('', 'q', 'x', { properties: { headers: toTable({ a: 1, BCC: 5 }) } }),
      'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"BCC",long}',
    ],
    [
      'with a routing key of more than 255 bytes',
      makeMessage('', 'ä'.repeat(128), 'x'),
      'PRECONDITION_FAILED - the routing key has 256 bytes, at most 255 fit',
    ],
  ])('%s closes the channel, and nothing after it happens', async (_what, message, text) => {
    const channel = await open()
    channel.takeLines()
    channel.port.publish(message, false)
    channel.post('', 'q', 'after')
    channel.give(declareQueue('after'))
    channel.publish('', 'q', 'after')
    expect(channel.takeLines()).toEqual([`0 failed: ${text}`])
    const other = channel.sibling()
    expect(other.drain('q')).toEqual([])
    expect(other.has('after')).toBe(false)
  })

  test('in the name of somebody else closes the channel; the host process may speak for anybody', async () => {
    const core = await openCore()
    const session = await core.session({ user: 'guest', password: 'guest' })
    const channel = session.channel()
    channel.publish('', 'q', 'x', { properties: { userId: 'guest' } })
    expect(channel.error).toBe(null)
    channel.publish('', 'q', 'x', { properties: { userId: 'somebody' } })
    expect(channel.error?.message).toBe(
      "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'",
    )
    const host = await core.channel()
    host.publish('', 'q', 'x', { properties: { userId: 'somebody' } })
    expect(host.error).toBe(null)
  })

  test('takes a routing key of 255 bytes', async () => {
    const channel = await open()
    channel.publish('', `${'ä'.repeat(127)}a`, 'x')
    expect(channel.error).toBe(null)
  })

  test('mandatory, returns what no queue takes, and only that', async () => {
    const channel = await open()
    channel.takeLines()
    channel.publish('', 'missing', '1', { mandatory: true })
    channel.publish('', 'missing', '2')
    channel.publish('', 'q', '3', { mandatory: true })
    expect(channel.takeLines()).toEqual(['return NO_ROUTE 1'])
  })

  test('notices when the exchange it published to last is gone', async () => {
    const channel = await open()
    channel.declareExchange('x', 'fanout')
    channel.bind('q', 'x')
    channel.publish('x', '', '1')
    channel.sibling().deleteExchange('x')
    channel.publish('x', '', '2')
    expect(channel.error?.message).toBe("NOT_FOUND - no exchange 'x' in vhost '/'")
    expect(channel.sibling().drain('q')).toEqual(['1'])
  })
})

describe('a channel that fails', () => {
  test('says so once, with the id of the command, after what was answered before it', async () => {
    const channel = await open()
    channel.takeLines()
    channel.give(declareQueue('a'))
    channel.give(declareQueue('missing', { passive: true }))
    channel.give(declareQueue('b'))
    channel.port.ack(99, false)
    channel.publish('missing', '', 'x')
    expect(channel.takeLines()).toEqual([
      '2 queue.declare-ok a 0 0',
      "3 failed: NOT_FOUND - no queue 'missing' in vhost '/'",
    ])
    expect(channel.sibling().has('b')).toBe(false)
  })

  test('gives back what is out, ends its consumers, and is handed nothing more', async () => {
    const channel = await open(2)
    const other = channel.sibling()
    channel.consume('q', { tag: 'c' })
    channel.takeLines()
    channel.ack(99)
    expect(other.counts('q')).toEqual({ ready: 2, unacked: 0, consumers: 0 })
    other.publish('', 'q', '3')
    expect(channel.deliveries).toHaveLength(2)
    expect(channel.port.publish(makeMessage('', 'q', '4'), false)).toBe(0)
    channel.commit([], [makeMessage('', 'q', '5')])
    expect(other.drain('q')).toEqual(['1!', '2!', '3'])
    expect(channel.takeLines()).toHaveLength(1)
  })

  test('confirms nothing any more', async () => {
    const store = new ControlledStore()
    const core = await openCore({ store })
    const channel = await core.channel()
    channel.give(declareQueue('q', { durable: true }))
    core.settle()
    store.sync()
    channel.ask({ type: 'confirm.select' })
    channel.publish('', 'q', '1', { persistent: true })
    channel.ack(99)
    channel.takeLines()
    store.sync()
    core.settle()
    expect(channel.takeLines()).toEqual([])
  })
})

describe('a channel that is closed', () => {
  test('gives back what is out in its place, says nothing more and takes nothing more', async () => {
    const channel = await open(3)
    const other = channel.sibling()
    channel.consume('q', { tag: 'c' })
    channel.ack(2)
    channel.takeLines()
    channel.give(declareQueue('a'))
    channel.post('', 'missing', 'x', { mandatory: true })
    channel.close()
    channel.close()
    channel.publish('', 'q', '4')
    channel.give(declareQueue('b'))
    channel.port.pauseDeliveries()
    channel.port.resumeDeliveries()
    expect(channel.takeLines()).toEqual([])
    expect(other.counts('q')).toEqual({ ready: 2, unacked: 0, consumers: 0 })
    expect(other.drain('q')).toEqual(['1!', '3!'])
    expect(other.has('b')).toBe(false)
  })

  test('may be closed by its own consumer in the middle of a hand-out', async () => {
    const channel = await open(5)
    const other = channel.sibling()
    channel.onDelivered = (delivery) => {
      if (delivery.body === '2') channel.port.close()
    }
    channel.consume('q', { tag: 'c' })
    expect(channel.takeBodies()).toEqual(['1', '2'])
    expect(other.drain('q')).toEqual(['1!', '2!', '3', '4', '5'])
  })
})

describe('a consumer that settles and publishes while it is being handed a message', () => {
  test('sees every message once, and nothing is called back inside its calls', async () => {
    const channel = await open(3)
    channel.qos(1)
    let depth = 0
    channel.onDelivered = (delivery) => {
      expect(depth++).toBe(0)
      channel.port.ack(delivery.tag, false)
      if (delivery.body.length < 4) channel.post('', 'q', `${delivery.body}.`)
      depth--
    }
    channel.consume('q', { tag: 'c' })
    expect(channel.takeBodies()).toEqual(['1', '2', '3', '1.', '2.', '3.', '1..', '2..', '3..', '1...', '2...', '3...'])
    expect(channel.counts('q')).toEqual({ ready: 0, unacked: 0, consumers: 1 })
  })
})

describe('pauseDeliveries', () => {
  test('holds deliveries of this channel, not answers, and resumeDeliveries lets them go on', async () => {
    const channel = await open()
    const other = channel.sibling()
    channel.consume('q', { tag: 'c', noAck: true })
    channel.port.pauseDeliveries()
    channel.publish('', 'q', '1')
    channel.publish('', 'q', '2')
    expect(channel.takeBodies()).toEqual([])
    channel.declareQueue('r')
    other.consume('q', { tag: 'd' })
    expect(other.takeBodies()).toEqual(['1', '2'])
    other.cancel('d')
    channel.publish('', 'q', '3')
    channel.port.resumeDeliveries()
    other.qos(1)
    expect(channel.takeBodies()).toEqual(['3'])
  })

  test('works in the middle of a hand-out, as it does when a socket is full', async () => {
    const channel = await open(5)
    channel.onDelivered = (delivery) => {
      if (delivery.body === '2') channel.port.pauseDeliveries()
    }
    channel.consume('q', { tag: 'c', noAck: true })
    expect(channel.takeBodies()).toEqual(['1', '2'])
    expect(channel.counts('q')?.ready).toBe(3)
    channel.port.resumeDeliveries()
    channel.qos(0)
    expect(channel.takeBodies()).toEqual(['3', '4', '5'])
  })
})

describe('the order of what a channel is told', () => {
  async function durable(): Promise<[CoreChannel, ControlledStore]> {
    const store = new ControlledStore()
    const core = await openCore({ store })
    const channel = await core.channel()
    channel.give(declareQueue('q', { durable: true }))
    core.settle()
    store.sync()
    channel.takeLines()
    return [channel, store]
  }

  test('an answer that waits for the disk holds those behind it, deliveries and returns too', async () => {
    const [channel, store] = await durable()
    const other = channel.sibling()
    channel.consume('q', { tag: 'c' })
    channel.publish('', 'q', '1')
    expect(channel.takeLines()).toEqual(['2 basic.consume-ok c', 'deliver c 1 1'])
    channel.give(declareQueue('r', { durable: true }))
    channel.give(declareQueue('s'))
    channel.post('', 'missing', '2', { mandatory: true })
    channel.post('', 'q', '3')
    other.qos(0)
    expect(channel.takeLines()).toEqual([])
    store.sync()
    expect(channel.takeLines()).toEqual([
      '3 queue.declare-ok r 0 0',
      '4 queue.declare-ok s 0 0',
      'return NO_ROUTE 2',
      'deliver c 2 3',
    ])
  })

  test('what one channel waits for does not hold another', async () => {
    const [channel] = await durable()
    const other = channel.sibling()
    other.consume('q', { tag: 'd' })
    channel.give(declareQueue('r', { durable: true }))
    other.publish('', 'q', '1')
    other.declareQueue('s')
    expect(other.takeLines()).toEqual(['1 basic.consume-ok d', 'deliver d 1 1', '2 queue.declare-ok s 0 0'])
  })

  test('a consumer behind a waiting answer is passed over, and others get its share', async () => {
    const [channel, store] = await durable()
    const other = channel.sibling()
    channel.consume('q', { tag: 'c' })
    other.consume('q', { tag: 'd' })
    channel.give(declareQueue('r', { durable: true }))
    other.publish('', 'q', '1')
    other.publish('', 'q', '2')
    expect(other.takeBodies()).toEqual(['1', '2'])
    store.sync()
    // It has lost its turn, and comes behind the others.
    other.publish('', 'q', '3')
    other.publish('', 'q', '4')
    expect(other.takeBodies()).toEqual(['3'])
    expect(channel.takeBodies()).toEqual(['4'])
  })

  test('a failure waits for the answers before it', async () => {
    const [channel, store] = await durable()
    channel.give(declareQueue('r', { durable: true }))
    channel.ack(99)
    expect(channel.takeLines()).toEqual([])
    store.sync()
    expect(channel.takeLines()).toEqual([
      '2 queue.declare-ok r 0 0',
      '-1 failed: PRECONDITION_FAILED - unknown delivery tag 99',
    ])
  })

  test('a channel closed while an answer waits is told nothing', async () => {
    const [channel, store] = await durable()
    channel.give(declareQueue('r', { durable: true }))
    channel.sibling().qos(0)
    channel.close()
    store.sync()
    expect(channel.takeLines()).toEqual([])
  })

  test('each turn in which something was said ends with one flush', async () => {
    const channel = await open()
    channel.consume('q', { tag: 'c', noAck: true })
    channel.flushes = 0
    for (let number = 0; number < 10; number++) channel.post('', 'q', 'x')
    channel.publish('', 'q', 'x')
    expect(channel.flushes).toBe(1)
    channel.declareQueue('q')
    expect(channel.flushes).toBe(2)
  })
})

test('a channel has a bounded number of consumers', async () => {
  const channel = await open()
  for (let number = 0; number < limits.consumersPerChannelMax; number++)
    channel.give(consume('q', { tag: `${number}` }))
  expect(channel.refusal(consume('q', { tag: 'one more' }))).toContain('NOT_ALLOWED - reached maximum (65535)')
})
